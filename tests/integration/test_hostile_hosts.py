# SPDX-License-Identifier: MIT
"""Hosts behind the CPE that do what hosts should not: nothing of it reaches beyond their own connections."""
import contextlib
import socket
import struct

import pytest

from hybrid import FAMILIES, ask_echo, entry, exchange, finish
from support import access as net, clients, dialects, forged, kernel, netlab

TABLE_SLACK = 16  # descriptors of pipes and of stats requests


def still_serving(access, home, web, v6=0):
    s = home.call(web.port, v6)
    ask_echo(s)
    exchange(access, s, 1000)
    finish(s)


def all_gone(*daemons, fds=()):
    for p in daemons:
        p.wait_sessions(0, timeout=15)
    for p, before in zip(daemons, fds):
        netlab.wait_for(lambda: p.open_fds() <= before + TABLE_SLACK, 5, "descriptors to be closed")


REQUESTS = {
    "MP_CONVERT": dialects.mp_convert(net.SERVER[0], 9),
    "MP_CONVERT without an address": b"\xfa\xa8\xfa\xa8\x00\x04\x00\x01",
    "Convert": dialects.convert_connect(net.SERVER[0], 9),
    "SOCKS5": dialects.socks5_greeting(0) + dialects.socks5_request(net.SERVER[0], 9),
    "half a magic": b"\xfa\xa8\xfa",
}


@pytest.mark.parametrize("syn_data", [False, True], ids=["later", "in the SYN"])
@pytest.mark.parametrize("what", REQUESTS)
def test_a_host_that_speaks_our_dialects(access, daemon, home, what, syn_data):
    """To the CPE it is a host's data like any other: the server gets it, octet by octet, and nobody converts it."""
    far = daemon()
    near = home.start(entry(far))
    with access.server:
        server = socket.create_server((net.SERVER[0], 0))
    server.settimeout(10)
    to = server.getsockname()
    s = access.host.open_socket()
    if syn_data:
        s.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
        s.sendto(REQUESTS[what], kernel.MSG_FASTOPEN, to)
    else:
        s.connect(to)
        s.sendall(REQUESTS[what])
    s.shutdown(socket.SHUT_WR)
    peer, _ = server.accept()
    peer.settimeout(10)
    assert dialects.receive_all(peer) == REQUESTS[what]
    peer.sendall(b"seen")
    peer.close()
    assert dialects.receive_all(s) == b"seen"
    s.close()
    server.close()
    assert [p.stats()["sessions"]["accepted_total"] for p in (near, far)] == [1, 1]


@FAMILIES
def test_hosts_that_leave_while_their_server_is_asked_for(access, daemon, home, web, v6):
    """A reset during the connect ends it at both daemons."""
    far = daemon()
    near = home.start(entry(far, v6=v6))
    fds = near.open_fds(), far.open_fds()
    access.server.nft(f"table inet deaf {{ chain i {{ type filter hook input priority 0; tcp dport 81 drop; }} }}")
    waiting = [home.call(81, v6) for _ in range(40)]
    netlab.wait_for(lambda: far.stats()["sessions"]["connecting"] == 40, 5, "the connects")
    for s in waiting:
        clients.abort(s)
    all_gone(near, far, fds=fds)
    still_serving(access, home, web, v6)


def test_hosts_that_reset_at_once_and_again(access, daemon, home, web):
    """A storm of connections, each reset at another moment."""
    far = daemon()
    near = home.start(entry(far))
    fds = near.open_fds(), far.open_fds()
    for n in range(300):
        s = access.host.open_socket()
        s.setblocking(n % 3 != 0)
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            s.connect((net.SERVER[0], web.port))
            s.sendall(b"SOURCE 100000 1\n")
            if n % 3 == 2:
                s.recv(1000)
        clients.abort(s)
    all_gone(near, far, fds=fds)
    still_serving(access, home, web)


def test_more_than_one_host_may_have(access, daemon, home, web):
    """Beyond limits.sessions_per_source a host is reset; another one is served."""
    far = daemon()
    near = home.start(entry(far), changes={"limits": {"sessions_per_source": 20}})
    kept = [home.call(web.port) for _ in range(20)]
    for s in kept:
        ask_echo(s)
        exchange(access, s, 100)
    with pytest.raises(ConnectionResetError):
        home.call(web.port).recv(1)
    still_serving(access, home, web, v6=1)  # of another address
    for s in kept:
        exchange(access, s, 100)
        finish(s)
    all_gone(near, far)
    still_serving(access, home, web)


def syn(source, port, to, to_port):
    """A TCP SYN over IPv4, as it goes on the wire."""
    head = struct.pack("!HHIIBBHHH", port, to_port, 1, 0, 5 << 4, 2, 65000, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack("!HH", 6, len(head))
    head = head[:16] + struct.pack("!H", forged.checksum(pseudo + head)) + head[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, socket.inet_aton(source), socket.inet_aton(to)) + head


def test_a_flood_of_syns_from_addresses_that_are_nobodys(access, daemon, home, web):
    """They get as far as the kernel's queue: no session, no descriptor, no octet of the daemon's; a real host is served meanwhile."""
    far = daemon()
    near = home.start(entry(far))
    still_serving(access, home, web)
    before = near.open_fds()
    with access.host:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for n in range(10_000):
        raw.sendto(syn(f"192.0.2.{4 + n % 50}", 1024 + n, net.SERVER[0], 80), (net.SERVER[0], 0))
        if n % 2500 == 0:
            still_serving(access, home, web)
    raw.close()
    still_serving(access, home, web)
    stats = near.stats()
    assert stats["sessions"]["accepted_total"] == 6 == far.stats()["sessions"]["accepted_total"]
    assert near.open_fds() <= before + TABLE_SLACK
    assert access.counted("diverted") >= 10_000, "the flood did not reach the listener"
