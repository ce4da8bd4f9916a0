# SPDX-License-Identifier: MIT
"""Transparent exact listeners: a diverted host's SYN is answered when its target has answered; docs/exact-connect.md. Judged by
packets, by SO_ERROR, and by what a direct connect of the same host says."""
import pytest

from support import clients, dialects, exact, netlab
from support.clients import TCP
from support.exact import SYN_ACK
from test_refusals import CLOSED_PORT
from test_transparent import PORT, gateway  # noqa: F401

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
SLOW_MS = 100


@pytest.fixture
def cpe(lab, gateway):  # noqa: F811
    """cpe(changes): its transparent listeners are exact, and the rule is there."""
    rules = []

    def start(changes=None, **how):
        p = gateway(changes, exact=True, **how)
        rules.append(exact.Rule(lab.conc, [], (changes or {}).get("workers", 2)))
        return p

    yield start
    for r in rules:
        r.remove()


@pytest.fixture
def slow(lab):
    lab.emulator.set("leg", delay=SLOW_MS // 2)


class Host(exact.Connect):
    """A host's own non-blocking connect(), without data."""

    def __init__(self, lab, port, v6=False, protocol=TCP, link=0, to=None):
        self.socket = clients.new_socket(lab, link, v6, protocol)
        self.socket.setblocking(False)
        self.socket.connect_ex((to or clients.target(v6), port))


def times(seen, display_filter):
    return [float(row["frame.time_epoch"]) for row in seen.query(display_filter, "frame.time_epoch")]


@FAMILIES
def test_the_syn_ack_waits_for_the_target(lab, cpe, origin, capture, slow, v6):
    p = cpe()
    seen, behind = capture(lab.conc, "k0", f"tcp port {origin.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    c = Host(lab, origin.port, v6)
    assert not c.ended(), "connected before its target was"
    assert c.wait() == ""
    c.socket.sendall(b"SOURCE 300000 3\n")
    assert dialects.receive_exactly(c.socket, 300000) == dialects.stream(lab, 300000, 3)
    assert [x["protocol"] for x in p.sessions()] == ["transparent"]
    ours, theirs, syns = times(seen, SYN_ACK), times(behind, SYN_ACK), times(behind, "tcp.flags.syn == 1 && tcp.flags.ack == 0")
    assert len(ours) == len(theirs) == len(syns) == 1, "one connection, one answer"
    assert theirs[0] < ours[0]
    counted = p.stats()["exact"]
    assert counted["confirmed_total"] == counted["packets_total"]["held"] == 1
    c.socket.close()


@FAMILIES
def test_a_refused_target_refuses_the_connect(lab, cpe, capture, slow, v6):
    p = cpe()
    seen = capture(lab.client, "c0", f"tcp port {CLOSED_PORT}")
    c = Host(lab, CLOSED_PORT, v6)
    assert not c.ended()
    assert c.wait() == "ECONNREFUSED"
    p.wait_sessions(0)
    assert seen.count(SYN_ACK) == 0
    assert p.stats()["exact"]["refused_total"]["reset"] == 1
