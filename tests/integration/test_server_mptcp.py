# SPDX-License-Identifier: MIT
"""Multipath TCP towards servers: who is offered it, what is remembered of them, and what clients are told."""
import socket

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, SOCKS5, TCP
from test_refusals import refusal
from test_upstream import exchange, origins, syns, tcp_options  # noqa: F401
from test_via import concentrator, via

KIND_MPTCP = 30
BOTH = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
CAPABLE, PLAIN = ("0", b""), ("", b"")  # what syns() tells of a SYN
ADMIN_PROHIBITED = {False: ("icmp type admin-prohibited", 13), True: ("icmpv6 type admin-prohibited", 1)}


def automatic(**more):
    """A second attempt that no loaded machine brings about."""
    return {"upstream": {"mptcp": "auto", "slow_after_seconds": 10, **more}}


def impatient(**more):
    """Where MP_CAPABLE is never answered."""
    return automatic(slow_after_seconds=0.1, **more)


def against_mptcp(lab, what, where=""):
    """The server's firewall: `what` becomes of SYNs with an MPTCP option."""
    lab.server.nft("table inet walls { chain in { type filter hook input priority 0; "
                   f"{where} tcp flags & (syn | ack) == syn tcp option mptcp exists {what}; }} }}")


@BOTH
def test_a_server_that_takes_it_up_is_offered_it_again(lab, proxy, origins, capture, v6):  # noqa: F811
    server = origins("-m")
    p = proxy(automatic())
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    for _ in range(2):
        assert KIND_MPTCP in exchange(lab, p, CONVERT, server, v6=v6)
    assert syns(seen, server.port) == [CAPABLE] * 2
    told = p.stats()["upstream"]
    assert told["mptcp_total"] == told["mptcp_offered_total"] == 2
    assert told["remembered"] == {"slow_networks": 0, "plain_servers": 0, "mptcp_servers": 1}


@BOTH
@pytest.mark.parametrize("stripped", [False, True], ids=["a plain server", "a middlebox strips it"])
def test_who_does_not_take_it_up_is_spared_it(lab, proxy, origins, capture, v6, stripped):  # noqa: F811
    server = origins(*["-m"] * stripped)
    lab.emulator.set("leg", mpstrip=int(stripped))
    p = proxy(automatic())
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    for _ in range(3):
        assert KIND_MPTCP not in exchange(lab, p, CONVERT, server, v6=v6)
    assert syns(seen, server.port) == [CAPABLE, PLAIN, PLAIN]
    told = p.stats()["upstream"]
    assert told["mptcp_declined_total"] == 1 and told["mptcp_withheld_total"] == {"slow": 0, "plain": 2}
    assert told["remembered"]["plain_servers"] == 1


@BOTH
@pytest.mark.parametrize("what", ["drop", "reject with tcp reset"])
def test_a_network_that_does_not_answer_costs_once(lab, proxy, origins, capture, v6, what):  # noqa: F811
    """The first connection is served by the plain SYN beside it; then all workers leave the whole network alone."""
    server = origins("-m")
    against_mptcp(lab, what)
    p = proxy(impatient())
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    for _ in range(5):
        assert KIND_MPTCP not in exchange(lab, p, CONVERT, server, v6=v6)
    if not v6:
        exchange(lab, p, CONVERT, server, host=netlab.SERVER_DNS)
    plain = 5 if v6 else 6
    assert syns(seen, server.port) == [CAPABLE] + [PLAIN] * plain
    told = p.stats()["upstream"]
    assert (told["second_attempts_total"], told["slow_added_total"]) == (1, 1)
    assert told["mptcp_withheld_total"]["slow"] == plain - 1
    assert told["remembered"]["slow_networks"] == 1


def test_octets_in_a_syn_that_is_not_answered_arrive_once(lab, proxy, origins, capture):  # noqa: F811
    """upstream.fastopen: the plain SYN beside it is empty, and they follow."""
    server = origins("-m", "-f")
    against_mptcp(lab, "drop")
    p = proxy(impatient(fastopen=True))
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, SOCKS5, server)
    assert syns(seen, server.port) == [("0", b"ECHO\nfirst octets"), PLAIN]
    assert server.wait_events(1)[-1]["in"] == len(b"first octets")


@pytest.mark.parametrize("forget", [False, True])
def test_a_reload_may_forget(lab, proxy, origins, capture, forget):  # noqa: F811
    server = origins()
    against_mptcp(lab, "drop")
    p = proxy(impatient(forget_on_reload=forget))
    exchange(lab, p, CONVERT, server)
    p.reconfigure({})
    netlab.wait_for(lambda: p.stats()["config"]["reload_success_total"] == 1, 5, "the reload")
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, CONVERT, server)
    assert syns(seen, server.port) == [CAPABLE, PLAIN] if forget else [PLAIN]


def test_it_can_be_switched_on_by_a_reload(lab, proxy, origins, capture):  # noqa: F811
    server = origins()
    p = proxy()
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, SOCKS5, server)
    p.reconfigure(automatic())
    netlab.wait_for(lambda: p.stats()["config"]["reload_success_total"] == 1, 5, "the reload")
    for _ in range(2):
        exchange(lab, p, SOCKS5, server)
    assert syns(seen, server.port) == [PLAIN, CAPABLE, PLAIN]


def test_one_lost_syn_is_no_reason_where_others_were_answered(lab, proxy, origins, capture):  # noqa: F811
    server = origins("-m")
    p = proxy(impatient())
    while p.stats()["upstream"]["remembered"]["mptcp_servers"] == 0:  # a loaded machine may be late
        exchange(lab, p, CONVERT, server)
    against_mptcp(lab, "drop")
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, CONVERT, server)
    assert syns(seen, server.port) == [CAPABLE, PLAIN]
    assert p.stats()["upstream"]["slow_added_total"] == 0
    exchange(lab, p, CONVERT, server)
    assert p.stats()["upstream"]["slow_added_total"] == 1, "twice in a row is one"


@BOTH
def test_an_unreachable_server_is_told_by_plain_tcp(lab, proxy, capture, v6):
    """An MPTCP socket has no error queue, and gives the errno a second late."""
    port = lab.server.free_port()
    rule, code = ADMIN_PROHIBITED[v6]
    lab.server.sysctl(net__ipv4__icmp_ratelimit=0, net__ipv6__icmp__ratelimit=0)
    lab.server.nft(f"table inet walls {{ chain in {{ type filter hook input priority 0; tcp dport {port} reject with {rule}; }} }}")
    p = proxy(impatient())
    seen = capture(lab.conc, "s0", f"tcp port {port}")
    assert refusal(lab, p, CONVERT, clients.target(v6), port, v6=v6) == (97, code)
    assert syns(seen, port) == [CAPABLE, PLAIN]
    assert p.stats()["upstream"]["remembered"]["slow_networks"] == 0


@pytest.mark.parametrize("mode", ["off", "auto"])
def test_native_servers_are_always_offered_it(lab, proxy, origins, capture, mode):  # noqa: F811
    server = origins()
    p = proxy({"upstream": {"mptcp": mode, "native": ["203.0.113.10"]}})
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    for _ in range(2):
        exchange(lab, p, CONVERT, server)
    exchange(lab, p, CONVERT, server, host=netlab.SERVER_DNS)
    assert syns(seen, server.port) == [CAPABLE, CAPABLE, PLAIN if mode == "off" else CAPABLE]


def test_a_client_s_wish_counts_where_the_server_did_not_take_it_up(lab, proxy, origins, capture):  # noqa: F811
    server = origins()
    p = proxy(automatic())
    exchange(lab, p, CONVERT, server)
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, CONVERT, server)
    wish = dialects.convert_message(dialects.convert_connect_tlv(netlab.SERVER, server.port, b"\x1e\x02"))
    exchange(lab, p, CONVERT, server, request=wish)
    assert syns(seen, server.port) == [PLAIN, CAPABLE]


def test_a_data_centre(lab, proxy, origins, capture):  # noqa: F811
    """UC2: plain TCP clients, a server with two addresses that speaks Multipath TCP: the concentrator uses both."""
    server = origins("-m")
    p = proxy(automatic(native=["203.0.113.0/24"]))
    lab.server.ip(f"mptcp endpoint add {netlab.SERVER_DNS} dev t0 signal")
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    before = lab.server.counters()["MPTcpExtMPJoinAckRx"]
    s = clients.session(lab, p, SOCKS5, server.port, protocol=TCP, early=b"ECHO\nhello")
    assert dialects.receive_exactly(s, 5) == b"hello"
    netlab.wait_for(lambda: lab.server.counters()["MPTcpExtMPJoinAckRx"] > before, 10, "the second subflow")
    data = dialects.stream(lab, 1000000, 7)
    clients.send_in_background(s, data)
    assert dialects.receive_exactly(s, len(data)) == data
    s.close()
    joined = seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.options.mptcp.subtype == 1", "ip.src")
    assert joined == [{"ip.src": netlab.SERVER_DNS}]
    assert seen.count(f"ip.dst == {netlab.SERVER_DNS} && tcp.len > 0") > 0, "octets went over both"
    assert p.stats()["mptcp"]["sessions_total"] == 0, "the client is plain"


def test_the_octets_of_the_answer(lab, proxy, origins):  # noqa: F811
    """Kind 30, MP_CAPABLE of version 1, the flag of SHA-256, and no key (RFC 8684 s3.1, s5); padded to whole words."""
    server = origins("-m")
    p = proxy(automatic())
    s = clients.dial(lab, p)
    s.sendall(clients.opening(CONVERT, netlab.SERVER, server.port))
    answer = dialects.receive_convert(s)[dialects.TLV_EXTENDED_HEADER]
    s.close()
    assert answer[:2] == b"\0\0" and len(answer) % 4 == 2
    assert answer[2:].endswith(bytes.fromhex("1e0c0101") + bytes(8))


@pytest.mark.parametrize("dialect,far_mptcp,told", [("convert", "on", True), ("convert", "off", False), ("mp_convert", "on", False)])
def test_behind_a_concentrator_the_server_counts(lab, proxy, origins, dialect, far_mptcp, told):  # noqa: F811
    """A Convert client of ours hears of the server's MPTCP, which a Convert concentrator tells, not of that concentrator's."""
    server = origins("-m")
    far = proxy({"upstream": {"mptcp": far_mptcp}})
    near = proxy(via(concentrator(far, dialect)), ns=lab.client, listener={"via": True})
    with lab.client.open_socket(socket.AF_INET) as s:
        s.connect(("127.0.0.1", near.port))
        s.sendall(clients.opening(clients.CONVERT, netlab.SERVER, server.port) + b"ECHO\nfirst octets")
        options = tcp_options(dialects.receive_convert(s)[dialects.TLV_EXTENDED_HEADER][2:])
        assert dialects.receive_exactly(s, 12) == b"first octets"
    assert far.stats()["mptcp"]["sessions_total"] == 1, "the leg between the two is MPTCP"
    assert (KIND_MPTCP in options) == told
