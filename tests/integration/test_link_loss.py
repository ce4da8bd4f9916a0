# SPDX-License-Identifier: MIT
"""A WAN link of the CPE goes and comes back: no session is lost, no octet, and the link is used again."""
import pytest

from hybrid import Flow, ask_echo, entry, exchange, finish, second_subflow, wait_subflows
from support import access as net, clients, netlab

COUNT = 2_000_000
SILENT, DOWN = "silent", "down"
HOW = pytest.mark.parametrize("how", [SILENT, DOWN])
LINK = pytest.mark.parametrize("link", [1, 2])


def take(access, link, how):
    if how == SILENT:
        access.emulator.cut(f"path{link}")
    else:
        access.link_down(link)


def give_back(access, link, how):
    if how == SILENT:
        access.emulator.restore(f"path{link}")
    else:
        access.link_up(link)


def carried(access, link):
    """Octets of data in both directions: what waits for acknowledgements only does not count."""
    stats = access.emulator.stats()
    return min(stats[f"path{link}.up"]["octets"], stats[f"path{link}.down"]["octets"])


def lose_and_find(access, s, link, how):
    flow = Flow(access, s, COUNT)
    flow.receive(COUNT // 4)
    assert carried(access, link) > 10_000, "the link was not in use"
    take(access, link, how)
    flow.receive(COUNT // 2)
    give_back(access, link, how)
    flow.end()
    before = carried(access, link)

    def used():
        exchange(access, s, 100_000)
        return carried(access, link) - before > 100_000

    netlab.wait_for(used, 20, "the link to be used again")


@HOW
@LINK
def test_between_cpe_and_concentrator(access, daemon, home, web, link, how):
    far = daemon()
    near = home.start(entry(far))
    access.use_both_paths()
    s = home.call(web.port)
    ask_echo(s)
    exchange(access, s)
    wait_subflows(far, 2)
    lose_and_find(access, s, link, how)
    finish(s)
    assert near.stats()["sessions"]["accepted_total"] == far.stats()["sessions"]["accepted_total"] == 1


@HOW
@LINK
def test_of_a_multipath_client(access, daemon, web, link, how):
    far = daemon()
    access.use_both_paths()
    s = clients.session(access, far, clients.MP_CONVERT, web.port, link=1, fastopen=True)
    ask_echo(s)
    exchange(access, s)
    second_subflow(s)
    lose_and_find(access, s, link, how)
    finish(s)


def test_new_sessions_take_the_link_that_is_left(access, daemon, home, web):
    """The routes of a link that is down are gone with it: the daemon has nothing to do."""
    far = daemon()
    near = home.start(entry(far))
    take(access, 1, DOWN)
    for _ in range(3):
        s = home.call(web.port)
        ask_echo(s)
        exchange(access, s)
        finish(s)
    assert near.stats()["via"]["concentrator_failures_total"] == 0
    give_back(access, 1, DOWN)
    s = home.call(web.port)
    ask_echo(s)
    exchange(access, s)
    finish(s)


def test_new_sessions_when_a_link_is_lost_in_silence(access, daemon, home, web):
    """The concentrator has an address for each link: the second is asked when the first does not answer."""
    far = daemon()
    other = f"{net.CONC_IN[0][0]}:{far.port}"
    access.cpe.ip(f"route replace {net.CONC_IN[0][0]} via {net.ROUTER_WAN[2][0]} dev u2")
    home.start(entry(far, priority=0), {"address": other, "dialect": "mp_convert", "priority": 1})
    take(access, 1, SILENT)
    s = home.call(web.port)
    ask_echo(s)
    exchange(access, s)
    assert far.sessions()[0]["client"]["address"] == net.CPE_WAN[2][0]
    finish(s)
