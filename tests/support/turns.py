# SPDX-License-Identifier: MIT
"""The workers of a parallel run take turns: a test whose verdict depends on time or throughput runs while no other worker tests."""
import fcntl
import os
import tempfile

_FOLDER = "MPCONVERT_TEST_TURNS"  # in the environment of the workers


def workers():
    """The processes of the run."""
    folder = os.environ.get(_FOLDER)
    return [int(name) for name in os.listdir(folder) if name.isdecimal()] if folder else []


def open_folder():
    """For the process that starts the workers; it keeps what this returns until they have ended."""
    folder = tempfile.TemporaryDirectory(prefix="mpconvert-turns-")
    os.environ[_FOLDER] = folder.name
    return folder


class Turns:
    """A lock for many or for one. Who waits holds the door: so the one gets in although there are always some of the many."""

    def __init__(self):
        self._door, self._room = (self._file(name) for name in ("door", "room"))
        os.close(self._file(str(os.getpid())))
        self._alone = False

    @staticmethod
    def _file(name):
        return os.open(os.path.join(os.environ[_FOLDER], name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def enter(self, alone):
        if self._alone:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        self._alone = alone

    def leave(self, next_alone):
        """The turn goes on if the next test here wants to be alone as well."""
        if self._alone and next_alone:
            return
        self._alone = False
        fcntl.flock(self._room, fcntl.LOCK_UN)
