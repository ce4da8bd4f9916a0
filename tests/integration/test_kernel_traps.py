# SPDX-License-Identifier: MIT
"""The kernel's traps (docs/architecture.md, "Kernel traps"): cured by default, and biting as soon as the cure is off. A bare
server without our code shows first whether this kernel has the trap at all."""
import os
import re
import socket
import time

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5

pytestmark = pytest.mark.alone
STALLED = "stalled"


def first_answer(s, size):
    s.settimeout(2)
    begin = time.monotonic()
    try:
        got = dialects.receive_exactly(s, size)
    except TimeoutError:
        return STALLED
    assert len(got) == size
    return time.monotonic() - begin


# T1: what an MPTCP server writes on a TCP Fast Open connection before the third ACK is never sent.


def kernel_has_t1(lab):
    server = lab.conc.open_socket(socket.AF_INET, kernel.IPPROTO_MPTCP)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    server.bind((netlab.CONC, 0))
    server.listen()
    c = clients.new_socket(lab)
    c.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
    c.sendto(b"question", kernel.MSG_FASTOPEN, server.getsockname())
    a, _ = server.accept()
    a.send(b"answer")
    return first_answer(c, 6) == STALLED


@pytest.fixture
def slow_path(lab):
    """The third ACK takes 50 ms more than the server's answer."""
    lab.emulator.set("path1", delay=25, rate=0)


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_t1_cured_an_early_answer_arrives(lab, slow_path, proxy, origin, dialect):
    p = proxy()
    request = clients.opening(dialect, netlab.SERVER, origin.port)
    for _ in range(5):
        s = clients.dial_with(lab, p, request)
        assert first_answer(s, 8) < 0.15
        s.close()


@pytest.mark.parametrize("dialect", [SOCKS5, CONVERT])
def test_t1_cured_an_early_refusal_arrives_with_its_end(lab, slow_path, proxy, dialect):
    p = proxy()
    s = clients.dial_with(lab, p, clients.opening(dialect, netlab.SERVER, 7998))
    begin = time.monotonic()
    assert clients.failure(s, dialect) == {SOCKS5: 5, CONVERT: (96, 0)}[dialect]
    assert time.monotonic() - begin < 0.3


@pytest.mark.parametrize("dialect", [MP_CONVERT, CONVERT])
def test_t1_bites_without_the_wait(lab, slow_path, proxy, origin, dialect):
    p = proxy({"relay": {"tfo_wait": False}})
    s = clients.dial_with(lab, p, clients.opening(dialect, netlab.SERVER, origin.port))
    assert (first_answer(s, 8) == STALLED) == kernel_has_t1(lab)


# T2: a TFO-accepted MPTCP connection begins with a send window that is far too large: over two subflows it overruns the client.


def overrun_download(lab, p, origin, count=12_000_000, patience=6):
    """(seconds, segments thrown away by the client)"""
    for path in ("path1", "path2"):
        lab.emulator.set(path, delay=25, rate=80, queue=1000)
    lab.use_both_paths()
    before = lab.client.counters()["MPTcpExtNoDSSInWindow"]
    request = clients.opening(MP_CONVERT, netlab.SERVER, origin.port) + f"SOURCE {count} 5\n".encode()
    s = clients.dial_with(lab, p, request)
    s.settimeout(patience)
    try:
        clients.expect_success(s, MP_CONVERT, netlab.SERVER, origin.port)
        got = clients.Download(s, patience)
        assert got.data == dialects.stream(lab, count, 5)
        seconds = got.seconds
    except TimeoutError:
        seconds = patience
    clients.abort(s)
    return seconds, lab.client.counters()["MPTcpExtNoDSSInWindow"] - before


def test_t2_cured_the_window_is_kept(lab, proxy, origin, record_property):
    seconds, thrown = overrun_download(lab, proxy(), origin)
    record_property("seconds", seconds)
    record_property("thrown", thrown)
    assert seconds < 4, f"{seconds:.1f} s, {thrown} segments thrown away"


def test_t2_bites_without_the_window_rule(lab, proxy, origin, record_property):
    """On a machine busy with other things the server may not get round to overrunning the client: then once more."""
    p = proxy({"relay": {"tfo_window": False}})
    for attempt in range(6):
        seconds, thrown = overrun_download(lab, p, origin)
        record_property(f"attempt {attempt}", f"{seconds:.1f} s, {thrown} segments thrown away")
        if thrown > 0:
            return
    pytest.fail(f"not once in six downloads; the last took {seconds:.1f} s, {thrown} segments thrown away")


@pytest.mark.parametrize("dialect", [MP_CONVERT, CONVERT])
def test_t2_a_client_whose_window_is_as_large_as_the_wrong_one(lab, proxy, near_origin, dialect):
    """With 4 MiB it really has about what the kernel believes: nothing to wait for."""
    if os.environ.get("MPCONVERT_IN_USERNS"):
        pytest.skip("inside a user namespace nobody may have a buffer beyond the host's limit")
    p, count = proxy(), 12_000_000
    request = clients.opening(dialect, netlab.CONC_OUT, near_origin.port) + f"SOURCE {count} 5\n".encode()
    s = clients.dial_with(lab, p, request, link=0, receive_buffer=4 << 20)
    s.settimeout(10)
    clients.expect_success(s, dialect, netlab.CONC_OUT, near_origin.port)
    assert clients.Download(s, 10).data == dialects.stream(lab, count, 5)
    clients.abort(s)


# T5: an MPTCP receiver slower than its sender stalls for about 200 ms, again and again, unless the receiver's buffer is large or the
# sender's small. How much that is worth comes and goes with the machine's load (the benchmark's row "traps" measures it); what the
# cures set is told here by the kernel. The server runs beside the proxy: the emulated leg would be the bottleneck.


@pytest.fixture
def near_origin(lab):
    server = netlab.Origin(lab, ns=lab.conc)
    yield server
    server.stop()


@pytest.fixture
def fixed_buffers(lab):
    """A concentrator whose kernel tunes receive buffers up to 128 KiB only, and begins with send buffers of 1 MiB."""
    names = ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
    before = [lab.conc.run("sysctl", "-n", n, text=True).stdout.strip() for n in names]
    lab.conc.sysctl(net__ipv4__tcp_rmem="4096 131072 131072", net__ipv4__tcp_wmem="4096 1048576 4194304")
    yield
    lab.conc.sysctl(**{n.replace(".", "__"): value for n, value in zip(names, before)})


def t5_session(lab, p, near_origin, command, receive_buffer=None):
    s = clients.new_socket(lab, link=0)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(clients.address(p, 0))
    s.sendall(clients.opening(SOCKS5, netlab.CONC_OUT, near_origin.port) + command)
    clients.expect_success(s, SOCKS5, netlab.CONC_OUT, near_origin.port)
    return s


def client_leg(lab, s):
    """The buffers of the proxy's end of connection `s`: {"rb": octets it may receive, "tb": ... send, "w": octets it holds to be
    sent, ...}, with the kernel's overhead."""
    host, port = s.getsockname()[:2]
    line = lab.conc.run("ss", "-HMnm", "state", "established", "dst", f"{host}:{port}", text=True).stdout
    return {name: int(value) for name, value in re.findall(r"\b([a-z]+)(\d+)", line.split("skmem:")[1])}


@pytest.mark.parametrize("settings,large", [({}, True), ({"receive_buffer": 0}, False)], ids=["cured", "bare"])
def test_t5_a_relaying_client_has_a_large_receive_buffer(lab, fixed_buffers, proxy, near_origin, settings, large):
    if large and os.environ.get("MPCONVERT_IN_USERNS"):
        pytest.skip("inside a user namespace nobody may have a buffer beyond the host's limit")
    p = proxy({"relay": settings})
    s = t5_session(lab, p, near_origin, b"SINK\n")
    netlab.wait_for(lambda: (s.send(bytes(1000)), p.sessions()[0]["up_bytes"] > 2000)[1], 5, "the relay")
    assert (client_leg(lab, s)["rb"] == 2 * (4 << 20)) == large  # the kernel doubles what is asked for
    s.close()


@pytest.mark.parametrize("settings,bounded", [({"send_queue_max": "64k"}, True), ({"send_queue_max": 0}, False)],
                         ids=["cured", "bare"])
def test_t5_the_send_queue_towards_a_client_is_bounded(lab, fixed_buffers, proxy, near_origin, settings, bounded):
    """The client does not read."""
    s = t5_session(lab, proxy({"relay": settings}), near_origin, b"SOURCE 100000000000 1\n", receive_buffer=131072)
    netlab.wait_for(lambda: client_leg(lab, s)["w"] > (32 << 10 if bounded else 256 << 10), 10, "a long send queue")
    assert (client_leg(lab, s)["tb"] == 2 * 65536) == bounded
    clients.abort(s)
