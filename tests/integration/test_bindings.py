# SPDX-License-Identifier: MIT
"""Many bindings at a time, and again: what they hold is given back. Their price is measured by tests/bench/bindings.sh."""
from hybrid import ask_echo, entry, exchange
from support import clients, netlab

MANY = 500
SLACK = 24  # descriptors: pipes that are kept, requests of the statistics


def resident(p):
    """KiB; None in a build whose sanitizer keeps what was freed."""
    with open(f"/proc/{p.process.pid}/maps") as f:
        if any("asan" in line or "tsan" in line for line in f):
            return None
    with open(f"/proc/{p.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_many_bindings_come_and_go(access, daemon, home, web):
    far = daemon()
    near = home.start(entry(far))
    fds, memory = [p.open_fds() for p in (near, far)], []
    for _ in range(6):
        hosts = [home.call(web.port, v6=n % 2) for n in range(MANY)]
        for n, s in enumerate(hosts):
            ask_echo(s)
            s.sendall(b"%04d" % n)
        for n, s in enumerate(hosts):
            assert s.recv(4) == b"%04d" % n
        for p, before in zip((near, far), fds):
            assert p.stats()["sessions"]["current"] == MANY
            assert p.open_fds() - before <= 2 * MANY + SLACK
        exchange(access, hosts[0])
        for n, s in enumerate(hosts):
            if n % 2:
                clients.abort(s)
            else:
                s.close()
        for p, before in zip((near, far), fds):
            p.wait_sessions(0, timeout=20)
            netlab.wait_for(lambda: p.open_fds() <= before + SLACK, 5, "descriptors to be closed")
        memory.append([resident(p) for p in (near, far)])
    for p, settled, last in zip((near, far), memory[1], memory[5]):  # the allocator keeps what it had once
        assert settled is None or last - settled < 2 * MANY, f"{p.ns.name} grew from {settled} to {last} KiB"
    assert near.stats()["sessions"]["peak"] == MANY and near.stats()["via"]["direct_total"] == 0
