# SPDX-License-Identifier: MIT
"""At its limits the proxy refuses politely: live sessions notice nothing, the CPU is idle, and it recovers at once."""
import time

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5


def echo(s, word=b"alive"):
    s.sendall(word)
    return dialects.receive_exactly(s, len(word)) == word


def open_until_refused(lab, p, origin, limit=200):
    """Sessions up to the first that does not come about."""
    live = []
    while len(live) < limit:
        s = clients.dial(lab, p, protocol=clients.TCP)
        s.settimeout(3)
        try:
            s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port) + b"ECHO\n")
            clients.expect_success(s, SOCKS5, netlab.SERVER, origin.port)
        except (OSError, AssertionError):
            s.close()
            return live
        live.append(s)
    raise AssertionError(f"{limit} sessions in spite of the limit")


@pytest.fixture
def exhausted(lab, proxy, origin):
    p = proxy(nofile=120)
    live = open_until_refused(lab, p, origin)
    assert len(live) >= 20, f"only {len(live)} sessions with 120 fds"
    return p, live


def test_out_of_fds_live_sessions_are_unaffected(lab, exhausted):
    p, live = exhausted
    assert all(echo(s) for s in live)


def test_out_of_fds_the_cpu_is_idle(lab, exhausted):
    p, live = exhausted
    waiting = [clients.new_socket(lab, link=0, protocol=clients.TCP) for _ in range(50)]
    for s in waiting:  # they want in all the time
        s.setblocking(False)
        try:
            s.connect(clients.address(p, 0))
        except BlockingIOError:
            pass
    before = p.cpu_seconds()
    time.sleep(2)
    assert p.cpu_seconds() - before < 0.2
    assert all(echo(s) for s in live[:5])


def test_out_of_fds_it_works_again_when_some_return(lab, exhausted, origin):
    p, live = exhausted
    for s in live[:10]:
        s.close()
    begin = time.monotonic()
    while True:
        s = clients.dial(lab, p, protocol=clients.TCP)
        s.settimeout(1)
        try:
            s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port) + b"ECHO\n")
            clients.expect_success(s, SOCKS5, netlab.SERVER, origin.port)
            break
        except (OSError, AssertionError):
            assert time.monotonic() - begin < 1, "still refusing"
    assert time.monotonic() - begin <= 1
    assert echo(s)


def refused(lab, p, dialect, origin):
    s = clients.dial(lab, p)
    s.sendall(clients.opening(dialect, netlab.SERVER, origin.port))
    return clients.failure(s, dialect)


@pytest.mark.parametrize("limit", ["sessions", "sessions_per_source"])
def test_session_limit_refuses_in_the_dialect(lab, proxy, origin, limit):
    p = proxy({"limits": {limit: 3}})
    live = [clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n") for _ in range(3)]
    assert refused(lab, p, SOCKS5, origin) == 1
    answer = refused(lab, p, CONVERT, origin)
    assert isinstance(answer, tuple) and answer[0] == 64, answer
    assert refused(lab, p, MP_CONVERT, origin) == RESET
    assert all(echo(s) for s in live)
    live.pop().close()
    p.wait_sessions(2)
    assert echo(clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n"))


def test_sources_have_budgets_of_their_own(lab, proxy, origin):
    p = proxy({"limits": {"sessions_per_source": 2}})
    first = [clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n", link=0) for _ in range(2)]
    assert refused(lab, p, SOCKS5, origin) == 1
    other = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n", link=1)
    assert all(echo(s) for s in [*first, other])


def test_many_sessions_at_once(lab, proxy, origin):
    p = proxy()
    socks = [clients.dial(lab, p) for _ in range(150)]
    for s in socks:
        s.sendall(clients.opening(MP_CONVERT, netlab.SERVER, origin.port) + b"ECHO\n")
    for s in socks:
        clients.expect_success(s, MP_CONVERT, netlab.SERVER, origin.port)
    assert p.stats()["sessions"]["current"] == 150
    assert all(echo(s) for s in socks)
    for s in socks:
        s.close()
    p.wait_sessions(0)
    assert p.stats()["sessions"]["peak"] >= 150
