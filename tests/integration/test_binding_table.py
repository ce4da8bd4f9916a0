# SPDX-License-Identifier: MIT
"""The binding table, /v1/sessions: which connection of a client became which connection to a server, on what way, for how long; and
the connections that have no binding because they pass by."""
import ipaddress
import json
import subprocess

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import MP_CONVERT, MPTCP, SOCKS5, TCP
from test_on_path import ask, on_path  # noqa: F401
from test_transparent import call, gateway  # noqa: F401

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def end(s, far=False):
    """What the document should say of a socket's end."""
    host, port = (s.getpeername() if far else s.getsockname())[:2]
    return {"address": str(ipaddress.ip_address(host)), "port": port}


def text(e):
    return f"[{e['address']}]:{e['port']}" if ":" in e["address"] else f"{e['address']}:{e['port']}"


def plain(told):
    """Whoever writes it: without brackets and quotes, and IPv4 as such."""
    return told.replace("::ffff:", "").translate({ord(c): None for c in '[]"'})


def only(p):
    """The only session: as its page tells it, and by itself."""
    entry = netlab.wait_for(lambda: sole(p.sessions()), 5, "one session, and no other")
    return entry, p.json(f"/v1/sessions/{entry['id']}")


def sole(entries):
    """A concentrator that is being looked at has one more for a moment."""
    return entries[0] if len(entries) == 1 else None


def check_all(p, **expected):
    for entry in only(p):
        assert {k: entry[k] for k in expected} == expected
    return entry


@FAMILIES
@pytest.mark.parametrize("protocol", [TCP, MPTCP], ids=["tcp", "mptcp"])
def test_a_direct_binding(lab, proxy, origin, protocol, v6):
    p = proxy()
    s = clients.session(lab, p, MP_CONVERT, origin.port, link=1, v6=v6, protocol=protocol)
    whole = check_all(p, ingress="explicit", route="direct", concentrator=None, protocol="plain", client=end(s), local=end(s, far=True),
                      destination={"host": None, "address": clients.target(v6), "port": origin.port}, upstream_mptcp=None,
                      told_source=None)
    egress = whole["egress"]
    assert egress["address"] == (netlab.CONC_OUT6 if v6 else netlab.CONC_OUT)
    s.close()
    netlab.wait_for(lambda: any(plain(e["peer"]) == plain(text(egress)) for e in origin.events()), 5, "that connection at the server")


def test_when_a_binding_expires(lab, proxy):
    """Of a relay: its idle time, of half of one less; before: what its state allows."""
    p = proxy({"timeouts": {"idle_seconds": 500, "half_closed_seconds": 40, "header_seconds": 20}})
    with lab.server.open_socket() as server:  # says nothing
        server.bind((netlab.SERVER, 0))
        server.listen()
        port = server.getsockname()[1]
        s = clients.dial(lab, p)
        p.wait_sessions(1)
        assert 0 < only(p)[0]["expires_seconds"] <= 20
        s.sendall(clients.opening(MP_CONVERT, netlab.SERVER, port))
        clients.expect_success(s, MP_CONVERT, netlab.SERVER, port)
        netlab.wait_for(lambda: 400 < only(p)[0]["expires_seconds"] <= 500, 5, "the relay")
        s.shutdown(netlab.socket.SHUT_WR)
        netlab.wait_for(lambda: 0 < only(p)[0]["expires_seconds"] <= 40, 5, "the half-close")
        s.close()


@FAMILIES
def test_tokens_and_standby_of_a_clients_connection(lab, proxy, origin, v6):
    lab.client.ip(f"mptcp endpoint add {(netlab.CLIENT6 if v6 else netlab.CLIENT)[2]} dev c2 subflow backup")
    p = proxy()
    s = clients.session(lab, p, MP_CONVERT, origin.port, link=1, v6=v6, early=b"ECHO\n")
    netlab.wait_for(lambda: only(p)[0]["mptcp"]["subflows"] == 2, 5, "the second subflow")
    _, whole = only(p)
    assert int(whole["mptcp"]["token"], 16) in tokens(lab.conc)
    flows = {f["remote"].rpartition(":")[0].strip("[]"): f for f in whole["mptcp"]["subflow_list"]}
    own = netlab.CLIENT6 if v6 else netlab.CLIENT
    assert {host: f["backup"] for host, f in flows.items()} == {own[1]: False, own[2]: True}
    s.close()


def tokens(ns):
    """Local tokens of the namespace, as ss tells them."""
    out = ns.run("ss", "-MniHO").stdout.decode()
    return {int(word.split(":")[1], 16) for word in out.split() if word.startswith("token:")}


@FAMILIES
def test_a_binding_through_a_concentrator(lab, proxy, origin, v6):
    """Both ends of the Multipath TCP connection between them tell the same tokens."""
    lab.use_both_paths()
    far = proxy()
    host = netlab.CONC6 if v6 else netlab.CONC
    at = {"address": host, "port": far.port}
    near = proxy({"via": {"concentrators": [{"address": text(at)}]}, "clients": {"allow": ["127.0.0.0/8"]},
                  "acl": {"rules": [{"action": "allow"}]}, "log": {"destination": "address"}}, ns=lab.client, listener={"via": True})
    s = lab.client.open_socket()
    s.connect(("127.0.0.1", near.port))
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(clients.target(v6), origin.port))
    dialects.receive_exactly(s, 6)
    s.sendall(b"ECHO\nx")
    netlab.wait_for(lambda: (only(near)[0]["upstream_mptcp"] or {"subflows": 0})["subflows"] == 2, 5, "the second subflow")
    whole = check_all(near, ingress="explicit", route="via", concentrator=at, client=end(s), local=end(s, far=True),
                      destination={"host": None, "address": clients.target(v6), "port": origin.port})
    other = check_all(far, ingress="explicit", route="direct", concentrator=None, client=whole["egress"])
    assert whole["upstream_mptcp"]["remote_token"] == other["mptcp"]["token"]
    assert int(whole["upstream_mptcp"]["token"], 16) in tokens(lab.client)
    assert len(whole["upstream_mptcp"]["subflow_list"]) == 2
    s.close()
    near.wait_sessions(0)
    netlab.wait_for(lambda: f"concentrator={plain(text(at))} " in plain(near.log()), 5, "the line")


@FAMILIES
def test_a_diverted_host(lab, gateway, origin, v6):  # noqa: F811
    p = gateway()
    s = call(lab, origin.port, v6)
    s.sendall(b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"
    check_all(p, ingress="transparent", route="direct", client=end(s), local=end(s, far=True), protocol="transparent")
    s.close()


def test_an_on_path_client(lab, on_path, origin):  # noqa: F811
    p = on_path(origin.port)
    s = ask(lab, origin.port)
    netlab.wait_for(lambda: p.sessions() and p.sessions()[0]["route"] == "direct", 5, "the session")
    check_all(p, ingress="implicit", client=end(s))
    s.close()


def test_a_customers_bindings(lab, proxy, origin):
    """By address or by prefix; what is neither is an error."""
    p = proxy()
    made = [clients.session(lab, p, SOCKS5, origin.port, link=link, v6=v6) for link in (0, 1) for v6 in (False, True)]

    def found(which):
        return {(e["client"]["address"], e["client"]["port"]) for e in p.json(f"/v1/sessions?client={which}")["sessions"]}

    ends = [(end(s)["address"], end(s)["port"]) for s in made]
    assert found(netlab.CLIENT[0]) == {ends[0]}
    assert found(netlab.CLIENT6[1]) == {ends[3]}
    assert found("192.0.2.0/24") == {ends[0], ends[2]}
    assert found("2001:db8::/32") == {ends[1], ends[3]}
    assert found("198.51.100.0/24") == set()
    for wrong in ("x", "192.0.2.1/24", "192.0.2.1:80", "", "192.0.2.0/33"):
        assert p.get(f"/v1/sessions?client={wrong}")[0] == 400, wrong
    for s in made:
        s.close()


def test_a_binding_has_its_policy_and_its_host(lab, proxy, origin):
    p = proxy({"policies": [{"name": "base"}]}, listener={"policy": "base"})
    s = clients.session(lab, p, MP_CONVERT, origin.port)
    check_all(p, policy="base")
    s.close()


# Connections without a binding.

NATIVE = "inet mpconvert_transparent native"


@FAMILIES
def test_native_connections_are_counted(lab, gateway, v6):  # noqa: F811
    """By the firewall; the daemon reads it. A counter that is not there is null, and said once."""
    p = gateway({"native": {"counters": [NATIVE, "ip6 nowhere nothing"]}})
    with lab.server:
        server = netlab.socket.socket(netlab.socket.AF_INET6 if v6 else netlab.socket.AF_INET, netlab.socket.SOCK_STREAM, MPTCP)
    server.bind((clients.target(v6), 0))
    server.listen()
    assert p.stats()["native"]["connections_total"] == {NATIVE: 0, "ip6 nowhere nothing": None}
    made = [call(lab, server.getsockname()[1], v6, MPTCP) for _ in range(3)]
    assert all(map(kernel.is_mptcp, made))
    netlab.wait_for(lambda: p.stats()["native"]["connections_total"][NATIVE] == 3, 5, "the count")
    assert f'mpconv_native_connections_total{{counter="{NATIVE}"}} 3' in p.get("/metrics")[1].decode()
    netlab.wait_for(lambda: p.log().count("there is none") == 1, 5, "the line")
    assert p.sessions() == []
    for s in (*made, server):
        s.close()


def test_rules_that_come_and_go(lab, proxy):
    p = proxy({"native": {"counters": ["ip t c"]}})

    def told():
        return p.stats()["native"]["connections_total"]["ip t c"]

    assert told() is None
    lab.conc.nft("table ip t { counter c { packets 7 bytes 9 } }")
    netlab.wait_for(lambda: told() == 7, 5, "the counter")
    lab.conc.run("nft", "delete", "table", "ip", "t")
    netlab.wait_for(lambda: told() is None, 5, "its end")
    netlab.wait_for(lambda: p.log().count("cannot be read: there is none") == 2, 5, "the lines")
    netlab.wait_for(lambda: p.log().count("is there\"") == 1, 5, "the line between")


def test_without_the_privilege(lab, program):
    """Nothing is known, one line says why, and everything else works."""
    from support.proxy import Proxy
    p = Proxy(lab, program, {"native": {"counters": ["ip t c"]}},
              prefix=["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"])
    for _ in range(2):
        assert p.stats()["native"]["connections_total"] == {"ip t c": None}
    netlab.wait_for(lambda: p.log().count("CAP_NET_ADMIN is not there") == 1, 5, "the line")
    p.stop()
    p.remove()


def test_counters_must_be_named_as_nft_does(program, tmp_path):
    path = tmp_path / "c.json"
    for counters, said in ((["inet x"], "[0]: expected a counter"), (["ip a b", "ip a b"], "[1]: is there twice")):
        path.write_text(json.dumps({"native": {"counters": counters}}))
        done = subprocess.run([program, "--check", "-c", path], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "native.counters" + said in done.stderr
