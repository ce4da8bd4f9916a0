# SPDX-License-Identifier: MIT
"""What the labs share: machines (network namespaces) with links between them, daemons started by the scripts of conf/examples, a web
server, and telling what happens. The namespaces, the emulator of paths and its tools are those of tests/support/netlab.py."""
import argparse
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import netlab  # noqa: E402
from support.proxy import REPORTS  # noqa: E402

EXAMPLES = os.path.join(netlab.ROOT, "conf", "examples")
SERVER, SERVER6 = "203.0.113.10", "2001:db8:0:5::10"
TOOLS = ("ip", "nft", "nsenter", "ss", "curl", "gnuplot", "mptcpize")


class Failed(Exception):
    """A lab that cannot go on."""


class Lab:
    """Machines and links; also the story: step(), say(), show() and check(). A context manager."""

    def __init__(self, options):
        self.quick, self.out = options.quick, options.out
        self.folder = tempfile.mkdtemp(prefix="mpconvert-lab-")
        self.tools = netlab.Tools()
        self.machines, self._paths, self.emulator = {}, [], None
        self._stack, self._steps, self._failed, self._joins = contextlib.ExitStack(), 0, [], {}
        self._wire = self.machine("wire")
        self._wire.sysctl(net__ipv6__conf__default__disable_ipv6=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()
        if self.emulator is not None:
            self.emulator.stop()
        for ns in self.machines.values():
            netlab._remove(ns.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- the network

    def machine(self, name, forwards=False):
        ns = netlab.Netns(f"{netlab.PREFIX}{os.getpid()}-{name}")
        subprocess.run(["ip", "netns", "add", ns.name], check=True)
        ns.ip("link set lo up")
        ns.label = name
        ns.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0,
                  net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__default__router_solicitations=0,
                  net__ipv4__ip_forward=int(forwards), net__ipv6__conf__all__forwarding=int(forwards))
        self.machines[name] = ns
        return ns

    def link(self, a, dev_a, addresses_a, b, dev_b, addresses_b):
        """A plain pair. Addresses with their prefix length, several with a comma between."""
        a.ip(f"link add {dev_a} type veth peer name {dev_b} netns {b.name}")
        for ns, dev, addresses in ((a, dev_a, addresses_a), (b, dev_b, addresses_b)):
            self._address(ns, dev, addresses)

    def path(self, name, a, dev_a, addresses_a, b, dev_b, addresses_b):
        """The same over the emulator, by name; start_paths() starts it."""
        for ns, dev, addresses, far in ((a, dev_a, addresses_a, f"{name}-a"), (b, dev_b, addresses_b, f"{name}-b")):
            ns.ip(f"link add {dev} type veth peer name {far} netns {self._wire.name}")
            self._address(ns, dev, addresses)
            self._wire.ip(f"link set {far} up", f"link set {far} gso_max_segs 1")
            ns.ip(f"link set {dev} gso_max_segs 1")  # frames as on a real wire: rates become exact
        self._paths.append(f"{name}:{name}-a:{name}-b")

    @staticmethod
    def _address(ns, dev, addresses):
        ns.ip(f"link set {dev} up", *(f"addr add {a} dev {dev}" + (" nodad" if ":" in a else "") for a in addresses.split(",")))

    @staticmethod
    def default_route(ns, *gateways):
        for gateway in gateways:
            ns.ip(f"route add default via {gateway}", family="-6" if ":" in gateway else "-4")

    def start_paths(self, **settings):
        self.emulator = netlab.Emulator(self._wire, self.tools["pathemu"], self._paths)
        for name in (p.split(":")[0] for p in self._paths):
            self.emulator.set(name, **{**netlab.PATH_DEFAULTS, **settings})

    # --- what runs in it

    def daemon(self, ns, script, config=None):
        """conf/examples/SCRIPT start, until the end or stop(). `config`, as seen from the script, is another than the script's."""
        d = Daemon(self, ns, script, config)
        self._stack.callback(d.stop)
        return d

    def web_server(self, ns, octets, mptcp=False, port=80):
        """A web server with a file of so many octets, /file."""
        w = WebServer(self, ns, octets, mptcp, port)
        self._stack.callback(w.stop)
        return w

    def later(self, what, *args):
        self._stack.callback(what, *args)

    # --- the story

    def step(self, text):
        self._steps += 1
        print(f"\n{self._steps}. {text}", flush=True)

    @staticmethod
    def say(text):
        if text:
            print("\n".join("   " + line for line in text.splitlines()), flush=True)

    def show(self, ns, *command, check=True, words=None):
        """Prints a command, the machine it runs on, and what it says; the latter is returned. Of lines that begin with a blank only
        the words that match `words`, where that is given."""
        done = ns.run(*command, check=check, text=True)
        said = done.stdout + done.stderr
        if words:
            said = re.sub(r"^[ \t]+.*$", lambda line: "     " + " ".join(re.findall(words, line[0])) + " ...", said, flags=re.M)
        self.quote(ns, " ".join(command), said)
        return done.stdout

    def run(self, ns, argv, shown):
        """As show(), where the command is better shown shorter than it is."""
        done = ns.run(*argv, check=False, text=True)
        self.quote(ns, shown, done.stdout + done.stderr)
        return done.stdout

    def subflows(self, ns, *which):
        """Shows the Multipath TCP connections of a machine and their subflows."""
        self.show(ns, "ss", "-Mtin", "state", "established", *which,
                  words=r"\b(?:rtt|cwnd|bytes_sent|bytes_acked|bytes_received|delivery_rate|subflows|subflows_total|token)[: ]\S+")

    def counter(self, ns, name):
        """Packets that one of the rules' counters has seen."""
        command = ("nft", "list", "counter", "inet", "mpconvert_transparent", name)
        found = re.search(r"packets (\d+).*", ns.run(*command, text=True).stdout)
        self.quote(ns, " ".join(command), found[0])
        return int(found[1])

    def forget_joins(self, ns):
        """joined() waits for later ones."""
        self._joins[ns] = ns.counters()["MPTcpExtMPJoinSynAckRx"]

    def joined(self, ns, claim, *which):
        """Waits until a connection that the machine opened has got a further subflow, by the kernel's count, and shows what it has."""
        netlab.wait_for(lambda: ns.counters()["MPTcpExtMPJoinSynAckRx"] > self._joins.get(ns, 0), 20, "a further subflow")
        self.forget_joins(ns)
        self.subflows(ns, *which)
        self.check(True, claim)

    def quote(self, ns, command, said):
        self.say(f"{ns.label}# {command}")
        self.say("\n".join("| " + line.rstrip().expandtabs(4) for line in said.splitlines()))

    def check(self, good, claim):
        print(f"   {'ok' if good else 'WRONG'}: {claim}", flush=True)
        if not good:
            self._failed.append(claim)

    def verdict(self):
        """The exit status."""
        if self._failed:
            print(f"\nNOT AS IT SHOULD BE: {'; '.join(self._failed)}")
        else:
            print("\nEverything as it should be.")
        return 1 if self._failed else 0


class Daemon:
    """An example's script, and mpconvertd that it becomes."""

    STATS_PORT = 9180

    def __init__(self, lab, ns, script, config):
        self.lab, self.ns, self.script = lab, ns, os.path.join(EXAMPLES, script)
        self.environment = {**os.environ, "DAEMON": os.environ["MPCONVERTD"]}
        if config:
            self.environment["CONFIG"] = os.path.join(os.path.dirname(self.script), config)
        self._log = os.path.join(lab.folder, f"{ns.label}.log")
        lab.say(f"{ns.label}# " + (f"CONFIG={config} " if config else "") + f"conf/examples/{script} start")
        with open(self._log, "a") as log:
            self.process = ns.popen(self.script, "start", start_new_session=True, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT, env=self.environment)
        netlab.wait_for(lambda: self.process.poll() is not None or self._answers(), 20, f"{script} to start")
        if self.process.poll() is not None:
            raise Failed(f"{script} ended at once:\n{self.log()}")

    def _answers(self):
        return self.ns.listening(self.STATS_PORT) and self.get("/healthz") is not None

    def log(self):
        with open(self._log, errors="replace") as f:
            return f.read()

    def get(self, path):
        """A document of the statistics endpoint."""
        connection = http.client.HTTPConnection("127.0.0.1", self.STATS_PORT, timeout=5)
        with self.ns:
            connection.connect()
        connection.request("GET", path)
        answer = connection.getresponse().read()
        connection.close()
        return answer if path == "/healthz" else json.loads(answer)

    def stats(self):
        return self.get("/v1/stats")

    def sessions(self):
        return self.get("/v1/sessions")["sessions"]

    def rules_off(self):
        """The script's stop: the emergency off."""
        self.lab.say(f"{self.ns.label}# conf/examples/{os.path.relpath(self.script, EXAMPLES)} stop")
        self.ns.run(self.script, "stop", env=self.environment)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In order; a status other than 0, or a sanitizer's report, is an error."""
        if self.process.returncode is not None:
            return
        for _ in range(2):  # the second ends it at once
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
                break
        status = self.process.wait(15)
        if status != 0 or REPORTS.search(self.log()):
            raise Failed(f"{self.script}: status {status}\n{self.log()[-4000:]}")


def setup(lab, ns, script):
    """conf/examples/SCRIPT setup, for a machine without a daemon."""
    lab.say(f"{ns.label}# conf/examples/{script} setup")
    ns.run(os.path.join(EXAMPLES, script), "setup")


class WebServer:
    """python's http.server, over TCP or (mptcpize) Multipath TCP."""

    def __init__(self, lab, ns, octets, mptcp, port):
        root = os.path.join(lab.folder, f"www-{ns.label}-{port}")
        os.makedirs(root)
        data = os.urandom(octets)
        with open(os.path.join(root, "file"), "wb") as f:
            f.write(data)
        self.octets, self.hash = octets, hashlib.sha256(data).hexdigest()
        self._log = open(os.path.join(lab.folder, f"www-{ns.label}-{port}.log"), "w")
        argv = ["/usr/bin/python3", "-m", "http.server", "--bind", "::", "--directory", root, str(port)]
        self.process = ns.popen(*(["mptcpize", "run"] if mptcp else []), *argv, start_new_session=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=self._log)
        netlab.wait_for(lambda: ns.listening(port), 20, "the web server")

    def seen(self):
        """The addresses that asked, in order."""
        with open(self._log.name) as f:
            return [a.removeprefix("::ffff:") for a in re.findall(r"^(\S+) - - .*\"GET", f.read(), re.M)]

    def stop(self):
        self.process.kill()
        self.process.wait()


class Download:
    """curl on a machine, in the background; sha256 and seconds at the end."""

    def __init__(self, lab, ns, url, *options, prefix=(), env=None):
        self.lab, self.begin, self.seconds, self.hash, self.got = lab, time.monotonic(), None, None, 0
        shown = [os.path.basename(p) if os.path.isabs(p) else p for p in prefix]
        lab.say(f"{ns.label}# {' '.join([*shown, 'curl', *options, url])} | sha256sum")
        self.process = ns.popen(*prefix, "curl", "-sS", "--max-time", "60", *options, url, start_new_session=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        digest = hashlib.sha256()
        while chunk := os.read(self.process.stdout.fileno(), 1 << 16):
            digest.update(chunk)
            self.got += len(chunk)
        self.seconds, self.hash = time.monotonic() - self.begin, digest.hexdigest()

    def wait(self):
        self._thread.join(70)
        self.status = self.process.wait(5)
        return self

    @property
    def mbit(self):
        return self.got * 8 / self.seconds / 1e6


def main(title, lab):
    """Runs lab(Lab) with the command line's options; the exit status says whether all was as it should be."""
    p = argparse.ArgumentParser(prog="run.sh", description=title)
    p.add_argument("--quick", action="store_true", help="small, for a test: the figures have no weight")
    p.add_argument("--out", metavar="FOLDER", help="where plots go (default: a new temporary folder)")
    options = p.parse_args()
    missing = [t for t in TOOLS if shutil.which(t) is None]
    if missing or not os.path.exists("/proc/sys/net/mptcp/enabled"):
        sys.exit(f"not here: {' '.join(missing)}" if missing else "this kernel has no Multipath TCP")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(title)
    try:
        with Lab(options) as made:
            lab(made)
            status = made.verdict()
    except KeyboardInterrupt:
        print("\nstopped; everything is cleaned up", file=sys.stderr)
        status = 130
    except (Failed, netlab.LabError) as e:
        print(f"\nthe lab failed: {e}", file=sys.stderr)
        status = 1
    sys.exit(status)
