# SPDX-License-Identifier: MIT
"""A running mpconvertd: configuration, start, stats endpoint, orderly end."""
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile

from . import netlab

REPORTS = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer")


def merged(base, changes):
    """`base` with `changes` laid over it, objects merged key by key."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class Proxy:
    """mpconvertd in the concentrator's namespace. `changes` are laid over a configuration that listens for every dialect on one
    port of every address and serves everybody of the lab; `listener` over its only listener,
    which `more_listeners` may follow. `files` are written beside it, and
    "{folder}" in a changed string is where. `prefix`: a command that becomes the daemon."""

    def __init__(self, lab, program, changes=None, listener=None, files=None, nofile=None, more_listeners=(), ns=None, prefix=()):
        self.lab, self.ns, self.program = lab, ns or lab.conc, program
        self._killed = False
        self.port, self.stats_port = self.ns.free_port(), self.ns.free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="mpconvert-test-")
        os.chmod(self._folder.name, 0o755)
        for name, text in (files or {}).items():
            self.write(name, text)
        self.config = merged(self._default(listener or {}), self._located(changes or {}))
        self.config["listeners"] += more_listeners
        self.config_path = self.write("mpconvertd.json", json.dumps(self.config))
        self.log_path = os.path.join(self._folder.name, "log")
        with open(self.log_path, "w") as log:
            self.process = self.ns.popen(*self._limited(nofile), *prefix, program, "--config", self.config_path, stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=subprocess.STDOUT)
        try:
            netlab.wait_for(lambda: self.process.poll() is not None or self._listens(), 10, "mpconvertd to listen")
        except netlab.LabError as e:
            self.process.kill()
            raise AssertionError(f"{e}\n{self.log()}") from None
        assert self.process.poll() is None, f"mpconvertd ended at once:\n{self.log()}"

    @staticmethod
    def _limited(nofile):
        return ["prlimit", f"--nofile={nofile}"] if nofile else []

    def _located(self, value):
        if isinstance(value, dict):
            return {k: self._located(v) for k, v in value.items()}
        return value.replace("{folder}", self._folder.name) if isinstance(value, str) else value

    def _default(self, listener):
        everybody = ["192.0.2.0/24", "2001:db8::/32"]
        return {
            "workers": 2,
            "listeners": [{"name": "all", "address": f"[::]:{self.port}", "protocols": ["socks5", "mp_convert", "convert"],
                           **listener}],
            "stats": {"address": f"127.0.0.1:{self.stats_port}"},
            "clients": {"allow": everybody, "trusted": everybody},
            "timeouts": {"drain_seconds": 1},  # what a test left open
            "log": {"level": "debug"},
        }

    def _listens(self):
        """healthz is answered by the main loop: then signals are handled as well."""
        if not all(self.ns.listening(port) for port in (self.port, self.stats_port)):
            return False
        return self.get("/healthz")[0] == 200

    def write(self, name, text):
        """A file beside the configuration; its path."""
        path = os.path.join(self._folder.name, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(text)
        return path

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def get(self, path, method="GET"):
        """(status, body) of the stats endpoint."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stats_port, timeout=5)
        with self.ns:
            connection.connect()
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def json(self, path):
        status, body = self.get(path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def stats(self):
        return self.json("/v1/stats")

    def sessions(self):
        return self.json("/v1/sessions")["sessions"]

    def wait_sessions(self, count, timeout=5):
        netlab.wait_for(lambda: self.stats()["sessions"]["current"] == count, timeout, f"{count} sessions")

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def reconfigure(self, changes):
        """Writes the configuration anew and sends SIGHUP."""
        self.config = merged(self.config, changes)
        self.reload(json.dumps(self.config))

    def reload(self, text):
        self.write("mpconvertd.json", text)
        self.process.send_signal(signal.SIGHUP)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        """As a crash would; stop() then has nothing to say."""
        self.process.kill()
        self.process.wait()
        self._killed = True

    def stop(self, timeout=15):
        """Ends it, if it lives, and checks that the end was orderly."""
        if self._killed:
            return
        if self.process.poll() is None:
            self.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"mpconvertd did not end within {timeout} s of SIGTERM:\n{self.log()[-4000:]}") from None
        report = REPORTS.search(self.log())
        assert report is None, self.log()[report.start() - 200 :]
        assert status == 0, f"mpconvertd exited {status}:\n{self.log()[-4000:]}"

    def remove(self):
        self._folder.cleanup()
