# SPDX-License-Identifier: MIT
"""Several concentrators: by priority, by class of service; one after the other dies."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
from labkit import SERVER, Download  # noqa: E402

FILE, FILE_2 = f"http://{SERVER}/file", f"http://{networks.SERVER_2}/file"


def fetch(lab, n, web, url, seen, claim):
    """A download that the server must see coming from `seen`."""
    got = Download(lab, n.host, url).wait()
    lab.check(got.hash == web.hash and web.seen()[-1] == seen, f"{claim}: the server saw {web.seen()[-1]}")


def lab(lab):
    lab.say(networks.SEVERAL)
    lab.step("The network, three concentrators, a CPE with a daemon for each class of service.")
    n = networks.several(lab)
    web = lab.web_server(n.server, 100_000 if lab.quick else 2_000_000)
    first, second, third = (lab.daemon(c, "explicit-concentrator/concentrator.sh") for c in n.concentrators)
    cpe = lab.daemon(n.cpe, "several-concentrators/cpe.sh")
    lab.daemon(n.cpe, "several-concentrators/cpe.sh", verb="run", config="maintenance.json", stats=9181)

    lab.step("The Internet's class has concentrators 1 and 2, in this order; maintenance, 203.0.113.64/26, has concentrator 3.")
    fetch(lab, n, web, FILE, "198.51.100.1", "concentrator 1 carried it")
    fetch(lab, n, web, FILE_2, "198.51.100.129", "concentrator 3 carried it")
    lab.check(lab.counter(n.cpe, "internet") >= 1 and lab.counter(n.cpe, "maintenance") >= 1, "a connection of each class")

    lab.step("Concentrator 1 dies.")
    first.kill()
    fetch(lab, n, web, FILE, "198.51.100.65", "concentrator 2 took over")
    fetch(lab, n, web, FILE, "198.51.100.65", "and again")
    failed = cpe.stats()["via"]["concentrator_failures_total"]
    lab.say(f"via.concentrator_failures_total {failed}")
    lab.check(failed >= 1, "it was tried, and is left alone for a while")

    lab.step("Concentrators 2 and 3 die as well.")
    second.kill()
    third.kill()
    fetch(lab, n, web, FILE, "192.0.2.65", "the CPE itself connected (via.direct is last)")
    refused = Download(lab, n.host, FILE_2).wait()
    lab.check(refused.status != 0 and refused.got == 0, "maintenance connections fail (via.direct is never)")
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
