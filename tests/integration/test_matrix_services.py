# SPDX-License-Identifier: MIT
"""The client matrix, continued: programs that want a server of their own kind, through `mpconvert run`."""
import hashlib
import os
import shutil
import subprocess

import pytest
import services

from support import dialects, guests, netlab
from test_matrix import COUNT, DIALECTS, MODES, SEED, Target

pytestmark = [pytest.mark.parametrize("dialect", DIALECTS), pytest.mark.parametrize("mode", MODES)]


def done_well(front, done):
    assert done.returncode == 0, (done.returncode, done.stderr[-800:], front.journal())
    return done.stdout


def test_git_over_http(lab, front, repository, tmp_path, mode, dialect):
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    done_well(front, front.run(mode, dialect, "git", "clone", "-q", f"http://{netlab.SERVER}:{repository}/lab.git", tmp_path / "copy",
                               env=env))
    data = (tmp_path / "copy" / "data").read_bytes()
    assert data == dialects.stream(lab, services.COUNT, services.SEED)


def test_git_over_ssh(lab, front, repository, ssh_server, tmp_path, mode, dialect):
    port, options = ssh_server
    ssh = " ".join(map(str, ["ssh", *options]))
    done_well(front, front.run(mode, dialect, "git", "clone", "-q", f"ssh://root@{netlab.SERVER}:{port}{tmp_path}/site/lab.git",
                               tmp_path / "copy", env={"GIT_SSH_COMMAND": ssh, "GIT_CONFIG_GLOBAL": "/dev/null"}))
    assert (tmp_path / "copy" / "data").read_bytes() == dialects.stream(lab, services.COUNT, services.SEED)


def test_ssh(lab, front, ssh_server, mode, dialect):
    port, options = ssh_server
    data = dialects.stream(lab, 200_000, SEED)
    assert done_well(front, front.run(mode, dialect, "ssh", *options, f"root@{netlab.SERVER}", "cat", input=data)) == data


def test_scp(lab, front, ssh_server, tmp_path, mode, dialect):
    port, options = ssh_server
    (tmp_path / "from").write_bytes(dialects.stream(lab, 200_000, SEED))
    options = ["-P" if o == "-p" else o for o in options]
    done_well(front, front.run(mode, dialect, "scp", "-q", *options, tmp_path / "from", f"root@{netlab.SERVER}:{tmp_path}/to"))
    assert (tmp_path / "to").read_bytes() == (tmp_path / "from").read_bytes()


def test_redis_cli(front, redis, mode, dialect):
    said = done_well(front, front.run(mode, dialect, "redis-cli", "-h", netlab.SERVER, "-p", redis, input=b"set k v\nget k\n"))
    assert said.split() == [b"OK", b"v"]


NGINX = """
daemon off; master_process off; user root root; pid {folder}/nginx.pid; error_log stderr error;
events {{ }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{target}; }} }}
}}
"""


def test_nginx_as_an_upstream_client(lab, front, origin, tmp_path, mode, dialect):
    """It registers the socket with epoll, edge-triggered, before it connects."""
    guests.need("nginx")
    port = lab.client.free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, target=f"{netlab.SERVER}:{origin.port}"))
    nginx = lab.client.popen(*front.argv(mode, dialect), shutil.which("nginx", path=guests.ENVIRONMENT["PATH"]), "-p", tmp_path, "-c",
                             tmp_path / "nginx.conf", "-e", "stderr", env=front.environment(), stderr=subprocess.PIPE)
    try:
        netlab.wait_for(lambda: lab.client.listening(port) or nginx.poll() is not None, 10, "nginx")
        wanted = hashlib.sha256(dialects.stream(lab, COUNT, SEED)).digest()
        before = front.total(dialect)
        for _ in range(20):
            got = lab.client.run("curl", "-sS", "--fail", "--max-time", "10", f"http://127.0.0.1:{port}/{COUNT}/{SEED}")
            assert hashlib.sha256(got.stdout).digest() == wanted, front.journal()
        assert front.total(dialect) - before >= 20
    finally:
        nginx.terminate()
        assert b"[error]" not in nginx.communicate(timeout=10)[1]


def test_chromium(lab, front, website, tmp_path, mode, dialect):
    guests.need("chromium")
    before = front.total(dialect)
    done = front.run(mode, dialect, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", f"--user-data-dir={tmp_path}/profile", "--dump-dom",
                     f"http://{netlab.SERVER}:{website}/")
    assert b"a page of the lab" in done_well(front, done), (done.stderr[-800:], front.journal())
    assert front.total(dialect) > before
