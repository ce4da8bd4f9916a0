# SPDX-License-Identifier: MIT
"""upstream.proxy_header_to: servers of the operator's are told who the client is, in front of its octets; nobody else is."""
import ipaddress
import socket
import struct

import pytest

from support import clients, dialects, guests, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
TO = ["203.0.113.0/24", "2001:db8:0:5::/64"]


@pytest.fixture
def server(lab):
    """server(v6): a listening socket beside the origin."""
    made = []

    def start(v6=False):
        s = lab.server.open_socket(socket.AF_INET6 if v6 else socket.AF_INET)
        s.bind((clients.target(v6), 0))
        s.listen()
        s.settimeout(5)
        made.append(s)
        return s

    yield start
    for s in made:
        s.close()


def told(s, version):
    """(source, its port, destination, its port) of the header that `s` begins with."""
    if version == "v1":
        line = b""
        while not line.endswith(b"\r\n"):
            line += dialects.receive_exactly(s, 1)
        word, family, source, to, source_port, port = line.decode().split()
        assert word == "PROXY" and family == f"TCP{ipaddress.ip_address(source).version}"
        return source, int(source_port), to, int(port)
    head = dialects.receive_exactly(s, 16)
    assert head[:13] == SIGNATURE + b"\x21"
    body = dialects.receive_exactly(s, struct.unpack("!H", head[14:])[0])
    size = {0x11: 4, 0x21: 16}[head[13]]
    source, to = (str(ipaddress.ip_address(body[i * size:][:size])) for i in range(2))
    return source, *struct.unpack("!H", body[2 * size:][:2]), to, *struct.unpack("!H", body[2 * size + 2:])


@FAMILIES
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("dialect", [SOCKS5, MP_CONVERT, CONVERT])
def test_the_server_hears_of_the_client_first(lab, proxy, server, version, v6, dialect):
    p, far = proxy({"upstream": {"proxy_header_to": TO, "proxy_header": version}}), server(v6)
    port = far.getsockname()[1]
    s = clients.dial(lab, p, v6=v6)
    s.sendall(clients.opening(dialect, clients.target(v6), port) + b"early")
    clients.expect_success(s, dialect, clients.target(v6), port)
    peer, _ = far.accept()
    peer.settimeout(5)
    assert told(peer, version) == (*s.getsockname()[:2], clients.target(v6), port)
    assert dialects.receive_exactly(peer, 5) == b"early"
    s.sendall(b"late")
    assert dialects.receive_exactly(peer, 4) == b"late"
    peer.close()
    s.close()


def test_families_may_differ(lab, proxy, server):
    """An IPv6 client of an IPv4 server: both are written as IPv6."""
    p, far = proxy({"upstream": {"proxy_header_to": TO}}), server()
    port = far.getsockname()[1]
    s = clients.dial(lab, p, v6=True)
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, port))
    peer, _ = far.accept()
    peer.settimeout(5)
    source, _, to, _ = told(peer, "v2")
    assert (source, ipaddress.ip_address(to).ipv4_mapped) == (s.getsockname()[0], ipaddress.ip_address(netlab.SERVER))
    peer.close()
    s.close()


def test_nobody_else_is_told(lab, proxy, origin):
    p = proxy({"upstream": {"proxy_header_to": ["203.0.113.64/26"]}})
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"
    s.close()


def test_fast_open_does_not_overtake_the_header(lab, proxy, server):
    p, far = proxy({"upstream": {"proxy_header_to": TO, "fastopen": True}}), server()
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    for _ in range(2):  # the second time there is a cookie
        s = clients.dial(lab, p)
        s.sendall(clients.opening(MP_CONVERT, netlab.SERVER, far.getsockname()[1]) + b"early")
        peer, _ = far.accept()
        peer.settimeout(5)
        assert told(peer, "v2")[0] == s.getsockname()[0]
        assert dialects.receive_exactly(peer, 5) == b"early"
        peer.close()
        s.close()


def test_the_octets_of_the_header_are_not_the_clients(lab, proxy, server):
    p, far = proxy({"upstream": {"proxy_header_to": TO}}), server()
    s = clients.dial(lab, p)
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, far.getsockname()[1]) + b"four")
    peer, _ = far.accept()
    peer.settimeout(5)
    told(peer, "v2")
    assert dialects.receive_exactly(peer, 4) == b"four"
    netlab.wait_for(lambda: p.sessions()[0]["up_bytes"] == 4, 5, "the client's octets")
    peer.close()
    s.close()


def test_a_concentrator_is_not_told_and_tells_its_server(lab, proxy, server):
    """Through a concentrator the header would be data of the target's."""
    far = proxy({"upstream": {"proxy_header_to": TO}})
    near = proxy({"via": {"concentrators": [{"address": f"{netlab.CONC}:{far.port}"}]}, "clients": {"allow": ["127.0.0.0/8"]},
                  "acl": {"rules": [{"action": "allow"}]}, "upstream": {"proxy_header_to": [*TO, "198.51.100.0/24"]}},
                 ns=lab.client, listener={"via": True})
    end = server()
    s = lab.client.open_socket()
    s.connect(("127.0.0.1", near.port))
    s.sendall(clients.opening(SOCKS5, netlab.SERVER, end.getsockname()[1]) + b"data")
    peer, _ = end.accept()
    peer.settimeout(5)
    assert ipaddress.ip_address(told(peer, "v2")[0]) in ipaddress.ip_network("192.0.2.0/24")
    assert dialects.receive_exactly(peer, 4) == b"data"
    peer.close()
    s.close()


@FAMILIES
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_understands_it(lab, proxy, tmp_path, version, v6):
    guests.need("nginx")
    port = lab.server.free_port()
    (tmp_path / "nginx.conf").write_text(f"""
daemon off; master_process off; user root root; pid {tmp_path}/pid; error_log stderr; events {{}}
http {{ access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
  uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; server {{ listen {netlab.SERVER}:{port} proxy_protocol; listen [{netlab.SERVER6}]:{port} proxy_protocol;
  location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port"; }} }} }}""")
    nginx = lab.server.popen("nginx", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", "stderr")
    try:
        netlab.wait_for(lambda: lab.server.listening(port), 10, "nginx")
        p = proxy({"upstream": {"proxy_header_to": TO, "proxy_header": version}})
        s = clients.session(lab, p, SOCKS5, port, v6=v6, early=b"GET / HTTP/1.0\r\n\r\n")
        body = dialects.receive_all(s).split(b"\r\n\r\n", 1)[1]
        assert body.decode() == "{} {}".format(*s.getsockname()[:2])
        s.close()
    finally:
        nginx.terminate()
        nginx.wait(10)
