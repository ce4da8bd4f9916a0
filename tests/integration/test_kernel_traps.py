# SPDX-License-Identifier: MIT
"""The kernel's traps (docs/architecture.md, "Kernel traps"): cured by default, and biting as soon as the cure is off. A bare
server without our code shows first whether this kernel has the trap at all."""
import socket
import threading
import time

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5

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
def test_t1_bites_without_the_kick(lab, slow_path, proxy, origin, dialect):
    p = proxy({"relay": {"tfo_wait": False}})
    s = clients.dial_with(lab, p, clients.opening(dialect, netlab.SERVER, origin.port))
    assert (first_answer(s, 8) == STALLED) == kernel_has_t1(lab)


# T2: a TFO-accepted MPTCP connection begins with a send window that is far too large: over two subflows it overruns the client.


def overrun_download(lab, p, origin, count=12_000_000):
    """(seconds, octets thrown away by the client)"""
    for path in ("path1", "path2"):
        lab.emulator.set(path, delay=25, rate=80, queue=1000)
    lab.use_both_paths()
    before = lab.client.counters()["MPTcpExtNoDSSInWindow"]
    s = clients.session(lab, p, MP_CONVERT, origin.port, early=f"SOURCE {count} 5\n".encode(), link=1, fastopen=True)
    s.settimeout(15)
    try:
        got = clients.Download(s)
        assert got.data == dialects.stream(lab, count, 5)
        seconds = got.seconds
    except TimeoutError:
        seconds = 15
    s.close()
    return seconds, lab.client.counters()["MPTcpExtNoDSSInWindow"] - before


def test_t2_cured_the_window_is_kept(lab, proxy, origin, record_property):
    seconds, thrown = overrun_download(lab, proxy(), origin)
    record_property("seconds", seconds)
    assert thrown == 0
    assert seconds < 4


def test_t2_bites_without_the_window_rule(lab, proxy, origin, record_property):
    seconds, thrown = overrun_download(lab, proxy({"relay": {"tfo_window": False}}), origin)
    record_property("seconds", seconds)
    record_property("thrown", thrown)
    assert thrown > 0


# T5: an MPTCP receiver slower than its sender stalls for about 200 ms again and again.


def upload_rate(lab, p, origin, count=200_000_000):
    """MB/s over the plain link, by the median of three."""
    rates = []
    block = dialects.stream(lab, 1_000_000, 1)
    for _ in range(3):
        s = clients.session(lab, p, SOCKS5, origin.port, early=b"SINK\n", link=0)
        s.settimeout(30)

        def send(sock=s):
            end = time.monotonic() + 2
            for _ in range(count // len(block)):
                sock.sendall(block)
                if time.monotonic() > end:
                    break
            sock.shutdown(socket.SHUT_WR)

        begin = time.monotonic()
        sender = threading.Thread(target=send)
        sender.start()
        report = dialects.receive_all(s)
        rates.append(int(report.split()[0]) / 1e6 / (time.monotonic() - begin))
        sender.join()
        s.close()
    return sorted(rates)[1]


def test_t5_cured_uploads_do_not_stall(lab, proxy, origin, record_property):
    p = proxy()
    cured = upload_rate(lab, p, origin)
    p.stop()
    bare = upload_rate(lab, proxy({"relay": {"receive_buffer": 0, "send_queue_max": 0}}), origin)
    record_property("cured_mb_per_second", cured)
    record_property("bare_mb_per_second", bare)
    assert cured > 2 * bare
