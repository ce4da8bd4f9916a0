# SPDX-License-Identifier: MIT
"""Time from the client's first system call to the first octet at the server, with a round trip of 50 ms between client and proxy.

The network lab of the integration tests carries it: client == path1 (25 ms each way) == concentrator == server. Only ratios mean
something: the emulator adds a few hundred microseconds of its own."""
import contextlib
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import clients, dialects, kernel, netlab  # noqa: E402
from support.proxy import Proxy  # noqa: E402

ONE_WAY_MS = 25
PAYLOAD = b"first octets"
FAILURES = (RuntimeError, OSError, AssertionError, netlab.LabError, subprocess.SubprocessError)


class Clock:
    """A server that notes when the first octet of each connection came."""

    def __init__(self, lab):
        self.sock = lab.server.open_socket()
        self.sock.bind((netlab.SERVER, 0))
        self.sock.listen(16)
        self.port = self.sock.getsockname()[1]
        self.seen, self.arrived = threading.Event(), 0.0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with conn:
                first = conn.recv(len(PAYLOAD))
                self.arrived = time.monotonic()
                if PAYLOAD.startswith(first) and first:
                    self.seen.set()

    def measure(self, connect):
        """Milliseconds; `connect` opens the connection and says PAYLOAD."""
        self.seen.clear()
        began = time.monotonic()
        sock = connect()
        try:
            if not self.seen.wait(5):
                raise RuntimeError("the first octet never came")
            return (self.arrived - began) * 1e3
        finally:
            sock.close()


def _direct(lab, clock):
    s = clients.new_socket(lab, protocol=clients.TCP)
    s.connect((netlab.SERVER, clock.port))
    s.sendall(PAYLOAD)
    return s


def _in_syn(lab, proxy, clock, dialect):
    first = clients.opening(dialect, netlab.SERVER, clock.port) + PAYLOAD
    s = clients.dial_with(lab, proxy, first)
    clients.expect_success(s, dialect, netlab.SERVER, clock.port)
    if not kernel.is_mptcp(s):
        raise RuntimeError(f"{dialect}: the connection is not MPTCP")
    return s


def _pipelined(lab, proxy, clock):
    s = clients.dial(lab, proxy, link=1)
    s.sendall(dialects.socks5_greeting(0) + dialects.socks5_request(netlab.SERVER, clock.port) + PAYLOAD)
    return s


@contextlib.contextmanager
def topology(args):
    """The lab, 25 ms each way on its first path and no limit of rate."""
    if why := netlab.unavailable():
        raise RuntimeError(why)
    tools = os.path.join(args.build, "tests", "support")
    if os.path.exists(os.path.join(tools, "pathemu")):
        os.environ.setdefault("MPCONVERT_TOOLS", tools)
    lab = netlab.Lab()
    try:
        lab.emulator.set("path1", delay=ONE_WAY_MS, rate=0, queue=4096)
        lab.conc.sysctl(net__ipv4__ip_forward=1)  # the direct connection goes through the same links
        yield lab
    finally:
        lab.close()


def measure(args):
    """{way: [milliseconds]} of args.rounds alternating rounds."""
    with topology(args) as lab:
        clock = Clock(lab)
        proxy = Proxy(lab, args.daemon, {"workers": 1, "log": {"level": "warning"}})
        try:
            ways = {
                "direct": lambda: _direct(lab, clock),
                "mp_convert": lambda: _in_syn(lab, proxy, clock, clients.MP_CONVERT),
                "convert": lambda: _in_syn(lab, proxy, clock, clients.CONVERT),
                "socks5": lambda: _pipelined(lab, proxy, clock),
            }
            for connect in ways.values():
                clock.measure(connect)  # caches of routes and metrics
            out = {name: [] for name in ways}
            for _ in range(args.rounds):
                for name, connect in ways.items():
                    out[name].append(clock.measure(connect))
            return out
        finally:
            proxy.stop()
