# SPDX-License-Identifier: MIT
"""Multipath TCP towards servers: who is offered it, what is remembered of them, and what clients are told."""
import socket

import pytest

from support import clients, dialects, netlab
from test_upstream import origins, tcp_options  # noqa: F401
from test_via import concentrator, via

KIND_MPTCP = 30


@pytest.mark.parametrize("dialect,far_mptcp,told", [("convert", "on", True), ("convert", "off", False), ("mp_convert", "on", False)])
def test_behind_a_concentrator_the_server_counts(lab, proxy, origins, dialect, far_mptcp, told):  # noqa: F811
    """A Convert client of ours hears of the server's MPTCP, which a Convert concentrator tells, not of that concentrator's."""
    server = origins("-m")
    far = proxy({"upstream": {"mptcp": far_mptcp}})
    near = proxy(via(concentrator(far, dialect)), ns=lab.client, listener={"via": True})
    with lab.client.open_socket(socket.AF_INET) as s:
        s.connect(("127.0.0.1", near.port))
        s.sendall(clients.opening(clients.CONVERT, netlab.SERVER, server.port) + b"ECHO\nfirst octets")
        options = tcp_options(dialects.receive_convert(s)[dialects.TLV_EXTENDED_HEADER][2:])
        assert dialects.receive_exactly(s, 12) == b"first octets"
    assert far.stats()["mptcp"]["sessions_total"] == 1, "the leg between the two is MPTCP"
    assert (KIND_MPTCP in options) == told
