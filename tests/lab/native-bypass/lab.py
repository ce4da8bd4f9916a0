# SPDX-License-Identifier: MIT
"""Native bypass: a host with Multipath TCP of its own behind a CPE that converts the plain TCP of others."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402


def alive(ns):
    return "elements" in ns.run("nft", "list", "set", "inet", "mpconvert_transparent", "alive", text=True).stdout


def lab(lab):
    lab.say(networks.HYBRID)
    lab.step("The network; the server has Multipath TCP. CPE and concentrator are started.")
    n = networks.hybrid(lab)
    web = lab.web_server(n.server, 1_000_000 if lab.quick else 5_000_000, mptcp=True)
    lab.daemon(n.concentrator, "explicit-concentrator/concentrator.sh")
    cpe = lab.daemon(n.cpe, "native-bypass/cpe.sh")

    lab.step("A plain host: its connection is taken by the CPE.")
    plain = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(plain.hash == web.hash, "the file arrived")
    lab.check(web.seen()[-1] == "203.0.113.1", "the server saw the concentrator, 203.0.113.1")
    lab.check(lab.counter(n.cpe, "diverted") >= 1 and lab.counter(n.cpe, "native") == 0, "it was diverted")

    lab.step("The same host with Multipath TCP: its SYN has MP_CAPABLE, and passes.")
    native = Download(lab, n.host, f"http://{SERVER}/file", prefix=("mptcpize", "run"))
    labkit.netlab.wait_for(lambda: native.got > web.octets / 5, 30, "a fifth of the file")
    lab.subflows(n.server, "sport", "= :80")
    lab.check(native.wait().hash == web.hash, "the file arrived")
    lab.check(web.seen()[-1] == "192.0.2.2", "the server saw the host itself, 192.0.2.2")
    lab.check(lab.counter(n.cpe, "native") >= 1, "its connection was counted as native")
    lab.check(n.host.counters()["MPTcpExtMPCapableSYNACKRX"] == 1, "host and server spoke Multipath TCP with each other")

    lab.step(f"A server in the list of the bypassed: {networks.SERVER_2}.")
    lab.show(n.cpe, "nft", "list", "set", "inet", "mpconvert_transparent", "bypass4")
    bypassed = Download(lab, n.host, f"http://{networks.SERVER_2}/file").wait()
    lab.check(bypassed.hash == web.hash and web.seen()[-1] == "192.0.2.2", "the plain host came there itself")

    lab.step("The CPE's daemon is told to end: the connection it carries goes on, new ones are not diverted any more.")
    total = cpe.stats()["sessions"]["accepted_total"]
    carried = Download(lab, n.host, f"http://{SERVER}/file")
    labkit.netlab.wait_for(lambda: carried.got > web.octets / 20, 60, "its beginning")
    cpe.process.send_signal(labkit.signal.SIGTERM)
    labkit.netlab.wait_for(lambda: cpe.process.poll() is not None or not alive(n.cpe), 10, "the sign of life to go")
    lab.show(n.cpe, "nft", "list", "set", "inet", "mpconvert_transparent", "alive")
    plain = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(plain.hash == web.hash and web.seen()[-1] == "192.0.2.2", "the plain host came there itself")
    lab.check(carried.wait().hash == web.hash, "the connection it carried came to its end")
    labkit.netlab.wait_for(lambda: cpe.process.poll() is not None, 20, "the daemon to end")

    lab.step("Another daemon, which dies.")
    cpe = lab.daemon(n.cpe, "native-bypass/cpe.sh")
    labkit.netlab.wait_for(lambda: alive(n.cpe), 10, "its sign of life")
    plain = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(plain.hash == web.hash and web.seen()[-1] == "203.0.113.1", "the plain host is served again")
    cpe.kill()
    plain = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(plain.hash == web.hash and web.seen()[-1] == "192.0.2.2", "the rules find no listener: the plain host came there itself")

    lab.step("What the first daemon had counted.")
    lab.say(f"sessions.accepted_total of the CPE: {total}")
    lab.check(total == 1, "of three connections one had gone through the daemon")


labkit.main(__doc__, lab)
