# SPDX-License-Identifier: MIT
"""Processes under measurement: start pinned, read CPU, memory and fds of a whole tree, stop."""
import ctypes
import os
import signal
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1


def _stat_fields(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()  # the name may hold blanks and brackets


def tree(root):
    """The process and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(_stat_fields(name)[1]), []).append(int(name))
            except (FileNotFoundError, ProcessLookupError, IndexError):
                continue
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(root):
    """User + system time of the tree: threads that live or ended, and children already waited for.

    The process clock says what utime + stime of /proc say, in ns instead of ticks of 10 ms."""
    total = 0.0
    for pid in tree(root):
        try:
            total += time.clock_gettime((~pid << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
            fields = _stat_fields(pid)
            total += (int(fields[13]) + int(fields[14])) / TICK  # cutime, cstime
        except (OSError, IndexError):
            continue
    return total


def _rollup(pid):
    out = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            key, _, rest = line.partition(":")
            if rest.strip().endswith("kB"):
                out[key] = int(rest.split()[0]) * 1024
    return out


def memory(root):
    """(resident octets, open fds) of the tree. One process: Rss; several share pages, there Pss is the honest sum."""
    pids = tree(root)
    key = "Rss" if len(pids) == 1 else "Pss"
    resident = fds = 0
    for pid in pids:
        try:
            resident += _rollup(pid).get(key, 0)
            fds += len(os.listdir(f"/proc/{pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return resident, fds


def _prepare(core, realtime, nofile, nice):
    libc = ctypes.CDLL(None, use_errno=True)

    def child():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None:
            os.sched_setaffinity(0, {core})
        if nice:
            try:
                os.setpriority(os.PRIO_PROCESS, 0, nice)
            except PermissionError:
                pass
        if realtime:
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
            except PermissionError:
                pass  # the figure gets noisier, not wrong
        if nofile:
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

    return child


def start(argv, core=None, realtime=False, nofile=None, nice=0, **kwargs):
    return subprocess.Popen(argv, preexec_fn=_prepare(core, realtime, nofile, nice), start_new_session=True, **kwargs)


def stop(proc):
    """SIGTERM, then SIGKILL, to the tree we started."""
    if proc is None:
        return
    pids = tree(proc.pid) if proc.poll() is None else []
    for sig, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        until = time.monotonic() + patience
        while time.monotonic() < until:
            proc.poll()
            pids = [p for p in pids if _alive(p)]
            if not pids:
                break
            time.sleep(0.02)
        if not pids:
            break
    proc.wait()


def _alive(pid):
    try:
        return _stat_fields(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return False
