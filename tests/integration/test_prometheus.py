# SPDX-License-Identifier: MIT
"""conf/prometheus and conf/grafana against a real Prometheus that scrapes the daemon: every expression can be evaluated, and names
nothing that is not there."""
import http.client
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

from support import clients, netlab
from support.clients import SOCKS5

RULES = os.path.join(netlab.ROOT, "conf", "prometheus", "mpconvert.rules.yml")
DASHBOARD = os.path.join(netlab.ROOT, "conf", "grafana", "mpconvert.json")
METRIC = re.compile(r"\b((?:mpconv|process)_[a-z0-9_]+)")
CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: mpconvert
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    def __init__(self, p, folder):
        if shutil.which("prometheus") is None:
            pytest.skip("prometheus is not installed")
        self.ns, self.port = p.ns, p.ns.free_port()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, port=p.stats_port))
        self.process = p.ns.popen("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                                  f"--web.listen-address=127.0.0.1:{self.port}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, path, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            with self.ns:
                connection.connect()
            connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
            return json.loads(connection.getresponse().read())
        except (OSError, ValueError):  # not there yet, or not ready
            return {"status": "none", "data": {"result": []}}
        finally:
            connection.close()

    def query(self, expression):
        answer = self.ask("/api/v1/query", query=expression)
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def dashboard():
    with open(DASHBOARD) as f:
        return json.load(f)


def expressions(dashboard):
    found = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    return [e.replace("$instance", ".*").replace("$__rate_interval", "10s") for e in found]


@pytest.fixture
def scraped(lab, proxy, origin, tmp_path):
    p = proxy()
    clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n").close()
    prometheus = Prometheus(p, tmp_path)
    try:
        netlab.wait_for(lambda: prometheus.ask("/api/v1/query", query="count_over_time(mpconv_workers[1m]) > 2")["data"]["result"], 30,
                        "three scrapes", interval=0.1)
        yield p, prometheus
    finally:
        prometheus.stop()


def test_every_expression_can_be_evaluated(scraped, dashboard):
    p, prometheus = scraped
    for expression in expressions(dashboard):
        found = prometheus.query(expression)
        # A quotient of nothing by nothing, or what is filtered: those may be empty.
        assert found or "/" in expression or ">" in expression or "quantile" in expression, expression
    loaded = prometheus.ask("/api/v1/rules")["data"]["groups"]
    alerts = {rule["name"]: rule for group in loaded for rule in group["rules"]}
    assert len(alerts) > 10
    netlab.wait_for(lambda: all(rule["health"] == "ok" for group in prometheus.ask("/api/v1/rules")["data"]["groups"]
                                for rule in group["rules"]), 20, "the rules to be evaluated", interval=0.1)


def test_they_name_nothing_that_is_not_there(proxy, dashboard):
    text = proxy().get("/metrics")[1].decode()
    with open(RULES) as f:
        wanted = set(METRIC.findall(f.read() + " ".join(expressions(dashboard))))
    there = set(METRIC.findall(text))
    assert not wanted - there


def test_a_failed_reload_fires_its_alert(scraped):
    p, prometheus = scraped
    p.reload("{")
    found = netlab.wait_for(lambda: [a for a in prometheus.ask("/api/v1/alerts")["data"].get("alerts", [])
                                     if a["labels"]["alertname"] == "MpconvertReloadFailed"], 20, "the alert", interval=0.1)
    assert found[0]["state"] == "pending"
    p.reload(json.dumps(p.config))


def test_panels_do_not_lie_on_each_other(dashboard):
    cells = [(x, y) for panel in dashboard["panels"] for g in [panel["gridPos"]]
             for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
