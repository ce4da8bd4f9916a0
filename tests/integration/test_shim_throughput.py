# SPDX-License-Identifier: MIT
"""Downloads over two paths with the request in the SYN are as fast as without: the kernel's trap T2 (docs/architecture.md, "Kernel
traps") does not bite through the shim. Where it bites, a download does not end, or takes many times as long; that
it does without its cures is shown by the benchmark (two_paths.sh) and by test_kernel_traps.py."""
import os
import subprocess
import time

import pytest

from support import dialects, netlab

pytestmark = pytest.mark.alone
COUNT, SEED, ROUNDS = 12_000_000, 5, 3
DELAY_MS, RATE_MBIT = 25, 80  # of each path: 160 Mbit/s, 50 ms
PATIENCE, STALL = 8, 1.5  # seconds: the trap's retransmit timeouts are 1 s and more in a row
STOCK = 212992  # Debian's net.core.rmem_max
LIMIT = "/proc/sys/net/core/rmem_max"


@pytest.fixture
def two_paths(lab):
    for path in ("path1", "path2"):
        lab.emulator.set(path, delay=DELAY_MS, rate=RATE_MBIT, queue=1000)
    lab.use_both_paths()


@pytest.fixture
def stock_limit():
    """The system's limit of receive buffers is the whole machine's."""
    with open(LIMIT) as f:
        before = f.read().strip()
    try:
        with open(LIMIT, "w") as f:
            f.write(str(STOCK))
    except OSError:
        pytest.skip("no privilege to set net.core.rmem_max")
    yield
    with open(LIMIT, "w") as f:
        f.write(before)


def download(lab, front, shop, origin, mode, tfo, **env):
    """(seconds, longest silence), or None: not finished in time."""
    begin = last = time.monotonic()
    chunks, silence = [], 0.0
    program = lab.client.popen(*front.argv(mode, "mp_convert", options=("--tfo", tfo)), shop.fetch("dynamic"), netlab.SERVER, origin.port,
                               COUNT, SEED, env=front.environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=front.folder)
    while chunk := os.read(program.stdout.fileno(), 1 << 18):
        now = time.monotonic()
        silence, last = max(silence, now - last), now
        chunks.append(chunk)
        if now - begin > PATIENCE:
            program.terminate()
            program.communicate(timeout=30)
            return None
    _, said = program.communicate(timeout=30)
    assert program.returncode == 0 and b"".join(chunks) == dialects.stream(lab, COUNT, SEED), (said, front.journal())
    return last - begin, silence


def rates(lab, front, shop, origin, mode, record_property, **env):
    """{tfo: the best of the alternating runs, in Mbit/s}; asserts that none of them stalled."""
    best, before = {"on": 0.0, "off": 0.0}, lab.emulator.stats()
    for _ in range(ROUNDS):
        for tfo in best:
            done = download(lab, front, shop, origin, mode, tfo, **env)
            assert done is not None, f"tfo={tfo}: not finished after {PATIENCE} s"
            seconds, silence = done
            assert silence < STALL, f"tfo={tfo}: nothing for {silence:.2f} s"
            best[tfo] = max(best[tfo], COUNT * 8 / seconds / 1e6)
    after = lab.emulator.stats()
    for path in ("path1.down", "path2.down"):
        assert after[path]["octets"] - before[path]["octets"] > COUNT * ROUNDS / 2, f"{path} was not used"
    for tfo, rate in best.items():
        record_property(f"mbit_tfo_{tfo}", round(rate, 1))
    return best


@pytest.mark.parametrize("mode", ["preload", "seccomp"])
def test_syn_data_costs_no_throughput(lab, two_paths, front_of, proxy, shop, origin, mode, record_property):
    front = front_of(proxy())
    got = rates(lab, front, shop, origin, mode, record_property)
    assert got["on"] >= 0.9 * got["off"], got


def test_nor_with_a_stock_systems_buffers(lab, two_paths, stock_limit, front_of, proxy, shop, origin, record_property):
    """A buffer that the system would cut is left to tune itself; the concentrator keeps to the real window."""
    front = front_of(proxy())
    got = rates(lab, front, shop, origin, "preload", record_property)
    assert got["on"] >= 0.9 * got["off"], got
