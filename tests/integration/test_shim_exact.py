# SPDX-License-Identifier: MIT
"""Programs behind an exact concentrator: their connect() is the kernel's own, in place, and ends as a direct one does; docs/client.md,
"Exact concentrators". No placeholder is used."""
import pytest

from support import dialects, guests, netlab
from support.guests import PYTHON
from test_exact import SLOW_MS, concentrator, rule, slow  # noqa: F401
from test_matrix import COUNT, SEED, PROGRAMS, Target
from test_refusals import CLOSED_PORT

DIALECTS = pytest.mark.parametrize("dialect", ["mp_convert", "convert"])
MODES = pytest.mark.parametrize("mode", ["preload", "seccomp", "auto"])
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
IN_PLACE, PLACEHOLDERS = "in place, through an exact concentrator", "non-blocking, by placeholder"
TAKEN, MPTCP = "request taken in the SYN", "over Multipath TCP"


@pytest.fixture
def exact_front(front_of, concentrator):  # noqa: F811
    """exact_front(dialect, ...): towards an exact concentrator that was probed."""

    def start(dialect, v6=False, changes=None):
        front = front_of(concentrator(changes))
        front.exact = "auto"
        assert [row["exact"] for row in front.probe(dialect, v6)] == [True]
        return front

    return start


def in_place(numbers, count=None):
    return numbers.get(IN_PLACE, 0) == numbers["connections redirected"] == (count or numbers["connections redirected"]) and \
        PLACEHOLDERS not in numbers


@DIALECTS
@MODES
@FAMILIES
@pytest.mark.parametrize("options", [(), ("-n",)], ids=["blocking", "nonblocking"])
def test_a_connect_is_made_in_place(lab, exact_front, origin, shop, mode, dialect, v6, options):
    front = exact_front(dialect, v6)
    host = netlab.SERVER6 if v6 else netlab.SERVER
    done, numbers = front.stats(mode, dialect, shop.fetch("dynamic"), *options, host, origin.port, COUNT, SEED, v6=v6)
    assert done.stdout == dialects.stream(lab, COUNT, SEED), (done.stderr, front.journal())
    assert in_place(numbers, 1), numbers


@DIALECTS
@MODES
@FAMILIES
@pytest.mark.parametrize("options", [(), ("-n",)], ids=["blocking", "nonblocking"])
def test_a_refusal_is_the_kernels(lab, exact_front, shop, mode, dialect, v6, options):
    front = exact_front(dialect, v6)
    host = netlab.SERVER6 if v6 else netlab.SERVER
    done, numbers = front.stats(mode, dialect, shop.fetch("dynamic"), *options, host, CLOSED_PORT, COUNT, SEED, v6=v6)
    plain = lab.conc.run(shop.fetch("dynamic"), *options, host, CLOSED_PORT, COUNT, SEED, check=False)
    assert b"111 Connection refused" in plain.stderr
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr), front.journal()
    assert in_place(numbers, 1), numbers
