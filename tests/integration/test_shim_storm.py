# SPDX-License-Identifier: MIT
"""Thousands of non-blocking connects of many threads, a quarter of them given up: every program is told the truth in time, and nothing
is left behind (tests/support/stormer.c)."""
import json
import os

import pytest

from support import dialects, guests, netlab
from test_matrix import COUNT, SEED

MODES = ["poll", "select", "epoll-lt", "epoll-et", "epoll-oneshot"]
SHAPES = [(m, ()) for m in MODES] + [(m, ("--before",)) for m in MODES[2:]]
STORM = ["--threads", 8, "--window", 16, "--early", 25, "--refused", 10]
STORMER = os.path.join(netlab.ROOT, "tests", "support", "stormer.c")
TARGET = netlab.CLIENT[0]  # the stormer's own server, where the concentrator reaches it


@pytest.fixture
def storm(lab, front, shop):
    """storm(mode of the shim, dialect, options): the stormer's tally; everybody was told the truth."""
    def run(mode, dialect, *options, compiled=(), env=None):
        name = "-".join(["stormer", *(o.strip("-").replace("=", "-") for o in compiled)])
        program = shop.make(name, "cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-pthread", *compiled, "-o", "{out}", STORMER, needs=("cc",))
        done = front.run(mode, dialect, program, "--address", TARGET, *STORM, *options, options=("--stats",), timeout=240, env=env)
        tally = json.loads(done.stdout)
        assert done.returncode == 0, (json.dumps(tally), done.stderr.decode()[-1000:])
        assert tally["lost"] == tally["late"] == tally["wrong"] == tally["spurious"] == 0 and tally["fds_left"] <= 0, json.dumps(tally)
        assert tally["connected"] + tally["refused"] + tally["early"] == tally["connects"], tally
        counts = {text: float(n) for n, text in (line.removeprefix("mpconvert:").split(maxsplit=1) for line in
                                               done.stderr.decode().splitlines() if line.startswith("mpconvert:"))}
        assert counts["connections redirected"] >= tally["connects"] * 0.75, counts  # some were given up before they began
        return tally

    return run


@pytest.mark.parametrize("dialect", ["mp_convert", "socks5"])
@pytest.mark.parametrize("mode,before", SHAPES, ids=["-".join([m, *(b.strip("-") for b in bs)]) for m, bs in SHAPES])
def test_every_event_comes(storm, mode, before, dialect):
    tally = storm("preload", dialect, "--mode", mode, *before, "--connects", 2000, "--seed", 7)
    assert tally["early"] > 300 and tally["refused"] > 100 and tally["connected"] > 1000, tally


@pytest.mark.parametrize("mode,before", SHAPES[2:], ids=["-".join([m, *(b.strip("-") for b in bs)]) for m, bs in SHAPES[2:]])
def test_every_event_comes_under_the_filter_too(storm, mode, before):
    for shim in ("auto", "seccomp"):
        storm(shim, "mp_convert", "--mode", mode, *before, "--connects", 500, "--seed", 3)


def test_ten_thousand_connects_leave_nothing_behind(storm, front):
    tally = storm("preload", "mp_convert", "--mode", "epoll-et", "--before", "--connects", 10000, "--seed", 11)
    assert tally["fds_left"] <= 0 and tally["connects"] == 10000
    netlab.wait_for(lambda: front.proxy.stats()["sessions"]["current"] == 0, 20, "the sessions to end")


@pytest.mark.parametrize("mode", ["poll", "epoll-et"])
def test_a_slow_concentrators_answers_reach_all(lab, storm, mode):
    """Hundreds are pending at a time; the concentrator's limit for one source is 512."""
    lab.emulator.set("path1", delay=40, rate=0)
    storm("preload", "socks5", "--mode", mode, "--window", 32, "--connects", 2000, "--seed", 5)


def asan():
    path = os.path.realpath(os.popen("cc -print-file-name=libasan.so").read().strip())
    if not os.path.isabs(path) or not os.path.exists(path):
        pytest.skip("libasan is not installed")
    return path


def test_a_program_with_address_sanitizer(storm):
    """Its runtime wants to be first: by the filter, as docs/client.md says."""
    asan()
    storm("seccomp", "mp_convert", "--mode", "epoll-lt", "--connects", 300, compiled=("-fsanitize=address",))


def by_hand(front, *libraries):
    """The environment for the library without the launcher."""
    ours = os.path.join(os.path.dirname(front.program), "libmpconvert_preload.so")
    preload = ":".join(ours if name == "ours" else name for name in libraries)
    return {**front.environment(), "MPCONVERT_PROXY": f"{netlab.CONC}:{front.proxy.port}", "LD_PRELOAD": preload,
            "ASAN_OPTIONS": "verify_asan_link_order=0"}


@pytest.mark.parametrize("order", ["asan-first", "ours-first"])
def test_beside_libasan(lab, front, shop, order):
    libraries = [asan(), "ours"] if order == "asan-first" else ["ours", asan()]
    program = shop.make("stormer-fsanitize-address", "cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-pthread", "-fsanitize=address", "-o",
                        "{out}", STORMER, needs=("cc",))
    before = front.total("mp_convert")
    done = lab.client.run(program, "--address", TARGET, *STORM, "--connects", 500, "--mode", "epoll-lt", env=by_hand(front, *libraries),
                          check=False, timeout=120)
    assert done.returncode == 0 and done.stderr == b"", (done.stdout, done.stderr.decode()[-3000:])
    assert front.total("mp_convert") - before > 300


OPTION = pytest.mark.parametrize("option", [(), ("-n",)], ids=["blocking", "nonblocking"])
MPTCPIZE = "/usr/lib/x86_64-linux-gnu/mptcpize/libmptcpwrap.so.0.0.1"


def assert_fetched(lab, front, done, sessions):
    assert (done.returncode, done.stdout, done.stderr) == (0, dialects.stream(lab, COUNT, SEED), b""), (done.stderr, front.journal())
    assert front.total("mp_convert") == sessions


@OPTION
@pytest.mark.parametrize("outer,mode", [("mptcpize", "preload"), ("mptcpize", "auto"), ("mpconvert", "auto")])
def test_beside_mptcpize(lab, front, shop, origin, outer, mode, option):
    """It makes every socket MPTCP. Inside, it puts its library where ours was: then the filter serves."""
    guests.need("mptcpize")
    shim, other = front.argv(mode, "mp_convert"), ["mptcpize", "run"]
    before = front.total("mp_convert")
    done = lab.client.run(*(other + shim if outer == "mptcpize" else shim + other), shop.fetch("dynamic"), *option, netlab.SERVER,
                          origin.port, COUNT, SEED, env=front.environment(), check=False)
    assert_fetched(lab, front, done, before + 1)


@OPTION
@pytest.mark.parametrize("order", [("ours", MPTCPIZE), (MPTCPIZE, "ours")], ids=["ours-first", "mptcpize-first"])
def test_both_libraries_by_hand(lab, front, shop, origin, order, option):
    if not os.path.exists(MPTCPIZE):
        pytest.skip("mptcpize is not installed")
    before = front.total("mp_convert")
    done = lab.client.run(shop.fetch("dynamic"), *option, netlab.SERVER, origin.port, COUNT, SEED, env=by_hand(front, *order), check=False)
    assert_fetched(lab, front, done, before + 1)


@pytest.mark.parametrize("dialect", ["mp_convert", "convert", "socks5"])
@OPTION
def test_valgrind_has_nothing_to_say(lab, front, shop, origin, dialect, option):
    guests.need("valgrind")
    for port, wanted in ((origin.port, 0), (7998, 1)):
        done = front.run("preload", dialect, "valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite",
                         "--errors-for-leak-kinds=definite", shop.fetch("dynamic"), *option, netlab.SERVER, port, COUNT, SEED, timeout=120)
        assert done.returncode == wanted, (done.stderr.decode()[-3000:], front.journal())
        assert b"==" not in done.stderr, done.stderr.decode()[-3000:]
        assert done.stdout == (dialects.stream(lab, COUNT, SEED) if wanted == 0 else b"")
