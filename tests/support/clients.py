# SPDX-License-Identifier: MIT
"""Client sides of the dialects over the lab's links: open a connection, ask for a target, judge the answer."""
import socket
import struct
import threading
import time

from . import dialects, kernel, netlab

SOCKS5, MP_CONVERT, CONVERT = "socks5", "mp_convert", "convert"
DIALECTS = (SOCKS5, MP_CONVERT, CONVERT)
TCP, MPTCP = socket.IPPROTO_TCP, kernel.IPPROTO_MPTCP

RESET = "reset"  # an abortive end instead of an answer
SO_RCVBUFFORCE = 33


def target(v6=False):
    return netlab.SERVER6 if v6 else netlab.SERVER


def address(proxy, link=1, v6=False):
    """Where the proxy is reached: over the plain link (0), or its service address over the first emulated path (1)."""
    if link == 0:
        return (netlab.CONC_LINK6 if v6 else netlab.CONC_LINK)[0], proxy.port
    return (netlab.CONC6 if v6 else netlab.CONC), proxy.port


def new_socket(lab, link=1, v6=False, protocol=MPTCP):
    s = lab.client.open_socket(socket.AF_INET6 if v6 else socket.AF_INET, protocol)
    s.bind(((netlab.CLIENT6 if v6 else netlab.CLIENT)[link], 0))
    return s


def dial(lab, proxy, link=0, v6=False, protocol=MPTCP):
    """Connected, nothing sent yet."""
    s = new_socket(lab, link, v6, protocol)
    s.connect(address(proxy, link, v6))
    return s


def dial_with(lab, proxy, data, link=1, v6=False, protocol=MPTCP, receive_buffer=0):
    """The SYN carries `data`, as much of it as fits."""
    s = new_socket(lab, link, v6, protocol)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)
    s.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
    sent = s.sendto(data, kernel.MSG_FASTOPEN, address(proxy, link, v6))
    if sent < len(data):
        s.sendall(data[sent:])
    return s


def opening(dialect, host, port):
    """Everything a client says before its own data, in one flight. SOCKS5: no authentication."""
    if dialect == SOCKS5:
        return dialects.socks5_greeting(0) + dialects.socks5_request(host, port)
    if dialect == MP_CONVERT:
        return dialects.mp_convert(host, port)
    return dialects.convert_connect(host, port)


def expect_success(sock, dialect, host, port):
    """Takes exactly the success answer."""
    if dialect == SOCKS5:
        assert dialects.receive_exactly(sock, 2) == b"\x05\x00"
        reply = dialects.receive_socks5_reply(sock)
        assert reply is not None and reply[0] == 0, reply
    elif dialect == MP_CONVERT:
        element = dialects.mp_convert(host, port)
        assert dialects.receive_exactly(sock, len(element)) == element
    else:
        answer = dialects.receive_convert(sock)
        assert answer is not None and dialects.TLV_EXTENDED_HEADER in answer, answer


def failure(sock, dialect):
    """What the dialect says instead of success, up to the end of the connection: SOCKS5 the reply code, Convert (code, first
    value octet), MP_CONVERT RESET. Anything else is returned as it is, so that a test shows it."""
    try:
        said = dialects.receive_all(sock)
    except ConnectionResetError:
        return RESET
    if dialect == SOCKS5 and len(said) == 12 and said[:2] == b"\x05\x00" and said[2] == 5:
        return said[3]
    if dialect == CONVERT and len(said) >= 8 and said[2:4] == dialects.CONVERT_MAGIC and said[4] == dialects.TLV_ERROR:
        return said[6], said[7]
    return said


def session(lab, proxy, dialect, port, host=None, early=b"", link=0, v6=False, protocol=MPTCP, fastopen=False):
    """A socket behind its handshake, with `early` already sent in the same flight. SOCKS5 is pipelined."""
    host = host or target(v6)
    first = opening(dialect, host, port) + early
    if fastopen:
        s = dial_with(lab, proxy, first, link, v6, protocol)
    else:
        s = dial(lab, proxy, link, v6, protocol)
        s.sendall(first)
    expect_success(s, dialect, host, port)
    return s


def abort(sock):
    """RST; on MPTCP MP_FASTCLOSE."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send_in_background(sock, data, finish=True):
    """sendall, and FIN unless told otherwise, beside the reader; join() the result."""

    def run():
        try:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the reader sees what became of the connection

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class Download:
    """Reads to the end of the stream; keeps the octets, when they came, and the longest silence between them. TimeoutError
    when it takes longer than `patience` seconds."""

    def __init__(self, sock, patience=60):
        self.begin = self.last = time.monotonic()
        self.longest_gap, chunks = 0.0, []
        while chunk := sock.recv(1 << 18):
            now = time.monotonic()
            if now - self.begin > patience:
                raise TimeoutError
            self.longest_gap = max(self.longest_gap, now - self.last)
            self.last = now
            chunks.append(chunk)
        self.data = b"".join(chunks)
        self.seconds = self.last - self.begin
