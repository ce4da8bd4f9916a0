# SPDX-License-Identifier: MIT
"""The control socket and `mpconvert ctl`: who may do what, each command, and clients that misbehave."""
import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5
from test_lifecycle import echo, refused


class Control:
    def __init__(self, p, launcher):
        self.p, self.launcher = p, launcher
        self.path = p.config["control"]["path"]

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(self.path)
        return s

    def ask(self, command, **members):
        with self.connect() as s:
            s.sendall(json.dumps({"command": command, **members}).encode() + b"\n")
            return json.loads(line(s))

    def ctl(self, *words, **kw):
        """`mpconvert ctl` as a user types it."""
        env = {**os.environ, "MPCONVERT_CONTROL": self.path,
               "PATH": f"{os.path.dirname(self.p.program)}:{os.environ['PATH']}", **kw.pop("env", {})}
        return subprocess.run([self.launcher, "ctl", *words], env=env, capture_output=True, text=True, timeout=30, check=False, **kw)


def line(s):
    got = b""
    while not got.endswith(b"\n"):
        more = s.recv(65536)
        assert more, f"the end instead of an answer: {got[:200]}"
        got += more
    return got


@pytest.fixture
def control(proxy, launcher):
    def start(changes=None, **how):
        return Control(proxy({"control": {"path": "{folder}/control.sock"}, **(changes or {})}, **how), launcher)

    return start


def test_figures_for_people_and_for_programs(lab, control, origin):
    c = control()
    s = clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n")
    figures = dict(row.split(None, 1) for row in c.ctl("stats").stdout.splitlines())
    assert figures["sessions.current"] == "1" and figures["state"] == "serving"
    assert json.loads(c.ctl("stats", "--json").stdout)["result"]["sessions"]["current"] == 1
    assert json.loads(c.ctl("config").stdout)["control"]["path"] == c.path
    s.close()


def test_sessions_are_listed_shown_and_ended(lab, control, origin):
    c = control()
    kept = clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n")
    ended = clients.session(lab, c.p, CONVERT, origin.port, early=b"ECHO\n")
    head, *rows = c.ctl("sessions").stdout.splitlines()
    assert head.split() == ["ID", "AGE", "USER", "CLIENT", "PROTOCOL", "TO", "UP", "DOWN", "PATHS", "STATE"]
    assert [r.split()[4] for r in rows] == ["socks5", "convert"]
    assert rows[0].split()[5] == f"{netlab.SERVER}:{origin.port}"
    assert len(c.ctl("sessions", "--protocol", "convert").stdout.splitlines()) == 2
    number = rows[1].split()[0]
    assert "mptcp.subflow_list[0].local" in c.ctl("session", number).stdout
    done = c.ctl("kill", number)
    assert (done.returncode, done.stdout.split()) == (0, ["ended", "1"])
    with pytest.raises(ConnectionResetError):
        ended.recv(1)
    assert echo(kept)
    assert c.p.stats()["sessions"]["closed_total"]["admin"] == 1
    assert c.ctl("session", number).returncode == 1
    kept.close()


def test_sessions_of_a_source_are_ended_together(lab, control, origin):
    c = control()
    mine = [clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n") for _ in range(5)]
    assert json.loads(c.ctl("kill", "--source", "198.51.100.0/24", "--json").stdout)["result"]["ended"] == 0
    assert all(echo(s) for s in mine)
    assert json.loads(c.ctl("kill", "--source", "192.0.2.0/24", "--json").stdout)["result"]["ended"] == 5
    for s in mine:
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    assert c.ask("kill") == {"ok": False, "error": "which: id, user or source"}


def test_pages(lab, control, origin):
    c = control()
    live = [clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n") for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = c.ask("sessions", limit=2, **({"cursor": cursor} if cursor else {}))["result"]
        seen += [int(x["id"]) for x in page["sessions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen) and len(seen) == 5
    for s in live:
        s.close()


def test_reload_says_what_is_wrong(control):
    c = control()
    c.p.write("mpconvertd.json", '{"no": "such key"}')
    done = c.ctl("reload")
    assert done.returncode == 1
    assert "mpconvertd.json:1: no: unknown key" in done.stderr and "stays" in done.stderr
    c.p.config["limits"] = {"sessions": 77}
    c.p.write("mpconvertd.json", json.dumps(c.p.config))
    assert c.ctl("reload").returncode == 0
    netlab.wait_for(lambda: c.p.stats()["sessions"]["max"] == 77, 5, "the reload")


def test_drain_and_undrain(lab, control, origin):
    c = control()
    s = clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n")
    assert c.ctl("undrain").returncode == 1
    assert c.ctl("drain", "--timeout", "60").returncode == 0
    assert c.p.get("/readyz")[0] == 503
    netlab.wait_for(lambda: refused(lab, c.p, MP_CONVERT, origin) == RESET, 5, "the drain")
    assert c.ctl("undrain").returncode == 0
    assert c.p.get("/readyz")[0] == 200
    netlab.wait_for(lambda: clients.dial(lab, c.p) is not None, 1, "a client")
    again = clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n")
    assert echo(again) and echo(s)
    again.close()
    assert c.ctl("drain", "--timeout", "60").returncode == 0
    s.close()
    assert c.p.process.wait(5) == 0


def test_stop_is_at_once(lab, control, origin):
    c = control({"timeouts": {"drain_seconds": 60}})
    s = clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n")
    assert c.ctl("stop").returncode == 0
    assert c.p.process.wait(5) == 0
    assert not os.path.exists(c.path)
    s.close()


def test_the_access_rules_can_be_tried(control):
    c = control({"acl": {"rules": [{"action": "deny", "target": ["203.0.113.0/24"], "port": [25]}]}})
    verdict = c.ask("acl", source="192.0.2.1", target="203.0.113.10:25")["result"]
    assert verdict == {"action": "deny", "cause": "rule", "rule": 0}
    assert c.ask("acl", source="192.0.2.1", target="203.0.113.10:80")["result"]["action"] == "allow"
    assert c.ask("acl", source="192.0.2.1", target="127.0.0.1:80")["result"]["cause"] == "default_private"
    for wrong in ({"source": "x", "target": "203.0.113.10:80"}, {"source": "192.0.2.1"}, {"source": 1, "target": "203.0.113.10:80"}):
        assert not c.ask("acl", **wrong)["ok"]


def test_the_log_level_changes(lab, control, origin):
    c = control({"log": {"level": "warning"}})
    assert c.ctl("log", "debug").returncode == 0
    clients.session(lab, c.p, SOCKS5, origin.port, early=b"ECHO\n").close()
    netlab.wait_for(lambda: "session_move" in c.p.log(), 5, "debug lines")
    assert c.ctl("log", "loud").returncode == 1


def test_who_is_not_the_operator_may_ask_only(control):
    """Another user whom the socket's permissions let in."""
    if os.geteuid() != 0 or os.environ.get("MPCONVERT_IN_USERNS"):
        pytest.skip("no privilege to be another user")
    c = control()
    assert stat.S_IMODE(os.stat(c.path).st_mode) == 0o660
    os.chmod(c.path, 0o666)
    program = ("import os, socket, sys; os.setresuid(65534, 65534, 65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
               "s.sendall(sys.argv[2].encode() + b'\\n'); print(s.makefile().readline())")

    def ask(**request):
        done = subprocess.run(["/usr/bin/python3", "-c", program, c.path, json.dumps(request)], capture_output=True, check=True)
        return json.loads(done.stdout)

    assert ask(command="stats")["ok"]
    for command in ("reload", "drain", "undrain", "stop", "kill", "log"):
        assert ask(command=command) == {"ok": False, "error": "only root and the daemon's own user may do that"}
    assert c.p.get("/readyz")[0] == 200


@pytest.mark.parametrize("text,said", [
    (b"\n", "'[' or '{' expected"), (b"x\n", "'[' or '{' expected"), (b"[]\n", "not an object"), (b'{"a": 1, "a": 2}\n', "duplicate"),
    (b'{"command": "\xff"}\n', "decode"), (b"{" + b" " * 5000, "too long"), (b'{"a":' * 3000, "too long")])
def test_what_is_no_request_is_told_and_cut(control, text, said):
    c = control()
    with c.connect() as s:
        s.sendall(text)
        answer = json.loads(line(s))
        assert answer["ok"] is False and said in answer["error"]
        with pytest.raises((ConnectionResetError, AssertionError)):
            line(s)
    assert c.ask("stats")["ok"]


@pytest.mark.parametrize("request_", [
    {}, {"command": 1}, {"command": "none"}, {"command": "sessions", "limit": 0}, {"command": "sessions", "limit": 1001},
    {"command": "sessions", "limit": "1"}, {"command": "sessions", "user": "x" * 256}, {"command": "sessions", "source": "192.0.2.1/24"},
    {"command": "sessions", "protocol": "x"}, {"command": "sessions", "cursor": "x"}, {"command": "sessions", "id": "0"},
    {"command": "sessions", "id": 1}, {"command": "drain", "seconds": -1}, {"command": "log"}, {"command": "kill", "id": "x"}])
def test_what_is_a_wrong_request_is_told(control, request_):
    c = control()
    with c.connect() as s:
        for _ in range(2):  # the connection goes on
            s.sendall(json.dumps(request_).encode() + b"\n")
            answer = json.loads(line(s))
            assert answer["ok"] is False and answer["error"]


def test_lines_may_come_in_any_pieces(control):
    c = control()
    request = b'{"command": "acl", "source": "192.0.2.1", "target": "203.0.113.10:80"}\n'
    with c.connect() as s:
        for i in range(len(request)):
            s.send(request[i:i + 1])
        line(s)
        s.sendall(request * 3)
        got = b""
        while got.count(b"\n") < 3:
            got += s.recv(65536)


def test_a_client_that_leaves_before_its_answer(lab, control, origin):
    c = control()
    for _ in range(50):
        with c.connect() as s:
            s.sendall(b'{"command": "sessions"}\n')
    netlab.wait_for(lambda: c.ask("sessions")["ok"], 5, "an answer")
    netlab.wait_for(lambda: c.p.open_fds() < 60, 5, "closed connections")


def test_no_more_than_some_at_once(control):
    c = control()
    held = [c.connect() for _ in range(16)]
    with c.connect() as s:
        assert json.loads(line(s))["error"] == "too many connections"
    for s in held:
        s.close()
    netlab.wait_for(lambda: c.ask("stats").get("ok"), 5, "room again")


def test_the_socket_of_a_killed_daemon_is_replaced_and_a_live_ones_is_not(control, proxy):
    c = control()
    c.p.process.send_signal(signal.SIGKILL)
    c.p.process.wait()
    assert os.path.exists(c.path)
    again = proxy({"control": {"path": c.path}})
    assert Control(again, None).ask("stats")["ok"]
    with pytest.raises(AssertionError, match="control socket .*address already in use"):
        proxy({"control": {"path": c.path}})
    assert Control(again, None).ask("stats")["ok"]
    again.stop()
    c.p.process.returncode = 0  # it was killed on purpose


def test_wrong_command_lines(control):
    c = control()
    for words in ([], ["none"], ["stats", "x"], ["session"], ["acl", "192.0.2.1"], ["stats", "--user", "a"], ["sessions", "--limit", "x"]):
        assert c.ctl(*words).returncode == 2, words
    assert "sessions" in c.ctl("--help").stdout
    nobody = c.ctl("stats", env={"MPCONVERT_CONTROL": "/nowhere"})
    assert nobody.returncode == 3 and "/nowhere" in nobody.stderr
