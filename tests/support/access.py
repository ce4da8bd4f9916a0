# SPDX-License-Identifier: MIT
"""A hybrid access network: a CPE with two WAN links, two concentrators, and a host and a server that know nothing of them.

                      ==u1== path1 ==r1==          ==ra===a0= conc  =o0===t1==
    host ==h0==l0= cpe                    = router ==rb===b0= conc2 =o0===t2== server
                      ==u2== path2 ==r2==          ==rs=================t0==

path1 and path2 are emulated (netlab.py), everything else is a plain veth pair. The addresses of a role are those it has in netlab's
lab, so that clients.py works on the CPE as it does there (`client` is the CPE: a machine with two accesses), links 1 and 2; here they
are pairs (IPv4, IPv6). The server's are on its loopback: SERVER, and SERVER_2, to which the CPE prefers its second link and the
concentrators the router. The concentrators are beside the path; on_path() puts `conc` on it."""
import os

from . import netlab

HOST, CPE_LAN = (netlab.CLIENT[0], "2001:db8::1"), (netlab.CONC_LINK[0], netlab.CONC_LINK6[0])
CPE_WAN = {i: (netlab.CLIENT[i], netlab.CLIENT6[i]) for i in (1, 2)}
ROUTER_WAN = {i: (netlab.CONC_LINK[i], netlab.CONC_LINK6[i]) for i in (1, 2)}
CONC = (netlab.CONC, netlab.CONC6), ("198.51.100.2", "2001:db8:0:c::2")
CONC_IN = ("198.51.100.66", "2001:db8:0:a::2"), ("198.51.100.130", "2001:db8:0:b::2")
CONC_OUT = ("203.0.113.65", "2001:db8:0:6::1"), ("203.0.113.129", "2001:db8:0:7::1")
ROUTER_IN = ("198.51.100.65", "2001:db8:0:a::1"), ("198.51.100.129", "2001:db8:0:b::1")
ROUTER_OUT = "203.0.113.193", "2001:db8:0:8::1"
SERVER, SERVER_2 = (netlab.SERVER, netlab.SERVER6), ("203.0.113.11", "2001:db8:0:5::11")
SERVER_LINK = (("203.0.113.194", "2001:db8:0:8::2"), ("203.0.113.66", "2001:db8:0:6::2"), ("203.0.113.130", "2001:db8:0:7::2"))
CUSTOMERS = "192.0.2.0/24", "2001:db8::/62"  # the host and the CPE's WAN links
RULES = os.path.join(netlab.ROOT, "conf", "nft")
TABLE, MARK = "7374", "0x6d70"


def _route(ns, to, gateway, *more):
    ns.ip(f"route replace {to} via {gateway} " + " ".join(more), family="-6" if ":" in gateway else "-4")


def _rule(ns, v6, *rule):
    """Added once, however often."""
    family = "-6" if v6 else "-4"
    ns.run("ip", family, "rule", "del", *rule, check=False)
    ns.run("ip", family, "rule", "add", *rule)


class Access(netlab.Lab):
    """The topology of the file's head comment."""

    NAMESPACES, TAG = ("host", "cpe", "wire", "router", "conc", "conc2", "server"), "a"

    def _build(self):
        self._namespaces()
        self.client, self.machines = self.cpe, [ns for ns in self.all if ns is not self.wire]
        self._veth(self.host, "h0", self.cpe, "l0")
        for i in (1, 2):
            self._emulated(i, self.cpe, f"u{i}", self.router, f"r{i}")
        for i, (ns, dev) in enumerate(((self.conc, "a0"), (self.conc2, "b0"))):
            self._veth(self.router, f"r{dev[0]}", ns, dev)
            self._veth(ns, "o0", self.server, f"t{i + 1}")
        self._veth(self.router, "rs", self.server, "t0")
        self._addresses()
        for ns in (self.cpe, self.router, self.conc, self.conc2):
            ns.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        for i in (1, 2):
            self.cpe.sysctl(**{f"net__ipv6__conf__u{i}__keep_addr_on_down": 1})
        for ns in self.machines:
            ns.ip("mptcp limits set subflows 4 add_addr_accepted 4")
        self.emulator = netlab.Emulator(self.wire, self.tools["pathemu"], [f"path{i}:wa{i}:wb{i}" for i in (1, 2)])

    def _addresses(self):
        self._pair(self.host, "h0", *HOST, self.cpe, "l0", *CPE_LAN, 26)
        for i in (1, 2):
            self._pair(self.cpe, f"u{i}", *CPE_WAN[i], self.router, f"r{i}", *ROUTER_WAN[i], 26)
        for i, (ns, dev) in enumerate(((self.conc, "a0"), (self.conc2, "b0"))):
            self._pair(self.router, f"r{dev[0]}", *ROUTER_IN[i], ns, dev, *CONC_IN[i], 26)
            self._pair(ns, "o0", *CONC_OUT[i], self.server, f"t{i + 1}", *SERVER_LINK[i + 1], 26)
            self._loopback(ns, CONC[i])
        self._pair(self.router, "rs", *ROUTER_OUT, self.server, "t0", *SERVER_LINK[0], 26)
        self._loopback(self.server, SERVER)
        self._loopback(self.server, SERVER_2)

    @staticmethod
    def _loopback(ns, address):
        ns.ip(f"addr add {address[0]}/32 dev lo", f"addr add {address[1]}/128 dev lo nodad")

    def _wan_routes(self, i):
        """The CPE prefers its first link, and for SERVER_2 its second; what has an address leaves by the address's link."""
        for v6 in (0, 1):
            gateway = ROUTER_WAN[i][v6]
            _route(self.cpe, "default", gateway, f"dev u{i} metric {100 * i}")
            _route(self.cpe, SERVER_2[v6], gateway, f"dev u{i} metric {100 * (3 - i)}")
            _route(self.cpe, "default", gateway, f"dev u{i} table {100 + i}")
            _rule(self.cpe, v6, "from", CPE_WAN[i][v6], "lookup", str(100 + i))

    def _routes(self):
        for i in (1, 2):
            self._wan_routes(i)
        for v6 in (0, 1):
            _route(self.host, "default", CPE_LAN[v6])
            _route(self.router, "2001:db8::/64" if v6 else "192.0.2.0/26", CPE_WAN[1][v6])
            for i, ns in enumerate((self.conc, self.conc2)):
                _route(self.router, CONC[i][v6], CONC_IN[i][v6])
                _route(ns, "default", ROUTER_IN[i][v6])
                _route(ns, SERVER[v6], SERVER_LINK[i + 1][v6])
            _route(self.router, SERVER[v6], SERVER_LINK[0][v6])
            _route(self.router, SERVER_2[v6], SERVER_LINK[0][v6])
            _route(self.server, "default", ROUTER_OUT[v6])
            _route(self.server, CUSTOMERS[v6], ROUTER_OUT[v6])
            for ns, to in ((self.conc, SERVER_2), (self.conc, CONC[1]), (self.conc2, CONC[0]), (self.cpe, CONC[0]),
                           (self.cpe, CONC_IN[0])):
                ns.run("ip", "-6" if v6 else "-4", "route", "del", to[v6], check=False)

    def on_path(self):
        """From now on all between customers and server passes `conc`."""
        for v6 in (0, 1):
            for server in (SERVER[v6], SERVER_2[v6]):
                _route(self.router, server, CONC_IN[0][v6])
                _route(self.conc, server, SERVER_LINK[1][v6])
            _route(self.server, CUSTOMERS[v6], CONC_OUT[0][v6])

    def reset(self):
        """Back to the state a test may rely on."""
        for i in (1, 2):
            self.emulator.set(f"path{i}", **netlab.PATH_DEFAULTS)
            self.cpe.ip(f"link set u{i} up")
        for ns in self.machines:
            ns.ip("mptcp endpoint flush")
            ns.run("nft", "flush", "ruleset")
            ns.sysctl(net__mptcp__blackhole_timeout=0, net__mptcp__enabled=1, net__ipv4__tcp_fastopen=0x607)
        self._routes()

    def use_both_paths(self):
        """From now on the CPE joins over its second WAN link."""
        self.cpe.ip(*(f"mptcp endpoint add {address} dev u2 subflow" for address in CPE_WAN[2]))

    def one_address_each(self):
        """The concentrators speak to each other from the addresses they serve at."""
        for v6 in (0, 1):
            _route(self.conc, CONC[1][v6], ROUTER_IN[0][v6], "src", CONC[0][v6])
            _route(self.conc2, CONC[0][v6], ROUTER_IN[1][v6], "src", CONC[1][v6])

    def masquerade(self):
        """The CPE hides the host behind the address of the link a connection leaves by."""
        self.cpe.nft('table inet nat { chain post { type nat hook postrouting priority srcnat; oifname { "u1", "u2" } '
                     'ip saddr != { %s, %s } masquerade; } }' % (CPE_WAN[1][0], CPE_WAN[2][0]))

    def divert(self, port, ns=None, lan="l0"):
        """Rules and routes of a CPE: its hosts' plain TCP goes to the transparent listeners at `port`. Again: replaces them."""
        ns = ns or self.cpe
        self._deliver_marked(ns)
        ns.run("nft", "-D", f'lan={{ "{lan}" }}', "-D", f"port={port}", "-f", os.path.join(RULES, "transparent.nft"))

    def divert_who_asks(self):
        """on_path(), and the rules of such a concentrator: connections that ask for it go to its implicit listeners."""
        self.on_path()
        self._deliver_marked(self.conc)
        self.conc.run("nft", "-D", 'customers={ "a0" }', "-f", os.path.join(RULES, "on-path.nft"))

    @staticmethod
    def _deliver_marked(ns):
        for v6 in (0, 1):
            _rule(ns, v6, "fwmark", MARK, "lookup", TABLE)
            ns.run("ip", "-6" if v6 else "-4", "route", "replace", "local", "default", "dev", "lo", "table", TABLE)

    def counted(self, counter, ns=None, table="mpconvert_transparent"):
        """Packets one of the rules has counted."""
        out = (ns or self.cpe).run("nft", "list", "counter", "inet", table, counter).stdout.decode()
        return int(out.split("packets ")[1].split()[0])

    def link_down(self, i):
        """WAN link i of the CPE, by its own hand: the routes go with it. To lose it silently: emulator.cut()."""
        self.cpe.ip(f"link set u{i} down")

    def link_up(self, i):
        self.cpe.ip(f"link set u{i} up")
        self._wan_routes(i)

    def silence(self, *addresses):
        """From now on the router drops all from and to these."""
        rules = [f"{'ip6' if ':' in a else 'ip'} {way} {a} drop;" for a in addresses for way in ("saddr", "daddr")]
        self.router.nft("table inet silence { chain f { type filter hook forward priority 0; " + " ".join(rules) + " } }")

    def hear_again(self):
        self.router.run("nft", "delete", "table", "inet", "silence")
