# SPDX-License-Identifier: MIT
"""Network-namespace topologies for the integration tests.

    client ==c1== path1 ==k1== concentrator          path1, path2: emulated by pathemu in the namespace "wire"
       |   ==c2== path2 ==k2==      |   ==s0== leg ==t0== server     leg: likewise, without limits at first
       +----c0--- direct --k0-------+                direct: a plain veth pair, for what needs no emulation

The concentrator's service address (CONC, CONC6) is on its loopback and reachable over every link; the client's second address
leaves by the second path (source routing). Works as root and, in a user namespace, as a plain user. Every process that runs tests
has a lab of its own; what a killed one left behind is removed by the next."""
import atexit
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from . import kernel

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = "mpx"
CONC, CONC6 = "198.51.100.1", "2001:db8:0:c::1"
CLIENT = {0: "192.0.2.1", 1: "192.0.2.65", 2: "192.0.2.129"}
CLIENT6 = {i: f"2001:db8:0:{i}::1" for i in range(3)}
CONC_LINK = {0: "192.0.2.2", 1: "192.0.2.66", 2: "192.0.2.130"}
CONC_LINK6 = {i: f"2001:db8:0:{i}::2" for i in range(3)}
CONC_OUT, CONC_OUT6 = "203.0.113.1", "2001:db8:0:5::1"
SERVER, SERVER6 = "203.0.113.10", "2001:db8:0:5::10"
SERVER_DNS = "203.0.113.53"
PATH_RATE_MBIT = 20
PATH_DEFAULTS = {"delay": 5, "rate": PATH_RATE_MBIT, "queue": 128, "loss": 0, "cut": 0, "synstrip": 0, "syndrop": 0,
                 "mpstrip": 0, "dropsyn": 0, "seed": 1}
LEG_DEFAULTS = {**PATH_DEFAULTS, "delay": 0, "rate": 0, "queue": 4096}

_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The lab itself did not work; never the fault of what is tested."""


def wait_for(condition, timeout, what, interval=0.01):
    """The first true value of condition(); LabError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {timeout} s in vain for {what}")
        time.sleep(interval)


def unavailable():
    """Why no lab can be built here, or None."""
    for tool in ("ip", "nft", "nsenter", "dumpcap", "tshark", "cc"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not os.path.exists("/proc/sys/net/mptcp/enabled"):
        return "this kernel has no MPTCP"
    if os.geteuid() != 0:
        return "no privilege: neither root nor inside a user namespace"
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "no privilege to create network namespaces"


def needs_user_namespace():
    """A plain user who may make one, and is not inside yet."""
    if os.geteuid() == 0 or os.environ.get("MPCONVERT_IN_USERNS"):
        return False
    return subprocess.run(["unshare", "-Urnm", "true"], capture_output=True, check=False).returncode == 0


def enter_user_namespace():
    """Starts this program again inside a user namespace with a /run of its own. Does not return."""
    os.environ["MPCONVERT_IN_USERNS"] = "1"
    scratch = os.path.join(tempfile.gettempdir(), f"mpconvert-pytest-{os.geteuid()}")
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", scratch)  # inside everybody is called root
    with open("/proc/self/cmdline", "rb") as f:
        argv = f.read().decode().split("\0")[:-1]
    script = 'mount -t tmpfs none /run && mkdir /run/netns && exec "$@"'
    os.execvp("unshare", ["unshare", "-Urnm", "sh", "-c", script, "sh", sys.executable, *argv[1:]])


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _mac(device):
    return f"02:00:00:00:{ord(device[0]):02x}:{ord(device[-1]):02x}"


class Netns:
    """One named namespace. `with ns:` puts the calling thread inside: sockets created there belong to it."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"
        self._outer = []
        self._next_port = 10000  # below the ephemeral ports: no outgoing connection takes one away

    def __enter__(self):
        self._outer.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        inner = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._set(inner)
        return self

    def __exit__(self, *_):
        self._set(self._outer.pop())

    @staticmethod
    def _set(fd):
        failed = _libc.setns(fd, _CLONE_NEWNET)
        os.close(fd)
        if failed:
            raise LabError("setns: " + os.strerror(ctypes.get_errno()))

    def command(self, *argv):
        """argv as it runs inside; nsenter execs, so the process id is the program's."""
        return ["nsenter", f"--net={self.path}", "--", *map(str, argv)]

    def run(self, *argv, timeout=30, check=True, **kw):
        kw.setdefault("capture_output", True)
        kw.setdefault("stdin", None if "input" in kw else subprocess.DEVNULL)
        done = subprocess.run(self.command(*argv), timeout=timeout, check=False, preexec_fn=_die_with_parent, **kw)
        if check and done.returncode != 0:
            raise LabError(f"{argv} exited {done.returncode}: {done.stderr!r} {done.stdout!r}")
        return done

    def popen(self, *argv, **kw):
        """The process dies with the thread that started it."""
        return subprocess.Popen(self.command(*argv), preexec_fn=_die_with_parent, **kw)

    def ip(self, *lines, family=None):
        """Runs lines of an `ip -batch`; family "-6" where ip cannot tell from the line."""
        argv = ["ip", *([family] if family else []), "-n", self.name, "-batch", "-"]
        subprocess.run(argv, input="\n".join(lines), text=True, check=True)

    def nft(self, rules):
        """One line will do: nft wants its closing braces on lines of their own."""
        self.run("nft", "-f", "-", input=rules.replace("}", "\n}").encode())

    def sysctl(self, **values):
        """Keys with "__" for ".": net__ipv4__tcp_fastopen=1."""
        with self:
            for key, value in values.items():
                with open("/proc/sys/" + key.replace("__", "/"), "w") as f:
                    f.write(str(value))

    def open_socket(self, family=socket.AF_INET, protocol=socket.IPPROTO_TCP, kind=socket.SOCK_STREAM):
        with self:
            s = socket.socket(family, kind, protocol)
        s.settimeout(20)
        return s

    def counters(self):
        with self:
            return kernel.counters()

    def free_port(self, family=socket.AF_INET6):
        """Never the same twice."""
        while True:
            self._next_port += 1
            with self.open_socket(family) as s, contextlib.suppress(OSError):
                s.bind(("", self._next_port))
                return self._next_port

    def listening(self, port):
        """Is a TCP (or MPTCP) socket of this namespace listening on the port?"""
        with self:
            for table in ("tcp", "tcp6"):
                with open(f"/proc/thread-self/net/{table}") as f:
                    for line in f.readlines()[1:]:
                        fields = line.split()
                        if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
                            return True
        return False


class Tools:
    """The C programs of this folder: from $MPCONVERT_TOOLS (a build), or compiled here when they are older than their
    source."""

    SOURCES = {"pathemu": ["pathemu.c", "lane.c", "middlebox.c"], "origin": ["origin.c"]}

    def __init__(self):
        self.folder = os.environ.get("MPCONVERT_TOOLS") or self._writable()

    @staticmethod
    def _writable():
        folder = os.path.join(ROOT, "build", "testtools")
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
        folder = tempfile.mkdtemp(prefix="mpconvert-testtools-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def __getitem__(self, name):
        program = os.path.join(self.folder, name)
        here = os.path.dirname(os.path.abspath(__file__))
        sources = [os.path.join(here, s) for s in self.SOURCES[name]]
        newest = max(os.path.getmtime(s) for s in sources)
        if not os.path.exists(program) or os.path.getmtime(program) < newest:
            new = f"{program}.{os.getpid()}"  # another worker may be at it
            subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-pthread", "-o", new, *sources], check=True)
            os.rename(new, program)
        return program


class Emulator:
    """pathemu, spoken to through its standard input."""

    def __init__(self, ns, program, paths):
        self.process = ns.popen(program, *paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        if json.loads(self.process.stdout.readline() or "{}") != {"ready": True}:
            raise LabError("pathemu did not start")
        with contextlib.suppress(OSError):  # a plain user may not
            os.setpriority(os.PRIO_PROCESS, self.process.pid, -15)

    def _ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise LabError(f"pathemu: {line}: {answer['error']}")
        return answer

    def set(self, path, **settings):
        """path1, or one direction: path1.up (from the client), path1.down."""
        self._ask(f"set {path} " + " ".join(f"{k}={v}" for k, v in settings.items()))

    def cut(self, path):
        self._ask(f"cut {path}")

    def restore(self, path):
        self._ask(f"restore {path}")

    def stats(self):
        return self._ask("stats")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(5)


class Origin:
    """A running test server; events() are the connections that ended so far."""

    def __init__(self, lab, *options, ns=None):
        self.ns = ns or lab.server
        self.port = self.ns.free_port()
        self._log = tempfile.NamedTemporaryFile("a")  # read by a file of its own: the offset would be shared
        self.process = self.ns.popen(lab.tools["origin"], *options, self.port, stdin=subprocess.PIPE, stdout=self._log)
        wait_for(lambda: self.ns.listening(self.port), 5, "the origin server")

    def events(self):
        with open(self._log.name) as f:
            lines = f.read().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith('{"peer"') and line.endswith("\n")]

    def wait_events(self, count, timeout=10):
        wait_for(lambda: len(self.events()) >= count, timeout, f"{count} ended connections at the origin")
        return self.events()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(5)
        self._log.close()


class Capture:
    """dumpcap on one interface from construction to stop(); then query() the file with tshark. (tcpdump insists on changing
    its user and cannot in a user namespace.)"""

    def __init__(self, ns, interface, expression="tcp"):
        handle, self.path = tempfile.mkstemp(suffix=".pcap")
        os.close(handle)
        self.process = ns.popen("dumpcap", "-q", "-i", interface, "-f", expression, "-w", self.path, stderr=subprocess.PIPE)
        said = b""
        while b"File:" not in said:
            line = self.process.stderr.readline()
            said += line
            if not line:
                raise LabError(f"dumpcap did not start: {said.decode()}")

    def stop(self):
        """Idempotent. Waits first until dumpcap has read what was on the wire: it does so every 250 ms."""
        if self.process.poll() is None:
            time.sleep(0.35)
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=10)

    def query(self, display_filter, *fields):
        """[{field: text}] of the frames that match; fields such as "tcp.options.mptcp.subtype", several values by comma."""
        self.stop()
        argv = ["tshark", "-n", "-r", self.path, "-o", "tcp.relative_sequence_numbers:TRUE", "-Y", display_filter,
                "-T", "fields", "-E", "separator=|"]
        for field in fields:
            argv += ["-e", field]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(done.stderr)
        return [dict(zip(fields, line.split("|"))) for line in done.stdout.splitlines()]

    def count(self, display_filter):
        return len(self.query(display_filter, "frame.number"))

    def remove(self):
        self.stop()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class Lab:
    """The topology of the file's head comment; access.py derives another."""

    NAMESPACES, TAG = ("client", "wire", "conc", "server"), ""

    def __init__(self):
        self.tools = Tools()
        _sweep()
        for name in self.NAMESPACES:
            setattr(self, name, Netns(f"{PREFIX}{os.getpid()}-{self.TAG}{name}"))
        self.all = [getattr(self, name) for name in self.NAMESPACES]
        self.emulator = None
        atexit.register(self.close)
        try:
            self._build()
            self.reset()
        except BaseException:
            self.close()
            raise

    def _namespaces(self):
        for ns in self.all:
            subprocess.run(["ip", "netns", "add", ns.name], check=True)
            ns.ip("link set lo up")
            ns.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0,
                      net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__default__router_solicitations=0)
        self.wire.sysctl(net__ipv6__conf__default__disable_ipv6=1)

    def _build(self):
        self._namespaces()
        self._veth(self.client, "c0", self.conc, "k0")
        for i in (1, 2):
            self._emulated(i, self.client, f"c{i}", self.conc, f"k{i}")
        self._veth(self.conc, "s0", self.wire, "wc")
        self._veth(self.wire, "wd", self.server, "t0")
        self._addresses()
        self._routes()
        paths = [f"path{i}:wa{i}:wb{i}" for i in (1, 2)] + ["leg:wc:wd"]
        self.emulator = Emulator(self.wire, self.tools["pathemu"], paths)

    @staticmethod
    def _veth(a, dev_a, b, dev_b):
        a.ip(f"link add {dev_a} type veth peer name {dev_b} netns {b.name}")
        for ns, dev in ((a, dev_a), (b, dev_b)):
            if not dev.startswith("w"):  # pathemu's ends have no use for an address
                ns.ip(f"link set {dev} address {_mac(dev)}")
            ns.ip(f"link set {dev} up")

    def _emulated(self, i, a, dev_a, b, dev_b):
        """What becomes path `i` between a and b. Frames as they would be on a real wire: rate and loss become exact."""
        self._veth(a, dev_a, self.wire, f"wa{i}")
        self._veth(self.wire, f"wb{i}", b, dev_b)
        for ns, dev in ((a, dev_a), (b, dev_b), (self.wire, f"wa{i}"), (self.wire, f"wb{i}")):
            ns.ip(f"link set {dev} gso_max_segs 1")

    def _addresses(self):
        for i in range(3):
            self._pair(self.client, f"c{i}", CLIENT[i], CLIENT6[i], self.conc, f"k{i}", CONC_LINK[i], CONC_LINK6[i], 26)
        self._pair(self.conc, "s0", CONC_OUT, CONC_OUT6, self.server, "t0", SERVER, SERVER6, 24)
        self.conc.ip(f"addr add {CONC}/32 dev lo", f"addr add {CONC6}/128 dev lo nodad")
        self.server.ip(f"addr add {SERVER_DNS}/24 dev t0")

    @staticmethod
    def _pair(a, dev_a, ip_a, ip6_a, b, dev_b, ip_b, ip6_b, bits):
        """Permanent neighbours: the first packet of a test is as fast as the second."""
        for ns, dev, ip, ip6, far, far_ip, far_ip6 in ((a, dev_a, ip_a, ip6_a, dev_b, ip_b, ip6_b),
                                                       (b, dev_b, ip_b, ip6_b, dev_a, ip_a, ip6_a)):
            ns.ip(f"addr add {ip}/{bits} dev {dev}", f"addr add {ip6}/64 dev {dev} nodad",
                  f"neigh add {far_ip} lladdr {_mac(far)} dev {dev} nud permanent",
                  f"neigh add {far_ip6} lladdr {_mac(far)} dev {dev} nud permanent")

    def _routes(self):
        for i in range(3):
            self.client.ip(f"route add default via {CONC_LINK[i]} dev c{i} table {100 + i}",
                           f"rule add from {CLIENT[i]} table {100 + i}")
            self.client.ip(f"route add default via {CONC_LINK6[i]} dev c{i} table {100 + i}",
                           f"rule add from {CLIENT6[i]} table {100 + i}", family="-6")
        self.client.ip(f"route add default via {CONC_LINK[1]} dev c1")
        self.client.ip(f"route add default via {CONC_LINK6[1]} dev c1", family="-6")
        self.server.ip(f"route add default via {CONC_OUT} dev t0")
        for ns in (self.client, self.conc, self.server):
            ns.ip("mptcp limits set subflows 4 add_addr_accepted 4")

    def reset(self):
        """Back to the state a test may rely on."""
        for i in (1, 2):
            self.emulator.set(f"path{i}", **PATH_DEFAULTS)
        self.emulator.set("leg", **LEG_DEFAULTS)
        for ns in (self.client, self.conc, self.server):
            ns.ip("mptcp endpoint flush")
            ns.run("nft", "flush", "ruleset")
            # Tests lose SYNs on purpose: the kernel must not stop using MPTCP because of that (blackhole detection).
            ns.sysctl(net__mptcp__blackhole_timeout=0, net__mptcp__enabled=1, net__mptcp__allow_join_initial_addr_port=1,
                      net__ipv4__tcp_fastopen=0x607)

    def use_both_paths(self):
        """From now on the client joins over its second path."""
        self.client.ip(f"mptcp endpoint add {CLIENT[2]} dev c2 subflow", f"mptcp endpoint add {CLIENT6[2]} dev c2 subflow")

    def close(self):
        """Idempotent; also runs at exit."""
        if self.emulator is not None:
            with contextlib.suppress(Exception):
                self.emulator.stop()
            self.emulator = None
        for ns in self.all:
            _remove(ns.name)
        atexit.unregister(self.close)


def _remove(name):
    if not os.path.exists(f"/run/netns/{name}"):
        return
    pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout.split()
    for pid in pids:
        with contextlib.suppress(OSError):
            if int(pid) != os.getpid():
                os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _sweep():
    """Removes what runs left behind that did not get to clean up."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/run/netns"):
            owner = re.fullmatch(PREFIX + r"(\d+)-\w+", name)
            if owner and not os.path.exists(f"/proc/{owner[1]}"):
                _remove(name)
