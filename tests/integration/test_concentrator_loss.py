# SPDX-License-Identifier: MIT
"""A concentrator dies, falls silent, and comes back: what becomes of old sessions and new ones."""
import pytest

from hybrid import FAMILIES, SYN, Broken, Flow, ask_echo, entry, exchange, finish, fixed
from support import access as net, netlab

PORT = 9400


def use(access, home, web):
    s = home.call(web.port)
    ask_echo(s)
    exchange(access, s, 1000)
    finish(s)


def two(daemon, access, home, **more):
    """Two concentrators in order, and the CPE that asks them."""
    first = daemon(more_listeners=[fixed(PORT)])
    second = daemon(ns=access.conc2)
    near = home.start({"address": f"{net.CONC[0][0]}:{PORT}", "dialect": "mp_convert", "priority": 0},
                      entry(second, priority=1), **more)
    return first, second, near


def served(*daemons):
    return [d.stats()["sessions"]["accepted_total"] for d in daemons]


def test_killed(access, daemon, home, web, capture):
    """Its sessions end; the next session tries it, is refused, and is served by the other at once; those after it do
    not try."""
    first, second, near = two(daemon, access, home)
    seen = capture(access.cpe, "u1")
    old = home.call(web.port)
    ask_echo(old)
    flow = Flow(access, old, 3_000_000)
    flow.receive(100_000)
    assert served(first, second) == [1, 0]
    first.kill()
    with pytest.raises((ConnectionResetError, Broken)):
        flow.end()
    for _ in range(4):
        use(access, home, web)
    assert served(second) == [4]
    assert near.stats()["via"]["concentrator_failures_total"] == 1
    syns = [row["ip.dst"] for row in seen.query(SYN, "ip.dst")]
    assert syns == [net.CONC[0][0]] * 2 + [net.CONC[1][0]] * 4


def test_silent(access, daemon, home, web, capture):
    """The next is asked before the first's SYN is repeated a second time, and those after it do not wait."""
    first, second, near = two(daemon, access, home)
    seen = capture(access.cpe, "u1")
    access.silence(net.CONC[0][0])
    for _ in range(4):
        use(access, home, web)
    assert served(first, second) == [0, 4]
    syns = [row["ip.dst"] for row in seen.query(SYN, "ip.dst")]
    asked = syns.index(net.CONC[1][0])
    assert set(syns[:asked]) == {net.CONC[0][0]} and asked <= 2, "it waited for more than a second"


def test_back_again(access, daemon, home, web):
    """It is found by one session, and then serves all of them: nobody goes to and fro."""
    first, second, near = two(daemon, access, home)
    first.kill()
    use(access, home, web)
    again = daemon(more_listeners=[fixed(PORT)])

    def found():
        use(access, home, web)
        return served(again)[0]

    netlab.wait_for(found, 20, "the concentrator to be found")
    failures, elsewhere = near.stats()["via"]["concentrator_failures_total"], served(second)
    for _ in range(10):
        use(access, home, web)
    assert served(again) == [11] and served(second) == elsewhere
    assert near.stats()["via"]["concentrator_failures_total"] == failures


def test_one_that_stays_dead_does_not_hurt(access, daemon, home, web):
    """While it is away, sessions try it less and less often."""
    first, _, near = two(daemon, access, home)
    first.kill()
    for _ in range(60):
        use(access, home, web)
    assert near.stats()["via"]["concentrator_failures_total"] <= 4


@FAMILIES
@pytest.mark.parametrize("how", ["killed", "silent"])
def test_without_any_it_goes_direct_where_that_is_allowed(access, daemon, home, web, how, v6):
    far = daemon()
    near = home.start(entry(far, v6=v6), direct="last")
    if how == "killed":
        far.kill()
    else:
        access.silence(net.CONC[0][v6])
    s = home.call(web.port, v6)
    ask_echo(s)
    exchange(access, s, 1000)
    finish(s)
    assert near.stats()["via"]["direct_total"] == 1


def test_without_any_it_is_refused_elsewhere(access, daemon, home, web):
    far = daemon()
    near = home.start(entry(far))
    far.kill()
    with pytest.raises(ConnectionResetError):
        home.call(web.port).recv(1)
    assert near.stats()["upstream"]["connect_attempts_total"] == 1


def test_silent_in_the_middle_of_a_session(access, daemon, home, web):
    """A session whose concentrator has vanished ends; it does not hang for ever."""
    far = daemon()
    home.start(entry(far), changes={"timeouts": {"idle_seconds": 2}})
    s = home.call(web.port)
    ask_echo(s)
    exchange(access, s, 1000)
    access.silence(net.CONC[0][0])
    s.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        s.recv(1)
