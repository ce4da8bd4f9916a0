# SPDX-License-Identifier: MIT
"""The three dialects as octets, written independently of the C code: SOCKS5 (RFC 1928, RFC 1929), plain-mode MP_CONVERT
(draft-boucadair-mptcp-plain-mode-10 s5) and RFC 8803 Convert."""
import functools
import ipaddress
import struct
import subprocess

CONVERT_MAGIC = b"\x22\x63"
TLV_INFO, TLV_CONNECT, TLV_EXTENDED_HEADER, TLV_SUPPORTED, TLV_COOKIE, TLV_ERROR = 0x01, 0x0A, 0x14, 0x15, 0x16, 0x1E


@functools.lru_cache(maxsize=4)
def _stream(program, count, seed):
    return subprocess.run([program, "stream", str(count), str(seed)], capture_output=True, check=True).stdout


def stream(lab, count, seed):
    """What the origin's SOURCE command sends."""
    return _stream(lab.tools["origin"], count, seed)


def socks5_greeting(*methods):
    return bytes([5, len(methods), *methods])


def socks5_password(user, password):
    return bytes([1, len(user)]) + user + bytes([len(password)]) + password


def socks5_request(host, port, command=1):
    """`host` is an address, or a name."""
    try:
        address = ipaddress.ip_address(host)
        where = bytes([1 if address.version == 4 else 4]) + address.packed
    except ValueError:
        where = bytes([3, len(host)]) + host.encode()
    return bytes([5, command, 0]) + where + struct.pack("!H", port)


def mp_convert(host, port, source=False, last=True):
    """One information element of type 0; padded to a multiple of four octets."""
    address = ipaddress.ip_address(host)
    body = address.packed + struct.pack("!H", port)
    element = b"\xfa\xa8\xfa\xa8" + bytes([0, 4 + len(body)]) + struct.pack("!H", source << 1 | last) + body
    return element + bytes(-len(element) % 4)


def pm08(host, port, protocol=6):
    """Drafts -08 and -09: an MPTCP option of subtype E as octets, and the end of the option list."""
    body = ipaddress.ip_address(host).packed + struct.pack("!H", port)
    return bytes([30, 4 + len(body), 0xE0, protocol]) + body + b"\0"


def socks4(host, port, command=1, user=b""):
    """`host` is an address, or a name: then it is 4a."""
    try:
        where, name = ipaddress.IPv4Address(host).packed, b""
    except ValueError:
        where, name = b"\0\0\0\x01", host.encode() + b"\0"
    return bytes([4, command]) + struct.pack("!H", port) + where + user + b"\0" + name


def convert_tlv(kind, value):
    """Type, length in words, value; zero padded."""
    value += bytes(-(len(value) + 2) % 4)
    return bytes([kind, (len(value) + 2) // 4]) + value


def convert_message(*tlvs, version=1):
    body = b"".join(tlvs)
    return bytes([version, len(body) // 4 + 1]) + CONVERT_MAGIC + body


def convert_connect_tlv(host, port, options=b""):
    address = ipaddress.ip_address(host)
    packed = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    return convert_tlv(TLV_CONNECT, struct.pack("!H", port) + packed + options)


def convert_connect(host, port, cookie=None, info=False):
    tlvs = [convert_tlv(TLV_INFO, b"\0\0")] if info else []
    tlvs.append(convert_connect_tlv(host, port))
    if cookie is not None:
        tlvs.append(convert_tlv(TLV_COOKIE, b"\0\0" + cookie))
    return convert_message(*tlvs)


def receive_exactly(sock, count):
    """Exactly `count` octets, or fewer when the stream ended before."""
    got = b""
    while len(got) < count:
        chunk = sock.recv(count - len(got))
        if not chunk:
            break
        got += chunk
    return got


def receive_all(sock):
    """Everything up to the end of the stream."""
    chunks = []
    while chunk := sock.recv(1 << 18):
        chunks.append(chunk)
    return b"".join(chunks)


def receive_convert(sock):
    """One Convert message: {type: value} of its TLVs, padding included; {} for a bare header; None when there is none."""
    head = receive_exactly(sock, 4)
    if len(head) < 4:
        return None
    assert head[0] == 1 and head[2:] == CONVERT_MAGIC, head.hex()
    body = receive_exactly(sock, head[1] * 4 - 4)
    found = {}
    while body:
        found[body[0]] = body[2 : body[1] * 4]
        body = body[body[1] * 4 :]
    return found


def receive_socks5_reply(sock):
    """(reply code, bound address, bound port); None when the stream ended before."""
    head = receive_exactly(sock, 4)
    if len(head) < 4:
        return None
    size = {1: 4, 4: 16}[head[3]]
    rest = receive_exactly(sock, size + 2)
    return head[1], str(ipaddress.ip_address(rest[:size])), struct.unpack("!H", rest[size:])[0]
