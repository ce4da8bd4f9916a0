# SPDX-License-Identifier: MIT
"""Data in a SYN from an address nobody has proven (draft -10 s10.2, RFC 8803 s9.3): nobody is dialled, no password is judged, until
the third ACK; docs/protocol.md, "The third ACK"."""
import hashlib
import hmac
import ipaddress
import struct
import subprocess
import time

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT
from support.forged import ACK, NOBODY, RST, SYN

INITIAL_SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
UNTRUSTED = {"clients": {"trusted": []}}
PASSWORD = b"right one"
ASKING = pytest.mark.parametrize("dialect", clients.DIALECTS)
TRANSPORT = pytest.mark.parametrize("mptcp", [False, True], ids=["tcp", "mptcp"])


def request(dialect, origin):
    return clients.opening(dialect, netlab.SERVER, origin.port) + b"ECHO\nx"


def syn_ack_again(f):
    """The kernel repeats its SYN/ACK after a second: so long nothing came of the request."""
    while True:
        flags = f.next_segment(10)[0]
        assert not flags & RST
        if flags & (SYN | ACK) == SYN | ACK:
            return


def wait_for_verdict(p, f, expected):
    """Waits for what shows it: the attempt, or a second without one."""
    if expected:
        netlab.wait_for(lambda: p.stats()["upstream"]["connect_attempts_total"] == 1, 5, "the connection to the server")
    else:
        syn_ack_again(f)


def dialled(seen, origin):
    return seen.count(f"{INITIAL_SYN} && tcp.dstport == {origin.port}")


@ASKING
@TRANSPORT
def test_a_forged_syn_dials_nobody(lab, proxy, origin, capture, forge, dialect, mptcp):
    p = proxy(UNTRUSTED)
    reached = len(origin.events())
    seen = capture(lab.conc, "s0", "ip or ip6")
    f = forge(p, mptcp=mptcp)
    data = request(dialect, origin)
    assert f.syn(data) == len(data), "the kernel did not take the SYN's data"
    p.wait_sessions(1)
    syn_ack_again(f)
    f.reset()
    p.wait_sessions(0)
    assert seen.count("tcp") == 0, "something went to the server"
    assert len(origin.events()) == reached


@ASKING
@TRANSPORT
def test_without_fast_open_syn_data_is_not_taken(lab, proxy, origin, capture, forge, dialect, mptcp):
    """Bit 0x400 of net.ipv4.tcp_fastopen, set here, would take it on every listener."""
    p = proxy(UNTRUSTED, listener={"fastopen": False})
    seen = capture(lab.conc, "s0", "ip or ip6")
    f = forge(p, mptcp=mptcp)
    assert f.syn(request(dialect, origin)) == 0
    f.reset()
    assert p.stats()["sessions"]["accepted_total"] == 0
    assert seen.count("tcp") == 0


@ASKING
@TRANSPORT
def test_the_third_ack_opens_the_gate(lab, proxy, origin, capture, forge, dialect, mptcp):
    p = proxy(UNTRUSTED)
    seen = capture(lab.conc, "any", f"tcp port {p.port} or tcp port {origin.port}")
    f = forge(p, mptcp=mptcp)
    f.syn(request(dialect, origin))
    p.wait_sessions(1)
    syn_ack_again(f)
    f.third_ack()
    flags = f.next_segment(5)[0]
    while flags & SYN:
        flags = f.next_segment(5)[0]
    netlab.wait_for(lambda: p.stats()["upstream"]["connect_success_total"] == 1, 5, "the connection to the server")
    acks = seen.query(f"tcp.dstport == {p.port} && tcp.flags.syn == 0", "frame.time_epoch")
    syns = seen.query(f"{INITIAL_SYN} && tcp.dstport == {origin.port}", "frame.time_epoch")
    assert len(syns) == 1
    assert float(syns[0]["frame.time_epoch"]) > float(acks[0]["frame.time_epoch"])


@ASKING
@TRANSPORT
@pytest.mark.parametrize("trusted,expected", [(f"{NOBODY}/32", 1), ("192.0.2.64/26", 0)], ids=["trusted", "another is trusted"])
def test_a_trusted_source_needs_no_ack(lab, proxy, origin, capture, forge, dialect, mptcp, trusted, expected):
    p = proxy({"clients": {"trusted": [trusted]}})
    seen = capture(lab.conc, "s0", "tcp")
    f = forge(p, mptcp=mptcp)
    f.syn(request(dialect, origin))
    wait_for_verdict(p, f, expected)  # there is no ACK of ours by now, and will not be one
    assert dialled(seen, origin) == expected


@pytest.mark.alone
@pytest.mark.parametrize("dialect", [MP_CONVERT, CONVERT])
def test_a_real_client_is_dialled_for_at_its_third_ack(lab, proxy, origin, capture, dialect):
    """One and a half round trips after its SYN, where a trusted one has half of one."""
    lab.emulator.set("path1", delay=100, rate=0)
    p = proxy(UNTRUSTED)
    near, far = capture(lab.client, "c1", f"tcp port {p.port}"), capture(lab.conc, "s0", f"tcp port {origin.port}")
    s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\nx", link=1, fastopen=True)
    assert dialects.receive_exactly(s, 1) == b"x"
    s.close()
    syns = near.query(INITIAL_SYN, "frame.time_epoch", "tcp.len")
    assert len(syns) == 1 and int(syns[0]["tcp.len"]) > 0
    waited = float(far.query(INITIAL_SYN, "frame.time_epoch")[0]["frame.time_epoch"]) - float(syns[0]["frame.time_epoch"])
    assert 0.3 <= waited < 0.45


def test_a_request_after_the_handshake_does_not_wait(lab, proxy, origin):
    s = clients.session(lab, proxy(UNTRUSTED), MP_CONVERT, origin.port, early=b"ECHO\nx", link=1)
    assert dialects.receive_exactly(s, 1) == b"x"


def computed_cookie(key, client):
    """docs/protocol.md, "Cookies", key 1, now."""
    head = struct.pack("!BBH", 1, 0, int(time.time()) // 21600 & 0xFFFF)
    octets = bytes(10) + b"\xff\xff" + ipaddress.ip_address(client).packed
    return head + hmac.new(key, b"mcp-convert-cookie-v1\0" + head + octets, hashlib.sha256).digest()[:12]


@pytest.mark.parametrize("whose,expected", [(NOBODY, 1), ("192.0.2.51", 0)], ids=["its own", "another's"])
def test_a_computed_cookie_is_proof_enough(lab, proxy, origin, capture, forge, whose, expected):
    key = bytes(range(32))
    p = proxy({**UNTRUSTED, "cookie": {"mode": "computed", "keys_file": "{folder}/keys"}}, files={"keys": f"1 {key.hex()}\n"})
    seen = capture(lab.conc, "s0", "tcp")
    f = forge(p)
    f.syn(dialects.convert_connect(netlab.SERVER, origin.port, cookie=computed_cookie(key, whose)) + b"ECHO\nx")
    wait_for_verdict(p, f, expected)
    assert dialled(seen, origin) == expected


def test_a_static_cookie_is_no_proof(lab, proxy, origin, capture, forge):
    """Whoever overheard it may forge the address as well."""
    p = proxy({**UNTRUSTED, "cookie": {"mode": "static", "static_file": "{folder}/cookies"}}, files={"cookies": "plain\n"})
    before, after = capture(lab.conc, "s0", "tcp"), capture(lab.conc, "s0", "tcp")
    f = forge(p)
    f.syn(dialects.convert_connect(netlab.SERVER, origin.port, cookie=b"plain") + b"ECHO\nx")
    p.wait_sessions(1)
    syn_ack_again(f)
    assert dialled(before, origin) == 0
    f.third_ack()
    netlab.wait_for(lambda: p.stats()["upstream"]["connect_success_total"] == 1, 5, "the connection to the server")
    assert dialled(after, origin) == 1


@pytest.fixture(scope="module")
def users():
    hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "saltsalt", PASSWORD.decode()], capture_output=True, text=True,
                            check=True)
    return f"ann:{hashed.stdout}"


@pytest.mark.parametrize("trusted,answer", [([], b"\x01\x00"), (["192.0.2.1/32"], b"\x01\x01")], ids=["untrusted", "trusted"])
def test_forged_passwords_are_not_charged_to_the_address(lab, proxy, forge, users, trusted, answer):
    """Somebody guesses in a victim's name. The victim, who comes next, must not pay for it; where the address counts as genuine, it
    does, which shows that the guesses are enough for that."""
    p = proxy({"clients": {"trusted": trusted}, "auth": {"users_file": "{folder}/users", "failures_per_minute": 2}},
              files={"users": users})
    lab.client.nft(f"table inet quiet {{ chain in {{ type filter hook input priority 0; ip saddr {netlab.CONC_LINK[0]} "
                   "tcp dport 20000-29999 drop; } }")  # or the victim's kernel resets what it did not ask for
    guesses = [forge(p, source=netlab.CLIENT[0]) for _ in range(4)]
    data = dialects.socks5_greeting(2) + dialects.socks5_password(b"ann", b"wrong")
    for f in guesses:
        assert f.syn(data) == len(data)
    for f in guesses:
        syn_ack_again(f)  # a second: long enough for a password to be judged
    s = clients.dial(lab, p)
    s.sendall(dialects.socks5_greeting(2))
    assert dialects.receive_exactly(s, 2) == b"\x05\x02"
    s.sendall(dialects.socks5_password(b"ann", PASSWORD))
    assert dialects.receive_exactly(s, 2) == answer
