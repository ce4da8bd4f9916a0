# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests. Run them as root or, where user namespaces are allowed, as a plain user:

    MPCONVERTD=build/dev/server/mpconvertd pytest-3 -n 4 --dist loadgroup tests/integration

Every worker of such a parallel run has a lab of its own. Without pytest-xdist, or without -n, everything runs one after the other.
Tests marked `alone` come first, on one worker, while the others wait.

Missing privilege is a skip; with CI=true or MPCONVERT_NO_SKIPS=1 every skip is a failure."""
import contextlib
import os
import signal
import sys

import pytest

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(os.path.abspath(__file__))]
from support import access as access_network, guests, netlab, node_socks, turns  # noqa: E402
from support.forged import Forged  # noqa: E402
from support.proxy import Proxy  # noqa: E402
import hybrid  # noqa: E402
from services import redis, repository, ssh_server, website  # noqa: E402, F401


def pytest_configure(config):
    worker = hasattr(config, "workerinput")

    def terminated(*_):
        for pid in [] if worker else turns.workers():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        pytest.exit("terminated")

    signal.signal(signal.SIGTERM, terminated)  # so that fixtures clean up
    config.addinivalue_line("markers", "alone: the verdict depends on time or throughput: no other test may run meanwhile")
    if netlab.needs_user_namespace():
        capture = config.pluginmanager.getplugin("capturemanager")
        node_socks.missing()  # inside there will be no network to install from
        if capture is not None:
            capture.suspend_global_capture(in_=True)  # exec must inherit the real standard streams
        netlab.enter_user_namespace()
    if getattr(config.option, "tx", None) and not worker:
        node_socks.missing()  # here, so that the workers do not install it side by side
        config.add_cleanup(turns.open_folder().cleanup)
    elif worker:
        config.turns = turns.Turns()


def is_alone(item):
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    items.sort(key=is_alone, reverse=True)
    if config.pluginmanager.hasplugin("xdist"):
        for item in filter(is_alone, items):
            item.add_marker(pytest.mark.xdist_group("alone"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    turn = getattr(item.config, "turns", None)
    if turn:
        turn.enter(is_alone(item))
    yield
    if turn:
        turn.leave(is_alone(nextitem))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    strict = os.environ.get("CI") == "true" or os.environ.get("MPCONVERT_NO_SKIPS") == "1"
    if report.skipped and strict and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skips are not allowed here: {report.longrepr}"


@pytest.fixture(scope="session")
def _session_lab():
    reason = netlab.unavailable()
    if reason:
        pytest.skip(reason)
    lab = netlab.Lab()
    yield lab
    lab.close()


@pytest.fixture
def lab(_session_lab):
    """The topology, as new."""
    _session_lab.reset()
    return _session_lab


@pytest.fixture(scope="session")
def _session_access():
    reason = netlab.unavailable()
    if reason:
        pytest.skip(reason)
    net = access_network.Access()
    yield net
    net.close()


@pytest.fixture
def access(_session_access):
    """The hybrid access network, as new."""
    _session_access.reset()
    return _session_access


@pytest.fixture
def home(access, daemon):
    """The CPE of that network, and its host."""
    return hybrid.Home(access, daemon)


@pytest.fixture(scope="session")
def web(_session_access):
    """The test server of that network."""
    server = netlab.Origin(_session_access)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def origin(_session_lab):
    """The test server of the whole run; it keeps no state but its list of events."""
    server = netlab.Origin(_session_lab)
    yield server
    server.stop()


@pytest.fixture
def capture(lab):
    """capture(ns, interface, expression): started now, removed after the test."""
    made = []

    def start(ns, interface, expression="tcp"):
        made.append(netlab.Capture(ns, interface, expression))
        return made[-1]

    yield start
    for c in made:
        c.remove()


def _built(name):
    path = os.environ.get(name.upper())
    if not path:
        pytest.skip(f"{name.upper()} does not name a built {name}")
    return os.path.abspath(path)


@pytest.fixture(scope="session")
def program():
    """mpconvertd, as built: $MPCONVERTD."""
    return _built("mpconvertd")


def _proxies(lab, program):
    running = []

    def start(changes=None, **options):
        running.append(Proxy(lab, program, changes, **options))
        return running[-1]

    yield start
    for p in running:
        try:
            p.stop()
        finally:
            p.remove()


@pytest.fixture
def proxy(lab, program):
    """proxy(changes, ...): a running mpconvertd; at the end it must leave with status 0 and without a sanitizer's report."""
    yield from _proxies(lab, program)


@pytest.fixture
def daemon(access, program):
    """The same in the hybrid access network: on `conc`, unless ns says where."""
    yield from _proxies(access, program)


@pytest.fixture
def forge(lab):
    """forge(proxy, ...): a Forged, closed after the test; its half-open connection is reset, so that nothing waits for it."""
    made = []

    def start(p, **how):
        made.append(Forged(lab, p, **how))
        return made[-1]

    yield start
    for f in made:
        f.reset()
        f.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """One for the workers of a run together."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "guests"
    folder.mkdir(exist_ok=True)
    return guests.Workshop(folder)


@pytest.fixture(scope="session")
def launcher():
    """mpconvert, as built: $MPCONVERT."""
    return _built("mpconvert")


@pytest.fixture(scope="session")
def _session_proxy(_session_lab, program):
    """A concentrator that many tests share: none of them looks at its end or at another's counters."""
    p = Proxy(_session_lab, program)
    yield p
    try:
        p.stop()
    finally:
        p.remove()


@pytest.fixture
def front(lab, launcher, _session_proxy, tmp_path):
    """`mpconvert run` towards that concentrator."""
    return guests.Front(lab, launcher, _session_proxy, tmp_path)


@pytest.fixture
def front_of(lab, launcher, tmp_path):
    """front_of(p): the same towards another one."""
    return lambda p: guests.Front(lab, launcher, p, tmp_path)
