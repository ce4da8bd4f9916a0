# SPDX-License-Identifier: MIT
"""What a program is told when its target cannot be reached: the errno of a direct connection, in every dialect and mode, blocking and
not. The direct connection is made by the same program from the concentrator's place."""
import os

import pytest

from support import dialects, guests, netlab
from support.guests import PYTHON
from test_matrix import COUNT, DIALECTS, SEED

CLOSED_PORT, SILENT_PORT = 7998, 7999
ICMP = {"net-unreachable": 7000, "host-unreachable": 7001, "host-prohibited": 7010}
KINDS = {  # program, options, mode
    "preload": ("dynamic", (), "preload"),
    "preload-nonblocking": ("dynamic", ("-n",), "preload"),
    "seccomp": ("dynamic", (), "seccomp"),
    "seccomp-nonblocking": ("dynamic", ("-n",), "seccomp"),
    "static": ("static", (), "auto"),
    "static-nonblocking": ("static", ("-n",), "auto"),
}

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def walls(lab):
    rules = [f"meta nfproto ipv4 tcp dport {port} reject with icmp type {name}" for name, port in ICMP.items()]
    lab.server.sysctl(net__ipv4__icmp_ratelimit=0)
    lab.server.nft("table inet walls { chain in { type filter hook input priority 0; " + "; ".join(rules) +
                   f"; tcp dport {SILENT_PORT} drop; " + "} }")


def direct(lab, shop, program, options, host, port):
    return lab.conc.run(shop.fetch(program), *options, host, port, COUNT, SEED, check=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_refused(lab, front, shop, kind, v6, dialect):
    program, options, mode = KINDS[kind]
    host = netlab.SERVER6 if v6 else netlab.SERVER
    done = front.run(mode, dialect, shop.fetch(program), *options, host, CLOSED_PORT, COUNT, SEED, v6=v6)
    plain = direct(lab, shop, program, options, host, CLOSED_PORT)
    assert b"111 Connection refused" in plain.stderr
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr), front.journal()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", ICMP)
def test_unreachable(lab, front, shop, walls, kind, code, dialect):
    """draft -10 has no codes: the answer is a bare reset, a refusal to the program."""
    program, options, mode = KINDS[kind]
    done = front.run(mode, dialect, shop.fetch(program), *options, netlab.SERVER, ICMP[code], COUNT, SEED)
    plain = direct(lab, shop, program, options, netlab.SERVER, ICMP[code])
    wanted = b"connect: 111 Connection refused\n" if dialect == "mp_convert" else plain.stderr
    assert (done.returncode, done.stderr) == (plain.returncode, wanted), front.journal()


@pytest.mark.parametrize("kind", KINDS)
def test_silence_ends_in_time(lab, front, shop, walls, kind, dialect):
    program, options, mode = KINDS[kind]
    done = front.run(mode, dialect, shop.fetch(program), *options, netlab.SERVER, SILENT_PORT, COUNT, SEED,
                     env={"MPCONVERT_CONNECT_SECONDS": "1"})
    assert (done.returncode, done.stderr) == (1, b"connect: 110 Connection timed out\n"), front.journal()


@pytest.mark.parametrize("kind", KINDS)
def test_denied(front_of, proxy, shop, kind, dialect):
    front = front_of(proxy({"acl": {"rules": [{"action": "deny", "target": ["203.0.113.0/24"]}]}}))
    program, options, mode = KINDS[kind]
    done = front.run(mode, dialect, shop.fetch(program), *options, netlab.SERVER, 80, COUNT, SEED)
    wanted = b"connect: 111 Connection refused\n" if dialect == "mp_convert" else b"connect: 13 Permission denied\n"
    assert (done.returncode, done.stderr) == (1, wanted), front.journal()


SELECT = """
import errno, select, socket, sys
how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
s.setblocking(False)
ep = select.epoll()
if how == 'epoll-before':
    ep.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
rc = s.connect_ex((host, port))
assert rc in (errno.EINPROGRESS, errno.ECONNREFUSED), rc
told = rc
if rc == errno.EINPROGRESS:
    if how == 'poll':
        p = select.poll(); p.register(s, select.POLLOUT); events = p.poll(20000)[0][1]
    elif how == 'select':
        r, w, x = select.select([s], [s], [s], 20); assert s in w; events = 0
    else:
        if how != 'epoll-before': ep.register(s, select.EPOLLIN | select.EPOLLOUT | (select.EPOLLONESHOT if how == 'epoll-oneshot' else 0))
        while True:
            events = ep.poll(20)[0][1]
            if events & (select.EPOLLERR | select.EPOLLHUP): break
    if how not in ('select',): assert events & (select.EPOLLERR | select.EPOLLHUP), events
    told = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0  # told once
print(errno.errorcode[told])
"""


@pytest.mark.parametrize("how", ["poll", "select", "epoll", "epoll-before", "epoll-oneshot"])
def test_every_way_of_waiting_learns_of_a_refusal(lab, front, how, dialect):
    done = front.run("preload", dialect, PYTHON, "-c", SELECT, how, netlab.SERVER, CLOSED_PORT)
    assert (done.returncode, done.stdout) == (0, b"ECONNREFUSED\n"), (done.stderr[-500:], front.journal())


def test_programs_say_what_they_always_say(lab, front, dialect):
    """curl, wget and bash: exit status as on a direct connection."""
    url = f"http://{netlab.SERVER}:{CLOSED_PORT}/"
    for argv in (["curl", "-sS", url], ["wget", "-q", "-t", "1", "-O", "-", url],
                 ["bash", "-c", f"exec 3<>/dev/tcp/{netlab.SERVER}/{CLOSED_PORT}"]):
        guests.need(argv[0])
        plain = lab.conc.run(*argv, check=False, env=guests.ENVIRONMENT)
        done = front.run("preload", dialect, *argv)
        assert done.returncode == plain.returncode != 0, (argv, done.stderr, front.journal())


def test_no_concentrator(lab, front_of, proxy, shop, dialect):
    """Nobody listens there: never silently direct."""
    p = proxy()
    p.stop()
    front = front_of(p)
    for kind, (program, options, mode) in KINDS.items():
        done = front.run(mode, dialect, shop.fetch(program), *options, netlab.SERVER, CLOSED_PORT, COUNT, SEED)
        assert (done.returncode, done.stderr) == (1, b"connect: 111 Connection refused\n"), (kind, front.journal())


def test_direct_when_asked(lab, front_of, proxy, origin, shop, dialect):
    """The program runs at the server's side: from the client there is no direct way."""
    p = proxy()
    p.stop()
    front = front_of(p)
    argv = front.argv("preload", dialect, options=("--on-failure", "direct"))
    done = lab.conc.run(*argv, shop.fetch("dynamic"), "-n", netlab.SERVER, origin.port, COUNT, SEED, env=front.environment(), check=False)
    assert done.stdout == dialects.stream(lab, COUNT, SEED), (done, front.journal())


def test_the_second_concentrator_serves(lab, front, origin, shop, dialect):
    dead = f"{netlab.CONC}:9"
    argv = [a if a != "--dialect" else a for a in front.argv("preload", dialect)]
    at = argv.index("--proxy") + 1
    argv[at] = f"{dead},{argv[at]}"
    before = front.total(dialect)
    done = lab.client.run(*argv, shop.fetch("dynamic"), netlab.SERVER, origin.port, COUNT, SEED, env=front.environment(), check=False,
                          cwd=front.folder)
    assert done.stdout == dialects.stream(lab, COUNT, SEED), (done, front.journal())
    assert front.total(dialect) == before + 1
    assert os.path.exists(os.path.join(front.folder, "mpconvert", "proxies"))  # and it is remembered
