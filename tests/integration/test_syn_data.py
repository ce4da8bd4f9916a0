# SPDX-License-Identifier: MIT
"""The request rides in the SYN (draft -10 s5.2, RFC 8803 s4), the answer comes first and only after the server accepted."""
import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT

IN_SYN = pytest.mark.parametrize("dialect", [MP_CONVERT, CONVERT])
BOTH = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
INITIAL_SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


@IN_SYN
@BOTH
def test_syn_carries_mp_capable_and_the_request(lab, proxy, origin, capture, dialect, v6):
    p = proxy()
    seen = capture(lab.client, "c1", f"tcp port {p.port}")
    early = b"ECHO\nearly data"
    s = clients.session(lab, p, dialect, origin.port, early=early, v6=v6, link=1, fastopen=True)
    assert dialects.receive_exactly(s, 10) == b"early data"
    request = clients.opening(dialect, clients.target(v6), origin.port)

    assert kernel.is_mptcp(s)
    assert kernel.tcp_info(s)["syn_data"], "the proxy did not take the SYN's data"
    s.close()
    syns = seen.query(INITIAL_SYN, "tcp.options.mptcp.subtype", "tcp.len", "tcp.payload")
    assert len(syns) == 1
    assert syns[0]["tcp.options.mptcp.subtype"] == "0"
    assert bytes.fromhex(syns[0]["tcp.payload"]) == request + early
    acknowledged = seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.ack", "tcp.options.mptcp.subtype")
    assert acknowledged == [{"tcp.ack": str(1 + len(request + early)), "tcp.options.mptcp.subtype": "0"}]


@IN_SYN
def test_the_servers_connection_begins_with_the_syn(lab, proxy, origin, capture, dialect):
    """The proxy dials at half a round trip: it does not wait for the client's third ACK when the source is trusted."""
    lab.emulator.set("path1", delay=100, rate=0)
    p = proxy()
    near, far = capture(lab.client, "c1", f"tcp port {p.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\nx", link=1, fastopen=True)
    assert dialects.receive_exactly(s, 1) == b"x"
    s.close()
    sent = float(near.query(INITIAL_SYN, "frame.time_epoch")[0]["frame.time_epoch"])
    dialled = float(far.query(INITIAL_SYN, "frame.time_epoch")[0]["frame.time_epoch"])
    assert 0.1 <= dialled - sent < 0.15


@pytest.mark.parametrize("dialect", clients.DIALECTS)
@BOTH
def test_answer_comes_after_the_server_accepted(lab, proxy, origin, capture, dialect, v6):
    lab.emulator.set("leg", delay=100)
    p = proxy()
    seen = capture(lab.conc, "any", f"tcp port {p.port} or tcp port {origin.port}")
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\nx", v6=v6, link=1, fastopen=True)
    assert dialects.receive_exactly(s, 1) == b"x"
    s.close()
    accepted = seen.query(f"tcp.srcport == {origin.port} && tcp.flags.syn == 1", "frame.time_epoch")
    # SOCKS5 answers the greeting at once; the reply to the request is the second message, of 10 or 22 octets.
    answers = seen.query(f"tcp.srcport == {p.port} && tcp.len > {2 if dialect == 'socks5' else 0}", "frame.time_epoch")
    assert float(answers[0]["frame.time_epoch"]) > float(accepted[0]["frame.time_epoch"])


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_answer_comes_before_a_server_that_speaks_first(lab, proxy, dialect):
    greeter = netlab.Origin(lab, "-g", "220 ready")
    p = proxy()
    for _ in range(5):
        s = clients.session(lab, p, dialect, greeter.port, link=1, fastopen=True)
        assert dialects.receive_exactly(s, 11) == b"220 ready\r\n"
        s.close()
    greeter.stop()


@IN_SYN
def test_early_data_larger_than_a_syn_arrives_in_order(lab, proxy, origin, dialect):
    p = proxy()
    data = dialects.stream(lab, 60_000, 4)
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\n" + data, link=1, fastopen=True)
    assert dialects.receive_exactly(s, len(data)) == data
    assert kernel.is_mptcp(s)


@IN_SYN
def test_request_after_the_handshake_keeps_mptcp(lab, proxy, origin, dialect):
    """Rule C4: the element is valid as the first octets, no matter which segment brought them."""
    s = clients.session(lab, proxy(), dialect, origin.port, early=b"ECHO\nlate", link=1)
    assert dialects.receive_exactly(s, 4) == b"late"
    assert kernel.is_mptcp(s)


@pytest.mark.parametrize("dialect", clients.DIALECTS)
@BOTH
def test_a_plain_tcp_client_is_served(lab, proxy, origin, dialect, v6):
    s = clients.session(lab, proxy(), dialect, origin.port, early=b"ECHO\nplain", v6=v6, protocol=clients.TCP)
    assert dialects.receive_exactly(s, 5) == b"plain"


def test_the_server_sees_the_concentrators_address(lab, proxy, origin):
    before = len(origin.events())
    s = clients.session(lab, proxy(), MP_CONVERT, origin.port, early=b"ECHO\n")
    s.close()
    assert origin.wait_events(before + 1)[-1]["peer"].startswith(f"[::ffff:{netlab.CONC_OUT}]:")
