# SPDX-License-Identifier: MIT
"""A DNS server small enough to read: A and AAAA of the names it is told, NXDOMAIN for others, silence on demand. UDP only."""
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
SILENT = object()


class Nameserver:
    """`names`: {"name": [addresses]} or {"name": SILENT}; may be changed while it runs. `asked` lists (name, type). Queries of
    `ignored_types` get no answer."""

    def __init__(self, ns, address, names, ignored_types=()):
        self.names, self.asked = names, []
        self._ignored_types = set(ignored_types)
        self._stopping = False
        self._socket = ns.open_socket(socket.AF_INET, 0, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _question(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from("!H", query, at + 1)[0]
        return ".".join(labels).lower(), kind, query[12 : at + 5]

    def _answer(self, query):
        name, kind, question = self._question(query)
        self.asked.append((name, kind))
        known = self.names.get(name)
        if known is SILENT or kind in self._ignored_types:
            return None
        version = {A: 4, AAAA: 6}.get(kind)
        addresses = [a for a in map(ipaddress.ip_address, known or []) if a.version == version]
        head = query[:2] + struct.pack("!HHHHH", 0x8180 if known is not None else 0x8183, 1, len(addresses), 0, 0)
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(a.packed)) + a.packed for a in addresses)
        return head + question + records

    def _run(self):
        self._socket.settimeout(0.2)
        while not self._stopping:
            try:
                query, peer = self._socket.recvfrom(2000)
            except TimeoutError:
                continue
            answer = self._answer(query)
            if answer is not None:
                self._socket.sendto(answer, peer)
        self._socket.close()

    def stop(self):
        self._stopping = True
        self._thread.join()
