# SPDX-License-Identifier: MIT
"""Transparent exact listeners: a diverted host's SYN is answered when its target has answered; docs/exact-connect.md. Judged by
packets, by SO_ERROR, and by what a direct connect of the same host says."""
import errno
import itertools
import os
import signal
import socket
import struct
import time

import pytest

import hybrid
from support import clients, dialects, exact, kernel, netlab
from support.clients import MPTCP, TCP
from support.exact import SYN_ACK
from test_refusals import CLOSED_PORT, ICMP, ICMP6, SILENT_PORT, walls  # noqa: F401
from test_transparent import gateway  # noqa: F401

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
SLOW_MS = 100
DIRECT_PORTS = range(61001, 61100)  # the rule leaves connections from these alone


@pytest.fixture
def cpe(lab, gateway):  # noqa: F811
    """cpe(changes): its transparent listeners are exact, and the rule is there."""
    rules = []

    def start(changes=None, rule=True, **how):
        p = gateway(changes, exact=True, **how)
        if rule:
            rules.append(exact.Rule(lab.conc, [], (changes or {}).get("workers", 2)))
        lab.conc.run("nft", "insert", "rule", "inet", "mpconvert_transparent", "divert", "tcp", "sport",
                     f"{DIRECT_PORTS.start}-{DIRECT_PORTS.stop}", "return")
        return p

    yield start
    for r in rules:
        r.remove()


@pytest.fixture
def slow(lab):
    lab.emulator.set("leg", delay=SLOW_MS // 2)


direct_port = itertools.cycle(DIRECT_PORTS)


class Host(exact.Connect):
    """A host's own non-blocking connect(). `direct`: not diverted. `data`: in the SYN."""

    def __init__(self, lab, port, v6=False, protocol=TCP, to=None, direct=False, data=b"", patience_ms=0):
        with lab.client:
            self.socket = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM, protocol)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(((netlab.CLIENT6 if v6 else netlab.CLIENT)[0], next(direct_port) if direct else 0))
        self.socket.setblocking(False)
        if patience_ms:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
        where = to or clients.target(v6), port
        if data:
            self.socket.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
            assert self.socket.sendto(data, kernel.MSG_FASTOPEN, where) == len(data)
        else:
            assert self.socket.connect_ex(where) in (0, errno.EINPROGRESS)

    def speak(self):
        self.socket.sendall(b"ECHO\nhello")
        assert dialects.receive_exactly(self.socket, 5) == b"hello"

    def close(self):
        self.socket.close()


def times(seen, display_filter):
    return [float(row["frame.time_epoch"]) for row in seen.query(display_filter, "frame.time_epoch")]


def counted(p, *path):
    value = p.stats()["exact"]
    for key in path:
        value = value[key]
    return value


def attempts(p):
    return p.stats()["upstream"]["connect_attempts_total"]


# The target answers.


@FAMILIES
def test_the_syn_ack_waits_for_the_target(lab, cpe, origin, capture, slow, v6):
    p = cpe()
    seen, behind = capture(lab.conc, "k0", f"tcp port {origin.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    c = Host(lab, origin.port, v6)
    assert not c.ended(), "connected before its target was"
    assert c.wait() == ""
    c.socket.sendall(b"SOURCE 300000 3\n")
    assert dialects.receive_exactly(c.socket, 300000) == dialects.stream(lab, 300000, 3)
    assert c.socket.getpeername()[:2] == (clients.target(v6), origin.port)
    sessions = p.sessions()
    ours, theirs, syns = times(seen, SYN_ACK), times(behind, SYN_ACK), times(behind, SYN)
    assert len(ours) == len(theirs) == len(syns) == 1, "one connection, one answer"
    assert theirs[0] < ours[0]
    assert [(x["protocol"], x["state"]) for x in sessions] == [("transparent", "relaying")]
    assert counted(p, "confirmed_total") == counted(p, "packets_total", "held") == 1
    c.close()
    p.wait_sessions(0)
    assert counted(p, "entries_current") == 0


@FAMILIES
def test_every_connect_is_dialled_once(lab, cpe, origin, capture, v6):
    """Whichever worker accepts it: here, and in the other one."""
    p = cpe()
    behind = capture(lab.conc, "s0", f"tcp port {origin.port}")
    for _ in range(4):
        hosts = [Host(lab, origin.port, v6) for _ in range(25)]
        assert [h.wait() for h in hosts] == [""] * 25
        for h in hosts:
            h.speak()
            h.close()
    p.wait_sessions(0)
    assert attempts(p) == counted(p, "confirmed_total") == 100
    assert len({row["tcp.srcport"] for row in behind.query(SYN, "tcp.srcport")}) == 100
    assert counted(p, "orphaned_total") == sum(counted(p, "inexact_total").values()) == 0


def test_a_host_that_ends_its_direction_at_once(lab, cpe, origin, slow):
    cpe()
    c = Host(lab, origin.port)
    assert c.wait() == ""
    c.socket.sendall(b"ECHO\nhello")
    c.socket.shutdown(socket.SHUT_WR)
    assert dialects.receive_exactly(c.socket, 5) == b"hello"
    assert c.socket.recv(1) == b""


def test_a_target_that_ends_at_once(lab, cpe):
    """It may be over before the host's third ACK is here."""
    p = cpe()
    with lab.server:
        server = socket.create_server((netlab.SERVER, 0))
    for i in range(10):
        c = Host(lab, server.getsockname()[1])
        peer, _ = server.accept()
        if i % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            peer.sendall(b"bye")
        peer.close()
        said = c.wait()
        assert said == "" or (i % 2 and said in ("ECONNRESET", "ECONNREFUSED"))  # the last: before we saw that it had accepted
        try:
            assert said or c.socket.recv(9) == (b"" if i % 2 else b"bye")
        except ConnectionResetError:
            assert i % 2
        c.close()
    server.close()
    p.wait_sessions(0)


@FAMILIES
def test_data_in_the_hosts_syn(lab, cpe, origin, slow, v6):
    """TCP Fast Open: there is a socket at once, and it is claimed as on any exact listener."""
    p = cpe()
    c = Host(lab, origin.port, v6, data=b"ECHO\nhello")
    assert not c.ended()
    assert c.wait() == ""
    assert kernel.tcp_info(c.socket)["syn_data"]
    assert dialects.receive_exactly(c.socket, 5) == b"hello"
    c.close()
    assert Host(lab, CLOSED_PORT, v6, data=b"ECHO\nhello").wait() == "ECONNREFUSED"
    assert attempts(p) == 2 and counted(p, "confirmed_total") == 1


# The target does not.


@pytest.mark.parametrize("name", ["refused", "no-way", *ICMP])
def test_the_errno_is_that_of_a_direct_connect(lab, cpe, walls, slow, name):  # noqa: F811
    p = cpe()
    to, port = (None, ICMP[name][0]) if name in ICMP else ("198.51.100.200", 80) if name == "no-way" else (None, CLOSED_PORT)
    directly = Host(lab, port, to=to, direct=True).wait()
    assert directly
    assert Host(lab, port, to=to).wait() == directly
    p.wait_sessions(0)
    assert p.stats()["sessions"]["accepted_total"] == 1


@pytest.mark.parametrize("name", ["refused", "no-way", *ICMP6])
def test_the_errno_is_that_of_a_direct_connect_over_ipv6(lab, cpe, walls, slow, name):  # noqa: F811
    cpe()
    to, port = (None, ICMP6[name][0]) if name in ICMP6 else ("2001:db8:ffff::1", 80) if name == "no-way" else (None, CLOSED_PORT)
    directly = Host(lab, port, True, to=to, direct=True).wait()
    assert directly
    assert Host(lab, port, True, to=to).wait() == directly


@FAMILIES
def test_a_silent_target_times_out(lab, cpe, walls, capture, v6):  # noqa: F811
    """Nobody has answered, and nobody does: the host's own patience decides, as directly."""
    p = cpe({"timeouts": {"connect_seconds": 0.2}})
    seen = capture(lab.client, "c0")
    assert Host(lab, SILENT_PORT, v6, direct=True, patience_ms=500).wait() == "ETIMEDOUT"
    c = Host(lab, SILENT_PORT, v6, patience_ms=500)
    assert c.wait() == "ETIMEDOUT"
    p.wait_sessions(0)
    assert counted(p, "refused_total") == {"reset": 0, "icmp": 0, "silent": 1}
    assert seen.count("tcp.flags.syn == 1 && tcp.flags.ack == 1 || tcp.flags.reset == 1 || icmp || icmpv6.type == 1") == 0


def test_a_syn_repeated_after_the_time_out_is_a_new_attempt(lab, cpe, walls, origin):  # noqa: F811
    """As it would be directly: the target may have come up."""
    p = cpe({"timeouts": {"connect_seconds": 0.2}})
    lab.server.nft(f"table inet deaf {{ chain in {{ type filter hook input priority 0; tcp dport {origin.port} drop; }} }}")
    c = Host(lab, origin.port)
    netlab.wait_for(lambda: counted(p, "refused_total", "silent") == 1, 5, "the end of the attempt")
    lab.server.run("nft", "delete", "table", "inet", "deaf")
    assert c.wait() == ""
    c.speak()
    assert len(p.sessions()) == 1


@FAMILIES
def test_a_refused_target_refuses_the_connect(lab, cpe, capture, slow, v6):
    p = cpe()
    seen = capture(lab.client, "c0", f"tcp port {CLOSED_PORT}")
    c = Host(lab, CLOSED_PORT, v6)
    assert not c.ended()
    assert c.wait() == "ECONNREFUSED"
    p.wait_sessions(0)
    assert seen.count(SYN_ACK) == 0
    assert counted(p, "refused_total", "reset") == 1
    assert counted(p, "cancel_errors_total") == 0


def test_a_refused_port_can_be_tried_again_at_once(lab, cpe, origin):
    """From the same port: the kernel has forgotten the request, and the daemon the refusal."""
    p = cpe()
    with lab.client:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((netlab.CLIENT[0], 0))
        port = s.getsockname()[1]
        s.close()
    for _ in range(50):
        with lab.client:
            s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((netlab.CLIENT[0], port))
        s.settimeout(5)
        start = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            s.connect((netlab.SERVER, CLOSED_PORT))
        assert time.monotonic() - start < 0.9, "the SYN had to be repeated"
        s.close()
    assert attempts(p) == 50, "the old request answered"


@pytest.mark.parametrize("v6,expected", [(False, "EHOSTUNREACH"), (True, "EACCES")], ids=["ipv4", "ipv6"])
def test_a_denied_target_is_prohibited(lab, cpe, origin, capture, v6, expected):
    p = cpe({"acl": {"rules": [{"action": "deny", "target": [clients.target(v6)]}]}})
    seen, behind = capture(lab.client, "c0", f"tcp port {origin.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    assert Host(lab, origin.port, v6).wait() == expected
    p.wait_sessions(0)
    assert seen.count(SYN_ACK) == 0 and behind.count("tcp") == 0


def test_a_source_over_its_limit_is_refused(lab, cpe, origin, walls):  # noqa: F811
    p = cpe({"limits": {"sessions_per_source": 1}})
    first = Host(lab, SILENT_PORT)
    exact.wait_held(lab.conc, 1)
    assert Host(lab, origin.port).wait() == "ECONNREFUSED"
    first.close()
    assert attempts(p) == 1 and p.stats()["sessions"]["current"] == 1


# Through a concentrator.


@FAMILIES
def test_through_a_concentrator(access, daemon, home, web, capture, v6):
    """Both are exact: the host learns from the server, over the CPE and the concentrator."""
    far = daemon(listener={"exact": True})
    rules = [exact.Rule(access.conc, [far.port]), exact.Rule(access.cpe, [])]
    access.divert(hybrid.PORT)
    near = daemon(hybrid.via(hybrid.entry(far, v6=v6)), ns=access.cpe, more_listeners=hybrid.transparent(via=True, exact=True))
    try:
        seen, behind = capture(access.cpe, "l0", f"tcp port {web.port}"), capture(access.server, "t1", f"tcp port {web.port}")
        s = home.call(web.port, v6)
        hybrid.ask_echo(s)
        hybrid.exchange(access, s)
        assert times(behind, SYN_ACK)[0] < times(seen, SYN_ACK)[0]
        hybrid.finish(s)
        with pytest.raises(ConnectionRefusedError):
            home.call(CLOSED_PORT, v6)
        far.kill()
        near.wait_sessions(0)
        with pytest.raises(OSError) as e:
            home.call(web.port, v6)
        assert e.value.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED)
        assert near.stats()["via"]["connections_total"] == 3
    finally:
        for r in rules:
            r.remove()


# Hosts that do not wait, packets that get lost.


def test_a_host_that_gives_up(lab, cpe, origin, capture):
    """It resets what comes too late; the target's connection ends within a second or so."""
    p = cpe()
    lab.emulator.set("leg", delay=200)
    c = Host(lab, origin.port)
    exact.wait_held(lab.conc, 1)
    c.close()
    netlab.wait_for(lambda: counted(p, "confirmed_total") == 1, 5, "the target")
    p.wait_sessions(0)
    assert p.stats()["sessions"]["closed_total"]["client_reset"] == 1
    assert counted(p, "entries_current") <= 1  # remembered for a while


def test_a_third_ack_that_does_not_come(lab, cpe, origin):
    p = cpe({"timeouts": {"header_seconds": 0.5}})
    lab.conc.nft('table inet lost { chain in { type filter hook prerouting priority raw - 10; iifname "k0" tcp flags & (syn | ack) == ack drop; } }')
    c = Host(lab, origin.port)
    assert c.wait() == ""  # it has its SYN-ACK
    p.wait_sessions(0)
    assert p.stats()["sessions"]["closed_total"]["handshake_timeout"] == 1
    lab.conc.run("nft", "delete", "table", "inet", "lost")
    with pytest.raises(OSError):  # the request is gone with the session: no second dial
        c.socket.sendall(b"ECHO\n")
        c.socket.recv(1)
    assert attempts(p) == 1


def test_syns_and_syn_acks_repeated_while_it_is_held(lab, cpe, origin, capture):
    p = cpe()
    lab.emulator.set("leg", delay=700)
    seen, behind = capture(lab.client, "c0", f"tcp port {origin.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    c = Host(lab, origin.port)
    assert c.wait() == ""
    lab.emulator.set("leg", delay=0)
    c.speak()
    assert seen.count(SYN) >= 2 and seen.count(SYN_ACK) == 1
    assert counted(p, "packets_total", "duplicate") >= 1
    assert len({row["tcp.srcport"] for row in behind.query(SYN, "tcp.srcport")}) == attempts(p) == 1


def test_a_syn_ack_lost_after_the_release(lab, cpe, origin):
    p = cpe()
    lab.client.nft("table inet lost { chain in { type filter hook input priority 0; tcp flags & (syn | ack) == syn | ack drop; } }")
    c = Host(lab, origin.port)
    netlab.wait_for(lambda: counted(p, "confirmed_total") == 1, 5, "the release")
    lab.client.run("nft", "delete", "table", "inet", "lost")
    assert c.wait() == ""
    c.speak()
    assert attempts(p) == 1 and len(p.sessions()) == 1


# What is not exact.


def test_a_full_table_makes_connections_inexact(lab, cpe, origin, walls):  # noqa: F811
    p = cpe({"exact": {"held_max": 1}})
    first = Host(lab, SILENT_PORT)
    exact.wait_held(lab.conc, 1)
    second = Host(lab, origin.port)
    assert second.wait() == ""
    second.speak()
    assert counted(p, "inexact_total", "table_full") == 1
    first.close()


def test_an_untrusted_source_shows_its_address_first(lab, cpe, origin):
    p = cpe({"clients": {"trusted": []}})
    c = Host(lab, origin.port)
    assert c.wait() == ""
    c.speak()
    assert counted(p, "inexact_total", "untrusted") == 1 and counted(p, "packets_total", "held") == 0


def test_syn_cookies_pass(lab, cpe, origin):
    """No request in the kernel, nothing to wait for."""
    p = cpe()
    lab.conc.sysctl(net__ipv4__tcp_syncookies=2)
    try:
        c = Host(lab, origin.port)
        assert c.wait() == ""
        c.speak()
    finally:
        lab.conc.sysctl(net__ipv4__tcp_syncookies=1)
    assert counted(p, "packets_total", "plain") == 1 and attempts(p) == 1


def test_without_the_rule_all_goes_the_usual_way(lab, cpe, origin):
    p = cpe(rule=False)
    c = Host(lab, origin.port)
    assert c.wait() == ""
    c.speak()
    assert counted(p, "inexact_total", "not_queued") == 1
    netlab.wait_for(lambda: "doctor" in p.log(), 5, "the warning")


def test_an_mptcp_host_is_held_for_a_while_only(lab, cpe, origin, walls):  # noqa: F811
    """A rule of one's own diverts it. The target answers later, and is dialled once all the same; or does not."""
    p = cpe({"exact": {"mptcp_hold_seconds": 0.1}, "timeouts": {"connect_seconds": 1}})
    lab.conc.run("nft", "insert", "rule", "inet", "mpconvert_transparent", "first", "meta l4proto tcp tproxy ip to 127.0.0.1:9002 "
                 "meta mark set 0x6d70 accept")
    lab.emulator.set("leg", delay=300)
    c = Host(lab, origin.port, protocol=MPTCP)
    assert c.wait() == ""
    assert counted(p, "expired_total") == 1 and counted(p, "confirmed_total") == 0
    c.speak()
    assert kernel.is_mptcp(c.socket)
    c.close()
    c = Host(lab, SILENT_PORT, protocol=MPTCP)
    assert c.wait() == ""
    with pytest.raises(ConnectionResetError):
        c.socket.recv(1)
    assert attempts(p) == 2


# The daemon ends.


def test_draining_refuses_in_the_handshake(lab, cpe, origin, slow):
    """What waits is served, what comes is refused."""
    p = cpe({"timeouts": {"drain_seconds": 5}})
    lab.emulator.set("leg", delay=200)
    first = Host(lab, origin.port)
    exact.wait_held(lab.conc, 1)
    p.terminate()
    netlab.wait_for(lambda: p.stats()["state"] == "draining", 5, "draining")
    assert Host(lab, origin.port).wait() == "ECONNREFUSED"
    assert first.wait() == ""
    first.speak()
    first.close()
    netlab.wait_for(lambda: p.process.poll() == 0, 5, "the end")


def test_an_orderly_end_with_syn_acks_held(lab, cpe, walls):  # noqa: F811
    p = cpe({"timeouts": {"drain_seconds": 0}})
    hosts = [Host(lab, SILENT_PORT, patience_ms=300) for _ in range(10)]
    exact.wait_held(lab.conc, 10)
    p.terminate()
    netlab.wait_for(lambda: p.process.poll() == 0, 5, "the end")
    assert exact.held(lab.conc) == 0
    assert {h.wait() for h in hosts} <= {"ETIMEDOUT", "ECONNREFUSED"}


def test_a_killed_daemon_leaves_nothing_stuck(lab, cpe, origin):
    """The kernel drops what it held; the host's next SYN finds no listener and goes the native way."""
    p = cpe()
    lab.emulator.set("leg", delay=400)
    c = Host(lab, origin.port)
    exact.wait_held(lab.conc, 1)
    os.kill(p.process.pid, signal.SIGKILL)
    p.kill()
    assert c.wait() == ""
    c.speak()


def test_reload_keeps_what_is_held_and_makes_listeners_inexact_and_back(lab, cpe, origin, slow):
    p = cpe()
    lab.emulator.set("leg", delay=200)
    listeners = p.config["listeners"]
    c = Host(lab, origin.port)
    exact.wait_held(lab.conc, 1)
    p.reconfigure({"listeners": [listeners[0], {**listeners[1], "exact": False}, listeners[2]]})
    netlab.wait_for(lambda: p.stats()["config"]["reload_success_total"] == 1, 5, "the reload")
    assert c.wait() == ""
    c.speak()
    lab.emulator.set("leg", delay=0)
    start = Host(lab, CLOSED_PORT)
    assert start.wait() in ("", "ECONNRESET")
    p.reconfigure({"listeners": [listeners[2], listeners[1], listeners[0]]})  # their marks change as well
    netlab.wait_for(lambda: p.stats()["config"]["reload_success_total"] == 2, 5, "the reload")
    assert Host(lab, CLOSED_PORT).wait() == Host(lab, CLOSED_PORT, True).wait() == "ECONNREFUSED"


# Many.


def test_two_thousand_connects_pending_at_once(lab, cpe, origin, walls):  # noqa: F811
    p = cpe({"timeouts": {"connect_seconds": 5}, "limits": {"sessions_per_source": 10000, "connects_per_source": 10000}})
    hosts = [Host(lab, SILENT_PORT, v6=bool(i % 2)) for i in range(2000)]
    exact.wait_held(lab.conc, 2000, timeout=8)
    for v6 in (False, True):
        c = Host(lab, origin.port, v6)
        assert c.wait() == ""
        c.speak()
        c.close()
        assert Host(lab, CLOSED_PORT, v6).wait() == "ECONNREFUSED"
    for h in hosts:
        h.close()
    assert attempts(p) == 2004
    p.wait_sessions(0, timeout=20)
    assert exact.held(lab.conc) == 0
