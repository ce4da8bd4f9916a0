# SPDX-License-Identifier: MIT
"""Machines of the hybrid access network as operators set them up, and what its host does."""
import socket

import pytest

from support import access as net, clients, dialects, kernel, netlab

PORT = 9002  # of the CPE's transparent listeners
EVERYBODY = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.0/24", "127.0.0.0/8", "::1/128"]
DIALECTS = pytest.mark.parametrize("dialect", clients.DIALECTS)
FAMILIES = pytest.mark.parametrize("v6", [0, 1], ids=["ipv4", "ipv6"])
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
CAPABLE, JOIN = "tcp.options.mptcp.subtype == 0", "tcp.options.mptcp.subtype == 1"


def transparent(port=PORT, **more):
    """The two listeners that conf/nft/transparent.nft diverts to."""
    return [{"name": name, "address": f"{where}:{port}", "transparent": True, **more}
            for name, where in (("lan4", "127.0.0.1"), ("lan6", "[::1]"))]


def implicit(port):
    """The listeners of an on-path concentrator for connections to that port of whomever."""
    return [{"name": name, "address": f"{where}:{port}", "transparent": True, "implicit": True, "protocols": ["mp_convert"],
             "join_tokens": "inet mpconvert_onpath tokens"} for name, where in (("path4", "127.0.0.1"), ("path6", "[::1]"))]


def entry(p, dialect="mp_convert", v6=0, **more):
    """A concentrator of via.concentrators."""
    host = net.CONC[p.ns is p.lab.conc2][v6]
    return {"address": f"[{host}]:{p.port}" if v6 else f"{host}:{p.port}", "dialect": dialect, **more}


def via(*concentrators, **more):
    """Without probes, which would count as sessions at the far end, unless told otherwise."""
    return {"via": {"concentrators": list(concentrators), "probe": False, **more}, "acl": {"rules": [{"action": "allow"}]},
            "clients": {"allow": EVERYBODY, "trusted": EVERYBODY}}


def fixed(port, **more):
    """A listener a daemon can be started on again."""
    return {"name": f"port-{port}", "address": f"[::]:{port}", **more}


class Home:
    """The CPE and its host."""

    def __init__(self, access, daemon):
        self.access, self._daemon = access, daemon

    def start(self, *concentrators, changes=None, **more):
        """The daemon of the CPE, which asks these."""
        self.access.divert(PORT)
        return self._daemon({**via(*concentrators, **more), **(changes or {})}, ns=self.access.cpe,
                            listener={"via": True}, more_listeners=transparent(via=True))

    def call(self, port, v6=0, protocol=socket.IPPROTO_TCP, to=net.SERVER):
        """The host's own connection to a server."""
        s = self.access.host.open_socket(socket.AF_INET6 if v6 else socket.AF_INET, protocol)
        s.connect((to[v6], port))
        return s


def ask_echo(s):
    s.sendall(b"ECHO\n")


def exchange(lab, s, count=300_000, seed=3):
    """Everything there and back again, after ask_echo()."""
    data = dialects.stream(lab, count, seed)
    sender = clients.send_in_background(s, data, finish=False)
    assert dialects.receive_exactly(s, count) == data
    sender.join()


class Broken(Exception):
    """The end of the stream, too early."""


class Flow:
    """Octets on their way through the echo server and back, `count` of them; what comes back is checked as it comes."""

    def __init__(self, lab, s, count, seed=5):
        self._socket, self._data, self.received = s, dialects.stream(lab, count, seed), 0
        self._sender = clients.send_in_background(s, self._data, finish=False)

    def receive(self, until):
        """Up to this many octets altogether."""
        while self.received < until:
            chunk = self._socket.recv(min(1 << 16, until - self.received))
            assert chunk == self._data[self.received : self.received + len(chunk)], f"another octet after {self.received}"
            if not chunk:
                raise Broken(f"ended after {self.received}")
            self.received += len(chunk)

    def end(self):
        self.receive(len(self._data))
        self._sender.join()


def finish(s):
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""
    s.close()


def peer_of(origin, ended):
    """The address the server saw of the next connection that ended, after `ended` others."""
    return origin.wait_events(ended + 1)[-1]["peer"]


def wait_subflows(p, count, timeout=5):
    """Until the only session's client leg has as many."""
    def there():
        found = p.sessions()
        return len(found) == 1 and found[0].get("mptcp") and found[0]["mptcp"]["subflows"] == count
    netlab.wait_for(there, timeout, f"{count} subflows")


def second_subflow(s):
    netlab.wait_for(lambda: kernel.mptcp_info(s)["subflows"] == 1, 5, "the second subflow")
