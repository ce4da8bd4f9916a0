# SPDX-License-Identifier: MIT
"""A call that succeeds leaves errno as it was, as libc's do: each function that libmpconvert_preload.so takes the place of, on a
connection through the concentrator, on one that is under way, and on what is none of ours."""
import pytest

from support import netlab
from support.guests import PYTHON
from test_matrix import DIALECTS

# Prints the calls that failed, or changed errno, and how often errno was looked at.
GUEST = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
host, port, waits = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "blocking"
MARK, looked = 4242, 0
def call(name, *args):
    global looked
    ctypes.set_errno(MARK)
    result, error = getattr(libc, name)(*args), ctypes.get_errno()
    looked += 1
    pending = name == "connect" and not waits and (result, error) == (-1, 115)  # EINPROGRESS
    if not pending and (result < 0 or error != MARK):
        print(name, result, error)
    return result
address = (socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8))
room, size, one = ctypes.create_string_buffer(128), ctypes.c_uint32(128), ctypes.c_int(1)
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]
class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(Iovec)),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]
class Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", Msghdr), ("len", ctypes.c_uint)]
piece = Iovec(b"x", 1)
message = Msghdr(None, 0, ctypes.pointer(piece), 1, None, 0, 0)
several = Mmsghdr(message, 0)
s = socket.socket()
s.setblocking(waits)
fd, e = s.fileno(), os.open("/dev/null", os.O_RDWR)
ep = libc.epoll_create1(0)
event = (1).to_bytes(4, sys.byteorder) + bytes(8)
call("setsockopt", fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, ctypes.byref(one), 4)
call("epoll_ctl", ep, 1, fd, event)
call("connect", fd, address, 16)
for turn in range(2):
    size.value = 128
    call("getsockname", fd, room, ctypes.byref(size))
    size.value = 4
    call("getsockopt", fd, socket.SOL_SOCKET, socket.SO_TYPE, room, ctypes.byref(size))
    call("setsockopt", fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE, ctypes.byref(one), 4)
    call("epoll_ctl", ep, 3, fd, event)
    call("dup2", e, 50)
    call("dup3", e, 51, 0)
    call("close", 51)
    call("syscall", 39)
    if turn == 0 and not waits:
        import select
        select.select([], [s], [], 10)
size.value = 128
call("getpeername", fd, room, ctypes.byref(size))
call("sendto", fd, b"ECHO\\n", 5, 0, None, 0)
call("sendmsg", fd, ctypes.byref(message), 0)
call("sendmmsg", fd, ctypes.byref(several), 1, 0)
call("dup2", fd, 52)
call("close", fd)
call("close_range", 50, 51, 0)
call("closefrom", 50)
print("looked", looked)
"""


@pytest.mark.parametrize("mode", ["preload", "seccomp"])
@pytest.mark.parametrize("how", ["blocking", "non-blocking"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_success_leaves_errno_alone(front, origin, dialect, how, mode):
    done = front.run(mode, dialect, PYTHON, "-c", GUEST, netlab.SERVER, origin.port, how)
    assert (done.stdout, done.stderr) == (b"looked 27\n", b""), front.journal()


@pytest.mark.parametrize("how", ["blocking", "non-blocking"])
def test_as_a_direct_connection_does(lab, origin, how):
    done = lab.conc.run(PYTHON, "-c", GUEST, netlab.SERVER, origin.port, how)
    assert done.stdout == b"looked 27\n"
