# SPDX-License-Identifier: MIT
"""The client matrix: programs that were not written for it fetch through `mpconvert run`, in every dialect and mode, over IPv4 and
IPv6. What they print must be the server's octets, and the concentrator must have seen as many sessions as they made."""
import os

import pytest

from support import dialects, guests, netlab
from support.guests import PYTHON

DIALECTS = ["mp_convert", "convert", "socks5"]
MODES = ["preload", "seccomp", "auto"]
COUNT, SEED = 30_000, 5


class Target:
    """The server as a program is told of it."""

    def __init__(self, origin, v6):
        self.host, self.port, self.v6 = netlab.SERVER6 if v6 else netlab.SERVER, str(origin.port), v6
        self.path = f"{COUNT}/{SEED}"
        self.url = f"http://{'[%s]' % self.host if v6 else self.host}:{self.port}/{self.path}"


GET = f"GET /{COUNT}/{SEED} HTTP/1.0\r\n\r\n"


def curl(*options):
    def argv(_shop, t):
        guests.need("curl")
        return ["curl", "-sS", "--fail", *options, t.url]

    return argv


def curl_20(_shop, t):
    """To files: on its standard output the twenty would mix."""
    guests.need("curl")
    outs = " ".join(f"-o curl.{i} '{t.url}'" for i in range(20))
    return ["sh", "-c", f"curl -gsS --no-progress-meter --fail --parallel --parallel-max 20 --parallel-immediate {outs} && cat curl.? curl.??"]


def python(name, *first):
    def argv(_shop, t):
        guests.need(PYTHON)
        return [PYTHON, "-B", os.path.join(guests.FOLDER, name), *first, t.host, t.port, str(COUNT), str(SEED)]

    return argv


def urllib(_shop, t):
    return [PYTHON, "-B", "-c", f"import urllib.request,sys; sys.stdout.buffer.write(urllib.request.urlopen('{t.url}').read())"]


def node(how):
    def argv(_shop, t):
        guests.need("node")
        return ["node", os.path.join(guests.FOLDER, "fetch.js"), how, t.url]

    return argv


def java(how):
    def argv(shop, t):
        where = ["url", t.url] if how == "url" else ["nio", t.host, t.port, str(COUNT), str(SEED)]
        return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", shop.java(), "Fetch", *where]

    return argv


def compiled(kind, *options):
    return lambda shop, t: [shop.fetch(kind), *options, t.host, t.port, str(COUNT), str(SEED)]


def bash(_shop, t):
    return ["bash", "-c", f"exec 3<>/dev/tcp/{t.host}/{t.port}; printf '{GET}' >&3; while IFS= read -r l && [ \"$l\" != $'\\r' ]; do :; done"
            " <&3; cat <&3".replace("\r\n", "\\r\\n")]


def perl(_shop, t):
    return ["perl", "-MIO::Socket::IP", "-e", f"$s = IO::Socket::IP->new(PeerHost => '{t.host}', PeerPort => {t.port}) or die $@;"
            f"binmode STDOUT; print $s \"GET /{t.path} HTTP/1.0\\r\\n\\r\\n\"; $/ = \"\\r\\n\\r\\n\"; <$s>; undef $/; print <$s>"]


def socat(_shop, t):
    guests.need("socat")
    host = f"[{t.host}]" if t.v6 else t.host
    return ["sh", "-c", f"printf 'SOURCE {COUNT} {SEED}\\n' | socat -t 10 - TCP:{host}:{t.port}"]


def ncat(_shop, t):
    guests.need("ncat")
    return ["sh", "-c", f"printf 'SOURCE {COUNT} {SEED}\\n' | ncat {t.host} {t.port}"]


def wget(_shop, t):
    guests.need("wget")
    return ["wget", "-q", "-O", "-", t.url]


def aria2(_shop, t):
    guests.need("aria2c")
    return ["sh", "-c", f"aria2c -q --allow-overwrite=true --no-conf -o aria2.out '{t.url}' && cat aria2.out"]


def lftp(_shop, t):
    """More than one try: its SIGCHLD, without SA_RESTART, may come in the moment before the supervisor has taken the connect()."""
    guests.need("lftp")
    return ["lftp", "--norc", "-c", f"set net:max-retries 4; set net:reconnect-interval-base 1; cat {t.url}"]


def apt(_shop, t):
    return ["sh", "-c", f"/usr/lib/apt/apt-helper -o Acquire::Retries=0 -o APT::Sandbox::User=root download-file {t.url} $PWD/apt.out >&2 && cat apt.out"]


# name: (argv of (shop, target), sessions it makes). Those marked `dynamic` are loaded by glibc's loader, the others need seccomp.
PROGRAMS = {
    "curl": (curl(), 1),
    "curl-20": (curl_20, 20),
    "curl-tcp-fastopen": (curl("--tcp-fastopen"), 1),
    "curl-local-port": (curl("--local-port", "41000-42000"), 1),
    "wget": (wget, 1),
    "urllib": (urllib, 1),
    "asyncio-50": (python("fetch_many.py", "asyncio", "50"), 50),
    "aiohttp-50": (python("fetch_many.py", "aiohttp", "50"), 50),
    "node-http": (node("http"), 1),
    "node-fetch": (node("fetch"), 1),
    "java-url": (java("url"), 1),
    "java-nio": (java("nio"), 1),
    "aria2": (aria2, 1),
    "lftp": (lftp, 1),
    "socat": (socat, 1),
    "ncat": (ncat, 1),
    "perl": (perl, 1),
    "bash": (bash, 1),
    "apt": (apt, 1),
    "c": (compiled("dynamic"), 1),
    "c-nonblocking": (compiled("dynamic", "-n"), 1),
    "c-static": (compiled("static"), 1),
    "c-static-nonblocking": (compiled("static", "-n"), 1),
    "c-musl": (compiled("musl"), 1),
    "go-10": (lambda shop, t: [shop.go(), t.url, "10"], 10),
}
NOT_PRELOADABLE = {"c-static", "c-static-nonblocking", "c-musl", "go-10"}


def cases():
    for name in PROGRAMS:
        for mode in MODES:
            if mode == "preload" and name in NOT_PRELOADABLE:
                continue
            for dialect in DIALECTS:
                for v6 in (False, True):
                    yield pytest.param(name, mode, dialect, v6, id=f"{name}-{mode}-{dialect}-{'ipv6' if v6 else 'ipv4'}")


@pytest.mark.parametrize("name,mode,dialect,v6", cases())
def test_matrix(lab, front, shop, origin, name, mode, dialect, v6):
    argv, sessions = PROGRAMS[name]
    argv = argv(shop, Target(origin, v6))
    before = front.total(dialect)
    done = front.run(mode, dialect, *argv, v6=v6)
    assert done.returncode == 0, (done.returncode, done.stderr[-800:], front.journal())
    wanted = dialects.stream(lab, COUNT, SEED)
    assert len(done.stdout) == len(wanted) * sessions and done.stdout == wanted * sessions
    assert done.stderr == b"" or name == "apt", done.stderr[-800:]  # the shim is silent
    assert front.total(dialect) - before >= sessions
