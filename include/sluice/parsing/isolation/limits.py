"""Limits of a worker process, set by the worker before a parser is loaded. Linux.

Memory has two limits: RLIMIT_DATA counts the pages that are written, RLIMIT_AS bounds the rest (libraries, thread
stacks).

The network is blocked twice. If the kernel permits it (root, or unprivileged user namespaces), the worker runs in a
network namespace of its own, which has no network. On x86-64 and arm64 a seccomp filter, which needs no privilege, also
forbids all threads to open a socket, start a program and read another process.

Landlock blocks files and `/proc` (`landlock.py`). A worker started by root becomes nobody after it has loaded all
modules that it may need.
"""

from __future__ import annotations

import ctypes
import email
import encodings
import errno
import math
import os
import pkgutil
import platform
import resource
import struct
from importlib import import_module
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NAMESPACES = (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET)  # in turn: root may create the first, others the second
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_PR_SET_SECCOMP, _SECCOMP_FILTER = 22, 2
_AUDIT_X86_64, _AUDIT_ARM64, _X32 = 0xC000003E, 0xC00000B7, 0x40000000
# socket, ptrace, execve, execveat, process_vm_readv, process_vm_writev, io_uring_setup (which can open sockets)
_CALLS = {
    "x86_64": (_AUDIT_X86_64, (41, 101, 59, 322, 310, 311, 425)),
    "aarch64": (_AUDIT_ARM64, (198, 117, 221, 281, 270, 271, 425)),
}
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K: (code, steps to skip if so, if not, value)
_LOAD_CALL, _LOAD_ARCHITECTURE = (0x20, 0, 0, 0), (0x20, 0, 0, 4)  # offsets in struct seccomp_data
_REFUSE, _ALLOW = (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)
_NOBODY = 65534
_WINDOWS_ONLY = frozenset({"encodings.mbcs", "encodings.oem"})
_RESERVE_BYTES = 1 << 30  # of address space, for mappings that are never written
_NICENESS = 10
_MAX_FILE_BYTES = 64 << 20  # the PDF library unpacks itself into the worker's folder (7 MB)
_MAX_OPEN_FILES = 128


def confine(memory_mb: int) -> bool:
    """Sets the limits of the process. Returns True if it has no network."""
    memory_bytes = memory_mb << 20
    for limit, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_AS, memory_bytes + _RESERVE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    os.nice(_NICENESS)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    apart = any(libc.unshare(flags) == 0 for flags in _NAMESPACES)
    return forbid_sockets() or apart


def forbid_sockets() -> bool:
    """Makes socket, execve, ptrace and similar calls fail with EPERM, for this process and its threads, for good.

    Needs no privilege except no_new_privs. Returns False if the filter does not support the kernel or the processor.
    """
    known = _CALLS.get(platform.machine())
    if known is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    architecture, calls = known
    denied = [call | bit for call in calls for bit in ((0, _X32) if architecture == _AUDIT_X86_64 else (0,))]
    steps = [_LOAD_ARCHITECTURE, (_JUMP_IF_EQUAL, 1, 0, architecture), _REFUSE, _LOAD_CALL]
    for call in denied:
        steps += [(_JUMP_IF_EQUAL, 0, 1, call), _REFUSE]
    program = b"".join(struct.pack("HBBI", *step) for step in [*steps, _ALLOW])
    filtered = _Program(len(program) // 8, program)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(filtered), 0, 0) == 0)


class _Program(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("steps", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def close_proc() -> None:
    """Stops other processes of this user from reading this process's environment and memory through `/proc`.

    Call it in every process that holds secrets: without Landlock and user namespaces, nothing else protects them from
    the workers. A program that this process starts can be read again.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def load_lazy_modules() -> None:
    """Imports modules that parsers import only when a document needs them: all codecs and the parts of `email`.

    After root is given up, imports fail if Python lies below a closed home folder.
    """
    for package in (encodings, email):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.name not in _WINDOWS_ONLY:
                import_module(module.name)


def is_reachable_by_all(folder: Path) -> bool:
    """Returns whether every user may pass through all parents of the folder."""
    return all(parent.stat().st_mode & 0o001 for parent in folder.parents)


def drop_root(folder: Path) -> bool:
    """Changes to the user nobody, and gives it `folder` alone. Does nothing if nobody could not access the folder."""
    if os.getuid() != 0 or not is_reachable_by_all(folder):
        return False
    load_lazy_modules()
    try:
        os.chown(folder, _NOBODY, _NOBODY)
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:  # a namespace in which that user does not exist
        return False
    return True


def allow_cpu(seconds: float) -> None:
    """Limits the CPU time from now on. A fallback for a worker whose extractor died; the extractor watches the wall
    clock."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


class ResidentMemory:
    """The resident memory of this process. Created before the process loses access to `/proc`."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def mb(self) -> int:
        """Returns the resident memory of this process in MiB."""
        return int(os.pread(self._statm, 200, 0).split()[1]) * resource.getpagesize() >> 20
