# SPDX-License-Identifier: MIT
"""mpconvertd --doctor: each check, where things are as they should be and where they are not."""
import contextlib
import json
import os
import shlex
import shutil
import socket
import struct
import subprocess

import pytest

from support import netlab

QUEUE, WORKERS = 800, 4
CHECKS = ["config", "mptcp", "fastopen", "egress", "privilege", "nfqueue", "queues", "rules-ipv4", "rules-ipv6"]
RULES = os.path.join(netlab.ROOT, "conf", "exact-rules.sh")


class Patient:
    """A configuration with exact listeners in the concentrator's namespace, and the doctor's word about it."""

    def __init__(self, lab, program, folder):
        self.ns, self.program, self.folder = lab.conc, program, folder
        self.ports = [lab.conc.free_port(), lab.conc.free_port()]
        self.env = {**os.environ, "XTABLES_LOCKFILE": str(folder / "xtables.lock")}
        self.configure()

    def configure(self, exact=True, workers=WORKERS, queue=QUEUE, address="[::]", **more):
        listeners = [{"name": str(port), "address": f"{address}:{port}", "exact": exact} for port in self.ports]
        self.path = self.folder / "mpconvertd.json"
        self.path.write_text(json.dumps({"workers": workers, "listeners": listeners, "stats": {"address": None},
                                         "exact": {"queue": queue}, **more}))

    def rules(self, *argv):
        self.ns.run(RULES, *argv, env=self.env)

    def add_rules(self, first=QUEUE, last=QUEUE + WORKERS - 1, ports=None, mark="0x6d710000"):
        self.rules("add", "--port", ",".join(map(str, ports or self.ports)), "--mark", mark, "--queues", f"{first}:{last}")

    def ask(self, *prefix):
        """{check: {...}}, once the form is as promised: an exit status that says the same, checks in their order, and advice where
        something is bad."""
        done = self.ns.run(*prefix, self.program, "--doctor", "--json", "-c", self.path, check=False)
        assert done.stderr == b""
        said = json.loads(done.stdout)
        assert [c["name"] for c in said["checks"]] == CHECKS
        assert all((c["verdict"] == "bad") == bool(c["advice"]) for c in said["checks"])
        assert said["good"] is all(c["verdict"] != "bad" for c in said["checks"])
        assert done.returncode == (0 if said["good"] else 1)
        return {c["name"]: c for c in said["checks"]}

    def verdicts(self, *prefix):
        return {name: c["verdict"] for name, c in self.ask(*prefix).items()}

    def bad(self, *names, prefix=()):
        """These and no others are bad; what is said of the first."""
        said = self.ask(*prefix)
        assert {name for name, c in said.items() if c["verdict"] == "bad"} == set(names), said
        return said[names[0]]

    def bound(self):
        with self.ns, open("/proc/thread-self/net/netfilter/nfnetlink_queue") as f:
            return [int(line.split()[0]) for line in f]

    @contextlib.contextmanager
    def daemon(self):
        log_path = self.folder / "log"
        with open(log_path, "w") as log:
            process = self.ns.popen(self.program, "-c", self.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            netlab.wait_for(lambda: process.poll() is not None or "event=started" in log_path.read_text(), 10, "mpconvertd")
            assert process.poll() is None, log_path.read_text()
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def patient(lab, program, tmp_path):
    lab.conc.sysctl(net__ipv4__tcp_fastopen=3)
    made = Patient(lab, program, tmp_path)
    yield made
    made.rules("remove")


def test_all_is_well(patient):
    patient.add_rules()
    assert patient.verdicts() == dict.fromkeys(CHECKS, "good")
    assert patient.bound() == []
    assert not any(map(patient.ns.listening, patient.ports))


def test_all_is_well_beside_the_daemon(patient):
    patient.add_rules()
    with patient.daemon() as process:
        said = patient.ask()
        assert {c["verdict"] for c in said.values()} == {"good"}, said
        assert str(process.pid) in said["queues"]["found"]
        assert sorted(patient.bound()) == list(range(QUEUE, QUEUE + WORKERS))


def test_nothing_to_say_without_exact_listeners(patient):
    patient.configure(exact=False)
    skipped = dict.fromkeys(CHECKS[4:], "skipped")
    assert patient.verdicts() == {**dict.fromkeys(CHECKS[:4], "good"), **skipped}


def test_the_configuration_does_not_load(patient):
    patient.path.write_text('{"listener": []}')
    assert "listener" in patient.bad("config")["found"]
    assert set(patient.verdicts().values()) == {"bad", "skipped"}


def test_no_multipath_tcp(patient):
    patient.add_rules()
    patient.ns.sysctl(net__mptcp__enabled=0)
    try:
        assert "net.mptcp.enabled=1" in patient.bad("mptcp")["advice"]
    finally:
        patient.ns.sysctl(net__mptcp__enabled=1)


def test_fast_open_is_off(patient):
    patient.add_rules()
    patient.ns.sysctl(net__ipv4__tcp_fastopen=1)
    advice = patient.bad("fastopen")["advice"]
    patient.ns.run(*advice.split())
    assert patient.verdicts()["fastopen"] == "good"


def test_no_cap_net_admin(patient):
    patient.add_rules()
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    patient.bad("privilege", prefix=without)
    assert {name for name, v in patient.verdicts(*without).items() if v == "skipped"} == set(CHECKS[5:])


HIDE_PROC_NET = """
mount -t tmpfs none "$1" && mkdir "$1/net" "$1/real" && mount --rbind /proc "$1/real"
for name in self thread-self sys $$; do ln -s "real/$name" "$1/$name"; done
mount --rbind "$1" /proc && shift && exec "$@"
"""


def test_a_kernel_without_queues(patient):
    """It looks like one, when what it tells of them is not to be seen."""
    patient.add_rules()
    proc = patient.folder / "proc"
    proc.mkdir()
    assert "modprobe" in patient.bad("nfqueue", prefix=["unshare", "-m", "sh", "-ec", HIDE_PROC_NET, "sh", proc])["advice"]


@contextlib.contextmanager
def queue_of_another(ns, number):
    """This very process has the queue."""
    config = struct.pack("=BBH", 0, 0, socket.htons(number)) + struct.pack("=HHBBH", 8, 1, 1, 0, 0)
    with ns, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
        s.bind((0, 0))
        s.send(struct.pack("=IHHII", 16 + len(config), 3 << 8 | 2, 5, 1, 0) + config)
        assert struct.unpack_from("=i", s.recv(1024), 16) == (0,)
        yield


def test_another_program_has_a_queue(patient):
    patient.add_rules()
    with queue_of_another(patient.ns, QUEUE + 1):
        said = patient.ask()["queues"]
        assert said["verdict"] == "bad"
        assert f"queue {QUEUE + 1} " in said["found"]
        assert str(os.getpid()) in said["found"]
    assert patient.verdicts()["queues"] == "good"


def test_the_daemon_has_too_few_queues(patient):
    patient.configure(workers=2)
    with patient.daemon():
        patient.configure()
        said = patient.ask()["queues"]
        assert said["verdict"] == "bad"
        assert "only 2 of" in said["found"]


def test_there_are_no_such_queues(patient):
    patient.configure(queue=65535)
    said = patient.ask()
    assert "65535" in (said["queues"]["found"] if said["config"]["verdict"] == "good" else said["config"]["found"])


@pytest.mark.parametrize("running", [False, True])
def test_no_rules(patient, running):
    with patient.daemon() if running else contextlib.nullcontext():
        advice = shlex.split(patient.bad("rules-ipv4", "rules-ipv6")["advice"])
        assert advice[0] == "conf/exact-rules.sh"
        patient.rules(*advice[1:])
        assert set(patient.verdicts().values()) == {"good"}


@pytest.mark.parametrize("running", [False, True])
def test_transparent_listeners(patient, running):
    """They have a mark, not a port."""
    listeners = [{"name": name, "address": f"{address}:{patient.ports[0]}", "exact": True, "transparent": True}
                 for name, address in (("a", "127.0.0.1"), ("b", "[::1]"))]
    patient.configure(listeners=listeners)
    with patient.daemon() if running else contextlib.nullcontext():
        patient.add_rules(mark="0x100")  # by port alone: no host's connection has that
        advice = shlex.split(patient.bad("rules-ipv4", "rules-ipv6")["advice"])
        assert advice[2:4] == ["--mark", "0x6d710000"]
        patient.rules(*advice[1:])
        assert set(patient.verdicts().values()) == {"good"}


@pytest.mark.parametrize("running", [False, True])
def test_rules_for_other_queues(patient, running):
    patient.add_rules(first=QUEUE + WORKERS, last=QUEUE + 2 * WORKERS)
    with patient.daemon() if running else contextlib.nullcontext():
        patient.bad("rules-ipv4", "rules-ipv6")


@pytest.mark.parametrize("running", [False, True])
def test_rules_for_more_queues_than_there_are(patient, running):
    """By address, one of eight is found: not one of 32 is missed with a probability of 1 to 10^19."""
    patient.add_rules(last=QUEUE + 8 * WORKERS - 1)
    with patient.daemon() if running else contextlib.nullcontext():
        found = patient.ask()["rules-ipv4"]
        assert found["verdict"] == "bad"


def test_rules_for_one_of_the_ports(patient):
    patient.add_rules(ports=patient.ports[:1])
    assert f":{patient.ports[1]} " in patient.bad("rules-ipv4", "rules-ipv6")["found"]


@pytest.mark.parametrize("address, skipped", [("0.0.0.0", "rules-ipv6"), (netlab.CONC, "rules-ipv6"), (f"[{netlab.CONC6}]", "rules-ipv4")])
def test_only_the_listeners_families_are_tried(patient, address, skipped):
    patient.configure(address=address)
    patient.add_rules()
    said = patient.ask()
    assert {name for name, c in said.items() if c["verdict"] == "skipped"} == {skipped}
    assert {c["verdict"] for name, c in said.items() if name != skipped} == {"good"}, said


def test_an_address_that_is_not_here(patient):
    patient.configure(address="203.0.113.99")
    patient.add_rules()
    assert "203.0.113.99" in patient.bad("rules-ipv4")["found"]


def test_a_daemon_that_has_stopped(patient):
    patient.add_rules()
    with patient.daemon() as process:
        process.send_signal(19)
        assert "does not answer" in patient.bad("rules-ipv4", "rules-ipv6")["found"]


def test_text(patient):
    done = patient.ns.run(patient.program, "--doctor", "-c", patient.path, check=False, text=True)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if not line.startswith(" ")] == CHECKS
    assert lines[0].startswith("good ")
    assert lines[-2].startswith("bad ")
    assert lines[-1].strip().startswith("conf/exact-rules.sh add ")


def test_json_is_the_doctors_only(patient):
    assert patient.ns.run(patient.program, "--json", "-c", patient.path, check=False).returncode == 2


@pytest.mark.parametrize("place", ["bin", "sbin", "server", "path"])
def test_the_clients_doctor_is_the_daemons(patient, launcher, place):
    """Beside it, where packages put it, where a build puts it, or in PATH."""
    folder, target = patient.folder / "bin", patient.folder / place
    for each in {folder, target}:
        each.mkdir()
    shutil.copy(launcher, folder / "mpconvert")
    os.symlink(patient.program, target / "mpconvertd")
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:{target if place == 'path' else ''}"}
    done = patient.ns.run(folder / "mpconvert", "doctor", "--json", "-c", patient.path, check=False, env=env)
    assert done.returncode == 1
    assert [c["name"] for c in json.loads(done.stdout)["checks"]] == CHECKS


def test_the_clients_doctor_needs_the_daemon(patient, launcher):
    folder = patient.folder / "bin"
    folder.mkdir()
    shutil.copy(launcher, folder / "mpconvert")
    done = patient.ns.run(folder / "mpconvert", "doctor", check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 127
    assert b"mpconvertd" in done.stderr
