# SPDX-License-Identifier: MIT
"""Exact listeners under fire: forged and hostile SYNs, floods, packets in the queue that are not SYN-ACKs, a queue that
overflows. Nothing of it is fatal, and exact connections go on."""
import secrets
import signal

import pytest

from support import clients, dialects, exact, netlab
from support.clients import CONVERT, MP_CONVERT, MPTCP, TCP
from support.exact import Connect
from support.forged import NOBODY
from test_exact import ask, concentrator, counted, rule, speak  # noqa: F401
from test_refusals import SILENT_PORT, walls  # noqa: F401


def still_exact(lab, p, origin):
    """A connection of an honest client is held and confirmed."""
    before = counted(p, "confirmed_total")
    c = ask(lab, p, MP_CONVERT, origin.port)
    assert c.wait() == ""
    clients.expect_success(c.socket, MP_CONVERT, netlab.SERVER, origin.port)
    speak(c.socket)
    c.abort()
    assert counted(p, "confirmed_total") == before + 1


def requests(origin):
    good = exact.request(MP_CONVERT, netlab.SERVER, origin.port)
    convert = exact.request(CONVERT, netlab.SERVER, origin.port)
    return {
        "one octet": good[:1],
        "the magic": good[:4],
        "all but one octet": good[:-1],
        "half a Convert message": convert[: len(convert) // 2],
        "no dialect": secrets.token_bytes(200),
        "an unknown element": b"\xfa\xa8\xfa\xa8\x7f\x04\x00\x01",
        "elements without end": b"\xfa\xa8\xfa\xa8\x00\x04\x00\x00" * 100,
        "a forbidden target": exact.request(MP_CONVERT, "127.0.0.1", 80),
        "a probe": exact.NO_ANSWER_ELEMENT + b"\xfa\xa8\xfa\xa8\x00\x04\x00\x01",
        "SOCKS5": dialects.socks5_greeting(0) + dialects.socks5_request(netlab.SERVER, origin.port),
        "a Convert message of another version": b"\x02" + convert[1:],
        "HTTP": b"GET / HTTP/1.0\r\n\r\n",
    }


NAMES = list(requests(type("Origin", (), {"port": 1})))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", [TCP, MPTCP], ids=["tcp", "mptcp"])
def test_hostile_requests_are_answered_one_way_or_the_other(lab, concentrator, origin, name, protocol):  # noqa: F811
    """A SYN-ACK, a reset, an ICMP message: no client hangs, and nothing stays held."""
    p = concentrator({"timeouts": {"header_seconds": 1, "socks_header_seconds": 1}})
    c = Connect(lab, p, requests(origin)[name], protocol=protocol)
    c.wait(timeout=5)
    netlab.wait_for(lambda: exact.held(lab.conc) == 0, 5, "the queue to be empty")
    c.abort()
    p.wait_sessions(0, timeout=15)
    assert counted(p, "entries_current") == 0
    still_exact(lab, p, origin)


@pytest.mark.parametrize("mptcp", [False, True], ids=["tcp", "mptcp"])
def test_forged_syns_end_with_their_time(lab, concentrator, origin, walls, forge, mptcp):  # noqa: F811
    """From an address that is trusted, but nobody's: dialled, held, refused, forgotten."""
    p = concentrator({"timeouts": {"connect_seconds": 1}})
    for _ in range(20):
        f = forge(p, mptcp=mptcp)
        f._send(2, exact.request(MP_CONVERT, netlab.SERVER, SILENT_PORT), b"\x02\x04\x05\xb4" + (b"\x1e\x04\x01\x01" if mptcp else b""))
    exact.wait_held(lab.conc, 20)
    still_exact(lab, p, origin)
    netlab.wait_for(lambda: exact.held(lab.conc) == 0, 10, "the deadline of what is held")
    assert counted(p, "refused_total", "icmp") == 20
    p.wait_sessions(0)
    assert counted(p, "entries_current") == 0


def test_a_flood_of_syns_without_data_is_not_held(lab, concentrator, origin, forge):  # noqa: F811
    p = concentrator()
    for _ in range(300):
        f = forge(p)
        f._send(2, options=b"\x02\x04\x05\xb4")
    still_exact(lab, p, origin)
    assert counted(p, "packets_total", "plain") >= 300
    assert counted(p, "packets_total", "held") <= 1  # the honest one, if it was read before its target had accepted
    assert exact.held(lab.conc) == 0


def test_a_flood_beyond_the_table(lab, concentrator, origin, walls, forge):  # noqa: F811
    """More than may be held: the rest is served in the usual way, and its own time ends it."""
    p = concentrator({"exact": {"held_max": 16}, "timeouts": {"connect_seconds": 1}})
    for _ in range(64):
        f = forge(p)
        f._send(2, exact.request(MP_CONVERT, netlab.SERVER, SILENT_PORT), b"\x02\x04\x05\xb4")
    netlab.wait_for(lambda: p.stats()["sessions"]["accepted_total"] == 64, 5, "all to be accepted")
    assert counted(p, "entries_current") <= 16
    netlab.wait_for(lambda: exact.held(lab.conc) == 0, 10, "the deadline of what is held")
    netlab.wait_for(lambda: counted(p, "entries_current") == 0, 20, "the table to be empty")
    still_exact(lab, p, origin)


def test_whatever_else_is_queued_passes(lab, concentrator, proxy, origin):  # noqa: F811
    """A rule that sends every packet of the namespace to the queue: slow, and nothing breaks."""
    p = proxy(listener={"exact": True})
    everything = ["-j", "NFQUEUE", "--queue-balance", f"{exact.QUEUE}:{exact.QUEUE + 1}", "--queue-bypass"]
    for command in ("iptables-legacy", "ip6tables-legacy"):
        lab.conc.run("env", "XTABLES_LOCKFILE=/tmp/mpconvert-test-everything.lock", command, "-w", "-A", "OUTPUT", *everything)
    try:
        for v6 in (False, True):
            for protocol in (TCP, MPTCP):
                c = ask(lab, p, MP_CONVERT, origin.port, v6=v6, protocol=protocol)
                assert c.wait() == ""
                clients.expect_success(c.socket, MP_CONVERT, clients.target(v6), origin.port)
                c.socket.sendall(b"SOURCE 300000 7\n")
                assert dialects.receive_exactly(c.socket, 300000) == dialects.stream(lab, 300000, 7)
                c.abort()
        assert counted(p, "confirmed_total") == 4
        assert counted(p, "packets_total", "foreign") > 100
    finally:
        for command in ("iptables-legacy", "ip6tables-legacy"):
            lab.conc.run("env", "XTABLES_LOCKFILE=/tmp/mpconvert-test-everything.lock", command, "-w", "-D", "OUTPUT", *everything)


def test_an_overflowing_queue_lets_pass_and_recovers(lab, concentrator, origin):  # noqa: F811
    """The daemon stands still, and more SYN-ACKs come than queue and socket take."""
    p = concentrator({"exact": {"held_max": 1}, "workers": 1})
    p.process.send_signal(signal.SIGSTOP)
    asked = []
    try:
        for _ in range(1500):
            asked.append(ask(lab, p, MP_CONVERT, origin.port, protocol=TCP))
    finally:
        p.process.send_signal(signal.SIGCONT)
    for c in asked:
        assert c.wait() == ""
        c.abort()
    p.wait_sessions(0, timeout=20)
    assert exact.held(lab.conc) == 0
    still_exact(lab, p, origin)


@pytest.mark.alone  # a machine that is busy for seconds lets some go
def test_two_thousand_connects_pending_at_once(lab, concentrator, origin, walls):  # noqa: F811
    """Each is held, each gets its own outcome, and others are exact beside them."""
    p = concentrator({"limits": {"connects_per_source": 4096, "sessions_per_source": 4096}, "timeouts": {"connect_seconds": 8},
                      "exact": {"mptcp_hold_seconds": 20}})
    asked = [ask(lab, p, MP_CONVERT, SILENT_PORT, protocol=(TCP, MPTCP)[i % 2]) for i in range(2000)]
    exact.wait_held(lab.conc, 2000, timeout=20)
    for _ in range(20):
        still_exact(lab, p, origin)
    assert [c.wait() for c in asked] == ["EHOSTUNREACH"] * 2000
    assert exact.held(lab.conc) == 0
    p.wait_sessions(0)
    assert counted(p, "entries_current") == 0
    for c in asked:
        c.socket.close()
