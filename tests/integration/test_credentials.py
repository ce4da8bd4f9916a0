# SPDX-License-Identifier: MIT
"""RFC 1929 users and RFC 8803 cookies."""
import subprocess
import time

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT

USER, PASSWORD = b"alice", b"correct horse"


@pytest.fixture(scope="module")
def users_file():
    digest = subprocess.run(["openssl", "passwd", "-6", "-salt", "labsalt", PASSWORD.decode()], capture_output=True, check=True)
    return f"# the lab's users\nalice:{digest.stdout.decode().strip()}\nbob:!{digest.stdout.decode().strip()}\n"


@pytest.fixture
def guarded(proxy, users_file):
    return proxy({"auth": {"users_file": "{folder}/users"}}, files={"users": users_file})


def log_in(s, user, password):
    """The answer to the credentials."""
    s.sendall(dialects.socks5_greeting(2))
    assert dialects.receive_exactly(s, 2) == b"\x05\x02"
    s.sendall(dialects.socks5_password(user, password))
    return dialects.receive_exactly(s, 2)


def test_right_password(lab, guarded, origin):
    for _ in range(2):  # the second answer comes from the cache
        s = clients.dial(lab, guarded)
        assert log_in(s, USER, PASSWORD) == b"\x01\x00"
        s.sendall(dialects.socks5_request(netlab.SERVER, origin.port) + b"ECHO\nx")
        assert dialects.receive_socks5_reply(s)[0] == 0
        assert dialects.receive_exactly(s, 1) == b"x"
        assert [e["user"] for e in guarded.sessions()] == ["alice"]
        s.close()
        guarded.wait_sessions(0)


@pytest.mark.parametrize("user,password", [(USER, b"wrong"), (b"mallory", PASSWORD), (b"bob", PASSWORD)],
                         ids=["wrong password", "unknown user", "disabled user"])
def test_wrong_credentials(lab, guarded, origin, capture, user, password):
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    s = clients.dial(lab, guarded)
    assert log_in(s, user, password) == b"\x01\x01"
    assert s.recv(10) == b""
    assert seen.count("tcp") == 0


@pytest.mark.parametrize("password,told", [(PASSWORD, b"\x05\x02\x01\x00\x05\x00"), (b"wrong", b"\x05\x02\x01\x01")])
def test_pipelined_credentials(lab, guarded, origin, password, told):
    """Everything in one flight (P1, P3); after a wrong password the rest is dropped (P7)."""
    s = clients.dial(lab, guarded)
    s.sendall(dialects.socks5_greeting(2) + dialects.socks5_password(USER, password)
              + dialects.socks5_request(netlab.SERVER, origin.port) + b"ECHO\nx")
    assert dialects.receive_exactly(s, len(told)) == told
    if password == PASSWORD:
        assert dialects.receive_exactly(s, 8 + 1)[-1:] == b"x"
    else:
        assert s.recv(1) == b""


def test_no_credentials_offered(lab, guarded):
    s = clients.dial(lab, guarded)
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(netlab.SERVER, 80))
    assert dialects.receive_all(s) == b"\x05\xff"


def test_exempt_sources_need_none(lab, proxy, users_file, origin):
    p = proxy({"auth": {"users_file": "{folder}/users", "exempt": ["192.0.2.0/26"]}}, files={"users": users_file})
    s = clients.session(lab, p, "socks5", origin.port, early=b"ECHO\nx", link=0)
    assert dialects.receive_exactly(s, 1) == b"x"
    s = clients.dial(lab, p, link=1)
    s.sendall(dialects.socks5_greeting(0))
    assert dialects.receive_exactly(s, 2) == b"\x05\xff"


def test_guessing_is_throttled(lab, proxy, users_file):
    """A9: too many failures, and answers are refused unasked for a while."""
    p = proxy({"auth": {"users_file": "{folder}/users", "failures_per_minute": 3}}, files={"users": users_file})
    for _ in range(3):
        assert log_in(clients.dial(lab, p), USER, b"wrong") == b"\x01\x01"
    try:
        assert log_in(clients.dial(lab, p), USER, PASSWORD) != b"\x01\x00"
    except (ConnectionResetError, AssertionError):
        pass
    assert p.stats()["auth"]["throttled_sources"] == 1


def request_with(lab, p, origin, cookie=None, **how):
    s = clients.dial(lab, p, **how)
    s.sendall(dialects.convert_connect(netlab.SERVER, origin.port, cookie=cookie) + b"ECHO\nx")
    return s


def cookie_from(s):
    """The cookie of an Error 3."""
    answer = dialects.receive_convert(s)
    error = answer[dialects.TLV_ERROR]
    assert error[:2] == b"\x03\x00", answer
    assert s.recv(1) == b""
    return error[2:]


def test_missing_cookie_is_handed_out_and_works(lab, proxy, origin):
    p = proxy({"cookie": {"mode": "computed"}})
    cookie = cookie_from(request_with(lab, p, origin))
    assert len(cookie) == 16
    for _ in range(2):
        s = request_with(lab, p, origin, cookie)
        clients.expect_success(s, CONVERT, netlab.SERVER, origin.port)
        assert dialects.receive_exactly(s, 1) == b"x"


def test_wrong_cookie_is_error_32(lab, proxy, origin, capture):
    p = proxy({"cookie": {"mode": "computed"}})
    cookie = cookie_from(request_with(lab, p, origin))
    seen = capture(lab.conc, "s0", f"tcp port {origin.port}")
    for wrong in (bytes(16), cookie[:-1] + bytes([cookie[-1] ^ 1]), cookie[:12]):
        assert clients.failure(request_with(lab, p, origin, wrong), CONVERT) == (32, 0)
    assert seen.count("tcp") == 0


def test_a_cookie_is_bound_to_its_address(lab, proxy, origin):
    p = proxy({"cookie": {"mode": "computed"}})
    cookie = cookie_from(request_with(lab, p, origin, link=0))
    assert clients.failure(request_with(lab, p, origin, cookie, link=1), CONVERT) == (32, 0)


def test_static_cookies(lab, proxy, origin):
    p = proxy({"cookie": {"mode": "static", "static_file": "{folder}/cookies"}}, files={"cookies": "cpe-1 hex:a0a1a2a3a4a5\nplain\n"})
    for cookie in (bytes.fromhex("a0a1a2a3a4a5"), b"plain"):
        s = request_with(lab, p, origin, cookie)
        clients.expect_success(s, CONVERT, netlab.SERVER, origin.port)
        s.close()
    assert clients.failure(request_with(lab, p, origin), CONVERT) == (32, 0)  # Y3: nothing was computed to offer
    assert clients.failure(request_with(lab, p, origin, b"other"), CONVERT) == (32, 0)


def test_other_dialects_know_no_cookie(lab, proxy, origin):
    p = proxy({"cookie": {"mode": "computed"}})
    s = clients.session(lab, p, "socks5", origin.port, early=b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"


@pytest.mark.alone
def test_password_checks_do_not_hold_up_others(lab, guarded, origin):
    """crypt(3) runs off the loop."""
    waiting = [clients.dial(lab, guarded) for _ in range(12)]
    for i, s in enumerate(waiting):
        s.sendall(dialects.socks5_greeting(2) + dialects.socks5_password(b"nobody%d" % i, b"x"))
    begin = time.monotonic()
    status, _ = guarded.get("/healthz")
    assert status == 200 and time.monotonic() - begin < 0.5
