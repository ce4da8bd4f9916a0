# SPDX-License-Identifier: MIT
"""What is off by default: SOCKS4 and 4a, the option bytes of drafts -08 and -09, and Tor's RESOLVE and RESOLVE_PTR."""
import ipaddress
import socket
import struct

import pytest

from support import clients, dialects, kernel, netlab
from support.nameserver import SILENT, Nameserver

SOCKS4, PM08 = "socks4", "pm08"
GRANTED, REJECTED = 0x5A, 0x5B
RESOLVE, RESOLVE_PTR = 0xF0, 0xF1
CLOSED_PORT = 7998
HOST = "host.example.net"
NAMES = {
    HOST: [netlab.SERVER],
    "six.example.net": [netlab.SERVER6],
    "private.example.net": ["10.0.0.1"],
    "partly.example.net": ["10.0.0.1", netlab.SERVER],
    "silent.example.net": SILENT,
}


class Pointers(Nameserver):
    """Answers PTR questions as well: `pointers` is {address: name}."""

    PTR = 12
    pointers = {netlab.SERVER: HOST, netlab.SERVER6: "six.example.net", "10.0.0.1": "secret.example.net"}

    def _answer(self, query):
        name, kind, question = self._question(query)
        if kind != self.PTR:
            return super()._answer(query)
        self.asked.append((name, kind))
        host = {ipaddress.ip_address(a).reverse_pointer: n for a, n in self.pointers.items()}.get(name)
        if host is None:
            return query[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + question
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split(".")) + b"\0"
        return (query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question
                + struct.pack("!HHHIH", 0xC00C, self.PTR, 1, 60, len(labels)) + labels)


@pytest.fixture
def nameserver(lab):
    server = Pointers(lab.server, netlab.SERVER_DNS, dict(NAMES))
    yield server
    server.stop()


def serving(proxy, *protocols, **changes):
    dns = {"servers": [netlab.SERVER_DNS], "timeout_seconds": 1, "tries": 1}
    return proxy({"dns": dns, **changes}, listener={"protocols": list(protocols)})


# SOCKS4 and 4a


def socks4(lab, p, request, **how):
    """(code of the answer, the socket)."""
    s = clients.dial(lab, p, **how)
    s.sendall(request)
    answer = dialects.receive_exactly(s, 8)
    assert len(answer) == 8 and answer[0] == 0, answer
    return answer[1], s


@pytest.mark.parametrize("host", [netlab.SERVER, HOST, "six.example.net"], ids=["4", "4a", "4a to IPv6"])
@pytest.mark.parametrize("user", [b"", b"somebody"], ids=["no user", "user"])
@pytest.mark.parametrize("protocol", [clients.TCP, clients.MPTCP], ids=["tcp", "mptcp"])
def test_socks4(lab, proxy, origin, nameserver, host, user, protocol):
    data = dialects.stream(lab, 200_000, 5)
    p = serving(proxy, SOCKS4)
    code, s = socks4(lab, p, dialects.socks4(host, origin.port, user=user) + b"ECHO\n", protocol=protocol)
    assert code == GRANTED
    clients.send_in_background(s, data)
    assert dialects.receive_all(s) == data
    assert (kernel.mptcp_info(s) is not None) == (protocol == clients.MPTCP)


@pytest.mark.parametrize("host", [netlab.SERVER, HOST], ids=["4", "4a"])
def test_socks4_octet_by_octet(lab, proxy, origin, nameserver, host):
    s = clients.dial(lab, serving(proxy, SOCKS4, "socks5", "mp_convert", "convert"))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in dialects.socks4(host, origin.port, user=b"me"):
        s.sendall(bytes([octet]))
    assert dialects.receive_exactly(s, 2) == b"\0\x5a"


REFUSED4 = {
    "closed port": dialects.socks4(netlab.SERVER, CLOSED_PORT),
    "unknown name": dialects.socks4("missing.example.net", 80),
    "denied address": dialects.socks4("10.0.0.1", 80),
    "denied address by name": dialects.socks4("private.example.net", 80),
    "loopback": dialects.socks4("127.0.0.1", 80),
    "BIND": dialects.socks4(netlab.SERVER, 80, command=2),
    "port 0": dialects.socks4(netlab.SERVER, 0),
}


@pytest.mark.parametrize("request_", REFUSED4.values(), ids=REFUSED4.keys())
def test_socks4_refusals(lab, proxy, nameserver, request_):
    code, s = socks4(lab, serving(proxy, SOCKS4), request_)
    assert code == REJECTED
    assert s.recv(1) == b"", "an orderly end"


def test_socks4_has_no_credentials(lab, proxy, origin):
    """With a users file it is for exempt sources only; the user id proves nothing."""
    p = proxy({"auth": {"users_file": "{folder}/users", "exempt": ["192.0.2.64/26"]}}, listener={"protocols": [SOCKS4]},
              files={"users": "ann:*\n"})
    assert socks4(lab, p, dialects.socks4(netlab.SERVER, origin.port, user=b"ann"), link=0)[0] == REJECTED
    assert socks4(lab, p, dialects.socks4(netlab.SERVER, origin.port), link=1)[0] == GRANTED


# The option bytes of the older drafts


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("fastopen", [False, True], ids=["late", "syn data"])
def test_pm08(lab, proxy, origin, v6, fastopen):
    """No answer: the first octets are the server's own."""
    data = dialects.stream(lab, 200_000, 6)
    p = serving(proxy, PM08)
    first = dialects.pm08(clients.target(v6), origin.port) + b"ECHO\n"
    if fastopen:
        s = clients.dial_with(lab, p, first, v6=v6)
    else:
        s = clients.dial(lab, p, v6=v6)
        s.sendall(first)
    clients.send_in_background(s, data)
    assert dialects.receive_all(s) == data
    assert kernel.is_mptcp(s)


def test_pm08_with_a_source_and_padding(lab, proxy, origin):
    """Source (flag D) and target in any order, NOPs between options."""
    options = dialects.pm08(netlab.SERVER, origin.port)[:-1]
    source = bytearray(dialects.pm08(netlab.CLIENT[0], 4000)[:-1])
    source[2] |= 8
    p = serving(proxy, PM08)
    for request in (bytes(source) + b"\1" + options + b"\0", b"".join([options, b"\1\1", source, b"\0"])):
        s = clients.dial(lab, p)
        s.sendall(request + b"ECHO\nx")
        assert dialects.receive_exactly(s, 1) == b"x"


REFUSED8 = {
    "closed port": dialects.pm08(netlab.SERVER, CLOSED_PORT),
    "UDP": dialects.pm08(netlab.SERVER, 53, protocol=17),
    "denied address": dialects.pm08("10.0.0.1", 80),
    "loopback": dialects.pm08("127.0.0.1", 80),
    "port 0": dialects.pm08(netlab.SERVER, 0),
}


@pytest.mark.parametrize("request_", REFUSED8.values(), ids=REFUSED8.keys())
def test_pm08_refusals(lab, proxy, capture, request_):
    p = serving(proxy, PM08)
    seen = capture(lab.client, "c0", f"tcp port {p.port}")
    s = clients.dial(lab, p)
    s.sendall(request_)
    assert clients.failure(s, PM08) == clients.RESET
    assert seen.count(f"tcp.srcport == {p.port} && tcp.flags.reset == 1 && tcp.options.mptcp.subtype == 7") >= 1


@pytest.mark.parametrize("dialect", [SOCKS4, PM08])
def test_off_unless_switched_on(lab, proxy, capture, dialect):
    """Reset, like any other octets that are nobody's; beside every other dialect, and by default."""
    request = {SOCKS4: dialects.socks4, PM08: dialects.pm08}[dialect](netlab.SERVER, 80)
    others = [d for d in ("socks5", "mp_convert", "convert", SOCKS4, PM08) if d != dialect]
    for p in (proxy(), serving(proxy, *others)):
        seen = capture(lab.conc, "s0", "tcp")
        s = clients.dial(lab, p)
        s.sendall(request)
        assert clients.failure(s, dialect) == clients.RESET
        assert seen.count("tcp") == 0


# Tor's commands


def lookup(lab, p, command, host):
    """(code, type of address, address or name)."""
    s = clients.dial(lab, p)
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(host, 0, command))
    assert dialects.receive_exactly(s, 2) == b"\x05\x00"
    said = dialects.receive_all(s)  # the connection ends in order
    assert said[0] == 5 and said[2] == 0
    if said[3] == 3:
        assert len(said) == 5 + said[4] + 2
        return said[1], 3, said[5 : 5 + said[4]].decode()
    assert len(said) == {1: 10, 4: 22}[said[3]]
    return said[1], said[3], str(ipaddress.ip_address(said[4:-2]))


RESOLVED = {
    HOST: (0, 1, netlab.SERVER),
    "six.example.net": (0, 4, netlab.SERVER6),
    "partly.example.net": (0, 1, netlab.SERVER),
    "private.example.net": (2, 1, "0.0.0.0"),
    "missing.example.net": (4, 1, "0.0.0.0"),
    "silent.example.net": (1, 1, "0.0.0.0"),
    netlab.SERVER: (0, 1, netlab.SERVER),
}
POINTED = {
    netlab.SERVER: (0, 3, HOST),
    netlab.SERVER6: (0, 3, "six.example.net"),
    "203.0.113.99": (4, 1, "0.0.0.0"),
    "10.0.0.1": (2, 1, "0.0.0.0"),
    HOST: (8, 1, "0.0.0.0"),
}


@pytest.fixture
def tor(proxy, nameserver):
    return serving(proxy, "socks5", socks5={"resolve": True})


@pytest.mark.parametrize("host", RESOLVED)
def test_resolve(lab, tor, capture, host):
    seen = capture(lab.conc, "s0", "tcp")
    assert lookup(lab, tor, RESOLVE, host) == RESOLVED[host]
    assert seen.count("tcp") == 0, "nobody is connected to"


@pytest.mark.parametrize("host", POINTED)
def test_resolve_ptr(lab, tor, nameserver, capture, host):
    seen = capture(lab.conc, "s0", "tcp")
    assert lookup(lab, tor, RESOLVE_PTR, host) == POINTED[host]
    assert seen.count("tcp") == 0
    if POINTED[host][0] == 2:
        assert nameserver.asked == [], "what may not be reached is not asked about either"


@pytest.mark.parametrize("command", [RESOLVE, RESOLVE_PTR])
def test_lookups_are_refused_unless_switched_on(lab, proxy, nameserver, command):
    p = serving(proxy, "socks5")
    assert lookup(lab, p, command, {RESOLVE: HOST, RESOLVE_PTR: netlab.SERVER}[command])[0] == 7
    assert nameserver.asked == []


def test_connect_works_beside_lookups(lab, tor, origin):
    s = clients.session(lab, tor, "socks5", origin.port, early=b"ECHO\nx", host=HOST)
    assert dialects.receive_exactly(s, 1) == b"x"
