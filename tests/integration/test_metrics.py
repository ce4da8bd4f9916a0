# SPDX-License-Identifier: MIT
"""/metrics and /v1/schema: what Prometheus' own checker says of them, and whether they tell what /v1/stats tells."""
import http.client
import json
import re
import shutil
import subprocess

import pytest

from support import clients, dialects, netlab
from support.clients import CONVERT, MP_CONVERT, SOCKS5

SAMPLE = re.compile(r'^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$')


def fetch(p, path, **fields):
    connection = http.client.HTTPConnection("127.0.0.1", p.stats_port, timeout=5)
    with p.ns:
        connection.connect()
    connection.request("GET", path, headers=fields)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


def samples(text):
    """{name: {labels: value}}"""
    out = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            assert labels not in out.setdefault(name, {}), f"twice: {line}"
            out[name][labels] = float(value)
    return out


@pytest.fixture
def busy(lab, proxy, origin):
    """A daemon that has seen something of everything."""
    p = proxy()
    for dialect in (SOCKS5, MP_CONVERT, CONVERT):
        s = clients.session(lab, p, dialect, origin.port, early=b"SOURCE 1000 1\n")
        assert dialects.receive_exactly(s, 1000)
        s.close()
    p.wait_sessions(0)
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n")
    yield p
    s.close()


def promtool(text):
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed")
    return subprocess.run([path, "check", "metrics"], input=text, capture_output=True, text=True, check=False)


def test_prometheus_finds_nothing_wrong(busy):
    response, text = fetch(busy, "/metrics")
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    done = promtool(text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_promtool_would_find_it(busy):
    _, text = fetch(busy, "/metrics")
    assert promtool(text.replace("# HELP mpconv_workers", "# HLP mpconv_workers")).returncode != 0


def test_it_tells_what_the_document_tells(busy):
    found = samples(fetch(busy, "/metrics")[1])
    stats = busy.stats()
    assert sum(found["mpconv_sessions"].values()) == stats["sessions"]["current"] == 1
    assert sum(found["mpconv_sessions_closed_total"].values()) == sum(stats["sessions"]["closed_total"].values()) == 3
    assert found["mpconv_session_duration_seconds_count"][None] == 3
    assert found["mpconv_session_duration_seconds_bucket"]['le="+Inf"'] == 3
    assert found["mpconv_relayed_bytes_total"]['direction="down"'] == stats["traffic"]["down_bytes_total"] == 3000
    assert found["mpconv_connections_accepted_total"]['listener="all",transport="mptcp"'] == 4
    assert found["mpconv_state"]['state="serving"'] == 1 and sum(found["mpconv_state"].values()) == 1
    buckets = list(found["mpconv_session_duration_seconds_bucket"].values())
    assert buckets == sorted(buckets)


def test_every_counter_of_the_document_is_there(busy):
    """Also one that nobody gave a name: under its path."""
    found = samples(fetch(busy, "/metrics")[1])
    assert found["mpconv_exact_refused_total"].items() >= {'kind="reset"': 0, 'kind="icmp"': 0}.items()
    assert found["mpconv_dns_queries_total"] == {None: 0}
    other = {"mpconv_sessions_accepted_total", "mpconv_traffic_spliced_bytes_total", "mpconv_acl_denied_total", "mpconv_dns_inflight"}
    assert other <= set(found)


def test_openmetrics_for_who_asks(busy):
    response, text = fetch(busy, "/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert response.getheader("Content-Type").startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    typed = {}
    for line in text.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in typed, f"{name} is in two places"
            typed[name] = kind
        elif not line.startswith("#"):
            sample = SAMPLE.match(line).group(1)
            last = list(typed)[-1]
            suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[typed[last]]
            assert sample in [last + s for s in suffixes], "a sample outside its family"


def test_the_schema_is_the_repositorys_and_holds(busy):
    jsonschema = pytest.importorskip("jsonschema")
    response, text = fetch(busy, "/v1/schema")
    with open(netlab.ROOT + "/docs/stats-v1.schema.json") as f:
        assert text == f.read()
    jsonschema.validate(busy.stats(), json.loads(text))
    again, body = fetch(busy, "/v1/schema", **{"If-None-Match": response.getheader("ETag")})
    assert (again.status, body) == (304, "")
