# SPDX-License-Identifier: MIT
"""Programs whose target speaks Multipath TCP itself: connected to directly where the settings say so, and only if that gives Multipath
TCP; docs/client.md, "Targets that need no concentrator"."""
import pytest

from support import dialects, netlab
from test_exact import concentrator, rule  # noqa: F401
from test_matrix import COUNT, SEED
from test_shim_exact import IN_PLACE, exact_front  # noqa: F401

MODES = pytest.mark.parametrize("mode", ["preload", "seccomp", "auto"])
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
BLOCKING = pytest.mark.parametrize("options", [(), ("-n",)], ids=["blocking", "nonblocking"])
NATIVE, MPTCP = "directly, to targets that speak Multipath TCP", "over Multipath TCP"
LEARN = ("--bypass-learned", "auto")
SYNS = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


@pytest.fixture
def near(lab):
    """near(options): a server in the concentrator's namespace, which the client reaches with and without."""
    made = []

    def start(*options):
        made.append(netlab.Origin(lab, *options, ns=lab.conc))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def telling(front_of, proxy):
    """`mpconvert run` towards a concentrator that offers Multipath TCP to servers, and so can tell of it."""
    return front_of(proxy({"upstream": {"mptcp": "auto", "slow_after_seconds": 10}}))


def host(v6=False):
    return netlab.CONC6 if v6 else netlab.CONC


def fetch(front, mode, dialect, program, server, *options, v6=False, settings=()):
    """What --stats says of one download that came whole."""
    done, numbers = front.stats(mode, dialect, program, *options, host(v6), server.port, COUNT, SEED, v6=v6, options=settings)
    assert done.stdout == dialects.stream(front.lab, COUNT, SEED), (done.stderr, front.journal())
    return numbers


def direct_syns(seen, server):
    """The MPTCP subtypes of SYNs from the client to the server itself."""
    return [f["tcp.options.mptcp.subtype"] for f in seen.query(f"{SYNS} && tcp.dstport == {server.port}", "tcp.options.mptcp.subtype")]


@MODES
@FAMILIES
@BLOCKING
def test_a_native_target_is_connected_to_directly(lab, front, shop, near, capture, mode, v6, options):
    server = near("-m")
    seen = capture(lab.client, "c1", f"tcp port {server.port}")
    before = front.total("mp_convert")
    numbers = fetch(front, mode, "mp_convert", shop.fetch("dynamic"), server, *options, v6=v6, settings=("--native", host(v6)))
    assert numbers[NATIVE] == numbers[MPTCP] == numbers["connected"] == 1, numbers
    assert front.total("mp_convert") == before
    assert direct_syns(seen, server) == ["0"], "one SYN, with MP_CAPABLE"


def test_static_programs_too(front, shop, near):
    numbers = fetch(front, "auto", "mp_convert", shop.fetch("static"), near("-m"), settings=("--native", netlab.CONC))
    assert numbers[NATIVE] == 1


@MODES
@BLOCKING
def test_one_that_is_not_goes_through_the_concentrator(lab, front, shop, near, capture, mode, options):
    """The direct connection was plain TCP: it is given up, and remembered over the end of the run."""
    server = near()
    seen = capture(lab.client, "c1", f"tcp port {server.port}")
    before = front.total("mp_convert")
    for _ in range(2):
        numbers = fetch(front, mode, "mp_convert", shop.fetch("dynamic"), server, *options, settings=("--native", netlab.CONC))
        assert NATIVE not in numbers and numbers["connected"] == 1
    assert front.total("mp_convert") - before == 2
    assert direct_syns(seen, server) == ["0"]


def test_a_silent_way_costs_little(lab, front, shop, near):
    """A firewall between us and the server, not between the concentrator and the server."""
    server = near("-m")
    lab.conc.nft(f'table inet walls {{ chain in {{ type filter hook input priority 0; iifname != "lo" tcp dport {server.port} drop; }} }}')
    for took in (1, 0):
        numbers = fetch(front, "preload", "mp_convert", shop.fetch("dynamic"), server, settings=("--native", netlab.CONC))
        assert NATIVE not in numbers
        assert ("native_failed" in front.journal()) and front.journal().count("native_failed") == 1, took


@MODES
@FAMILIES
def test_what_a_converter_told_is_used(lab, telling, shop, near, capture, mode, v6):
    server = near("-m")
    seen = capture(lab.client, "c1", f"tcp port {server.port}")
    first, second = (fetch(telling, mode, "convert", shop.fetch("dynamic"), server, v6=v6, settings=LEARN) for _ in range(2))
    assert NATIVE not in first and second[NATIVE] == 1
    assert telling.total("convert") == 1
    assert direct_syns(seen, server) == ["0"]


def test_not_unless_asked_for(telling, shop, near):
    server = near("-m")
    for _ in range(2):
        assert NATIVE not in fetch(telling, "preload", "convert", shop.fetch("dynamic"), server)
    assert telling.total("convert") == 2


def test_within_a_run(telling, shop, near):
    """Also without a file: the processes of a run learn from each other."""
    server = near("-m")
    program = f"{shop.fetch('dynamic')} {netlab.CONC} {server.port} {COUNT} {SEED} >/dev/null"
    done, numbers = telling.stats("preload", "convert", "/bin/sh", "-c", f"{program} && {program} && {program}",
                                  options=(*LEARN, "--cache", "none"))
    assert done.returncode == 0, (done.stderr, telling.journal())
    assert numbers[NATIVE] == 2 and numbers["connected"] == 3
    assert telling.total("convert") == 1


def test_what_is_no_longer_true_is_unlearned(lab, telling, shop, near):
    """A middlebox on the way strips the options from now on: no direct plain TCP, but the concentrator."""
    server = near("-m")
    fetch(telling, "preload", "convert", shop.fetch("dynamic"), server, settings=LEARN)
    lab.emulator.set("path1", mpstrip=1)
    for _ in range(2):
        assert NATIVE not in fetch(telling, "preload", "convert", shop.fetch("dynamic"), server, settings=LEARN)
    assert telling.total("convert") == 3
    assert telling.journal().count("native_failed") == 1


def test_a_plain_server_is_asked_for_at_the_concentrator(lab, telling, shop, near, capture):
    server = near()
    seen = capture(lab.client, "c1", f"tcp port {server.port}")
    for _ in range(2):
        assert NATIVE not in fetch(telling, "preload", "convert", shop.fetch("dynamic"), server, settings=LEARN)
    assert telling.total("convert") == 2
    assert direct_syns(seen, server) == []


def test_an_exact_concentrator_is_asked_for_an_answer_first(exact_front, shop, near):  # noqa: F811
    """In place there is none to learn from. Who is known not to speak it is connected to in place from then on."""
    front = exact_front("convert", changes={"upstream": {"mptcp": "auto", "slow_after_seconds": 10}})
    for server, then in ((near("-m"), NATIVE), (near(), IN_PLACE)):
        first, second = (fetch(front, "preload", "convert", shop.fetch("dynamic"), server, settings=LEARN) for _ in range(2))
        assert IN_PLACE not in first and NATIVE not in first, first
        assert second[then] == 1, second
