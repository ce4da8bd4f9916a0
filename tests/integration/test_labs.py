# SPDX-License-Identifier: MIT
"""The labs of tests/lab, in their quick form: each judges itself, by what arrived and by what kernel and daemons counted."""
import glob
import os
import subprocess

import pytest

from support import netlab

FOLDER = os.path.join(netlab.ROOT, "tests", "lab")
LABS = sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob(os.path.join(FOLDER, "*", "run.sh")))


@pytest.mark.parametrize("name", LABS)
def test_a_lab_is_as_it_should_be(program, launcher, tmp_path, name):
    done = subprocess.run([os.path.join(FOLDER, name, "run.sh"), "--quick", "--out", tmp_path], timeout=120, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, "MPCONVERTD": program, "MPCONVERT": launcher})
    assert done.returncode == 0, done.stdout
    assert "Everything as it should be." in done.stdout
