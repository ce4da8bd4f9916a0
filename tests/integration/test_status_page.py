# SPDX-License-Identifier: MIT
"""The page for people, in a headless Chromium inside the daemon's namespace: what it shows against /v1/stats."""
import os
import re
import shutil

import pytest

from support import clients, dialects, guests, netlab
from support.clients import CONVERT, SOCKS5
from test_metrics import fetch

SIZE_MAX = 20_000
# What is shown, and nothing that moves while we look.
CELL = re.compile(r'<(?:span|td|h1|strong)[^>]* id="([a-z0-9]+)"[^>]*>([^<]*)<')


def chromium(p, folder, *options):
    """Chromium's standard output for the page."""
    guests.need("chromium")
    argv = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
            "--virtual-time-budget=4000", "--window-size=1200,900", *options, f"http://127.0.0.1:{p.stats_port}/"]
    env = {**guests.ENVIRONMENT, "HOME": str(folder)}
    return p.ns.run(*argv, env=env, cwd=str(folder), timeout=60).stdout.decode()


@pytest.fixture
def busy(lab, proxy, origin):
    p = proxy({"node": "conc-<1>"})
    for dialect in (SOCKS5, CONVERT, CONVERT):
        s = clients.session(lab, p, dialect, origin.port, early=b"SOURCE 100000 1\n")
        assert dialects.receive_exactly(s, 100000)
        s.close()
    p.wait_sessions(0)
    lab.use_both_paths()
    s = clients.session(lab, p, SOCKS5, origin.port, early=b"ECHO\n", link=1)
    netlab.wait_for(lambda: p.stats()["mptcp"]["subflows_per_session"].get("2") == 1, 5, "the second subflow")
    yield p
    s.close()


def test_the_file_is_small_and_asks_nobody_else():
    with open(os.path.join(netlab.ROOT, "server", "page", "status.html")) as f:
        text = f.read()
    assert len(text.encode()) <= SIZE_MAX
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert re.findall(r'fetch\("([^"]*)"', text) == ["/v1/stats"]


def test_it_shows_what_the_document_says(busy, tmp_path):
    seen = dict(CELL.findall(chromium(busy, tmp_path, "--dump-dom")))
    stats = busy.stats()
    v = stats["sessions"]
    assert seen["node"] == "conc-&lt;1&gt;"
    assert seen["state"] == "serving"
    assert {k: seen[k] for k in ("current", "accepted", "refused", "dropped", "peak")} == {
        "current": "1", "accepted": str(v["accepted_total"]), "refused": "0", "dropped": "0", "peak": str(v["peak"])}
    assert seen["max"].replace(",", "") == str(v["max"])
    assert (seen["n0"], seen["n1"], seen["n2"]) == ("0", "1", "0")
    assert seen["multipath"] == "100.0 %"
    assert seen["fds"].split(" of ")[1].replace(",", "") == str(stats["process"]["max_fds"])


def test_its_tables_are_filled(busy, tmp_path):
    dom = chromium(busy, tmp_path, "--dump-dom")
    tables = {name: re.findall(r"<td[^>]*>([^<]*)</td>", text)
              for name, text in re.findall(r'<table id="(reasons|listeners)">(.*?)</table>', dom, re.S)}
    closed = {k: v for k, v in busy.stats()["sessions"]["closed_total"].items() if v}
    assert dict(zip(tables["reasons"][::2], map(int, tables["reasons"][1::2]))) == closed
    assert tables["listeners"][:2] == ["all", f"[::]:{busy.port}"]


def test_without_javascript_it_is_a_table_of_everything(busy):
    """Chromium tells its document by means of a script only: here is what it would show instead."""
    inside = re.search(r"<noscript>(.*)</noscript>", fetch(busy, "/")[1], re.S)[1]
    shown = dict(re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td></tr>", inside))
    assert shown["node"] == "conc-&lt;1&gt;"
    assert shown["sessions.current"] == "1"
    assert shown["listeners[0].name"] == "all"
    stats = busy.stats()
    for part in ("sessions", "upstream", "traffic", "mptcp"):
        assert {f"{part}.{k}" for k, v in stats[part].items() if isinstance(v, (int, float, str))} <= set(shown)


def test_a_picture_can_be_taken(busy, tmp_path):
    chromium(busy, tmp_path, f"--screenshot={tmp_path}/page.png")
    assert os.path.getsize(tmp_path / "page.png") > 10_000
    keep = os.environ.get("MPCONVERT_SCREENSHOT")
    if keep:
        shutil.copy(tmp_path / "page.png", keep)


def test_its_policy_allows_its_own_script_and_nothing_else(busy):
    response, text = fetch(busy, "/")
    policy = response.getheader("Content-Security-Policy")
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2
    assert "<!--FIGURES-->" not in text
    assert response.getheader("Cache-Control") == "no-store"


def test_it_can_be_switched_off(proxy):
    p = proxy({"stats": {"status_page": False}})
    assert p.get("/")[0] == 404
    assert p.get("/v1/stats")[0] == 200
