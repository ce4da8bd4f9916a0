# SPDX-License-Identifier: MIT
"""Transparent listeners: hosts that know nothing of us, diverted by conf/nft/transparent.nft. Here the lab's client is a host behind
the concentrator's machine, which is its gateway."""
import ipaddress
import os
import signal
import socket
import subprocess

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import MPTCP, TCP
from test_refusals import CLOSED_PORT

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
RULES = os.path.join(netlab.ROOT, "conf", "nft", "transparent.nft")
PORT = 9002


@pytest.fixture
def gateway(lab, proxy):
    """gateway(changes): a running daemon with transparent listeners, its rules and routes."""

    def start(changes=None, exact=False, alive_set=None, **how):
        listeners = [{"name": "ipv4", "address": f"127.0.0.1:{PORT}", "transparent": True, "exact": exact, "alive_set": alive_set},
                     {"name": "ipv6", "address": f"[::1]:{PORT}", "transparent": True, "exact": exact, "alive_set": alive_set}]
        return proxy(changes, more_listeners=listeners, **how)

    for family in ("-4", "-6"):
        lab.conc.run("ip", family, "rule", "add", "fwmark", "0x6d70", "lookup", "7374")
        lab.conc.run("ip", family, "route", "replace", "local", "default", "dev", "lo", "table", "7374")
    lab.conc.run("nft", "-D", 'lan={ "k0", "k1" }', "-D", f"port={PORT}", "-f", RULES)
    lab.conc.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    lab.server.run("ip", "-6", "route", "replace", "default", "via", netlab.CONC_OUT6)
    yield start
    lab.conc.sysctl(net__ipv4__ip_forward=0, net__ipv6__conf__all__forwarding=0)
    for family in ("-4", "-6"):
        lab.conc.run("ip", family, "route", "flush", "table", "7374")
        lab.conc.run("ip", family, "rule", "del", "fwmark", "0x6d70", "lookup", "7374")


def call(lab, port, v6=False, protocol=TCP, link=0):
    """A host's own connection to the server: it has never heard of a proxy."""
    s = clients.new_socket(lab, link, v6, protocol)
    s.connect((clients.target(v6), port))
    return s


def diverted(lab, name="diverted"):
    out = lab.conc.run("nft", "list", "counter", "inet", "mpconvert_transparent", name).stdout.decode()
    return int(out.split("packets ")[1].split()[0])


@FAMILIES
def test_plain_tcp_is_converted(lab, gateway, origin, v6):
    p = gateway()
    ended = len(origin.events())
    s = call(lab, origin.port, v6)
    s.sendall(b"SOURCE 300000 3\n")
    assert dialects.receive_exactly(s, 300000) == dialects.stream(lab, 300000, 3)
    assert s.getpeername()[:2] == (clients.target(v6), origin.port), "the host does not see its server"
    seen = p.sessions()
    s.close()
    assert [x["protocol"] for x in seen] == ["transparent"]
    assert (netlab.CONC_OUT6 if v6 else netlab.CONC_OUT) in origin.wait_events(ended + 1)[-1]["peer"]
    assert diverted(lab) >= 1


@FAMILIES
def test_native_mptcp_passes_untouched(lab, gateway, v6):
    """End to end: the same host, with MPTCP of its own, to a server that has it."""
    p = gateway()
    with lab.server:
        server = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM, MPTCP)
    server.bind((clients.target(v6), 0))
    server.listen()
    s = call(lab, server.getsockname()[1], v6, MPTCP)
    peer, address = server.accept()
    client = ipaddress.ip_address((netlab.CLIENT6 if v6 else netlab.CLIENT)[0])
    assert ipaddress.ip_address(address[0]) == client, "somebody stands between"
    assert kernel.is_mptcp(s) and kernel.is_mptcp(peer)
    assert p.stats()["sessions"]["accepted_total"] == 0
    assert diverted(lab, "native") == 1 and diverted(lab) == 0
    for x in (s, peer, server):
        x.close()


@FAMILIES
def test_a_refused_target_resets(lab, gateway, v6):
    gateway()
    with pytest.raises(ConnectionResetError):  # the host's connect() may see it already
        call(lab, CLOSED_PORT, v6).recv(1)


def test_what_was_not_diverted_is_refused(lab, gateway):
    """Somebody connects to the listener itself: the target would be the daemon."""
    p = gateway({"clients": {"allow": ["192.0.2.0/24", "127.0.0.0/8"]}})
    s = lab.conc.open_socket()
    with pytest.raises(ConnectionResetError):
        s.connect(("127.0.0.1", PORT))
        s.recv(1)
    stats = p.stats()
    assert stats["upstream"]["connect_attempts_total"] == 0
    assert sum(stats["acl"]["denied_total"].values()) == 1


@FAMILIES
def test_native_ports_of_the_gateway_are_not_taken(lab, gateway, origin, v6):
    """A connection through the gateway to the listener's very port on another machine is diverted like any other, and one to the
    gateway's own services is not."""
    p = gateway()
    s = clients.dial(lab, p, v6=v6, protocol=TCP)
    s.sendall(clients.opening(clients.SOCKS5, clients.target(v6), origin.port))
    clients.expect_success(s, clients.SOCKS5, clients.target(v6), origin.port)
    assert diverted(lab) == 0
    s.close()


def test_emergency_off(lab, gateway, origin):
    """The table deleted, or the daemon dead with it: traffic goes the native way."""
    p = gateway()
    lab.conc.run("nft", "delete", "table", "inet", "mpconvert_transparent")
    p.stop()
    s = call(lab, origin.port)
    s.sendall(b"ECHO\nhello")
    assert dialects.receive_exactly(s, 5) == b"hello"
    s.close()


def alive(lab):
    return b"tcp" in lab.conc.run("nft", "list", "set", "inet", "mpconvert_transparent", "alive").stdout.split(b"elements")[-1]


def test_a_daemon_that_hangs_diverts_nobody(lab, gateway, origin):
    """Nor one that drains; what it has diverted goes on."""
    p = gateway({"timeouts": {"drain_seconds": 60}}, alive_set="inet mpconvert_transparent alive")
    old = call(lab, origin.port)
    old.sendall(b"ECHO\n")
    netlab.wait_for(lambda: p.stats()["nft"]["alive_renewals_total"] > 0, 5, "a sign of life")
    p.process.send_signal(signal.SIGSTOP)
    try:
        netlab.wait_for(lambda: not alive(lab), 10, "its end")
        s = call(lab, origin.port)
        s.sendall(b"ECHO\nhello")
        assert dialects.receive_exactly(s, 5) == b"hello" and diverted(lab) == 1
        s.close()
    finally:
        p.process.send_signal(signal.SIGCONT)
    netlab.wait_for(lambda: alive(lab), 10, "the next sign of life")
    p.terminate()
    netlab.wait_for(lambda: not alive(lab), 10, "its goodbye")
    old.sendall(b"hello")
    assert dialects.receive_exactly(old, 5) == b"hello"
    old.close()
    p.stop()


def test_users_have_no_way_to_show_credentials(lab, gateway, origin):
    p = gateway({"auth": {"users_file": "{folder}/users"}}, files={"users": "alice:!\n"})
    with pytest.raises(ConnectionResetError):
        call(lab, origin.port).recv(1)
    assert p.stats()["upstream"]["connect_attempts_total"] == 0


def test_a_listener_needs_a_loopback_address(program, tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"listeners": [{"name": "x", "address": "[::]:9002", "transparent": true}]}')
    done = subprocess.run([program, "--check", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "listeners[0].transparent: needs a loopback address" in done.stderr
