# SPDX-License-Identifier: MIT
"""Names that the concentrator resolves (remote_dns, SOCKS5): programs get addresses of a pool, which the processes of a run share over
fork and exec, and no query leaves the client. And many connections at a time through a concentrator that takes its time."""
import errno
import os
import socket
import threading
import time

import pytest

from support import clients, dialects, guests, netlab
from support.guests import PYTHON
from support.nameserver import Nameserver
from test_matrix import COUNT, SEED

NAME, OTHER, MISSING = "four.example.net", "both.example.net", "missing.example.net"
NAMES = {NAME: [netlab.SERVER], OTHER: [netlab.SERVER, netlab.SERVER6]}
MODE = pytest.mark.parametrize("mode", ["preload", "auto"])
OPTION = ("--remote-dns",)


@pytest.fixture
def named(lab, proxy, front_of):
    server = Nameserver(lab.server, netlab.SERVER_DNS, dict(NAMES))
    front = front_of(proxy({"dns": {"servers": [netlab.SERVER_DNS], "timeout_seconds": 1, "tries": 1}}))
    front.asked = server.asked
    yield front
    server.stop()


def run(front, mode, *argv, **kw):
    return front.run(mode, "socks5", *argv, options=OPTION, **kw)


@pytest.fixture
def silent(lab, capture):
    """No query leaves the client."""
    seen = [capture(lab.client, interface, "port 53") for interface in ("c0", "c1", "c2", "lo")]
    yield
    assert [s.count("frame") for s in seen] == [0] * 4


def url(origin, name=NAME):
    return f"http://{name}:{origin.port}/{COUNT}/{SEED}"


PROGRAMS = {
    "curl": lambda o: ["curl", "-sS", "--fail", url(o)],
    "curl-both": lambda o: ["curl", "-sS", "--fail", url(o, OTHER)],
    "wget": lambda o: ["wget", "-q", "-O", "-", url(o)],
    "python": lambda o: [PYTHON, "-B", "-c", "import urllib.request as u, sys; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())",
                         url(o)],
    "aiohttp": lambda o: [PYTHON, "-B", os.path.join(guests.FOLDER, "fetch_many.py"), "aiohttp", "1", NAME, o.port, COUNT, SEED],
    "getent-then-curl": lambda o: ["sh", "-c", f"a=$(getent ahostsv4 {NAME} | head -1 | cut -d' ' -f1); exec curl -sS --fail "
                                   f"http://$a:{o.port}/{COUNT}/{SEED}"],
}


@MODE
@pytest.mark.parametrize("who", PROGRAMS)
def test_programs_reach_names(lab, named, origin, silent, mode, who):
    """getent is a process of its own: what it was told is good in the next."""
    argv = PROGRAMS[who](origin)
    guests.need(*(a for a in argv[:1] if not os.path.isabs(a)))
    done = run(named, mode, *argv)
    assert (done.returncode, done.stdout) == (0, dialects.stream(lab, COUNT, SEED)), (done.stderr[-600:], named.journal())
    assert {name for name, _ in named.asked} <= set(NAMES) and named.asked


SHARED = """
import os, socket, sys
name, port = sys.argv[1], int(sys.argv[2])
def address(n): return socket.getaddrinfo(n, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
mine = address(name)
r, w = os.pipe()
child = os.fork()
if child == 0:
    os.write(w, (address(name) + " " + address("other." + name)).encode())
    os._exit(0)
os.waitpid(child, 0)
childs, other = os.read(r, 100).decode().split()
assert childs == mine != other, (childs, mine, other)
assert address("other." + name) == other
assert socket.gethostbyaddr(mine)[0] == name and socket.getnameinfo((mine, port), 0)[0] == name
os.execv(sys.executable, [sys.executable, "-c", '''
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
assert s.getpeername() == (sys.argv[1], int(sys.argv[2]))
s.sendall(b"ECHO\\\\nhere"); assert s.makefile("rb").read(4) == b"here"
print("good")
''', mine, str(port)])
"""


@MODE
def test_fork_and_exec_share_the_pool(named, origin, silent, mode):
    done = run(named, mode, PYTHON, "-c", SHARED, NAME, origin.port)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"good\n", b""), (done.stderr.decode()[-800:], named.journal())


@MODE
@pytest.mark.parametrize("argv", [["curl", "-sS"], ["wget", "-q", "-O", "-", "-t", "1"]], ids=["curl", "wget"])
def test_a_name_that_is_none_is_an_error(named, origin, silent, mode, argv):
    """It shows when the program connects: the concentrator says so then."""
    done = run(named, mode, *argv, url(origin, MISSING))
    assert done.returncode in (4, 6, 7) and done.stdout == b"", (done, named.journal())


@MODE
def test_an_address_nobody_was_given(named, mode):
    script = "import errno,socket; s=socket.socket(); print(errno.errorcode[s.connect_ex(('198.18.77.77', 80))])"
    done = run(named, mode, PYTHON, "-c", script)
    assert done.stdout == b"EHOSTUNREACH\n", (done, named.journal())


@MODE
def test_names_of_this_host_stay_here(named, mode):
    done = run(named, mode, "getent", "ahosts", "localhost")
    assert done.returncode == 0 and not done.stdout.startswith((b"198.18.", b"fd6d:")), done


# ---- a concentrator that takes its time ----

N, EACH = 50, 0.15  # connections; seconds for each of SOCKS5's two answers
BLOCKING_SHIM = N * 2 * EACH  # 15 s


class Slow:
    """A SOCKS5 concentrator whose two answers take EACH; then it passes octets on to the origin, in the lab's namespaces."""

    def __init__(self, lab):
        self._lab, self.most, self._now, self._lock = lab, 0, 0, threading.Lock()
        self._listener = lab.conc.open_socket()
        self._listener.bind((netlab.CONC, 0))
        self._listener.listen(N)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.settimeout(30)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        assert dialects.receive_exactly(connection, 3) == b"\x05\x01\x00"
        time.sleep(EACH)
        connection.sendall(b"\x05\x00")
        head = dialects.receive_exactly(connection, 10)
        time.sleep(EACH)
        with self._lock:
            self._now -= 1
        with self._lab.conc.open_socket() as server:
            server.connect((socket.inet_ntoa(head[4:8]), int.from_bytes(head[8:], "big")))
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            clients.send_in_background(server, connection.recv(65536))
            connection.sendall(dialects.receive_all(server))
        connection.close()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.alone
@MODE
@pytest.mark.parametrize("how", ["asyncio", "aiohttp"])
def test_fifty_at_a_time_take_as_long_as_one(lab, front_of, origin, record_property, mode, how):
    slow = Slow(lab)
    try:
        front = front_of(slow)
        argv = [PYTHON, "-B", os.path.join(guests.FOLDER, "fetch_many.py"), how, N, netlab.SERVER, origin.port, 1000, SEED]
        begin = time.monotonic()
        done = front.run(mode, "socks5", *argv, env={"MPCONVERT_CACHE": "none"})
        seconds = time.monotonic() - begin
        assert done.stdout == dialects.stream(lab, 1000, SEED) * N, (done.stderr[-800:], front.journal())
        record_property("seconds", round(seconds, 2))
        assert 2 * EACH < seconds < BLOCKING_SHIM / 3, seconds
        assert slow.most > N // 2  # it had so many at a time
    finally:
        slow.close()


def test_the_errno_for_a_refused_name(named, origin, silent):
    script = f"import errno,socket; s=socket.socket(); print(errno.errorcode[s.connect_ex(('{NAME}', 7998))])"
    done = run(named, "preload", PYTHON, "-c", script)
    assert done.stdout.decode().strip() == errno.errorcode[errno.ECONNREFUSED], (done, named.journal())
