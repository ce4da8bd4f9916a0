# SPDX-License-Identifier: MIT
"""What the kernel says about a socket or a namespace: MPTCP_INFO, TCP_INFO, subflow addresses, protocol counters."""
import ctypes
import errno
import ipaddress
import socket
import struct

IPPROTO_MPTCP = 262
SOL_MPTCP = 284
MPTCP_INFO, MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS = 1, 2, 3
TCP_FASTOPEN_NO_COOKIE = 34
TCP_IS_MPTCP = 43
MSG_FASTOPEN = 0x20000000
TCPI_OPT_SYN_DATA = 0x20

_libc = ctypes.CDLL(None, use_errno=True)
_INFO = struct.Struct("=6B2xIIQQQ3BxIQQQQB")
_INFO_NAMES = (
    "subflows add_addr_signal add_addr_accepted subflows_max add_addr_signal_max add_addr_accepted_max flags token "
    "write_seq snd_una rcv_nxt local_addr_used local_addr_max csum_enabled retransmits bytes_retrans bytes_sent "
    "bytes_received bytes_acked subflows_total"
).split()


def is_mptcp(sock):
    """True while the connection really is MPTCP; false for TCP and after a fallback."""
    try:
        return bool(sock.getsockopt(socket.IPPROTO_TCP, TCP_IS_MPTCP))
    except OSError as e:
        if e.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
            return mptcp_info(sock) is not None
        raise


def mptcp_info(sock):
    """MPTCP_INFO as a dict, or None when the connection is plain TCP. `subflows` does not count the initial one."""
    try:
        raw = sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 256)
    except OSError as e:
        if e.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT):
            return None
        raise
    return dict(zip(_INFO_NAMES, _INFO.unpack_from(raw.ljust(_INFO.size, b"\0"))))


def _read_sockaddr(raw):
    family = struct.unpack_from("=H", raw)[0]
    port = struct.unpack_from("!H", raw, 2)[0]
    octets = raw[4:8] if family == socket.AF_INET else raw[8:24]
    address = ipaddress.ip_address(octets)
    return str(getattr(address, "ipv4_mapped", None) or address), port


def subflow_addresses(sock):
    """[(local, remote)] of each subflow, as (address, port) pairs."""
    head, size, room = struct.Struct("=IIII"), 256, 8
    raw = bytearray(head.pack(head.size, 0, 0, size)).ljust(head.size + room * size, b"\0")
    buffer = (ctypes.c_char * len(raw)).from_buffer(raw)
    length = ctypes.c_uint32(len(raw))
    if _libc.getsockopt(sock.fileno(), SOL_MPTCP, MPTCP_SUBFLOW_ADDRS, buffer, ctypes.byref(length)) != 0:
        raise OSError(ctypes.get_errno(), "MPTCP_SUBFLOW_ADDRS")
    count = head.unpack_from(raw)[1]
    entries = (bytes(raw[head.size + i * size : head.size + (i + 1) * size]) for i in range(count))
    return [(_read_sockaddr(e), _read_sockaddr(e[128:])) for e in entries]


def tcp_info(sock):
    """The part of TCP_INFO the tests look at; of the first subflow on an MPTCP socket."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    words = struct.unpack_from("=24I", raw, 8)
    return {"state": raw[0], "syn_data": bool(raw[5] & TCPI_OPT_SYN_DATA), "rtt_us": words[15], "retransmits": words[23]}


def counters():
    """Every counter of /proc/net/{snmp,netstat} of the calling thread's namespace: {"MPTcpExtMPJoinSynRx": 1, ...}."""
    found = {}
    for name in ("snmp", "netstat"):
        with open(f"/proc/thread-self/net/{name}") as f:
            lines = f.read().splitlines()
        for keys, values in zip(lines[::2], lines[1::2]):
            prefix = keys.split(":")[0]
            found.update(zip((prefix + k for k in keys.split()[1:]), map(int, values.split()[1:])))
    return found
