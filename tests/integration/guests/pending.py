# SPDX-License-Identifier: MIT
"""pending.py CASE HOST PORT [PROGRAM...]: what programs do while a connect() is under way. The server (HOST, PORT) is the lab's origin and
takes its time. Prints "good", or what went wrong."""
import ctypes
import errno
import fcntl
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading

CASE, HOST, PORT, PROGRAM = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
PATIENCE_MS = 20000
libc = ctypes.CDLL(None, use_errno=True)


def pending():
    """A socket whose connect is under way."""
    s = socket.socket()
    s.setblocking(False)
    rc = s.connect_ex((HOST, PORT))
    assert rc == errno.EINPROGRESS, rc
    return s


def verdict(s, ms=PATIENCE_MS):
    """SO_ERROR, or None after `ms`."""
    p = select.poll()
    p.register(s, select.POLLOUT)
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if p.poll(ms) else None


def works(s, wait=True):
    if wait:
        assert verdict(s) == 0
    assert s.getpeername() == (HOST, PORT)
    s.setblocking(True)
    s.sendall(b"ECHO\nhere")
    assert s.makefile("rb").read(4) == b"here"
    s.close()


def fds():
    return len(os.listdir("/proc/self/fd"))


def c_connect(s):
    """connect(2) without Python's own patience: 0 or errno."""
    address = socket.inet_aton(HOST)
    raw = ctypes.create_string_buffer(bytes([socket.AF_INET, 0]) + PORT.to_bytes(2, "big") + address + bytes(8), 16)
    return 0 if libc.connect(s.fileno(), raw, 16) == 0 else ctypes.get_errno()


def fork_and_leave():
    s = pending()
    child = os.fork()
    if child == 0:
        s.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    works(s)


def fork_and_stay():
    """The child lives longer than the parent's connect takes, connects for itself, and does not disturb."""
    s = pending()
    child = os.fork()
    if child == 0:
        own = pending()
        works(own)
        os._exit(0)
    works(s)
    assert os.waitpid(child, 0)[1] == 0


def fork_of_many():
    """Threads connect while others fork."""
    def connects():
        for _ in range(5):
            works(pending())

    threads = [threading.Thread(target=connects) for _ in range(8)]
    for t in threads:
        t.start()
    for _ in range(40):
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    for t in threads:
        t.join()


def exec_closing():
    """The socket is closed by exec; the next program connects anew."""
    pending()
    os.execv(sys.executable, [sys.executable, "-B", sys.argv[0], "plain", HOST, str(PORT)])


def exec_keeping():
    """The next program has it, and must be told something."""
    s = pending()
    s.set_inheritable(True)
    os.execv(sys.executable, [sys.executable, "-B", sys.argv[0], "inherited", HOST, str(PORT), str(s.fileno())])


def inherited():
    """Connected, or the timeout of the system's own SYNs; never silence."""
    s = socket.socket(fileno=int(PROGRAM[0]))
    error = verdict(s)
    assert error in (0, errno.ETIMEDOUT), error
    if error == 0:
        works(s, wait=False)


def fork_keeping():
    """The child waits for its parent's connect, and is told something; the parent's is as ever."""
    s = pending()
    child = os.fork()
    if child == 0:
        assert verdict(s) in (0, errno.ETIMEDOUT, errno.ECONNRESET)
        os._exit(0)
    assert verdict(s) == 0
    assert os.waitpid(child, 0)[1] == 0
    works(s, wait=False)


def plain():
    s = socket.create_connection((HOST, PORT))
    works(s, wait=False)


def spawn():
    """posix_spawn() and vfork() while pending: the children fetch, the parent's connect is not disturbed."""
    s = pending()
    child = os.posix_spawn(PROGRAM[0], PROGRAM, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    done = subprocess.run(PROGRAM, stdout=subprocess.DEVNULL, close_fds=False, check=False)  # vfork
    works(s)
    assert done.returncode == 0
    assert os.waitpid(child, 0)[1] == 0


def spawn_closing():
    """A child of vfork() closes all it was given, in its parent's memory; what the parent watches stays watched."""
    s, ep = pending(), select.epoll()
    ep.register(s, select.EPOLLOUT)
    done = subprocess.run(PROGRAM, stdout=subprocess.DEVNULL, close_fds=True, check=False)
    assert ep.poll(PATIENCE_MS / 1000) == [(s.fileno(), select.EPOLLOUT)]
    works(s)
    assert done.returncode == 0


def shut_down():
    """That ends the connect; the socket can be used for another."""
    s = pending()
    s.shutdown(socket.SHUT_RDWR)
    assert s.connect_ex((HOST, PORT)) == errno.EINPROGRESS
    works(s)
    s = pending()
    s.shutdown(socket.SHUT_RDWR)
    p = select.poll()
    p.register(s, select.POLLOUT)
    assert p.poll(PATIENCE_MS)[0][1] & select.POLLHUP


def asynchronous():
    """SIGIO tells of the end, with the number of the descriptor."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    s = pending()
    fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(s, 10, signal.SIGRTMIN)  # F_SETSIG
    fcntl.fcntl(s, fcntl.F_SETFL, fcntl.fcntl(s, fcntl.F_GETFL) | os.O_ASYNC)
    while verdict(s, 0) is None:
        assert signal.sigtimedwait({signal.SIGRTMIN}, PATIENCE_MS / 1000) is not None
    works(s)


def close_race():
    """A thread closes what another has just begun to connect, and opens something in its place: that is left alone."""
    sockets, over = queue.SimpleQueue(), []

    def closes():
        while (s := sockets.get()) is not None:
            number = s.detach()
            os.close(number)
            r, w = os.pipe()
            over.append((r, w))

    before = fds()
    thread = threading.Thread(target=closes)
    thread.start()
    for _ in range(200):
        sockets.put(pending())
    sockets.put(None)
    thread.join()
    works(pending())
    for r, w in over:
        os.write(w, b"x")
        assert os.read(r, 2) == b"x"
        os.close(r)
        os.close(w)
    left = select.poll()
    for _ in range(200):
        if fds() <= before:
            break
        left.poll(50)
    assert fds() <= before, (fds(), before)


def close_all():
    """As daemons do, in the middle of connects."""
    before = fds()
    for i in range(10):
        sockets = [pending() for _ in range(5)]
        if i % 2:
            libc.closefrom(3)
        else:
            os.closerange(3, 4096)
        for s in sockets:
            s.detach()
        works(pending())
    left = select.poll()  # what works in the background may take a moment to let go
    for _ in range(100):
        if fds() <= before:
            return
        left.poll(50)
    assert fds() <= before, (fds(), before)


def interrupted():
    """A handler without SA_RESTART: EINTR, and the connect goes on in the background, as POSIX has it."""
    signal.signal(signal.SIGALRM, lambda *_: None)  # without SA_RESTART
    s = socket.socket()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    rc = c_connect(s)
    assert rc == errno.EINTR, rc
    assert c_connect(s) in (errno.EALREADY, errno.EINTR, 0)
    works(s)


def interrupted_by_a_child():
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = subprocess.Popen(["sleep", "0.1"])
    rc = c_connect(socket.socket())
    assert rc == errno.EINTR, rc
    child.wait()


def restarted():
    """With SA_RESTART connect() goes on, however often it is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's is without
    rings = []
    signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
    signal.siginterrupt(signal.SIGALRM, False)
    s = socket.socket()
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    rc = c_connect(s)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert rc == 0, rc
    assert rings
    works(s, wait=False)


def restarted_beside_others():
    """What handlers of signals that do not come are like is of no matter."""
    signal.signal(signal.SIGUSR1, lambda *_: None)  # without SA_RESTART
    restarted()


def interrupted_beside_others():
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.siginterrupt(signal.SIGUSR1, False)
    interrupted()


def nonblocking_is_not_interrupted():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    sockets = [pending() for _ in range(20)]
    signal.setitimer(signal.ITIMER_REAL, 0)
    for s in sockets:
        works(s)


globals()[CASE]()
print("good", flush=True)
