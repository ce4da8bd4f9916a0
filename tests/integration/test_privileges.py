# SPDX-License-Identifier: MIT
"""What the daemon may still do once it serves, as the kernel tells it of every thread."""
import contextlib
import glob
import json
import signal
import subprocess

import pytest

from support import netlab

NET_BIND_SERVICE, NET_ADMIN = 1 << 10, 1 << 12
QUEUE = 700


@contextlib.contextmanager
def daemon(lab, program, tmp_path, *listeners, **more):
    """It runs in the concentrator's namespace, on these listeners; its process, and how to write the configuration anew."""

    def write(*listeners):
        path.write_text(json.dumps({"workers": 2, "listeners": list(listeners), "stats": {"address": None}, "exact": {"queue": QUEUE},
                                    **more}))

    path = tmp_path / "mpconvertd.json"
    write(*listeners)
    with open(tmp_path / "log", "w") as log:
        process = lab.conc.popen(program, "-c", path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        netlab.wait_for(lambda: process.poll() is not None or "event=started" in (tmp_path / "log").read_text(), 10, "mpconvertd")
        assert process.poll() is None, (tmp_path / "log").read_text()
        process.rewrite = write
        process.log = (tmp_path / "log").read_text
        yield process
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def on(port, **more):
    return {"name": f"port-{port}", "address": f"[::]:{port}", **more}


def threads(process):
    """The rows of interest of every thread."""
    found = []
    for path in glob.glob(f"/proc/{process.pid}/task/*/status"):
        with open(path) as f:
            rows = dict(line.split(":\t", 1) for line in f)
        found.append({name: int(rows[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd", "NoNewPrivs")})
    assert len(found) > 2  # main, workers, log
    return found


def expect(process, kept):
    for rows in threads(process):
        assert rows == {"CapEff": kept, "CapPrm": kept, "CapInh": 0, "CapAmb": 0, "CapBnd": 0, "NoNewPrivs": 1}


def reload(process, *listeners):
    process.rewrite(*listeners)
    process.send_signal(signal.SIGHUP)
    netlab.wait_for(lambda: "event=reload" in process.log(), 5, "the reload")
    return process.log()


def test_nothing_is_kept_without_need(lab, program, tmp_path):
    with daemon(lab, program, tmp_path, on(lab.conc.free_port())) as process:
        expect(process, 0)


def test_low_ports_are_kept(lab, program, tmp_path):
    with daemon(lab, program, tmp_path, on(443), on(lab.conc.free_port())) as process:
        expect(process, NET_BIND_SERVICE)
        log = reload(process, on(443), on(444))
        assert lab.conc.listening(444), log


def test_a_reload_cannot_have_low_ports_that_the_start_had_not(lab, program, tmp_path):
    port = lab.conc.free_port()
    with daemon(lab, program, tmp_path, on(port)) as process:
        log = reload(process, on(port), on(443))
        assert "ermission denied" in log
        assert lab.conc.listening(port)
        assert not lab.conc.listening(443)
        expect(process, 0)


def test_what_is_low_is_the_kernels_to_say(lab, program, tmp_path):
    lab.conc.sysctl(net__ipv4__ip_unprivileged_port_start=443)
    try:
        with daemon(lab, program, tmp_path, on(443)) as process:
            expect(process, 0)
    finally:
        lab.conc.sysctl(net__ipv4__ip_unprivileged_port_start=1024)


@pytest.mark.parametrize("low", [False, True])
def test_exact_listeners_keep_cap_net_admin(lab, program, tmp_path, low):
    with daemon(lab, program, tmp_path, on(lab.conc.free_port(), exact=True), on(443 if low else lab.conc.free_port())) as process:
        expect(process, NET_ADMIN | (NET_BIND_SERVICE if low else 0))


def test_no_exact_listener_without_cap_net_admin(lab, program, tmp_path):
    path = tmp_path / "mpconvertd.json"
    path.write_text(json.dumps({"listeners": [on(lab.conc.free_port(), exact=True)], "stats": {"address": None}}))
    done = lab.conc.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", program, "-c", path, check=False)
    assert done.returncode == 1
    assert b"CAP_NET_ADMIN" in done.stderr, done.stderr
