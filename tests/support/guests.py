# SPDX-License-Identifier: MIT
"""Programs that know nothing of the concentrator, run through `mpconvert run`: how each is built, started, and what it must print."""
import fcntl
import json
import os
import shutil
import subprocess

import pytest

from . import netlab

FOLDER = os.path.join(netlab.ROOT, "tests", "integration", "guests")
# Nothing of the host's settings. Java and chromium want a home that can be written.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
PYTHON = "/usr/bin/python3"


def need(*programs):
    for program in programs:
        if shutil.which(program, path=ENVIRONMENT["PATH"]) is None:
            pytest.skip(f"{program} is not installed")


class Workshop:
    """Builds what has to be built, once for all tests, in a folder that is theirs; other processes may use the same one."""

    def __init__(self, folder):
        self.folder = str(folder)
        self._made = set()

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, *argv, needs=(), env=None):
        """The path of `name`, made by argv when it is asked for the first time; "{out}" in argv is that path."""
        need(*needs)
        out = self.path(name)
        if name not in self._made:
            with open(out + ".made", "a") as lock:  # what it holds: that out is complete
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock.fileno()).st_size == 0:
                    self._build([a.replace("{out}", out) for a in argv], env or {})
                    lock.write("yes\n")
            self._made.add(name)
        return out

    def _build(self, argv, env):
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True,
                              env={**ENVIRONMENT, "HOME": self.folder, **env})
        assert done.returncode == 0, (argv, done.stderr)

    def fetch(self, kind):
        """fetch.c: "dynamic", "static" or "musl"."""
        source = os.path.join(FOLDER, "fetch.c")
        compiler = {"dynamic": ("cc",), "static": ("cc", "-static"), "musl": ("musl-gcc",)}[kind]
        return self.make(f"fetch-{kind}", *compiler, "-D_GNU_SOURCE", "-O1", "-o", "{out}", source, needs=compiler[:1])

    def go(self):
        return self.make("fetch-go", "go", "build", "-o", "{out}", os.path.join(FOLDER, "fetch.go"), needs=("go",),
                         env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GO111MODULE": "off"})

    def java(self):
        """The folder of Fetch.class."""
        self.make("Fetch.class", "javac", "-d", self.folder, os.path.join(FOLDER, "Fetch.java"), needs=("java", "javac"))
        return self.folder


class Front:
    """`mpconvert run` in the client's namespace, towards one concentrator."""

    def __init__(self, lab, program, proxy, folder):
        self.lab, self.program, self.proxy, self.folder = lab, program, proxy, str(folder)
        self.exact = "off"  # no questions of our own among the sessions that are counted
        self.journal_path = os.path.join(self.folder, "journal")

    def argv(self, mode, dialect, v6=False, options=()):
        at = f"[{netlab.CONC6}]:{self.proxy.port}" if v6 else f"{netlab.CONC}:{self.proxy.port}"
        return [self.program, "run", f"--{mode}", "--proxy", at, "--dialect", dialect, "--log", self.journal_path, *options, "--"]

    def environment(self, env=None):
        return {**ENVIRONMENT, "HOME": self.folder, "XDG_RUNTIME_DIR": self.folder, "MPCONVERT_EXACT": self.exact, **(env or {})}

    def probe(self, dialect, v6=False, env=None):
        """What `mpconvert probe` finds, which is remembered for runs: [{...}]."""
        at = f"[{netlab.CONC6}]:{self.proxy.port}" if v6 else f"{netlab.CONC}:{self.proxy.port}"
        done = self.lab.client.run(self.program, "probe", "--json", "--dialect", dialect, at, env=self.environment(env), check=False)
        return json.loads(done.stdout)

    def stats(self, mode, dialect, *argv, v6=False, options=(), env=None, **kw):
        """The finished program, with what --stats says removed from its standard error: (done, {text: number})."""
        done = self.run(mode, dialect, *argv, v6=v6, options=("--stats", *options), env=env, **kw)
        ours = [line.split(None, 2) for line in done.stderr.decode().splitlines() if line.startswith("mpconvert:")]
        done.stderr = b"".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith(b"mpconvert:"))
        return done, {text: float(number) for _, number, text in ours if number[0].isdigit()}

    def run(self, mode, dialect, *argv, v6=False, options=(), env=None, timeout=60, **kw):
        """The finished program; it need not have succeeded."""
        return self.lab.client.run(*self.argv(mode, dialect, v6, options), *argv, env=self.environment(env), check=False,
                                   timeout=timeout, cwd=self.folder, **kw)

    def journal(self):
        """What the shim wrote, for messages."""
        if not os.path.exists(self.journal_path):
            return ""
        with open(self.journal_path, errors="replace") as f:
            return f.read()[-2000:]

    def total(self, dialect):
        """Sessions so far in that dialect."""
        name = {"mp_convert": "plain"}.get(dialect, dialect)
        return self.proxy.stats()["sessions"]["by_protocol"].get(name, {}).get("total", 0)
