# SPDX-License-Identifier: MIT
"""`mpconvert probe`: what it says of a concentrator is what the kernel and the concentrator say."""
import json

import pytest

from support import guests, netlab

DIALECTS = ["mp_convert", "convert", "socks5"]
BOTH = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def address(p, v6=False):
    return f"[{netlab.CONC6}]:{p.port}" if v6 else f"{netlab.CONC}:{p.port}"


@pytest.fixture
def probe(lab, launcher, tmp_path):
    """probe(argument, ...): exit status, and the rows by dialect."""
    def run(*argv, env=None):
        done = lab.client.run(launcher, "probe", "--json", *argv, check=False,
                              env={**guests.ENVIRONMENT, "HOME": str(tmp_path), **(env or {})})
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, {row["dialect"]: row for row in json.loads(done.stdout)}
    return run


@BOTH
def test_all_dialects_work_in_the_syn_and_over_mptcp(probe, proxy, v6):
    status, rows = probe(address(proxy(), v6))
    assert status == 0
    assert sorted(rows) == sorted(DIALECTS)
    for row in rows.values():
        assert (row["verdict"], row["syn_data"], row["mptcp"], row["error"]) == ("works", True, True, None), row
    assert rows["convert"]["detail"] == "supports MPTCP"


def test_it_dials_nothing_without_a_target(probe, proxy):
    p = proxy()
    assert probe(address(p))[0] == 0
    assert p.stats()["upstream"]["connect_attempts_total"] == 0


def test_times_are_round_trips(lab, probe, proxy):
    for path in ("path1", "path2"):
        lab.emulator.set(path, delay=50, rate=0)
    p = proxy()
    for row in probe(address(p))[1].values():
        assert 100 <= row["connect_ms"] < 150, row
        assert row["connect_ms"] <= row["answer_ms"] < 400, row


def test_syn_data_that_is_not_taken_shows(lab, probe, proxy):
    p = proxy()
    lab.conc.sysctl(net__ipv4__tcp_fastopen=1)
    status, rows = probe(address(p))
    assert status == 0
    assert [row["syn_data"] for row in rows.values()] == [False] * 3
    status, rows = probe("--tfo", "off", address(p))
    assert [(row["syn_data"], row["mptcp"]) for row in rows.values()] == [(None, True)] * 3


def test_plain_tcp_shows(lab, probe, proxy):
    lab.conc.sysctl(net__mptcp__enabled=0)
    status, rows = probe(address(proxy()))
    assert status == 0
    assert [row["mptcp"] for row in rows.values()] == [False] * 3


def test_a_dialect_that_is_not_spoken_is_told(probe, proxy):
    status, rows = probe(address(proxy(listener={"protocols": ["socks5"]})))
    assert status == 1
    assert rows["socks5"]["verdict"] == "works"
    assert {rows[d]["verdict"] for d in ("mp_convert", "convert")} <= {"silent", "foreign", "refused"}
    assert probe(address(proxy(listener={"protocols": ["socks5"]})), "--dialect", "socks5")[0] == 0


def test_nobody_there_is_unreached(lab, probe):
    status, rows = probe(f"{netlab.CONC}:{lab.conc.free_port()}")
    assert status == 1
    for row in rows.values():
        assert (row["verdict"], row["error"], row["connect_ms"]) == ("unreached", "ECONNREFUSED", None), row


@BOTH
def test_a_target_is_connected_to(probe, proxy, origin, v6):
    target = f"[{netlab.SERVER6}]:{origin.port}" if v6 else f"{netlab.SERVER}:{origin.port}"
    status, rows = probe(address(proxy(), v6), "--target", target)
    assert status == 0, rows


def test_a_target_that_refuses_is_told(lab, probe, proxy):
    status, rows = probe(address(proxy()), "--target", f"{netlab.SERVER}:{lab.server.free_port()}")
    assert status == 1
    for row in rows.values():
        assert (row["verdict"], row["error"]) == ("refused", "ECONNREFUSED"), row


def test_settings_come_from_the_environment(probe, proxy):
    assert probe(env={"MPCONVERT_PROXY": address(proxy())})[0] == 0
