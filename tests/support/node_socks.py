# SPDX-License-Identifier: MIT
"""The npm package `socks`, installed once into build/node: it has to happen where there is a network, so before the tests move
into a namespace."""
import os
import shutil
import subprocess

from . import netlab

FOLDER = os.path.join(netlab.ROOT, "build", "node")


def missing():
    """Why the package is not there, after trying to install it; or None."""
    if os.path.isdir(os.path.join(FOLDER, "node_modules", "socks")):
        return None
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "node and npm are not installed"
    try:
        os.makedirs(FOLDER, exist_ok=True)
    except OSError as e:
        return str(e)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", FOLDER, "socks@2"],
                          capture_output=True, text=True, timeout=120, check=False)
    return None if done.returncode == 0 else "npm install socks failed: " + done.stderr[-300:]
