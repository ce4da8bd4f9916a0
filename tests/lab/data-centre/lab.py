# SPDX-License-Identifier: MIT
"""Data centre: a plain client, a Multipath TCP server with two links, and a converter in front of it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402

PICTURE = """
                                  203.0.113.0/26
 client --- front MCP =========================== server
  192.0.2.2         ===========================   203.0.113.10, 203.0.113.74 (announced)
                                  203.0.113.64/26
"""


def build(lab):
    client, mcp, server = lab.machine("client"), lab.machine("mcp", forwards=True), lab.machine("server")
    lab.link(mcp, "front", "192.0.2.1/27", client, "eth0", "192.0.2.2/27")
    lab.path("link1", mcp, "dc1", "203.0.113.1/26", server, "eth0", f"{SERVER}/26")
    lab.path("link2", mcp, "dc2", "203.0.113.65/26", server, "eth1", "203.0.113.74/26")
    lab.start_paths(rate=20, delay=2)
    lab.default_route(client, "192.0.2.1")
    lab.default_route(server, "203.0.113.1")
    return client, mcp, server


def lab(lab):
    lab.say(PICTURE)
    lab.step("The network: two links of 20 Mbit/s. The server has Multipath TCP and announces its second address.")
    client, mcp, server = build(lab)
    web = lab.web_server(server, 3_000_000 if lab.quick else 12_000_000, mptcp=True)
    lab.show(server, "ip", "mptcp", "endpoint", "add", "203.0.113.74", "dev", "eth1", "signal")

    lab.step("As it was: the client's connection uses one link.")
    one = Download(lab, client, f"http://{SERVER}/file").wait()
    lab.check(one.hash == web.hash, f"the file arrived, {one.mbit:.1f} Mbit/s")

    lab.step("The converter in front of the server is started.")
    daemon = lab.daemon(mcp, "data-centre/mcp.sh")
    two = Download(lab, client, f"http://{SERVER}/file")
    labkit.netlab.wait_for(lambda: two.got > web.octets / 4, 30, "a quarter of the file")
    lab.joined(mcp, "two subflows between converter and server", "dport", "= :80")
    lab.check(two.wait().hash == web.hash, f"the file arrived, {two.mbit:.1f} Mbit/s")
    if not lab.quick:
        lab.check(two.mbit / one.mbit > 1.6, f"{two.mbit / one.mbit:.2f} times as fast")
    upstream = daemon.stats()["upstream"]
    lab.say(f"upstream.mptcp_total {upstream['mptcp_total']}")
    lab.check(upstream["mptcp_total"] == 1, "the server's leg was Multipath TCP")

    lab.step("A server on port 443 that has plain TCP only: offered Multipath TCP once, then spared it for an hour.")
    plain = lab.web_server(server, 1000, port=443)
    for _ in range(2):
        got = Download(lab, client, f"http://{SERVER}:443/file").wait()
        lab.check(got.hash == plain.hash, "the file arrived")
    upstream = daemon.stats()["upstream"]
    lab.say(f"upstream.mptcp_declined_total {upstream['mptcp_declined_total']}, mptcp_withheld_total {upstream['mptcp_withheld_total']}, "
            f"remembered {upstream['remembered']}")
    lab.check(upstream["mptcp_declined_total"] == 1 and upstream["mptcp_withheld_total"]["plain"] == 1, "it was remembered")

    lab.step("What is not asked of a web server passes.")
    other = lab.web_server(server, 1000, port=8080)
    got = Download(lab, client, f"http://{SERVER}:8080/file").wait()
    lab.check(got.hash == other.hash and other.seen()[-1] == "192.0.2.2", "port 8080 saw the client itself")
    lab.check(daemon.stats()["sessions"]["accepted_total"] == 3, "the daemon served the other three connections")
    lab.counter(mcp, "diverted")


labkit.main(__doc__, lab)
