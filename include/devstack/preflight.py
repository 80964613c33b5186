"""Checks before anything starts, so that a start does not fail in the middle."""

import shutil
from collections.abc import Sequence

from devstack import ports
from devstack.config import Config
from devstack.errors import DevstackError
from devstack.service import Service


def check(config: Config, services: Sequence[Service]) -> None:
    """Raises one DevstackError that lists all problems that would prevent the start of these services."""
    problems = [*_disk(config, services), *_taken_ports(services)]
    for service in services:
        try:
            service.check()
        except DevstackError as error:
            problems.append(str(error))
    if problems:
        listed = "\n".join(f"- {problem}" for problem in dict.fromkeys(problems))
        raise DevstackError(f"Nothing was started:\n{listed}")


def _disk(config: Config, services: Sequence[Service]) -> list[str]:
    free = shutil.disk_usage(config.home).free
    if not services or free >= config.min_free_bytes:
        return []
    return [
        f"{config.home} has {free / 2**20:,.0f} MB free, fewer than {config.min_free_bytes / 2**20:,.0f} MB. "
        "Free some space, set SLUICE_HOME to another disk, or lower SLUICE_MIN_FREE_MB."
    ]


def _taken_ports(services: Sequence[Service]) -> list[str]:
    return [
        f"Port {port} for {service.name} is taken by {ports.holder(port)}. Stop that, or set {setting} to a free port."
        for service in services
        for setting, port in service.ports.items()
        if not ports.is_free(port)
    ]
