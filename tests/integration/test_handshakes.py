# SPDX-License-Identifier: MIT
"""How the octets of a handshake arrive does not matter: split anywhere, all at once, or too slowly."""
import time

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5

ALL = pytest.mark.parametrize("dialect", clients.DIALECTS)
BOTH = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


@ALL
@BOTH
def test_split_after_every_octet(lab, proxy, origin, dialect, v6):
    p = proxy()
    message = clients.opening(dialect, clients.target(v6), origin.port) + b"ECHO\nearly"
    for cut in range(1, len(message)):
        s = clients.dial(lab, p, v6=v6, protocol=clients.TCP)
        s.sendall(message[:cut])
        time.sleep(0.002)
        s.sendall(message[cut:])
        clients.expect_success(s, dialect, clients.target(v6), origin.port)
        assert dialects.receive_exactly(s, 5) == b"early", f"cut after {cut}"
        s.close()


@ALL
def test_one_octet_at_a_time(lab, proxy, origin, dialect):
    p = proxy()
    s = clients.dial(lab, p)
    for octet in clients.opening(dialect, netlab.SERVER, origin.port) + b"ECHO\nearly":
        s.sendall(bytes([octet]))
        time.sleep(0.002)
    clients.expect_success(s, dialect, netlab.SERVER, origin.port)
    assert dialects.receive_exactly(s, 5) == b"early"


def test_socks5_step_by_step(lab, proxy, origin):
    s = clients.dial(lab, proxy())
    s.sendall(dialects.socks5_greeting(0, 1, 2))
    assert dialects.receive_exactly(s, 2) == b"\x05\x00"
    s.sendall(dialects.socks5_request(netlab.SERVER, origin.port))
    code, bound, port = dialects.receive_socks5_reply(s)
    assert (code, bound) == (0, netlab.CONC_OUT) and port > 0
    s.sendall(b"ECHO\nx")
    assert dialects.receive_exactly(s, 1) == b"x"


def test_socks5_name_that_is_a_literal(lab, proxy, origin):
    p = proxy()
    for literal, host in ((netlab.SERVER, netlab.SERVER), (netlab.SERVER6, netlab.SERVER6), (f"[{netlab.SERVER6}]", netlab.SERVER6)):
        s = clients.dial(lab, p)
        request = bytes([5, 1, 0, 3, len(literal)]) + literal.encode() + origin.port.to_bytes(2, "big")
        s.sendall(dialects.socks5_greeting(0) + request + b"ECHO\nx")
        clients.expect_success(s, SOCKS5, host, origin.port)
        assert dialects.receive_exactly(s, 1) == b"x"


@ALL
def test_much_early_data_waits_for_a_slow_server(lab, proxy, origin, dialect):
    """More than is kept: the rest waits in the kernel, nothing is lost."""
    lab.emulator.set("leg", delay=150)
    data = dialects.stream(lab, 1_000_000, 3)
    s = clients.dial(lab, proxy())
    clients.send_in_background(s, clients.opening(dialect, netlab.SERVER, origin.port) + b"ECHO\n" + data)
    clients.expect_success(s, dialect, netlab.SERVER, origin.port)
    assert dialects.receive_all(s) == data


TIMEOUTS = {"timeouts": {"header_seconds": 1, "socks_header_seconds": 1}}


def silence_ends(sock, begin):
    """Seconds until the proxy ended the connection."""
    try:
        dialects.receive_all(sock)
    except ConnectionResetError:
        pass
    return time.monotonic() - begin


@pytest.mark.parametrize("first", [b"", b"\x05", b"\x05\x01\x00", b"\xfa\xa8", b"\x01\x06\x22\x63\x0a"],
                         ids=["nothing", "part of a greeting", "greeting only", "part of the magic", "part of a TLV"])
def test_a_client_that_stops_is_cut_at_the_deadline(lab, proxy, first):
    p = proxy(TIMEOUTS)
    s = clients.dial(lab, p)
    begin = time.monotonic()
    s.sendall(first) if first else None
    assert 0.9 < silence_ends(s, begin) < 2.5


@ALL
def test_a_client_that_trickles_is_cut_at_the_same_deadline(lab, proxy, origin, dialect):
    """The deadline counts from accept: octets do not move it."""
    p = proxy(TIMEOUTS)
    message = clients.opening(dialect, netlab.SERVER, origin.port)
    s = clients.dial(lab, p)
    begin = time.monotonic()
    s.settimeout(0.15)
    for octet in message:
        try:
            s.sendall(bytes([octet]))
            if not s.recv(100) and dialect != SOCKS5:
                break
        except TimeoutError:
            continue
        except OSError:
            break
        if time.monotonic() - begin > 4:
            break
    assert time.monotonic() - begin < 2.5


@pytest.mark.parametrize(
    "sent,answer",
    [
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (b"\x00\x00\x00\x00", None),
        (b"\x05\x00", b"\x05\xff"),  # no method offered (A5)
        (b"\x05\x01\x01", b"\x05\xff"),  # GSSAPI only (A4)
        (b"\x05\x01\x00\x05\x02\x00\x01\xc0\x00\x02\x0a\x00\x50", b"\x05\x00\x05\x07"),  # BIND: command not supported
        (b"\x05\x01\x00\x05\x01\x00\x09\xc0\x00\x02\x0a\x00\x50", b"\x05\x00\x05\x08"),  # address type 9
        (b"\x05\x01\x00\x05\x01\x00\x01\xcb\x00\x71\x0a\x00\x00", b"\x05\x00\x05\x01"),  # port 0 (A14)
        (b"\x02\x01\x22\x63", b"\x01\x02\x22\x63\x1e\x01\x00\x01"),  # Convert version 2 (R5)
        (b"\x01\x00\x22\x63", None),  # Total Length 0 (R3)
        (b"\x01\x02\x22\x63\x00\x01\x00\x00", b"\x01\x04\x22\x63\x1e\x03\x02\x00"),  # type 0 (R6)
        (b"\x01\x02\x22\x63\x0a\x00\x00\x00", b"\x01\x04\x22\x63\x1e\x03\x01\x00"),  # TLV length 0 (R7)
        (b"\xfa\xa8\xfa\xa8\x00\x09\x00\x01\xc0\x00\x02\x0a\x01\xbb\x00\x00", None),  # length 9 (S3)
        (b"\xfa\xa8\xfa\xa8\x07\x0a\x00\x01\xc0\x00\x02\x0a\x01\xbb\x00\x00", None),  # unknown type (S3)
        (b"\xfa\xa8\xfa\xa9\x00\x0a\x00\x01\xc0\x00\x02\x0a\x01\xbb\x00\x00", None),  # wrong magic (C6)
    ],
)
def test_malformed_messages(lab, proxy, sent, answer):
    """The answer the protocol has for it, or none at all; and always the end."""
    s = clients.dial(lab, proxy())
    s.sendall(sent)
    got = b""
    try:
        while chunk := s.recv(1000):
            got += chunk
        reset = False
    except ConnectionResetError:
        reset = True
    if answer is None:
        # an HTTP client may get a line of text (A3); nobody else gets anything
        assert got == b"" or (sent[:1].isalpha() and got.startswith(b"HTTP/1.")), got
    else:
        assert got[: len(answer)] == answer and not reset


def test_mp_convert_probe(lab, proxy):
    """An element without address is a question: echo and an orderly end."""
    probe = b"\xfa\xa8\xfa\xa8\x00\x04\x00\x01"
    s = clients.dial(lab, proxy())
    s.sendall(probe)
    assert dialects.receive_all(s) == probe


def test_mp_convert_element_without_port_means_the_listeners(lab, proxy):
    """Draft -10 s6.2: the destination port of the client's connection."""
    p = proxy()
    there = netlab.Origin(lab)
    lab.server.nft(f"table ip portmap {{ chain pre {{ type nat hook prerouting priority dstnat; "
                   f"tcp dport {p.port} redirect to :{there.port}; }} }}")
    element = bytes.fromhex("faa8faa800080001cb00710a")
    s = clients.dial(lab, p)
    s.sendall(element + b"ECHO\nx")
    assert dialects.receive_exactly(s, len(element) + 1) == element + b"x"
    there.stop()


def test_mp_convert_echo_is_verbatim(lab, proxy, origin):
    """Reserved bits and padding come back as they were sent (draft -10 s5.2)."""
    element = bytearray(dialects.mp_convert(netlab.SERVER, origin.port))
    element[6] |= 0xA0
    element[-2:] = b"\x5a\xa5"
    s = clients.dial(lab, proxy())
    s.sendall(bytes(element) + b"ECHO\nx")
    assert dialects.receive_exactly(s, len(element) + 1) == bytes(element) + b"x"


def test_convert_info_is_answered_with_the_supported_extensions(lab, proxy, origin):
    p = proxy()
    s = clients.dial(lab, p)
    s.sendall(dialects.convert_message(dialects.convert_tlv(dialects.TLV_INFO, b"\0\0")))
    answer = dialects.receive_convert(s)
    kinds = set(answer[dialects.TLV_SUPPORTED][2:]) - {0}
    assert 30 in kinds and not kinds & {1, 2, 3, 5, 29}
    assert s.recv(1) == b""
    s = clients.dial(lab, p)
    s.sendall(dialects.convert_connect(netlab.SERVER, origin.port, info=True) + b"ECHO\nx")
    answer = dialects.receive_convert(s)
    assert dialects.TLV_SUPPORTED in answer and dialects.TLV_EXTENDED_HEADER in answer
    assert dialects.receive_exactly(s, 1) == b"x"


@pytest.mark.parametrize("dialect", [MP_CONVERT, CONVERT])
def test_a_dialect_the_listener_does_not_speak(lab, proxy, origin, dialect):
    p = proxy(listener={"protocols": ["socks5"]})
    s = clients.dial(lab, p)
    s.sendall(clients.opening(dialect, netlab.SERVER, origin.port))
    assert clients.failure(s, dialect) in (clients.RESET, b"")
