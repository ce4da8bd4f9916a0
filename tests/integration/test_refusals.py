# SPDX-License-Identifier: MIT
"""Targets that cannot or must not be reached: the right answer in every dialect (convert_rfc8803 table in docs/protocol.md), an
abort in MP_CONVERT, and not one packet to a denied one."""
import time

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5

# nft's name: (port, SOCKS5 reply, ICMP code)
ICMP = {
    "net-unreachable": (7000, 3, 0),
    "host-unreachable": (7001, 4, 1),
    "prot-unreachable": (7002, 1, 2),
    "port-unreachable": (7003, 5, 3),
    "net-prohibited": (7009, 3, 9),
    "host-prohibited": (7010, 4, 10),
    "admin-prohibited": (7013, 4, 13),
}
ICMP6 = {"no-route": (7100, 3, 0), "admin-prohibited": (7101, 2, 1)}
SILENT_PORT, CLOSED_PORT = 7999, 7998


@pytest.fixture
def walls(lab):
    """The server's firewall: ports that are rejected with each code, and one that swallows."""
    rules = [f"meta nfproto ipv4 tcp dport {port} reject with icmp type {name}" for name, (port, _, _) in ICMP.items()]
    rules += [f"meta nfproto ipv6 tcp dport {port} reject with icmpv6 type {name}" for name, (port, _, _) in ICMP6.items()]
    rules.append(f"tcp dport {SILENT_PORT} drop")
    lab.server.sysctl(net__ipv4__icmp_ratelimit=0, net__ipv6__icmp__ratelimit=0)
    lab.server.nft("table inet walls { chain in { type filter hook input priority 0; " + "; ".join(rules) + "; } }")


def refusal(lab, p, dialect, host, port, fastopen=False, **how):
    """What the client is told."""
    request = clients.opening(dialect, host, port)
    try:
        if fastopen:
            s = clients.dial_with(lab, p, request, **how)
        else:
            s = clients.dial(lab, p, **how)
            s.sendall(request)
    except (ConnectionResetError, BrokenPipeError):
        return RESET  # before we got to ask
    answer = clients.failure(s, dialect)
    s.close()
    return answer


def expected(dialect, socks, convert):
    return {SOCKS5: socks, CONVERT: convert, MP_CONVERT: RESET}[dialect]


@pytest.mark.parametrize("protocol", [clients.MPTCP, clients.TCP], ids=["mptcp", "tcp"])
@pytest.mark.parametrize("dialect", clients.DIALECTS)
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_refused(lab, proxy, dialect, v6, protocol):
    answer = refusal(lab, proxy(), dialect, clients.target(v6), CLOSED_PORT, v6=v6, protocol=protocol)
    assert answer == expected(dialect, 5, (96, 0))


@pytest.mark.parametrize("dialect", clients.DIALECTS)
@pytest.mark.parametrize("path_delay", [5, 50])
def test_refusal_arrives_when_the_request_came_in_the_syn(lab, proxy, dialect, path_delay):
    lab.emulator.set("path1", delay=path_delay)
    p = proxy()
    begin = time.monotonic()
    answer = refusal(lab, p, dialect, clients.target(), CLOSED_PORT, link=1, fastopen=True)
    assert answer == expected(dialect, 5, (96, 0))
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("dialect", clients.DIALECTS)
@pytest.mark.parametrize("server, ports", [(netlab.SERVER, ICMP), (netlab.SERVER6, ICMP6)], ids=["icmp", "icmp6"])
def test_icmp_codes(lab, walls, proxy, dialect, server, ports):
    p = proxy()
    wanted = {name: expected(dialect, socks, (97, code)) for name, (_, socks, code) in ports.items()}
    got = {name: refusal(lab, p, dialect, server, port) for name, (port, _, _) in ports.items()}
    assert got == wanted


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_a_silent_target_times_out(lab, walls, proxy, dialect):
    p = proxy({"timeouts": {"connect_seconds": 1}})
    begin = time.monotonic()
    answer = refusal(lab, p, dialect, netlab.SERVER, SILENT_PORT)
    assert answer == expected(dialect, 6, (65, 0))
    assert 0.9 < time.monotonic() - begin < 2


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_no_route(lab, proxy, dialect):
    """The concentrator has no default route."""
    assert refusal(lab, proxy(), dialect, "198.51.100.200", 80) == expected(dialect, 3, (65, 0))


@pytest.mark.parametrize("dialect", [CONVERT, MP_CONVERT])
def test_abort_and_half_close_on_the_wire(lab, proxy, capture, dialect):
    """MP_CONVERT is aborted with MP_FASTCLOSE; a Convert error is followed by an orderly end (RFC 8803 s6.2.2)."""
    p = proxy()
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    refusal(lab, p, dialect, netlab.SERVER, CLOSED_PORT)
    fastclose = seen.count(f"tcp.srcport == {p.port} && tcp.flags.reset == 1 && tcp.options.mptcp.subtype == 7")
    data = seen.count(f"tcp.srcport == {p.port} && tcp.len > 0")
    if dialect == MP_CONVERT:
        assert fastclose >= 1 and data == 0
    else:
        assert fastclose == 0 and data == 1


FORBIDDEN = {  # never opened by any rule: Convert calls them malformed (RFC 8803 s6.2.5)
    "loopback": "127.0.0.1",
    "loopback6": "::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "multicast": "224.0.0.1",
    "multicast6": "ff02::1",
    "broadcast": "255.255.255.255",
    "unspecified": "0.0.0.0",
    "unspecified6": "::",
}
DENIED = {
    "private": "10.1.2.3",
    "private6": "fd00::1",
    "shared": "100.64.0.1",
    "link-local": "169.254.1.1",
    "link-local6": "fe80::1",
    "metadata": "169.254.169.254",
    "6to4 of private": "2002:a01:203::1",
    "NAT64 of loopback": "64:ff9b::7f00:1",
}


@pytest.mark.parametrize("dialect", clients.DIALECTS)
@pytest.mark.parametrize("kind", [*FORBIDDEN, *DENIED])
def test_denied_targets_are_never_contacted(lab, proxy, dialect, kind):
    host = FORBIDDEN.get(kind) or DENIED[kind]
    p = proxy()
    before = lab.conc.counters()["TcpActiveOpens"]
    answer = refusal(lab, p, dialect, host, 7001)
    if dialect == CONVERT and kind in FORBIDDEN:
        assert isinstance(answer, tuple) and answer[0] == 1, answer
    else:
        assert answer == expected(dialect, 2, (32, 0))
    assert lab.conc.counters()["TcpActiveOpens"] == before


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_a_target_denied_by_rule_is_never_contacted(lab, proxy, origin, capture, dialect):
    p = proxy({"acl": {"rules": [{"action": "deny", "target": ["203.0.113.0/24"], "port": [origin.port]}]}})
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    assert refusal(lab, p, dialect, netlab.SERVER, origin.port) == expected(dialect, 2, (32, 0))
    assert seen.count("tcp") == 0


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_the_proxy_does_not_dial_itself(lab, proxy, dialect):
    p = proxy()
    for host in (netlab.CONC, netlab.CONC_OUT, netlab.CONC_LINK[0]):
        assert refusal(lab, p, dialect, host, p.port) == expected(dialect, 2, (32, 0))


def test_an_address_that_came_later_is_its_own_too(lab, proxy):
    p = proxy()
    late = "198.51.100.250"
    assert refusal(lab, p, SOCKS5, late, p.port) != 2
    lab.conc.ip(f"addr add {late}/32 dev lo")
    try:
        assert refusal(lab, p, SOCKS5, late, p.port) == expected(SOCKS5, 2, (32, 0))
    finally:
        lab.conc.ip(f"addr del {late}/32 dev lo")


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_a_source_that_is_not_served(lab, proxy, origin, capture, dialect):
    p = proxy({"clients": {"allow": ["192.0.2.64/26"]}})
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    assert refusal(lab, p, dialect, netlab.SERVER, origin.port, link=0) == RESET
    assert seen.count("tcp") == 0
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\nx", link=1)
    assert dialects.receive_exactly(s, 1) == b"x"
