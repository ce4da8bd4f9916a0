# SPDX-License-Identifier: MIT
"""Hybrid access: (a) one line, (b) two lines, (c) two lines, one of them cut half-way and back again."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import labkit  # noqa: E402
import networks  # noqa: E402
import plot  # noqa: E402

RATE = 20
LINES = {"wan1": "line 1", "wan2": "line 2"}
URL = f"http://{labkit.SERVER}/file"


def one_line(lab, n):
    with plot.Sampler(n.cpe, LINES) as sampler:
        got = labkit.Download(lab, n.host, URL).wait()
    return got, sampler, []


def both_lines(lab, n, web, cpe):
    with plot.Sampler(n.cpe, LINES) as sampler:
        got = labkit.Download(lab, n.host, URL)
        labkit.netlab.wait_for(lambda: got.got > web.octets / 3, 30, "a third of the file")
        look(lab, n, cpe)
        got.wait()
    return got, sampler, []


def look(lab, n, cpe):
    """What an operator would ask while it runs."""
    lab.show(n.cpe, "ip", "mptcp", "endpoint", "show")
    for session in cpe.sessions():
        lab.say(f"/v1/sessions of the CPE: {session['client']['address']} is served as {session['protocol']}, "
                f"{session['down_bytes']} octets so far")
    lab.joined(n.cpe, "one Multipath TCP connection with two subflows, one over each line", "dst", "198.51.100.1")


def with_a_cut(lab, n, web):
    with plot.Sampler(n.cpe, LINES) as sampler:
        got = labkit.Download(lab, n.host, URL)
        labkit.netlab.wait_for(lambda: got.got > web.octets * 0.35, 30, "the download to be half-way")
        lab.emulator.cut("line2")
        begin = labkit.time.monotonic() - sampler.begin
        lab.say(f"{begin:.1f} s: line 2 is cut: whatever is sent over it vanishes")
        labkit.time.sleep(0.4 if lab.quick else 2)
        lab.emulator.restore("line2")
        end = labkit.time.monotonic() - sampler.begin
        lab.say(f"{end:.1f} s: line 2 is back")
        got.wait()
    return got, sampler, [(begin, end, "line 2 cut")]


def table(lab, runs, web):
    base = runs[0][1].mbit
    lab.say(f"{'':<34}{'Mbit/s':>8}{'ratio':>7}{'seconds':>9}{'line 1':>9}{'line 2':>9}  SHA-256")
    for name, got, sampler, _ in runs:
        whole = sum(sampler.octets())
        share = [f"{100 * o / whole:.0f} %" for o in sampler.octets()]
        same = "the server's" if got.hash == web.hash else "DIFFERENT"
        lab.say(f"{name:<34}{got.mbit:8.1f}{got.mbit / base:7.2f}{got.seconds:9.2f}{share[0]:>9}{share[1]:>9}  {same}")


def lab(lab):
    lab.say(networks.HYBRID)
    lab.step("The network: two lines of 20 Mbit/s, 20 and 40 ms there and back; the host and the server have plain TCP.")
    n = networks.hybrid(lab, rate=RATE)
    web = lab.web_server(n.server, 4_000_000 if lab.quick else 25_000_000)
    lab.say(f"server: http://{labkit.SERVER}/file, {web.octets} octets, SHA-256 {web.hash[:16]}...")

    lab.step("(a) As it was: the host's connection goes over line 1, line 2 idles.")
    runs = [("(a) one line, plain TCP", *one_line(lab, n))]

    lab.step("The concentrator in the network and the daemon in the CPE are started.")
    concentrator = lab.daemon(n.concentrator, "explicit-concentrator/concentrator.sh")
    cpe = lab.daemon(n.cpe, "dual-ended/cpe.sh")

    lab.step("(b) The same download: the CPE takes the host's connection and carries it over both lines.")
    runs.append(("(b) both lines", *both_lines(lab, n, web, cpe)))

    lab.step("(c) Again, and line 2 is cut half-way.")
    runs.append(("(c) both lines, line 2 cut", *with_a_cut(lab, n, web)))

    lab.step("What came of it.")
    table(lab, runs, web)
    lab.check(all(r[1].hash == web.hash for r in runs), "every download is the server's file, octet by octet")
    lab.check(min(runs[1][2].octets()) > web.octets / 8, "both lines carried (b)")
    if not lab.quick:
        lab.check(runs[2][2].octets()[0] > runs[2][2].octets()[1], "line 1 carried more of (c) than the line that was cut")
        lab.check(runs[1][1].mbit / runs[0][1].mbit > 1.6, "two lines are more than 1.6 times as fast as one")
    counted(lab, concentrator, cpe)
    out = lab.out or tempfile.mkdtemp(prefix="hybrid-access-")
    titles = [f"{name}: {got.mbit:.1f} Mbit/s, {got.seconds:.1f} s" for name, got, _, _ in runs]
    made = plot.draw(out, "hybrid-access", f"One download of {web.octets / 1e6:g} MB, received by the CPE",
                     [(t, s, m) for t, (_, _, s, m) in zip(titles, runs)], 2.4 * RATE)
    lab.say("plots: " + " ".join(made))
    lab.check(all(os.path.getsize(p) > 1000 for p in made), "they are drawn")


def counted(lab, concentrator, cpe):
    here, there = cpe.stats(), concentrator.stats()
    lab.say(f"CPE: via.connections_total {here['via']['connections_total']}, direct_total {here['via']['direct_total']}; "
            f"concentrator: mptcp.join_total {there['mptcp']['join_total']}, syn_data_total {there['mptcp']['syn_data_total']}")
    lab.check(here["via"]["connections_total"] == 2 and here["via"]["direct_total"] == 0, "both went through the concentrator")
    lab.check(there["mptcp"]["join_total"] == 2, "each got its second subflow")


labkit.main(__doc__, lab)
