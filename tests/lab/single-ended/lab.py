# SPDX-License-Identifier: MIT
"""Single-ended: a phone. One host with two interfaces, a concentrator, a server that has plain TCP."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402

PICTURE = """
                    192.0.2.64/26
 phone wlan0 ======================= router --- concentrator --- server
       cell0 =======================           198.51.100.1      203.0.113.10
                    192.0.2.128/26
"""


def build(lab):
    phone, router = lab.machine("phone"), lab.machine("router", forwards=True)
    concentrator, server = lab.machine("concentrator", forwards=True), lab.machine("server")
    lab.path("wlan", phone, "wlan0", "192.0.2.65/26", router, "wlan", "192.0.2.66/26")
    lab.path("cell", phone, "cell0", "192.0.2.129/26", router, "cell", "192.0.2.130/26")
    lab.link(router, "core", "198.51.100.2/26", concentrator, "core", "198.51.100.1/26")
    lab.link(concentrator, "out", "203.0.113.1/24", server, "eth0", f"{SERVER}/24")
    for ns, gateway in ((phone, "192.0.2.66"), (concentrator, "198.51.100.2"), (server, "203.0.113.1")):
        lab.default_route(ns, gateway)
    router.ip("route add 203.0.113.0/24 via 198.51.100.1")
    lab.start_paths(rate=20, delay=5)
    lab.emulator.set("cell", delay=20)
    return phone, concentrator, server


def lab(lab):
    lab.say(PICTURE)
    lab.step("The network: wireless LAN and cellular, 20 Mbit/s each. The concentrator is started.")
    phone, concentrator, server = build(lab)
    web = lab.web_server(server, 3_000_000 if lab.quick else 10_000_000)
    daemon = lab.daemon(concentrator, "explicit-concentrator/concentrator.sh")
    labkit.setup(lab, phone, "single-ended/client.sh")
    lab.show(phone, "ip", "mptcp", "endpoint", "show")
    launcher, settings = os.environ["MPCONVERT"], os.path.join(labkit.EXAMPLES, "single-ended", "client.json")

    lab.step("What can the concentrator do from here?")
    said = lab.run(phone, [launcher, "probe", "--config", settings, "--cache", "none"], "mpconvert probe --config client.json")
    lab.check("works" in said, "it answers")
    lab.forget_joins(phone)

    lab.step("A program that knows nothing of proxies and of Multipath TCP, through the launcher.")
    got = Download(lab, phone, f"http://{SERVER}/file", prefix=(launcher, "run", "--config", settings, "--cache", "none", "--"))
    labkit.netlab.wait_for(lambda: got.got > web.octets / 4, 30, "a quarter of the file")
    lab.joined(phone, "one connection, a subflow over each interface", "dst", "198.51.100.1")
    lab.check(got.wait().hash == web.hash, f"the file arrived, {got.mbit:.1f} Mbit/s")
    lab.check(web.seen()[-1] == "203.0.113.1", "the server saw the concentrator")

    lab.step("A program that speaks SOCKS5, over Multipath TCP by mptcpize, while the wireless LAN is lost.")
    got = Download(lab, phone, f"http://{SERVER}/file", "--proxy", "socks5h://198.51.100.1:1080", prefix=("mptcpize", "run"))
    labkit.netlab.wait_for(lambda: got.got > web.octets / 4, 30, "a quarter of the file")
    lab.emulator.cut("wlan")
    lab.say("wireless LAN is lost")
    lab.check(got.wait().hash == web.hash, f"the file arrived all the same, {got.mbit:.1f} Mbit/s")
    lab.emulator.restore("wlan")

    lab.step("What the concentrator counted.")
    stats = daemon.stats()
    by = {name: p["total"] for name, p in stats["sessions"]["by_protocol"].items() if p["total"]}
    lab.say(f"sessions.by_protocol {by}, mptcp.join_total {stats['mptcp']['join_total']}, "
            f"mptcp.sessions_fallback_tcp_total {stats['mptcp']['sessions_fallback_tcp_total']}")
    lab.check(stats["mptcp"]["join_total"] >= 2 and stats["mptcp"]["sessions_fallback_tcp_total"] == 0,
              "every connection was Multipath TCP, with a second subflow")


labkit.main(__doc__, lab)
