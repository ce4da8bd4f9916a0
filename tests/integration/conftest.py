# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests. Run them as root or, where user namespaces are allowed, as a plain user:

    MPCONVERTD=build/dev/server/mpconvertd pytest-3 tests/integration

Missing privilege is a skip; with CI=true or MPCONVERT_NO_SKIPS=1 every skip is a failure."""
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import netlab, node_socks  # noqa: E402
from support.proxy import Proxy  # noqa: E402


def pytest_configure(config):
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))  # so that fixtures clean up
    if netlab.needs_user_namespace():
        capture = config.pluginmanager.getplugin("capturemanager")
        node_socks.missing()  # inside there will be no network to install from
        if capture is not None:
            capture.suspend_global_capture(in_=True)  # exec must inherit the real standard streams
        netlab.enter_user_namespace()


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


@pytest.fixture(scope="session")
def program():
    """mpconvertd, as built: $MPCONVERTD."""
    path = os.environ.get("MPCONVERTD")
    if not path:
        pytest.skip("MPCONVERTD does not name a built mpconvertd")
    return os.path.abspath(path)


@pytest.fixture
def proxy(lab, program):
    """proxy(changes, ...): a running mpconvertd; at the end it must leave with status 0 and without a sanitizer's report."""
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
