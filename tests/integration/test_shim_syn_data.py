# SPDX-License-Identifier: MIT
"""Linux makes a connection plain TCP when its SYN's data is not taken (docs/architecture.md, "Kernel traps", T3). The client notices,
and the next connections to that concentrator go without: they are MPTCP. After ten minutes it tries again."""
import contextlib
import subprocess

import pytest

from support import dialects, netlab
from support.guests import PYTHON
from test_matrix import COUNT, SEED

INITIAL_SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
TEN_MINUTES = 600
IN_SYN = pytest.mark.parametrize("dialect", ["mp_convert", "convert"])
MODE = pytest.mark.parametrize("mode", ["preload", "seccomp"])
V6 = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
# A session that lasts until a line comes; the server's echo shows that it works.
HOLD = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
s.sendall(b"ECHO\\nhere")
assert s.makefile("rb").read(4) == b"here"
print("here", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def refuses(lab, proxy):
    """A concentrator that takes no SYN data: neither by the listener nor by its system."""
    lab.conc.sysctl(net__ipv4__tcp_fastopen=1)
    return proxy(listener={"fastopen": False})


@pytest.fixture
def hold(lab, origin):
    """with hold(front, mode, dialect, v6): while a program has a session; what its concentrator says of it."""
    @contextlib.contextmanager
    def session(front, mode, dialect, v6=False, before=()):
        host = netlab.SERVER6 if v6 else netlab.SERVER
        process = lab.client.popen(*before, *front.argv(mode, dialect, v6), PYTHON, "-B", "-c", HOLD, host, origin.port,
                                   env=front.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=front.folder)
        try:
            said = process.stdout.readline()
            assert said == b"here\n", (process.communicate(timeout=30), front.journal())
            [one] = front.proxy.sessions()
            yield one
        finally:
            process.communicate(b"\n", timeout=30)
        assert process.returncode == 0
        front.proxy.wait_sessions(0)

    return session


def syns(seen):
    """[(octets of data, MPTCP subtype)] of the initial SYNs on the wire."""
    found = seen.query(INITIAL_SYN, "tcp.len", "tcp.options.mptcp.subtype")
    return [(int(s["tcp.len"]), s["tcp.options.mptcp.subtype"]) for s in found]


def request_length(dialect, v6):
    return {"mp_convert": 28 if v6 else 16, "convert": 24}[dialect]


@IN_SYN
@MODE
@V6
def test_taken_syn_data_is_used_and_stays_mptcp(lab, front_of, proxy, hold, capture, mode, dialect, v6):
    front = front_of(proxy())
    seen = capture(lab.client, "c1", f"tcp port {front.proxy.port}")
    for _ in range(3):
        with hold(front, mode, dialect, v6) as session:
            assert session["transport"] == "mptcp" and not session["mptcp"]["fallback"]
    assert syns(seen) == [(request_length(dialect, v6), "0")] * 3
    assert front.proxy.stats()["mptcp"]["syn_data_total"] == 3


@IN_SYN
@MODE
@V6
def test_refused_syn_data_is_not_sent_again(lab, refuses, front_of, hold, capture, mode, dialect, v6):
    """MPTCP_INFO at the concentrator, and the wire. Both modes share what is known."""
    front = front_of(refuses)
    seen = capture(lab.client, "c1", f"tcp port {front.proxy.port}")
    with hold(front, mode, dialect, v6) as session:
        fell_back = session["transport"] == "tcp"
    for other in (mode, "preload", "seccomp"):
        with hold(front, other, dialect, v6) as session:
            assert session["transport"] == "mptcp" and not session["mptcp"]["fallback"]
    assert syns(seen) == [(request_length(dialect, v6), "0")] + [(0, "0")] * 3
    assert fell_back, "this kernel keeps MPTCP without its SYN data: the policy has no more reason"


@IN_SYN
def test_what_is_known_expires(lab, refuses, front_of, hold, capture, dialect):
    """By the clock of a time namespace: nobody waits."""
    front = front_of(refuses)
    with hold(front, "preload", dialect) as session:
        assert session["transport"] == "tcp"
    later = {}
    for seconds in (TEN_MINUTES - 60, TEN_MINUTES + 1):
        seen = capture(lab.client, "c1", f"tcp port {front.proxy.port}")
        with hold(front, "preload", dialect, before=("unshare", "-T", "--monotonic", seconds, "--fork", "--kill-child", "--")):
            pass
        later[seconds] = syns(seen)
    data = request_length(dialect, False)
    assert later == {TEN_MINUTES - 60: [(0, "0")], TEN_MINUTES + 1: [(data, "0")]}


@IN_SYN
@MODE
@pytest.mark.parametrize("box", ["synstrip", "syndrop"])
def test_a_path_without_syn_data_still_connects(lab, front_of, proxy, shop, origin, capture, box, mode, dialect):
    """Data taken out of SYNs, or such SYNs dropped: the first connection is late and plain TCP, the next ones are MPTCP."""
    front = front_of(proxy())
    lab.emulator.set("path1", **{box: 1})
    seen = capture(lab.conc, "k1", f"tcp port {front.proxy.port}")
    for _ in range(3):
        done = front.run(mode, dialect, shop.fetch("dynamic"), netlab.SERVER, origin.port, COUNT, SEED)
        assert (done.returncode, done.stdout) == (0, dialects.stream(lab, COUNT, SEED)), (done.stderr, front.journal())
    mptcp = front.proxy.stats()["mptcp"]
    assert mptcp["sessions_total"] == 2 and front.total(dialect) == 3, mptcp
    assert all(length == 0 for length, _ in syns(seen))
    assert mptcp["syn_data_total"] == 0


@IN_SYN
@MODE
def test_a_lost_syn_costs_a_second_and_no_connection(lab, front_of, proxy, shop, origin, mode, dialect):
    """Lost by chance: nothing is wrong with that concentrator, but the kernel cannot know."""
    front = front_of(proxy())
    for _ in range(2):
        lab.emulator.set("path1.up", dropsyn=1)
        done = front.run(mode, dialect, shop.fetch("dynamic"), "-n", netlab.SERVER, origin.port, COUNT, SEED)
        assert (done.returncode, done.stdout) == (0, dialects.stream(lab, COUNT, SEED)), (done.stderr, front.journal())


@IN_SYN
@MODE
def test_what_is_known_is_of_one_concentrator(lab, refuses, proxy, front_of, hold, capture, mode, dialect):
    with hold(front_of(refuses), mode, dialect):
        pass
    lab.conc.sysctl(net__ipv4__tcp_fastopen=0x607)
    good = front_of(proxy())
    seen = capture(lab.client, "c1", f"tcp port {good.proxy.port}")
    with hold(good, mode, dialect) as session:
        assert session["transport"] == "mptcp"
    assert syns(seen) == [(request_length(dialect, False), "0")]


@pytest.mark.parametrize("tfo,lengths", [("off", [0, 0]), ("on", [16, 16])])
def test_the_setting_counts_more_than_what_is_known(lab, refuses, front_of, shop, origin, capture, tfo, lengths):
    front = front_of(refuses)
    seen = capture(lab.client, "c1", f"tcp port {front.proxy.port}")
    for _ in range(2):
        done = front.run("preload", "mp_convert", shop.fetch("dynamic"), netlab.SERVER, origin.port, COUNT, SEED,
                         options=("--tfo", tfo))
        assert done.stdout == dialects.stream(lab, COUNT, SEED), (done, front.journal())
    assert [length for length, _ in syns(seen)] == lengths
