"""The walls round a child, set from inside it before it touches a byte of the document (threat B3, architecture §6.1).

Resource limits (setrlimit(2)) always. In addition, each where the kernel offers it: an empty network namespace
(unshare(2)), a seccomp filter (seccomp(2)) and Landlock (landlock(7)). Each is reached through `ctypes`, because Python wraps none of
them and a helper binary would be one more thing to trust. `zygote` reports which of them stand.
"""

import ctypes
import functools
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable
from typing import Final

__all__ = [
    "close_files",
    "close_syscalls",
    "files_supported",
    "follow_parent",
    "leave_network",
    "limit",
    "mapped",
    "program",
    "syscalls_supported",
]

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWIPC: Final = 0x08000000


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


# --- process ---------------------------------------------------------------------------------------------------------


def follow_parent(parent: int) -> None:
    """Die with `parent`; gain no privileges by exec; leave no core file, which would hold the document."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def mapped() -> int:
    """Bytes of this process's address space in use."""
    with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123 -- a `Path` and a text layer cost 2 ms in a fresh fork
        return int(statm.read(64).split()[0]) * resource.getpagesize()


def limit(*, memory_mb: int, cpu_s: int, file_mb: int) -> None:
    """Bound address space (above what is mapped now), CPU seconds, size of a written file, open files."""
    space = mapped() + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    size = file_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    # Python ignores SIGXFSZ; so a write past the bound is an `OSError`, not a death without words.


def leave_network() -> bool:
    """Move this single-threaded process, and all its later children, to an empty network and IPC namespace.

    A user namespace of its own makes that possible without root; several distributions and containers forbid it.
    """
    return bool(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0)


# --- system calls ----------------------------------------------------------------------------------------------------

# Numbers from the kernel's tables: (x86-64, AArch64); None where the architecture has no such call. Closed is whatever reaches
# other processes, the network, new programs, or rarely trodden kernel code. What the child already holds (its socket, through
# read and write) and memory calls stay open, and so does socketpair(2), which reaches nobody and which asyncio needs to wake itself.
_CLOSED: Final = {
    "socket": (41, 198),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "connect": (42, 203),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "personality": (135, 92),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
}
_SENDTO: Final = (44, 206)  # open without an address: send(2) on a pair; closed with one, which would leave the pair
_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # linux/audit.h, column above
_RET_KILL: Final = 0x80000000
_RET_ERRNO_EPERM: Final = 0x00050001
_RET_ALLOW: Final = 0x7FFF0000
_X32_BIT: Final = 0x40000000


def _instruction(code: int, if_true: int, if_false: int, operand: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)  # struct sock_filter


@functools.cache
def program() -> bytes:
    """The filter; the zygote builds it for all children."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
    audit, column = _ARCHITECTURES[platform.machine()]
    numbers = [pair[column] for pair in _CLOSED.values()]
    closed = [number for number in numbers if number is not None]
    lines = [
        _instruction(load, 0, 0, 4),  # seccomp_data.arch
        _instruction(equal, 1, 0, audit),
        _instruction(give, 0, 0, _RET_KILL),
        _instruction(load, 0, 0, 0),  # seccomp_data.nr
        _instruction(at_least, 0, 1, _X32_BIT),
        _instruction(give, 0, 0, _RET_KILL),
    ]
    # Each line that matches jumps over the remaining numbers, the six lines about sendto and the line that allows.
    for index, number in enumerate(closed, 1):
        lines.append(_instruction(equal, len(closed) - index + 6, 0, number))
    lines += [
        _instruction(equal, 0, 4, _SENDTO[column]),
        _instruction(load, 0, 0, 48),  # seccomp_data.args[4], the address: its two halves
        _instruction(equal, 0, 3, 0),
        _instruction(load, 0, 0, 52),
        _instruction(equal, 0, 1, 0),
        _instruction(give, 0, 0, _RET_ALLOW),
    ]
    lines.append(_instruction(give, 0, 0, _RET_ERRNO_EPERM))
    return b"".join(lines)


class _Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_char_p))


def syscalls_supported() -> bool:
    return platform.machine() in _ARCHITECTURES and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def close_syscalls() -> None:
    """Answer EPERM to every call in `_CLOSED`, for good. Needs no-new-privileges. Raises `OSError`."""
    lines = program()
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_Filter(len(lines) // 8, lines)), 0, 0))


# --- files -----------------------------------------------------------------------------------------------------------

_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_FILE: Final = 1 << 5
_MAKE_FILE: Final = 1 << 8
_TRUNCATE: Final = 1 << 14
_CODE: Final = _READ_FILE | _READ_DIR
# landlock(7): the rights that exist at each version of the interface, newest first.
_HANDLED: Final = ((5, (1 << 16) - 1), (3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))


def _landlock_version() -> int:
    return int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def files_supported() -> bool:
    return _landlock_version() > 0


def close_files(*, code: Iterable[str], reads: Iterable[str], scratch: str | None) -> None:
    """Leave open: reading `code` folders and the `reads`, creating and writing plain files in `scratch`; nothing else.

    From version 4 on TCP is closed too, from 6 on abstract sockets and signals outwards. Raises `OSError`.
    """
    version = _landlock_version()
    handled = next(rights for since, rights in _HANDLED if version >= since)
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", 3)  # bind and connect
    if version >= 6:
        attributes += struct.pack("=Q", 3)  # abstract sockets and signals
    rules = _checked(_libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)))
    try:
        for path in code:
            _allow(rules, path, _CODE)
        for path in reads:
            _allow(rules, path, _READ_FILE)
        if scratch is not None:
            writing = _WRITE_FILE | _MAKE_FILE | _REMOVE_FILE | _TRUNCATE
            _allow(rules, scratch, (_CODE | writing) & handled)
        _checked(_libc.syscall(_LANDLOCK_RESTRICT, rules, ctypes.c_uint(0)))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, place)  # struct landlock_path_beneath_attr, packed
        _checked(_libc.syscall(_LANDLOCK_ADD, rules, ctypes.c_uint(1), rule, ctypes.c_uint(0)))
    finally:
        os.close(place)
