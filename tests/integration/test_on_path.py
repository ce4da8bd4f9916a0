# SPDX-License-Identifier: MIT
"""A concentrator on the path of its customers' traffic: conf/nft/on-path.nft and implicit listeners. The lab's client is the
customer; the concentrator's machine routes between it and the server."""
import ipaddress
import json
import os
import signal
import socket

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import MPTCP, TCP
from test_refusals import CLOSED_PORT

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
RULES = os.path.join(netlab.ROOT, "conf", "nft", "on-path.nft")
CUSTOMERS = 'customers={ "k0", "k1", "k2" }'
TOKENS, ALIVE = "inet mpconvert_onpath tokens", "inet mpconvert_onpath alive"
ASK = bytes.fromhex("faa8faa800040001")  # MP_CONVERT: an element without address, the last one


def load_rules(lab):
    lab.conc.run("nft", "-D", CUSTOMERS, "-f", RULES)


def routes(ns, verb):
    """What has the rules' mark is for this machine."""
    for family in ("-4", "-6"):
        ns.run("ip", family, "rule", verb, "fwmark", "0x6d70", "lookup", "7374", check=verb == "add")
        ns.run("ip", family, "route", "flush", "table", "7374", check=False)
        if verb == "add":
            ns.run("ip", family, "route", "replace", "local", "default", "dev", "lo", "table", "7374")


def implicit(port, **options):
    """Two listeners for connections to that port."""
    return [{"name": name, "address": f"{address}:{port}", "transparent": True, "implicit": True, "protocols": ["mp_convert"],
             **options} for name, address in (("on4", "127.0.0.1"), ("on6", "[::1]"))]


@pytest.fixture
def on_path(lab, proxy):
    """on_path(port, ...): a running daemon with implicit listeners for connections to that port; rules and routes."""

    def start(port, changes=None, **options):
        return proxy(changes, more_listeners=implicit(port, **options))

    routes(lab.conc, "add")
    load_rules(lab)
    lab.conc.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    lab.server.run("ip", "-6", "route", "replace", "default", "via", netlab.CONC_OUT6)
    yield start
    lab.conc.sysctl(net__ipv4__ip_forward=0, net__ipv6__conf__all__forwarding=0, net__ipv4__tcp_early_demux=1)
    routes(lab.conc, "del")


def ask(lab, port, data=ASK, v6=False, link=1, host=None, protocol=MPTCP):
    """Connecting to the server, `data` in the SYN."""
    s = clients.new_socket(lab, link, v6, protocol)
    s.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
    s.sendto(data, kernel.MSG_FASTOPEN, (host or clients.target(v6), port))
    return s


def asked(lab, port, v6=False):
    """The same, and the answer taken: converted."""
    s = ask(lab, port, v6=v6)
    assert dialects.receive_exactly(s, len(ASK)) == ASK
    return s


def elements(lab, name="tokens"):
    """What is in a set of the rules."""
    listed = json.loads(lab.conc.run("nft", "-j", "list", "set", "inet", "mpconvert_onpath", name).stdout)
    return next(x["set"].get("elem", []) for x in listed["nftables"] if "set" in x)


def counted(lab, name="diverted", ns=None):
    out = (ns or lab.conc).run("nft", "list", "counter", "inet", "mpconvert_onpath", name).stdout.decode()
    return int(out.split("packets ")[1].split()[0])


@FAMILIES
def test_who_asks_is_converted(lab, on_path, origin, v6):
    p = on_path(origin.port)
    ended = len(origin.events())
    s = ask(lab, origin.port, ASK + b"SOURCE 300000 3\n", v6)
    assert dialects.receive_exactly(s, len(ASK)) == ASK
    assert dialects.receive_exactly(s, 300000) == dialects.stream(lab, 300000, 3)
    assert s.getpeername()[:2] == (clients.target(v6), origin.port)
    assert kernel.is_mptcp(s)
    seen = p.sessions()
    s.close()
    assert [(x["protocol"], x["listener"]) for x in seen] == [("plain", "on6" if v6 else "on4")]
    assert (netlab.CONC_OUT6 if v6 else netlab.CONC_OUT) in origin.wait_events(ended + 1)[-1]["peer"]
    assert counted(lab) == 1


def tokens(lab, name="tokens"):
    """What is in the set."""
    listed = json.loads(lab.conc.run("nft", "-j", "list", "set", "inet", "mpconvert_onpath", name).stdout)
    return next(x["set"].get("elem", []) for x in listed["nftables"] if "set" in x)


def received(lab):
    """Octets that came in over the customer's two links so far."""
    links = json.loads(lab.client.run("ip", "-j", "-s", "link").stdout)
    return [x["stats64"]["rx"]["bytes"] for x in links if x["ifname"] in ("c1", "c2")]


def check_both_paths(lab, s):
    """A download over two subflows, each of which carries a fair part."""
    before = received(lab)
    s.sendall(b"SOURCE 3000000 3\n")
    assert dialects.receive_exactly(s, 3000000) == dialects.stream(lab, 3000000, 3)
    assert all(now - then > 300000 for now, then in zip(received(lab), before)), "one path only"


@FAMILIES
def test_joins_find_their_connection_by_its_token(lab, on_path, origin, v6):
    p = on_path(origin.port, join_tokens=TOKENS)
    s = asked(lab, origin.port, v6)
    netlab.wait_for(lambda: elements(lab), 5, "its token")
    lab.use_both_paths()
    netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
    check_both_paths(lab, s)
    assert counted(lab, "joins") == 1
    session = p.json(f"/v1/sessions/{p.sessions()[0]['id']}")
    assert session["mptcp"]["subflows"] == 2 and elements(lab) == [int(session["mptcp"]["token"], 16)]
    s.close()
    netlab.wait_for(lambda: not elements(lab), 5, "an empty set")


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_joins_come_to_an_announced_address(lab, on_path, origin, v6):
    """Without tokens, and so at any port: the customer joins the concentrator's own address and leaves the server's alone."""
    p = on_path(origin.port)
    announced = (netlab.CONC_LINK6 if v6 else netlab.CONC_LINK)[2]
    lab.conc.sysctl(net__mptcp__allow_join_initial_addr_port=0)
    lab.conc.sysctl(net__ipv4__tcp_timestamps=0)  # beside them IPv6 address and port do not fit into a segment
    try:
        lab.conc.ip(f"mptcp endpoint add {announced} port 7777 signal")
        lab.use_both_paths()
        s = asked(lab, origin.port, v6)
        netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
        assert (announced, 7777) in [remote for _, remote in kernel.subflow_addresses(s)]
        check_both_paths(lab, s)
        assert counted(lab, "joins") == 0 and p.sessions()[0]["mptcp"]["subflows"] == 2
        s.close()
    finally:
        lab.conc.sysctl(net__mptcp__allow_join_initial_addr_port=1, net__ipv4__tcp_timestamps=1)


@pytest.fixture
def service(lab):
    """A server that has MPTCP: listening at a port of its own."""
    with lab.server:
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, MPTCP)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    s.bind(("::", 0))
    s.listen()
    s.settimeout(10)
    yield s
    s.close()


def accepted(service):
    """(connection, its peer's address)."""
    peer, address = service.accept()
    peer.settimeout(10)
    at = ipaddress.ip_address(address[0])
    return peer, str(getattr(at, "ipv4_mapped", None) or at)


@FAMILIES
def test_native_multipath_passes_untouched(lab, on_path, service, v6):
    """End to end, with both subflows, at the very port where others are converted at the same time."""
    port = service.getsockname()[1]
    p = on_path(port, join_tokens=TOKENS)
    converted = asked(lab, port, v6)
    there, address = accepted(service)
    assert address == (netlab.CONC_OUT6 if v6 else netlab.CONC_OUT) and not kernel.is_mptcp(there)
    lab.use_both_paths()
    native = clients.new_socket(lab, 1, v6)
    native.connect((clients.target(v6), port))
    peer, address = accepted(service)
    assert address == (netlab.CLIENT6 if v6 else netlab.CLIENT)[1], "somebody stands between"
    native.sendall(b"hello")
    assert peer.recv(5) == b"hello"
    for s in (native, peer, converted):
        netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
    assert kernel.mptcp_info(native)["token"] not in elements(lab) and len(elements(lab)) == 1
    assert counted(lab) == counted(lab, "joins") == p.stats()["sessions"]["accepted_total"] == 1
    for s in (native, peer, converted, there):
        s.close()


NOT_ASKING = {
    "tcp with the element in its SYN": (TCP, ASK, b""),  # only MP_CAPABLE asks
    "no data in the SYN": (MPTCP, b"", ASK),
    "the element in two segments": (MPTCP, ASK[:5], ASK[5:]),
    "an element with an address": (MPTCP, dialects.mp_convert(netlab.SERVER, 443), b""),
    "a source first": (MPTCP, dialects.mp_convert("192.0.2.9", 1, source=True, last=False) + ASK, b""),
    "another magic": (MPTCP, b"\xfa\xa8\xfa\xa9" + ASK[4:], b""),
    "data of its own": (MPTCP, b"GET / HTTP/1.0\r\n\r\n", b""),
}


@pytest.mark.parametrize("case", NOT_ASKING)
@FAMILIES
def test_who_does_not_ask_is_left_alone(lab, on_path, service, v6, case):
    port = service.getsockname()[1]
    p = on_path(port, join_tokens=TOKENS, alive_set=ALIVE)
    protocol, first, then = NOT_ASKING[case]
    s = ask(lab, port, first, v6, protocol=protocol) if first else clients.new_socket(lab, 1, v6, protocol)
    if not first:
        s.connect((clients.target(v6), port))
    peer, address = accepted(service)
    if then:
        s.sendall(then)
    assert dialects.receive_exactly(peer, len(first + then)) == first + then
    assert address == (netlab.CLIENT6 if v6 else netlab.CLIENT)[1]
    assert kernel.is_mptcp(peer) == (protocol == MPTCP)
    assert counted(lab) == p.stats()["sessions"]["accepted_total"] == 0
    s.close()
    peer.close()


def test_a_syn_sent_again_finds_its_connection(lab, on_path, origin, capture):
    """It comes without data, while the first one's SYN-ACK was lost. Not by the kernel's early demultiplexing, which may be off."""
    p = on_path(origin.port)
    lab.conc.sysctl(net__ipv4__tcp_early_demux=0)
    lab.client.nft("table inet lossy { chain in { type filter hook input priority 0; "
                   f"tcp sport {origin.port} tcp flags & (syn | ack) == (syn | ack) numgen inc mod 1000 == 0 drop; }} }}")
    customer, server = capture(lab.client, "c1"), capture(lab.conc, "s0")
    s = ask(lab, origin.port, ASK + b"ECHO\nhello")
    assert dialects.receive_exactly(s, len(ASK) + 5) == ASK + b"hello"
    assert p.stats()["sessions"]["current"] == 1
    s.close()
    syn = f"tcp.flags.syn == 1 && tcp.flags.ack == 0 && ip.src == {netlab.CLIENT[1]}"
    assert customer.count(f"{syn} && tcp.len == 0") >= 1, "it was not sent again"
    assert server.count(syn) == 0


def reset(s):
    """The connection is refused without an octet."""
    with s, pytest.raises(ConnectionResetError):
        assert s.recv(1) == b""
    return True


def test_a_target_that_refuses_resets(lab, on_path):
    p = on_path(CLOSED_PORT)
    assert reset(ask(lab, CLOSED_PORT))
    assert p.stats()["sessions"]["outcome_total"]["refused"] == 1


def test_customers_are_who_the_configuration_says(lab, on_path, origin):
    p = on_path(origin.port, {"clients": {"allow": ["192.0.2.64/32", "127.0.0.0/8"]}}, join_tokens=TOKENS)
    assert reset(ask(lab, origin.port))
    stats = p.stats()
    assert stats["auth"]["failure_total"]["source_not_allowed"] == 1 and stats["upstream"]["connect_attempts_total"] == 0
    assert not elements(lab)


def test_our_own_address_is_not_converted(lab, on_path, origin):
    """Who asks for the concentrator itself talks to its explicit listener, which takes it for a probe."""
    p = on_path(origin.port)
    s = ask(lab, p.port, host=netlab.CONC)
    assert dialects.receive_all(s) == ASK
    assert counted(lab) == p.stats()["upstream"]["connect_attempts_total"] == 0
    s.close()


def careless(lab, what):
    """Rules without that part of theirs."""
    with open(RULES) as f:
        rules = f.read()
    assert what in rules
    lab.conc.run("nft", "-D", CUSTOMERS, "-f", "-", input=rules.replace(what, "").encode())


@FAMILIES
def test_our_own_address_is_refused(lab, on_path, v6):
    """Diverted by rules that should not."""
    port = lab.conc.free_port()
    p = on_path(port)
    careless(lab, "fib daddr type { local, broadcast, multicast, anycast } return")
    assert reset(ask(lab, port, v6=v6, host=netlab.CONC6 if v6 else netlab.CONC))
    assert counted(lab) == p.stats()["acl"]["denied_total"]["self"] == 1


def test_what_was_not_diverted_is_refused(lab, on_path):
    """Somebody on the concentrator connects to the listener itself."""
    port = lab.conc.free_port()
    p = on_path(port, {"clients": {"allow": ["127.0.0.0/8"]}})
    s = lab.conc.open_socket(protocol=MPTCP)
    with pytest.raises(ConnectionResetError):
        s.connect(("127.0.0.1", port))
        s.sendall(ASK)
        s.recv(1)
    s.close()
    assert p.stats()["acl"]["denied_total"]["self"] == 1 and p.stats()["upstream"]["connect_attempts_total"] == 0


@pytest.mark.parametrize("first, outcome", [
    (dialects.mp_convert(netlab.SERVER, 443), "forbidden_address"), (b"\x05\x01\x00", "unknown_protocol"),
    (ASK[:6], "handshake_timeout"), (dialects.mp_convert("192.0.2.9", 1, source=True), "malformed")])
def test_who_does_not_ask_is_refused(lab, on_path, origin, first, outcome):
    """Diverted by rules that should not."""
    p = on_path(origin.port, {"timeouts": {"header_seconds": 0.2}})
    careless(lab, "@ih,0,48 0xfaa8faa80004")
    assert reset(ask(lab, origin.port, first))
    assert p.stats()["sessions"]["outcome_total"][outcome] == 1
    assert p.stats()["upstream"]["connect_attempts_total"] == 0


def test_rules_lost_and_loaded_again(lab, on_path, origin):
    """The set has the live tokens again, and joins arrive."""
    p = on_path(origin.port, join_tokens=TOKENS)
    s, other = asked(lab, origin.port), asked(lab, origin.port, v6=True)
    lab.conc.run("nft", "delete", "table", "inet", "mpconvert_onpath")
    other.close()
    netlab.wait_for(lambda: p.stats()["nft"]["errors_total"] > 0, 5, "the daemon to see it")
    load_rules(lab)
    netlab.wait_for(lambda: len(elements(lab)) == 1, 5, "the token")
    assert p.stats()["nft"]["tokens"] == 1 and "is kept again" in p.log()
    lab.use_both_paths()
    netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
    check_both_paths(lab, s)
    s.close()


def test_rules_replaced_keep_the_tokens(lab, on_path, origin):
    p = on_path(origin.port, join_tokens=TOKENS)
    s = asked(lab, origin.port)
    netlab.wait_for(lambda: elements(lab), 5, "its token")
    was = elements(lab)
    load_rules(lab)
    assert elements(lab) == was
    lab.conc.run("nft", "flush", "set", "inet", "mpconvert_onpath", "tokens")  # behind the daemon's back
    netlab.wait_for(lambda: elements(lab) == was, 5, "the token")
    assert p.stats()["nft"]["refills_total"] == 2
    s.close()


def passed(lab, port, service):
    """A connection that asks reaches the server itself, at once, element and all."""
    s = ask(lab, port)
    peer, address = accepted(service)
    assert peer.recv(100) == ASK and address == netlab.CLIENT[1]
    s.close()
    peer.close()
    return True


def test_emergency_off(lab, on_path, service):
    port = service.getsockname()[1]
    p = on_path(port, join_tokens=TOKENS, alive_set=ALIVE)
    lab.conc.run("nft", "delete", "table", "inet", "mpconvert_onpath")
    assert passed(lab, port, service)
    assert p.stats()["sessions"]["accepted_total"] == 0


def test_a_daemon_killed_diverts_nobody(lab, on_path, service):
    """Without a socket "tproxy" matches nothing: rules without a sign of life are enough."""
    port = service.getsockname()[1]
    p = on_path(port, join_tokens=TOKENS)
    s = ask(lab, port)
    accepted(service)[0].close()
    p.process.kill()
    p.process.wait()
    assert passed(lab, port, service)
    p.process.returncode = 0  # as the fixture wants it
    s.close()


def test_a_daemon_that_hangs_diverts_nobody(lab, on_path, service):
    port = service.getsockname()[1]
    p = on_path(port, alive_set=ALIVE)
    netlab.wait_for(lambda: "expires" in str(elements(lab, "alive")), 5, "a sign of life that ends")
    p.process.send_signal(signal.SIGSTOP)
    try:
        netlab.wait_for(lambda: not elements(lab, "alive"), 10, "its end")
        assert passed(lab, port, service)
    finally:
        p.process.send_signal(signal.SIGCONT)
    netlab.wait_for(lambda: elements(lab, "alive"), 10, "the next one")
    s = ask(lab, port)
    assert accepted(service)[1] == netlab.CONC_OUT
    s.close()


def test_a_daemon_that_drains_diverts_nobody_new(lab, on_path, service):
    port = service.getsockname()[1]
    p = on_path(port, {"timeouts": {"drain_seconds": 60}}, join_tokens=TOKENS, alive_set=ALIVE)
    s = ask(lab, port)
    peer, _ = accepted(service)
    p.terminate()
    netlab.wait_for(lambda: not elements(lab, "alive"), 5, "its goodbye")
    assert passed(lab, port, service)
    lab.use_both_paths()  # joins of what is left still arrive
    netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
    peer.close()
    s.close()
    p.stop()
    assert not elements(lab) and not elements(lab, "alive")


@pytest.mark.parametrize("mptcp", ["off", "on"])
@pytest.mark.parametrize("v6", [0, 1], ids=["ipv4", "ipv6"])
def test_two_on_the_path(access, daemon, web, capture, v6, mptcp):
    """The first one converts. Its own connection passes the second one untouched, although that may offer MPTCP: it asks for
    nothing."""
    access.on_path()
    machines = ((access.router, "r1"), (access.conc, "a0"))
    for ns, device in machines:
        routes(ns, "del")
        routes(ns, "add")
        ns.run("nft", "-D", f'customers={{ "{device}" }}', "-f", RULES)
    first, second = (daemon({"upstream": {"mptcp": mptcp}}, ns=ns, more_listeners=implicit(web.port)) for ns, _ in machines)
    seen = capture(access.conc, "a0")
    s = ask(access, web.port, ASK + b"ECHO\nhello", v6)
    assert dialects.receive_exactly(s, len(ASK) + 5) == ASK + b"hello"
    assert [p.stats()["sessions"]["accepted_total"] for p in (first, second)] == [1, 0]
    assert [counted(None, ns=ns) for ns, _ in machines] == [1, 0]
    s.close()
    syn = f"tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.dstport == {web.port}"
    assert seen.count(syn) == 1 and seen.count(f"{syn} && tcp.options.mptcp.subtype == 0") == (mptcp == "on")
    for ns, _ in machines:
        routes(ns, "del")
