# SPDX-License-Identifier: MIT
"""Runs loadgen against a peer and relates what it did to the CPU time the peer used for it."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import peers
import procs

SETTLE = 0.03  # seconds of quiet before a clock is read: closes and last acknowledgements belong to the run
RCVBUF = 4 << 20  # of MPTCP clients: with less, the kernel's waits for window updates would be measured, not the proxy


class Void(Exception):
    """A measurement that must not count: something was lost, altered or refused."""


class Bed:
    """Cores, programs and the origins."""

    def __init__(self, programs, proxy_core, load_core, nice, realtime):
        self.programs, self.proxy_core, self.load_core, self.nice, self.realtime = programs, proxy_core, load_core, nice, realtime
        self.workdir = tempfile.mkdtemp(prefix="bench-")
        self.origins = []

    def program(self, name):
        return os.path.join(self.programs, name)

    def start_origins(self):
        for base, realtime in ((peers.ORIGIN, False), (peers.PROBE, self.realtime)):
            p = procs.start([self.program("bench_origin"), f"{peers.HOST}:{base}"], core=self.load_core, nice=self.nice, realtime=realtime,
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            self.origins.append(p)
            if p.stdout.readline() != b"ready\n":
                raise RuntimeError("bench_origin does not start")

    def close(self, keep=False):
        for p in self.origins:
            procs.stop(p)
        self.origins = []
        if not keep:
            shutil.rmtree(self.workdir, ignore_errors=True)

    def start_peer(self, peer, **kwargs):
        peer.start(self.workdir, self.proxy_core, nice=self.nice, **kwargs)


class Load:
    """One loadgen: set up on construction, `go`, `result`, `close`."""

    def __init__(self, bed, peer, mode, flows, seconds, *, message=100, mptcp=False, rcvbuf=RCVBUF, probe=False):
        service = {"down": "source", "up": "sink"}.get(mode, "echo")
        base = peers.PROBE if probe else peers.ORIGIN
        argv = [bed.program("loadgen"), mode, peer.endpoint("probe" if probe else service), f"{peers.HOST}:{base}", "-n", str(flows),
                "-t", str(seconds), "-b", str(message)]
        argv += ["-s"] if peer.socks else []
        argv += ["-m", "-r", str(rcvbuf)] if mptcp else []
        self.mptcp, self.flows, self.mode = mptcp, flows, mode
        self.proc = procs.start(argv, core=bed.load_core, nice=bed.nice, realtime=probe and bed.realtime, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        line = self.proc.stdout.readline()
        if line != "ready\n":
            self.close()
            raise Void(f"{peer.name} {mode} n={flows}: set-up: {json.loads(line)['why'] if line.startswith('{') else 'loadgen ended'}")

    def go(self):
        self.proc.stdin.write("go\n")
        self.proc.stdin.flush()

    def result(self):
        line = self.proc.stdout.readline()
        if not line:
            raise Void("loadgen ended")
        r = json.loads(line)
        if r["failures"]:
            raise Void(f"{self.mode} n={self.flows}: {r['failures']} failures: {r['why']}")
        if self.mptcp and r["mptcp"] < (1 if self.mode == "rate" else self.flows):
            raise Void(f"{self.mode} n={self.flows}: only {r['mptcp']} connections were MPTCP")
        return r

    def close(self):
        try:
            self.proc.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.proc.wait(timeout=10)
        except subprocess.TimeoutExpired:
            procs.stop(self.proc)
        self.proc.stdout.close()


def measure(bed, peer, mode, flows, seconds, **kwargs):
    """loadgen's result with "cpu" (seconds of the proxy's tree) added."""
    load = Load(bed, peer, mode, flows, seconds, **kwargs)
    try:
        time.sleep(SETTLE)
        before = peer.cpu()
        load.go()
        r = load.result()
        time.sleep(SETTLE)
        r["cpu"] = peer.cpu() - before
        return r
    finally:
        load.close()


def measure_mixed(bed, peer, seconds, bulk_flows=4, probes=1):
    """Ping-pong while bulk flows run through the same proxy. The probe and its origin outrank the bulk generator on the load core, so that
    what is measured is the wait inside the proxy."""
    bulk = Load(bed, peer, "down", bulk_flows, seconds + 0.3)
    try:
        probe = Load(bed, peer, "pingpong", probes, seconds, probe=True)
        try:
            time.sleep(SETTLE)
            before = peer.cpu()
            bulk.go()
            time.sleep(0.15)
            probe.go()
            r = probe.result()
            b = bulk.result()
            r["bulk_octets"], r["bulk_seconds"], r["cpu"] = b["octets"], b["seconds"], peer.cpu() - before
            return r
        finally:
            probe.close()
    finally:
        bulk.close()


def measure_idle(bed, peer, sessions, mptcp=False):
    """Resident octets and fds per session that relayed one octet and then says nothing; every session is asked for a sign of life after."""
    warm = Load(bed, peer, "idle", 64, 1, mptcp=mptcp)
    warm.go()
    warm.result()
    warm.close()
    time.sleep(0.3)
    resident, fds = peer.memory()
    load = Load(bed, peer, "idle", sessions, 1, mptcp=mptcp)
    try:
        time.sleep(0.5)
        after, fds_after = peer.memory()
        before = peer.cpu()
        time.sleep(1.0)
        idle_cpu = peer.cpu() - before
        load.go()
        load.result()
        return {"octets": (after - resident) / sessions, "fds": (fds_after - fds) / sessions, "idle_cpu": idle_cpu}
    finally:
        load.close()


def count_syscalls(bed, peer, mode, flows, seconds, **kwargs):
    """System calls per operation by `strace -c -f`, attached after the set-up: {"total": x, name: x...}."""
    path = os.path.join(bed.workdir, f"strace.{peer.name}")
    load = Load(bed, peer, mode, flows, seconds, **kwargs)
    attach = [arg for root in peer.pids() for pid in procs.tree(root) for arg in ("-p", str(pid))]
    tracer = procs.start(["strace", "-c", "-f", "-o", path, *attach], core=bed.load_core, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True)
    try:
        while "attached" not in tracer.stderr.readline():
            if tracer.poll() is not None:
                raise Void("strace does not attach")
        time.sleep(0.3)
        load.go()
        r = load.result()
        time.sleep(0.2)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=10)
    finally:
        load.close()
        if tracer.poll() is None:
            procs.stop(tracer)
    calls = {}
    with open(path, encoding="ascii") as f:
        for line in f:
            m = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if m:
                calls[m.group(2)] = int(m.group(1)) / r["ops"]
    calls.setdefault("total", 0.0)
    return calls
