# SPDX-License-Identifier: MIT
"""Connections that would lead back to where they come from: refused, counted, and nothing piles up."""
import socket

import pytest

from hybrid import EVERYBODY, FAMILIES, PORT, ask_echo, entry, exchange, finish, fixed, transparent, via
from support import access as net, clients, dialects, netlab

A, B = 9500, 9501
REFUSED_BY_RULE = 2


def ask(access, host, port, where, v6=0):
    """What the concentrator at (host, port) answers to SOCKS5 for `where`; the connection."""
    s = access.cpe.open_socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.connect((host, port))
    s.sendall(clients.opening(clients.SOCKS5, *where))
    assert dialects.receive_exactly(s, 2) == b"\x05\x00"
    return s, (dialects.receive_socks5_reply(s) or [None])[0]


def at(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def each_other(access, daemon, v6, **more):
    """Two daemons, each the other's concentrator."""
    first = daemon({**via({"address": at(net.CONC[1][v6], B), "dialect": "mp_convert"}), **more}, more_listeners=[fixed(A, via=True)])
    second = daemon({**via({"address": at(net.CONC[0][v6], A), "dialect": "mp_convert"}), **more}, more_listeners=[fixed(B, via=True)],
                    ns=access.conc2)
    return first, second


def nothing_left(*daemons):
    for p in daemons:
        p.wait_sessions(0, timeout=15)


@FAMILIES
def test_two_that_ask_each_other(access, daemon, web, v6):
    """The second knows the first for its own concentrator, and does not ask it for itself."""
    access.one_address_each()
    first, second = each_other(access, daemon, v6)
    s, reply = ask(access, net.CONC[0][v6], A, (net.SERVER[v6], web.port), v6)
    assert reply not in (0, None)
    s.close()
    accepted = [p.stats()["sessions"]["accepted_total"] for p in (first, second)]
    assert accepted == [1, 2], "the request, and the question whether it was the target or the concentrator that ended it"
    assert second.stats()["via"]["loops_total"] == 1
    nothing_left(first, second)


def test_two_that_ask_each_other_from_other_addresses(access, daemon, web):
    """Neither can tell: limits.connects_per_source ends it, at once, and the next one as well."""
    first, second = each_other(access, daemon, 0, limits={"connects_per_source": 20})
    before = [p.open_fds() for p in (first, second)]
    for n in (1, 2):
        s, reply = ask(access, net.CONC[0][0], A, (net.SERVER[0], web.port))
        assert reply not in (0, None)
        s.close()
        nothing_left(first, second)
        for p in (first, second):
            stats = p.stats()["sessions"]
            assert stats["peak"] <= 22 and stats["accepted_total"] <= 22 * n
        assert sum(p.stats()["sessions"]["outcome_total"]["limit_source"] for p in (first, second)) == n
    assert all(p.open_fds() < b + 16 for p, b in zip((first, second), before)), "descriptors stayed"


@FAMILIES
@pytest.mark.parametrize("way", ["direct", "via"])
def test_a_target_that_is_the_daemon_by_another_address(access, daemon, v6, way):
    far = daemon(ns=access.conc2)
    p = daemon(via(entry(far, v6=v6)), more_listeners=[fixed(A, via=way == "via")])
    for n, own in enumerate((net.CONC[0], net.CONC_IN[0], net.CONC_OUT[0]), 1):
        s, reply = ask(access, net.CONC[0][v6], A, (own[v6], A), v6)
        s.close()
        assert reply == REFUSED_BY_RULE
        assert p.stats()["acl"]["denied_total"]["self"] == n
    assert p.stats()["upstream"]["connect_attempts_total"] == 0


@FAMILIES
def test_rules_that_divert_what_is_for_the_gateway_itself(access, daemon, home, web, v6):
    """Somebody wrote rules without the exception for local addresses: the original destination is the daemon."""
    far = daemon()
    near = home.start(entry(far))
    access.cpe.nft("table inet careless { chain p { type filter hook prerouting priority mangle - 1; "
                   'iifname "l0" meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:%d meta mark set 0x6d70 accept; '
                   'iifname "l0" meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:%d meta mark set 0x6d70 accept; } }'
                   % (PORT, PORT))
    for n, (port, to) in enumerate([(PORT, net.CPE_LAN), (22, net.CPE_LAN), (near.port, net.CPE_LAN)], 1):
        with pytest.raises(ConnectionResetError):
            home.call(port, v6, to=to).recv(1)
        assert near.stats()["acl"]["denied_total"]["self"] == n
    assert near.stats()["upstream"]["connect_attempts_total"] == 0
    s = home.call(web.port, v6)
    ask_echo(s)
    exchange(access, s, 1000)
    finish(s)


def test_a_transparent_concentrator_does_not_divert_itself(access, daemon, web):
    """On the path, and a concentrator for those who ask: its own connections leave by the same wires."""
    access.on_path()
    access.divert(PORT, ns=access.conc, lan='a0", "o0')
    p = daemon({"clients": {"allow": EVERYBODY}}, more_listeners=transparent())
    s, reply = ask(access, net.CONC[0][0], p.port, (net.SERVER[0], web.port))
    assert reply == 0
    ask_echo(s)
    exchange(access, s)
    assert p.stats()["sessions"]["accepted_total"] == 1
    finish(s)


def test_a_host_that_wants_the_concentrator_itself(access, daemon, home):
    """The CPE does not carry what its host sends to the concentrator's port through that very concentrator."""
    far = daemon()
    near = home.start(entry(far))
    with pytest.raises(ConnectionResetError):
        home.call(far.port, to=net.CONC[0]).recv(1)
    assert near.stats()["via"]["loops_total"] == 1
    netlab.wait_for(lambda: near.stats()["sessions"]["current"] == 0, 5, "the session to end")
    assert far.stats()["sessions"]["accepted_total"] == 0
