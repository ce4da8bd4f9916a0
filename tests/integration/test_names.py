# SPDX-License-Identifier: MIT
"""Names are resolved at the proxy, every address is judged, and a dead one does not hold up the others (RFC 8305)."""
import time

import pytest

from support import clients, dialects, netlab
from support.nameserver import A, AAAA, SILENT, Nameserver

DEAD6, DEAD4 = "2001:db8:0:5::dead", "203.0.113.66"
NAMES = {
    "both.example.net": [netlab.SERVER, netlab.SERVER6],
    "four.example.net": [netlab.SERVER],
    "six.example.net": [netlab.SERVER6],
    "rebind.example.net": ["127.0.0.1", "::1"],
    "partly.example.net": ["127.0.0.1", netlab.SERVER],
    "private.example.net": ["10.0.0.1"],
    "dead6.example.net": [DEAD6, netlab.SERVER],
    "dead4.example.net": [DEAD4, netlab.SERVER],
    "refused6.example.net": [netlab.SERVER6, netlab.SERVER],
    "empty.example.net": [],
    "silent.example.net": SILENT,
}


@pytest.fixture
def nameserver(lab):
    server = Nameserver(lab.server, netlab.SERVER_DNS, dict(NAMES))
    yield server
    server.stop()


@pytest.fixture
def p(proxy, nameserver):
    return proxy({"dns": {"servers": [netlab.SERVER_DNS], "timeout_seconds": 1, "tries": 1}})


def ask(lab, p, name, port, **how):
    """(reply code, the client's socket)"""
    s = clients.dial(lab, p, **how)
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(name, port) + b"ECHO\nx")
    assert dialects.receive_exactly(s, 2) == b"\x05\x00"
    return dialects.receive_socks5_reply(s)[0], s


@pytest.mark.parametrize("name", ["both.example.net", "four.example.net", "six.example.net", "FOUR.example.net",
                                  "four.example.net."])
def test_known_names(lab, p, origin, name):
    code, s = ask(lab, p, name, origin.port)
    assert code == 0
    assert dialects.receive_exactly(s, 1) == b"x"


def test_ipv6_is_preferred(lab, p, origin):
    before = len(origin.events())
    _, s = ask(lab, p, "both.example.net", origin.port)
    s.close()
    assert origin.wait_events(before + 1)[-1]["peer"].startswith(f"[2001:db8:0:5::1]")


def test_both_families_are_asked_for_once(lab, p, nameserver, origin):
    for _ in range(3):  # answers are kept
        ask(lab, p, "both.example.net", origin.port)
    per_worker = sorted(set(nameserver.asked))
    assert per_worker == [("both.example.net", A), ("both.example.net", AAAA)]
    assert len(nameserver.asked) <= 4  # two workers, one cache each


@pytest.mark.parametrize("name", ["missing.example.net", "empty.example.net"])
def test_unknown_names(lab, p, origin, name):
    assert ask(lab, p, name, origin.port)[0] == 4


def test_a_silent_nameserver(lab, p, origin):
    begin = time.monotonic()
    assert ask(lab, p, "silent.example.net", origin.port)[0] == 1
    assert time.monotonic() - begin < 4


@pytest.mark.alone
def test_a_hung_name_does_not_delay_others(lab, p, origin):
    for _ in range(6):
        s = clients.dial(lab, p)
        s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request("silent.example.net", origin.port))
    begin = time.monotonic()
    assert ask(lab, p, "four.example.net", origin.port)[0] == 0
    assert time.monotonic() - begin < 0.5


@pytest.mark.parametrize("name", ["rebind.example.net", "private.example.net"])
def test_rebinding_is_denied(lab, p, origin, name):
    before = lab.conc.counters()["TcpActiveOpens"]
    assert ask(lab, p, name, origin.port)[0] == 2
    assert lab.conc.counters()["TcpActiveOpens"] == before


def test_only_the_allowed_addresses_of_a_name_are_used(lab, p, origin, capture):
    seen = capture(lab.conc, "lo", "tcp")
    code, s = ask(lab, p, "partly.example.net", origin.port)
    assert code == 0 and dialects.receive_exactly(s, 1) == b"x"
    assert seen.count(f"tcp.dstport == {origin.port}") == 0


@pytest.mark.parametrize("name", ["dead6.example.net", "dead4.example.net"])
def test_a_dead_address_costs_less_than_a_second(lab, p, origin, name):
    lab.server.nft(f"table inet dead {{ chain in {{ type filter hook input priority 0; ip6 daddr {DEAD6} drop; "
                   f"ip daddr {DEAD4} drop; }} }}")
    lab.server.ip(f"addr replace {DEAD6}/64 dev t0 nodad", f"addr replace {DEAD4}/24 dev t0")
    begin = time.monotonic()
    code, s = ask(lab, p, name, origin.port)
    assert code == 0 and dialects.receive_exactly(s, 1) == b"x"
    assert time.monotonic() - begin < 1


@pytest.mark.alone
def test_a_refusing_address_costs_nothing(lab, p, origin):
    lab.server.nft(f"table inet refuse {{ chain in {{ type filter hook input priority 0; ip6 daddr {netlab.SERVER6} "
                   f"tcp dport {origin.port} reject with tcp reset; }} }}")
    begin = time.monotonic()
    assert ask(lab, p, "refused6.example.net", origin.port)[0] == 0
    assert time.monotonic() - begin < 0.2


def test_missing_aaaa_answer_delays_little(lab, proxy, origin):
    """RFC 8305 s3: an A answer waits for the AAAA only the resolution delay."""
    server = Nameserver(lab.server, netlab.SERVER_DNS, dict(NAMES), ignored_types=[AAAA])
    p = proxy({"dns": {"servers": [netlab.SERVER_DNS], "timeout_seconds": 3, "tries": 1}})
    begin = time.monotonic()
    assert ask(lab, p, "four.example.net", origin.port)[0] == 0
    assert time.monotonic() - begin < 1
    server.stop()
