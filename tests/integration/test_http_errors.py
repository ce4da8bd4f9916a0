# SPDX-License-Identifier: MIT
"""The stats endpoint and bad HTTP: everything is answered or cut within its time, and neither the endpoint nor the proxy suffers;
and what an HTTP client learns on the proxy's own port. The rules are in docs/stats.md, "HTTP rules"."""
import contextlib
import json
import os
import socket
import time

import pytest

from support import clients, dialects, netlab
from support.clients import SOCKS5
from support.proxy import Proxy

HEAD_SECONDS, CONNECTIONS = 5, 32
END = b"\r\n\r\n"
GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost" + END


def dial(p):
    s = p.ns.open_socket()
    s.connect(("127.0.0.1", p.stats_port))
    return s


def told(s):
    """(status, {field: value}, body), None for an end without an answer. The end itself is waited for as well."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := s.recv(65536):
            got += chunk
    if not got:
        return None
    head, body = got.split(END, 1)
    line, *fields = head.decode().split("\r\n")
    return int(line.split(" ")[1]), {f.split(":", 1)[0].lower(): f.split(":", 1)[1].strip() for f in fields}, body


def ask(p, octets):
    s = dial(p)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        s.sendall(octets)  # the answer may come before the last octet
    answer = told(s)
    s.close()
    return answer


def check_healthy(lab, p, origin):
    """Three requests at once, and the proxy works."""
    begin = time.monotonic()
    for path in ("/healthz", "/v1/stats", "/v1/sessions"):
        assert p.get(path)[0] == 200
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"
    s.close()
    assert time.monotonic() - begin < 2


def head(line, *fields):
    return b"\r\n".join([line, b"Host: localhost", *fields]) + END


BAD = {
    "POST": (405, head(b"POST /v1/stats HTTP/1.1")),
    "DELETE": (405, head(b"DELETE /v1/sessions/1 HTTP/1.1")),
    "CONNECT": (400, head(b"CONNECT 203.0.113.10:80 HTTP/1.1")),
    "unknown method": (405, head(b"BREW /healthz HTTP/1.1")),
    "body": (400, head(b"GET /healthz HTTP/1.1", b"Content-Length: 5") + b"hello"),
    "chunked": (400, head(b"GET /healthz HTTP/1.1", b"Transfer-Encoding: chunked") + b"0" + END),
    "two lengths": (400, head(b"GET /healthz HTTP/1.1", b"Content-Length: 0", b"Content-Length: 0")),
    "length no number": (400, head(b"GET /healthz HTTP/1.1", b"Content-Length: -1")),
    "no Host": (400, b"GET /healthz HTTP/1.1" + END),
    "two Hosts": (400, head(b"GET /healthz HTTP/1.1", b"Host: localhost")),
    "foreign Host": (400, b"GET /healthz HTTP/1.1\r\nHost: attacker.example" + END),
    "absolute target": (400, head(b"GET http://localhost/healthz HTTP/1.1")),
    "asterisk": (400, head(b"OPTIONS * HTTP/1.1")),
    "percent": (404, head(b"GET /%68ealthz HTTP/1.1")),
    "unknown path": (404, head(b"GET /../etc/passwd HTTP/1.1")),
    "folded": (400, head(b"GET /healthz HTTP/1.1", b"X: a", b" b")),
    "LF alone": (400, GOOD.replace(b"\r\n", b"\n")),
    "CR alone": (400, b"GET /healthz HTTP/1.1\rHost: localhost" + END),
    "NUL": (400, head(b"GET /healthz HTTP/1.1", b"X: a\0b")),
    "empty line first": (400, b"\r\n" + GOOD),
    "two spaces": (400, head(b"GET  /healthz HTTP/1.1")),
    "space before colon": (400, head(b"GET /healthz HTTP/1.1", b"X : a")),
    "HTTP/0.9": (400, b"GET /healthz\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, bytes.fromhex("16030100c8010000c40303") + bytes(range(200))),
    "SOCKS5": (400, b"\x05\x01\x00\x0a\x0a"),
    "octets": (400, bytes(range(128, 256)) * 4),
    "long line": (414, head(b"GET /" + b"a" * 5000 + b" HTTP/1.1")),
    "long line without an end": (414, b"GET /" + b"a" * 1_000_000),
    "long field": (431, head(b"GET /healthz HTTP/1.1", b"X: " + b"a" * 9000)),
    "many fields": (431, head(b"GET /healthz HTTP/1.1", *[b"X: %d" % i for i in range(70)])),
    "endless head": (431, b"GET /healthz HTTP/1.1\r\n" + b"X: aaaaaaaaaaaaaaaaaaaa\r\n" * 40_000),
}


@pytest.fixture(scope="module")
def documented(_session_lab, program):
    """One daemon for all the single requests; it must leave in order after them."""
    p = Proxy(_session_lab, program)
    yield p
    p.stop()
    p.remove()


@pytest.mark.parametrize("status,octets", BAD.values(), ids=BAD.keys())
def test_bad_requests_are_answered_at_once(documented, status, octets):
    begin = time.monotonic()
    answer = ask(documented, octets)
    assert time.monotonic() - begin < 2
    assert answer is not None, "no answer"
    code, fields, body = answer
    assert code == status, body
    assert fields["connection"] == "close" and fields["content-type"] == "application/problem+json"
    assert fields["x-content-type-options"] == "nosniff"
    assert int(fields["content-length"]) == len(body)
    assert json.loads(body)["status"] == status
    if status == 405:
        assert fields["allow"] == "GET, HEAD"
    assert ask(documented, GOOD)[0] == 200


def test_head_has_no_body(documented):
    for path in (b"/v1/stats", b"/healthz", b"/nothing"):
        code, fields, body = ask(documented, head(b"HEAD " + path + b" HTTP/1.1"))
        assert body == b"" and int(fields["content-length"]) > 0 and code in (200, 404)


def test_one_request_per_connection(documented):
    """What is pipelined behind the first is not looked at."""
    code, _, body = ask(documented, GOOD + GOOD)
    assert code == 200 and b"HTTP/1.1" not in body


def test_cut_anywhere_it_is_the_same_request(documented):
    for at in range(1, len(GOOD)):
        s = dial(documented)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(GOOD[:at])
        s.sendall(GOOD[at:])
        assert told(s)[0] == 200
        s.close()


def test_half_a_head_and_an_end_frees_its_place(lab, proxy, origin):
    p = proxy()
    fds = p.open_fds()
    for octets in (b"", b"G", GOOD[:-1]):
        s = dial(p)
        s.sendall(octets)
        s.shutdown(socket.SHUT_WR)
        answer = told(s)
        assert answer is None or answer[0] == 400
        s.close()
    for octets in (b"", b"GET /v1/stats"):
        s = dial(p)
        s.sendall(octets)
        clients.abort(s)
    netlab.wait_for(lambda: p.open_fds() <= fds, 2, "the connections' fds")
    check_healthy(lab, p, origin)


def test_a_slow_head_is_cut_at_its_deadline(lab, proxy, origin):
    """An octet now and then prolongs nothing; neither does silence."""
    p = proxy()
    begin = time.monotonic()
    slow, silent = dial(p), dial(p)
    octets, ended = b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 1000, {}
    slow.settimeout(0.1)
    silent.settimeout(0.1)
    while len(ended) < 2 and time.monotonic() - begin < 2 * HEAD_SECONDS:
        for name, s in (("slow", slow), ("silent", silent)):
            if name in ended:
                continue
            with contextlib.suppress(TimeoutError):
                try:
                    if name == "slow":
                        s.send(octets[:1])
                        octets = octets[1:]
                    assert s.recv(100) == b""
                except (ConnectionResetError, BrokenPipeError):
                    pass
                ended[name] = time.monotonic() - begin
        if len(ended) == 0:
            assert p.get("/healthz")[0] == 200, "others wait for it"
    assert set(ended) == {"slow", "silent"}
    assert all(HEAD_SECONDS - 0.5 < seconds < HEAD_SECONDS + 1.5 for seconds in ended.values()), ended
    check_healthy(lab, p, origin)


def test_all_places_taken_by_the_slow_come_free_again(lab, proxy, origin):
    """Meanwhile the proxy serves, and the process is idle."""
    p = proxy()
    slow = [dial(p) for _ in range(CONNECTIONS)]
    for s in slow:
        s.sendall(b"GET /")
    waiting = dial(p)
    waiting.sendall(GOOD)
    before, begin = p.cpu_seconds(), time.monotonic()
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"
    assert time.monotonic() - begin < 1
    assert told(waiting)[0] == 200
    assert time.monotonic() - begin < HEAD_SECONDS + 2
    assert p.cpu_seconds() - before < 1
    check_healthy(lab, p, origin)


@pytest.fixture
def small_buffers(lab):
    """An answer does not fit into the kernel of the concentrator."""
    path = "/proc/sys/net/ipv4/tcp_wmem"
    with lab.conc, open(path) as f:
        before = f.read()
    lab.conc.sysctl(net__ipv4__tcp_wmem="4096 4096 4096")
    yield
    lab.conc.sysctl(net__ipv4__tcp_wmem=before)


def test_a_reader_that_takes_nothing_is_cut(lab, proxy, origin, small_buffers):
    """After five seconds of silence; what it did not take is thrown away."""
    p = proxy()
    live = [clients.dial(lab, p, protocol=clients.TCP) for _ in range(100)]
    p.wait_sessions(len(live))
    s = p.ns.open_socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.connect(("127.0.0.1", p.stats_port))
    s.sendall(head(b"GET /v1/sessions?limit=1000 HTTP/1.1"))
    begin = time.monotonic()
    ours = f"( sport = :{p.stats_port} and dport = :{s.getsockname()[1]} )"

    def held():
        return p.ns.run("ss", "-Htn", "state", "connected", "exclude", "fin-wait-1", ours).stdout.strip()

    netlab.wait_for(held, 3, "the connection", interval=0.05)
    check_healthy(lab, p, origin)
    netlab.wait_for(lambda: not held(), 15, "the endpoint to let go of it", interval=0.2)
    assert 3 < time.monotonic() - begin < 10
    with contextlib.suppress(ConnectionResetError):
        assert len(dialects.receive_all(s)) < 20_000, "it was sent in the end"
    s.close()
    check_healthy(lab, p, origin)


def test_garbage_from_many(lab, proxy, origin):
    """Seeded by the run's process id, so a failure can be had again with the octets it prints."""
    p = proxy()
    junk = dialects.stream(lab, 64_000, os.getpid())
    for i in range(200):
        octets = junk[i * 320 : (i + 1) * 320]
        if i % 2:
            octets = b"GET " + octets
        answer = ask(p, octets + END)
        assert answer is None or 400 <= answer[0] < 600, octets
    check_healthy(lab, p, origin)


# The proxy's own port


@pytest.mark.parametrize("method", [b"GET / HTTP/1.1", b"CONNECT 203.0.113.10:80 HTTP/1.1", b"POST /x HTTP/1.0"],
                         ids=["GET", "CONNECT", "POST"])
@pytest.mark.parametrize("size", [0, 1_000_000], ids=["short", "a lot behind it"])
def test_http_on_the_proxys_port_is_told_501(lab, proxy, capture, method, size):
    p = proxy()
    seen = capture(lab.conc, "s0", "tcp")
    s = clients.dial(lab, p, protocol=clients.TCP)
    clients.send_in_background(s, method + b"\r\nHost: x\r\n\r\n" + bytes(size), finish=False)
    code, fields, body = told(s)
    assert code == 501 and int(fields["content-length"]) == len(body)
    assert seen.count("tcp") == 0


def test_where_socks5_is_not_served_http_is_reset(lab, proxy):
    p = proxy(listener={"protocols": ["mp_convert", "convert"]})
    s = clients.dial(lab, p, protocol=clients.TCP)
    s.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        s.recv(1)
