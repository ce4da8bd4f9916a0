# SPDX-License-Identifier: MIT
"""Networks that several labs have, with the addresses of conf/examples."""
import types

from labkit import SERVER, SERVER6

SERVER_2 = "203.0.113.74"  # in 203.0.113.64/26, which some examples treat as a class of its own

HYBRID = """
                    line 1: 192.0.2.64/26
 host --- lan0 CPE ======================= router --- concentrator --- server
  192.0.2.2        =======================           198.51.100.1     203.0.113.10
                    line 2: 192.0.2.128/26
"""

SEVERAL = """
                    line 1: 192.0.2.64/26           .--- concentrator 1   198.51.100.1
 host --- lan0 CPE ======================= router --+--- concentrator 2   198.51.100.65
  192.0.2.2        =======================          |--- concentrator 3   198.51.100.129
                    line 2: 192.0.2.128/26          '--- server           203.0.113.10, 203.0.113.74
"""


def _access(lab, delays, rate):
    """A host, a CPE with two lines, the provider's router, a server. Each line has its delay (ms) and rate (Mbit/s), both ways; without
    a concentrator everything goes over the first."""
    n = types.SimpleNamespace(host=lab.machine("host"), cpe=lab.machine("cpe", forwards=True),
                              router=lab.machine("router", forwards=True), server=lab.machine("server"))
    lab.link(n.cpe, "lan0", "192.0.2.1/27,2001:db8:0:a::1/64", n.host, "eth0", "192.0.2.2/27,2001:db8:0:a::2/64")
    lab.path("line1", n.cpe, "wan1", "192.0.2.65/26,2001:db8:0:1::1/64", n.router, "line1", "192.0.2.66/26,2001:db8:0:1::2/64")
    lab.path("line2", n.cpe, "wan2", "192.0.2.129/26,2001:db8:0:2::1/64", n.router, "line2", "192.0.2.130/26,2001:db8:0:2::2/64")
    lab.start_paths(rate=rate)
    for i, delay in enumerate(delays, 1):
        lab.emulator.set(f"line{i}", delay=delay)
    lab.default_route(n.host, "192.0.2.1", "2001:db8:0:a::1")
    lab.default_route(n.cpe, "192.0.2.66", "2001:db8:0:1::2")
    n.router.ip("route add 192.0.2.0/27 via 192.0.2.65")
    n.router.ip("route add 2001:db8:0:a::/64 via 2001:db8:0:1::1", family="-6")
    return n


def hybrid(lab, delays=(10, 20), rate=20):
    """HYBRID: all between router and server passes the concentrator's machine."""
    n = _access(lab, delays, rate)
    n.concentrator = lab.machine("concentrator", forwards=True)
    lab.link(n.router, "core", "198.51.100.2/26,2001:db8:0:c::2/64", n.concentrator, "core", "198.51.100.1/26,2001:db8:0:c::1/64")
    lab.link(n.concentrator, "out", "203.0.113.1/24,2001:db8:0:5::1/64", n.server, "eth0",
             f"{SERVER}/24,{SERVER_2}/24,{SERVER6}/64")
    lab.default_route(n.concentrator, "198.51.100.2", "2001:db8:0:c::2")
    lab.default_route(n.server, "203.0.113.1", "2001:db8:0:5::1")
    n.router.ip("route add 203.0.113.0/24 via 198.51.100.1")
    n.router.ip("route add 2001:db8:0:5::/64 via 2001:db8:0:c::1", family="-6")
    return n


def several(lab, delays=(5, 5), rate=20):
    """SEVERAL: the concentrators are beside the path. n.concentrators is a list."""
    n = _access(lab, delays, rate)
    lab.link(n.router, "servers", "203.0.113.1/24,2001:db8:0:5::1/64", n.server, "eth0", f"{SERVER}/24,{SERVER_2}/24,{SERVER6}/64")
    lab.default_route(n.server, "203.0.113.1", "2001:db8:0:5::1")
    n.concentrators = []
    for i in range(3):
        c = lab.machine(f"concentrator{i + 1}")
        lab.link(n.router, f"core{i + 1}", f"198.51.100.{64 * i + 2}/26", c, "core", f"198.51.100.{64 * i + 1}/26")
        c.ip(f"route add default via 198.51.100.{64 * i + 2}")
        n.concentrators.append(c)
    return n
