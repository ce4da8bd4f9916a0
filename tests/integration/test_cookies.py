# SPDX-License-Identifier: MIT
"""Cookies of RFC 8803 over time and space: what they are bound to, how keys are changed, whose name they carry."""
import json
import socket

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT

OLD, NEW, NEWEST = (bytes([n]) * 32 for n in (1, 2, 3))
NEIGHBOUR = "2001:db8:0:0::77"  # in the /64 of the client's first address
DENIED, SERVED = (32, 0), "served"


def ask(lab, p, origin, cookie=None, source=None, v6=False):
    """SERVED, an error's (code, first octet of its value), or the cookie of an Error 3."""
    s = lab.client.open_socket(socket.AF_INET6 if v6 else socket.AF_INET, clients.MPTCP)
    s.bind((source or (netlab.CLIENT6 if v6 else netlab.CLIENT)[0], 0))
    s.connect(clients.address(p, 0, v6))
    s.sendall(dialects.convert_connect(clients.target(v6), origin.port, cookie=cookie) + b"ECHO\nx")
    answer = dialects.receive_convert(s)
    error = answer.get(dialects.TLV_ERROR)
    if error is None:
        assert dialects.TLV_EXTENDED_HEADER in answer
        assert dialects.receive_exactly(s, 1) == b"x"
        s.close()
        return SERVED
    assert s.recv(1) == b""
    s.close()
    return error[2:18] if error[0] == 3 else (error[0], error[1])


@pytest.fixture
def neighbour(lab):
    lab.client.ip(f"addr add {NEIGHBOUR}/64 dev c0 nodad")
    yield NEIGHBOUR
    lab.client.ip(f"addr del {NEIGHBOUR}/64 dev c0")


@pytest.mark.parametrize("bound,expected", [(True, SERVED), (False, DENIED)], ids=["the /64", "the address"])
def test_bind_prefix64(lab, proxy, origin, neighbour, bound, expected):
    """A host with temporary addresses keeps its cookie when the option says so; a host of another network never does."""
    p = proxy({"cookie": {"mode": "computed", "bind_prefix64": bound}})
    cookie = ask(lab, p, origin, v6=True)
    assert len(cookie) == 16
    assert ask(lab, p, origin, cookie, v6=True) == SERVED
    assert ask(lab, p, origin, cookie, source=neighbour, v6=True) == expected
    assert (ask(lab, p, origin, source=neighbour, v6=True) == cookie) == bound
    other = clients.dial(lab, p, link=1, v6=True)
    other.sendall(dialects.convert_connect(netlab.SERVER6, origin.port, cookie=cookie))
    assert clients.failure(other, CONVERT) == DENIED


def test_bind_prefix64_leaves_ipv4_alone(lab, proxy, origin):
    lab.client.ip("addr add 192.0.2.3/26 dev c0")
    try:
        p = proxy({"cookie": {"mode": "computed", "bind_prefix64": True}})
        cookie = ask(lab, p, origin)
        assert ask(lab, p, origin, cookie) == SERVED
        assert ask(lab, p, origin, cookie, source="192.0.2.3") == DENIED
    finally:
        lab.client.ip("addr del 192.0.2.3/26 dev c0")


def keys(*pairs):
    return "# the lab's\n" + "".join(f"{number} {key.hex()}\n" for number, key in pairs)


def reloaded(p, name, text):
    """Writes a file anew, and SIGHUP."""
    before = p.stats()["config"]["reload_success_total"]
    p.write(name, text)
    p.reload(json.dumps(p.config))
    netlab.wait_for(lambda: p.stats()["config"]["reload_success_total"] == before + 1, 3, "the reload")


def test_keys_are_changed_under_way(lab, proxy, origin):
    """docs/operations.md: the first key makes cookies, the first two are accepted."""
    p = proxy({"cookie": {"mode": "computed", "keys_file": "{folder}/keys"}}, files={"keys": keys((1, OLD))})
    old = ask(lab, p, origin)
    assert old[0] == 1 and ask(lab, p, origin, old) == SERVED

    reloaded(p, "keys", keys((2, NEW), (1, OLD)))
    assert ask(lab, p, origin, old) == SERVED
    new = ask(lab, p, origin)
    assert new[0] == 2 and new != old and ask(lab, p, origin, new) == SERVED

    reloaded(p, "keys", keys((3, NEWEST), (2, NEW), (1, OLD)))
    assert ask(lab, p, origin, new) == SERVED
    assert ask(lab, p, origin, old) == DENIED, "a third key verifies nothing"

    reloaded(p, "keys", keys((2, NEW)))
    assert ask(lab, p, origin, old) == DENIED
    assert ask(lab, p, origin, new) == SERVED


def test_the_same_id_with_another_key_is_another_key(lab, proxy, origin):
    p = proxy({"cookie": {"mode": "computed", "keys_file": "{folder}/keys"}}, files={"keys": keys((1, OLD))})
    old = ask(lab, p, origin)
    reloaded(p, "keys", keys((1, NEW)))
    assert ask(lab, p, origin, old) == DENIED


def test_two_nodes_with_the_same_keys_know_each_others_cookies(lab, proxy, origin):
    one, two = (proxy({"cookie": {"mode": "computed", "keys_file": "{folder}/keys"}}, files={"keys": keys((7, OLD))}) for _ in "12")
    assert ask(lab, two, origin, ask(lab, one, origin)) == SERVED


def test_without_a_file_every_daemon_has_a_key_of_its_own(lab, proxy, origin):
    one, two = (proxy({"cookie": {"mode": "computed"}}) for _ in "12")
    assert ask(lab, two, origin, ask(lab, one, origin)) == DENIED


STATIC = {"cookie": {"mode": "static", "static_file": "{folder}/cookies"}}


def test_a_static_cookies_name_is_a_user(lab, proxy, origin):
    """Access rules speak of subscribers by the name before their cookie; a cookie without one is nobody's."""
    rules = [{"action": "allow", "user": ["ann"], "target": ["203.0.113.0/24"]}, {"action": "deny", "target": ["203.0.113.0/24"]}]
    p = proxy({**STATIC, "acl": {"rules": rules}}, files={"cookies": "ann hex:a0a1a2a3\nbob of-bob\nnameless\n"})
    assert ask(lab, p, origin, bytes.fromhex("a0a1a2a3")) == SERVED
    assert ask(lab, p, origin, b"of-bob") == DENIED
    assert ask(lab, p, origin, b"nameless") == DENIED
    assert ask(lab, p, origin, b"of-bob", v6=True) == SERVED, "the rules are about another prefix"


def test_static_cookies_are_changed_under_way(lab, proxy, origin):
    p = proxy(STATIC, files={"cookies": "ann first\n"})
    assert ask(lab, p, origin, b"first") == SERVED
    live = clients.dial(lab, p)
    live.sendall(dialects.convert_connect(netlab.SERVER, origin.port, cookie=b"first") + b"ECHO\n")
    clients.expect_success(live, CONVERT, netlab.SERVER, origin.port)
    reloaded(p, "cookies", "ann second\n")
    assert ask(lab, p, origin, b"first") == DENIED
    assert ask(lab, p, origin, b"second") == SERVED
    live.sendall(b"alive")
    assert dialects.receive_exactly(live, 5) == b"alive"


def test_both_kinds_side_by_side(lab, proxy, origin):
    p = proxy({"cookie": {"mode": "both", "static_file": "{folder}/cookies"}}, files={"cookies": "ann of-ann\n"})
    computed = ask(lab, p, origin)
    assert len(computed) == 16
    assert ask(lab, p, origin, computed) == SERVED
    assert ask(lab, p, origin, b"of-ann") == SERVED
    assert ask(lab, p, origin, b"of-who") == DENIED


def test_with_users_only_a_subscribers_cookie_will_do(lab, proxy, origin):
    """docs/protocol.md, "Who must show what": a computed one is handed to whoever asks."""
    p = proxy({"cookie": {"mode": "both", "static_file": "{folder}/cookies", "keys_file": "{folder}/keys"},
               "auth": {"users_file": "{folder}/users", "exempt": ["192.0.2.64/26"]}},
              files={"cookies": "ann of-ann\n", "keys": keys((1, OLD)), "users": "ann:*\n"})
    assert ask(lab, p, origin, b"of-ann") == SERVED
    assert ask(lab, p, origin) == DENIED, "nothing computed would help"
    exempt = clients.dial(lab, p, link=1)
    exempt.sendall(dialects.convert_connect(netlab.SERVER, origin.port))
    assert clients.failure(exempt, CONVERT)[0] == 3
