# SPDX-License-Identifier: MIT
"""Exact listeners in the lab: the firewall's rule, non-blocking connects with the request in the SYN, and what became of them."""
import contextlib
import errno
import os
import select
import socket
import struct
import tempfile
import time

from . import clients, dialects, kernel, netlab

QUEUE = 8803
NO_ANSWER_TLV = 0xC0
NO_ANSWER_ELEMENT = b"\xfa\xa8\xfa\xa8\xf3\x04\x00\x00"
SYN_ACK = "tcp.flags.syn == 1 && tcp.flags.ack == 1"


MARK = "0x6d710000/0xffffff00"  # exact.mark


class Rule:
    """SYN-ACKs from `ports`, or without any those of transparent listeners, go to `workers` queues of the concentrator's namespace until remove()."""

    def __init__(self, ns, ports, workers=2):
        self.ns, self._workers = ns, workers
        self._which = [("--sport", port) for port in ports] or [("-m", "mark", "--mark", MARK)]
        self._lock = os.path.join(tempfile.gettempdir(), f"mpconvert-test-xtables-{os.geteuid()}-{os.getpid()}.lock")
        self._each("-A")

    def _each(self, what):
        queues = ["--queue-num", str(QUEUE)] if self._workers == 1 else ["--queue-balance", f"{QUEUE}:{QUEUE + self._workers - 1}"]
        for command in ("iptables-legacy", "ip6tables-legacy"):
            for which in self._which:
                self.ns.run("env", f"XTABLES_LOCKFILE={self._lock}", command, "-w", what, "OUTPUT", "-p", "tcp", *which,
                            "--tcp-flags", "SYN,ACK,RST,FIN", "SYN,ACK", "-j", "NFQUEUE", *queues, "--queue-bypass")

    def remove(self):
        self._each("-D")
        with contextlib.suppress(OSError):
            os.unlink(self._lock)


def exact(changes=None, **listener):
    """Arguments for the proxy fixture: an exact listener."""
    return {"changes": changes, "listener": {"exact": True, **listener}}


def request(dialect, host, port, no_answer=False):
    if not no_answer:
        return clients.opening(dialect, host, port)
    if dialect == clients.MP_CONVERT:
        return NO_ANSWER_ELEMENT + dialects.mp_convert(host, port)
    return dialects.convert_message(dialects.convert_connect_tlv(host, port), dialects.convert_tlv(NO_ANSWER_TLV, b"\0\0"))


class Connect:
    """A non-blocking connect() whose SYN carries `data`; wait() tells how it ended."""

    def __init__(self, lab, proxy, data, link=0, v6=False, protocol=clients.MPTCP):
        self.socket = clients.new_socket(lab, link, v6, protocol)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, kernel.TCP_FASTOPEN_NO_COOKIE, 1)
        assert self.socket.sendto(data, kernel.MSG_FASTOPEN, clients.address(proxy, link, v6)) == len(data)

    def ended(self):
        return self._writable(0)

    def _writable(self, timeout):
        poll = select.poll()  # select() takes no descriptor beyond 1023
        poll.register(self.socket, select.POLLOUT)
        return bool(poll.poll(timeout * 1000))

    def wait(self, timeout=20):
        """The errno of SO_ERROR's name, "" for a connection; TimeoutError. Then the socket blocks."""
        if not self._writable(timeout):
            raise TimeoutError
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error:  # of an ICMP error the kernel sometimes wakes the waiter first, of direct connects as well: look again
            try:
                self.socket.getpeername()
            except OSError:
                time.sleep(0.01)
                error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.socket.setblocking(True)
        self.socket.settimeout(timeout)
        return errno.errorcode[error] if error else ""

    def abort(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def packets(ns):
    """{queue: (waiting, packets so far)} of the namespace's netfilter queues."""
    found = {}
    with ns, open("/proc/thread-self/net/netfilter/nfnetlink_queue") as f:
        for line in f:
            fields = [int(x) for x in line.split()]
            found[fields[0]] = fields[2], fields[7]
    return found


def held(ns):
    return sum(waiting for waiting, _ in packets(ns).values())


def wait_held(ns, count, timeout=5):
    netlab.wait_for(lambda: held(ns) == count, timeout, f"{count} held SYN-ACKs")


