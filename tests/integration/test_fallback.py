# SPDX-License-Identifier: MIT
"""Middleboxes that do not like MPTCP or data in SYNs cost speed, never octets."""
import time

import pytest

from support import clients, dialects, kernel

DATA = 300_000
ALL = pytest.mark.parametrize("dialect", clients.DIALECTS)
BOTH = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def echo_everything(lab, p, origin, dialect, v6=False):
    """Every octet there and back; the client's socket."""
    data = dialects.stream(lab, DATA, 9)
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\n" + data[:500], v6=v6, link=1, fastopen=True)
    clients.send_in_background(s, data[500:])
    assert dialects.receive_all(s) == data
    return s


@ALL
@BOTH
def test_without_a_middlebox_it_is_mptcp(lab, proxy, origin, dialect, v6):
    assert kernel.is_mptcp(echo_everything(lab, proxy(), origin, dialect, v6))


@ALL
@BOTH
@pytest.mark.parametrize("where", ["path1", "path1.up", "path1.down"])
def test_stripped_mptcp_options_leave_tcp(lab, proxy, origin, dialect, v6, where):
    lab.use_both_paths()
    lab.emulator.set(where, mpstrip=1)
    s = echo_everything(lab, proxy(), origin, dialect, v6)
    assert kernel.mptcp_info(s) is None


@ALL
@BOTH
def test_stripped_syn_data_is_sent_again(lab, proxy, origin, dialect, v6):
    lab.emulator.set("path1", synstrip=1)
    s = echo_everything(lab, proxy(), origin, dialect, v6)
    assert not kernel.tcp_info(s)["syn_data"]


@ALL
def test_dropped_data_syn_costs_a_second(lab, proxy, origin, dialect):
    p = proxy()
    lab.emulator.set("path1", syndrop=1)
    begin = time.monotonic()
    echo_everything(lab, p, origin, dialect)
    assert 0.9 < time.monotonic() - begin < 4


def test_lost_syn_ack_loses_no_octet(lab, proxy, origin):
    p = proxy()
    lab.emulator.set("path1.down", cut=1)
    s = clients.dial_with(lab, p, clients.opening("mp_convert", clients.target(), origin.port) + b"ECHO\nkept")
    time.sleep(0.1)
    lab.emulator.restore("path1")
    clients.expect_success(s, "mp_convert", clients.target(), origin.port)
    assert dialects.receive_exactly(s, 4) == b"kept"


def test_a_host_without_mptcp_still_proxies(lab, proxy, origin):
    lab.conc.sysctl(net__mptcp__enabled=0)
    s = echo_everything(lab, proxy(), origin, "mp_convert")
    assert kernel.mptcp_info(s) is None


def test_lossy_paths_deliver_everything(lab, proxy, origin):
    lab.use_both_paths()
    lab.emulator.set("path1", loss=3)
    lab.emulator.set("path2", loss=3, seed=5)
    echo_everything(lab, proxy(), origin, "convert")
