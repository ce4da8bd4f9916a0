# SPDX-License-Identifier: MIT
"""`mpconvert run` as a user meets it: where settings come from, what it says, what it leaves behind. What programs get through it is
the matrix's business (test_matrix.py)."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from support import guests, netlab
from support.guests import PYTHON

MODES = pytest.mark.parametrize("mode", ["preload", "seccomp", "auto"])
COUNT, SEED = 30_000, 5
# connects once a line comes on its standard input, says what it got; nothing of it is the launcher's
LATE = """
import socket, sys
sys.stdin.readline()
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
    s.sendall(b"GET /10/5 HTTP/1.0\\r\\n\\r\\n")
    s.makefile("rb").read()
    print("connected", flush=True)
except OSError as e:
    print(e, flush=True)
"""


def url(origin):
    return f"http://{netlab.SERVER}:{origin.port}/{COUNT}/{SEED}"


def address(p):
    return f"{netlab.CONC}:{p.port}"


@pytest.fixture
def run(lab, launcher, tmp_path):
    """run(argument, ...): the finished launcher."""
    def start(*argv, env=None, **kw):
        return lab.client.run(launcher, "run", *argv, check=False, text=True, env=environment(tmp_path, env), cwd=tmp_path, **kw)
    return start


def environment(folder, env=None):
    """Without questions of our own: the sessions are counted. Those are test_shim_exact.py's."""
    return {**guests.ENVIRONMENT, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "MPCONVERT_EXACT": "off", **(env or {})}


def run_files(folder):
    where = os.path.join(folder, "mpconvert")
    return [f for f in os.listdir(where) if f.startswith("run-")] if os.path.isdir(where) else []


def curl(origin):
    guests.need("curl")
    return ["curl", "-sS", "--fail", "-o", "/dev/null", "--max-time", "20", url(origin)]


def total(p, dialect="plain"):  # as the statistics call MP_CONVERT
    return p.stats()["sessions"]["by_protocol"][dialect]["total"]


@MODES
@pytest.mark.parametrize("what, status", [("missing", 127), ("folder", 126), ("not-executable", 126)])
def test_a_program_that_cannot_be_started_is_told_as_by_a_shell(run, tmp_path, mode, what, status):
    (tmp_path / "folder").mkdir()
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    done = run(f"--{mode}", "--proxy", "192.0.2.1:1080", str(tmp_path / what))
    assert done.returncode == status
    assert what in done.stderr
    assert run_files(tmp_path) == []


@MODES
@pytest.mark.parametrize("status", [1, 126, 127])
def test_the_status_of_a_program_is_passed_on(run, mode, status):
    done = run(f"--{mode}", "--proxy", "192.0.2.1:1080", "sh", "-c", f"exit {status}")
    assert (done.returncode, done.stderr) == (status, "")


@MODES
def test_stats_are_printed_at_the_end(run, proxy, origin, tmp_path, mode):
    p = proxy()
    done = run(f"--{mode}", "--proxy", address(p), "--stats", *curl(origin))
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("mpconvert:").split(maxsplit=1) for line in done.stderr.splitlines()]
    counts = {text: number for number, text in lines}
    assert counts["connections redirected"] == "1", done.stderr
    assert counts["connected"] == "1"
    assert counts["over Multipath TCP"] == "1"
    netlab.wait_for(lambda: total(p) == 1, 2, "the session's count")
    assert run_files(tmp_path) == []


def test_nothing_is_printed_without(run, proxy, origin):
    done = run("--proxy", address(proxy()), *curl(origin))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_file_is_found_and_the_environment_counts_more(run, proxy, origin, tmp_path):
    p = proxy()
    folder = tmp_path / ".config" / "mpconvert"
    folder.mkdir(parents=True)
    (folder / "mpconvert.json").write_text(json.dumps({"proxy": [address(p)], "dialect": "convert", "mode": "preload"}))
    assert run(*curl(origin)).returncode == 0
    netlab.wait_for(lambda: total(p, "convert") == 1, 2, "the session's count")
    assert run(*curl(origin), env={"MPCONVERT_DIALECT": "socks5"}).returncode == 0
    netlab.wait_for(lambda: total(p, "socks5") == 1, 2, "the session's count")
    assert run("--dialect", "mp_convert", *curl(origin), env={"MPCONVERT_DIALECT": "socks5"}).returncode == 0
    netlab.wait_for(lambda: total(p) == 1, 2, "the session's count")


@pytest.mark.parametrize("argv,env,named", [
    (["true"], {}, "MPCONVERT_PROXY"),
    (["--proxy", "nowhere", "true"], {}, "--proxy"),
    (["true"], {"MPCONVERT_PROXY": "nowhere"}, "MPCONVERT_PROXY"),
    (["--proxy", "192.0.2.1:1", "--preload", "--seccomp", "true"], {}, "--seccomp"),
    (["--proxy", "192.0.2.1:1", "--user", "u", "true"], {}, "MPCONVERT_"),
    (["--proxy", "192.0.2.1:1", "--remote-dns", "true"], {}, "MPCONVERT_REMOTE_DNS"),
    (["--config", "/nonexistent", "true"], {}, "/nonexistent"),
    (["--proxy", "192.0.2.1:1"], {}, "program"),
])
def test_what_is_wrong_is_named_and_the_program_not_run(run, argv, env, named):
    done = run(*argv, env=env)
    assert done.returncode == 125
    assert named in done.stderr and done.stderr.startswith("mpconvert: ")


@MODES
@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_stay_closed(launcher, tmp_path, mode, closed):
    """Nor does anything of the launcher's take their numbers."""
    count = closed.count("&-")
    check = f"import os, sys; sys.exit(40 + sum(not os.path.exists(f'/proc/self/fd/{{fd}}') for fd in range({count})))"
    argv = [launcher, "run", f"--{mode}", "--proxy", "192.0.2.1:1", "--stats", PYTHON, "-c", check]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *argv], env=environment(tmp_path), check=False)
    assert done.returncode == 40 + count
    assert run_files(tmp_path) == []


@MODES
def test_the_next_concentrator_is_tried(lab, run, proxy, origin, mode):
    p = proxy()
    away = f"{netlab.CONC}:{lab.conc.free_port()}"
    assert run(f"--{mode}", "--proxy", f"{away},{address(p)}", *curl(origin)).returncode == 0
    netlab.wait_for(lambda: total(p) == 1, 2, "the session's count")


@MODES
def test_without_a_concentrator_it_fails_or_goes_directly(lab, run, origin, mode):
    lab.conc.sysctl(net__ipv4__ip_forward=1)
    away = f"{netlab.CONC}:{lab.conc.free_port()}"
    assert run(f"--{mode}", "--proxy", away, *curl(origin)).returncode == 7  # curl: could not connect
    reached = lab.client.run(*curl(origin), check=False).returncode == 0
    done = run(f"--{mode}", "--proxy", away, "--on-failure", "direct", *curl(origin))
    assert (done.returncode == 0) == reached  # as without mpconvert


@MODES
def test_a_signal_to_the_launcher_ends_the_program(lab, launcher, proxy, tmp_path, mode):
    process = lab.client.popen(launcher, "run", f"--{mode}", "--proxy", address(proxy()), "--", "sh", "-c",
                               'trap "exit 42" TERM; echo ready; while :; do read -r line; done', env=environment(tmp_path),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 42
    process.stdin.close()
    process.stdout.close()
    assert run_files(tmp_path) == []


@MODES
def test_a_killed_launcher_takes_the_program_along_and_leaves_nothing(lab, launcher, proxy, tmp_path, mode):
    process = lab.client.popen(launcher, "run", f"--{mode}", "--proxy", address(proxy()), "--", "sh", "-c", "echo ready; exec sleep 600",
                               env=environment(tmp_path), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    assert len(run_files(tmp_path)) == 1
    process.kill()
    assert process.stdout.read() == ""  # the end: the program, which held the pipe, is gone
    assert process.wait(10) == -signal.SIGKILL
    netlab.wait_for(lambda: run_files(tmp_path) == [], 5, "the run file to be removed")
    process.stdout.close()


@MODES
def test_what_outlives_the_program_is_served(lab, launcher, proxy, origin, tmp_path, mode):
    """The program ends, and the launcher with it; the process it left behind connects afterwards, by the concentrator."""
    p = proxy()
    script = f'{PYTHON} -c "$0" {netlab.SERVER} {origin.port} <&3 3<&- & exec 3<&-'
    process = lab.client.popen(launcher, "run", f"--{mode}", "--proxy", address(p), "--", "sh", "-c", f"exec 3<&0; {script}", LATE,
                               env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.wait(10) == 0
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "connected\n"
    process.stdin.close()
    assert process.stdout.read() == ""
    process.stdout.close()
    netlab.wait_for(lambda: total(p) == 1, 2, "the session's count")
    netlab.wait_for(lambda: run_files(tmp_path) == [], 5, "the run file to be removed")


def document(name):
    with open(os.path.join(netlab.ROOT, "docs", name)) as f:
        return f.read()


def test_the_man_pages_describe_every_option_and_key(launcher):
    options = re.findall(r"^  --([a-z0-9-]+)", subprocess.run([launcher, "--help"], capture_output=True, text=True, check=True).stdout, re.M)
    assert len(options) > 20
    page, keys, guide = document("mpconvert.1"), document("mpconvert.json.5"), document("client.md")
    for option in options:
        assert re.search(rf"^\.(It )?.*Fl -{option}\b", page, re.M), option
    own = {"auto", "preload", "seccomp", "stats", "target", "json", "config", "password-file", "cookie-file"}
    for key in [o.replace("-", "_") for o in options if o not in own] + ["password", "cookie", "mode"]:
        assert re.search(rf"^\.It Cm (\w+ , )?{key}\b", keys, re.M), key
        assert f"`{key}`" in guide, key


@pytest.mark.parametrize("name", ["mpconvert.1", "mpconvert-ctl.1", "mpconvert.json.5"])
def test_the_man_pages_are_clean(name):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    path = os.path.join(netlab.ROOT, "docs", name)
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
