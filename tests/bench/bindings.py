#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the bindings of a CPE cost, beside those of a concentrator alone: the same load over the same wires, in turn

    concentrator   clients that know it (SOCKS5), with Multipath TCP; the CPE only forwards
    tcp            the same with TCP
    dual-ended     clients that know nothing: the CPE diverts (TPROXY) and asks the concentrator (MP_CONVERT in the SYN)
    single-ended   the same; the CPE connects to targets itself

in the network of tests/support/access.py, its links without limits. Figures are user and system time of the daemon's threads (kernel
threads and interrupts are nobody's) and its resident memory. Run it through bindings.sh."""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import procs  # noqa: E402
from support import access, netlab  # noqa: E402
from support.proxy import Proxy  # noqa: E402

ORIGIN, DIVERTED, SETTLE = 7000, 9002, 0.05
EVERYBODY = ["192.0.2.0/24", "198.51.100.0/24", "127.0.0.0/8"]
LIMITS = {"sessions": 20000, "sessions_per_source": 20000, "connects_per_source": 20000}
KINDS = ("concentrator", "tcp", "dual-ended", "single-ended")
RATE, DOWN, UP = "us/connection", "ms/MB down", "ms/MB up"
MOST = 1.5  # times what it is compared with: the one whose legs are the same. What is down for the CPE is up for the concentrator.
PAIRS = [("dual-ended", RATE, "concentrator", RATE), ("dual-ended", DOWN, "concentrator", UP), ("dual-ended", UP, "concentrator", DOWN),
         ("single-ended", RATE, "tcp", RATE), ("single-ended", DOWN, "tcp", DOWN), ("single-ended", UP, "tcp", UP)]
MEMORY_KIB, FDS = 1.0, 2.0  # as of the concentrator's row "idle"


class Load:
    """loadgen on the host."""

    def __init__(self, bench, mode, flows, seconds, kind):
        socks = kind in ("concentrator", "tcp")
        target = f"{netlab.SERVER}:{ORIGIN}"
        to = f"{netlab.CONC}:{bench.far.port}" if socks else f"{netlab.SERVER}:{ORIGIN + {'down': 2, 'up': 1}.get(mode, 0)}"
        argv = [os.path.join(bench.args.build, "tests", "bench", "loadgen"), mode, to, target, "-n", flows, "-t", seconds]
        argv += ["-s"] if socks else []
        argv += ["-m", "-r", 4 << 20] if kind == "concentrator" else []
        self.process = bench.net.host.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{mode}: loadgen does not get ready")

    def run(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        result = json.loads(self.process.stdout.readline())
        if result["failures"]:
            raise RuntimeError(f"{result['failures']} failures: {result['why']}")
        return result

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


class Bench:
    def __init__(self, args):
        self.args, self.net, self.values = args, access.Access(), {}
        for i in (1, 2):
            self.net.emulator.set(f"path{i}", delay=0, rate=0, queue=4096)
            for ns, dev in ((self.net.cpe, "u"), (self.net.router, "r"), (self.net.wire, "wa"), (self.net.wire, "wb")):
                ns.ip(f"link set {dev}{i} gso_max_segs 65535")  # frames as long as on the other wires
        if args.paths == 2:
            self.net.use_both_paths()
        for ns in self.net.machines:
            ns.sysctl(net__ipv4__tcp_congestion_control="reno", net__ipv4__ip_local_port_range="10000 65000")
        program = os.path.join(args.build, "tests", "bench", "bench_origin")
        self.origin = self.net.server.popen(program, f"{netlab.SERVER}:{ORIGIN}", stdout=subprocess.PIPE)
        self.origin.stdout.readline()

    def daemon(self, ns, **changes):
        clients = {"allow": EVERYBODY, "trusted": EVERYBODY}
        common = {"workers": 1, "limits": LIMITS, "clients": clients, "log": {"level": "warning"}, **changes}
        listeners = [{"name": "lan", "address": f"127.0.0.1:{DIVERTED}", "transparent": True, "via": "via" in changes}]
        return Proxy(self.net, self.args.daemon, common, ns=ns, more_listeners=listeners if ns is self.net.cpe else ())

    @contextlib.contextmanager
    def scene(self, kind):
        """The daemons of that kind; the first is the one that is measured."""
        self.far = self.daemon(self.net.conc)
        near = None
        if kind == "dual-ended":
            asked = [{"address": f"{netlab.CONC}:{self.far.port}", "dialect": "mp_convert"}]
            near = self.daemon(self.net.cpe, via={"concentrators": asked})
        elif kind == "single-ended":
            near = self.daemon(self.net.cpe)
        if near:
            self.net.divert(DIVERTED)
        try:
            yield [near, self.far] if kind == "dual-ended" else [near or self.far]
        finally:
            self.net.cpe.run("nft", "flush", "ruleset")
            for p in filter(None, (near, self.far)):
                p.stop()
                p.remove()

    def note(self, kind, what, value):
        self.values.setdefault(what, {}).setdefault(kind, []).append(value)

    def measure(self, kind):
        with self.scene(kind) as both:
            warm = Load(self, "rate", 64, 0.3, kind)
            warm.run()
            warm.end()
            for mode, what, unit in (("rate", RATE, 1e6), ("down", DOWN, 1e3), ("up", UP, 1e3)):
                load = Load(self, mode, 64 if mode == "rate" else 8, self.args.seconds, kind)
                time.sleep(SETTLE)
                before = [procs.cpu_seconds(d.process.pid) for d in both]
                result = load.run()
                time.sleep(SETTLE)
                per = result["ops"] if mode == "rate" else result["octets"] / 1e6
                for d, start in zip(both, before):
                    used = procs.cpu_seconds(d.process.pid) - start
                    self.note(kind if d is both[0] else "its concentrator", what, used * unit / per)
                load.end()
            self.idle(kind, both)

    def idle(self, kind, both):
        start = [procs.memory(d.process.pid) for d in both]
        load = Load(self, "idle", self.args.sessions, 1, kind)
        load.run()
        for d, (memory, fds) in zip(both, start):
            now, now_fds = procs.memory(d.process.pid)
            name = kind if d is both[0] else "its concentrator"
            self.note(name, "KiB/binding", (now - memory) / 1024 / self.args.sessions)
            self.note(name, "fds/binding", (now_fds - fds) / self.args.sessions)
            self.note(name, "bindings", d.stats()["sessions"]["current"])
        load.end()

    def report(self):
        columns = [*KINDS, "its concentrator"]
        print(f"{'':16}" + "".join(f"{c:>18}" for c in columns))
        middle = {what: {kind: statistics.median(v) for kind, v in by.items()} for what, by in self.values.items()}
        for what, by in middle.items():
            print(f"{what:16}" + "".join(f"{by[c]:18.2f}" if c in by else f"{'':18}" for c in columns))
        missed = []
        for kind, what, other, its in PAIRS:
            ratio = middle[what][kind] / middle[its][other]
            print(f"{kind}, {what}: {ratio:.2f} times {other}, {its}")
            missed += [f"{kind}, {what}: more than {MOST} times"] if ratio > MOST else []
        for what, most in (("KiB/binding", MEMORY_KIB), ("fds/binding", FDS)):
            missed += [f"{kind}: {value:.2f} {what}, {most} allowed" for kind, value in middle[what].items() if value > most + 0.005]
        print("\n".join(missed) if missed else "all criteria met")
        if self.args.json:
            with open(self.args.json, "w") as f:
                json.dump(self.values, f, indent=1)
        return 1 if missed else 0

    def close(self):
        self.origin.kill()
        self.net.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", required=True)
    p.add_argument("--daemon")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--sessions", type=int, default=9000, help="bindings of the idle row, two descriptors each")
    p.add_argument("--paths", type=int, choices=(1, 2), default=1)
    p.add_argument("--json")
    args = p.parse_args()
    args.daemon = args.daemon or os.path.join(args.build, "server", "mpconvertd")
    bench = Bench(args)
    try:
        for n in range(args.rounds):
            for kind in KINDS if n % 2 == 0 else reversed(KINDS):
                bench.measure(kind)
        return bench.report()
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
