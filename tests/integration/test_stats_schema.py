# SPDX-License-Identifier: MIT
"""The stats document in every state against stats-v1.schema.json, formats included, and what the schema cannot say: names, units, HTTP."""
import hashlib
import http.client
import json
import os
import re
import socket

import jsonschema
import pytest

from support import clients, netlab

DOCS = os.path.join(netlab.ROOT, "docs")
COMMON_FIELDS = {
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; style-src 'self'; script-src 'self'",
}


@pytest.fixture(scope="module")
def validator():
    with open(os.path.join(DOCS, "stats-v1.schema.json")) as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def exchange(p, path, method="GET", **fields):
    """(status, header fields, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", p.stats_port, timeout=5)
    with p.ns:
        connection.connect()
    connection.request(method, path, headers=fields)
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, path + (key,))
    elif not isinstance(value, list):
        yield path, value


def test_the_document_validates_idle_and_busy(lab, proxy, origin, validator):
    p = proxy()
    validator.validate(p.stats())
    live = [clients.session(lab, p, d, origin.port, early=b"ECHO\n") for d in clients.DIALECTS]
    validator.validate(p.stats())
    for s in live:
        s.close()
    p.wait_sessions(0)
    validator.validate(p.stats())


def test_no_number_is_negative_and_names_follow_the_conventions(proxy):
    stats = proxy().stats()
    for path, value in leaves(stats):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert value >= 0, path
        for key in path:
            assert re.fullmatch(r"[a-z0-9_]+", key), path
        seconds = any("_seconds" in key for key in path) and path[-1] != "count"
        assert not seconds or isinstance(value, float), path
        if any(key.endswith("_total") for key in path) and not seconds:
            assert isinstance(value, int), path


def test_counters_never_fall(lab, proxy, origin):
    p = proxy()
    before = dict(leaves(p.stats()))
    clients.session(lab, p, clients.SOCKS5, origin.port, early=b"SOURCE 1000 1\n").close()
    p.wait_sessions(0)
    after = dict(leaves(p.stats()))
    for path, value in before.items():
        if any(key.endswith("_total") for key in path):
            assert after[path] >= value, path


@pytest.mark.parametrize("path,status,live", [("/v1/stats", 200, True), ("/v1/sessions", 200, True), ("/v1/config", 200, False),
                                              ("/healthz", 200, True), ("/readyz", 200, True), ("/nothing", 404, True)])
def test_every_answer_has_the_promised_fields(proxy, path, status, live):
    got, fields, body = exchange(proxy(), path)
    assert got == status
    for name, value in COMMON_FIELDS.items():
        assert fields[name] == value
    assert fields["Cache-Control"] == ("no-store" if live else "no-cache")
    assert ("ETag" in fields) == (not live)
    assert fields["Content-Type"] == ("application/json" if status == 200 else "application/problem+json")
    assert int(fields["Content-Length"]) == len(body)
    document = json.loads(body)
    if status != 200:
        assert document["status"] == status and document["title"] and document["type"] == "about:blank"


def test_the_configuration_has_an_etag_that_the_document_names(proxy):
    p = proxy()
    _, fields, body = exchange(p, "/v1/config")
    etag = fields["ETag"]
    assert etag == f'"{p.stats()["config"]["sha256"]}"'
    status, fields, body = exchange(p, "/v1/config", **{"If-None-Match": etag})
    assert (status, body, fields["ETag"]) == (304, b"", etag)
    assert exchange(p, "/v1/config", **{"If-None-Match": f'"{hashlib.sha256(b"").hexdigest()}"'})[0] == 200


def test_listeners_tell_all_their_protocols(proxy):
    (listener,) = [entry for entry in proxy().stats()["listeners"] if entry["name"] == "all"]
    assert listener["protocol"] == "socks5"
    assert listener["protocols"] == ["socks5", "plain", "convert"]
    assert listener["transport"] == "mptcp" and listener["state"] == "accepting"


@pytest.mark.parametrize("request_text", ["GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2,
                                          "POST /v1/stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
                                          "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", "\x16\x03\x01"])
def test_one_connection_has_one_answer(proxy, request_text):
    p = proxy()
    with p.ns:
        s = socket.create_connection(("127.0.0.1", p.stats_port), timeout=5)
    s.sendall(request_text.encode("latin-1"))
    received = b""
    while chunk := s.recv(65536):
        received += chunk
    assert received.count(b"HTTP/1.1 ") == 1
    s.close()
