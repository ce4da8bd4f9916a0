# SPDX-License-Identifier: MIT
"""Listeners: added and removed under live sessions, switched options, and hosts that have no IPv6."""
import json
import os
import subprocess
import sys
import types

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5
from support.proxy import Proxy

HERE = "192.0.2.7"  # an address of the host without IPv6


def echo(s, word=b"alive"):
    s.sendall(word)
    return dialects.receive_exactly(s, len(word)) == word


def connect(lab, port, protocol=clients.MPTCP):
    s = lab.client.open_socket(protocol=protocol)
    s.connect((netlab.CONC_LINK[0], port))
    return s


def reload(p, listeners):
    """Waits until every worker has it."""
    before = p.stats()["config"]["reload_success_total"]
    p.config["listeners"] = listeners
    p.reload(json.dumps(p.config))
    netlab.wait_for(lambda: p.stats()["config"]["reload_success_total"] == before + 1, 3, "the reload")


@pytest.mark.parametrize("protocol", [clients.MPTCP, clients.TCP], ids=["mptcp", "tcp"])
def test_one_reload_removes_a_listener_under_a_session_and_adds_another(lab, proxy, origin, protocol):
    p = proxy()
    old = p.config["listeners"][0]
    live = [clients.session(lab, p, d, origin.port, early=b"ECHO\n", protocol=protocol) for d in clients.DIALECTS]
    undecided = connect(lab, p.port, protocol)
    netlab.wait_for(lambda: p.stats()["sessions"]["current"] == 4, 3, "the session that has said nothing")

    added = lab.conc.free_port()
    reload(p, [{**old, "name": "other", "address": f"[::]:{added}", "protocols": ["mp_convert"]}])
    netlab.wait_for(lambda: not lab.conc.listening(p.port), 3, "the first listener's end")
    assert lab.conc.listening(added)

    with pytest.raises(ConnectionRefusedError):
        connect(lab, p.port, protocol)
    assert all(echo(s) for s in live)
    undecided.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port) + b"ECHO\nx")
    clients.expect_success(undecided, SOCKS5, netlab.SERVER, origin.port)
    assert dialects.receive_exactly(undecided, 1) == b"x"

    s = connect(lab, added, protocol)
    s.sendall(clients.opening(MP_CONVERT, netlab.SERVER, origin.port) + b"ECHO\nx")
    clients.expect_success(s, MP_CONVERT, netlab.SERVER, origin.port)
    assert dialects.receive_exactly(s, 1) == b"x"
    s = connect(lab, added, protocol)
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port))
    assert clients.failure(s, SOCKS5) == clients.RESET, "it speaks one dialect only"
    assert all(echo(s) for s in live)


def test_a_removed_listener_may_come_back(lab, proxy, origin):
    p = proxy()
    first = p.config["listeners"][0]
    second = {**first, "name": "other", "address": f"[::]:{lab.conc.free_port()}"}
    for _ in range(3):
        reload(p, [second])
        netlab.wait_for(lambda: not lab.conc.listening(p.port), 3, "the listener's end")
        reload(p, [first, second])
        assert echo(clients.session(lab, p, CONVERT, origin.port, early=b"ECHO\n"))


def test_a_listener_that_cannot_be_bound_changes_nothing(lab, proxy, origin):
    """A port that is somebody else's."""
    p = proxy()
    live = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    with lab.conc.open_socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen(1)
        port, free = taken.getsockname()[1], lab.conc.free_port()
        one = p.config["listeners"][0]
        wanted = [{**one, "name": "free", "address": f"0.0.0.0:{free}"}, {**one, "name": "taken", "address": f"0.0.0.0:{port}"}]
        p.reload(json.dumps({**p.config, "listeners": wanted}))
        netlab.wait_for(lambda: p.stats()["config"]["reload_failure_total"] == 1, 3, "the failed reload")
    assert lab.conc.listening(p.port) and not lab.conc.listening(free)
    assert echo(live)
    assert echo(clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n"))


@pytest.mark.parametrize("key,value", [("mptcp", False), ("fastopen", False), ("backlog", 7)])
def test_what_a_socket_was_opened_with_stays(lab, proxy, origin, key, value):
    p = proxy()
    p.reload(json.dumps({**p.config, "listeners": [{**p.config["listeners"][0], key: value}]}))
    netlab.wait_for(lambda: p.stats()["config"]["reload_failure_total"] == 1, 3, "the failed reload")
    s = clients.session(lab, p, MP_CONVERT, origin.port, early=b"ECHO\nx", link=1, fastopen=True)
    assert dialects.receive_exactly(s, 1) == b"x"
    assert kernel.is_mptcp(s) and kernel.tcp_info(s)["syn_data"]


@pytest.mark.parametrize("mptcp,subtype", [(True, "0"), (False, "")], ids=["on", "off"])
@pytest.mark.parametrize("fastopen", [True, False], ids=["fastopen", "no fastopen"])
def test_the_syn_ack_is_what_the_options_say(lab, proxy, origin, capture, mptcp, subtype, fastopen):
    lab.conc.sysctl(net__ipv4__tcp_fastopen=3)  # bit 0x400 would make every listener take data
    p = proxy(listener={"mptcp": mptcp, "fastopen": fastopen})
    seen = capture(lab.client, "c1", f"tcp port {p.port}")
    request = clients.opening(CONVERT, netlab.SERVER, origin.port) + b"ECHO\nx"
    s = clients.dial_with(lab, p, request)
    clients.expect_success(s, CONVERT, netlab.SERVER, origin.port)
    assert dialects.receive_exactly(s, 1) == b"x"
    s.close()
    answer = seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.options.mptcp.subtype", "tcp.ack")
    assert answer == [{"tcp.options.mptcp.subtype": subtype, "tcp.ack": str(1 + len(request) * fastopen)}]


@pytest.mark.parametrize("address,served", [("0.0.0.0", [False]), (netlab.CONC_LINK6[0], [True]), ("::", [False, True])],
                         ids=["IPv4", "IPv6", "both"])
def test_families(lab, proxy, origin, address, served):
    p, port = proxy(), lab.conc.free_port()
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    reload(p, [{**p.config["listeners"][0], "address": where}])
    p.port = port
    for v6 in (False, True):
        if v6 in served:
            assert echo(clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n", v6=v6))
        else:
            with pytest.raises(ConnectionRefusedError):
                clients.dial(lab, p, v6=v6)


# A host without IPv6: its interfaces have none, or its kernel knows no such sockets.

FILTER = f"""#!{sys.executable}
# Runs a program for which socket(AF_INET6) fails with EAFNOSUPPORT, as on a kernel without IPv6.
import ctypes, errno, os, platform, struct, sys
number = {{"x86_64": 41, "aarch64": 198}}[platform.machine()]
load, equal, give = 0x20, 0x15, 0x06
steps = [(load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 16), (equal, 0, 1, 10),
         (give, 0, 0, 0x00050000 | errno.EAFNOSUPPORT), (give, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *s) for s in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
    raise OSError(ctypes.get_errno(), "seccomp")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def filtered(tmp_path, program):
    """A program like mpconvertd, for which there is no IPv6."""
    (tmp_path / "filter.py").write_text(FILTER)
    path = tmp_path / "mpconvertd"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "filter.py"} {program} "$@"\n')
    path.chmod(0o755)
    return str(path)


DISABLED, UNKNOWN = "disabled", "not in the kernel"


@pytest.fixture(params=[DISABLED, UNKNOWN])
def without_ipv6(request, lab, program, filtered):
    """(something like the lab, whose only host has no IPv6; the program to run there)"""
    ns = netlab.Netns(f"{netlab.PREFIX}{os.getpid()}-alone")
    subprocess.run(["ip", "netns", "add", ns.name], check=True)
    ns.sysctl(net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1, net__ipv4__tcp_fastopen=0x607)
    ns.ip("link set lo up", f"addr add {HERE}/32 dev lo")
    yield types.SimpleNamespace(conc=ns, server=ns, tools=lab.tools), program if request.param == DISABLED else filtered
    subprocess.run(["ip", "netns", "del", ns.name], check=True)


@pytest.fixture
def alone(without_ipv6):
    """A proxy that listens on [::] there."""
    host, program = without_ipv6
    p = Proxy(host, program, {"clients": {"allow": ["192.0.2.0/24"], "trusted": ["192.0.2.0/24"]}})
    yield p
    p.stop()
    p.remove()


def ask_alone(p, target, port):
    s = p.ns.open_socket(protocol=clients.MPTCP)
    s.bind((HERE, 0))
    s.connect((HERE, p.port))
    s.sendall(clients.opening(SOCKS5, target, port) + b"ECHO\nx")
    return s


def test_without_ipv6_every_address_means_ipv4(alone):
    server = netlab.Origin(alone.lab, ns=alone.ns)
    s = ask_alone(alone, HERE, server.port)
    clients.expect_success(s, SOCKS5, HERE, server.port)
    assert dialects.receive_exactly(s, 1) == b"x"
    assert kernel.is_mptcp(s)
    s.close()
    server.stop()


def test_without_ipv6_a_target_that_needs_it_is_refused(request, alone):
    """No route, or a type of address that is not supported."""
    s = ask_alone(alone, netlab.SERVER6, 80)
    assert clients.failure(s, SOCKS5) == {DISABLED: 3, UNKNOWN: 8}[request.node.callspec.params["without_ipv6"]]


@pytest.mark.parametrize("address", ["[2001:db8::1]:1080", "[::1]:1080"])
def test_without_ipv6_an_address_of_it_is_an_error(without_ipv6, tmp_path, address):
    host, program = without_ipv6
    path = tmp_path / "six.json"
    path.write_text(json.dumps({"listeners": [{"name": "four", "address": f"{HERE}:1081"}, {"name": "six", "address": address}],
                                "stats": {"address": None}}))
    done = host.conc.run(program, "--config", path, check=False, timeout=10)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert "six" in said and "four" not in said, said
    assert "address" in said, said
