# SPDX-License-Identifier: MIT
"""Concentrators that lie, stall or die, under programs of every kind: the program is told an errno in bounded time and never gets an
octet that is not the server's; from one that is only slow or hasty it gets every octet."""
import concurrent.futures
import errno
import re
import socket
import struct
import threading
import time
import types

import pytest

from support import clients, dialects, kernel, netlab
from test_matrix import DIALECTS

PORT, COUNT, SEED, SECONDS = 8080, 30_000, 5, 1  # the target; MPCONVERT_CONNECT_SECONDS
MARGIN = 2  # seconds a run may take besides
PATIENCE = 10
GET = f"GET /{COUNT}/{SEED} HTTP/1.0\r\n\r\n".encode()
KINDS = {  # program, options, mode
    "blocking": ("dynamic", (), "preload"),
    "nonblocking": ("dynamic", ("-n",), "preload"),
    "seccomp": ("static", (), "seccomp"),
    "seccomp-nonblocking": ("static", ("-n",), "seccomp"),
}
NOISE = bytes((i * 167 + 13) % 256 for i in range(200))
REFUSED, RESET, TIMEOUT, PROTO = errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EPROTO


class Scripted:
    """A concentrator in the lab that does as `script(connection)` says with each connection. What it raised is in `failures`."""

    def __init__(self, lab, script, protocol):
        self.script, self.failures, self._threads, self._open = script, [], [], []
        self._listener = lab.conc.open_socket(socket.AF_INET, protocol)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.bind((netlab.CONC, 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        self._serve(self._accept)

    def _serve(self, work, *args):
        self._threads.append(threading.Thread(target=work, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        self._listener.settimeout(PATIENCE * 6)
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            self._open.append(connection)
            self._serve(self._play, connection)

    def _play(self, connection):
        try:
            self.script(connection)
        except (OSError, AssertionError) as e:
            self.failures.append(e)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()
        for thread in self._threads:
            thread.join(PATIENCE)


@pytest.fixture
def scripted(lab, front_of):
    """scripted(script, transport): the front of such a concentrator. Over MPTCP its requests come behind the handshake: a server
    without our cure of trap T1 would answer too early otherwise."""
    made = []

    def start(script, transport):
        made.append(Scripted(lab, script, kernel.IPPROTO_MPTCP if transport == "mptcp" else socket.IPPROTO_TCP))
        front = front_of(made[-1])
        front.scripted, front.env = made[-1], {"MPCONVERT_CONNECT_SECONDS": str(SECONDS), "MPCONVERT_CACHE": "none"}
        if transport == "mptcp":
            front.env["MPCONVERT_TFO"] = "off"
        return front

    yield start
    for concentrator in made:
        concentrator.close()


# ---- what it says ----


def request(dialect):
    return clients.opening(dialect, netlab.SERVER, PORT)


def answer(dialect):
    """Success, all of it; SOCKS5's in two messages."""
    if dialect == "mp_convert":
        return [request(dialect)]
    if dialect == "convert":
        return [dialects.convert_message(dialects.convert_tlv(dialects.TLV_EXTENDED_HEADER, b"\0\0"))]
    return [b"\x05\x00", b"\x05\x00\x00\x01" + socket.inet_aton(netlab.CONC_OUT) + b"\x20\x00"]


def asked(dialect):
    """What the client says before each message of the answer."""
    whole = request(dialect)
    return [whole] if dialect != "socks5" else [whole[:3], whole[3:]]


def listen(connection, dialect, messages):
    """Takes the request's first messages; they are what they should be."""
    for wanted in asked(dialect)[:messages]:
        assert dialects.receive_exactly(connection, len(wanted)) == wanted
        if messages == 2 and wanted == asked(dialect)[0]:
            connection.sendall(answer(dialect)[0])


def steps(dialect):
    return len(asked(dialect))


def tlv(kind, words, rest=b""):
    return bytes([kind, words]) + rest


def convert(body, version=1, words=None, magic=dialects.CONVERT_MAGIC):
    return bytes([version, len(body) // 4 + 1 if words is None else words]) + magic + body


LIES = {  # by dialect: name: (at which message, what is said, errno)
    "mp_convert": {
        "noise": (1, NOISE, PROTO),
        "another-address": (1, dialects.mp_convert(netlab.SERVER_DNS, PORT), PROTO),
        "another-port": (1, dialects.mp_convert(netlab.SERVER, PORT + 1), PROTO),
        "another-family": (1, dialects.mp_convert(netlab.SERVER6, PORT), PROTO),
        "a-source": (1, dialects.mp_convert(netlab.SERVER, PORT, source=True), PROTO),
        "another-type": (1, b"\xfa\xa8\xfa\xa8\x01" + request("mp_convert")[5:], PROTO),
        "a-length-of-zero": (1, b"\xfa\xa8\xfa\xa8\0\0" + bytes(10), PROTO),
        "another-dialect": (1, b"\x05\x00\x05\x00\x00\x01" + bytes(6), PROTO),
    },
    "convert": {
        "noise": (1, NOISE, PROTO),
        "another-version": (1, convert(b"", version=2), PROTO),
        "another-magic": (1, convert(b"", magic=b"\x22\x64"), PROTO),
        "a-length-of-zero": (1, convert(b"", words=0), PROTO),
        "a-tlv-of-length-zero": (1, convert(tlv(dialects.TLV_EXTENDED_HEADER, 0, b"\0\0")), PROTO),
        "a-tlv-beyond-the-end": (1, convert(tlv(dialects.TLV_EXTENDED_HEADER, 9, b"\0\0")), PROTO),
        "tlvs-of-noise": (1, convert(NOISE), PROTO),
        "an-unknown-error": (1, convert(tlv(dialects.TLV_ERROR, 1, b"\xfe\0")), None),
    },
    "socks5": {
        "noise": (1, NOISE, PROTO),
        "another-version": (1, b"\x04\x00", PROTO),
        "a-method-not-offered": (1, b"\x05\x02", None),
        "no-method": (1, b"\x05\xff", errno.EACCES),
        "another-version-later": (2, b"\x04\x00\x00\x01" + bytes(6), PROTO),
        "another-address-type": (2, b"\x05\x00\x00\x09" + bytes(6), PROTO),
        "an-unknown-reply": (2, b"\x05\x7f\x00\x01" + bytes(6), None),
        "an-empty-name": (2, b"\x05\x01\x00\x03\x00\x00\x00", None),
    },
}
TOLD = {REFUSED, RESET, TIMEOUT, PROTO, errno.EACCES, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNABORTED, errno.EIO,
        errno.EPIPE}  # what an application may expect of connect()


def run(front, shop, dialect):
    """{kind: (what became of the program, seconds)}; all kinds at once."""
    def one(kind):
        program, options, mode = KINDS[kind]
        begin = time.monotonic()
        done = front.run(mode, dialect, shop.fetch(program), *options, netlab.SERVER, PORT, COUNT, SEED, env=front.env, timeout=30)
        return done, time.monotonic() - begin

    with concurrent.futures.ThreadPoolExecutor(len(KINDS)) as pool:
        return dict(zip(KINDS, pool.map(one, KINDS)))


def assert_told(front, runs, wanted, patient=False):
    """`wanted`: an errno, several, or None: any that is sensible."""
    allowed = TOLD if wanted is None else {wanted} if isinstance(wanted, int) else wanted
    for kind, (done, seconds) in runs.items():
        said = re.fullmatch(rb"connect: (\d+) .*\n", done.stderr)
        assert (done.returncode, done.stdout) == (1, b"") and said, (kind, done, front.journal())
        assert int(said[1]) in allowed, (kind, errno.errorcode[int(said[1])], front.journal())
        assert SECONDS - 0.1 <= seconds < SECONDS + MARGIN if patient else seconds < MARGIN, (kind, seconds)


def cases(table):
    for dialect in DIALECTS:
        for name in table[dialect] if isinstance(table, dict) else table:
            yield pytest.param(dialect, name, id=f"{dialect}-{name}")


TRANSPORT = pytest.mark.parametrize("transport", ["tcp", "mptcp"])


@TRANSPORT
@pytest.mark.parametrize("dialect,lie", cases(LIES))
def test_a_lie_is_an_errno(shop, scripted, transport, dialect, lie):
    messages, text, wanted = LIES[dialect][lie]

    def script(connection):
        listen(connection, dialect, messages)
        connection.sendall(text)  # and stays

    front = scripted(script, transport)
    assert_told(front, run(front, shop, dialect), wanted)


def abort_at(dialect, messages, part, how):
    """After so many messages of the request and the first `part` octets of the answer to the last: FIN, RST or silence."""
    def script(connection):
        listen(connection, dialect, messages)
        if part:
            connection.sendall(answer(dialect)[messages - 1][:part])
            time.sleep(0.1)  # so that it is not overtaken
        if how == "reset":
            clients.abort(connection)
        elif how == "end":
            connection.shutdown(socket.SHUT_RDWR)

    return script


def stages(dialect):
    """(messages, octets of the answer to the last)"""
    yield 0, 0
    for i, message in enumerate(answer(dialect)):
        yield i + 1, 0
        yield i + 1, len(message) // 2
        if len(message) > 2:
            yield i + 1, len(message) - 1


def death_cases():
    for dialect in DIALECTS:
        for messages, part in stages(dialect):
            for how in ("reset", "end", "silence"):
                yield pytest.param(dialect, messages, part, how, id=f"{dialect}-{messages}-{part}-{how}")


@TRANSPORT
@pytest.mark.parametrize("dialect,messages,part,how", death_cases())
def test_death_and_silence_are_an_errno(shop, scripted, transport, dialect, messages, part, how):
    front = scripted(abort_at(dialect, messages, part, how), transport)
    wanted = {"silence": TIMEOUT, "reset": {RESET, REFUSED}, "end": {RESET, REFUSED, PROTO}}[how]
    assert_told(front, run(front, shop, dialect), wanted, how == "silence")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nobody_accepts(lab, front_of, shop, dialect):
    """A listener with a full queue: SYNs are not answered."""
    with lab.conc.open_socket() as full:
        full.bind((netlab.CONC, 0))
        full.listen(0)
        with lab.conc.open_socket() as one, lab.conc.open_socket() as two:
            for s in (one, two):
                s.setblocking(False)
                s.connect_ex(full.getsockname())
            front = front_of(types.SimpleNamespace(port=full.getsockname()[1]))
            front.env = {"MPCONVERT_CONNECT_SECONDS": str(SECONDS), "MPCONVERT_CACHE": "none"}
            assert_told(front, run(front, shop, dialect), TIMEOUT, patient=True)


# ---- those that keep their word ----


def reply(lab):
    return b"HTTP/1.0 200 OK\r\n\r\n" + dialects.stream(lab, COUNT, SEED)


def honest(lab, dialect, say_last, got):
    """Says the last message of the answer, and what the server says, by say_last(connection, message, data)."""
    def script(connection):
        messages = steps(dialect)
        listen(connection, dialect, messages)
        say_last(connection, answer(dialect)[-1], reply(lab))
        got.append(dialects.receive_exactly(connection, len(GET)))
        connection.shutdown(socket.SHUT_WR)

    return script


def octet_by_octet(connection, message, data):
    for i in range(len(message)):
        connection.sendall(message[i : i + 1])
        time.sleep(0.01)
    connection.sendall(data)


def glued(connection, message, data):
    connection.sendall(message + data)


def cut_behind(connection, message, data):
    """The first octet of the server's comes with the answer."""
    connection.sendall(message + data[:1])
    time.sleep(0.05)
    connection.sendall(data[1:])


WAYS = {"octet-by-octet": octet_by_octet, "glued": glued, "one-octet-glued": cut_behind}


@TRANSPORT
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_programs_octets_are_intact(lab, shop, scripted, transport, dialect, way):
    got = []
    front = scripted(honest(lab, dialect, WAYS[way], got), transport)
    for kind, (done, _) in run(front, shop, dialect).items():
        assert (done.returncode, done.stderr) == (0, b""), (kind, done, front.journal(), front.scripted.failures)
        assert done.stdout == dialects.stream(lab, COUNT, SEED), kind
    assert got == [GET] * len(KINDS) and front.scripted.failures == []


def test_the_next_concentrator_serves_when_the_first_lies(lab, front, origin, shop, scripted):
    """A lie is no verdict on the target."""
    liar = scripted(lambda connection: connection.sendall(NOISE), "tcp")
    for program, options, mode in KINDS.values():
        argv = front.argv(mode, "mp_convert")
        at = argv.index("--proxy") + 1
        argv[at] = f"{netlab.CONC}:{liar.scripted.port},{argv[at]}"
        done = lab.client.run(*argv, shop.fetch(program), *options, netlab.SERVER, origin.port, COUNT, SEED, env=front.environment(),
                              check=False, cwd=front.folder)
        assert done.stdout == dialects.stream(lab, COUNT, SEED), (done, front.journal())


def test_a_flood_instead_of_an_answer_is_not_read(shop, scripted):
    """Nor does it keep the program."""
    def script(connection):
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        for _ in range(1000):
            connection.sendall(NOISE * 300)

    for dialect in DIALECTS:
        front = scripted(script, "tcp")
        assert_told(front, run(front, shop, dialect), None)
