# SPDX-License-Identifier: MIT
"""What the cures of the kernel's MPTCP traps are worth: the same transfer with each switch on and off. A kernel that shows a ratio near 1
is cured, and the switch may stay off there.

T1  octets written before the third ACK of a Fast Open connection stay in the socket     relay.tfo_wait
T2  a Fast Open connection begins with a send window that is far too large               relay.tfo_window
T5  an MPTCP receiver slower than its sender waits for timers                            relay.receive_buffer, relay.send_queue_max
"""
import time

import latency
import load
import peers
from support import clients, dialects, netlab
from support.proxy import Proxy

PATIENCE = 5.0  # seconds; a stalled transfer counts as this
T2_OCTETS, T2_MBIT = 20_000_000, 80
SEND_QUEUE = 1 << 20


def _answer_ms(lab, proxy, clock):
    """From connect to the first octet of the answer, request in the SYN."""
    began = time.monotonic()
    s = clients.dial_with(lab, proxy, clients.opening(clients.MP_CONVERT, netlab.SERVER, clock.port) + latency.PAYLOAD)
    s.settimeout(PATIENCE)
    try:
        s.recv(1)
    except TimeoutError:
        pass
    finally:
        s.close()
    return (time.monotonic() - began) * 1e3


def _download_mbit(lab, proxy, origin):
    """Over two paths, request in the SYN, the client's receive buffer left to the kernel."""
    request = clients.opening(clients.MP_CONVERT, netlab.SERVER, origin.port)
    want, got = len(request) + T2_OCTETS, 0  # the answer is the request once more
    began = time.monotonic()
    s = clients.dial_with(lab, proxy, request + b"SOURCE %d 1\n" % T2_OCTETS)
    s.settimeout(PATIENCE)
    try:
        while got < want and time.monotonic() < began + 2 * PATIENCE:
            got += len(s.recv(1 << 18)) or want
    except TimeoutError:
        pass
    finally:
        s.close()
    return min(got, want) * 8 / (time.monotonic() - began) / 1e6


def _in_lab(args, out):
    with latency.topology(args) as lab:
        clock = latency.Clock(lab)
        origin = netlab.Origin(lab)
        daemons = {}
        try:
            for name, relay in (("cured", {}), ("no wait", {"tfo_wait": False}), ("no window rule", {"tfo_window": False})):
                daemons[name] = Proxy(lab, args.daemon, {"workers": 1, "log": {"level": "warning"}, "relay": relay})
            for _ in range(args.rounds):
                for name in ("cured", "no wait"):
                    out.setdefault(("T1 ms to the answer", name), []).append(_answer_ms(lab, daemons[name], clock))
            lab.use_both_paths()
            for path in ("path1", "path2"):
                lab.emulator.set(path, delay=latency.ONE_WAY_MS, rate=T2_MBIT, queue=1024)
            for _ in range(args.rounds):
                for name in ("cured", "no window rule"):
                    out.setdefault(("T2 Mbit/s down", name), []).append(_download_mbit(lab, daemons[name], origin))
        finally:
            for daemon in daemons.values():
                daemon.stop()
            origin.stop()


def _on_loopback(bed, args, out):
    plans = (
        ("T5 GB/s up", "up", {"4M": {}, "no receive_buffer": {"relay__receive_buffer": 0}}),
        ("T5 GB/s down", "down", {"no send_queue_max": {}, "send_queue_max 1M": {"relay__send_queue_max": SEND_QUEUE}}),
    )
    for what, mode, variants in plans:
        field = []
        try:
            for i, (name, changes) in enumerate(variants.items()):
                field.append(peers.ours(args.daemon, name=name, port=1080 + i, **changes))
                bed.start_peer(field[-1])
            for _ in range(args.rounds):
                for peer in field:
                    r = load.measure(bed, peer, mode, 1, args.seconds, mptcp=True, rcvbuf=0)
                    out.setdefault((what, peer.name), []).append(r["octets"] / r["seconds"] / 1e9)
        finally:
            for peer in field:
                peer.stop()


def measure(bed, args):
    """{(figure, variant): [values]}"""
    out = {}
    _on_loopback(bed, args, out)
    _in_lab(args, out)
    return out
