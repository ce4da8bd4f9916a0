# SPDX-License-Identifier: MIT
"""SIGTERM drains with a deadline, SIGHUP reloads completely or not at all."""
import json
import signal
import subprocess
import time

import pytest

from support import clients, dialects, kernel, netlab
from support.clients import CONVERT, MP_CONVERT, RESET, SOCKS5


def echo(s, word=b"alive"):
    s.sendall(word)
    return dialects.receive_exactly(s, len(word)) == word


def ask(lab, p, dialect, origin):
    """A new client's fate: 0, or what it is told."""
    s = clients.dial(lab, p)
    s.sendall(clients.opening(dialect, netlab.SERVER, origin.port) + b"ECHO\n")
    try:
        clients.expect_success(s, dialect, netlab.SERVER, origin.port)
        return 0
    except AssertionError:
        return "refused"
    finally:
        s.close()


def refused(lab, p, dialect, origin):
    s = clients.dial(lab, p)
    s.sendall(clients.opening(dialect, netlab.SERVER, origin.port))
    return clients.failure(s, dialect)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_without_sessions(proxy, number):
    p = proxy()
    begin = time.monotonic()
    p.process.send_signal(number)
    assert p.process.wait(5) == 0
    assert time.monotonic() - begin < 2


def test_a_second_signal_never_kills(proxy):
    """Also one that comes when the daemon has nothing left to do but to exit."""
    for _ in range(4):
        p = proxy()
        while p.process.poll() is None:  # nothing lives: it ends at the first
            p.process.send_signal(signal.SIGTERM)
        assert p.process.returncode == 0


def test_drain_waits_for_live_sessions_and_takes_their_joins(lab, proxy, origin):
    p = proxy({"timeouts": {"drain_seconds": 20}})
    s = clients.session(lab, p, MP_CONVERT, origin.port, early=b"ECHO\n", link=1, fastopen=True)
    p.terminate()
    netlab.wait_for(lambda: p.stats()["state"] == "draining", 3, "the drain")
    assert p.get("/readyz")[0] == 503
    assert p.get("/healthz")[0] == 200
    assert lab.conc.listening(p.port), "a closed listener would take late MP_JOINs down with it"

    lab.use_both_paths()  # existing connections join the new path as well
    netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 3, "the second subflow during the drain")
    assert echo(s)

    assert refused(lab, p, SOCKS5, origin) == 1
    assert refused(lab, p, CONVERT, origin)[0] == 64
    assert refused(lab, p, MP_CONVERT, origin) == RESET

    assert echo(s)
    s.close()
    assert p.process.wait(3) == 0


def test_drain_ends_at_its_deadline(lab, proxy, origin):
    p = proxy({"timeouts": {"drain_seconds": 1}})
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    begin = time.monotonic()
    p.terminate()
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    assert 0.9 < time.monotonic() - begin < 2.5
    assert p.process.wait(3) == 0


def test_a_second_signal_ends_the_drain(lab, proxy, origin):
    p = proxy({"timeouts": {"drain_seconds": 60}})
    _live = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    p.terminate()
    netlab.wait_for(lambda: p.stats()["state"] == "draining", 3, "the drain")
    p.terminate()
    assert p.process.wait(5) == 0


def reloads(p):
    config = p.stats()["config"]
    return config["reload_success_total"], config["reload_failure_total"], config["last_reload_ok"]


BAD_FILES = {
    "not JSON": '{"listeners": [',
    "unknown key": '{"no_such_key": 1}',
    "out of range": '{"timeouts": {"connect_seconds": -1}}',
    "bad address": '{"listeners": [{"name": "x", "address": "nonsense"}]}',
    "missing users file": '{"auth": {"users_file": "/nonexistent/users"}}',
}


@pytest.mark.parametrize("text", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_changes_nothing(lab, proxy, origin, text):
    p = proxy()
    before = p.stats()["config"]["sha256"]
    live = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    p.reload(text)
    netlab.wait_for(lambda: reloads(p) == (0, 1, False), 3, "the failed reload")
    assert p.stats()["config"]["sha256"] == before
    assert echo(live)
    assert ask(lab, p, SOCKS5, origin) == 0
    p.reload(json.dumps(p.config))
    netlab.wait_for(lambda: reloads(p) == (1, 1, True), 3, "the reload of a good file")


def test_a_key_that_needs_a_restart_is_refused_whole(lab, proxy, origin):
    p = proxy()
    p.reconfigure({"workers": 1, "acl": {"rules": [{"action": "deny", "target": ["203.0.113.0/24"]}]}})
    netlab.wait_for(lambda: reloads(p) == (0, 1, False), 3, "the failed reload")
    netlab.wait_for(lambda: "workers" in p.log(), 2, "the reason in the log")
    assert ask(lab, p, SOCKS5, origin) == 0


def test_a_good_file_applies_to_new_sessions_only(lab, proxy, origin):
    p = proxy()
    live = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    p.reconfigure({"acl": {"rules": [{"action": "deny", "target": ["203.0.113.0/24"]}]}})
    netlab.wait_for(lambda: reloads(p) == (1, 0, True), 3, "the reload")
    assert refused(lab, p, SOCKS5, origin) == 2
    assert refused(lab, p, CONVERT, origin) == (32, 0)
    assert echo(live)
    assert p.stats()["generation"] == 2
    p.reconfigure({"acl": {"rules": []}})
    netlab.wait_for(lambda: reloads(p) == (2, 0, True), 3, "the second reload")
    assert ask(lab, p, SOCKS5, origin) == 0


def test_a_listener_may_be_added_and_removed(lab, proxy, origin):
    p = proxy()
    port = lab.conc.free_port()
    one = p.config["listeners"][0]
    p.reconfigure({"listeners": [one, {**one, "name": "second", "address": f"[::]:{port}"}]})
    netlab.wait_for(lambda: lab.conc.listening(port), 3, "the second listener")
    s = lab.client.open_socket()
    s.connect((netlab.CONC_LINK[0], port))
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, origin.port) + b"ECHO\n")
    clients.expect_success(s, SOCKS5, netlab.SERVER, origin.port)
    p.reconfigure({"listeners": [one]})
    netlab.wait_for(lambda: reloads(p)[0] == 2, 3, "the second reload")
    assert echo(s)
    s.close()
    netlab.wait_for(lambda: not lab.conc.listening(port), 5, "the second listener's end")


@pytest.mark.parametrize("text", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_at_start_ends_with_1_and_says_where(tmp_path, program, lab, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    for argv in ([program, "--config", path], [program, "--check", "--config", path]):
        done = lab.conc.run(*argv, check=False, timeout=5)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == 1, said
        assert str(path) in said


def test_check_and_dump(program, proxy):
    p = proxy()
    assert subprocess.run([program, "--check", "--config", p.config_path], check=False).returncode == 0
    done = subprocess.run([program, "--dump", "--config", p.config_path], check=True, capture_output=True)
    dump = json.loads(done.stdout)
    assert dump["listeners"][0]["address"] == p.config["listeners"][0]["address"]
    assert dump["timeouts"]["connect_seconds"] == 30
    assert subprocess.run([program, "--version"], check=True, capture_output=True).stdout.startswith(b"mpconvertd ")
