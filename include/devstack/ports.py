"""TCP ports of this machine: finds free ones, and checks whether one answers and which process has it."""

import random
import socket
from dataclasses import fields
from itertools import islice
from pathlib import Path

import psutil

from devstack.config import LOCALHOST, Ports
from devstack.errors import DevstackError

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_240


def free(count: int) -> list[int]:
    """Returns `count` different free ports. They are below the range of outgoing connections (if that leaves any),
    because a port of that range may be taken before its server starts. Raises DevstackError."""
    try:
        lowest_outgoing = int(_OUTGOING.read_text().split()[0])
    except OSError:  # not Linux
        lowest_outgoing = 32_768
    candidates = range(_LOWEST, lowest_outgoing) or range(_LOWEST, 65_536)
    ports = list(islice(filter(is_free, random.sample(candidates, len(candidates))), count))
    if len(ports) < count:
        raise DevstackError(f"Fewer than {count} ports are free between {candidates[0]} and {candidates[-1]}.")
    return ports


def free_settings() -> dict[str, str]:
    """`SLUICE_PORT_<NAME>` for a whole stack on free ports."""
    names = [field.name.upper() for field in fields(Ports)]
    return {f"SLUICE_PORT_{name}": str(port) for name, port in zip(names, free(len(names)), strict=True)}


def is_free(port: int) -> bool:
    """Returns whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        # As servers do: a closed connection in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def answers(port: int, timeout_s: float = 1.0) -> bool:
    """Returns whether a server accepts connections on 127.0.0.1:port."""
    try:
        socket.create_connection((LOCALHOST, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def holder(port: int) -> str:
    """The process that listens on a port, or "another process" if this user may not see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "another process"
