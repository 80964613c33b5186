"""Checks before anything starts, so that a start does not fail in the middle."""

import shutil
from collections.abc import Sequence

from devstack import ports
from devstack.config import Config
from devstack.errors import DevstackError
from devstack.part import Part


def check(config: Config, parts: Sequence[Part]) -> None:
    """Raises one DevstackError that lists all problems that would prevent the start of these parts."""
    problems = [*_disk(config, parts), *_taken_ports(parts)]
    for part in parts:
        try:
            part.check()
        except DevstackError as error:
            problems.append(str(error))
    if problems:
        listed = "\n".join(f"- {problem}" for problem in dict.fromkeys(problems))
        raise DevstackError(f"Nothing was started:\n{listed}")


def _disk(config: Config, parts: Sequence[Part]) -> list[str]:
    free = shutil.disk_usage(config.home).free
    if not parts or free >= config.min_free_bytes:
        return []
    return [
        f"{config.home} has {free / 2**20:,.0f} MB free, fewer than {config.min_free_bytes / 2**20:,.0f} MB. "
        "Free some space, set SLUICE_HOME to another disk, or lower SLUICE_MIN_FREE_MB."
    ]


def _taken_ports(parts: Sequence[Part]) -> list[str]:
    return [
        f"Port {port} for {part.name} is taken by {ports.holder(port)}. Stop that, or set {setting} to a free port."
        for part in parts
        for setting, port in part.ports.items()
        if not ports.is_free(port)
    ]
