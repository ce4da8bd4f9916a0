# SPDX-License-Identifier: MIT
"""What a daemon learns of its concentrators, and what it does with that: exact listeners, silent ones, those that are none, one for
some targets only, one on the path, servers that need none."""
import contextlib
import socket
import struct
import threading

import pytest

from support import clients, dialects, exact, kernel, netlab
from support.clients import TCP
from test_on_path import ASK, on_path  # noqa: F401
from test_refusals import CLOSED_PORT
from test_via import FAMILIES, ask, concentrator, cpe, via  # noqa: F401

SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0 && !(tcp.options.mptcp.subtype == 1)"


@pytest.fixture
def rule(lab):
    """rule(proxy): its SYN-ACKs are queued until the end of the test, or remove()."""
    made = []

    def start(p, workers=2):
        made.append(exact.Rule(lab.conc, [p.port], workers))
        return made[-1]

    yield start
    for r in made:
        r.remove()


class Stub:
    """Listens where a concentrator should, takes SYN data, and gives each connection to `behave`."""

    def __init__(self, lab, behave, ns=None, protocol=TCP):  # MPTCP would need the cure of trap T1
        self.ns, self.port, self.seen = ns or lab.conc, (ns or lab.conc).free_port(), []
        self._listener = self.ns.open_socket(socket.AF_INET6, protocol)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setsockopt(socket.IPPROTO_TCP, 23, 64)  # TCP_FASTOPEN
        self._listener.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
        self._listener.bind(("::", self.port))
        self._listener.listen(64)
        self._listener.settimeout(None)
        self._behave, self._open = behave, []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self._listener.accept()
                self._open.append(s)
                threading.Thread(target=self._one, args=(s,), daemon=True).start()

    def _one(self, s):
        s.settimeout(10)
        with contextlib.suppress(OSError):
            first = s.recv(1500)
            self.seen.append(first)
            self._behave(s, first)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for s in [self._listener, *self._open]:
            s.close()


@pytest.fixture
def stub(lab):
    made = []

    def start(behave, **how):
        made.append(Stub(lab, behave, **how))
        return made[-1]

    yield start
    for s in made:
        s.close()


def states(near):
    return near.stats()["via"]["concentrators"]


def wait_known(near, which=0, **members):
    """Until /v1/stats tells so of a concentrator."""
    netlab.wait_for(lambda: members.items() <= states(near)[which].items(), 10, f"{members} of concentrator {which}")


def abort(s, _=b""):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# ---- exact listeners ----


def exact_pair(proxy, cpe, rule, dialect="mp_convert", v6=False):  # noqa: F811
    far = proxy(**exact.exact())
    rule(far)
    near = cpe(via(concentrator(far, dialect, v6), probe=True))
    wait_known(near, exact="yes", proven=True)
    return far, near


@FAMILIES
@pytest.mark.parametrize("dialect", ["mp_convert", "convert"])
def test_an_exact_listener_is_recognised_and_asked_for_no_answer(lab, proxy, cpe, rule, origin, capture, dialect, v6):  # noqa: F811
    far, near = exact_pair(proxy, cpe, rule, dialect, v6)
    seen = capture(lab.conc, "k1", f"tcp port {far.port}")
    s, reply = ask(lab, near, clients.target(v6), origin.port)
    assert reply == 0
    s.sendall(b"ECHO\nfirst octets")
    assert dialects.receive_exactly(s, 12) == b"first octets"
    s.close()
    assert near.stats()["via"]["exact_total"] == 1 and far.stats()["exact"]["confirmed_total"] == 1
    syn = seen.query(SYN, "tcp.payload")
    assert len(syn) == 1, "there is no need to ask twice"
    marker = "faa8faa8f304" if dialect == "mp_convert" else "c0010000"
    assert marker in syn[0]["tcp.payload"].replace(":", "")


@pytest.mark.parametrize("dialect", ["mp_convert", "convert"])
def test_a_refused_syn_of_an_exact_listener_is_the_targets(lab, proxy, cpe, rule, dialect):  # noqa: F811
    far, near = exact_pair(proxy, cpe, rule, dialect)
    _, reply = ask(lab, near, netlab.SERVER, CLOSED_PORT)
    assert reply == 5
    assert far.stats()["exact"]["refused_total"]["reset"] == 1
    assert states(near)[0]["state"] == "healthy" and near.stats()["via"]["concentrator_failures_total"] == 0


def test_a_slow_target_behind_an_exact_listener_is_waited_for(lab, proxy, cpe, rule, origin):  # noqa: F811
    """Its SYN-ACK is held for longer than a silent concentrator is given."""
    far, near = exact_pair(proxy, cpe, rule)
    second = proxy()
    near.reconfigure({"via": {"concentrators": [concentrator(far, priority=0), concentrator(second, priority=1)]}})
    netlab.wait_for(lambda: len(states(near)) == 2, 5, "the reload")
    wait_known(near, exact="yes", proven=True)
    wait_known(near, 1, proven=True)
    before = second.stats()["sessions"]["accepted_total"]
    lab.emulator.set("leg", dropsyn=1)  # towards the server: the second SYN, a second later, arrives
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 0
    s.close()
    assert near.stats()["via"]["raced_total"] == 0
    assert second.stats()["sessions"]["accepted_total"] == before, "nobody else was asked"


def test_a_dead_exact_concentrator_is_not_a_target_that_refuses(lab, proxy, cpe, rule, origin):  # noqa: F811
    far, near = exact_pair(proxy, cpe, rule)
    second = proxy()
    near.reconfigure({"via": {"concentrators": [concentrator(far, priority=0), concentrator(second, priority=1)]}})
    netlab.wait_for(lambda: len(states(near)) == 2, 5, "the reload")
    wait_known(near, exact="yes", proven=True)
    far.kill()
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 0, "the second one serves it"
    s.close()
    assert states(near)[0]["state"] == "backing_off"


def test_without_probes_auto_is_no(lab, proxy, cpe, rule, origin):  # noqa: F811
    far = proxy(**exact.exact())
    rule(far)
    near = cpe(via(concentrator(far)))
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 0
    s.close()
    assert near.stats()["via"]["exact_total"] == 0
    assert near.stats()["via"]["probes_total"] == 0


def test_exact_by_configuration(lab, proxy, cpe, rule, origin):  # noqa: F811
    far = proxy(**exact.exact())
    rule(far)
    near = cpe(via(concentrator(far, exact="on")))
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0
    assert ask(lab, near, netlab.SERVER, CLOSED_PORT)[1] == 5
    assert near.stats()["via"]["exact_total"] == 1


# ---- silence ----


@FAMILIES
def test_a_silent_concentrator_costs_less_than_a_second(lab, proxy, cpe, origin, capture, v6):  # noqa: F811
    """Its SYN is not repeated before the next one is asked, and the next connection does not wait at all."""
    silent, far = lab.conc.free_port(), proxy()
    lab.conc.nft(f"table inet silence {{ chain c {{ type filter hook input priority 0; tcp dport {silent} drop; }} }}")
    try:
        host = f"[{netlab.CONC6}]" if v6 else netlab.CONC
        near = cpe(via({"address": f"{host}:{silent}", "priority": 0}, concentrator(far, v6=v6)))
        seen = capture(lab.client, "c1", "tcp")
        for _ in range(3):
            s, reply = ask(lab, near, clients.target(v6), origin.port)
            assert reply == 0
            s.close()
        ports = [row["tcp.dstport"] for row in seen.query(SYN, "tcp.dstport")]
        assert ports[0] == str(silent) and ports[1] == str(far.port), "it waited until the SYN was repeated"
        assert near.stats()["via"]["raced_total"] in (1, 2)
        assert far.stats()["sessions"]["accepted_total"] == 3
    finally:
        lab.conc.nft("delete table inet silence")


def test_nobody_is_raced_while_a_slow_target_is_dialled(lab, proxy, cpe, capture):  # noqa: F811
    """The concentrator acknowledged the SYN: the target may be under way, and is not dialled twice."""
    far, second = proxy(), proxy()
    near = cpe({**via(concentrator(far, priority=0), concentrator(second)), "timeouts": {"connect_seconds": 2}})
    lab.emulator.set("leg", cut=1)
    _, reply = ask(lab, near, netlab.SERVER, 7)
    assert reply == 6
    assert second.stats()["sessions"]["accepted_total"] == 0
    assert near.stats()["via"]["raced_total"] == 0


# ---- those that are none ----

ANSWERS = {
    "another_dialect": lambda s, first: s.sendall(b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0"),
    "endless": lambda s, first: [s.sendall(b"x" * 4096) for _ in range(1000)],
    "half_an_echo_then_rubbish": lambda s, first: s.sendall(first[: len(first) // 2] + b"?" * 32),
    "http": lambda s, first: s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "one_octet": lambda s, first: s.sendall(b"\0"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_foreign_answer_lists_it(lab, proxy, cpe, stub, origin, what):  # noqa: F811
    """K4 a: at the first connection; the others do not try it (K6)."""
    odd, far = stub(ANSWERS[what]), proxy()
    near = cpe(via({"address": f"{netlab.CONC}:{odd.port}", "priority": 0}, concentrator(far), relearn_seconds=60))
    for _ in range(3):
        s, reply = ask(lab, near, netlab.SERVER, origin.port)
        assert reply == 0
        s.close()
    assert states(near)[0]["state"] == "listed" and len(odd.seen) == 1
    assert near.stats()["via"]["listed_total"] == 1


def test_listed_until_the_time_is_over(lab, cpe, stub, origin, proxy):  # noqa: F811
    odd, far = stub(ANSWERS["http"]), proxy()
    near = cpe(via({"address": f"{netlab.CONC}:{odd.port}", "priority": 0}, concentrator(far), relearn_seconds=1))
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0

    def asked_again():
        assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0
        return len(odd.seen) >= 2

    netlab.wait_for(asked_again, 10, "another attempt", interval=0.1)


def test_three_silent_ends_list_one_that_never_answered(lab, proxy, cpe, stub):  # noqa: F811
    """K4 c: for different targets, and neither of the two questions is answered."""
    odd = stub(abort)
    near = cpe(via({"address": f"{netlab.CONC}:{odd.port}"}))
    for port in (7001, 7001, 7002):
        assert ask(lab, near, netlab.SERVER, port)[1] == 3
        assert states(near)[0]["state"] != "listed"
    assert ask(lab, near, netlab.SERVER, 7003)[1] == 3
    assert states(near)[0]["state"] == "listed"
    asked = len(odd.seen)
    assert ask(lab, near, netlab.SERVER, 7004)[1] == 3
    assert len(odd.seen) == asked


def test_a_concentrator_of_the_draft_that_knows_no_private_elements(lab, cpe, stub, origin):  # noqa: F811
    """It is found to be one by the second question, and a target that refuses is believed."""

    def behave(s, first):
        if first == ASK:
            s.sendall(first)
        abort(s)

    odd = stub(behave)
    near = cpe(via({"address": f"{netlab.CONC}:{odd.port}"}, probe=True))
    wait_known(near, proven=True, exact="no", state="healthy")
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 5
    assert states(near)[0]["state"] == "healthy"


def test_another_list_forgets(lab, proxy, cpe, stub, origin):  # noqa: F811
    """K5"""
    odd, far = stub(ANSWERS["http"]), proxy()
    entry = {"address": f"{netlab.CONC}:{odd.port}", "priority": 0}
    near = cpe(via(entry, concentrator(far)))
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0
    assert states(near)[0]["state"] == "listed"
    near.reconfigure({"via": {"concentrators": [entry, concentrator(far, "convert")]}})
    netlab.wait_for(lambda: near.stats()["via"]["forgotten_total"] == 1, 5, "the reload")
    assert states(near)[0]["state"] != "listed"


@FAMILIES
def test_another_attachment_forgets(lab, cpe, stub, origin, proxy, v6):  # noqa: F811
    """K5: an address more or less; one that is there already, sent again, is none."""
    odd, far = stub(ANSWERS["http"]), proxy()
    near = cpe(via({"address": f"{netlab.CONC}:{odd.port}", "priority": 0}, concentrator(far)))
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0
    assert states(near)[0]["state"] == "listed"
    new, old = ("2001:db8:0:77::1/64", f"{netlab.CLIENT6[1]}/64") if v6 else ("192.0.2.250/32", None)
    if old:
        lab.client.run("ip", "address", "change", old, "dev", "c1")
    lab.client.run("ip", "address", "add", new, "dev", "c1")
    try:
        netlab.wait_for(lambda: near.stats()["via"]["forgotten_total"] == 1, 5, "the change")
        assert states(near)[0]["state"] != "listed"
    finally:
        lab.client.run("ip", "address", "del", new, "dev", "c1")


def test_back_without_a_clients_help(lab, proxy, cpe, origin):  # noqa: F811
    """A probe finds out that a concentrator is there again: no connection has to try it."""
    port = lab.conc.free_port()
    near = cpe(via({"address": f"{netlab.CONC}:{port}"}, probe=True))
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 3
    proxy(more_listeners=[{"name": "late", "address": f"[::]:{port}"}])
    wait_known(near, state="healthy")
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0


# ---- Fast Open ----


def test_three_lost_syns_end_fast_open(lab, proxy, cpe, origin, capture):  # noqa: F811
    """K9: the listener takes no SYN data; then requests go behind the handshake, and stay MPTCP."""
    far = proxy(listener={"fastopen": False})
    lab.conc.sysctl(net__ipv4__tcp_fastopen=0)
    near = cpe(via(concentrator(far)))
    seen = capture(lab.conc, "k1", f"tcp port {far.port}")
    for _ in range(4):
        s, reply = ask(lab, near, netlab.SERVER, origin.port)
        assert reply == 0
        s.close()
    assert [int(row["tcp.len"]) > 0 for row in seen.query(SYN, "tcp.len")] == [True] * 3 + [False]
    assert near.stats()["via"]["fastopen_lost_total"] == 3 and not states(near)[0]["fastopen"]
    assert far.stats()["mptcp"]["sessions_total"] == 1, "the last one"


# ---- which targets ----


def test_concentrators_for_some_targets(lab, proxy, cpe, origin):  # noqa: F811
    """V8, UC5: by prefix and by port; what none is for goes nowhere."""
    first, second = proxy(), proxy()
    near = cpe(via(concentrator(first, priority=0, targets=["203.0.113.0/24"], ports=[f"{origin.port}-{origin.port}"]),
                   concentrator(second, v6=True, targets=["2001:db8::/32"])))
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0
    assert ask(lab, near, netlab.SERVER6, origin.port)[1] == 0
    assert ask(lab, near, netlab.SERVER, CLOSED_PORT)[1] == 3
    assert [p.stats()["sessions"]["accepted_total"] for p in (first, second)] == [1, 1]


# ---- on the path ----


@pytest.fixture
def implicit(lab, cpe):  # noqa: F811
    """A CPE without concentrators that asks the path."""
    lab.client.run("ip", "-6", "route", "replace", "default", "via", netlab.CONC_LINK6[1], check=False)
    return lambda **more: cpe(via(implicit=True, **more))


@FAMILIES
def test_a_concentrator_on_the_path_takes_the_connection(lab, on_path, implicit, origin, capture, v6):  # noqa: F811
    far, near = on_path(origin.port), implicit()
    seen = capture(lab.conc, "k1", f"tcp port {origin.port}")
    for _ in range(2):
        s, reply = ask(lab, near, clients.target(v6), origin.port)
        assert reply == 0
        s.sendall(b"ECHO\nfirst octets")
        assert dialects.receive_exactly(s, 12) == b"first octets"
        s.close()
    assert near.stats()["via"]["implicit_total"] == {"taken": 2, "absent": 0}
    assert near.stats()["via"]["path_proven"]["ipv6" if v6 else "ipv4"]
    assert far.stats()["sessions"]["accepted_total"] == 2
    assert [row["tcp.payload"].replace(":", "") for row in seen.query(SYN, "tcp.payload")] == [ASK.hex()] * 2
    assert ask(lab, near, clients.target(v6), origin.port)[1] == 0


def test_a_target_that_refuses_behind_it(lab, on_path, implicit, origin):  # noqa: F811
    far = on_path(origin.port)
    assert far
    near = implicit()
    assert ask(lab, near, netlab.SERVER, origin.port)[1] == 0
    lab.server.nft("table inet closed { chain c { type filter hook input priority 0; "
                   f"tcp dport {origin.port} reject with tcp reset; }} }}")
    try:
        assert ask(lab, near, netlab.SERVER, origin.port)[1] == 5
    finally:
        lab.server.nft("delete table inet closed")


def test_without_one_on_the_path_it_is_asked_twice_and_then_not(lab, on_path, implicit, origin, capture):  # noqa: F811
    """Servers that know nothing of it: one more dial each, and no more when that is known."""
    assert on_path
    other = netlab.Origin(lab)
    third = netlab.Origin(lab)
    near = implicit()
    seen = capture(lab.conc, "k1", "tcp")
    try:
        for server in (origin, origin, other, third, third):
            s, reply = ask(lab, near, netlab.SERVER, server.port)
            assert reply == 0
            s.sendall(b"ECHO\nfirst octets")
            assert dialects.receive_exactly(s, 12) == b"first octets"
            s.close()
        syns = [(int(row["tcp.dstport"]), int(row["tcp.len"]) > 0) for row in seen.query(SYN, "tcp.dstport", "tcp.len")]
        assert syns == [(origin.port, True), (origin.port, False), (origin.port, False), (other.port, True),
                        (other.port, False), (third.port, False), (third.port, False)]
        assert near.stats()["via"]["implicit_total"] == {"taken": 0, "absent": 2}
    finally:
        other.stop()
        third.stop()


@pytest.mark.parametrize("kept", [False, True], ids=["without", "with_rule"])
def test_the_firewall_keeps_the_element_from_servers(lab, on_path, implicit, stub, kept):  # noqa: F811
    """docs/operations.md: a kernel whose SYN data was not taken sends them again behind the handshake."""
    assert on_path
    server = stub(lambda s, first: s.sendall(first), ns=lab.server)
    lab.server.sysctl(net__ipv4__tcp_fastopen=0)
    if kept:
        lab.client.nft("table inet kept { chain out { type filter hook output priority 0; "
                       "tcp flags & syn == 0 @ih,0,48 0xfaa8faa80004 drop; } }")
    near = implicit()
    try:
        s, reply = ask(lab, near, netlab.SERVER, server.port)
        assert reply == 0
        s.sendall(b"hello")
        assert dialects.receive_exactly(s, 5) == b"hello"
        s.close()
        assert (ASK in server.seen) == (not kept)
    finally:
        if kept:
            lab.client.nft("delete table inet kept")


# ---- servers that need none ----


def test_native_targets_go_directly_with_mptcp(lab, on_path, proxy, cpe, origin, capture):  # noqa: F811
    assert on_path
    far = proxy()
    near = cpe(via(concentrator(far), native=[f"{netlab.SERVER}/32"]))
    seen = capture(lab.conc, "k1", f"tcp port {origin.port}")
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 0
    s.close()
    assert near.stats()["via"]["native_total"] == 1 and far.stats()["sessions"]["accepted_total"] == 0
    assert seen.count(f"{SYN} && tcp.options.mptcp.subtype == 0") == 1


def test_a_server_that_speaks_mptcp_is_learnt(lab, on_path, proxy, cpe, capture):  # noqa: F811
    """I8: only where configured; from a convert concentrator that told so; and back, should it fail directly."""
    assert on_path
    server = netlab.Origin(lab, "-m")
    far = proxy({"upstream": {"mptcp": "on"}})
    near = cpe(via(concentrator(far, "convert"), bypass="learned"))
    try:
        for _ in range(2):
            s, reply = ask(lab, near, netlab.SERVER, server.port)
            assert reply == 0
            s.close()
        assert far.stats()["sessions"]["accepted_total"] == 1
        assert near.stats()["via"]["bypassed_total"] == 1 and near.stats()["via"]["native_servers"] == 1
        lab.conc.sysctl(net__ipv4__ip_forward=0)
        lab.conc.nft("table inet wall { chain c { type filter hook prerouting priority -300; "
                     f'iifname "k*" tcp dport {server.port} reject with tcp reset; }} }}')
        try:
            s, reply = ask(lab, near, netlab.SERVER, server.port)
            assert reply == 0 and far.stats()["sessions"]["accepted_total"] == 2
            s.close()
        finally:
            lab.conc.nft("delete table inet wall")
    finally:
        server.stop()
