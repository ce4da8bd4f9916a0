# SPDX-License-Identifier: MIT
"""A spare line: it has its subflow, but no data as long as the first line works."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402


def octets(ns, device):
    with ns, open("/proc/thread-self/net/dev") as f:
        return next(int(line.split(":")[1].split()[0]) for line in f if line.strip().startswith(f"{device}:"))


def lab(lab):
    lab.say(networks.HYBRID)
    lab.step("The network; CPE and concentrator are started.")
    n = networks.hybrid(lab)
    web = lab.web_server(n.server, 6_000_000 if lab.quick else 12_000_000)
    lab.daemon(n.concentrator, "explicit-concentrator/concentrator.sh")
    lab.daemon(n.cpe, "dual-ended/cpe.sh")

    lab.step("Line 2 becomes a spare.")
    lab.show(n.cpe, "ip", "mptcp", "endpoint", "change", "id", "1", "backup")
    lab.show(n.cpe, "ip", "mptcp", "endpoint", "show")

    lab.step("A download, until a third of it is there.")
    begin = [octets(n.cpe, d) for d in ("wan1", "wan2")]
    got = Download(lab, n.host, f"http://{SERVER}/file")
    lab.joined(n.cpe, "it has two subflows", "dst", "198.51.100.1")
    labkit.netlab.wait_for(lambda: got.got > web.octets / 3, 60, "a third of the file")
    one, two = (octets(n.cpe, d) - b for d, b in zip(("wan1", "wan2"), begin))
    lab.say(f"line 1 carried {one} octets, line 2 {two}")
    lab.check(one > web.octets / 4 and two < 10_000, "line 2 has no data")

    lab.step("Line 1 is cut.")
    lab.emulator.cut("line1")
    got.wait()
    lab.check(got.hash == web.hash, f"the file arrived all the same, {got.seconds:.1f} s in all")
    two = octets(n.cpe, "wan2") - begin[1]
    lab.say(f"line 2 carried {two} octets in the end")
    lab.check(two > web.octets / 3, "line 2 carried the rest")


labkit.main(__doc__, lab)
