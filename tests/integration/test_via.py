# SPDX-License-Identifier: MIT
"""Through a concentrator: the daemon at the customer's end of two paths asks the one at the other end."""
import socket

import pytest

from support import clients, dialects, netlab
from support.clients import TCP
from test_refusals import CLOSED_PORT

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
DIALECTS = pytest.mark.parametrize("dialect", ["mp_convert", "convert", "socks5"])


def via(*concentrators, **more):
    """Without probes, which would count as sessions at the far end, unless told otherwise."""
    return {"via": {"concentrators": list(concentrators), "probe": False, **more}, "clients": {"allow": ["127.0.0.0/8", "::1/128"]},
            "acl": {"rules": [{"action": "allow"}]}}


def concentrator(p, dialect="mp_convert", v6=False, **more):
    host = netlab.CONC6 if v6 else netlab.CONC
    return {"address": f"[{host}]:{p.port}" if v6 else f"{host}:{p.port}", "dialect": dialect, **more}


@pytest.fixture
def cpe(lab, proxy):
    """cpe(changes): at the client's end of the paths; its hosts are those of its own namespace."""
    return lambda changes, **how: proxy(changes, ns=lab.client, listener={"via": True}, **how)


def ask(lab, p, host, port, protocol=TCP):
    """A program beside the CPE's daemon, in SOCKS5."""
    s = lab.client.open_socket(socket.AF_INET, protocol)
    s.connect(("127.0.0.1", p.port))
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(host, port))
    assert dialects.receive_exactly(s, 2) == b"\x05\x00"
    return s, (dialects.receive_socks5_reply(s) or (None,))[0]


@DIALECTS
@FAMILIES
def test_a_connection_goes_through(lab, proxy, cpe, origin, capture, dialect, v6):
    far = proxy()
    near = cpe(via(concentrator(far, dialect, v6)))
    seen = capture(lab.conc, "k1", f"tcp port {far.port}")
    s, reply = ask(lab, near, clients.target(v6), origin.port)
    assert reply == 0
    s.sendall(b"SOURCE 300000 4\n")
    assert dialects.receive_exactly(s, 300000) == dialects.stream(lab, 300000, 4)
    assert far.stats()["mptcp"]["sessions_current"] == 1
    syn = seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.len", "tcp.options.mptcp.subtype")
    assert int(syn[0]["tcp.len"]) > 0, "the request did not go in the SYN"
    s.close()


def test_both_paths_are_used(lab, proxy, cpe, origin):
    far = proxy()
    near = cpe(via(concentrator(far)))
    before = far.stats()["mptcp"]["join_total"]  # of the namespace: other tests' as well
    lab.use_both_paths()
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 0
    s.sendall(b"SOURCE 4000000 4\n")
    assert dialects.receive_exactly(s, 4000000) == dialects.stream(lab, 4000000, 4)
    assert far.stats()["mptcp"]["join_total"] > before
    s.close()


@DIALECTS
def test_a_refused_target_is_refused_here(lab, proxy, cpe, dialect):
    near = cpe(via(concentrator(proxy(), dialect), direct="last"))
    s, reply = ask(lab, near, netlab.SERVER, CLOSED_PORT)
    assert reply == 5
    assert near.stats()["via"]["direct_total"] == 0, "a refusal is no reason to go without"


def test_the_next_concentrator_takes_over(lab, proxy, cpe, origin):
    """The first is not there; then it is."""
    far = proxy()
    gone = f"{netlab.CONC}:{lab.conc.free_port()}"
    near = cpe(via({"address": gone, "priority": 0}, concentrator(far)))
    for _ in range(3):
        s, reply = ask(lab, near, netlab.SERVER, origin.port)
        assert reply == 0
        s.close()
    assert near.stats()["via"]["concentrator_failures_total"] in (1, 2), "it is tried again and again"


@pytest.mark.parametrize("direct,reply", [("never", 3), ("last", 0)])
def test_without_a_concentrator(lab, cpe, origin, direct, reply):
    near = cpe(via({"address": f"{netlab.CONC}:{lab.conc.free_port()}"}, direct=direct))
    lab.conc.sysctl(net__ipv4__ip_forward=1)
    try:
        s, got = ask(lab, near, netlab.SERVER, origin.port)
        assert got == reply
        assert near.stats()["via"]["direct_total"] == (reply == 0)
        s.close()
    finally:
        lab.conc.sysctl(net__ipv4__ip_forward=0)


def test_a_concentrator_that_is_the_target_is_a_loop(lab, proxy, cpe):
    far = proxy()
    near = cpe(via(concentrator(far)))
    s, reply = ask(lab, near, netlab.CONC, far.port)
    assert reply == 2
    assert far.stats()["sessions"]["accepted_total"] == 0


def test_the_rules_hold_here_too(lab, proxy, cpe, origin):
    far = proxy()
    near = cpe({**via(concentrator(far)), "acl": {"rules": [{"action": "deny", "target": ["203.0.113.0/24"]}]}})
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 2
    assert far.stats()["sessions"]["accepted_total"] == 0


def test_a_concentrator_of_another_dialect_is_left_alone(lab, proxy, cpe, origin):
    far = proxy(listener={"protocols": ["socks5"]})
    near = cpe(via(concentrator(far, "convert", priority=0), concentrator(far, "socks5")))
    s, reply = ask(lab, near, netlab.SERVER, origin.port)
    assert reply == 0
    s.close()
