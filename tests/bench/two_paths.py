#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Downloads over two paths through `mpconvert run`, with the request in the SYN (mp_convert) and without: the kernel's trap T2 must not
bite (docs/architecture.md, "Kernel traps"). Pairs of one download each, the order reversed every other pair; the figure is the median
of the pairs' ratios. A download that does not end in time counts with what it got. Run it through two_paths.sh."""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import guests, netlab  # noqa: E402
from support.proxy import Proxy  # noqa: E402

DELAY_MS, RATE_MBIT = 25, 80  # of each path, each way: 160 Mbit/s, 50 ms
SEED, CRITERION = 5, 0.95
# row: (settings of the concentrator, receive_buffer of the client, is it judged?)
ROWS = {
    "both cures": ({}, None, True),
    "the client's alone": ({"tfo_window": False}, None, False),  # a concentrator that knows nothing of the trap
    "the concentrator's alone": ({}, "0", False),  # a system whose limit is too small for the client's
    "neither": ({"tfo_window": False}, "0", False),
}


class Download:
    """One program after the other, all of the same size."""

    def __init__(self, lab, args, shop, origin):
        self.lab, self.args, self.origin = lab, args, origin
        self.program, self.folder = shop.fetch("dynamic"), shop.folder

    def mbit(self, proxy, tfo, receive_buffer):
        front = guests.Front(self.lab, os.path.join(self.args.build, "client", "mpconvert"), proxy, self.folder)
        env = {} if receive_buffer is None else {"MPCONVERT_RECEIVE_BUFFER": receive_buffer}
        used, got, began = self._downlinks(), 0, time.monotonic()
        process = self.lab.client.popen(*front.argv(self.args.mode, "mp_convert", options=("--tfo", tfo)), self.program, netlab.SERVER,
                                        self.origin.port, self.args.octets, SEED, env=front.environment(env), cwd=self.folder,
                                        stdout=subprocess.PIPE)
        while chunk := os.read(process.stdout.fileno(), 1 << 18):
            got += len(chunk)
            if time.monotonic() - began > self.args.patience:
                process.terminate()
                break
        seconds = time.monotonic() - began
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
        if got < self.args.octets and seconds < self.args.patience:
            raise RuntimeError(f"the download ended after {got} octets: {front.journal()}")
        if min(b - a for a, b in zip(used, self._downlinks())) < got / 8:
            print("# a path was hardly used", file=sys.stderr)
        return got * 8 / seconds / 1e6

    def _downlinks(self):
        stats = self.lab.emulator.stats()
        return [stats[f"path{i}.down"]["octets"] for i in (1, 2)]


def measure(download, proxy, receive_buffer, pairs):
    """[(Mbit/s with the request in the SYN, without)]"""
    out = []
    for n in range(pairs):
        pair = {tfo: download.mbit(proxy, tfo, receive_buffer) for tfo in (("on", "off") if n % 2 == 0 else ("off", "on"))}
        out.append((pair["on"], pair["off"]))
    return out


def report(row, pairs, judged):
    """Prints the row; is it good?"""
    ratio = statistics.median(on / off for on, off in pairs)
    low, high = min(on / off for on, off in pairs), max(on / off for on, off in pairs)
    verdict = "" if not judged else f">= {CRITERION}" if ratio >= CRITERION else f"MISSED {CRITERION}"
    print(f"{row:<26}{statistics.median(p[0] for p in pairs):10.1f}{statistics.median(p[1] for p in pairs):10.1f}{ratio:8.3f}"
          f"  [{low:.2f} .. {high:.2f}] n={len(pairs)}  {verdict}", flush=True)
    return ratio >= CRITERION or not judged


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", required=True)
    p.add_argument("--pairs", type=int, default=7)
    p.add_argument("--octets", type=int, default=25_000_000)
    p.add_argument("--patience", type=float, default=20, help="seconds for one download")
    p.add_argument("--mode", default="preload", choices=["preload", "seccomp", "auto"])
    p.add_argument("--all", action="store_true", help="also with the cures taken away; not judged")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    if why := netlab.unavailable():
        sys.exit(why)
    tools = os.path.join(args.build, "tests", "support")
    if os.path.exists(os.path.join(tools, "pathemu")):
        os.environ.setdefault("MPCONVERT_TOOLS", tools)
    good = True
    print(f"{'Mbit/s down':<26}{'in SYN':>10}{'after':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(netlab.Lab()) as lab, contextlib.ExitStack() as stack:
        origin = netlab.Origin(lab)
        stack.callback(origin.stop)
        for path in ("path1", "path2"):
            lab.emulator.set(path, delay=DELAY_MS, rate=RATE_MBIT, queue=1000)
        lab.use_both_paths()
        download = Download(lab, args, guests.Workshop(folder), origin)
        for row, (relay, receive_buffer, judged) in ROWS.items():
            if not judged and not args.all:
                continue
            proxy = Proxy(lab, os.path.join(args.build, "server", "mpconvertd"), {"log": {"level": "warning"}, "relay": relay})
            try:
                download.mbit(proxy, "off", receive_buffer)  # caches of routes and metrics
                good = report(row, measure(download, proxy, receive_buffer, args.pairs), judged) and good
            finally:
                proxy.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
