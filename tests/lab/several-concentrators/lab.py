# SPDX-License-Identifier: MIT
"""Several concentrators: by priority, by class of service; one after the other dies."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402

FILE, MAINTENANCE = f"http://{SERVER}/file", f"http://{networks.SERVER_2}/file"


def fetch(lab, n, web, url, seen, claim):
    """A download that the server must see coming from `seen`."""
    got = Download(lab, n.host, url).wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == seen, f"{claim}: the server saw {web.seen()[-1]}")


def lab(lab):
    lab.say(networks.SEVERAL)
    lab.step("The network, three concentrators, a CPE.")
    n = networks.several(lab)
    web = lab.web_server(n.server, 100_000 if lab.quick else 2_000_000)
    first, second, third = (lab.daemon(c, "explicit-concentrator/concentrator.sh") for c in n.concentrators)
    cpe = lab.daemon(n.cpe, "several-concentrators/cpe.sh")

    lab.step("The Internet has concentrators 1 and 2, in this order; the provider's servers, 203.0.113.64/26, have concentrator 3.")
    fetch(lab, n, web, FILE, "198.51.100.1", "concentrator 1 carried it")
    fetch(lab, n, web, MAINTENANCE, "198.51.100.129", "concentrator 3 carried it")

    lab.step("Concentrator 1 dies.")
    first.kill()
    fetch(lab, n, web, FILE, "198.51.100.65", "concentrator 2 took over")
    fetch(lab, n, web, FILE, "198.51.100.65", "and again")
    via = cpe.stats()["via"]
    lab.say(f"via.concentrator_failures_total {via['concentrator_failures_total']}; "
            + ", ".join(f"{c['address']} {c['state']}" for c in via["concentrators"]))
    lab.check(via["concentrator_failures_total"] >= 1, "it was tried, and is left alone for a while")

    lab.step("Concentrator 3 dies as well.")
    third.kill()
    fetch(lab, n, web, MAINTENANCE, "198.51.100.65", "the provider's servers are reached as all others")

    lab.step("The last one, concentrator 2, dies.")
    second.kill()
    fetch(lab, n, web, FILE, "192.0.2.65", "the CPE itself connected (via.direct is last)")
    lab.say(f"via.direct_total {cpe.stats()['via']['direct_total']}")

    lab.step("Concentrator 1 comes back.")
    lab.daemon(n.concentrators[0], "explicit-concentrator/concentrator.sh")

    def back():
        Download(lab, n.host, FILE).wait()
        return web.seen()[-1] == "198.51.100.1"

    labkit.netlab.wait_for(back, 60, "concentrator 1 to be tried again", interval=0.5)
    lab.check(True, "it is in use again, without anybody's doing")

    lab.step("The emergency off.")
    cpe.rules_off()
    fetch(lab, n, web, FILE, "192.0.2.2", "the host connects as if there were no CPE's daemon")


labkit.main(__doc__, lab)
