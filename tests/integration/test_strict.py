# SPDX-License-Identifier: MIT
"""mp_convert.require_mptcp and require_syn_data: draft -10 s5.2 read strictly, for MP_CONVERT and its option bytes alone."""
import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5

PM08 = "pm08"
ALL = ["socks5", "mp_convert", "convert", "pm08"]
STRICT = pytest.mark.parametrize("dialect", [MP_CONVERT, PM08])


def opening(dialect, origin):
    if dialect == PM08:
        return dialects.pm08(netlab.SERVER, origin.port)
    return clients.opening(dialect, netlab.SERVER, origin.port)


def is_served(lab, p, dialect, origin, fastopen=False, **how):
    """True: the server's echo came back, on a socket that is what was asked for. False: a reset, and nothing else before it."""
    data = opening(dialect, origin) + b"ECHO\nx"
    if fastopen:
        s = clients.dial_with(lab, p, data, link=1, **how)
    else:
        s = clients.dial(lab, p, link=1, **how)
        s.sendall(data)
    try:
        if dialect == PM08:
            got = dialects.receive_exactly(s, 1)
        else:
            clients.expect_success(s, dialect, netlab.SERVER, origin.port)
            got = dialects.receive_exactly(s, 1)
    except ConnectionResetError:
        return False
    finally:
        s.close()
    assert got == b"x", got
    return True


@pytest.fixture
def strict(proxy):
    def start(**keys):
        return proxy({"mp_convert": keys}, listener={"protocols": ALL})

    return start


@STRICT
@pytest.mark.parametrize("fastopen", [False, True], ids=["late", "syn data"])
def test_require_mptcp(lab, strict, origin, capture, dialect, fastopen):
    p = strict(require_mptcp=True)
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    assert not is_served(lab, p, dialect, origin, fastopen, protocol=clients.TCP)
    assert seen.count("tcp") == 0
    assert is_served(lab, p, dialect, origin, fastopen, protocol=clients.MPTCP)


@STRICT
def test_require_mptcp_refuses_a_client_whose_options_were_stripped(lab, strict, origin, dialect):
    lab.emulator.set("path1", mpstrip=1)
    p = strict(require_mptcp=True)
    assert not is_served(lab, p, dialect, origin)
    lab.emulator.set("path1", mpstrip=0)
    assert is_served(lab, p, dialect, origin)


@STRICT
@pytest.mark.parametrize("protocol", [clients.MPTCP, clients.TCP], ids=["mptcp", "tcp"])
def test_require_syn_data(lab, strict, origin, capture, dialect, protocol):
    p = strict(require_syn_data=True)
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    assert not is_served(lab, p, dialect, origin, protocol=protocol)
    assert seen.count("tcp") == 0
    assert is_served(lab, p, dialect, origin, fastopen=True, protocol=protocol)


@STRICT
def test_require_syn_data_refuses_a_client_whose_data_was_stripped(lab, strict, origin, dialect):
    lab.emulator.set("path1", synstrip=1)
    p = strict(require_syn_data=True)
    assert not is_served(lab, p, dialect, origin, fastopen=True)
    lab.emulator.set("path1", synstrip=0)
    assert is_served(lab, p, dialect, origin, fastopen=True)


@STRICT
@pytest.mark.parametrize("protocol,fastopen,expected", [
    (clients.MPTCP, True, True), (clients.MPTCP, False, False), (clients.TCP, True, False), (clients.TCP, False, False)],
    ids=["both", "mptcp only", "syn data only", "neither"])
def test_both_requirements(lab, strict, origin, dialect, protocol, fastopen, expected):
    p = strict(require_mptcp=True, require_syn_data=True)
    assert is_served(lab, p, dialect, origin, fastopen, protocol=protocol) == expected


@pytest.mark.parametrize("dialect", [SOCKS5, CONVERT])
def test_the_other_dialects_are_not_concerned(lab, strict, origin, dialect):
    p = strict(require_mptcp=True, require_syn_data=True)
    assert is_served(lab, p, dialect, origin, protocol=clients.TCP)


def test_the_probe_is_no_way_around(lab, strict):
    """An element without address is answered, but not to who may not ask."""
    probe = bytes.fromhex("faa8faa8" "0004" "0001")
    p = strict(require_mptcp=True)
    s = clients.dial(lab, p, protocol=clients.TCP)
    s.sendall(probe)
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    s = clients.dial(lab, p)
    s.sendall(probe)
    assert dialects.receive_all(s) == probe
    assert kernel.mptcp_info(s) is not None


def test_an_abort_over_mptcp_is_a_fastclose(lab, strict, origin, capture):
    """Refused as draft -10 s6.2 wants everything refused."""
    p = strict(require_syn_data=True)
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    s = clients.dial(lab, p)
    s.sendall(opening(MP_CONVERT, origin))
    assert clients.failure(s, MP_CONVERT) == RESET
    assert seen.count(f"tcp.srcport == {p.port} && tcp.flags.reset == 1 && tcp.options.mptcp.subtype == 7") >= 1
