# SPDX-License-Identifier: MIT
"""Budgets of one source, limits.errors_per_second and limits.connects_per_source: they bite, they come back, they are its own."""
import select
import time

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5

SILENT_PORT, CLOSED_PORT = 7999, 7998
REFUSED = (96, 0)


def refusal(lab, p, link=0, v6=False):
    """What a Convert client learns of a server that refuses: an Error, or nothing but a reset."""
    s = clients.dial(lab, p, link=link, v6=v6)
    s.sendall(dialects.convert_connect(clients.target(v6), CLOSED_PORT))
    answer = clients.failure(s, CONVERT)
    s.close()
    assert answer in (REFUSED, RESET)
    return answer


def spend(lab, p, count, **how):
    """Answers to `count` requests that were sent at once, and in how many seconds."""
    begin, waiting = time.monotonic(), [clients.dial(lab, p, **how) for _ in range(count)]
    for s in waiting:
        s.sendall(dialects.convert_connect(clients.target(how.get("v6", False)), CLOSED_PORT))
    answers = [clients.failure(s, CONVERT) for s in waiting]
    assert set(answers) <= {REFUSED, RESET}
    return answers, time.monotonic() - begin


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_errors_are_told_at_a_rate(lab, proxy, v6):
    p = proxy({"limits": {"errors_per_second": 2}})
    answers, seconds = spend(lab, p, 12, link=0, v6=v6)
    assert 2 <= answers.count(REFUSED) <= 2 + 2 * seconds + 1
    assert RESET in answers
    assert refusal(lab, p, link=1, v6=v6) == REFUSED, "another source pays for it"
    begin = time.monotonic()
    netlab.wait_for(lambda: refusal(lab, p, v6=v6) == REFUSED, 3, "errors to be told again", interval=0.2)
    assert time.monotonic() - begin < 2


def test_no_errors_at_all(lab, proxy):
    p = proxy({"limits": {"errors_per_second": 0}})
    assert [refusal(lab, p, link=link) for link in (0, 0, 1)] == [RESET] * 3


def test_a_spent_budget_of_errors_does_not_concern_successes(lab, proxy, origin):
    p = proxy({"limits": {"errors_per_second": 1}})
    assert RESET in spend(lab, p, 6)[0]
    for dialect in clients.DIALECTS:
        s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\nx")
        assert dialects.receive_exactly(s, 1) == b"x"
    s = clients.dial(lab, p)
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, CLOSED_PORT))
    assert clients.failure(s, SOCKS5) == 5, "SOCKS5 is not counted"


def test_a_reset_instead_of_an_error_has_no_octet_before_it(lab, proxy, capture):
    p = proxy({"limits": {"errors_per_second": 0}})
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    s = clients.dial(lab, p, protocol=clients.TCP)
    s.sendall(dialects.convert_connect(netlab.SERVER, CLOSED_PORT))
    assert clients.failure(s, CONVERT) == RESET
    assert seen.count(f"tcp.srcport == {p.port} && tcp.len > 0") == 0
    assert seen.count(f"tcp.srcport == {p.port} && tcp.flags.reset == 1") == 1


@pytest.fixture
def swallow(lab):
    lab.server.nft(f"table inet walls {{ chain in {{ type filter hook input priority 0; tcp dport {SILENT_PORT} drop; }} }}")


def asking(lab, p, dialect, port, link=0):
    s = clients.dial(lab, p, link=link)
    s.sendall(clients.opening(dialect, netlab.SERVER, port) + (b"ECHO\nx" if port != SILENT_PORT else b""))
    return s


def attempts(seen):
    """Connections under way to the silent port."""
    return len({f["tcp.srcport"] for f in seen.query(f"tcp.dstport == {SILENT_PORT}", "tcp.srcport")})


TOO_MANY = {SOCKS5: 1, CONVERT: (64, 0), MP_CONVERT: RESET}


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_connects_of_one_source(lab, proxy, origin, swallow, capture, dialect):
    """RFC 8803 s9.3."""
    p = proxy({"limits": {"connects_per_source": 2}})
    seen = capture(lab.conc, "s0", f"tcp port {SILENT_PORT}")
    pending = [asking(lab, p, dialect, SILENT_PORT) for _ in range(2)]
    if dialect == SOCKS5:
        assert [dialects.receive_exactly(s, 2) for s in pending] == [b"\x05\x00"] * 2
    netlab.wait_for(lambda: p.stats()["upstream"]["connect_attempts_total"] == 2, 5, "two attempts")
    begin = time.monotonic()
    for port in (SILENT_PORT, origin.port):
        assert clients.failure(asking(lab, p, dialect, port), dialect) == TOO_MANY[dialect]
    assert time.monotonic() - begin < 2, "only when an attempt had ended"
    assert select.select(pending, [], [], 0)[0] == [], "a pending attempt was hurt"

    other = asking(lab, p, dialect, origin.port, link=1)
    clients.expect_success(other, dialect, netlab.SERVER, origin.port)
    assert dialects.receive_exactly(other, 1) == b"x"

    clients.abort(pending.pop())

    def served():
        s = asking(lab, p, dialect, origin.port)
        try:
            clients.expect_success(s, dialect, netlab.SERVER, origin.port)
        except (OSError, AssertionError):
            return False
        return dialects.receive_exactly(s, 1) == b"x"

    netlab.wait_for(served, 3, "room for another attempt")
    assert attempts(seen) == 2


def test_live_sessions_are_no_attempts(lab, proxy, origin):
    p = proxy({"limits": {"connects_per_source": 1}})
    live = [clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n") for _ in range(5)]
    for s in live:
        s.sendall(b"x")
        assert dialects.receive_exactly(s, 1) == b"x"


def test_an_attempt_that_fails_gives_its_place_back(lab, proxy, swallow, origin):
    p = proxy({"limits": {"connects_per_source": 1}, "timeouts": {"connect_seconds": 1}})
    for _ in range(3):
        assert clients.failure(asking(lab, p, SOCKS5, CLOSED_PORT), SOCKS5) == 5
    assert clients.failure(asking(lab, p, SOCKS5, SILENT_PORT), SOCKS5) == 6
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"
