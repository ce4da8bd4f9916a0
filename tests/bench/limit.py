# SPDX-License-Identifier: MIT
"""A proxy at its fd limit: more clients want in than fds allow.

Clients that get a session keep it and say one octet every 100 ms; the others ask again every second, or wait for an answer. Then the
sessions are closed and new ones tried until one works."""
import selectors
import socket
import statistics
import struct
import time

import load
import peers

CLIENTS = 150
ASK_AGAIN, PING_EVERY, PING_LATE = 1.0, 0.1, 1.0
AFTER = 20  # sessions that must work once fds are back


class Client:
    """One SOCKS5 (or bare) session wish, non-blocking."""

    def __init__(self, bench, peer):
        self.bench, self.peer, self.sock = bench, peer, None
        self.state, self.due, self.buffer = "idle", 0.0, b""
        self.sent_at = None

    def open(self, now):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        host, port = self.peer.endpoint("echo").split(":")
        try:
            self.sock.connect((host, int(port)))
        except BlockingIOError:
            pass
        self.bench.sel.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        self.state, self.buffer, self.sent_at, self.due = "connect", b"", None, now

    def close(self, now, hurt=False):
        self.bench.sel.unregister(self.sock)
        self.sock.close()
        self.bench.hurt += hurt
        self.state, self.due = "idle", now + ASK_AGAIN

    def ping(self, now):
        self.sock.send(b"p")
        self.sent_at, self.due = now, now + PING_EVERY

    def _connected(self, now):
        self.bench.sel.modify(self.sock, selectors.EVENT_READ, self)
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close(now)
        elif self.peer.socks:
            self.sock.send(b"\x05\x01\x00")
            self.state = "method"
        else:
            self.state = "first"
            self.ping(now)

    def event(self, now):
        try:
            if self.state == "connect":
                self._connected(now)
                return
            data = self.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(now, hurt=self.state == "live")
            return
        self.buffer += data
        self._read(now)

    def _read(self, now):
        if self.state == "method" and len(self.buffer) >= 2:
            if self.buffer[1] != 0:
                self.close(now)
                return
            self.buffer = self.buffer[2:]
            self.sock.send(b"\x05\x01\x00\x01" + socket.inet_aton(peers.HOST) + struct.pack("!H", peers.ORIGIN))
            self.state = "reply"
        if self.state == "reply" and len(self.buffer) >= 10:
            if self.buffer[1] != 0:
                self.close(now)
                return
            self.buffer, self.state = self.buffer[10:], "first"
            self.ping(now)
        if self.state in ("first", "live") and self.buffer:
            if self.state == "live":
                self.bench.waits.append(now - self.sent_at)
            self.state, self.buffer, self.sent_at = "live", b"", None

    def turn(self, now):
        if self.state == "idle" and now >= self.due:
            self.open(now)
        elif self.state == "live" and now >= self.due:
            if self.sent_at is None:
                try:
                    self.ping(now)
                except OSError:
                    self.close(now, hurt=True)
            elif now - self.sent_at > PING_LATE:
                self.close(now, hurt=True)


class Crowd:
    def __init__(self, peer):
        self.sel = selectors.DefaultSelector()
        self.hurt, self.waits = 0, []
        self.clients = [Client(self, peer) for _ in range(CLIENTS)]

    def run(self, seconds):
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for c in self.clients:
                c.turn(now)
            for key, _ in self.sel.select(0.01):
                key.data.event(time.monotonic())

    def live(self):
        return sum(c.state == "live" for c in self.clients)

    def leave(self):
        for c in self.clients:
            if c.state != "idle":
                self.sel.unregister(c.sock)
                c.sock.close()
        self.sel.close()


def try_session(peer, timeout):
    """One whole session, blocking. False when it does not work."""
    host, port = peer.endpoint("echo").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout) as s:
            if peer.socks:
                s.sendall(b"\x05\x01\x00")
                if s.recv(2) != b"\x05\x00":
                    return False
                s.sendall(b"\x05\x01\x00\x01" + socket.inet_aton(peers.HOST) + struct.pack("!H", peers.ORIGIN))
                if s.recv(10)[1:2] != b"\x00":
                    return False
            s.sendall(b"r")
            return s.recv(1) == b"r"
    except OSError:
        return False


def measure(peer, seconds):
    crowd = Crowd(peer)
    try:
        crowd.run(1.0)
        live = crowd.live()
        if live == 0:
            raise load.Void("no session at all under the limit")
        crowd.hurt, crowd.waits = 0, []
        cpu, began = peer.cpu(), time.monotonic()
        crowd.run(seconds)
        share = 100 * (peer.cpu() - cpu) / (time.monotonic() - began)
    finally:
        crowd.leave()
    freed = time.monotonic()
    while not try_session(peer, 0.2):
        if time.monotonic() > freed + 10:
            break
        time.sleep(0.01)
    recovery = time.monotonic() - freed
    works = sum(try_session(peer, 1.0) for _ in range(AFTER))
    waits = sorted(crowd.waits)
    return {"CPU %": share, "live sessions": live, "live sessions hurt": crowd.hurt, "recovery s": recovery, "works after (of 20)": works,
            "live p50 ms": statistics.median(waits) * 1e3 if waits else -1.0, "live p99 ms": waits[int(len(waits) * 0.99)] * 1e3 if waits else -1.0}
