#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The benchmark: our daemon beside Debian's proxies, in alternating rounds, per CPU-second of the proxy. See README.md.

Run it through run.sh, which makes the network name space it expects."""
import argparse
import json
import os
import platform
import statistics
import sys
import time

import criteria
import load
import peers

FIELD = ["ours", "microsocks", "dante", "haproxy", "haproxy-splice", "nginx", "ideal"]
BULK = [("down1", "down", 1), ("up1", "up", 1), ("down32", "down", 32), ("up32", "up", 32)]


def per_cpu(r, key, unit):
    if r["cpu"] <= 0:
        raise load.Void("no CPU time seen")
    return r[key] / r["cpu"] / unit


def row_rate(bed, peer, seconds):
    r = load.measure(bed, peer, "rate", 64, seconds)
    return {"kconn/cpu-s": per_cpu(r, "ops", 1e3), "p50 ms": r["p50_us"] / 1e3, "p99 ms": r["p99_us"] / 1e3}


def row_bulk(bed, peer, seconds):
    return {f"{name} GB/cpu-s": per_cpu(load.measure(bed, peer, mode, flows, seconds), "octets", 1e9) for name, mode, flows in BULK}


def row_mptcp(bed, peer, seconds):
    out = {}
    for name, mode, flows in BULK:
        r = load.measure(bed, peer, mode, flows, seconds, mptcp=True)
        out[f"{name} GB/cpu-s"] = per_cpu(r, "octets", 1e9)
        out[f"{name} GB/s"] = r["octets"] / r["seconds"] / 1e9
    return out


def row_mptcp_small(bed, peer, seconds):
    out = {"kconn/cpu-s": per_cpu(load.measure(bed, peer, "rate", 64, seconds, mptcp=True), "ops", 1e3)}
    out["kop/cpu-s"] = per_cpu(load.measure(bed, peer, "pingpong", 64, seconds, mptcp=True), "ops", 1e3)
    return out


def row_pingpong(bed, peer, seconds):
    r = load.measure(bed, peer, "pingpong", 64, seconds)
    return {"kop/cpu-s": per_cpu(r, "ops", 1e3), "p50 us": r["p50_us"], "p99 us": r["p99_us"]}


def row_mixed(bed, peer, seconds):
    r = load.measure_mixed(bed, peer, seconds)
    return {"p50 us": r["p50_us"], "p99 us": r["p99_us"], "bulk GB/s": r["bulk_octets"] / r["bulk_seconds"] / 1e9}


# row -> (what it is, peers, function of one round)
ROWS = {
    "rate": ("SOCKS5 CONNECT + 1 octet echo + close, 64 at a time (bare relays: without SOCKS5)", [*FIELD, "ideal-socks"], row_rate),
    "bulk": ("bulk, TCP client leg", FIELD, row_bulk),
    "mptcp": ("bulk, MPTCP client leg", ["ours", "ideal-mptcp"], row_mptcp),
    "mptcp_small": ("connections and ping-pong, MPTCP client leg", ["ours", "ideal-mptcp"], row_mptcp_small),
    "pingpong": ("ping-pong of 100 octets, 64 connections", FIELD, row_pingpong),
    "mixed": ("ping-pong of 100 octets while 4 downloads run on the same worker", ["ours", "haproxy", "haproxy-splice", "nginx"], row_mixed),
}
SPECIAL = ["idle", "syscalls", "limit", "ttfo"]
ON_REQUEST = ["traps"]
IDLE_SESSIONS = {"dante": 500}  # 400 KiB and a slice of a process each: a tenth of the others' number shows it


class Bench:
    def __init__(self, args):
        self.args = args
        self.bed = load.Bed(args.programs, args.proxy_core, args.load_core, args.nice, not args.no_realtime)
        self.peers = peers.everyone(args.programs, args.daemon)
        self.rows, self.void, self.notes = {}, [], []

    def log(self, text):
        if not self.args.silent:
            print(f"# {text}", file=sys.stderr, flush=True)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def put(self, row, peer, values, turn=0):
        """A list per metric, by round; a void round stays None."""
        for metric, value in values.items():
            slot = self.rows.setdefault(row, {}).setdefault(peer, {}).setdefault(metric, [])
            slot += [None] * (turn + 1 - len(slot))
            slot[turn] = value

    def chosen(self, names):
        wanted = self.args.peers.split(",") if self.args.peers else names
        out = []
        for n in names:
            if n not in wanted or n not in self.peers:
                continue
            if self.peers[n].available():
                out.append(self.peers[n])
            else:
                self.note(f"{n}: not installed")
        return out

    def guarded(self, row, peer, what, turn=0):
        try:
            self.put(row, peer.name, what(), turn)
        except (load.Void, RuntimeError, ValueError) as e:
            self.void.append({"row": row, "peer": peer.name, "why": str(e)})
            self.log(f"void: {row} {peer.name}: {e}")

    def alternating(self, row):
        title, names, one_round = ROWS[row]
        self.log(f"{row}: {title}")
        field = []
        try:
            for peer in self.chosen(names):
                try:
                    self.bed.start_peer(peer)
                    field.append(peer)
                except RuntimeError as e:
                    self.void.append({"row": row, "peer": peer.name, "why": str(e)})
                    self.log(str(e))
            for peer in field:  # code pages, pools and caches are not what is compared
                try:
                    one_round(self.bed, peer, 0.1)
                except load.Void:
                    pass
            for n in range(self.args.rounds):
                for peer in field if n % 2 == 0 else reversed(field):
                    self.guarded(row, peer, lambda p=peer: one_round(self.bed, p, self.args.seconds), n)
        finally:
            for peer in field:
                peer.stop()

    def alone(self, row, names, what, **start):
        for peer in self.chosen(names):
            try:
                self.bed.start_peer(peer, **start)
            except RuntimeError as e:
                self.void.append({"row": row, "peer": peer.name, "why": str(e)})
                continue
            try:
                self.guarded(row, peer, lambda p=peer: what(p))
            finally:
                peer.stop()

    def idle(self):
        def what(peer):
            sessions = min(self.args.sessions, IDLE_SESSIONS.get(peer.name, self.args.sessions))
            r = load.measure_idle(self.bed, peer, sessions)
            return {"KiB/session": r["octets"] / 1024, "fds/session": r["fds"], "idle CPU %": 100 * r["idle_cpu"], "sessions": sessions}

        self.log(f"idle: {self.args.sessions} sessions")
        self.alone("idle", FIELD, what)
        if "ours" in self.peers and "idle_mptcp" not in self.args.without:
            self.alone("idle_mptcp", ["ours", "ideal-mptcp"], lambda p: {
                "KiB/session": load.measure_idle(self.bed, p, self.args.sessions, mptcp=True)["octets"] / 1024})

    def syscalls(self):
        def what(peer):
            one = load.count_syscalls(self.bed, peer, "rate", 1, self.args.seconds)
            many = load.count_syscalls(self.bed, peer, "rate", 64, self.args.seconds)
            op = load.count_syscalls(self.bed, peer, "pingpong", 1, self.args.seconds)
            names = sorted((k for k in one if k != "total"), key=lambda k: -one[k])
            self.note(f"{peer.name}: calls per session, one at a time: " + ", ".join(f"{k} {one[k]:.2f}" for k in names if one[k] >= 0.01))
            return {"per session, 1 at a time": one["total"], "per session, 64 at a time": many["total"], "per ping-pong": op["total"]}

        self.log("syscalls: strace -c -f")
        self.alone("syscalls", ["ours", "nginx", "microsocks", "haproxy", "haproxy-splice"], what)

    def limit(self):
        import limit
        self.log("limit: 150 clients at nofile=120")
        self.alone("limit", ["ours", "nginx", "microsocks"], lambda p: limit.measure(p, self.args.seconds * 2), nofile=120)

    def ttfo(self):
        import latency
        if not self.args.daemon:
            return
        self.log("ttfo: time to the first octet, 50 ms between client and proxy")
        try:
            for name, values in latency.measure(self.args).items():
                for turn, v in enumerate(values):
                    self.put("ttfo", name, {"ms": v}, turn)
        except latency.FAILURES as e:
            self.void.append({"row": "ttfo", "peer": "ours", "why": str(e)})
            self.log(f"void: ttfo: {e}")

    def traps(self):
        import latency
        import traps
        if not self.args.daemon:
            return
        self.log("traps: the switches of MPTCP cures, on and off")
        try:
            for (figure, variant), values in traps.measure(self.bed, self.args).items():
                for turn, v in enumerate(values):
                    self.put("traps", variant, {figure: v}, turn)
        except (load.Void, *latency.FAILURES) as e:
            self.void.append({"row": "traps", "peer": "ours", "why": str(e)})
            self.log(f"void: traps: {e}")

    def run(self):
        self.bed.start_origins()
        try:
            for row in self.args.rows:
                (getattr(self, row) if row not in ROWS else lambda r=row: self.alternating(r))()
        finally:
            self.bed.close(keep=self.args.keep)


def table(rows):
    lines = []
    for row, field in rows.items():
        lines.append(f"\n{row}: {ROWS[row][0] if row in ROWS else criteria.TITLES.get(row, '')}")
        metrics = list(dict.fromkeys(m for values in field.values() for m in values))
        for metric in metrics:
            reference = field.get("ours", {}).get(metric)
            lines.append(f"  {metric}")
            for peer, values in field.items():
                if metric not in values:
                    continue
                v = [x for x in values[metric] if x is not None]
                mid = statistics.median(v)
                share = criteria.ratio(reference, values[metric]) if peer != "ours" else None
                ratio = f"  ours/this {share:6.2f}" if share is not None else ""
                spread = f"  [{min(v):.2f} .. {max(v):.2f}] n={len(v)}" if len(v) > 1 else ""
                lines.append(f"    {peer:<18}{mid:10.2f}{spread:<32}{ratio}")
    return "\n".join(lines)


def conditions(args):
    def read(path):
        try:
            with open(path, encoding="ascii") as f:
                return f.read().strip()
        except OSError:
            return "?"

    return {
        "kernel": platform.release(), "cpus": os.cpu_count(), "proxy_core": args.proxy_core, "load_core": args.load_core,
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"), "rounds": args.rounds, "seconds": args.seconds,
        "rmem_max": read("/proc/sys/net/core/rmem_max"), "load_average": read("/proc/loadavg"), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", required=True, help="build directory: programs in tests/bench and tests/support")
    p.add_argument("--programs", help="directory with loadgen, bench_origin and ideal_relay, when not BUILD/tests/bench")
    p.add_argument("--daemon", help="mpconvertd; without it only the others are measured")
    p.add_argument("--json", help="where the figures go")
    p.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    p.add_argument("--seconds", type=float, help="length of one measurement: 1, or 0.3 with --quick")
    p.add_argument("--sessions", type=int, help="of the row idle: 5000, or 500 with --quick")
    p.add_argument("--rows", default=",".join([*ROWS, *SPECIAL]), help="of: %(default)s,traps")
    p.add_argument("--without", default="", help="rows to leave out")
    p.add_argument("--peers", help="measure only these")
    p.add_argument("--quick", action="store_true", help="2 rounds of 0.3 s, 500 sessions: does everything work?")
    p.add_argument("--proxy-core", type=int, default=0)
    p.add_argument("--load-core", type=int, default=1)
    p.add_argument("--nice", type=int, default=0, help="of everything measured; below 0 it outranks ksoftirqd and latencies grow")
    p.add_argument("--no-realtime", action="store_true", help="the latency probe gets no priority over the bulk generator")
    p.add_argument("--keep", action="store_true", help="leave the proxies' configurations and logs (a directory bench-* where temporary files go)")
    p.add_argument("--silent", action="store_true", help="no progress on stderr")
    args = p.parse_args()
    args.daemon = args.daemon and os.path.abspath(args.daemon)
    args.programs = args.programs or os.path.join(args.build, "tests", "bench")
    for name, full, quick in (("rounds", 5, 2), ("seconds", 1.0, 0.3), ("sessions", 5000, 500)):
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else full)
    args.rows = [r for r in args.rows.split(",") if r not in args.without.split(",")]
    for r in args.rows:
        if r not in [*ROWS, *SPECIAL, *ON_REQUEST]:
            p.error(f"no such row: {r}")
    return args


def main():
    args = parse_args()
    bench = Bench(args)
    bench.run()
    checks = criteria.judge(bench.rows, bench.void)
    print(table(bench.rows))
    print("\n" + criteria.text(checks))
    for note in bench.notes:
        print(f"note: {note}")
    for v in bench.void:
        print(f"void: {v['row']} {v['peer']}: {v['why']}")
    if args.json:
        os.makedirs(os.path.dirname(os.path.abspath(args.json)), exist_ok=True)
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"conditions": conditions(args), "rows": bench.rows, "checks": checks, "void": bench.void, "notes": bench.notes}, f, indent=1)
            f.write("\n")
    return 1 if any(c["pass"] is False for c in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
