# SPDX-License-Identifier: MIT
"""The CPE's daemon and rules while hosts are at work: reloaded, replaced, taken away, dead."""
import contextlib
import signal

import pytest

from hybrid import FAMILIES, PORT, Broken, Flow, ask_echo, entry, exchange, finish
from support import access as net, netlab


def under_way(access, home, web, v6=0, count=600_000):
    s = home.call(web.port, v6)
    ask_echo(s)
    flow = Flow(access, s, count)
    flow.receive(100_000)
    return s, flow


@FAMILIES
def test_rules_and_configuration_reloaded_in_the_middle(access, daemon, home, web, v6):
    """conf/nft/transparent.nft replaces itself in one step; SIGHUP changes nothing for who is connected."""
    near = home.start(entry(daemon(), v6=v6))
    s, flow = under_way(access, home, web, v6)
    for n in (1, 2):
        access.divert(PORT)
        near.process.send_signal(signal.SIGHUP)
        netlab.wait_for(lambda: near.stats()["config"]["reload_success_total"] == n, 5, "the reload")
        flow.receive(100_000 * (1 + n))
        fresh = home.call(web.port, v6)
        ask_echo(fresh)
        exchange(access, fresh, 1000)
        finish(fresh)
    flow.end()
    finish(s)
    assert near.stats()["sessions"]["accepted_total"] == 3


def test_another_concentrator_by_reload(access, daemon, home, web):
    """Who is connected stays where he is, new connections go to the new one."""
    first, second = daemon(), daemon(ns=access.conc2)
    near = home.start(entry(first))
    s, flow = under_way(access, home, web)
    near.reconfigure({"via": {"concentrators": [entry(second)]}})

    def moved():
        fresh = home.call(web.port)
        ask_echo(fresh)
        exchange(access, fresh, 1000)
        finish(fresh)
        return second.stats()["sessions"]["accepted_total"]

    netlab.wait_for(moved, 10, "the new concentrator")
    flow.end()
    finish(s)


def native_now(access, home, web, v6):
    """A new connection is served, and the server sees who the CPE's masquerading says it is."""
    ended = len(web.events())
    s = home.call(web.port, v6)
    ask_echo(s)
    exchange(access, s)
    finish(s)
    address = net.HOST[1] if v6 else net.CPE_WAN[1][0]
    netlab.wait_for(lambda: any(address in e["peer"] for e in web.events()[ended:]), 5, "a native connection")


def ends(flow):
    """It goes on to its end or is broken off: it does not hang."""
    with contextlib.suppress(ConnectionResetError, Broken):
        flow.end()


@FAMILIES
def test_rules_taken_away(access, daemon, home, web, v6):
    """The emergency off: new connections are native at once. Diverted ones go on as long as the kernel remembers their way
    (tcp_early_demux); when it does not, the server resets them."""
    near = home.start(entry(daemon(), v6=v6))
    access.masquerade()
    s, flow = under_way(access, home, web, v6)
    access.cpe.run("nft", "delete", "table", "inet", "mpconvert_transparent")
    native_now(access, home, web, v6)
    ends(flow)
    access.cpe.sysctl(net__ipv4__tcp_early_demux=0)
    try:
        s.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            while s.recv(1 << 16):
                pass
    finally:
        access.cpe.sysctl(net__ipv4__tcp_early_demux=1)
    native_now(access, home, web, v6)
    assert near.stats()["sessions"]["accepted_total"] == 1


@FAMILIES
@pytest.mark.parametrize("rules", ["kept", "taken away"])
def test_daemon_dead(access, daemon, home, web, rules, v6):
    """Killed: its connections end, and all new ones are native, with the rules as without them: a rule that finds no listener does
    not divert."""
    near = home.start(entry(daemon(), v6=v6))
    access.masquerade()
    _, flow = under_way(access, home, web, v6)
    idle = home.call(web.port, v6)
    near.kill()
    if rules == "taken away":
        access.cpe.run("nft", "delete", "table", "inet", "mpconvert_transparent")
    ends(flow)
    idle.settimeout(10)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        idle.sendall(b"ECHO\n")
        assert idle.recv(1) == b""
    native_now(access, home, web, v6)


def test_daemon_back(access, daemon, home, web):
    """After a death with the rules kept, a new daemon is found by them without further ado."""
    far = daemon()
    near = home.start(entry(far))
    near.kill()
    native = home.call(web.port)
    ask_echo(native)
    again = home.start(entry(far))
    s = home.call(web.port)
    ask_echo(s)
    exchange(access, s)
    finish(s)
    exchange(access, native)
    finish(native)
    assert again.stats()["sessions"]["accepted_total"] == 1
