# SPDX-License-Identifier: MIT
"""Hybrid access: the use cases of draft-nam-mptcp-deployment-considerations-01 s3 in the network of support/access.py."""
import socket

import pytest

from hybrid import (CAPABLE, DIALECTS, EVERYBODY, FAMILIES, JOIN, PORT, SYN, ask_echo, entry, exchange, finish, implicit, peer_of,
                    second_subflow, transparent, wait_subflows)
from support import access as net, clients, kernel, netlab


@FAMILIES
@DIALECTS
def test_both_ends_know_nothing(access, daemon, home, web, capture, dialect, v6):
    """UC3, dual-ended: plain TCP - CPE = two links = concentrator - plain TCP."""
    far = daemon()
    near = home.start(entry(far, dialect, v6))
    access.use_both_paths()
    first, second = capture(access.cpe, "u1"), capture(access.cpe, "u2")
    ended = len(web.events())
    s = home.call(web.port, v6)
    assert s.getpeername()[:2] == (net.SERVER[v6], web.port), "the host does not see its server"
    ask_echo(s)
    exchange(access, s)
    wait_subflows(far, 2)
    exchange(access, s)
    finish(s)
    assert net.CONC_OUT[0][v6] in peer_of(web, ended)
    to_far = f"{SYN} && tcp.dstport == {far.port}"
    assert first.count(f"{to_far} && {CAPABLE} && tcp.len > 0") == 1, "the request did not go in the SYN"
    assert second.count(f"{to_far} && {JOIN}") == 1
    assert first.count(f"ip.addr == {net.SERVER[0]} || ipv6.addr == {net.SERVER[1]}") == 0, "something went without the concentrator"
    assert near.stats()["via"]["direct_total"] == 0


@FAMILIES
@DIALECTS
def test_a_multipath_client_and_a_plain_server(access, daemon, web, dialect, v6):
    """UC1, single-ended: a machine with two accesses of its own, which knows its concentrator."""
    far = daemon()
    access.use_both_paths()
    ended = len(web.events())
    s = clients.session(access, far, dialect, web.port, link=1, v6=v6, fastopen=dialect != clients.SOCKS5)
    ask_echo(s)
    exchange(access, s)
    second_subflow(s)
    assert {local for (local, _), _ in kernel.subflow_addresses(s)} == {net.CPE_WAN[1][v6], net.CPE_WAN[2][v6]}
    wait_subflows(far, 2)
    exchange(access, s)
    finish(s)
    assert net.CONC_OUT[0][v6] in peer_of(web, ended)


@pytest.fixture
def multipath_web(access):
    """A server with two addresses that speaks Multipath TCP, and says so."""
    access.server.ip(*(f"mptcp endpoint add {address} signal" for address in net.SERVER_2))
    server = netlab.Origin(access, "-m")
    yield server
    server.stop()


def subflows_of(server, before, count=1):
    """Until the server has one more connection of Multipath TCP than before, with `count` later subflows: of an IPv6
    connection Linux makes IPv4 subflows, too."""
    def there():
        now = server.counters()
        return (now["MPTcpExtMPCapableACKRX"] - before["MPTcpExtMPCapableACKRX"] == 1
                and now["MPTcpExtMPJoinAckRx"] - before["MPTcpExtMPJoinAckRx"] >= count)
    netlab.wait_for(there, 5, "a connection with two subflows at the server")


@FAMILIES
@DIALECTS
def test_a_plain_client_and_a_multipath_server(access, daemon, multipath_web, capture, dialect, v6):
    """UC2, the data centre: the concentrator is in front of servers with two addresses."""
    p = daemon({"upstream": {"mptcp": "on"}})
    before, ended = access.server.counters(), len(multipath_web.events())
    s = access.host.open_socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.connect((net.CONC[0][v6], p.port))
    s.sendall(clients.opening(dialect, net.SERVER[v6], multipath_web.port))
    clients.expect_success(s, dialect, net.SERVER[v6], multipath_web.port)
    ask_echo(s)
    exchange(access, s)
    subflows_of(access.server, before)
    exchange(access, s)
    assert not p.sessions()[0]["mptcp"]
    finish(s)
    assert net.CONC_OUT[0][v6] in peer_of(multipath_web, ended)


@FAMILIES
def test_a_plain_client_that_knows_nothing_and_a_multipath_server(access, daemon, multipath_web, v6):
    """UC2 with a concentrator on the path that diverts."""
    access.on_path()
    access.divert(PORT, ns=access.conc, lan="a0")
    p = daemon({"upstream": {"mptcp": "on"}, "clients": {"allow": EVERYBODY}}, more_listeners=transparent())
    before = access.server.counters()
    s = access.host.open_socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.connect((net.SERVER[v6], multipath_web.port))
    assert s.getpeername()[0] == net.SERVER[v6]
    ask_echo(s)
    exchange(access, s)
    subflows_of(access.server, before)
    exchange(access, s)
    assert [x["protocol"] for x in p.sessions()] == ["transparent"]
    finish(s)


def keys(seen, v6):
    """The keys of both ends, as the third packet of a handshake has them."""
    rows = seen.query(f"{CAPABLE} && tcp.flags.syn == 0 && {'ipv6' if v6 else 'ip'}.dst == {net.SERVER[v6]}",
                      "tcp.options.mptcp.sendkey", "tcp.options.mptcp.recvkey")
    return rows[0]


@FAMILIES
def test_a_native_host_is_left_alone(access, daemon, home, multipath_web, capture, v6):
    """UC4: Multipath TCP of a host's own passes CPE and on-path concentrator from end to end, both subflows, while the same host's
    plain TCP is converted."""
    far = daemon({"clients": {"allow": EVERYBODY, "trusted": EVERYBODY}}, more_listeners=implicit(multipath_web.port))
    near = home.start(entry(far, "mp_convert", v6))
    access.divert_who_asks()
    access.masquerade()
    access.use_both_paths()
    at_host, second, at_server = (capture(ns, dev) for ns, dev in ((access.host, "h0"), (access.cpe, "u2"), (access.server, "t1")))
    before = access.server.counters()
    native = home.call(multipath_web.port, v6, kernel.IPPROTO_MPTCP)
    ask_echo(native)
    exchange(access, native)
    subflows_of(access.server, before)
    plain = home.call(multipath_web.port, v6)
    ask_echo(plain)
    exchange(access, plain, seed=4)
    exchange(access, native)
    assert kernel.is_mptcp(native) and kernel.mptcp_info(native)["subflows"] >= 1
    assert near.stats()["sessions"]["accepted_total"] == far.stats()["sessions"]["accepted_total"] == 1
    assert access.counted("native") == 1 and access.counted("diverted") == 1
    finish(native)
    finish(plain)
    assert keys(at_host, v6) == keys(at_server, v6), "somebody stands between"
    assert second.count(f"{SYN} && {JOIN} && {'ipv6.dst' if v6 else 'ip.dst'} == {net.SERVER_2[v6]}") == 1


@pytest.mark.parametrize("legs", [(0, 0), (1, 1), (0, 1), (1, 0)], ids=["4", "6", "4+6", "6+4"])
@FAMILIES
def test_the_mixtures_of_families(access, daemon, home, web, v6, legs):
    """A6, A7: the host and its server speak one family, the subflows between CPE and concentrator another, or both. For the other
    family the concentrator announces its address."""
    far = daemon()
    home.start(entry(far, "mp_convert", legs[0]))
    if legs[0] == legs[1]:
        access.use_both_paths()
    else:
        other = net.CONC[0][legs[1]]
        access.conc.ip(f"mptcp endpoint add {other} signal")
        access.cpe.ip(f"route replace {other} via {net.ROUTER_WAN[2][legs[1]]} dev u2", family="-6" if legs[1] else "-4")
    ended = len(web.events())
    s = home.call(web.port, v6)
    assert s.getpeername()[:2] == (net.SERVER[v6], web.port)
    ask_echo(s)
    exchange(access, s)
    wait_subflows(far, 2)
    exchange(access, s)
    (seen,) = far.sessions()
    listed = {f["remote"].rsplit(":", 1)[0].strip("[]") for f in far.json(f"/v1/sessions/{seen['id']}")["mptcp"]["subflow_list"]}
    assert listed == {net.CPE_WAN[1][legs[0]], net.CPE_WAN[2][legs[1]]}
    finish(s)
    assert net.CONC_OUT[0][v6] in peer_of(web, ended)


@FAMILIES
def test_several_concentrators_by_service(access, daemon, home, web, v6):
    """UC5: which concentrator is asked depends on where a connection goes, and to which port; none takes another's place."""
    general, special = daemon(), daemon(ns=access.conc2)
    near = home.start(entry(general, v6=v6, targets=[f"{net.SERVER[v6]}/{128 if v6 else 32}"]),
                      entry(special, v6=v6, targets=[net.SERVER_2[v6]], ports=["1024-65535"]))
    for n, (to, asked) in enumerate([(net.SERVER, general), (net.SERVER_2, special), (net.SERVER, general)], 1):
        before = asked.stats()["sessions"]["accepted_total"]
        s = home.call(web.port, v6, to=to)
        ask_echo(s)
        exchange(access, s, 1000)
        finish(s)
        assert asked.stats()["sessions"]["accepted_total"] == before + 1
    special.kill()
    with pytest.raises(ConnectionResetError):
        home.call(web.port, v6, to=net.SERVER_2).recv(1)
    with pytest.raises(ConnectionResetError):
        home.call(80, v6, to=net.SERVER_2).recv(1)
    assert general.stats()["sessions"]["accepted_total"] == 2
    assert near.stats()["via"]["direct_total"] == 0


@FAMILIES
def test_nobody_is_addressed(access, daemon, home, web, capture, v6):
    """UC3 in implicit mode: the CPE dials the server itself and says that it would like a concentrator; the one on the path takes
    the connection, and later subflows."""
    access.divert_who_asks()
    far = daemon({"clients": {"allow": EVERYBODY, "trusted": EVERYBODY}}, more_listeners=implicit(web.port))
    home.start(implicit=True)
    access.use_both_paths()
    first, second = capture(access.cpe, "u1"), capture(access.cpe, "u2")
    ended = len(web.events())
    s = home.call(web.port, v6)
    assert s.getpeername()[:2] == (net.SERVER[v6], web.port)
    ask_echo(s)
    exchange(access, s)
    wait_subflows(far, 2)
    exchange(access, s)
    finish(s)
    assert net.CONC_OUT[0][v6] in peer_of(web, ended)
    to_server = f"{SYN} && {'ipv6' if v6 else 'ip'}.dst == {net.SERVER[v6]}"
    assert first.count(f"{to_server} && {CAPABLE} && tcp.len == 8") == 1
    assert second.count(f"{to_server} && {JOIN}") == 1
