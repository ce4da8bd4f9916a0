# SPDX-License-Identifier: MIT
"""Programs behind an exact concentrator: their connect() is the kernel's own, in place, and ends as a direct one does; docs/client.md,
"Exact concentrators". No placeholder is used."""
import pytest
import test_matrix_services as services

from support import dialects, guests, netlab
from support.guests import PYTHON
from support.exact import SYN_ACK
from test_exact import concentrator, rule, slow, times  # noqa: F401
from test_matrix import COUNT, NOT_PRELOADABLE, PROGRAMS, SEED, Target
from test_refusals import CLOSED_PORT, walls  # noqa: F401
from test_shim_pending import BLOCKING, NONBLOCKING, SCRIPT

DIALECTS = pytest.mark.parametrize("dialect", ["mp_convert", "convert"])
MODES = pytest.mark.parametrize("mode", ["preload", "seccomp", "auto"])
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
IN_PLACE, PLACEHOLDERS = "in place, through an exact concentrator", "non-blocking, by placeholder"
TAKEN, MPTCP = "request taken in the SYN", "over Multipath TCP"


@pytest.fixture
def exact_front(front_of, concentrator):  # noqa: F811
    """exact_front(dialect, ...): towards an exact concentrator that was probed."""

    def start(dialect, v6=False, changes=None):
        front = front_of(concentrator(changes))
        front.exact = "auto"
        assert [row["exact"] for row in front.probe(dialect, v6)] == [True]
        return front

    return start


def in_place(numbers, count=None):
    return numbers.get(IN_PLACE, 0) == numbers["connections redirected"] == (count or numbers["connections redirected"]) and \
        PLACEHOLDERS not in numbers


@DIALECTS
@MODES
@FAMILIES
@pytest.mark.parametrize("options", [(), ("-n",)], ids=["blocking", "nonblocking"])
def test_a_connect_is_made_in_place(lab, exact_front, origin, shop, mode, dialect, v6, options):
    front = exact_front(dialect, v6)
    host = netlab.SERVER6 if v6 else netlab.SERVER
    done, numbers = front.stats(mode, dialect, shop.fetch("dynamic"), *options, host, origin.port, COUNT, SEED, v6=v6)
    assert done.stdout == dialects.stream(lab, COUNT, SEED), (done.stderr, front.journal())
    assert in_place(numbers, 1), numbers


@DIALECTS
@MODES
@FAMILIES
@pytest.mark.parametrize("options", [(), ("-n",)], ids=["blocking", "nonblocking"])
def test_a_refusal_is_the_kernels(lab, exact_front, shop, mode, dialect, v6, options):
    front = exact_front(dialect, v6)
    host = netlab.SERVER6 if v6 else netlab.SERVER
    done, numbers = front.stats(mode, dialect, shop.fetch("dynamic"), *options, host, CLOSED_PORT, COUNT, SEED, v6=v6)
    plain = lab.conc.run(shop.fetch("dynamic"), *options, host, CLOSED_PORT, COUNT, SEED, check=False)
    assert b"111 Connection refused" in plain.stderr
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr), front.journal()
    assert in_place(numbers, 1), numbers


# The errno that whoever waits in that way is told of the connect() to host, port; ends with a new connect() on the same socket.
WAIT = """
import errno, os, select, socket, sys
how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
before = len(os.listdir('/proc/self/fd'))
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
blocking = how == 'blocking'
s.setblocking(blocking)
ep = select.epoll()
EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
if how == 'epoll-before':
    ep.register(s, EDGE)
    assert ep.poll(0)[0][1] & select.EPOLLHUP  # a socket that did nothing yet
rc = s.connect_ex((host, port))
told = rc
if blocking:
    assert rc not in (errno.EINPROGRESS, errno.EALREADY)
else:
    assert rc == errno.EINPROGRESS, rc
    if how == 'again':
        assert s.connect_ex((host, port)) == errno.EALREADY
    try:
        s.getpeername()
        raise AssertionError('connected')
    except OSError as e:
        assert e.errno == errno.ENOTCONN
    if how == 'poll':
        p = select.poll(); p.register(s, select.POLLOUT); events = p.poll(20000)[0][1]
    elif how in ('select', 'again'):
        r, w, x = select.select([s], [s], [], 20); assert s in w; events = select.EPOLLERR
    else:
        if how == 'epoll-after': ep.register(s, EDGE)
        if how == 'epoll-level': ep.register(s, select.EPOLLIN | select.EPOLLOUT)
        if how == 'epoll-oneshot': ep.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLONESHOT)
        events = ep.poll(20)[0][1]
    assert events & (select.EPOLLERR | select.EPOLLHUP), events
    if how == 'again':
        told = s.connect_ex((host, port))
    else:
        # The kernel may wake before it tells, directly as well (docs/exact-connect.md): twice.
        told = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0  # told once
        assert s.connect_ex((host, port)) == errno.ECONNABORTED       # and aborted, once
assert len(os.listdir('/proc/self/fd')) == before + 2, os.listdir('/proc/self/fd')
s.setblocking(True)
again = s.connect_ex((host, port))
assert again == told, again
print(errno.errorcode[told])
"""
WAYS = pytest.mark.parametrize("how", ["blocking", "poll", "select", "epoll-before", "epoll-after", "epoll-level", "epoll-oneshot", "again"])


def both(lab, front, mode, dialect, argv, v6=False, **how):
    """(of a direct connection, through the concentrator, the run's numbers)."""
    plain = lab.conc.run(*argv, check=False, env=guests.ENVIRONMENT)
    return plain, *front.stats(mode, dialect, *argv, v6=v6, **how)


@DIALECTS
@MODES
@FAMILIES
@WAYS
def test_every_way_of_waiting_learns_of_a_refusal(lab, exact_front, slow, mode, dialect, v6, how):  # noqa: F811
    front, host = exact_front(dialect, v6), netlab.SERVER6 if v6 else netlab.SERVER
    plain, done, numbers = both(lab, front, mode, dialect, [PYTHON, "-c", WAIT, how, host, CLOSED_PORT], v6)
    assert (plain.stdout, plain.returncode) == (b"ECONNREFUSED\n", 0), plain.stderr
    assert (done.stdout, done.returncode) == (plain.stdout, 0), (done.stderr[-800:], front.journal())
    assert numbers[IN_PLACE] >= 1


@MODES
@DIALECTS
@pytest.mark.parametrize("how", ["blocking", "poll", "epoll-before"])
@pytest.mark.parametrize("port", [7000, 7001, 7010])
def test_what_icmp_says_is_told_as_directly(lab, exact_front, walls, mode, dialect, how, port):  # noqa: F811
    front = exact_front(dialect)
    argv = [PYTHON, "-c", FIRST, how, netlab.SERVER, port]
    plain, done, numbers = both(lab, front, mode, dialect, argv)
    assert (done.stdout, done.returncode) == (plain.stdout, 0), (plain.stderr, done.stderr[-800:], front.journal())
    assert in_place(numbers, 1), numbers


# Only the first answer: after an ICMP message the ordinary way, which comes next, knows less.
FIRST = WAIT[:WAIT.index("s.setblocking(True)")] + "print(errno.errorcode[told])\n"


@MODES
@FAMILIES
@pytest.mark.parametrize("how", ["blocking", "poll"])
def test_a_denied_target_is_unreachable(exact_front, origin, mode, v6, how):
    """IPv4 has no code for it that Linux tells as EACCES; RFC 792."""
    front = exact_front("mp_convert", v6, {"acl": {"rules": [{"action": "deny", "target": [netlab.SERVER6 if v6 else netlab.SERVER]}]}})
    done, numbers = front.stats(mode, "mp_convert", PYTHON, "-c", FIRST, how, netlab.SERVER6 if v6 else netlab.SERVER, origin.port, v6=v6)
    assert done.stdout == (b"EACCES\n" if v6 else b"EHOSTUNREACH\n"), (done.stderr[-800:], front.journal())
    assert in_place(numbers, 1), numbers


# A v4-mapped target, and the names that the socket has.
MAPPED = """
import socket, sys
s = socket.socket(socket.AF_INET6)
s.connect(('::ffff:' + sys.argv[1], int(sys.argv[2])))
assert s.getpeername()[:2] == ('::ffff:' + sys.argv[1], int(sys.argv[2])), s.getpeername()
assert s.getsockname()[0].startswith('::ffff:'), s.getsockname()
s.sendall(b'ECHO\\nhere'); print(s.makefile('rb').read(4))
"""


@DIALECTS
@MODES
def test_mapped_addresses(exact_front, origin, mode, dialect):
    front = exact_front(dialect)
    done, numbers = front.stats(mode, dialect, PYTHON, "-c", MAPPED, netlab.SERVER, origin.port)
    assert done.stdout == b"b'here'\n", (done.stderr[-800:], front.journal())
    assert in_place(numbers, 1), numbers


# connect() returns, then a line is written; writable, then another: the packets between them are the test's.
ORDER = """
import select, socket, sys, time
s = socket.socket(); s.setblocking(False)
rc = s.connect_ex((sys.argv[1], int(sys.argv[2])))
returned = time.time()
assert not select.select([], [s], [], 0)[1]
assert select.select([], [s], [], 20)[1] == [s]
print(rc, returned, time.time(), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
"""


@DIALECTS
@MODES
def test_writable_when_the_target_has_accepted(lab, exact_front, origin, capture, slow, mode, dialect):  # noqa: F811
    front = exact_front(dialect)
    behind = capture(lab.conc, "s0", f"tcp port {origin.port}")
    done, numbers = front.stats(mode, dialect, PYTHON, "-c", ORDER, netlab.SERVER, origin.port)
    rc, returned, writable, error = (float(x) for x in done.stdout.split())
    accepted = times(behind, SYN_ACK)
    assert (rc, error) == (115, 0)
    assert returned < accepted[0] < writable
    assert in_place(numbers, 1), numbers


REPORTING = ["curl", "wget", "urllib", "asyncio-50", "node-http", "node-fetch", "java-url", "java-nio", "aria2", "socat", "ncat", "perl",
             "bash", "c", "c-nonblocking", "c-static", "c-static-nonblocking", "c-musl", "go-10"]


def each_program(names):
    for name in names:
        for mode in ("preload", "seccomp", "auto"):
            if mode != "preload" or name not in NOT_PRELOADABLE:
                yield pytest.param(name, mode, id=f"{name}-{mode}")


@DIALECTS
@pytest.mark.parametrize("name,mode", each_program(REPORTING))
def test_programs_say_what_they_always_say(lab, exact_front, shop, name, mode, dialect):
    """A refused port: exit status and errno of a direct connection."""
    front = exact_front(dialect)
    argv = PROGRAMS[name][0](shop, Target(Closed, False))
    plain, done, numbers = both(lab, front, mode, dialect, argv)
    assert done.returncode == plain.returncode, (plain.stderr, done.stderr[-800:], front.journal())
    assert plain.returncode != 0 or name in ("socat", "ncat")  # these end in a pipe
    refused = [b"refused" in out.lower() for out in (plain.stderr + plain.stdout, done.stderr + done.stdout)]
    assert refused[0] == refused[1], (plain.stderr, done.stderr)
    assert numbers[IN_PLACE] >= 1, numbers


class Closed:
    port = CLOSED_PORT


@DIALECTS
@pytest.mark.parametrize("name,mode", each_program(PROGRAMS))
def test_the_matrix(lab, exact_front, shop, origin, name, mode, dialect):
    front = exact_front(dialect)
    argv, sessions = PROGRAMS[name]
    done, numbers = front.stats(mode, dialect, *argv(shop, Target(origin, False)))
    assert done.returncode == 0, (done.stderr[-800:], front.journal())
    assert done.stdout == dialects.stream(lab, COUNT, SEED) * sessions
    assert in_place(numbers) and numbers[IN_PLACE] >= sessions, numbers


@DIALECTS
@MODES
def test_nginx_as_an_upstream_client(lab, exact_front, origin, tmp_path, mode, dialect):
    """It registers the socket with epoll, edge-triggered, before it connects."""
    services.test_nginx_as_an_upstream_client(lab, exact_front(dialect), origin, tmp_path, mode, dialect)


@pytest.mark.parametrize("mode", ["preload", "seccomp", "auto"])
@pytest.mark.parametrize("case", [c for c in NONBLOCKING + BLOCKING if c != "asynchronous"])  # docs/client.md, "Limits"
def test_while_a_connect_is_under_way(lab, exact_front, origin, shop, mode, case):
    """fork, exec, signals, close: what the other scenarios say of the ordinary way, without its limits."""
    front = exact_front("mp_convert")
    lab.emulator.set("leg", delay=200)
    fetch = [shop.fetch("dynamic"), netlab.SERVER, origin.port, 1000, 5]
    done, numbers = front.stats(mode, "mp_convert", PYTHON, "-B", SCRIPT, case, netlab.SERVER, origin.port, *fetch)
    assert (done.returncode, done.stdout) == (0, b"good\n"), (done.stderr.decode()[-1500:], front.journal())
    assert in_place(numbers) or case == "shut_down", numbers  # that looks like a failure: in doubt


@MODES
def test_a_concentrator_that_died_is_in_doubt_and_the_next_one_serves(lab, exact_front, proxy, origin, shop, mode):
    """The first connect() is told what the kernel knows; the next one goes the ordinary way, to who is there."""
    front = exact_front("mp_convert")
    other = proxy()
    front.proxy.stop()
    twice = ["sh", "-c", 'for i in 1 2; do "$@"; echo " $?"; done', "sh", shop.fetch("dynamic"), netlab.SERVER, origin.port, COUNT, SEED]
    argv = front.argv(mode, "mp_convert")
    argv[argv.index("--proxy") + 1] += f",{netlab.CONC}:{other.port}"
    done = lab.client.run(*argv, *twice, env=front.environment(), check=False, cwd=front.folder)
    assert done.stdout == b" 1\n" + dialects.stream(lab, COUNT, SEED) + b" 0\n", (done.stderr, front.journal())
    assert done.stderr == b"connect: 111 Connection refused\n"


EARLY = """
import socket, sys
try:
    print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 20).recv(1))
except ConnectionResetError:
    print('reset')
"""


@DIALECTS
@MODES
def test_a_listener_that_is_exact_no_more_still_serves(lab, front_of, proxy, origin, shop, mode, dialect):
    """It says that it is exact, but nothing holds its SYN-ACKs: a refusal is a reset, and no octet of ours."""
    front = front_of(proxy(listener={"exact": True}))
    front.exact = "auto"
    assert front.probe(dialect)[0]["exact"]
    done, numbers = front.stats(mode, dialect, shop.fetch("dynamic"), "-n", netlab.SERVER, origin.port, COUNT, SEED)
    assert done.stdout == dialects.stream(lab, COUNT, SEED) and in_place(numbers, 1), (numbers, front.journal())
    done, numbers = front.stats(mode, dialect, PYTHON, "-c", EARLY, netlab.SERVER, CLOSED_PORT)
    assert done.stdout in (b"reset\n", b"b''\n") and in_place(numbers, 1), (done.stdout, done.stderr, front.journal())


@MODES
@DIALECTS
def test_syn_data_that_is_stripped_is_seen(lab, exact_front, origin, shop, mode, dialect):
    """It works, is counted as not in the SYN, and is not tried again."""
    front = exact_front(dialect)
    lab.emulator.set("path1", synstrip=1)
    twice = ["sh", "-c", 'for i in 1 2; do "$@"; done', "sh", shop.fetch("dynamic"), netlab.SERVER, origin.port, COUNT, SEED]
    done, numbers = front.stats(mode, dialect, *twice)
    assert done.stdout == dialects.stream(lab, COUNT, SEED) * 2, (done.stderr, front.journal())
    assert (numbers[IN_PLACE], numbers["connections redirected"], numbers["request in the SYN not taken"]) == (1, 2, 1), numbers


@MODES
def test_who_is_exact_is_found_out_beside_the_program(lab, front_of, concentrator, origin, shop, mode):  # noqa: F811
    """No probe before: the first connections go the ordinary way, later ones in place."""
    front = front_of(concentrator())
    front.exact = "auto"
    until = ['"$@"', f"until grep -q 'event=exact.*exact=yes' {front.journal_path}; do sleep 0.05; done", '"$@"']
    done, numbers = front.stats(mode, "mp_convert", "sh", "-c", "; ".join(until), "sh", shop.fetch("dynamic"), netlab.SERVER, origin.port,
                                COUNT, SEED)
    assert done.stdout == dialects.stream(lab, COUNT, SEED) * 2, (done.stderr, front.journal())
    assert numbers["connections redirected"] == 2 and numbers[IN_PLACE] >= 1, numbers


@pytest.mark.parametrize("how", [("--exact", "off"), ("--tfo", "off"), ("--on-failure", "direct")], ids=lambda how: how[0])
def test_it_is_not_used_where_it_must_not(lab, exact_front, origin, shop, how):
    front = exact_front("mp_convert")
    done, numbers = front.stats("preload", "mp_convert", shop.fetch("dynamic"), netlab.SERVER, origin.port, COUNT, SEED, options=how)
    assert done.stdout == dialects.stream(lab, COUNT, SEED), (done.stderr, front.journal())
    assert IN_PLACE not in numbers
