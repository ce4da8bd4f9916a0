# SPDX-License-Identifier: MIT
"""The lab itself does what the other tests take for granted."""
import socket
import statistics
import threading
import time
import zlib

import pytest

from support import kernel, netlab
from support.dialects import stream


def datagram_pair(lab, path, v6=False):
    """A bound socket on each end of a path."""
    family = socket.AF_INET6 if v6 else socket.AF_INET
    near = lab.client.open_socket(family, 0, socket.SOCK_DGRAM)
    far = lab.conc.open_socket(family, 0, socket.SOCK_DGRAM)
    near.bind(((netlab.CLIENT6 if v6 else netlab.CLIENT)[path], 0))
    far.bind(((netlab.CONC_LINK6 if v6 else netlab.CONC_LINK)[path], 0))
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    near.connect(far.getsockname())
    return near, far


def one_way_ms(near, far):
    begin = time.monotonic()
    near.send(b"x")
    far.recv(1)
    return (time.monotonic() - begin) * 1000


@pytest.mark.alone
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("path", [1, 2])
def test_delay_is_the_one_set(lab, path, v6):
    lab.emulator.set(f"path{path}", delay=20)
    with_delay = datagram_pair(lab, path, v6)
    measured = statistics.median(one_way_ms(*with_delay) for _ in range(9))
    assert 20 <= measured < 25


@pytest.mark.alone
def test_first_frame_is_as_fast_as_the_others(lab):
    """Neighbours are permanent: no question goes ahead of it."""
    lab.emulator.set("path1", delay=40)
    near, far = datagram_pair(lab, 1)
    assert one_way_ms(near, far) < 80


@pytest.mark.alone
def test_rate_is_the_one_set(lab):
    near, far = datagram_pair(lab, 1)
    lab.emulator.set("path1", rate=20, queue=1000)
    count, size = 400, 1400
    for _ in range(count):
        near.send(bytes(size))
    far.recv(size)
    begin, got = time.monotonic(), 1
    while got < count:
        far.recv(size)
        got += 1
    mbit = (count - 1) * (size + 42) * 8 / (time.monotonic() - begin) / 1e6  # 42: Ethernet, IPv4, UDP
    assert mbit == pytest.approx(20, rel=0.1)


@pytest.mark.alone
def test_queue_drops_what_does_not_fit(lab):
    near, far = datagram_pair(lab, 1)
    before = lab.emulator.stats()["path1.up"]["overflow"]
    lab.emulator.set("path1", rate=20, queue=50)
    for _ in range(200):
        near.send(bytes(1400))
    netlab.wait_for(lambda: lab.emulator.stats()["path1.up"]["overflow"] - before >= 140, 2, "tail drops")
    far.settimeout(0.2)
    assert 30 <= drain(far) <= 60


def drain(sock):
    got = 0
    while True:
        try:
            sock.recv(2000)
            got += 1
        except TimeoutError:
            return got


def test_loss_is_the_one_set_and_one_way_only(lab):
    near, far = datagram_pair(lab, 2)
    lab.emulator.set("path2", rate=0)
    lab.emulator.set("path2.up", loss=20)
    for i in range(2000):
        near.send(i.to_bytes(2, "big"))
        if i % 100 == 0:
            time.sleep(0.005)  # within the sockets' buffers
    far.settimeout(0.3)
    got = drain(far)
    assert 1480 <= got <= 1720
    far.sendto(b"back", near.getsockname())
    assert near.recv(10) == b"back"


def test_loss_is_reproducible(lab):
    """The same seed loses the same frames, another one others."""
    near, far = datagram_pair(lab, 2)
    far.settimeout(0.2)

    def survivors(seed):
        lab.emulator.set("path2.up", loss=30, seed=seed)
        for i in range(100):
            near.send(bytes([i]))
        found = []
        while len(found) < 100:
            try:
                found += far.recv(1)
            except TimeoutError:
                break
        return found

    first = survivors(7)
    assert 50 < len(first) < 90
    assert survivors(7) == first
    assert survivors(8) != first


def test_cut_path_is_silent_until_restored(lab):
    near, far = datagram_pair(lab, 1)
    far.settimeout(0.2)
    lab.emulator.cut("path1")
    near.send(b"lost")
    with pytest.raises(TimeoutError):
        far.recv(10)
    lab.emulator.restore("path1")
    near.send(b"there")
    assert far.recv(10) == b"there"


def listener(ns, protocol=socket.IPPROTO_TCP):
    s = ns.open_socket(socket.AF_INET, protocol)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    s.bind((netlab.CONC, 0))
    s.listen(16)
    return s


def mptcp_pair(lab, data=None):
    l = listener(lab.conc, kernel.IPPROTO_MPTCP)
    c = lab.client.open_socket(socket.AF_INET, kernel.IPPROTO_MPTCP)
    if data is None:
        c.connect(l.getsockname())
    else:
        c.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
        c.sendto(data, kernel.MSG_FASTOPEN, l.getsockname())
    a, _ = l.accept()
    a.settimeout(10)
    return c, a, l  # closing the listener would keep later subflows out


def test_two_paths_make_two_subflows(lab):
    lab.use_both_paths()
    c, a, _listener = mptcp_pair(lab)
    c.send(b"go")
    assert a.recv(10) == b"go"
    netlab.wait_for(lambda: kernel.mptcp_info(a)["subflows"] == 1, 2, "the second subflow")
    remotes = {remote for _, remote in kernel.subflow_addresses(a)}
    assert {address for address, _ in remotes} == {netlab.CLIENT[1], netlab.CLIENT[2]}


def test_syn_data_reaches_an_mptcp_listener(lab, capture):
    seen = capture(lab.client, "c1")
    c, a, _listener = mptcp_pair(lab, b"early")
    assert a.recv(10) == b"early"
    assert kernel.is_mptcp(a) and kernel.tcp_info(a)["syn_data"]
    assert seen.query("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.len", "tcp.options.mptcp.subtype") == [
        {"tcp.len": "5", "tcp.options.mptcp.subtype": "0"}
    ]


def test_strip_mptcp_leaves_plain_tcp(lab):
    lab.emulator.set("path1", mpstrip=1)
    c, a, _listener = mptcp_pair(lab)
    c.send(b"still there")
    assert a.recv(20) == b"still there"
    assert kernel.mptcp_info(c) is None and kernel.mptcp_info(a) is None


def test_stripped_syn_data_is_sent_again(lab):
    lab.emulator.set("path1", synstrip=1)
    c, a, _listener = mptcp_pair(lab, b"twice")
    assert a.recv(20) == b"twice"
    assert not kernel.tcp_info(a)["syn_data"]


def test_dropped_data_syn_is_retried_bare(lab):
    lab.emulator.set("path1", syndrop=1)
    begin = time.monotonic()
    c, a, _listener = mptcp_pair(lab, b"later")
    assert a.recv(20) == b"later"
    assert 0.9 < time.monotonic() - begin < 3


def test_nth_syn_is_dropped_once(lab):
    l = listener(lab.conc)
    lab.emulator.set("path1.up", dropsyn=2)
    took = []
    for _ in range(3):
        c = lab.client.open_socket()
        begin = time.monotonic()
        c.connect(l.getsockname())
        took.append(time.monotonic() - begin)
        c.close()
    assert took[0] < 0.5 and 0.9 < took[1] < 3 and took[2] < 0.5


def test_counters_are_per_namespace(lab):
    before = lab.client.counters()["MPTcpExtMPCapableSYNTX"], lab.server.counters()["MPTcpExtMPCapableSYNTX"]
    _open = mptcp_pair(lab)
    after = lab.client.counters()["MPTcpExtMPCapableSYNTX"], lab.server.counters()["MPTcpExtMPCapableSYNTX"]
    assert after == (before[0] + 1, before[1])


def origin_talk(lab, origin, command, data=b"", v6=False):
    c = lab.conc.open_socket(socket.AF_INET6 if v6 else socket.AF_INET)
    c.connect((netlab.SERVER6 if v6 else netlab.SERVER, origin.port))
    sender = threading.Thread(target=lambda: (c.sendall(command + b"\n" + data), c.shutdown(socket.SHUT_WR)))
    sender.start()
    got = b""
    while chunk := c.recv(1 << 16):
        got += chunk
    sender.join()
    return got


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_origin_source_sink_and_echo(lab, origin, v6):
    data = stream(lab, 300_000, 3)
    assert origin_talk(lab, origin, b"SOURCE 300000 3", v6=v6) == data
    assert origin_talk(lab, origin, b"SINK", data, v6=v6) == b"%d %08x\n" % (len(data), zlib.crc32(data))
    assert origin_talk(lab, origin, b"ECHO", data, v6=v6) == data
    assert origin_talk(lab, origin, b"GET /1000/3 HTTP/1.1\r\n\r", v6=v6).split(b"\r\n\r\n")[1] == data[:1000]


def test_origin_resets_after_n_octets(lab, origin):
    c = lab.conc.open_socket()
    c.connect((netlab.SERVER, origin.port))
    c.sendall(b"RESET 1000 1\n")
    got = b""
    with pytest.raises(ConnectionResetError):
        while True:
            got += c.recv(5000)
            assert len(got) <= 1000
    assert len(got) == 1000
