# SPDX-License-Identifier: MIT
"""What `ss` shows of the TCP sockets of a namespace; subflows of Multipath TCP connections are among them."""
import re


def of_port(ns, port, side="sport"):
    """One {"peer", "congestion", "mark", "mss", "subflow"} per established TCP socket whose own (sport) or far (dport) port it is."""
    out = ns.run("ss", "-tinemHO", "state", "established", f"{side} = {port}").stdout.decode()
    return [_read(line) for line in out.splitlines()]


def _read(line):
    words = line.split()
    mark = re.search(r"fwmark:(0x[0-9a-f]+)", line)
    return {"peer": words[3], "mark": int(mark[1], 16) if mark else 0, "mss": int(re.search(r" mss:(\d+)", line)[1]),
            "congestion": re.search(r" (\w+)(?: wscale:\S+)? rto:", line)[1], "subflow": "tcp-ulp-mptcp" in line}


def congestion_controls(ns):
    """(the default one, another that everybody may use)."""
    with ns:
        with open("/proc/sys/net/ipv4/tcp_congestion_control") as f:
            default = f.read().strip()
        with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control") as f:
            return default, next(name for name in f.read().split() if name != default)
