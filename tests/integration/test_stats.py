# SPDX-License-Identifier: MIT
"""The stats endpoint: documents that match their schema, and counters that agree with each other."""
import http.client
import json
import os
import time

import jsonschema
import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5


@pytest.fixture(scope="module")
def schema():
    with open(os.path.join(netlab.ROOT, "docs", "stats-v1.schema.json")) as f:
        return json.load(f)


def traffic(lab, p, origin):
    """Some of everything: every dialect, successes, refusals, resets, both families."""
    for v6 in (False, True):
        for dialect in clients.DIALECTS:
            s = clients.session(lab, p, dialect, origin.port, early=b"SOURCE 50000 1\n", v6=v6)
            assert len(dialects.receive_all(s)) == 50000
            s.close()
            s = clients.dial(lab, p, v6=v6)
            s.sendall(clients.opening(dialect, clients.target(v6), 7998))
            clients.failure(s, dialect)
            s.close()
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\nx", protocol=clients.TCP)
    assert dialects.receive_exactly(s, 1) == b"x"
    clients.abort(s)
    s = clients.dial(lab, p)
    s.sendall(b"nonsense\r\n\r\n")
    s.close()


def check_invariants(stats):
    sessions, mptcp = stats["sessions"], stats["mptcp"]
    closed = sum(sessions["closed_total"].values())
    assert closed + sessions["current"] == sessions["accepted_total"]
    assert sum(p["current"] for p in sessions["by_protocol"].values()) + sessions["handshaking"] >= sessions["current"]
    assert sum(int(k) * n for k, n in mptcp["subflows_per_session"].items()) == mptcp["subflows_current"]
    assert sessions["duration_seconds"]["count"] == closed


def test_the_document_matches_its_schema(lab, proxy, origin, schema):
    p = proxy()
    jsonschema.validate(p.stats(), schema)
    _live = [clients.session(lab, p, d, origin.port, early=b"ECHO\n") for d in clients.DIALECTS]
    traffic(lab, p, origin)
    stats = p.stats()
    jsonschema.validate(stats, schema)
    check_invariants(stats)


def test_counters_agree_after_traffic(lab, proxy, origin):
    p = proxy()
    for _ in range(3):
        traffic(lab, p, origin)
    p.wait_sessions(0)
    stats = p.stats()
    check_invariants(stats)
    sessions = stats["sessions"]
    assert sessions["accepted_total"] == 3 * 14
    assert sessions["closed_total"]["connect_failed"] == 3 * 6
    assert sessions["closed_total"]["client_reset"] == 3
    assert sessions["closed_total"]["protocol_error"] == 3
    assert sessions["closed_total"]["internal_error"] == 0
    assert stats["traffic"]["down_bytes_total"] == 3 * (6 * 50000 + 1)
    assert stats["traffic"]["up_bytes_total"] == 3 * (6 * len("SOURCE 50000 1\n") + len("ECHO\nx"))
    for word in ("socks5", "plain", "convert"):
        assert sessions["by_protocol"][word]["total"] >= 3 * 4
    assert stats["upstream"]["connect_success_total"] == 3 * 7
    assert stats["traffic"]["buffered_bytes"] == 0


def test_live_sessions_are_counted(lab, proxy, origin):
    p = proxy()
    live = [clients.session(lab, p, d, origin.port, early=b"ECHO\n") for d in clients.DIALECTS]
    stats = p.stats()
    check_invariants(stats)
    assert stats["sessions"]["current"] == 3
    assert {k: v["current"] for k, v in stats["sessions"]["by_protocol"].items() if v["current"]} == {
        "socks5": 1, "plain": 1, "convert": 1}
    assert stats["mptcp"]["sessions_current"] == 3
    assert len(live) == 3


def test_sessions_tell_who_and_where(lab, proxy, origin):
    p = proxy()
    s = clients.session(lab, p, CONVERT, origin.port, early=b"ECHO\n12345", v6=True)
    assert dialects.receive_exactly(s, 5) == b"12345"
    (entry,) = p.sessions()
    assert (entry["client"]["address"], entry["client"]["port"]) == s.getsockname()[:2]
    assert (entry["destination"]["address"], entry["destination"]["port"]) == (netlab.SERVER6, origin.port)
    assert entry["egress"]["address"] == netlab.CONC_OUT6
    assert entry["protocol"] == "convert" and entry["transport"] == "mptcp"
    assert (entry["up_bytes"], entry["down_bytes"]) == (10, 5)
    whole = p.json(f"/v1/sessions/{entry['id']}")
    assert len(whole["mptcp"]["subflow_list"]) == 1
    assert p.get("/v1/sessions/999999")[0] == 404
    s.close()
    p.wait_sessions(0)
    assert p.sessions() == []


def test_sessions_are_paged_and_filtered(lab, proxy, origin):
    p = proxy()
    live = [clients.session(lab, p, d, origin.port, early=b"ECHO\n") for d in (SOCKS5, SOCKS5, MP_CONVERT, CONVERT, CONVERT)]
    found, path = [], "/v1/sessions?limit=2"
    while path:
        page = p.json(path)
        assert len(page["sessions"]) <= 2
        found += page["sessions"]
        path = f"/v1/sessions?limit=2&cursor={page['next_cursor']}" if page.get("next_cursor") else None
    assert len({e["id"] for e in found}) == len(found) == len(live)
    assert len(p.json("/v1/sessions?protocol=convert")["sessions"]) == 2


@pytest.mark.parametrize("method,path,status", [("GET", "/healthz", 200), ("HEAD", "/v1/stats", 200), ("GET", "/readyz", 200),
                                                ("POST", "/v1/stats", 405), ("GET", "/nothing", 404)])
def test_http(proxy, method, path, status):
    assert proxy().get(path, method)[0] == status


def test_a_foreign_host_header_is_refused(lab, proxy):
    """DNS rebinding: a browser must not be talked into reading the statistics."""
    p = proxy()
    connection = http.client.HTTPConnection("127.0.0.1", p.stats_port, timeout=5)
    with lab.conc:
        connection.connect()
    connection.request("GET", "/v1/stats", headers={"Host": "evil.example.net"})
    assert connection.getresponse().status in (400, 403, 421)


def test_the_redacted_configuration(proxy):
    p = proxy()
    shown = p.json("/v1/config")
    assert shown["listeners"][0]["name"] == "all"


def test_the_stats_port_is_not_reachable_through_the_proxy(lab, proxy):
    p = proxy({"acl": {"rules": [{"action": "allow", "target": ["127.0.0.0/8"]}]}})
    s = clients.dial(lab, p)
    s.sendall(clients.opening(SOCKS5, "127.0.0.1", p.stats_port))
    assert clients.failure(s, SOCKS5) == 2


@pytest.mark.alone
def test_stats_answer_while_the_relay_is_busy(lab, proxy, origin):
    p = proxy()
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"SOURCE 400000000 1\n")
    worst = 0
    for _ in range(20):
        begin = time.monotonic()
        p.stats()
        worst = max(worst, time.monotonic() - begin)
        s.recv(1 << 20)
    assert worst < 0.5
