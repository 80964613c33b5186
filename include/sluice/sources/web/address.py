"""Decides which addresses may be connected to, and makes all connections.

A name is resolved once, every address is checked, and the connection goes to a checked address. There is no second
look-up between check and use, which a hostile name server could answer differently. TLS and the Host header still use
the name.

Addresses that a site writes (in a redirect, in a list) are parsed only by `joined`.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urljoin

import httpcore

from sluice.model.reasons import unreadable
from sluice.sources.uri import uri_parts
from sluice.sources.web.urls import canonical_web

Resolve = Callable[[str, int], list[str]]
"""(host, port) → addresses as text. Raises OSError."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry. `ipaddress.is_global` may
# be older, depending on the Python version.
_SPECIAL_4 = [
    ipaddress.IPv4Network(net)
    for net in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = [
    ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]
# IPv4 addresses within IPv6 ones: NAT64 (RFC 6052), IPv4-compatible (deprecated) and translated (RFC 2765).
_EMBEDDING = [ipaddress.IPv6Network(net) for net in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")]
# Trusted hosts may lie in a private network, but must not be a metadata service, which issues credentials.
_TRUSTABLE = [
    ipaddress.ip_network(net)
    for net in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
_METADATA = [ipaddress.ip_address(each) for each in ("100.100.100.200", "fd00:ec2::254", "192.0.0.192")]


class ForbiddenAddress(Exception):
    """A name leads to an address that no source may connect to."""


class BadCertificate(Exception):
    """A server's certificate does not match its name."""


def joined(base: str, target: str) -> str:
    """Resolves `target` against the page `base` and returns the canonical URL. Raises ExtractionError (bad_url)."""
    try:
        url = urljoin(base, target)
        uri_parts(url)
        return canonical_web(url)
    except ValueError as error:
        raise unreadable("bad_url") from error


def plain_address(text: str) -> Address:
    """Parses an address. An IPv4 address inside an IPv6 address is returned as IPv4. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    wrapped = any(address in network for network in _EMBEDDING) and int(address) & 0xFFFFFFFF > 1
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if wrapped else address


def may_connect(text: str, *, trusted: bool) -> bool:
    """Returns whether a source may connect to this address. Only `trusted` hosts may have a private one. Raises
    ValueError where `text` is not an address."""
    address = plain_address(text)
    if trusted and address not in _METADATA and any(address in network for network in _TRUSTABLE):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)


def resolve(host: str, port: int) -> list[str]:
    """Returns the addresses from the system's resolver, each once."""
    results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in results))


class GuardedNetwork(httpcore.NetworkBackend):
    """Opens every connection of the pool. `trusted(host, port)`: may the host lie in a private network?"""

    def __init__(self, trusted: Callable[[str, int], bool], resolve: Resolve = resolve) -> None:
        self._trusted = trusted
        self._resolve = resolve
        self._network = httpcore.SyncBackend()
        self.deadline_s = float("inf")  # on the monotonic clock; of the current request

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises ForbiddenAddress if any address of the host is forbidden, else httpcore's ConnectError."""
        addresses = self._addresses(host, port, self.left_s(timeout))
        for address in addresses:
            if not may_connect(address, trusted=self._trusted(host, port)):
                raise ForbiddenAddress(host)
        error: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return _Stream(self._network.connect_tcp(address, port, self.left_s(timeout)), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error

    def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        raise ForbiddenAddress("a socket of this machine")

    def left_s(self, timeout_s: float | None) -> float:
        """Returns the rest of the request's time, at most `timeout_s`. Raises httpcore's ReadTimeout if it is over."""
        left = self.deadline_s - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time for this request is over")
        return left if timeout_s is None else min(left, timeout_s)

    def _addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        """Resolves the host in a thread, which is abandoned at the timeout: the system's resolver has none."""
        answers: queue.Queue[list[str] | OSError] = queue.Queue()

        def ask() -> None:
            try:
                answers.put(self._resolve(host, port))
            except (OSError, UnicodeError) as error:
                answers.put(OSError(str(error)))

        threading.Thread(target=ask, daemon=True, name="resolve").start()
        try:
            answer = answers.get(timeout=timeout_s)
        except queue.Empty:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        if isinstance(answer, OSError):
            raise httpcore.ConnectError("the name cannot be resolved") from answer
        return answer


class _Stream(httpcore.NetworkStream):
    """A connection whose reads and writes end with the request's time, so that a slow server cannot hold it."""

    def __init__(self, stream: httpcore.NetworkStream, network: GuardedNetwork) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            secured = self._stream.start_tls(ssl_context, server_hostname, self._network.left_s(timeout))
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise BadCertificate(server_hostname) from error
            raise
        return _Stream(secured, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
