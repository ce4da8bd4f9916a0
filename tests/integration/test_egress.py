# SPDX-License-Identifier: MIT
"""Which address a server sees: the modes of egress, as the origin tells of its peers."""
import contextlib
import ipaddress
import json
import os

import pytest

from hybrid import Home, ask_echo, entry, exchange
from support import access as net, clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, MPTCP, SOCKS5, TCP
from test_on_path import ASK, ask, on_path  # noqa: F401
from test_transparent import gateway  # noqa: F401
from test_transparent_exact import Host, cpe  # noqa: F401

FAMILIES = pytest.mark.parametrize("v6", [0, 1], ids=["ipv4", "ipv6"])
RULES = os.path.join(netlab.ROOT, "conf", "nft", "preserve.nft")
TABLE, MARK = "7374", "0x6d70"
POOL = ("198.51.100.16/28", "2001:db8:e::/64")
ONE = ("198.51.100.9", "2001:db8:e:1::9")
MAPPED = ("198.51.100.64/26", "2001:db8:f::/64")
LAN = "2001:db8:1a:7::42"  # a host behind the client, which the client tells of
ANYTHING = "SOURCE 10 1\n"


def routed(lab, *prefixes):
    """Addresses of the concentrator's, as its operator routes them to it."""
    for prefix in prefixes:
        lab.conc.ip(f"route replace local {prefix} dev lo", family="-6" if ":" in prefix else "-4")


@pytest.fixture
def egress(lab, proxy):
    """egress(policy, ...): a running daemon with that default policy, and the routes of its pool, map and clients."""
    lab.server.run("ip", "-6", "route", "replace", "default", "via", netlab.CONC_OUT6)
    routed(lab, *POOL, *MAPPED, *ONE)

    def start(protocol="off", more_listeners=(), **policy):
        return proxy({"egress": [{"name": "default", **policy}], "upstream": {"mptcp": protocol}}, more_listeners=more_listeners)

    yield start
    for prefix in (*POOL, *MAPPED, *ONE):
        lab.conc.run("ip", "-6" if ":" in prefix else "-4", "route", "del", "local", prefix, "dev", "lo", check=False)


@contextlib.contextmanager
def answers_of(ns, wan):
    """The rules that bring answers to clients' addresses back, as an operator sets them."""
    for family in ("-4", "-6"):
        ns.run("ip", family, "rule", "add", "fwmark", MARK, "lookup", TABLE)
        ns.run("ip", family, "route", "replace", "local", "default", "dev", "lo", "table", TABLE)
    ns.run("nft", "-D", f'wan={{ "{wan}" }}', "-f", RULES)
    yield
    ns.run("nft", "delete", "table", "inet", "mpconvert_preserve")
    for family in ("-4", "-6"):
        ns.run("ip", family, "route", "flush", "table", TABLE)
        ns.run("ip", family, "rule", "del", "fwmark", MARK, "lookup", TABLE)


@pytest.fixture
def preserving(lab, egress):
    """The same, with those rules."""
    with answers_of(lab.conc, "s0"):
        yield egress


def peer(event):
    """(address, port) of an origin's event."""
    host, port = event["peer"].rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    return str(address.ipv4_mapped or address), int(port)


def seen(lab, p, origin, v6=0, dialect=SOCKS5, **how):
    """Whom the server sees, of one connection that works."""
    ended = len(origin.events())
    s = clients.session(lab, p, dialect, origin.port, early=ANYTHING.encode(), v6=v6, **how)
    assert dialects.receive_all(s) == dialects.stream(lab, 10, 1)
    s.close()
    return peer(origin.wait_events(ended + 1)[-1])


def refused(lab, p, origin, v6=0, dialect=SOCKS5, opening=None, link=0):
    s = clients.dial(lab, p, v6=v6, link=link)
    s.sendall(opening or clients.opening(dialect, clients.target(v6), origin.port))
    said = clients.failure(s, dialect)
    s.close()
    return said


def telling(lab, p, origin, source, port=0, target=None, v6=1):
    """A connection whose request has a D=1 element."""
    s = clients.dial(lab, p, v6=v6)
    request = (dialects.mp_convert(target or clients.target(v6), origin.port, last=False)
               + dialects.mp_convert(source, port, source=True))
    s.sendall(request + ANYTHING.encode())
    return s, request


def told(lab, p, origin, source, **how):
    """Whom the server sees of it."""
    ended = len(origin.events())
    s, request = telling(lab, p, origin, source, **how)
    assert dialects.receive_all(s) == request + dialects.stream(lab, 10, 1)
    s.close()
    return peer(origin.wait_events(ended + 1)[-1])


def client(v6, link=0):
    return str(ipaddress.ip_address((netlab.CLIENT6 if v6 else netlab.CLIENT)[link]))


def logs(p, text):
    netlab.wait_for(lambda: text in p.log(), 5, f"{text} in the log")


# ---- share ----


@FAMILIES
@pytest.mark.parametrize("upstream", ["off", "on"])
def test_a_pool_is_shared(lab, egress, origin, v6, upstream):
    p = egress(protocol=upstream, pool=POOL)
    address = seen(lab, p, origin, v6)[0]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(POOL[v6])
    assert (netlab.CONC_OUT6, netlab.CONC_OUT)[not v6] != address
    assert "is not this machine's" not in p.log()


@FAMILIES
def test_all_connections_of_a_subscriber_leave_from_one_address(lab, egress, origin, v6):
    """RFC 8803 s4.3, RFC 4787 REQ-2: whatever the worker, the dialect and the listener's family."""
    p = egress(pool=POOL)
    ended = len(origin.events())
    open_ones = [clients.session(lab, p, clients.DIALECTS[i % 3], origin.port, v6=v6, protocol=(TCP, MPTCP)[i % 2]) for i in range(50)]
    peers = {s["egress"]["address"] for s in p.json("/v1/sessions?limit=100")["sessions"]}
    ports = {s["egress"]["port"] for s in p.json("/v1/sessions?limit=100")["sessions"]}
    for s in open_ones:
        s.close()
    assert len(peers) == 1 and len(ports) == 50
    assert {peer(e)[0] for e in origin.wait_events(ended + 50)[ended:]} == peers
    listeners = p.stats()["listeners"]
    assert len(listeners) == 1


def test_subscribers_are_spread(lab, egress, origin):
    """Addresses of the client's that differ within the configured lengths are others; within one /56 they are one."""
    p = egress(pool=POOL, subscriber_prefix6=60)
    v4 = {seen(lab, p, origin, 0, link=i)[0] for i in range(3)}
    assert len(v4) > 1
    assert len({seen(lab, p, origin, 1, link=i)[0] for i in range(3)}) == 1


def test_a_reload_changes_the_pool(lab, egress, origin):
    p = egress(pool=[ONE[0]])
    assert seen(lab, p, origin)[0] == ONE[0]
    kept = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    p.reconfigure({"egress": [{"name": "default", "pool": [POOL[0]]}]})
    logs(p, "event=reloaded")
    assert ipaddress.ip_address(seen(lab, p, origin)[0]) in ipaddress.ip_network(POOL[0])
    assert p.sessions()[0]["egress"]["address"] == ONE[0]
    kept.sendall(b"x")
    assert dialects.receive_exactly(kept, 1) == b"x"
    kept.close()


@FAMILIES
def test_an_address_that_is_not_ours(lab, egress, origin, v6):
    """Told when it is configured, and when it is used."""
    p = egress(pool=[("198.51.100.200", "2001:db8:ee::1")[v6]])
    logs(p, "is not this machine's: connections from there fail")
    assert refused(lab, p, origin, v6) == 1
    assert refused(lab, p, origin, v6, CONVERT) == (65, 0)
    assert p.stats()["egress"]["unavailable_total"] == 2
    logs(p, "outcome=EGRESS_FAILED")


def test_ports_of_an_address_run_out(lab, egress, origin):
    """No other address is taken: the subscriber would be two."""
    lab.conc.sysctl(net__ipv4__ip_local_port_range="40000 40003")
    try:
        p = egress(pool=[ONE[0]])
        held = [clients.session(lab, p, SOCKS5, origin.port) for _ in range(4)]
        assert refused(lab, p, origin) == 1
        assert p.stats()["upstream"]["port_exhausted_total"] == 1
        assert {s["egress"]["address"] for s in p.sessions() if s["egress"]} == {ONE[0]}
        with lab.server:  # another target has ports of its own
            other = netlab.Origin(lab)
        held.append(clients.session(lab, p, SOCKS5, other.port))
        for s in held:
            s.close()
        other.stop()
    finally:
        lab.conc.sysctl(net__ipv4__ip_local_port_range="32768 60999")


def test_the_client_can_learn_its_external_address(lab, egress, origin):
    """SOCKS5's BND is what the server sees (RFC 1928 s6)."""
    p = egress(pool=POOL)
    ended = len(origin.events())
    s = clients.dial(lab, p)
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port) + ANYTHING.encode())
    assert dialects.receive_exactly(s, 2) == b"\x05\x00"
    code, *bound = dialects.receive_socks5_reply(s)
    dialects.receive_all(s)
    s.close()
    assert code == 0 and tuple(bound) == peer(origin.wait_events(ended + 1)[-1])
    logs(p, f"egress={bound[0]}:{bound[1]}")


# ---- one_to_one ----


@FAMILIES
def test_each_client_has_an_address_of_its_own(lab, egress, origin, v6):
    """A prefix for a prefix keeps the host's bits (for IPv6: NPTv6's effect)."""
    p = egress(ipv4="one_to_one", ipv6="one_to_one",
               map=[{"client": "192.0.2.0/26", "egress": MAPPED[0]}, {"client": "2001:db8::/64", "egress": MAPPED[1]}])
    assert seen(lab, p, origin, v6)[0] == ("198.51.100.65", "2001:db8:f::1")[v6]


def test_the_longest_row_counts_and_an_address_may_be_of_any_family(lab, egress, origin):
    p = egress(ipv4="one_to_one", map=[{"client": "192.0.2.0/26", "egress": MAPPED[0]}, {"client": client(0), "egress": ONE[0]},
                                       {"client": "2001:db8::/56", "egress": "198.51.100.100"}])
    assert seen(lab, p, origin)[0] == ONE[0]
    s = clients.dial(lab, p, v6=1)
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port))
    clients.expect_success(s, SOCKS5, netlab.SERVER, origin.port)
    assert [x["egress"]["address"] for x in p.sessions()] == ["198.51.100.100"]
    s.close()


def test_a_client_without_a_row(lab, egress, origin):
    rows = [{"client": "192.0.2.64/26", "egress": MAPPED[0]}]
    p = egress(ipv4="one_to_one", map=rows, pool=[ONE[0]])
    assert refused(lab, p, origin) == 2
    assert refused(lab, p, origin, dialect=CONVERT) == (32, 0)
    assert refused(lab, p, origin, dialect=MP_CONVERT) == clients.RESET
    assert p.stats()["egress"]["denied_total"] == {"no_address": 3, "source": 0}
    p.reconfigure({"egress": [{"name": "default", "ipv4": "one_to_one", "map": rows, "pool": [ONE[0]], "otherwise": "share"}]})
    logs(p, "event=reloaded")
    assert seen(lab, p, origin)[0] == ONE[0]


# ---- preserve ----


@FAMILIES
@pytest.mark.parametrize("upstream", ["off", "on"])
def test_the_clients_address_is_preserved(lab, preserving, origin, v6, upstream):
    p = preserving(protocol=upstream, ipv4="preserve", ipv6="preserve")
    ended = len(origin.events())
    s = clients.session(lab, p, CONVERT, origin.port, v6=v6, early=b"SOURCE 300000 3\n")
    assert dialects.receive_all(s) == dialects.stream(lab, 300000, 3)
    s.close()
    assert peer(origin.wait_events(ended + 1)[-1])[0] == client(v6)


@FAMILIES
def test_an_mptcp_server_sees_it_too(lab, preserving, v6):
    server = netlab.Origin(lab, "-m")
    p = preserving(protocol="on", ipv4="preserve", ipv6="preserve")
    assert seen(lab, p, server, v6)[0] == client(v6)
    assert p.stats()["upstream"]["mptcp_total"] == 1
    server.stop()


@FAMILIES
def test_the_port_may_be_kept(lab, preserving, origin, v6):
    p = preserving(ipv4="preserve", ipv6="preserve", keep_port=True)
    ended = len(origin.events())
    s = clients.session(lab, p, SOCKS5, origin.port, v6=v6)
    mine = s.getsockname()[:2]
    s.sendall(ANYTHING.encode())
    assert len(dialects.receive_all(s)) == 10
    s.close()
    assert peer(origin.wait_events(ended + 1)[-1]) == mine


def test_a_port_that_cannot_be_kept(lab, preserving, origin):
    """The daemon's own listener has it: the client's connection is refused, rather than another port taken."""
    p = preserving(ipv4="preserve", keep_port=True)
    s = lab.client.open_socket()
    s.bind((client(0), p.port))
    s.connect(clients.address(p, 0))
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port))
    assert clients.failure(s, SOCKS5) == 1
    s.close()
    assert p.stats()["upstream"]["port_exhausted_total"] == 1


@pytest.fixture
def unseen(lab):
    """Changes for a converter on the path: its customers' address and port are what servers see. And the rule for the answers; the
    routes are those of diverted connections."""
    lab.conc.run("nft", "-D", 'wan={ "s0" }', "-f", RULES)
    return {"egress": [{"name": "default", "ipv4": "preserve", "ipv6": "preserve", "keep_port": True}]}


@FAMILIES
def test_nobody_sees_a_converter_on_the_path(lab, gateway, unseen, origin, v6):  # noqa: F811
    """UC2 with both sides transparent."""
    p = gateway(unseen)
    ended = len(origin.events())
    s = clients.new_socket(lab, 0, v6, TCP)
    s.connect((clients.target(v6), origin.port))
    mine = s.getsockname()[:2]
    s.sendall(b"SOURCE 300000 3\n")
    assert dialects.receive_all(s) == dialects.stream(lab, 300000, 3)
    s.close()
    assert peer(origin.wait_events(ended + 1)[-1]) == mine
    assert p.stats()["sessions"]["accepted_total"] == 1


@FAMILIES
def test_nor_one_that_is_exact(lab, cpe, unseen, origin, v6):  # noqa: F811
    """The SYN to the server has the address and port of the host whose own SYN is still unanswered."""
    p = cpe(unseen)
    ended = len(origin.events())
    c = Host(lab, origin.port, v6)
    assert c.wait() == ""
    mine = c.socket.getsockname()[:2]
    c.socket.sendall(ANYTHING.encode())
    assert len(dialects.receive_exactly(c.socket, 10)) == 10
    c.socket.close()
    assert peer(origin.wait_events(ended + 1)[-1]) == mine
    assert p.stats()["exact"]["confirmed_total"] == 1


@FAMILIES
def test_nor_an_implicit_one(lab, on_path, unseen, origin, v6):  # noqa: F811
    """nam-01 s5.2.2 and s5.4.1: the customer asks for conversion on the path, and keeps its address."""
    p = on_path(origin.port, unseen)
    ended = len(origin.events())
    s = ask(lab, origin.port, ASK + ANYTHING.encode(), v6)
    mine = s.getsockname()[:2]
    assert dialects.receive_all(s) == ASK + dialects.stream(lab, 10, 1)
    s.close()
    assert peer(origin.wait_events(ended + 1)[-1]) == mine
    assert p.stats()["mptcp"]["sessions_total"] == 1


def test_no_address_of_the_targets_family(lab, preserving, origin):
    """N4: the client's connection may be of another family than the target, but no address is translated."""
    p = preserving(ipv4="preserve", ipv6="preserve", otherwise="refuse")
    assert refused(lab, p, origin, v6=0, opening=clients.opening(SOCKS5, netlab.SERVER6, origin.port)) == 2
    assert refused(lab, p, origin, v6=1, opening=clients.opening(SOCKS5, netlab.SERVER, origin.port)) == 2
    assert p.stats()["egress"]["denied_total"]["no_address"] == 2


def test_a_client_is_not_connected_to_itself(lab, preserving, origin):
    p = preserving(ipv4="preserve")
    assert refused(lab, p, origin, opening=clients.opening(SOCKS5, client(0), 7)) == 2
    assert p.stats()["egress"]["denied_total"]["source"] == 1


# ---- preserve_address ----


@pytest.fixture
def behind(lab, preserving):
    """A policy that honours D=1 for 2001:db8:1a::/48 of this client, and a route for the answers."""
    return lambda **more: preserving(ipv6="preserve_address",
                                     **{"assigned": [{"client": "2001:db8::/64", "prefixes": ["2001:db8:1a::/48"]}], **more})


@pytest.mark.parametrize("upstream", ["off", "on"])
def test_the_hosts_own_address_is_preserved(lab, behind, origin, upstream):
    p = behind(protocol=upstream)
    assert told(lab, p, origin, LAN)[0] == LAN
    logs(p, f"told_source=[{LAN}]:0")


def test_the_hosts_port_may_be_kept(lab, behind, origin):
    assert told(lab, behind(keep_port=True), origin, LAN, port=50123) == (LAN, 50123)


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_without_the_element_the_prefix_is_preserved(lab, behind, origin, dialect):
    """RFC 8803 and SOCKS have no such element: the server sees the CPE."""
    assert seen(lab, behind(), origin, 1, dialect)[0] == client(1)


FORGED = {
    "another_customer": "2001:db8:1b::1", "not_ipv6": "192.0.2.77", "mapped": "::ffff:192.0.2.77", "link_local": "fe80::1",
    "target": netlab.SERVER6, "multicast": "ff0e::1", "loopback": "::1", "unspecified": "::", "mapped_loopback": "::ffff:127.0.0.1",
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_source_is_refused(lab, behind, origin, kind):
    """N2: whatever it is, no octet is answered and nobody is connected to."""
    p = behind()
    s, _ = telling(lab, p, origin, FORGED[kind])
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    s.close()
    stats = p.stats()
    malformed = kind in ("multicast", "loopback", "unspecified", "mapped_loopback")  # draft -10 s5.2: before any policy
    assert stats["egress"]["denied_total"]["source"] == (0 if malformed else 1)
    assert stats["upstream"]["connect_attempts_total"] == 0
    logs(p, f"outcome={'FORBIDDEN_ADDRESS' if malformed else 'SOURCE_DENIED'}")


def test_the_target_itself_is_no_source(lab, behind, origin):
    p = behind(assigned=[{"client": "2001:db8::/32", "prefixes": ["2001:db8::/32"]}])
    s, _ = telling(lab, p, origin, netlab.SERVER6)
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    assert p.stats()["egress"]["denied_total"]["source"] == 1


def test_what_shares_the_clients_prefix_may_be_its_own(lab, behind, origin):
    p = behind(assigned=[], assigned_prefix6=56)
    assert told(lab, p, origin, "2001:db8:0:9::7")[0] == "2001:db8:0:9::7"
    s, _ = telling(lab, p, origin, "2001:db8:0:100::7")
    with pytest.raises(ConnectionResetError):
        s.recv(1)


@FAMILIES
def test_in_sharing_modes_the_element_is_for_the_log_only(lab, egress, origin, v6):
    p = egress(pool=POOL)
    source = ("192.0.2.77", LAN)[v6]
    assert ipaddress.ip_address(told(lab, p, origin, source, v6=v6)[0]) in ipaddress.ip_network(POOL[v6])
    logs(p, f"told_source={f'[{source}]' if v6 else source}:0")


# ---- both ends ----


@pytest.mark.parametrize("keep_port", [False, True])
def test_the_server_sees_the_host_behind_the_cpe(access, daemon, web, keep_port):
    """UC3, IPv6: plain TCP - CPE = Multipath TCP = concentrator - plain TCP, and the server sees the host's own address."""
    access.on_path()
    with answers_of(access.conc, "o0"):
        far = daemon({"egress": [{"name": "default", "ipv6": "preserve_address", "keep_port": keep_port,
                                  "assigned": [{"client": net.CPE_WAN[1][1], "prefixes": ["2001:db8::/64"]}]}]})
        near = Home(access, daemon)
        near.start(entry(far, v6=1, tell_source=True))
        ended = len(web.events())
        s = near.call(web.port, 1)
        mine = s.getsockname()[:2]
        ask_echo(s)
        exchange(access, s)
        s.close()
        host, port = peer(web.wait_events(ended + 1)[-1])
    assert host == mine[0] and (not keep_port or port == mine[1])
    logs(far, f"told_source=[{mine[0]}]:{mine[1]}")


@FAMILIES
def test_a_concentrator_that_shares_logs_the_host(access, daemon, web, v6):
    far = daemon()
    near = Home(access, daemon)
    near.start(entry(far, v6=v6, tell_source=True))
    ended = len(web.events())
    s = near.call(web.port, v6)
    host, port = s.getsockname()[:2]
    ask_echo(s)
    exchange(access, s, 1000)
    s.close()
    assert net.CONC_OUT[0][v6] in web.wait_events(ended + 1)[-1]["peer"]
    logs(far, f"told_source={f'[{host}]' if v6 else host}:{port}")


def test_another_customers_host_is_refused(access, daemon, web):
    """N2 with a real CPE: the concentrator does not know that the host is this customer's."""
    access.on_path()
    with answers_of(access.conc, "o0"):
        far = daemon({"egress": [{"name": "default", "ipv6": "preserve_address",
                                  "assigned": [{"client": "2001:db8::/32", "prefixes": ["2001:db8:77::/48"]}]}]})
        near = Home(access, daemon)
        near.start(entry(far, v6=1, tell_source=True))
        with pytest.raises(ConnectionResetError):
            near.call(web.port, 1).recv(1)
        assert far.stats()["egress"]["denied_total"]["source"] == 1


# ---- several policies ----


def test_listeners_choose_their_policy(lab, egress, proxy, origin):
    extra = lab.conc.free_port()
    p = proxy({"egress": [{"name": "gold", "pool": [ONE[0]]}]},
              more_listeners=[{"name": "gold", "address": f"[::]:{extra}", "egress": "gold"}])
    assert seen(lab, p, origin)[0] == netlab.CONC_OUT
    p.port = extra
    assert seen(lab, p, origin)[0] == ONE[0]


def test_preserving_needs_cap_net_admin(lab, program, tmp_path):
    """The start says what is missing."""
    path = tmp_path / "mpconvertd.json"
    path.write_text(json.dumps({"listeners": [{"name": "x", "address": f"[::]:{lab.conc.free_port()}"}], "stats": {"address": None},
                                "egress": [{"name": "default", "ipv6": "preserve"}]}))
    done = lab.conc.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", program, "-c", path, check=False)
    assert done.returncode == 1
    assert b'listener x: egress \\"default\\" preserves clients\' addresses, which needs CAP_NET_ADMIN' in done.stderr, done.stderr


def test_a_reload_cannot_bring_it(lab, egress, origin):
    """The capability was dropped at the start: the daemon goes on as it was."""
    p = egress(pool=[ONE[0]])
    p.reconfigure({"egress": [{"name": "default", "ipv4": "preserve"}]})
    logs(p, "needs CAP_NET_ADMIN")
    assert seen(lab, p, origin)[0] == ONE[0]


# ---- the doctor ----


def doctor(lab, program, folder, **policy):
    """(verdict, found, advice) of the check."""
    path = folder / "mpconvertd.json"
    path.write_text(json.dumps({"egress": [{"name": "default", **policy}], "stats": {"address": None}}))
    said = json.loads(lab.conc.run(program, "--doctor", "--json", "-c", path, check=False).stdout)
    return next((c["verdict"], c["found"], c["advice"]) for c in said["checks"] if c["name"] == "egress")


def test_the_doctor_looks_for_the_pool(lab, egress, program, tmp_path):
    assert doctor(lab, program, tmp_path, pool=[*POOL, *ONE])[0] == "good"
    verdict, found, advice = doctor(lab, program, tmp_path, pool=[*POOL, "198.51.100.200"])
    assert verdict == "bad" and "pool 198.51.100.200/32 is not" in found and advice == "ip route add local 198.51.100.200/32 dev lo"
    rows = [{"client": "2001:db8::/64", "egress": "2001:db8:77::/64"}]
    assert "map 2001:db8:77::/64 is not" in doctor(lab, program, tmp_path, ipv6="one_to_one", map=rows)[1]
    assert doctor(lab, program, tmp_path, map=rows)[0] == "good", "no mode uses the map"


def test_the_doctor_looks_for_the_way_back(lab, program, tmp_path):
    for family in ("ipv4", "ipv6"):
        verdict, found, advice = doctor(lab, program, tmp_path, **{family: "preserve"})
        assert verdict == "bad" and "preserves addresses" in found and "preserve.nft" in advice
    with answers_of(lab.conc, "s0"):
        assert doctor(lab, program, tmp_path, ipv4="preserve", ipv6="preserve")[0] == "good"
