# SPDX-License-Identifier: MIT
"""Programs that fork, exec, spawn, close everything or are interrupted while a connect() is under way (guests/pending.py). The same
programs say the same on a direct connection, but where docs/client.md, "Limits", tells otherwise."""
import os

import pytest

from support import guests, netlab
from support.guests import PYTHON

LEG_MS, SECONDS = 200, 5  # one way; the answer takes twice that
SCRIPT = os.path.join(guests.FOLDER, "pending.py")
# Pending sockets of others are the library's matter: with the filter alone a connect() waits.
NONBLOCKING = ["fork_and_leave", "fork_and_stay", "fork_of_many", "fork_keeping", "exec_closing", "exec_keeping", "spawn", "spawn_closing", "close_all",
               "close_race", "shut_down", "asynchronous", "nonblocking_is_not_interrupted"]
# Which handler ran is known to who waits, not to the supervisor.
EXACT = ["restarted_beside_others", "interrupted_beside_others"]
BLOCKING = ["interrupted", "interrupted_by_a_child", "restarted", "plain"]


@pytest.fixture
def guest(lab, front, origin, shop):
    lab.emulator.set("leg", delay=LEG_MS)
    lab.client.sysctl(net__ipv4__tcp_syn_retries=1)
    fetch = [shop.fetch("dynamic"), netlab.SERVER, origin.port, 1000, 5]

    def run(mode, dialect, case):
        done = front.run(mode, dialect, PYTHON, "-B", SCRIPT, case, netlab.SERVER, origin.port, *fetch,
                         env={"MPCONVERT_CONNECT_SECONDS": str(SECONDS)}, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"good\n", b""), (done.stderr.decode()[-1500:], front.journal())

    run.direct = lambda case: lab.conc.run(PYTHON, "-B", SCRIPT, case, netlab.SERVER, origin.port, *fetch, timeout=60)
    yield run
    lab.client.sysctl(net__ipv4__tcp_syn_retries=6)


@pytest.mark.parametrize("dialect", ["mp_convert", "socks5"])
@pytest.mark.parametrize("mode", ["preload", "auto"])
@pytest.mark.parametrize("case", NONBLOCKING + EXACT + BLOCKING)
def test_while_a_connect_is_under_way(guest, mode, case, dialect):
    guest(mode, dialect, case)


@pytest.mark.parametrize("case", BLOCKING)
def test_while_a_connect_is_under_way_seccomp(guest, case):
    guest("seccomp", "mp_convert", case)


@pytest.mark.parametrize("case", NONBLOCKING + EXACT + BLOCKING)
def test_the_guest_is_right_about_the_kernel(guest, case):
    guest.direct(case)
