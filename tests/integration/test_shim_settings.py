# SPDX-License-Identifier: MIT
"""Settings as programs meet them: QUIC refused, what is left alone, privilege, the library without the launcher, and settings that do
not hold: `mpconvert run` names them and exits 125, the library stays silent and lets everything pass."""
import errno
import os
import shutil
import subprocess

import pytest

from support import dialects, guests, netlab
from support.guests import PYTHON
from test_matrix import COUNT, SEED

MODE = pytest.mark.parametrize("mode", ["preload", "auto"])
# The errno of connect() and of sendto() of a datagram, for port 443 and for port 444.
UDP = """
import errno, socket, sys
def told(call):
    try:
        call()
        return "OK"
    except OSError as e:
        return errno.errorcode[e.errno]
for port in (443, 444):
    for how in ("connect", "sendto", "sendmsg"):
        s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
        to = (sys.argv[1], port)
        print(told({"connect": lambda: s.connect(to), "sendto": lambda: s.sendto(b"x", to),
                    "sendmsg": lambda: s.sendmsg([b"x"], [], 0, to)}[how]), end=" ")
"""


@MODE
@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("setting,wanted", [("refuse", ["ECONNREFUSED"] * 3 + ["OK"] * 3), ("pass", ["OK"] * 6)])
def test_quic(front, mode, v6, setting, wanted):
    """Only port 443; and not what is left alone."""
    lab = front.lab
    lab.client.ip(f"route replace {netlab.SERVER} via {netlab.CONC_LINK[0]} dev c0")
    try:
        host = netlab.SERVER6 if v6 else netlab.SERVER
        lab.client.ip(f"route replace {netlab.SERVER6} via {netlab.CONC_LINK6[0]} dev c0", family="-6")
        done = front.run(mode, "mp_convert", PYTHON, "-c", UDP, host, options=("--udp443", setting))
        assert done.stdout.decode().split() == wanted, (done.stderr, front.journal())
        done = front.run(mode, "mp_convert", PYTHON, "-c", UDP, host, options=("--udp443", setting, "--bypass", host))
        assert done.stdout.decode().split() == ["OK"] * 6, (done.stderr, front.journal())
    finally:
        lab.client.ip(f"route del {netlab.SERVER}")
        lab.client.ip(f"route del {netlab.SERVER6}", family="-6")


def fetched(lab, done):
    return (done.returncode, done.stdout) == (0, dialects.stream(lab, COUNT, SEED))


def fetch(shop, origin, host=netlab.SERVER, *options):
    return [shop.fetch("dynamic"), *options, host, origin.port, COUNT, SEED]


@pytest.fixture
def near(lab):
    """A server in the concentrator's namespace: the client reaches it with and without."""
    server = netlab.Origin(lab, ns=lab.conc)
    yield server
    server.stop()


@MODE
@pytest.mark.parametrize("nonblocking", [(), ("-n",)], ids=["blocking", "nonblocking"])
@pytest.mark.parametrize("entry,left_alone", [
    ("198.51.100.0/24", True), ("198.51.100.1", True), ("198.51.100.1:{port}", True), ("198.51.100.0/24:{port}", True),
    ("198.51.100.1:1", False), ("198.51.100.0/32", False), ("none", False), ("192.0.2.0/24,198.51.100.1:{port}", True),
])
def test_what_is_left_alone(lab, front, shop, near, mode, nonblocking, entry, left_alone):
    before = front.total("mp_convert")
    done = front.run(mode, "mp_convert", *fetch(shop, near, netlab.CONC, *nonblocking), options=("--bypass", entry.format(port=near.port)))
    assert fetched(lab, done), (done.stderr, front.journal())
    assert front.total("mp_convert") - before == (0 if left_alone else 1)


@pytest.mark.parametrize("entry,left_alone", [("2001:db8:0:c::/64", True), ("[2001:db8:0:c::1]:{port}", True),
                                              ("[2001:db8:0:c::/64]:{port}", True), ("[2001:db8:0:c::1]:1", False)])
def test_what_is_left_alone_ipv6(lab, front, shop, near, entry, left_alone):
    before = front.total("mp_convert")
    done = front.run("preload", "mp_convert", *fetch(shop, near, netlab.CONC6), options=("--bypass", entry.format(port=near.port)))
    assert fetched(lab, done), (done.stderr, front.journal())
    assert front.total("mp_convert") - before == (0 if left_alone else 1)


@MODE
def test_the_hosts_own_networks(lab, front, shop, near, mode):
    for options, redirected in (((), 1), (("--bypass-local",), 0)):
        before = front.total("mp_convert")
        done = front.run(mode, "mp_convert", *fetch(shop, near, netlab.CONC_LINK[0]), options=options)
        assert fetched(lab, done), (done.stderr, front.journal())
        assert front.total("mp_convert") - before == redirected, options


# ---- without the launcher ----


def by_hand(front, **env):
    ours = os.path.join(os.path.dirname(front.program), "libmpconvert_preload.so")
    return {**front.environment(), "LD_PRELOAD": ours, "MPCONVERT_PROXY": f"{netlab.CONC}:{front.proxy.port}", **env}


@pytest.mark.parametrize("nonblocking", [(), ("-n",)], ids=["blocking", "nonblocking"])
def test_the_library_without_the_launcher(lab, front, shop, origin, nonblocking):
    before = front.total("convert")
    done = lab.client.run(*fetch(shop, origin, netlab.SERVER, *nonblocking), env=by_hand(front, MPCONVERT_DIALECT="convert"), check=False)
    assert fetched(lab, done) and done.stderr == b"", done.stderr
    assert front.total("convert") == before + 1


def linked_program(front, folder):
    """A program that brings the library along by itself: the loader ignores LD_PRELOAD for a privileged one, and would hide whether
    the library looks at such an environment."""
    guests.need("cc")
    for where in (folder, *folder.parents):
        if where.name.startswith(("pytest-", "popen-", "test_")):
            where.chmod(0o755)
    library = shutil.copy(os.path.join(os.path.dirname(front.program), "libmpconvert_preload.so"), folder)
    program = str(folder / "linked")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-o", program, os.path.join(guests.FOLDER, "fetch.c"), "-Wl,--no-as-needed", library,
                    f"-Wl,-rpath,{folder}"], check=True)
    os.chmod(library, 0o755)
    os.chmod(program, 0o755)
    return program


@pytest.mark.parametrize("how", ["set-user-id", "capability"])
def test_a_program_with_more_privilege_ignores_it(lab, front, near, tmp_path, how):
    """secure_getenv(3): who starts it does not decide where it connects to."""
    if os.environ.get("MPCONVERT_IN_USERNS"):
        pytest.skip("needs another user")
    guests.need("setpriv", "setcap")
    program = linked_program(front, tmp_path)
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    argv = [*user, program, netlab.CONC, near.port, COUNT, SEED]
    env = by_hand(front, XDG_RUNTIME_DIR="", LD_PRELOAD="")
    before = front.total("mp_convert")
    ordinary = lab.client.run(*argv, env=env, check=False)
    assert fetched(lab, ordinary), ordinary.stderr
    assert front.total("mp_convert") == before + 1
    if how == "capability":
        subprocess.run(["setcap", "cap_net_bind_service+ep", program], check=True)
    else:
        os.chmod(program, 0o4755)
    assert fetched(lab, lab.client.run(*argv, env=env, check=False))
    assert front.total("mp_convert") == before + 1


# ---- settings that do not hold ----

BAD = [("MPCONVERT_PROXY", "nowhere"), ("MPCONVERT_DIALECT", "http"), ("MPCONVERT_BYPASS", "10.0.0.0/99"), ("MPCONVERT_BYPASS", "1.2.3.4:x"),
       ("MPCONVERT_BYPASS_LOCAL", "2"), ("MPCONVERT_ON_FAILURE", "maybe"), ("MPCONVERT_NONBLOCK", "x"), ("MPCONVERT_TFO", "x"),
       ("MPCONVERT_MPTCP", "x"), ("MPCONVERT_RECEIVE_BUFFER", "-1"), ("MPCONVERT_RECEIVE_BUFFER", "2G"), ("MPCONVERT_UDP443", "x"),
       ("MPCONVERT_CONNECT_SECONDS", "0"), ("MPCONVERT_CONNECT_SECONDS", "601"), ("MPCONVERT_CONNECT_SECONDS", "1 "),
       ("MPCONVERT_SOCKOPT", "x"), ("MPCONVERT_COOKIE", "0"), ("MPCONVERT_USER", "alone"), ("MPCONVERT_PASSWORD", "secret"),
       ("MPCONVERT_REMOTE_DNS", "1"), ("MPCONVERT_LOG", "x" * 600), ("MPCONVERT_PROXY", "192.0.2.1:0")]


@pytest.mark.parametrize("name,value", BAD, ids=[f"{n.removeprefix('MPCONVERT_').lower()}-{v[:12]}" for n, v in BAD])
def test_a_setting_that_does_not_hold(lab, front, shop, near, name, value):
    env = front.environment({"MPCONVERT_PROXY": f"{netlab.CONC}:{front.proxy.port}", name: value})
    done = lab.client.run(front.program, "run", "--", *fetch(shop, near, netlab.CONC), env=env, check=False)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (125, b"") and said.startswith("mpconvert: ") and name in said, (done.returncode, said)
    assert said.count("\n") == 1 and "secret" not in said, said
    before, log = front.total("mp_convert"), os.path.join(front.folder, "by-hand")
    done = lab.client.run(*fetch(shop, near, netlab.CONC), env=by_hand(front, **{"MPCONVERT_LOG": log, name: value}), check=False)
    assert fetched(lab, done) and done.stderr == b"", done.stderr
    assert front.total("mp_convert") == before  # everything passes
    if name != "MPCONVERT_LOG":
        with open(log) as f:
            lines = f.read()
        assert "event=settings" in lines and name in lines and "secret" not in lines, lines


@MODE
@pytest.mark.parametrize("path", ["/nonexistent/log", "/proc/version", "/"])
def test_a_log_that_cannot_be_written(lab, front, shop, origin, mode, path):
    """Nothing is said, nothing fails; neither on success nor on failure."""
    for port, wanted in ((origin.port, 0), (7998, 1)):
        done = front.run(mode, "mp_convert", shop.fetch("dynamic"), netlab.SERVER, port, COUNT, SEED, options=("--log", path))
        assert done.returncode == wanted, done.stderr
        assert done.stderr == (b"" if wanted == 0 else f"connect: {errno.ECONNREFUSED} Connection refused\n".encode())
