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
import typing

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import exact, guests, netlab  # noqa: E402
from support.proxy import Proxy  # noqa: E402

SEED, CRITERION = 5, 0.95
STOCK = "212992"  # Debian's net.core.rmem_max
LIMIT = "/proc/sys/net/core/rmem_max"
PLAIN = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")


class Row(typing.NamedTuple):
    relay: dict = {}  # settings of the concentrator
    receive_buffer: str | None = None  # of the client
    judged: bool = True
    plain: bool = False  # a user without privileges on a system with the distribution's limit
    exact: bool = False
    octets: int = 0  # 0: as --octets says
    pairs: int = 0  # 0: as --pairs says


ROWS = {
    "both cures": Row(),
    "the client's alone": Row({"tfo_window": False}, judged=False),  # a concentrator that knows nothing of the trap
    "the concentrator's alone": Row({}, "0", judged=False),
    "a plain user's": Row(plain=True, judged=False),  # the concentrator's alone, too: the system's limit is too small for the client's
    "an exact listener": Row(exact=True, octets=200_000_000, pairs=3),
    "neither": Row({"tfo_window": False}, "0", judged=False),
}


class Download:
    """One program after the other, all of the same size."""

    def __init__(self, lab, args, shop, origin):
        self.lab, self.args, self.origin = lab, args, origin
        self.program, self.folder = shop.fetch("dynamic"), shop.folder

    def mbit(self, proxy, tfo, row):
        octets = row.octets or self.args.octets
        patience = self.args.patience * octets / self.args.octets
        front = guests.Front(self.lab, os.path.join(self.args.build, "client", "mpconvert"), proxy, self.folder)
        env = {} if row.receive_buffer is None else {"MPCONVERT_RECEIVE_BUFFER": row.receive_buffer}
        used, got, began = self._downlinks(), 0, time.monotonic()
        user = PLAIN if row.plain else ()
        process = self.lab.client.popen(*user, *front.argv(self.args.mode, "mp_convert", options=("--tfo", tfo)), self.program, netlab.SERVER,
                                        self.origin.port, octets, SEED, env=front.environment(env), cwd=self.folder,
                                        stdout=subprocess.PIPE)
        while chunk := os.read(process.stdout.fileno(), 1 << 18):
            got += len(chunk)
            if time.monotonic() - began > patience:
                process.terminate()
                break
        seconds = time.monotonic() - began
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
        if got < octets and seconds < patience:
            raise RuntimeError(f"the download ended after {got} octets: {front.journal()}")
        if min(b - a for a, b in zip(used, self._downlinks())) < got / 8:
            print("# a path was hardly used", file=sys.stderr)
        return got * 8 / seconds / 1e6

    def _downlinks(self):
        stats = self.lab.emulator.stats()
        return [stats[f"path{i}.down"]["octets"] for i in (1, 2)]


@contextlib.contextmanager
def served(lab, args, row):
    """A concentrator for the row, on a system as the row wants it."""
    with contextlib.ExitStack() as stack:
        if row.plain:
            with open(LIMIT) as f:
                before = f.read().strip()
            _write(LIMIT, STOCK)
            stack.callback(_write, LIMIT, before)
        proxy = Proxy(lab, os.path.join(args.build, "server", "mpconvertd"), {"log": {"level": "warning"}, "relay": row.relay},
                      listener={"exact": True} if row.exact else None)
        stack.callback(proxy.stop)
        if row.exact:
            stack.callback(exact.Rule(lab.conc, [proxy.port]).remove)
        yield proxy


def _write(path, text):
    with open(path, "w") as f:
        f.write(text)


def measure(download, proxy, row, pairs):
    """[(Mbit/s with the request in the SYN, without)]"""
    out = []
    for n in range(pairs):
        pair = {tfo: download.mbit(proxy, tfo, row) for tfo in (("on", "off") if n % 2 == 0 else ("off", "on"))}
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
    p.add_argument("--delay", type=float, default=25, help="ms of each path, each way")
    p.add_argument("--rate", type=float, default=80, help="Mbit/s of each path, each way")
    p.add_argument("--row", action="append", choices=list(ROWS), help="only this one")
    p.add_argument("--all", action="store_true", help="also with cures taken away; not judged")
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
            lab.emulator.set(path, delay=args.delay, rate=args.rate, queue=1000)
        lab.use_both_paths()
        download = Download(lab, args, guests.Workshop(folder), origin)
        for name, row in ROWS.items():
            if name not in args.row if args.row else not (row.judged or args.all):
                continue
            try:
                with served(lab, args, row) as proxy:
                    download.mbit(proxy, "off", row)  # caches of routes and metrics
                    good = report(name, measure(download, proxy, row, row.pairs or args.pairs), row.judged) and good
            except PermissionError as e:
                print(f"{name:<26}left out: {e}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
