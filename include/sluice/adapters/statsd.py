"""Telemetry by StatsD, over UDP."""

from __future__ import annotations

import logging
import socket

from statsd import StatsClient

log = logging.getLogger(__name__)
_PREFIX = "sluice"


class Statsd:
    """`sluice.ports.telemetry.Telemetry`. Nobody needs to listen at the address."""

    def __init__(self, client: StatsClient) -> None:
        self._client = client

    def timing(self, name: str, ms: float) -> None:
        self._client.timing(name, ms)

    def count(self, name: str, number: int = 1) -> None:
        self._client.incr(name, number)

    def close(self) -> None:
        """Closes the socket."""
        self._client.close()


def connected(host: str, port: int) -> Statsd | None:
    """Returns the telemetry that sends to this address; None, with a warning in the log, if the host's name is not
    known."""
    try:
        return Statsd(StatsClient(host, port, prefix=_PREFIX, ipv6=":" in host))
    except socket.gaierror as error:
        log.warning("no metrics are sent: SLUICE_STATSD_HOST=%s cannot be resolved (%s)", host, error)
        return None
