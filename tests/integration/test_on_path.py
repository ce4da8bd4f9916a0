# SPDX-License-Identifier: MIT
"""A concentrator on the path of its customers' traffic: conf/nft/on-path.nft and implicit listeners. The lab's client is the
customer; the concentrator's machine routes between it and the server."""
import ipaddress
import json
import os
import socket

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import MPTCP, TCP
from test_refusals import CLOSED_PORT

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
RULES = os.path.join(netlab.ROOT, "conf", "nft", "on-path.nft")
ASK = bytes.fromhex("faa8faa800040001")  # MP_CONVERT: an element without address, the last one


def load_rules(lab):
    lab.conc.run("nft", "-D", 'customers={ "k0", "k1", "k2" }', "-f", RULES)


@pytest.fixture
def on_path(lab, proxy):
    """on_path(port, ...): a running daemon with implicit listeners for connections to that port; rules and routes."""

    def start(port, changes=None, **options):
        listeners = [{"name": name, "address": f"{address}:{port}", "transparent": True, "implicit": True,
                      "protocols": ["mp_convert"], **options} for name, address in (("on4", "127.0.0.1"), ("on6", "[::1]"))]
        return proxy(changes, more_listeners=listeners)

    for family in ("-4", "-6"):
        lab.conc.run("ip", family, "rule", "add", "fwmark", "0x6d70", "lookup", "7374")
        lab.conc.run("ip", family, "route", "replace", "local", "default", "dev", "lo", "table", "7374")
    load_rules(lab)
    lab.conc.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    lab.server.run("ip", "-6", "route", "replace", "default", "via", netlab.CONC_OUT6)
    yield start
    lab.conc.sysctl(net__ipv4__ip_forward=0, net__ipv6__conf__all__forwarding=0)
    for family in ("-4", "-6"):
        lab.conc.run("ip", family, "route", "flush", "table", "7374")
        lab.conc.run("ip", family, "rule", "del", "fwmark", "0x6d70", "lookup", "7374")


def ask(lab, port, data=ASK, v6=False, link=1, host=None, protocol=MPTCP):
    """Connected to the server, `data` in the SYN."""
    s = clients.new_socket(lab, link, v6, protocol)
    s.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
    s.sendto(data, kernel.MSG_FASTOPEN, (host or clients.target(v6), port))
    return s


def counted(lab, name="diverted"):
    out = lab.conc.run("nft", "list", "counter", "inet", "mpconvert_onpath", name).stdout.decode()
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


@FAMILIES
def test_joins_find_their_connection_by_its_token(lab, on_path, origin, v6):
    p = on_path(origin.port, join_tokens="inet mpconvert_onpath tokens")
    lab.use_both_paths()
    s = ask(lab, origin.port, ASK + b"SOURCE 3000000 3\n", v6)
    assert dialects.receive_exactly(s, len(ASK)) == ASK
    assert len(tokens(lab)) == 1
    assert dialects.receive_exactly(s, 3000000) == dialects.stream(lab, 3000000, 3)
    netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
    s.sendall(b"ECHO\n")
    assert counted(lab, "joins") == 1
    s.close()
    p.wait_sessions(0)
    netlab.wait_for(lambda: not tokens(lab), 5, "an empty set")
