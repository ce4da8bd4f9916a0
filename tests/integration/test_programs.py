# SPDX-License-Identifier: MIT
"""Programs that were not written by us, over SOCKS5."""
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zlib

import pytest

from support import dialects, netlab, node_socks
from support.guests import need
from support.nameserver import Nameserver

NAME = "origin.example.net"
COUNT, SEED = 300_000, 21
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}  # no proxy settings of the host's


@pytest.fixture
def p(lab, proxy):
    server = Nameserver(lab.server, netlab.SERVER_DNS, {NAME: [netlab.SERVER]})
    yield proxy({"dns": {"servers": [netlab.SERVER_DNS]}})
    server.stop()


@pytest.fixture
def address(p):
    """Where the client's programs find the proxy: over the plain link."""
    return netlab.CONC_LINK[0], p.port


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wanted(lab):
    return digest(dialects.stream(lab, COUNT, SEED))


def run(lab, *argv, env=None, **kw):
    return lab.client.run(*argv, env={**ENVIRONMENT, **(env or {})}, timeout=30, **kw).stdout


def came_through_the_proxy(p, minimum=1):
    netlab.wait_for(lambda: p.stats()["sessions"]["by_protocol"]["socks5"]["total"] >= minimum, 2, "the session's count")


@pytest.mark.parametrize("scheme,host", [("socks5", netlab.SERVER), ("socks5h", netlab.SERVER), ("socks5h", NAME),
                                         ("socks5", f"[{netlab.SERVER6}]")])
def test_curl(lab, p, address, origin, wanted, scheme, host):
    need("curl")
    got = run(lab, "curl", "-sS", "--fail", "-x", "%s://%s:%d" % (scheme, *address), f"http://{host}:{origin.port}/{COUNT}/{SEED}")
    assert digest(got) == wanted
    came_through_the_proxy(p)


def test_curl_over_ipv6(lab, p, origin, wanted):
    need("curl")
    got = run(lab, "curl", "-sS", "--fail", "-x", f"socks5h://[{netlab.CONC_LINK6[0]}]:{p.port}",
              f"http://{NAME}:{origin.port}/{COUNT}/{SEED}")
    assert digest(got) == wanted


def test_curl_tells_a_refusal(lab, p, address):
    need("curl")
    done = lab.client.run("curl", "-sS", "-x", "socks5h://%s:%d" % address, f"http://{netlab.SERVER}:7998/", check=False,
                          env=ENVIRONMENT)
    assert done.returncode == 97  # CURLE_PROXY
    assert b"(5)" in done.stderr  # the reply code


def test_ncat_half_close(lab, p, address, origin):
    """The server's answer comes after ncat's end of input."""
    need("ncat")
    data = dialects.stream(lab, COUNT, SEED)
    got = run(lab, "ncat", "--proxy", "%s:%d" % address, "--proxy-type", "socks5", netlab.SERVER, origin.port,
              input=b"WAIT 200 SINK\n" + data)
    assert got == b"%d %08x\n" % (COUNT, zlib.crc32(data))


def test_ssh_through_ncat(lab, p, address, ssh_server):
    need("ncat")
    port, options = ssh_server
    through = "ncat --proxy %s:%d --proxy-type socks5 %%h %%p" % address
    data = dialects.stream(lab, COUNT, SEED)
    got = run(lab, "ssh", *options, "-o", f"ProxyCommand={through}", f"root@{netlab.SERVER}", "cat", input=data)
    assert got == data
    came_through_the_proxy(p)


@pytest.fixture
def proxychains(tmp_path, address):
    need("proxychains4")
    path = tmp_path / "proxychains.conf"
    path.write_text("strict_chain\nproxy_dns\ntcp_read_time_out 15000\ntcp_connect_time_out 8000\n[ProxyList]\nsocks5 %s %d\n" % address)
    return ["proxychains4", "-q", "-f", path]


@pytest.mark.parametrize("host", [netlab.SERVER, NAME])
def test_proxychains_wget(lab, p, proxychains, origin, wanted, host):
    need("wget")
    got = run(lab, *proxychains, "wget", "-q", "-O", "-", f"http://{host}:{origin.port}/{COUNT}/{SEED}")
    assert digest(got) == wanted
    came_through_the_proxy(p)


@pytest.mark.parametrize("reverse", [False, True], ids=["up", "down"])
def test_proxychains_iperf3(lab, p, proxychains, reverse):
    need("iperf3")
    port = lab.server.free_port()
    server = lab.server.popen("iperf3", "-s", "-1", "-p", port, stdout=subprocess.DEVNULL)
    netlab.wait_for(lambda: lab.server.listening(port), 5, "iperf3")
    got = run(lab, *proxychains, "iperf3", "-c", netlab.SERVER, "-p", port, "-t", 1, "-J", *(["-R"] if reverse else []))
    server.wait(5)
    assert json.loads(got)["end"]["sum_received"]["bytes"] > 1_000_000
    came_through_the_proxy(p, 2)  # control and data


def test_socksify(lab, p, address, origin, wanted, tmp_path):
    need("socksify", "wget")
    path = tmp_path / "socks.conf"
    path.write_text("route { from: 0.0.0.0/0 to: 0.0.0.0/0 via: %s port = %d\n proxyprotocol: socks_v5\n method: none\n"
                    " command: connect }\n" % address)
    got = run(lab, "socksify", "wget", "-q", "-O", "-", f"http://{netlab.SERVER}:{origin.port}/{COUNT}/{SEED}",
              env={"SOCKS_CONF": str(path)})
    assert digest(got) == wanted
    came_through_the_proxy(p)


@pytest.mark.parametrize("way", ["ALL_PROXY", "http.proxy"])
def test_git_clone(lab, p, address, repository, wanted, tmp_path, way):
    url = "socks5h://%s:%d" % address
    options = ["-c", f"http.proxy={url}"] if way == "http.proxy" else []
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"} | ({"ALL_PROXY": url} if way == "ALL_PROXY" else {})
    run(lab, "git", *options, "clone", "-q", f"http://{NAME}:{repository}/lab.git", tmp_path / "copy", env=env)
    assert digest((tmp_path / "copy" / "data").read_bytes()) == wanted
    came_through_the_proxy(p)


@pytest.mark.parametrize("host,remote_dns", [(netlab.SERVER, True), (NAME, True), (netlab.SERVER6, True)])
def test_python_socks(lab, p, address, origin, host, remote_dns):
    socks = pytest.importorskip("socks")
    with lab.client:
        s = socks.socksocket(socket.AF_INET)
        s.set_proxy(socks.SOCKS5, *address, rdns=remote_dns)
        s.settimeout(10)
        s.connect((host, origin.port))
    s.sendall(b"ECHO\nhello")
    assert dialects.receive_exactly(s, 5) == b"hello"
    s.close()


NODE = """
const { SocksClient } = require('socks');
const [host, port, target, targetPort] = process.argv.slice(1);
SocksClient.createConnection({ proxy: { host, port: +port, type: 5 }, command: 'connect',
                               destination: { host: target, port: +targetPort } }).then(({ socket }) => {
    socket.on('data', d => process.stdout.write(d));
    socket.on('end', () => process.exit(0));
    socket.write('SINK\\nhello');
    socket.end();
}).catch(e => { console.error(e); process.exit(1); });
"""


@pytest.mark.parametrize("target", [netlab.SERVER, NAME, netlab.SERVER6])
def test_node_socks(lab, p, address, origin, target):
    reason = node_socks.missing()
    if reason:
        pytest.skip(reason)
    got = run(lab, "node", "-e", NODE, "--", *address, target, origin.port,
              env={"NODE_PATH": os.path.join(node_socks.FOLDER, "node_modules")})
    assert got == b"5 %08x\n" % zlib.crc32(b"hello")


def test_curl_over_an_emulated_path(lab, p, origin, wanted):
    """The service address, over the emulated paths: what a user would do."""
    need("curl")
    begin = time.monotonic()
    got = run(lab, "curl", "-sS", "--fail", "-x", f"socks5h://{netlab.CONC}:{p.port}", f"http://{NAME}:{origin.port}/{COUNT}/{SEED}")
    assert digest(got) == wanted
    assert time.monotonic() - begin < 5
