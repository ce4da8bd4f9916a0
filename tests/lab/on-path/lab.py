# SPDX-License-Identifier: MIT
"""On path: a concentrator that nobody names; the CPE connects to the server itself and asks, in the SYN, whoever is on the way."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402


def packets(ns, counter):
    said = ns.run("nft", "list", "counter", "inet", "mpconvert_onpath", counter, text=True).stdout
    return int(re.search(r"packets (\d+)", said)[1])


def lab(lab):
    lab.say(networks.HYBRID)
    lab.step("The network. The concentrator's machine is a router on the way to the server; the CPE knows no address of it.")
    n = networks.hybrid(lab)
    web = lab.web_server(n.server, 3_000_000 if lab.quick else 15_000_000, mptcp=True)
    concentrator = lab.daemon(n.concentrator, "on-path/concentrator.sh")
    cpe = lab.daemon(n.cpe, "dual-ended/cpe.sh", config="../on-path/cpe.json")

    lab.step("A plain host's download: the CPE's SYN to the server asks to be converted, and the concentrator takes it.")
    got = Download(lab, n.host, f"http://{SERVER}/file")
    labkit.netlab.wait_for(lambda: got.got > web.octets / 4, 60, "a quarter of the file")
    lab.joined(n.cpe, "two subflows, as far as the CPE knows with the server itself", "dst", SERVER)
    lab.show(n.concentrator, "nft", "list", "set", "inet", "mpconvert_onpath", "tokens")
    lab.check(got.wait().hash == web.hash, f"the file arrived, {got.mbit:.1f} Mbit/s")
    lab.check(web.seen()[-1] == "203.0.113.1", "the server saw the concentrator, 203.0.113.1")
    taken = packets(n.concentrator, "diverted"), packets(n.concentrator, "joins")
    lab.say(f"the concentrator's rules diverted {taken[0]} SYN, and {taken[1]} of a further subflow")
    lab.check(min(taken) >= 1, "connection and further subflow were diverted by the rules")

    lab.step("A host with Multipath TCP of its own: nobody takes it.")
    got = Download(lab, n.host, f"http://{SERVER}/file", prefix=("mptcpize", "run")).wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == "192.0.2.2", f"the server saw {web.seen()[-1]}")
    lab.check(packets(n.concentrator, "diverted") == taken[0], "the rules left it alone")

    lab.step("The concentrator's daemon dies: the rules find no listener.")
    concentrator.kill()
    got = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(got.hash == web.hash, f"the file arrived; the server saw {web.seen()[-1]}")
    lab.say(f"via.connections_total {cpe.stats()['via']['connections_total']}, direct_total {cpe.stats()['via']['direct_total']}")

    lab.step("The emergency off at the CPE.")
    cpe.rules_off()
    got = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == "192.0.2.2", "the host came there itself")


labkit.main(__doc__, lab)
