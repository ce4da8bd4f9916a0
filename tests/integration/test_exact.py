# SPDX-License-Identifier: MIT
"""Exact listeners: the client's SYN is answered when the target has accepted, as RFC 8803 s4 and draft -10 s6.2 want it;
docs/exact-connect.md. Judged by packets, SO_ERROR and MPTCP_INFO."""
import os
import signal
import socket
import subprocess
import time

import pytest

from support import clients, dialects, exact, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, MPTCP, TCP
from support.exact import SYN_ACK, Connect
from test_refusals import CLOSED_PORT, ICMP, ICMP6, SILENT_PORT, walls  # noqa: F401

DIALECTS = pytest.mark.parametrize("dialect", [MP_CONVERT, CONVERT])
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
TRANSPORTS = pytest.mark.parametrize("protocol", [TCP, MPTCP], ids=["tcp", "mptcp"])
SLOW_MS = 100  # to the server and back
RECOVERY_S = 0.3


@pytest.fixture
def rule(lab):
    """rule(proxy, ...): its SYN-ACKs are queued until the end of the test."""
    made = []

    def start(p, workers=2, more=()):
        made.append(exact.Rule(lab.conc, [p.port, *more], workers))
        return made[-1]

    yield start
    for r in made:
        r.remove()


@pytest.fixture
def concentrator(proxy, rule):
    """concentrator(changes, ...): with an exact listener and its rule."""

    def start(changes=None, listener=None, **how):
        p = proxy(changes, listener={"exact": True, **(listener or {})}, **how)
        rule(p, workers=(changes or {}).get("workers", 2))
        return p

    return start


@pytest.fixture
def slow(lab):
    lab.emulator.set("leg", delay=SLOW_MS // 2)


def ask(lab, p, dialect, port, host=None, no_answer=False, **how):
    return Connect(lab, p, exact.request(dialect, host or clients.target(how.get("v6", False)), port, no_answer), **how)


def times(seen, display_filter):
    return [float(row["frame.time_epoch"]) for row in seen.query(display_filter, "frame.time_epoch")]


def counted(p, *path):
    value = p.stats()["exact"]
    for key in path:
        value = value[key]
    return value


def reloads(p):
    return p.stats()["config"]["reload_success_total"]


def speak(sock, octets=b"ECHO\nhello"):
    """An exchange with the test server behind an open connection."""
    sock.sendall(octets)
    assert dialects.receive_exactly(sock, 5) == b"hello"


@DIALECTS
@FAMILIES
@TRANSPORTS
def test_the_syn_ack_waits_for_the_server(lab, concentrator, origin, capture, slow, dialect, v6, protocol):
    p = concentrator()
    seen, behind = capture(lab.conc, "k0", f"tcp port {p.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    c = ask(lab, p, dialect, origin.port, v6=v6, protocol=protocol)
    assert not c.ended(), "connected before the server was"
    assert c.wait() == ""
    assert kernel.is_mptcp(c.socket) == (protocol == MPTCP)
    assert kernel.tcp_info(c.socket)["syn_data"]
    clients.expect_success(c.socket, dialect, clients.target(v6), origin.port)
    speak(c.socket)
    ours, theirs = times(seen, SYN_ACK), times(behind, SYN_ACK)
    syn = times(seen, "tcp.flags.syn == 1 && tcp.flags.ack == 0")
    assert len(ours) == len(theirs) == len(syn) == 1, "one SYN, one answer each"
    assert syn[0] < theirs[0] < ours[0]
    assert ours[0] - syn[0] >= SLOW_MS / 1000
    assert counted(p, "confirmed_total") == 1 and counted(p, "packets_total", "held") == 1


@DIALECTS
@FAMILIES
@TRANSPORTS
def test_a_refused_target_refuses_the_connect(lab, concentrator, capture, slow, dialect, v6, protocol):
    p = concentrator()
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    c = ask(lab, p, dialect, CLOSED_PORT, v6=v6, protocol=protocol)
    assert not c.ended()
    assert c.wait() == "ECONNREFUSED"
    assert seen.count(SYN_ACK) == 0, "there was an answer"
    assert seen.count(f"tcp.srcport == {p.port} && tcp.flags.reset == 1") >= 1
    p.wait_sessions(0)
    assert counted(p, "refused_total", "reset") == 1


@TRANSPORTS
@pytest.mark.parametrize("name", ICMP)
def test_what_icmp_said_is_passed_on(lab, concentrator, walls, protocol, name):  # noqa: F811
    port, _, code = ICMP[name]
    expected = {0: "ENETUNREACH", 9: "ENETUNREACH", 3: "ECONNREFUSED"}.get(code, "EHOSTUNREACH")
    c = ask(lab, concentrator(), MP_CONVERT, port, protocol=protocol)
    assert c.wait() in (expected, "ENOPROTOOPT" if code == 2 else expected)


@TRANSPORTS
@pytest.mark.parametrize("name,expected", [("no-route", "ENETUNREACH"), ("admin-prohibited", "EACCES")])
def test_what_icmp6_said_is_passed_on(lab, concentrator, walls, protocol, name, expected):  # noqa: F811
    c = ask(lab, concentrator(), MP_CONVERT, ICMP6[name][0], v6=True, protocol=protocol)
    assert c.wait() == expected


@DIALECTS
@TRANSPORTS
@pytest.mark.parametrize("v6,expected", [(False, "EHOSTUNREACH"), (True, "EACCES")], ids=["ipv4", "ipv6"])
def test_a_denied_target_is_prohibited(lab, concentrator, origin, capture, dialect, v6, expected, protocol):
    p = concentrator({"acl": {"rules": [{"action": "deny", "target": [clients.target(v6)]}]}})
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    c = ask(lab, p, dialect, origin.port, v6=v6, protocol=protocol)
    assert c.wait() == expected
    assert seen.count(SYN_ACK) == 0
    assert counted(p, "refused_total", "icmp") == 1


@TRANSPORTS
def test_a_silent_target_is_unreachable(lab, concentrator, walls, protocol):  # noqa: F811
    c = ask(lab, concentrator({"timeouts": {"connect_seconds": 1}}), MP_CONVERT, SILENT_PORT, protocol=protocol)
    assert c.wait() == "EHOSTUNREACH"


@DIALECTS
@FAMILIES
@TRANSPORTS
def test_who_wants_no_answer_gets_none(lab, concentrator, origin, dialect, v6, protocol):
    p = concentrator()
    c = ask(lab, p, dialect, origin.port, no_answer=True, v6=v6, protocol=protocol)
    assert c.wait() == ""
    speak(c.socket)


@DIALECTS
@TRANSPORTS
def test_a_server_that_speaks_first_is_heard_first(lab, concentrator, origin, dialect, protocol):
    p = concentrator()
    c = Connect(lab, p, exact.request(dialect, netlab.SERVER, origin.port, no_answer=True) + b"SOURCE 70000 1\n", protocol=protocol)
    assert c.wait() == ""
    assert dialects.receive_exactly(c.socket, 70000) == dialects.stream(lab, 70000, 1)


@DIALECTS
def test_a_program_may_leave_before_the_answer(lab, concentrator, origin, slow, dialect):
    p = concentrator()
    c = ask(lab, p, dialect, origin.port)
    netlab.wait_for(lambda: counted(p, "connections_total") == 1, 5, "the connection")
    c.abort()
    p.wait_sessions(0)
    assert exact.held(lab.conc) == 0
    again = ask(lab, p, dialect, origin.port)
    assert again.wait() == ""


def test_plain_connections_pass_at_once(lab, concentrator, origin):
    """No data in the SYN: its answer cannot wait for a request that is still to come."""
    p = concentrator()
    for protocol in (TCP, MPTCP):
        for dialect in clients.DIALECTS:
            s = clients.session(lab, p, dialect, origin.port, protocol=protocol)
            speak(s)
            assert kernel.is_mptcp(s) == (protocol == MPTCP)
            s.close()
    assert counted(p, "packets_total", "plain") == 6
    assert counted(p, "inexact_total", "no_syn_data") == 6
    assert counted(p, "packets_total", "held") == 0


def test_further_subflows_are_not_held(lab, concentrator, origin):
    p = concentrator()
    before = lab.conc.counters()["MPTcpExtMPJoinAckRx"]  # of the namespace: other tests' as well
    lab.use_both_paths()
    c = ask(lab, p, MP_CONVERT, origin.port, no_answer=True, link=1)
    assert c.wait() == ""
    speak(c.socket)
    netlab.wait_for(lambda: lab.conc.counters()["MPTcpExtMPJoinAckRx"] == before + 1, 5, "the second subflow")
    assert (kernel.mptcp_info(c.socket) or {})["subflows"] == 1
    netlab.wait_for(lambda: counted(p, "packets_total", "join") == 1, 5, "the count")  # it is told after the packet has gone


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_other_listeners_pass_the_queue_untouched(lab, proxy, rule, origin, slow, dialect):
    """A rule that catches too much does no harm."""
    p = proxy(listener={"exact": True})
    other = lab.conc.free_port()
    p.reconfigure({"listeners": [*p.config["listeners"], {"name": "other", "address": f"[::]:{other}"}]})
    netlab.wait_for(lambda: lab.conc.listening(other), 5, "the second listener")
    rule(p, more=[other])
    p.port = other
    s = clients.session(lab, p, dialect, origin.port, fastopen=True)
    speak(s)
    assert counted(p, "packets_total", "foreign") == 1 and counted(p, "connections_total") == 0


@pytest.mark.parametrize("mine", [True, False], ids=["specific", "wildcard"])
def test_another_address_with_the_same_port_is_not_held(lab, proxy, rule, origin, mine):
    """Exactness is a listener's, not a port's: nobody would claim what was held for another one."""
    p = proxy(listener={"exact": True}, changes={"workers": 2})
    first = p.config["listeners"][0]
    specific, wildcard = f"{netlab.CONC_LINK[0]}:{p.port}", f"[::]:{p.port}"
    p.reconfigure({"listeners": [{**first, "address": wildcard, "exact": mine},
                                 {"name": "other", "address": specific, "exact": not mine}]})
    netlab.wait_for(lambda: reloads(p) == 1, 5, "the reload")
    rule(p)
    start = time.monotonic()
    for _ in range(8):
        c = ask(lab, p, MP_CONVERT, origin.port)
        assert c.wait() == ""
        clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
        c.socket.close()
    assert time.monotonic() - start < 2, "held until the orphans' time was up"
    assert counted(p, "packets_total", "foreign") == (8 if mine else 0)
    assert counted(p, "confirmed_total") == (0 if mine else 8)


@DIALECTS
def test_without_the_rule_all_goes_the_usual_way(lab, proxy, origin, slow, dialect):
    p = proxy(listener={"exact": True})
    c = ask(lab, p, dialect, origin.port)
    assert c.wait() == ""
    clients.expect_success(c.socket, dialect, netlab.SERVER, origin.port)
    speak(c.socket)
    c = ask(lab, p, dialect, CLOSED_PORT)
    assert c.wait() == ""
    assert clients.failure(c.socket, dialect) in (clients.RESET, (96, 0))
    assert counted(p, "inexact_total", "not_queued") == 2


@pytest.mark.parametrize("port", ["served", "refused"])
def test_a_missing_rule_is_told_in_the_log_once(lab, proxy, origin, port):
    """Also when the target accepts before the client's third ACK comes."""
    p = proxy(listener={"exact": True, "name": "way-in"})
    lab.emulator.set("path1", delay=50)
    for _ in range(5):
        c = ask(lab, p, MP_CONVERT, origin.port if port == "served" else CLOSED_PORT, link=1)
        ended = c.wait()
        assert ended == "" or (port == "refused" and ended == "ECONNRESET"), "it was connected, and then reset"
        if port == "served":
            clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
        c.abort()
    p.wait_sessions(0)
    assert counted(p, "inexact_total", "not_queued") == 5
    told = [line for line in p.log().splitlines() if "way-in" in line and "8803" in line]
    assert len(told) == 1 and "SYN-ACK" in told[0] and "8804" in told[0]


def test_with_the_rule_nothing_is_missed(lab, concentrator, origin):
    p = concentrator()
    for port in (origin.port, CLOSED_PORT) * 10:
        c = ask(lab, p, MP_CONVERT, port)
        c.wait()
        c.abort()
    p.wait_sessions(0)
    assert counted(p, "inexact_total", "not_queued") == 0
    assert "SYN-ACK" not in p.log()


@DIALECTS
@TRANSPORTS
def test_an_untrusted_source_shows_its_address_first(lab, concentrator, origin, slow, dialect, protocol):
    p = concentrator({"clients": {"trusted": []}})
    c = ask(lab, p, dialect, origin.port, protocol=protocol)
    assert c.wait() == ""
    clients.expect_success(c.socket, dialect, netlab.SERVER, origin.port)
    speak(c.socket)
    assert counted(p, "inexact_total", "untrusted") == 1


def test_a_full_table_makes_connections_inexact(lab, concentrator, origin, slow):
    p = concentrator({"exact": {"held_max": 1}})
    first = ask(lab, p, MP_CONVERT, origin.port)
    exact.wait_held(lab.conc, 1)
    second = ask(lab, p, MP_CONVERT, origin.port)
    for c in (second, first):
        assert c.wait() == ""
        clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
    assert sum(counted(p, "inexact_total").values()) == 1


def test_a_repeated_syn_gets_no_second_answer(lab, concentrator, origin, capture):
    """The client's kernel repeats its SYN after a second, ours repeats its SYN-ACK."""
    p = concentrator()
    lab.emulator.set("leg", delay=700)
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    c = ask(lab, p, MP_CONVERT, origin.port, no_answer=True)
    assert c.wait() == ""
    assert kernel.is_mptcp(c.socket)
    speak(c.socket)
    assert seen.count("tcp.flags.syn == 1 && tcp.flags.ack == 0") >= 2
    assert seen.count(SYN_ACK) == 1
    assert counted(p, "packets_total", "duplicate") >= 1


def test_mptcp_is_let_go_before_the_client_gives_it_up(lab, concentrator, walls):  # noqa: F811
    """At its third SYN, after three seconds, a client stops using MPTCP, for an hour if the concentrator then answers."""
    lab.client.sysctl(net__mptcp__blackhole_timeout=3600)
    p = concentrator({"timeouts": {"connect_seconds": 5}})
    before = lab.client.counters()
    c = ask(lab, p, MP_CONVERT, SILENT_PORT)
    assert c.wait() == ""
    assert kernel.is_mptcp(c.socket)
    assert counted(p, "expired_total") == 1
    with pytest.raises(ConnectionResetError):
        c.socket.recv(1)
    after = lab.client.counters()
    assert after.get("MPTcpExtBlackhole", 0) == before.get("MPTcpExtBlackhole", 0)


@TRANSPORTS
@pytest.mark.parametrize("what", ["synstrip", "syndrop"])
def test_syn_data_lost_on_the_way(lab, concentrator, origin, slow, what, protocol):
    """The client's kernel sends the request again, behind the handshake: the connection is not exact, and works."""
    p = concentrator()
    lab.emulator.set("path1", **{what: 1})
    c = ask(lab, p, MP_CONVERT, origin.port, link=1, protocol=protocol)
    assert c.wait() == ""
    clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
    speak(c.socket)
    assert counted(p, "inexact_total", "no_syn_data") == 1


def test_syn_cookies(lab, concentrator, origin, slow):
    lab.conc.sysctl(net__ipv4__tcp_syncookies=2)
    try:
        p = concentrator()
        c = ask(lab, p, MP_CONVERT, origin.port, protocol=TCP)
        assert c.wait() == ""
        clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
        speak(c.socket)
    finally:
        lab.conc.sysctl(net__ipv4__tcp_syncookies=1)


def test_a_full_fast_open_queue(lab, concentrator, origin):
    """What the kernel does not take from the SYN goes on the usual way."""
    lab.emulator.set("leg", delay=200)
    p = concentrator({"workers": 1}, listener={"backlog": 2})
    asked = [ask(lab, p, MP_CONVERT, origin.port) for _ in range(8)]
    for c in asked:
        assert c.wait() == ""
        clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
        speak(c.socket)
        c.socket.close()
    assert counted(p, "confirmed_total") + counted(p, "inexact_total", "no_syn_data") == 8
    assert counted(p, "inexact_total", "no_syn_data") >= 1


@DIALECTS
def test_several_workers_share_the_work(lab, concentrator, origin, slow, dialect):
    p = concentrator({"workers": 3})
    asked = [ask(lab, p, dialect, origin.port, protocol=(TCP, MPTCP)[i % 2]) for i in range(60)]
    exact.wait_held(lab.conc, 60)
    for c in asked:
        assert c.wait() == ""
        clients.expect_success(c.socket, dialect, netlab.SERVER, origin.port)
        c.socket.close()
    assert counted(p, "confirmed_total") == 60
    assert exact.held(lab.conc) == 0


@TRANSPORTS
def test_a_killed_daemon_leaves_nothing_stuck(lab, concentrator, proxy, program, origin, slow, protocol):
    p = concentrator()
    asked = [ask(lab, p, MP_CONVERT, SILENT_PORT if i % 2 else origin.port, protocol=protocol) for i in range(4)]
    exact.wait_held(lab.conc, 4)
    p.process.kill()
    p.process.wait()
    assert exact.packets(lab.conc) == {}, "the kernel keeps packets for nobody"
    again = subprocess.Popen(p.ns.command(program, "--config", p.config_path), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        netlab.wait_for(lambda: lab.conc.listening(p.port), 5, "the successor")
        fresh = ask(lab, p, MP_CONVERT, origin.port, protocol=protocol)
        assert fresh.wait() == ""
        clients.expect_success(fresh.socket, MP_CONVERT, netlab.SERVER, origin.port)
        for c in asked:
            c.wait(timeout=30)  # a connection or an error; no hang
    finally:
        again.send_signal(signal.SIGTERM)
        assert again.wait(15) == 0
        p.process.returncode = 0


def test_an_orderly_end_with_syn_acks_held(lab, concentrator, walls):  # noqa: F811
    p = concentrator()
    asked = [ask(lab, p, MP_CONVERT, SILENT_PORT, protocol=protocol) for protocol in (TCP, MPTCP)]
    exact.wait_held(lab.conc, 2)
    p.stop()
    for c in asked:
        assert c.wait() == "ECONNREFUSED"


def test_draining_refuses_in_the_handshake(lab, concentrator, origin, walls):  # noqa: F811
    p = concentrator({"timeouts": {"drain_seconds": 5}})
    live = ask(lab, p, MP_CONVERT, origin.port)
    assert live.wait() == ""
    p.terminate()
    netlab.wait_for(lambda: ask(lab, p, MP_CONVERT, origin.port).wait() == "ECONNREFUSED", 3, "the drain")
    clients.expect_success(live.socket, MP_CONVERT, netlab.SERVER, origin.port)
    speak(live.socket)
    live.abort()


def test_reload_keeps_what_is_held(lab, concentrator, origin):
    lab.emulator.set("leg", delay=300)
    p = concentrator()
    c = ask(lab, p, MP_CONVERT, origin.port)
    exact.wait_held(lab.conc, 1)
    p.reconfigure({"exact": {"mptcp_hold_seconds": 2}})
    netlab.wait_for(lambda: reloads(p) == 1, 5, "the reload")
    assert exact.held(lab.conc) == 1
    assert c.wait() == ""
    clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)


def test_reload_makes_a_listener_inexact_and_back(lab, concentrator, origin, slow):
    p = concentrator()
    listener = p.config["listeners"][0]
    for n, exactly in enumerate((False, True, False), 1):
        p.reconfigure({"listeners": [{**listener, "exact": exactly}]})
        netlab.wait_for(lambda: reloads(p) == n, 5, "the reload")
        assert p.stats()["listeners"][0]["exact"] == exactly
        before = counted(p, "confirmed_total")
        c = ask(lab, p, MP_CONVERT, origin.port)
        assert c.wait() == ""
        clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
        assert counted(p, "confirmed_total") == before + exactly


def test_reload_cannot_bring_the_first_exact_listener(lab, proxy, rule, origin):
    """Its privilege was given up at the start; the daemon says so and goes on."""
    p = proxy()
    rule(p)
    p.reconfigure({"listeners": [{**p.config["listeners"][0], "exact": True}]})
    netlab.wait_for(lambda: p.stats()["config"]["reload_failure_total"] == 1, 5, "the reload to fail")
    netlab.wait_for(lambda: "CAP_NET_ADMIN" in p.log(), 5, "the reason in the log")
    c = ask(lab, p, MP_CONVERT, origin.port)
    assert c.wait() == ""
    clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)


def test_octets_written_before_the_third_ack_arrive(lab, concentrator, origin, slow):
    """Trap T1: every exact connection is accepted by Fast Open, and its answer is ready before the client's third ACK."""
    p = concentrator()
    for dialect in (MP_CONVERT, CONVERT):
        c = Connect(lab, p, exact.request(dialect, netlab.SERVER, origin.port) + b"ECHO\nhello", link=1)
        assert c.wait() == ""
        clients.expect_success(c.socket, dialect, netlab.SERVER, origin.port)
        assert dialects.receive_exactly(c.socket, 5) == b"hello"


def test_without_the_privilege_it_does_not_start(lab, program, tmp_path):
    port = lab.conc.free_port()
    (tmp_path / "c.json").write_text('{"listeners": [{"name": "x", "address": "[::]:%d", "exact": true}], "stats": {"address": null}}'
                                     % port)
    os.chmod(tmp_path, 0o755)
    done = subprocess.run(lab.conc.command("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", program, "--config",
                                           tmp_path / "c.json"), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "CAP_NET_ADMIN" in done.stderr and "8803" in done.stderr


def test_the_gap_between_two_exact_connects_is_no_leak(lab, concentrator, origin, walls):  # noqa: F811
    p = concentrator({"timeouts": {"connect_seconds": 1}})
    p.stats()
    before = p.open_fds()
    for port in (origin.port, CLOSED_PORT, SILENT_PORT) * 10:
        c = ask(lab, p, MP_CONVERT, port, protocol=TCP)
        if port != SILENT_PORT:
            c.wait()
        c.abort()
    p.wait_sessions(0)
    assert exact.held(lab.conc) == 0
    assert counted(p, "held_current") == 0 and counted(p, "entries_current") == 0
    netlab.wait_for(lambda: p.open_fds() <= before, 5, "descriptors to be closed")
