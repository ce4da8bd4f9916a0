# SPDX-License-Identifier: MIT
"""What a client may try: more than is kept, guessing beside a limit, guessing for ever."""
import socket
import subprocess

import pytest

from support import clients, dialects, netlab
from support.clients import SOCKS5

USER, PASSWORD = b"ann", b"right one"


@pytest.fixture(scope="module")
def users():
    hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "saltsalt", PASSWORD.decode()], capture_output=True, text=True, check=True)
    return f"{USER.decode()}:{hashed.stdout}"


def guess(lab, p, password):
    """The two octets that answer a password, or nothing."""
    s = clients.dial(lab, p)
    s.settimeout(5)
    s.sendall(dialects.socks5_greeting(2))
    assert dialects.receive_exactly(s, 2) == b"\x05\x02"
    s.sendall(bytes([1, len(USER)]) + USER + bytes([len(password)]) + password)
    try:
        return s, dialects.receive_exactly(s, 2)
    except (ConnectionResetError, AssertionError):
        return s, b""


@pytest.mark.parametrize("dialect", clients.DIALECTS)
def test_a_flight_larger_than_any_buffer_harms_nobody(lab, proxy, origin, dialect):
    """The largest early_max there is, and far more than that behind the request, in one go."""
    lab.emulator.set("leg", delay=150)
    data = dialects.stream(lab, 3_000_000, 9)
    p = proxy({"relay": {"early_max": "128k"}})
    s = clients.dial(lab, p)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    clients.send_in_background(s, clients.opening(dialect, netlab.SERVER, origin.port) + b"ECHO\n" + data)
    clients.expect_success(s, dialect, netlab.SERVER, origin.port)
    assert dialects.receive_all(s) == data


def test_over_the_limit_no_password_is_judged(lab, proxy, origin, users):
    """Who holds all sessions a source may have learns nothing from further ones: wrong and right look alike, and nothing is hashed."""
    p = proxy({"auth": {"users_file": "{folder}/users", "failures_per_minute": 100}, "limits": {"sessions_per_source": 1}}, files={"users": users})
    reached = len(origin.events())
    holder = clients.dial(lab, p)
    holder.sendall(dialects.socks5_greeting(2))
    assert dialects.receive_exactly(holder, 2) == b"\x05\x02"
    answers = set()
    for password in (b"wrong", PASSWORD):
        s, status = guess(lab, p, password)
        s.sendall(dialects.socks5_request(netlab.SERVER, origin.port))
        answers.add((status, dialects.receive_exactly(s, 2)))
        s.close()
    assert answers == {(b"\x01\x00", b"\x05\x01")}
    counted = p.stats()["auth"]
    assert counted["success_total"] == 0 and sum(counted["failure_total"].values()) == 0
    assert len(origin.events()) == reached
    holder.close()


def test_guessing_stops_to_be_answered_even_when_right(lab, proxy, users):
    p = proxy({"auth": {"users_file": "{folder}/users", "failures_per_minute": 3}}, files={"users": users})
    assert guess(lab, p, PASSWORD)[1] == b"\x01\x00"
    for _ in range(3):
        assert guess(lab, p, b"wrong")[1] == b"\x01\x01"
    assert guess(lab, p, PASSWORD)[1] != b"\x01\x00"
    assert p.stats()["auth"]["throttled_sources"] == 1
