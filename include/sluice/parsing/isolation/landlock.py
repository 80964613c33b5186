"""Restricts a worker's access to files and processes, by itself and without privileges: Landlock (Linux 5.13).

The worker can use its own folder, and read its programs and libraries. It cannot read `/proc` of other processes, and
so not their environments and memory, which may hold keys.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on every architecture
_VERSION_FLAG, _PATH_BENEATH = 1, 1
# linux/landlock.h: rights to files, by the ABI version that knows them; then to TCP, abstract sockets and signals.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_READ_FILE, _READ_FOLDER, _REMOVE_FOLDER = 1 << 2, 1 << 3, 1 << 4
_OF_A_FILE = _READ_FILE | 1 << 0 | 1 << 1 | 1 << 14 | 1 << 15  # the other rights apply to folders
_TCP, _TCP_FROM_ABI = 0b11, 4
_SCOPED, _SCOPED_FROM_ABI = 0b11, 6
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/dev/null", "/dev/urandom")


def enclose(folder: Path, readable: Iterable[str] = ()) -> bool:
    """Restricts this thread and everything that it starts, for good.

    They write below `folder` only, and read there, below `readable` and in the folders of Python and the system's
    libraries. Call it before there are other threads, and after no_new_privs. Returns False if the kernel has no
    Landlock; nothing is then restricted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if abi < 1:
        return False
    rights = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= abi)]
    attributes = struct.pack(
        "=QQQ", rights, _TCP if abi >= _TCP_FROM_ABI else 0, _SCOPED if abi >= _SCOPED_FROM_ABI else 0
    )
    size = 24 if abi >= _SCOPED_FROM_ABI else 16 if abi >= _TCP_FROM_ABI else 8
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        _allow(libc, ruleset, str(folder), rights)
        _allow(libc, ruleset, str(folder.parent), _REMOVE_FOLDER)  # the worker deletes its folder when it ends
        for place in {*_SYSTEM, sys.prefix, sys.base_prefix, *sys.path, *readable}:
            _allow(libc, ruleset, place, _READ_FILE | _READ_FOLDER)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, place: str, rights: int) -> None:
    """Adds a rule; a missing path needs none."""
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights &= -1 if os.path.isdir(place) else _OF_A_FILE
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)
