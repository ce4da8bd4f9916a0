# SPDX-License-Identifier: MIT
"""The leg to the server: plain TCP by default; Multipath TCP, data in the SYN, and targets among the clients as the options say."""
import os
import socket

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5

INITIAL_SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
ALL = pytest.mark.parametrize("dialect", clients.DIALECTS)
BOTH = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
OPTION_MPTCP, OPTION_FASTOPEN = b"\x1e\x02", b"\x22\x02"


@pytest.fixture
def origins(lab):
    """origins(options, ns=...): a test server that ends with the test."""
    made = []

    def start(*options, **how):
        made.append(netlab.Origin(lab, *options, **how))
        return made[-1]

    yield start
    for o in made:
        o.stop()


def syns(seen, port):
    """What each SYN to the server had: its MPTCP subtype ("" for none, 0 for MP_CAPABLE) and its payload."""
    found = seen.query(f"{INITIAL_SYN} && tcp.dstport == {port}", "tcp.options.mptcp.subtype", "tcp.payload")
    return [(f["tcp.options.mptcp.subtype"], bytes.fromhex(f["tcp.payload"])) for f in found]


def exchange(lab, p, dialect, server, host=None, request=None, v6=False):
    """A session whose echo came back; what Convert told of the server's SYN/ACK."""
    host = host or clients.target(v6)
    s = clients.dial(lab, p, v6=v6)
    s.sendall((request or clients.opening(dialect, host, server.port)) + b"ECHO\nfirst octets")
    told = None
    if dialect == CONVERT:
        told = tcp_options(dialects.receive_convert(s)[dialects.TLV_EXTENDED_HEADER][2:])
    else:
        clients.expect_success(s, dialect, host, server.port)
    assert dialects.receive_exactly(s, 12) == b"first octets"
    s.close()
    return told


def tcp_options(octets):
    """{kind: content} of a list of TCP options."""
    found = {}
    while octets and octets[0] != 0:
        size = 1 if octets[0] == 1 else octets[1]
        assert 0 < size <= len(octets), octets.hex()
        if octets[0] != 1:
            found[octets[0]] = octets[2:size]
        octets = octets[size:]
    return found


def convert_with(options, port, v6=False):
    return dialects.convert_message(dialects.convert_connect_tlv(clients.target(v6), port, options))


@ALL
@BOTH
@pytest.mark.parametrize("mode,mptcp,subtype", [("on", True, "0"), ("on", False, "0"), ("off", True, "")],
                         ids=["on", "on, plain server", "off"])
def test_mptcp_towards_servers(lab, proxy, origins, capture, dialect, v6, mode, mptcp, subtype):
    """The SYN says MP_CAPABLE when it shall, a server that speaks MPTCP takes it up, and one that does not is served over TCP."""
    server = origins(*["-m"] * mptcp)
    p = proxy({"upstream": {"mptcp": mode}})
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    before = lab.server.counters()["MPTcpExtMPCapableACKRX"]
    told = exchange(lab, p, dialect, server, v6=v6)
    is_mptcp = mode == "on" and mptcp
    assert lab.server.counters()["MPTcpExtMPCapableACKRX"] == before + is_mptcp
    assert syns(seen, server.port) == [(subtype, b"")]
    if dialect == CONVERT:
        assert (30 in told) == is_mptcp, told


@pytest.mark.parametrize("mptcp", [True, False], ids=["mptcp server", "plain server"])
def test_a_convert_client_may_ask_for_mptcp(lab, proxy, origins, capture, mptcp):
    """An option of kind 30 without content in its Connect (RFC 8803 s6.2.5); the answer tells whether it came about (s6.2.6)."""
    server = origins(*["-m"] * mptcp)
    p = proxy()
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    told = exchange(lab, p, CONVERT, server, request=convert_with(OPTION_MPTCP, server.port))
    assert syns(seen, server.port) == [("0", b"")]
    assert (30 in told) == mptcp
    if mptcp:
        assert told[30][0] == 0x01, "MP_CAPABLE of version 1"


def test_the_answer_tells_the_servers_options(lab, proxy, origins, capture):
    """Made up from TCP_INFO, but true: size, SACK, timestamps and window scale as the server's SYN/ACK on the wire has them."""
    server = origins()
    p = proxy()
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    told = exchange(lab, p, CONVERT, server)
    [wire] = seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.options.mss_val", "tcp.options.wscale.shift",
                        "tcp.option_kind")
    kinds = {int(k) for k in wire["tcp.option_kind"].split(",")} - {0, 1}
    assert int.from_bytes(told[2], "big") == int(wire["tcp.options.mss_val"])
    assert told[3] == bytes([int(wire["tcp.options.wscale.shift"])])
    assert set(told) == kinds


def first_flight(seen, server):
    """The payload of the first segment with data."""
    found = seen.query(f"tcp.dstport == {server.port} && tcp.len > 0", "tcp.flags.syn", "tcp.payload")
    return found[0]["tcp.flags.syn"] in ("1", "True"), bytes.fromhex(found[0]["tcp.payload"])


@ALL
@BOTH
@pytest.mark.parametrize("fastopen", [True, False], ids=["on", "off"])
def test_fastopen_towards_servers(lab, proxy, origins, capture, dialect, v6, fastopen):
    server = origins("-f")
    p = proxy({"upstream": {"fastopen": fastopen}})
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, dialect, server, v6=v6)
    assert first_flight(seen, server) == (fastopen, b"ECHO\nfirst octets")
    if fastopen:
        acked = seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.ack")
        assert acked == [{"tcp.ack": str(1 + len(b"ECHO\nfirst octets"))}]


def test_a_convert_client_may_ask_for_fastopen(lab, proxy, origins, capture):
    server = origins("-f")
    p = proxy()
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, CONVERT, server, request=convert_with(OPTION_FASTOPEN, server.port))
    assert first_flight(seen, server) == (True, b"ECHO\nfirst octets")


@ALL
def test_fastopen_and_mptcp_together(lab, proxy, origins, capture, dialect):
    server = origins("-f", "-m")
    p = proxy({"upstream": {"mptcp": "on", "fastopen": True}})
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, dialect, server)
    assert syns(seen, server.port) == [("0", b"ECHO\nfirst octets")]


def test_a_server_without_fastopen_gets_every_octet_once(lab, proxy, origins, capture):
    """It acknowledges the SYN alone; the kernel sends the data again."""
    server = origins()
    lab.server.sysctl(net__ipv4__tcp_fastopen=0)
    p = proxy({"upstream": {"fastopen": True}})
    before = len(server.events())
    seen = capture(lab.conc, "s0", f"tcp port {server.port}")
    exchange(lab, p, MP_CONVERT, server)
    assert server.wait_events(before + 1)[-1]["in"] == len(b"first octets")
    assert seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.ack")[0]["tcp.ack"] == "1"


def test_where_cookies_are_wanted_the_second_syn_has_data(lab, proxy, capture):
    """net.ipv4.tcp_fastopen without bit 4: a server's first SYN asks for its cookie (RFC 7413 s4.1)."""
    if os.environ.get("MPCONVERT_IN_USERNS"):
        pytest.skip("inside a user namespace nobody may make the kernel forget cookies")
    lab.conc.sysctl(net__ipv4__tcp_fastopen=3)
    lab.server.sysctl(net__ipv4__tcp_fastopen=3)
    lab.conc.run("ip", "tcp_metrics", "flush")
    with lab.server.open_socket() as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        server.bind((netlab.SERVER, 0))
        server.listen(16)
        port = server.getsockname()[1]
        p = proxy({"upstream": {"fastopen": True}})
        seen = capture(lab.conc, "s0", f"tcp port {port}")
        for _ in range(2):
            s = clients.session(lab, p, MP_CONVERT, port, early=b"early")
            taken, _ = server.accept()
            taken.settimeout(10)
            assert dialects.receive_exactly(taken, 5) == b"early"
            taken.close()
            s.close()
    lab.conc.run("ip", "tcp_metrics", "flush")
    assert [data for _, data in syns(seen, port)] == [b"", b"early"]


DENIED = {SOCKS5: 2, CONVERT: (32, 0), MP_CONVERT: RESET}


@ALL
@pytest.mark.parametrize("where", ["client", "concentrator"])
def test_hairpinning_is_a_matter_of_configuration(lab, proxy, origins, capture, dialect, where):
    """RFC 8803 s9.2: a server on the client's own host, or a service of the concentrator's on a link to the clients."""
    ns, device = {"client": (lab.client, "k0"), "concentrator": (lab.conc, "lo")}[where]
    host = {"client": netlab.CLIENT, "concentrator": netlab.CONC_LINK}[where][0]
    server = origins(ns=ns)
    p = proxy()
    exchange(lab, p, dialect, server, host=host)

    p = proxy({"upstream": {"hairpin": False}, "acl": {"rules": [{"action": "allow", "target": [host]}]}})
    seen = capture(lab.conc, device, f"tcp port {server.port}")
    s = clients.dial(lab, p)
    s.sendall(clients.opening(dialect, host, server.port))
    assert clients.failure(s, dialect) == DENIED[dialect]
    assert seen.count("tcp") == 0
    exchange(lab, p, dialect, origins())


def test_without_hairpinning_a_neighbour_that_is_no_client_is_reached(lab, proxy, origins):
    """What counts is clients.allow: an address of the same prefix that is not in it may be reached."""
    server = origins(ns=lab.client)
    p = proxy({"clients": {"allow": ["192.0.2.64/26"]}, "upstream": {"hairpin": False}})
    s = clients.session(lab, p, MP_CONVERT, server.port, host=netlab.CLIENT[0], early=b"ECHO\nx", link=1)
    assert dialects.receive_exactly(s, 1) == b"x"
    assert kernel.is_mptcp(s)
