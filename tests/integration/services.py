# SPDX-License-Identifier: MIT
"""Servers of other people in the lab's server namespace, as fixtures (conftest.py takes them in)."""
import os
import shutil
import subprocess
import sys

import pytest

from support import dialects, guests, netlab
from support.guests import need

COUNT, SEED = 300_000, 21  # the file in the repository


def _serve(lab, port, what, *argv, **kw):
    """A server process that listens on `port`; its caller ends it."""
    server = lab.server.popen(*argv, **kw)
    netlab.wait_for(lambda: lab.server.listening(port) or server.poll() is not None, 5, what)
    assert server.poll() is None, f"{what} ended at once"
    return server


def _end(server):
    server.kill()
    server.wait(5)


def _web(lab, folder):
    """For a fixture to yield from: the port of a web server for the files in `folder`."""
    port = lab.server.free_port()
    server = _serve(lab, port, "the web server", sys.executable, "-m", "http.server", "-b", "::", "-d", folder, port,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    _end(server)


@pytest.fixture
def ssh_server(lab, tmp_path):
    """sshd with throw-away keys; (port, options for ssh)"""
    need("ssh", "sshd", "ssh-keygen")
    if os.environ.get("MPCONVERT_IN_USERNS"):
        pytest.skip("sshd cannot change its user inside a user namespace")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    port = lab.server.free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nUsePAM no\n"
        "Subsystem sftp internal-sftp\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile none\n")
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    server = _serve(lab, port, "sshd", shutil.which("sshd"), "-D", "-e", "-f", tmp_path / "sshd_config", stderr=subprocess.DEVNULL)
    yield port, ["-F", "none", "-i", tmp_path / "user", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                 "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-p", port]
    _end(server)


@pytest.fixture
def repository(lab, tmp_path):
    """A small git repository behind a static HTTP server; its URL's path end and head."""
    need("git")
    identity = {**guests.ENVIRONMENT, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for who in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{who}_NAME": "Lab", f"GIT_{who}_EMAIL": "lab@example.net"}
    work = tmp_path / "work"

    def git(*argv, **kw):
        return subprocess.run(["git", *argv], check=True, capture_output=True, env=identity, **kw).stdout.decode().strip()

    git("init", "-q", str(work))
    (work / "data").write_bytes(dialects.stream(lab, COUNT, SEED))
    git("add", "data", cwd=work)
    git("commit", "-q", "-m", "data", cwd=work)
    git("clone", "-q", "--bare", str(work), str(tmp_path / "site" / "lab.git"))
    git("update-server-info", cwd=tmp_path / "site" / "lab.git")
    yield from _web(lab, tmp_path / "site")


@pytest.fixture
def website(lab, tmp_path):
    """The port of a web server with one page."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html><title>lab</title><p>a page of the lab\n")
    yield from _web(lab, tmp_path / "page")


@pytest.fixture
def redis(lab, tmp_path):
    """A redis server's port."""
    need("redis-server", "redis-cli")
    port = lab.server.free_port()
    server = _serve(lab, port, "redis", shutil.which("redis-server"), "--port", port, "--bind", "*", "-::*", "--protected-mode", "no",
                    "--save", "", "--dir", tmp_path, stdout=subprocess.DEVNULL)
    yield port
    _end(server)
