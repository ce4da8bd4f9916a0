# SPDX-License-Identifier: MIT
"""Exact access: what a host's connect() is told when its server cannot be reached, through a CPE."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402

NOWHERE = "203.0.113.200"
ASK = """
import errno, socket, sys
s = socket.socket()
s.settimeout(20)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print("connect() ok; recv()", end=" ")
    s.send(b"hello")
    s.recv(1)
    print("ok")
except OSError as e:
    print(errno.errorcode.get(e.errno, e) if e.errno else e)
"""


def ask(lab, host, address, port):
    """What a program is told that connects there, in a word."""
    said = host.run("/usr/bin/python3", "-c", ASK, address, str(port), text=True).stdout.strip()
    lab.say(f"host: connect({address}, {port}): {said}")
    return said


def lab(lab):
    lab.say(networks.HYBRID)
    lab.step(f"The network. Nobody listens on the server's port 81, and the concentrator has no route to {NOWHERE}.")
    n = networks.hybrid(lab)
    n.concentrator.ip(f"route add unreachable {NOWHERE}/32")
    web = lab.web_server(n.server, 100_000 if lab.quick else 5_000_000)
    lab.daemon(n.concentrator, "explicit-concentrator/concentrator.sh")

    lab.step("Without any converter on the CPE.")
    lab.check(ask(lab, n.host, SERVER, 81) == "ECONNREFUSED", "refused")
    native = ask(lab, n.host, NOWHERE, 80)
    lab.check(native in ("EHOSTUNREACH", "ENETUNREACH"), "unreachable")

    lab.step("With one that is not exact: its SYN-ACK comes before the server's.")
    cpe = lab.daemon(n.cpe, "dual-ended/cpe.sh")
    lab.check(ask(lab, n.host, SERVER, 81) != "ECONNREFUSED", "the host is connected, and then reset")
    cpe.rules_off()
    cpe.stop()

    lab.step("With an exact one.")
    cpe = lab.daemon(n.cpe, "exact-access/cpe.sh")
    config = os.path.join(labkit.EXAMPLES, "exact-access", "cpe.json")
    said = lab.run(n.cpe, [os.environ["MPCONVERTD"], "--doctor", "-c", config], "mpconvertd --doctor -c cpe.json")
    lab.check(" bad " not in said and said.startswith("good"), "the doctor finds nothing wrong")
    lab.check(ask(lab, n.host, SERVER, 81) == "ECONNREFUSED", "refused, as without")
    lab.check(ask(lab, n.host, NOWHERE, 80) in ("EHOSTUNREACH", "ENETUNREACH"), "unreachable, as without")
    got = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == "203.0.113.1", "and a file arrives, through the concentrator")
    exact = cpe.stats()["exact"]
    lab.say(f"exact.connections_total {exact['connections_total']}, confirmed_total {exact['confirmed_total']}, "
            f"refused_total {exact['refused_total']}")
    lab.check(exact["confirmed_total"] >= 1, "its SYN-ACK waited for the server's")

    lab.step("The emergency off.")
    cpe.rules_off()
    got = Download(lab, n.host, f"http://{SERVER}/file").wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == "192.0.2.2", "the host came there itself")


labkit.main(__doc__, lab)
