# SPDX-License-Identifier: MIT
"""Policies: congestion control, DSCP, mark and segment size of both legs, as ss and the wire show them; and subflows that only
stand by, which is the path manager's business."""
import json
import re
import subprocess

import pytest

from support import clients, dialects, kernel, netlab, sockets
from support.clients import MP_CONVERT, MPTCP, SOCKS5, TCP
from test_transparent import call, gateway  # noqa: F401
from test_transparent_exact import cpe  # noqa: F401

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
DSCP = {False: "ip.dsfield.dscp", True: "ipv6.tclass.dscp"}
EF, AF21 = 46, 18
MARK = 0x77
MARK_TO_DSCP = "table inet remark { chain out { type filter hook output priority 0; meta mark 0x77 ip6 dscp set ef } }"
NET_ADMIN = 1 << 12


@pytest.fixture
def reno(lab):
    """A congestion control that is not the default."""
    return sockets.congestion_controls(lab.conc)[1]


def policy(name="gold", **members):
    return {"policies": [{"name": name, **members}]}


def session(lab, p, port, **how):
    return clients.session(lab, p, MP_CONVERT, port, early=b"ECHO\n", **{"link": 1, **how})


def joined(p, lab, s):
    """Waits until the client's second path is in use; the subflows at the concentrator."""
    return netlab.wait_for(lambda: len(both := sockets.of_port(lab.conc, p.port)) == 2 and both, 5, "the second subflow")


def echo(s, count=200000):
    """There and back; every session here begins with ECHO."""
    sender = clients.send_in_background(s, bytes(count), finish=False)
    assert len(dialects.receive_exactly(s, count)) == count
    sender.join()


def dscps(seen, port, v6, side="srcport"):
    return {int(f[DSCP[v6]]) for f in seen.query(f"tcp.{side} == {port}", DSCP[v6])}


@FAMILIES
@pytest.mark.parametrize("protocol", [TCP, MPTCP], ids=["tcp", "mptcp"])
def test_a_listeners_policy_reaches_every_subflow(lab, proxy, origin, capture, reno, protocol, v6):
    """Also the SYN-ACK, and the subflow that joins later. DSCP over IPv6 is the packet filter's, by the mark: IPV6_TCLASS cannot
    be had on Multipath TCP sockets, nor on what a Multipath TCP listener accepts."""
    lab.use_both_paths()
    p = proxy(policy(client={"congestion_control": reno, "dscp": "EF", "mark": "0x77", "mss": 1200}), listener={"policy": "gold"})
    if v6:
        lab.conc.nft(MARK_TO_DSCP)
    seen = [capture(lab.conc, device, f"tcp port {p.port}") for device in ("k1", "k2")]
    s = session(lab, p, origin.port, v6=v6, protocol=protocol)
    legs = joined(p, lab, s) if protocol == MPTCP else sockets.of_port(lab.conc, p.port)
    echo(s)
    assert len(legs) == (2 if protocol == MPTCP else 1)
    for leg in legs:
        assert leg["congestion"] == reno and leg["mark"] == MARK and leg["mss"] <= 1200, leg
    for each in seen[:len(legs)]:
        assert dscps(each, p.port, v6) == {EF}
        [synack] = each.query(f"tcp.srcport == {p.port} && tcp.flags.syn == 1", "tcp.options.mss_val")
        assert synack["tcp.options.mss_val"] == "1200"
    assert p.sessions()[0]["policy"] == "gold"
    s.close()


@FAMILIES
def test_without_a_policy_there_is_nothing(lab, proxy, origin, capture, v6):
    default, _ = sockets.congestion_controls(lab.conc)
    p = proxy()
    seen = capture(lab.conc, "k1", f"tcp port {p.port}")
    s = session(lab, p, origin.port, v6=v6)
    [leg] = sockets.of_port(lab.conc, p.port)
    assert (leg["congestion"], leg["mark"]) == (default, 0)
    assert dscps(seen, p.port, v6) == {0}
    assert p.sessions()[0]["policy"] is None
    s.close()


@FAMILIES
@pytest.mark.parametrize("mptcp", ["off", "on"])
def test_the_server_is_asked_by_the_policy(lab, proxy, origin, capture, reno, mptcp, v6):
    """From the SYN on. The server is plain TCP, so that with "on" this is also the socket after a fallback."""
    p = proxy({**policy(upstream={"congestion_control": reno, "dscp": AF21, "mark": MARK, "mss": 1100}),
               "upstream": {"mptcp": mptcp}}, listener={"policy": "gold"})
    lab.conc.nft("table inet seen { counter marked { } ; chain out { type filter hook output priority 0; meta mark 0x77 "
                 "tcp flags syn counter name marked } }")
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    s = session(lab, p, origin.port, link=0, v6=v6)
    [leg] = sockets.of_port(lab.conc, origin.port, "dport")
    assert leg["congestion"] == reno and leg["mark"] == MARK and leg["mss"] <= 1100
    echo(s)
    assert dscps(seen, origin.port, v6, "dstport") == {0 if v6 and mptcp == "on" else AF21}
    assert seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.options.mss_val") == [{"tcp.options.mss_val": "1100"}]
    assert b"packets 1 " in lab.conc.run("nft", "list", "counter", "inet", "seen", "marked").stdout
    s.close()


@pytest.fixture(scope="module")
def users_file():
    digest = subprocess.run(["openssl", "passwd", "-5", "-salt", "labsalt", "word"], capture_output=True, check=True)
    return "".join(f"{user}:{digest.stdout.decode().strip()}\n" for user in ("alice", "bob"))


def log_in(lab, p, user, port, v6=False):
    s = clients.dial(lab, p, link=1, v6=v6)
    s.sendall(dialects.socks5_greeting(2) + dialects.socks5_password(user, b"word")
              + dialects.socks5_request(clients.target(v6), port))
    assert dialects.receive_exactly(s, 6)[-2:] == b"\x05\x00"
    dialects.receive_exactly(s, 20 if v6 else 8)
    return s


@FAMILIES
def test_a_users_policy_goes_before(lab, proxy, origin, reno, users_file, v6):
    """User before source before listener; what the user's leaves out is the listener's. It reaches both subflows."""
    lab.use_both_paths()
    p = proxy({"policies": [{"name": "base", "client": {"mark": 1, "congestion_control": reno}, "upstream": {"mark": 2}},
                            {"name": "alices", "users": ["carol", "alice"], "client": {"mark": 3, "dscp": "CS1"},
                             "upstream": {"congestion_control": reno}},
                            {"name": "nets", "sources": ["192.0.2.0/24", "2001:db8::/32"], "client": {"mark": 4}}],
               "auth": {"users_file": "{folder}/users"}}, listener={"policy": "base"}, files={"users": users_file})
    for user, name, mark in ((b"alice", "alices", 3), (b"bob", "nets", 4)):
        s = log_in(lab, p, user, origin.port, v6)
        for leg in joined(p, lab, s):
            assert (leg["mark"], leg["congestion"]) == (mark, reno)
        [leg] = sockets.of_port(lab.conc, origin.port, "dport")
        assert leg["mark"] == 2
        assert (leg["congestion"] == reno) == (name == "alices")
        assert p.sessions()[0]["policy"] == name
        s.close()
        p.wait_sessions(0)
        netlab.wait_for(lambda: not sockets.of_port(lab.conc, p.port), 5, "the end")


def test_a_later_subflow_gets_a_users_policy(lab, proxy, origin, reno):
    """Set on the connection, not on the listener, and before the second path is there."""
    p = proxy({"policies": [{"name": "mine", "sources": [netlab.CLIENT[1]], "client": {"mark": 9, "congestion_control": reno}}]})
    s = clients.session(lab, p, SOCKS5, origin.port, link=1)
    lab.use_both_paths()
    for leg in joined(p, lab, s):
        assert (leg["mark"], leg["congestion"]) == (9, reno)
    s.close()


@FAMILIES
def test_a_reload_changes_a_listener_that_stays(lab, proxy, origin, capture, reno, v6):
    """For connections that come later; and back."""
    default, _ = sockets.congestion_controls(lab.conc)
    p = proxy(policy(client={"congestion_control": reno, "dscp": "EF", "mark": MARK, "mss": 1200}))

    def look():
        seen = capture(lab.conc, "k1", f"tcp port {p.port}")
        s = session(lab, p, origin.port, v6=v6)
        [leg] = sockets.of_port(lab.conc, p.port)
        [synack] = seen.query(f"tcp.srcport == {p.port} && tcp.flags.syn == 1", "tcp.options.mss_val", DSCP[v6])
        clients.abort(s)
        p.wait_sessions(0)
        return leg["congestion"], leg["mark"], synack["tcp.options.mss_val"] == "1200", int(synack[DSCP[v6]])

    assert look() == (default, 0, False, 0)
    for name, want in (("gold", (reno, MARK, True, 0 if v6 else EF)), (None, (default, 0, False, 0))):
        loads = p.stats()["generation"]
        p.reconfigure({"listeners": [{**p.config["listeners"][0], "policy": name}]})
        netlab.wait_for(lambda: p.stats()["generation"] == loads + 1, 5, "the reload")
        assert look() == want


def test_concentrators_are_asked_by_the_policy(lab, proxy, origin, capture):
    far = proxy()
    near = proxy({**policy(upstream={"dscp": "EF", "mark": MARK}), "clients": {"allow": ["127.0.0.0/8"]},
                  # a question of the daemon's own is nobody's session, and has no policy
                  "via": {"concentrators": [{"address": f"{netlab.CONC}:{far.port}"}], "probe": False},
                  "acl": {"rules": [{"action": "allow"}]}}, ns=lab.client, listener={"via": True, "policy": "gold"})
    seen = capture(lab.client, "c1", f"tcp dst port {far.port}")
    s = lab.client.open_socket()
    s.connect(("127.0.0.1", near.port))
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(netlab.SERVER, origin.port))
    assert dialects.receive_exactly(s, 12)[:4] == b"\x05\x00\x05\x00"
    assert [leg["mark"] for leg in sockets.of_port(lab.client, far.port, "dport")] == [MARK]
    assert dscps(seen, far.port, False, "dstport") == {EF}
    s.close()


@FAMILIES
@pytest.mark.parametrize("late", [False, True], ids=["transparent", "exact"])
def test_a_diverted_hosts_policy(lab, gateway, cpe, origin, reno, late, v6):  # noqa: F811
    """By its source, on both legs; also where the dial comes before there is a connection of the host's."""
    mine = {"policies": [{"name": "lan", "sources": ["192.0.2.0/24", "2001:db8::/64"], "client": {"congestion_control": reno, "mark": MARK},
                          "upstream": {"mark": 5}}]}
    p = (cpe if late else gateway)(mine)
    s = call(lab, origin.port, v6)
    s.sendall(b"ECHO\n")
    echo(s, 1000)
    [leg] = sockets.of_port(lab.conc, origin.port)
    assert (leg["congestion"], leg["mark"]) == (reno, MARK)
    [leg] = sockets.of_port(lab.conc, origin.port, "dport")
    assert leg["mark"] == 5
    assert [x["policy"] for x in p.sessions()] == ["lan"]
    s.close()


def test_a_transparent_listener_has_a_mark_of_its_own(program, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**policy(client={"mark": 1}), "listeners": [
        {"name": "x", "address": "127.0.0.1:9002", "transparent": True, "policy": "gold"}]}))
    done = subprocess.run([program, "--check", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "listeners[0].policy: cannot have a client.mark" in done.stderr


def check(program, lab, tmp_path, leg, drop=(), **more):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"policies": [{"name": "p", "client": leg, **more}]}))
    done = lab.conc.run(*drop, program, "--check", "-c", path, check=False)
    return done.returncode, done.stderr.decode()


WITHOUT = ["setpriv", "--bounding-set", "-net_admin,-net_raw", "--inh-caps", "-net_admin,-net_raw"]


def test_what_the_system_does_not_grant_is_an_error(lab, program, tmp_path):
    status, said = check(program, lab, tmp_path, {"congestion_control": "nonesuch"})
    assert status == 1
    assert re.search(r'policies\[0\]\.client\.congestion_control: the kernel has no "nonesuch"; '
                     r"net\.ipv4\.tcp_available_congestion_control: .*\breno\b", said), said
    status, said = check(program, lab, tmp_path, {"mark": 1}, WITHOUT)
    assert status == 1 and "policies[0].client.mark: needs CAP_NET_ADMIN or CAP_NET_RAW" in said
    assert check(program, lab, tmp_path, {"mark": 1}) == (0, "")


def test_a_congestion_control_that_is_not_allowed(lab, program, tmp_path):
    with lab.conc:
        with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as f:
            available = f.read().split()
        with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control") as f:
            allowed = f.read().split()
    restricted = sorted(set(available) - set(allowed))
    if not restricted:
        pytest.skip("every congestion control of this kernel is allowed to everybody")
    status, said = check(program, lab, tmp_path, {"congestion_control": restricted[0]}, WITHOUT)
    assert status == 1
    assert f'client.congestion_control: "{restricted[0]}" needs CAP_NET_ADMIN' in said and allowed[0] in said
    assert check(program, lab, tmp_path, {"congestion_control": restricted[0]})[0] == 0


@pytest.mark.parametrize("mark,kept", [(None, 0), (7, NET_ADMIN)])
def test_marks_keep_the_capability(lab, proxy, mark, kept):
    p = proxy(policy(upstream={"mark": mark}))
    with open(f"/proc/{p.process.pid}/status") as f:
        assert int(re.search(r"CapEff:\t(\w+)", f.read())[1], 16) == kept


def test_no_policy_costs_no_system_call(lab, program, origin, tmp_path):
    """Nor does a listener's, on the client's leg: what is set is inherited."""
    from support.proxy import Proxy

    def calls(changes, **how):
        trace = tmp_path / "trace"
        traced = ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-D", "-f", "-qq", "-e", "setsockopt", "-o", trace]
        p = Proxy(lab, program, {**changes, "workers": 1}, prefix=traced, **how)
        before = len(trace.read_text().splitlines())
        for _ in range(4):
            s = session(lab, p, origin.port)
            s.close()
            p.wait_sessions(0)
        p.stop()
        p.remove()
        found = [re.search(r"SO_MARK|TCP_CONGESTION|TCP_MAXSEG|IP_TOS|IPV6_TCLASS", x) for x in trace.read_text().splitlines()[before:]]
        return sorted(x[0] for x in found if x)

    assert calls({}) == []
    everything = {"dscp": "EF", "mark": MARK, "congestion_control": "reno", "mss": 1200}
    assert calls(policy(client=everything), listener={"policy": "gold"}) == []
    both = policy(upstream={"mark": MARK, "dscp": 0}, client=everything)
    assert calls(both, listener={"policy": "gold"}) == 4 * ["IP_TOS"] + 4 * ["SO_MARK"]


# Stand-by subflows (MP_PRIO, RFC 8684 s3.3.8): the client's path manager, by endpoint.


def spread(lab, s, count=500000):
    """What share of an echo came back over the second path."""
    def received():
        links = json.loads(lab.client.run("ip", "-s", "-j", "link").stdout)
        return {x["ifname"]: x["stats64"]["rx"]["bytes"] for x in links}

    before = received()
    echo(s, count)
    after = received()
    first, second = (after[d] - before[d] for d in ("c1", "c2"))
    return second / (first + second)


@FAMILIES
def test_a_backup_endpoint_stands_by(lab, proxy, origin, v6):
    """While the first path lives nothing goes over the second; when it is cut everything does; and back."""
    lab.client.ip(f"mptcp endpoint add {(netlab.CLIENT6 if v6 else netlab.CLIENT)[2]} dev c2 subflow backup")
    p = proxy()
    s = session(lab, p, origin.port, v6=v6)
    joined(p, lab, s)
    assert spread(lab, s) < 0.01
    lab.emulator.cut("path1")
    assert spread(lab, s) > 0.99
    lab.emulator.restore("path1")
    s.close()


@FAMILIES
def test_a_live_subflow_becomes_backup(lab, proxy, origin, v6):
    """`ip mptcp endpoint change`: MP_PRIO for every connection that uses the address."""
    lab.use_both_paths()
    p = proxy()
    s = session(lab, p, origin.port, v6=v6)
    joined(p, lab, s)
    assert spread(lab, s) > 0.2
    shown = lab.client.run("ip", "mptcp", "endpoint", "show").stdout.decode()
    number = re.search(re.escape((netlab.CLIENT6 if v6 else netlab.CLIENT)[2]) + r" id (\d+)", shown)[1]
    for flag, low in (("backup", True), ("nobackup", False)):
        heard = lab.conc.counters()["MPTcpExtMPPrioRx"]
        lab.client.run("ip", "mptcp", "endpoint", "change", "id", number, flag)
        netlab.wait_for(lambda: lab.conc.counters()["MPTcpExtMPPrioRx"] > heard, 5, "MP_PRIO")
        share = spread(lab, s)
        assert share < 0.01 if low else share > 0.2, (flag, share)
        assert kernel.is_mptcp(s)
    s.close()
