"""What a worker process may use, set by itself before a parser is loaded. Linux.

Memory is limited twice: RLIMIT_DATA counts what is really written to, RLIMIT_AS bounds the rest (libraries, reserves
of threads). Where the kernel permits it (root, or unprivileged user namespaces), the worker lives in a network
namespace of its own, which has no network at all; elsewhere it keeps the network, and only its empty environment
keeps it from using it. A worker of root becomes nobody once its parser is loaded.
"""

from __future__ import annotations

import codecs
import ctypes
import math
import os
import resource
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_NOBODY = 65534
_CODECS = ("ascii", "cp437", "utf-16-le")  # of /proc, names in zip files, names in OLE files
_RESERVE_BYTES = 1 << 30  # of address space, for what is mapped and never written
_NICENESS = 10
_MAX_FILE_BYTES = 64 << 20  # the PDF library unpacks itself into the worker's folder (7 MB)
_MAX_OPEN_FILES = 128


def confine(memory_mb: int) -> bool:
    """Limits of the whole process. True: it has no network."""
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
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def drop_root(folder: Path) -> bool:
    """Become nobody, who owns `folder` alone. Left as it is where nobody could not reach the folder.

    Where Python lies below a closed home, nothing can be imported after that: what is still needed is loaded first.
    """
    for codec in _CODECS:
        codecs.lookup(codec)
    if os.getuid() != 0 or any(not parent.stat().st_mode & 0o001 for parent in folder.parents):
        return False
    try:
        os.chown(folder, _NOBODY, _NOBODY)
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:  # a namespace without that user
        return False
    return True


def allow_cpu(seconds: float) -> None:
    """From now on. A backstop for a worker whose extractor died: the wall clock is watched from outside."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() >> 20
