# SPDX-License-Identifier: MIT
"""Source addresses: a server sees an address of a pool over IPv4, and the host's own over IPv6."""
import ipaddress
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, SERVER6, Download  # noqa: E402


def lab(lab):
    lab.say(networks.HYBRID)
    lab.step("The network. The concentrator shares IPv4 addresses and keeps IPv6 ones; the CPE tells it whom it asks for.")
    n = networks.hybrid(lab)
    web = lab.web_server(n.server, 100_000 if lab.quick else 3_000_000)
    concentrator = lab.daemon(n.concentrator, "source-addresses/concentrator.sh")
    lab.daemon(n.cpe, "dual-ended/cpe.sh", config="../source-addresses/cpe.json")

    lab.step("IPv4: several connections of a host, one address of the pool 203.0.113.192/28.")
    for _ in range(3):
        got = Download(lab, n.host, f"http://{SERVER}/file").wait()
        lab.check(got.hash == web.hash, f"the file arrived; the server saw {web.seen()[-1]}")
    shared = set(web.seen())
    lab.check(len(shared) == 1 and ipaddress.ip_address(*shared) in ipaddress.ip_network("203.0.113.192/28"), "always the same one")

    lab.step("IPv6: the host's own address, behind a concentrator that was asked over IPv4.")
    got = Download(lab, n.host, f"http://[{SERVER6}]/file").wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == "2001:db8:0:a::2", f"the file arrived; the server saw {web.seen()[-1]}")
    found = lab.show(n.concentrator, "nft", "list", "counter", "inet", "mpconvert_preserve", "taken")
    lab.check("packets 0 " not in found, "answers to that address were taken out of what passes")

    lab.step("Who was it? The concentrator's log knows.")
    labkit.netlab.wait_for(lambda: concentrator.log().count("told_source=") >= 4, 10, "the log lines of four sessions")
    for line in concentrator.log().splitlines():
        if "event=session_end" in line:
            lab.say(" ".join(w for w in line.split() if w.startswith(("time=", "client=", "egress=", "told_source="))))
    lab.check(concentrator.log().count("egress=") >= 4, "every session has client, source address and the host behind the client")

    lab.step("The host's native connection over IPv6 is not disturbed.")
    got = Download(lab, n.host, f"http://[{SERVER6}]/file", prefix=("mptcpize", "run")).wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == "2001:db8:0:a::2", "it passed, both ways")


labkit.main(__doc__, lab)
