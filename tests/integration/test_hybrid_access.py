# SPDX-License-Identifier: MIT
"""Hybrid access: the use cases of draft-nam-mptcp-deployment-considerations-01 s3 in the network of support/access.py."""
import pytest

from hybrid import CAPABLE, DIALECTS, FAMILIES, JOIN, SYN, Home, ask_echo, entry, exchange, finish, peer_of, wait_subflows
from support import access as net


@pytest.fixture
def home(access, daemon):
    return Home(access, daemon)


@FAMILIES
@DIALECTS
def test_both_ends_know_nothing(access, daemon, home, web, capture, dialect, v6):
    """UC3, dual-ended: plain TCP - CPE = two links = concentrator - plain TCP."""
    far = daemon()
    near = home.start(entry(far, dialect, v6))
    access.use_both_paths()
    first, second = capture(access.cpe, "u1"), capture(access.cpe, "u2")
    ended = len(web.events())
    s = home.call(web.port, v6)
    assert s.getpeername()[:2] == (net.SERVER[v6], web.port), "the host does not see its server"
    ask_echo(s)
    exchange(access, s)
    wait_subflows(far, 2)
    exchange(access, s)
    finish(s)
    assert net.CONC_OUT[0][v6] in peer_of(web, ended)
    to_far = f"{SYN} && tcp.dstport == {far.port}"
    assert first.count(f"{to_far} && {CAPABLE} && tcp.len > 0") == 1, "the request did not go in the SYN"
    assert second.count(f"{to_far} && {JOIN}") == 1
    assert first.count(f"ip.addr == {net.SERVER[0]} || ipv6.addr == {net.SERVER[1]}") == 0, "something went without the concentrator"
    assert near.stats()["via"]["direct_total"] == 0
