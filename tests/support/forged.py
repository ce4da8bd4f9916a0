# SPDX-License-Identifier: MIT
"""A TCP client made of raw IPv4 packets, from an address of the sender's choice: it can put data into its SYN and leave out the
third ACK, as a forged SYN does. Nothing answers for the address: the SYN/ACK is seen by a packet socket only."""
import itertools
import secrets
import socket
import struct

from . import netlab

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
MP_CAPABLE_SYN = b"\x1e\x04\x01\x01"  # RFC 8684 s3.1: version 1, HMAC-SHA256
WINDOW = 65000
NOBODY = "192.0.2.50"  # inside the direct link's prefix, and no host of the lab has it
_ports = itertools.count(20000)


def checksum(data):
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Forged:
    """Over the direct link, from `source` to the proxy. The concentrator sends its answers to that address to the client's host,
    which has no such address and drops them."""

    def __init__(self, lab, proxy, source=NOBODY, mptcp=False):
        self.source, self.here = source, netlab.CONC_LINK[0]
        self.port, self.there = next(_ports), proxy.port
        self.mptcp, self.seq, self.peer_seq = mptcp, secrets.randbelow(1 << 31), None
        self._key = secrets.token_bytes(8)
        self._peer_key = b""
        lab.conc.ip(f"neigh replace {source} lladdr 02:00:00:00:63:30 dev k0 nud permanent")  # c0's
        with lab.client:
            self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            self._tap.bind(("c0", 0x0800))

    def _send(self, flags, data=b"", options=b""):
        options += bytes([1]) * (-len(options) % 4)
        head = struct.pack("!HHIIBBHHH", self.port, self.there, self.seq & 0xFFFFFFFF, self.peer_seq or 0,
                           (20 + len(options)) // 4 << 4, flags, WINDOW, 0, 0) + options + data
        pseudo = socket.inet_aton(self.source) + socket.inet_aton(self.here) + struct.pack("!HH", 6, len(head))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head), 0, 0, 64, 6, 0, socket.inet_aton(self.source),
                         socket.inet_aton(self.here))
        self._raw.sendto(ip + head, (self.here, 0))

    def syn(self, data):
        """The SYN with `data`; waits for the SYN/ACK, and returns how much of the data it acknowledges."""
        self._send(SYN, data, b"\x02\x04\x05\xb4" + (MP_CAPABLE_SYN if self.mptcp else b""))
        self.seq += 1 + len(data)
        flags, seq, acked, options = self.next_segment(10)
        assert flags & (SYN | ACK) == SYN | ACK, f"flags {flags:#x} instead of a SYN/ACK"
        self.peer_seq = (seq + 1) & 0xFFFFFFFF
        self._peer_key = options[options.index(b"\x1e\x0c") + 4 :][:8] if self.mptcp else b""
        return (acked - (self.seq - len(data))) & 0xFFFFFFFF

    def third_ack(self):
        self._send(ACK, options=b"\x1e\x14\x01\x01" + self._key + self._peer_key if self.mptcp else b"")

    def reset(self):
        self._send(RST | ACK)

    def next_segment(self, timeout):
        """(flags, sequence number, acknowledgement, options) of the next segment to us."""
        self._tap.settimeout(timeout)
        while True:
            packet, sender = self._tap.recvfrom(2000)
            at = (packet[0] & 15) * 4
            tcp = packet[at:]
            ours = sender[2] != socket.PACKET_OUTGOING and packet[9] == 6
            if ours and struct.unpack_from("!HH", tcp) == (self.there, self.port):
                seq, ack = struct.unpack_from("!II", tcp, 4)
                return tcp[13], seq, ack, tcp[20 : tcp[12] >> 4 << 2]

    def close(self):
        self._raw.close()
        self._tap.close()
