# SPDX-License-Identifier: MIT
"""How each proxy is started, and where it listens.

A SOCKS5 peer has one port for every service of the origin. A bare relay has no request to learn the target from, so it gets one port per
service: echo, sink, source, and probe (the echo of the second, high-priority origin)."""
import json
import os
import shutil
import socket
import subprocess
import time

import procs

HOST = "127.0.0.1"
ORIGIN = 7000  # bench_origin under load: echo, sink, source, control
PROBE = 7100  # bench_origin of the latency probe
SERVICES = {"echo": ORIGIN, "sink": ORIGIN + 1, "source": ORIGIN + 2, "probe": PROBE}


class Peer:
    """`make` writes what the program needs into a directory and returns its argv, or several argvs."""

    def __init__(self, name, port, socks, make, mptcp=False, needs=()):
        self.name, self.port, self.socks, self.make, self.mptcp, self.needs = name, port, socks, make, mptcp, needs
        self.procs = []

    def available(self):
        return all(os.path.exists(n) or shutil.which(n, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for n in self.needs)

    def endpoint(self, service):
        return f"{HOST}:{self.port if self.socks else self.port + list(SERVICES).index(service)}"

    def ports(self):
        return [self.port] if self.socks else [self.port + i for i in range(len(SERVICES))]

    def start(self, workdir, core, nice=0, nofile=None, wrap=()):
        where = os.path.join(workdir, self.name)
        os.makedirs(where, exist_ok=True)
        commands = self.make(where, self.port)
        log = open(os.path.join(where, "log"), "ab")
        with log:
            for argv in commands:
                self.procs.append(procs.start([*wrap, *argv], core=core, nice=nice, nofile=nofile, cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        try:
            for port in self.ports():
                self._wait(port)
        except TimeoutError:
            self.stop()
            with open(os.path.join(where, "log"), errors="replace") as f:
                raise RuntimeError(f"{self.name} does not start: {f.read()[-1500:]}") from None

    def _wait(self, port):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if any(p.poll() is not None for p in self.procs):
                break
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError

    def pids(self):
        return [p.pid for p in self.procs]

    def cpu(self):
        return sum(procs.cpu_seconds(p) for p in self.pids())

    def memory(self):
        parts = [procs.memory(p) for p in self.pids()]
        return sum(p[0] for p in parts), sum(p[1] for p in parts)

    def stop(self):
        for p in self.procs:
            procs.stop(p)
        self.procs = []


def _write(where, name, text):
    path = os.path.join(where, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def our_config(port, stats_port, address=HOST, **changes):
    """Pinned rows run one worker; everything a row does not measure stays at its default."""
    config = {
        "workers": 1,
        "listeners": [{"name": "bench", "address": f"{address}:{port}", "protocols": ["socks5", "mp_convert", "convert"],
                       "mptcp": True, "fastopen": True, "backlog": 4096}],
        "stats": {"address": f"{HOST}:{stats_port}"},
        "clients": {"allow": ["127.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24"]},
        "acl": {"rules": [{"action": "allow", "target": ["127.0.0.0/8", "198.51.100.0/24"]}]},
        "limits": {"sessions": 20000, "sessions_per_source": 20000, "connects_per_source": 20000},
        "log": {"level": "warning"},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        config.setdefault(section, {})[key] = value
    return config


def ours(daemon, name="ours", port=1080, **changes):
    def make(where, at):
        path = _write(where, "bench.json", json.dumps(our_config(at, at + 8100, **changes), indent=2))
        return [[daemon, "-c", path]]

    return Peer(name, port, True, make, mptcp=True, needs=(daemon,))


def _microsocks(_where, port):
    return [["microsocks", "-i", HOST, "-p", str(port)]]


def _dante(where, port):
    path = _write(where, "danted.conf", f"""logoutput: stderr
errorlog: stderr
internal: {HOST} port = {port}
external: lo
clientmethod: none
socksmethod: none
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
""")
    return [["/usr/sbin/danted", "-f", path, "-p", os.path.join(where, "danted.pid")]]


SPLICE = "  option splice-request\n  option splice-response"  # always; splice-auto seldom finds these flows worth it


def _haproxy(splice):
    def make(where, port):
        text = f"""global
  nbthread 1
  maxconn 6000
  maxpipes 256
defaults
  mode tcp
  timeout connect 5s
  timeout client 120s
  timeout server 120s
{SPLICE if splice else ""}
"""
        for i, (service, target) in enumerate(SERVICES.items()):
            text += f"listen {service}\n  bind {HOST}:{port + i}\n  server origin {HOST}:{target}\n"
        return [["/usr/sbin/haproxy", "-db", "-f", _write(where, "haproxy.cfg", text)]]

    return make


def _nginx(where, port):
    text = """load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root root;
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
stream {
"""
    for i, target in enumerate(SERVICES.values()):
        text += f"  server {{ listen {HOST}:{port + i}; proxy_pass {HOST}:{target}; }}\n"
    return [["/usr/sbin/nginx", "-p", where, "-c", _write(where, "nginx.conf", text + "}\n"), "-e", "stderr"]]


def ideal(program, name, port, mptcp=False, socks=False):
    def make(_where, at):
        flags = [*(["-m"] if mptcp else []), *(["-s"] if socks else [])]
        targets = [ORIGIN] if socks else SERVICES.values()  # with SOCKS it does not look where to: the echo, whatever is asked
        return [[program, f"{HOST}:{at + i}", f"{HOST}:{target}", *flags] for i, target in enumerate(targets)]

    return Peer(name, port, socks, make, mptcp=mptcp, needs=(program,))


def everyone(programs, daemon):
    relay = os.path.join(programs, "ideal_relay")
    peers = [
        Peer("microsocks", 2080, True, _microsocks, needs=("microsocks",)),
        Peer("dante", 2180, True, _dante, needs=("danted",)),
        Peer("haproxy", 2280, False, _haproxy(False), needs=("haproxy",)),
        Peer("haproxy-splice", 2380, False, _haproxy(True), needs=("haproxy",)),
        Peer("nginx", 2480, False, _nginx, needs=("nginx", "/usr/lib/nginx/modules/ngx_stream_module.so")),
        ideal(relay, "ideal", 2580),
        ideal(relay, "ideal-mptcp", 2680, mptcp=True),
        ideal(relay, "ideal-socks", 2780, socks=True),
    ]
    if daemon:
        peers.insert(0, ours(daemon))
    return {p.name: p for p in peers}
