# SPDX-License-Identifier: MIT
"""The figures the daemon must reach, judged over the medians of one run."""
import statistics

TITLES = {
    "idle": "idle relayed sessions, resident user memory",
    "idle_mptcp": "the same with an MPTCP client leg",
    "syscalls": "system calls of the proxy (strace -c -f)",
    "limit": "150 clients want in at nofile=120",
    "traps": "cures of the kernel's MPTCP traps, on and off",
    "ttfo": "time to the first octet at the server, 50 ms round trip between client and proxy",
}
RTT_MS = 50.0


def ratio(ours, theirs):
    """Median of the rounds' ratios: peers of one round were measured within seconds of each other, so what else the machine did in that
    round is on both sides. None: no round has both."""
    pairs = [a / b for a, b in zip(ours or [], theirs or []) if a is not None and b]
    return statistics.median(pairs) if pairs else None


def _ratio(row, metric, peer, factor, mine="ours", op=">="):
    def value(get):
        return ratio(get(row, mine, metric), get(row, peer, metric))

    return (row, f"{metric}: {mine} / {peer}", value, op, factor)


def _absolute(row, metric, op, bound, mine="ours"):
    return (row, f"{metric}: {mine}", lambda get: _median(get(row, mine, metric)), op, bound)


def _median(values):
    values = [v for v in values or [] if v is not None]
    return statistics.median(values) if values else None


def _saved(mine):
    """Round trips saved against direct TCP; half a round trip of tolerance would hide a lost one, a fifth does not."""
    def value(get):
        ours, direct = _median(get("ttfo", mine, "ms")), _median(get("ttfo", "direct", "ms"))
        return None if ours is None or direct is None else (direct - ours) / RTT_MS

    return value


CRITERIA = [
    _ratio("rate", "kconn/cpu-s", "microsocks", 1.7),
    _ratio("rate", "kconn/cpu-s", "nginx", 0.8),
    _absolute("syscalls", "per session, 1 at a time", "<=", 30),
    *[_ratio("bulk", f"{b} GB/cpu-s", "haproxy-splice", 1.0) for b in ("down1", "up1", "down32", "up32")],
    *[_ratio("mptcp", f"{b} GB/cpu-s", "ideal-mptcp", 0.9) for b in ("down1", "up1", "down32", "up32")],
    _ratio("pingpong", "kop/cpu-s", "nginx", 0.95),
    _absolute("mixed", "p50 us", "<=", 200),
    _ratio("mixed", "p50 us", "haproxy-splice", 1.0, op="<="),
    _absolute("idle", "fds/session", "<=", 2.0),
    _absolute("idle", "KiB/session", "<=", 1.0),
    _absolute("limit", "CPU %", "<", 10),
    _absolute("limit", "live sessions hurt", "<=", 0),
    _absolute("limit", "recovery s", "<=", 1.0),
    ("ttfo", "round trips saved: MP_CONVERT in the SYN", _saved("mp_convert"), ">=", 0.8),
    ("ttfo", "round trips saved: RFC 8803 in the SYN", _saved("convert"), ">=", 0.8),
    ("ttfo", "round trips saved: SOCKS5 pipelined", _saved("socks5"), ">=", -0.2),
]


def judge(rows, void):
    """One dict per criterion; "pass" is None when its row was not run."""
    hurt = {(v["row"], v["peer"]) for v in void}

    def get(row, peer, metric):
        return rows.get(row, {}).get(peer, {}).get(metric)

    out = []
    for row, what, value, op, bound in CRITERIA:
        v = value(get)
        ok = None
        if v is not None:
            ok = {">=": v >= bound, "<=": v <= bound, "<": v < bound}[op]
            if (row, "ours") in hurt:
                ok = False  # a row with failures is void
        elif (row, "ours") in hurt:
            ok = False
        out.append({"row": row, "what": what, "value": v, "op": op, "bound": bound, "pass": ok})
    return out


def text(checks):
    lines = []
    for c in checks:
        verdict = {True: "pass", False: "FAIL", None: "not run"}[c["pass"]]
        value = "-" if c["value"] is None else f"{c['value']:.2f}"
        lines.append(f"{verdict:<8}{c['row']:<10}{c['what']:<52}{value:>9} {c['op']} {c['bound']:g}")
    return "\n".join(lines)
