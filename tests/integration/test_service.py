# SPDX-License-Identifier: MIT
"""The daemon under a service manager: what it tells (sd_notify), and whether the unit lets it do what it does."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from support import clients, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5
from support.proxy import Proxy
from test_lifecycle import echo

UNITS = os.path.join(netlab.ROOT, "conf", "systemd")
UNIT = os.path.join(UNITS, "mpconvertd.service")


class Manager:
    """What systemd is to a service of Type=notify."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(5)

    def told(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def nothing_more(self):
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(4096)


@pytest.fixture
def manager(tmp_path):
    m = Manager(tmp_path / "notify")
    yield m
    m.socket.close()


@pytest.fixture
def service(proxy, manager, monkeypatch):
    """A daemon started by that manager; `watchdog`: microseconds."""

    def start(watchdog=None, **how):
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        if watchdog:
            monkeypatch.setenv("WATCHDOG_USEC", str(watchdog))
        p = proxy(**how)
        assert manager.told() == {"READY": "1", "STATUS": "serving"}
        return p

    return start


def test_it_says_when_it_is_ready_reloaded_and_stopping(lab, service, manager, origin):
    p = service(changes={"timeouts": {"drain_seconds": 7}})
    p.reconfigure({"limits": {"sessions": 77}})
    reloading = manager.told()
    assert (reloading["RELOADING"], reloading["STATUS"]) == ("1", "reloading")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.told()["READY"] == "1"
    assert p.stats()["sessions"]["max"] == 77, "ready before the reload was carried out"

    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    p.terminate()
    stopping = manager.told()
    assert stopping == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "12000000", "STATUS": "draining 1 sessions"}
    assert echo(s)
    s.close()
    assert p.process.wait(5) == 0
    manager.nothing_more()


def test_a_reload_that_fails_is_told_with_its_reason(service, manager):
    p = service()
    p.reload('{"no": "such key"}')
    assert manager.told()["RELOADING"] == "1"
    told = manager.told()
    assert told["READY"] == "1"
    assert "failed" in told["STATUS"] and "no" in told["STATUS"]


def test_the_watchdog_hears_of_it_while_all_workers_live(service, manager):
    p = service(watchdog=200_000)
    for _ in range(3):
        assert manager.told() == {"WATCHDOG": "1"}
    p.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, p.process.pid, os.WSTOPPED)
    manager.socket.setblocking(False)
    while True:  # what was on its way
        try:
            manager.socket.recv(4096)
        except BlockingIOError:
            break
    p.process.send_signal(signal.SIGCONT)
    manager.socket.setblocking(True)
    assert manager.told() == {"WATCHDOG": "1"}


# ---- the unit


def tool(name):
    path = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def installed(tmp_path):
    """The folder with the unit; installed("net-admin.conf"): and that beside it."""

    def install(*drop_ins):
        shutil.copy(UNIT, tmp_path)
        for name in drop_ins:
            os.makedirs(tmp_path / "mpconvertd.service.d", exist_ok=True)
            shutil.copy(os.path.join(UNITS, name), tmp_path / "mpconvertd.service.d")
        return str(tmp_path / "mpconvertd.service")

    return install


@pytest.mark.parametrize("drop_ins", [(), ("net-admin.conf",)], ids=["plain", "net-admin"])
def test_the_unit_exposes_little(installed, drop_ins):
    done = subprocess.run([tool("systemd-analyze"), "security", "--offline=true", "--no-pager", installed(*drop_ins)],
                          capture_output=True, text=True, check=False)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level, (done.stdout, done.stderr)
    assert float(level[1]) <= 2.0


def allowed():
    """The names of the system calls that the unit's filter lets through."""
    names = set()
    for line in open(UNIT):
        if not line.startswith("SystemCallFilter="):
            continue
        words = line.split("=", 1)[1].split()
        take = not words[0].startswith("~")
        for word in words:
            word = word.lstrip("~")
            members = {word}
            if word.startswith("@"):
                text = subprocess.run([tool("systemd-analyze"), "syscall-filter", "--no-pager"], capture_output=True, text=True,
                                      check=True).stdout
                members = members_of(text, word)
            names = names | members if take else names - members
    return names


def members_of(text, group):
    """The names in `group`, as `systemd-analyze syscall-filter` lists them: groups within groups, too."""
    blocks, name = {}, None
    for line in text.splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            blocks[name] = []
        elif name and word and not word.startswith("#"):
            blocks[name].append(word)
    todo, out = [group], set()
    for each in todo:
        for word in blocks[each]:
            if word.startswith("@"):
                todo.append(word)
            else:
                out.add(word)
    return out


def test_the_unit_lets_the_daemon_do_what_it_does(lab, launcher, origin, tmp_path):
    """Every system call of a life with sessions of each dialect, a reload and a drain is in the filter."""
    program = os.path.join(os.path.dirname(os.path.dirname(launcher)), "server", "mpconvertd")  # a sanitizer makes its own
    trace = tmp_path / "trace"
    p = Proxy(lab, program, prefix=[tool("strace"), "-D", "-f", "-qq", "-o", trace])
    for dialect in (SOCKS5, MP_CONVERT, CONVERT):
        s = clients.session(lab, p, dialect, origin.port, early=b"ECHO\n")
        assert echo(s)
        s.close()
    p.reconfigure({"limits": {"sessions": 77}})
    netlab.wait_for(lambda: p.stats()["sessions"]["max"] == 77, 5, "the reload")
    p.stop()
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    assert {"epoll_ctl", "accept4", "capset", "exit_group"} <= made
    assert not made - allowed() - {"execve"}  # of the manager's
