# SPDX-License-Identifier: MIT
"""One end of stream does not end the other direction; a reset is passed on as a reset, MP_FASTCLOSE on MPTCP."""
import socket
import time
import zlib

import pytest

from support import clients, dialects, netlab

ALL = pytest.mark.parametrize("dialect", clients.DIALECTS)
LEGS = pytest.mark.parametrize("protocol", [clients.MPTCP, clients.TCP], ids=["mptcp", "tcp"])
FASTCLOSE = "tcp.flags.reset == 1 && tcp.options.mptcp.subtype == 7"


@ALL
@LEGS
def test_the_server_answers_after_the_clients_end(lab, proxy, origin, dialect, protocol):
    data = dialects.stream(lab, 200_000, 1)
    s = clients.session(lab, proxy(), dialect, origin.port, early=b"WAIT 200 SINK\n", protocol=protocol)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    assert dialects.receive_all(s) == b"%d %08x\n" % (len(data), zlib.crc32(data))


@ALL
@LEGS
def test_the_client_goes_on_after_the_servers_end(lab, proxy, origin, dialect, protocol):
    before = len(origin.events())
    data = dialects.stream(lab, 200_000, 2)
    s = clients.session(lab, proxy(), dialect, origin.port, early=b"SOURCE 1000 1\n", protocol=protocol)
    assert len(dialects.receive_all(s)) == 1000
    time.sleep(0.2)
    s.sendall(data)
    s.close()
    event = origin.wait_events(before + 1)[-1]
    assert (event["in"], event["crc"], event["end"]) == (len(data), f"{zlib.crc32(data):08x}", "eof")


@ALL
@LEGS
def test_an_end_right_behind_the_request(lab, proxy, origin, dialect, protocol):
    """Request, data and FIN in one go."""
    p = proxy()
    s = clients.dial(lab, p, protocol=protocol)
    s.sendall(clients.opening(dialect, netlab.SERVER, origin.port) + b"SINK\nlast words")
    s.shutdown(socket.SHUT_WR)
    clients.expect_success(s, dialect, netlab.SERVER, origin.port)
    assert dialects.receive_all(s) == b"10 %08x\n" % zlib.crc32(b"last words")


@ALL
@LEGS
def test_a_reset_of_the_client_reaches_the_server(lab, proxy, origin, capture, dialect, protocol):
    before = len(origin.events())
    p = proxy()
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\nx", protocol=protocol)
    assert dialects.receive_exactly(s, 1) == b"x"
    clients.abort(s)
    assert origin.wait_events(before + 1)[-1]["end"] == "reset"
    assert seen.count(f"tcp.dstport == {origin.port} && tcp.flags.reset == 1") >= 1
    assert seen.count(f"tcp.dstport == {origin.port} && tcp.flags.fin == 1") == 0


@ALL
@LEGS
def test_a_reset_of_the_server_reaches_the_client(lab, proxy, origin, capture, dialect, protocol):
    p = proxy()
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    s = clients.session(lab, p, dialect, origin.port, early=b"RESET 1000 1\n", protocol=protocol)
    assert dialects.receive_exactly(s, 1000) == dialects.stream(lab, 1000, 1)
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    resets = FASTCLOSE if protocol == clients.MPTCP else "tcp.flags.reset == 1"
    assert seen.count(f"tcp.srcport == {p.port} && {resets}") >= 1
    assert seen.count(f"tcp.srcport == {p.port} && tcp.flags.fin == 1") == 0


@LEGS
def test_a_reset_counts_after_a_half_close(lab, proxy, origin, protocol):
    """Nobody reads from that side any more: the session must end all the same, and not by its deadline."""
    p = proxy()
    s = clients.session(lab, p, "socks5", origin.port, early=b"SILENT\n", protocol=protocol)
    s.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    clients.abort(s)
    p.wait_sessions(0)


@LEGS
def test_a_reset_counts_while_the_other_side_blocks(lab, proxy, origin, protocol):
    p = proxy()
    s = clients.session(lab, p, "socks5", origin.port, early=b"WAIT 20000 SINK\n", protocol=protocol)
    s.setblocking(False)
    quiet = time.monotonic() + 0.5
    while time.monotonic() < quiet:  # until nothing has been taken for a while
        try:
            s.send(bytes(65536))
            quiet = time.monotonic() + 0.5
        except BlockingIOError:
            time.sleep(0.01)
    clients.abort(s)
    p.wait_sessions(0)


@ALL
def test_a_client_that_resets_while_the_proxy_dials(lab, proxy, origin, dialect):
    """The session goes; nobody else notices."""
    lab.emulator.set("leg", delay=200)
    p = proxy()
    s = clients.dial(lab, p)
    s.sendall(clients.opening(dialect, netlab.SERVER, origin.port))
    time.sleep(0.1)
    clients.abort(s)
    p.wait_sessions(0)


def test_half_closed_sessions_end_at_their_own_deadline(lab, proxy, origin):
    p = proxy({"timeouts": {"half_closed_seconds": 1}})
    s = clients.session(lab, p, "socks5", origin.port, early=b"SILENT\n")
    s.shutdown(socket.SHUT_WR)
    begin = time.monotonic()
    p.wait_sessions(0)
    assert time.monotonic() - begin < 2.5


def test_idle_sessions_end_at_the_idle_deadline(lab, proxy, origin):
    p = proxy({"timeouts": {"idle_seconds": 1}})
    s = clients.session(lab, p, "socks5", origin.port, early=b"ECHO\n")
    for _ in range(8):  # octets keep it alive
        time.sleep(0.25)
        s.sendall(b"x")
        assert dialects.receive_exactly(s, 1) == b"x"
    begin = time.monotonic()
    p.wait_sessions(0)
    assert 0.7 < time.monotonic() - begin < 2.5
