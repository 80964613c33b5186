"""Decides which URLs a source may fetch, before any request is sent."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from sluice.model.reasons import unreadable
from sluice.sources.uri import ascii_host
from sluice.sources.web.address import may_connect
from sluice.sources.web.urls import DEFAULT_PORTS


class Scope:
    """The source's own host (with or without `www.`) and `hosts`.

    `trusted`: `host` or `host:port` that may lie in a private network and use http://; a port other than 80 and 443
    needs the second form.
    """

    def __init__(self, home: str, hosts: Sequence[str], trusted: Sequence[str]) -> None:
        self._homes = {_bare(each) for each in (home, *hosts)}
        self._trusted = {_place(each) for each in trusted}

    def trusts(self, host: str, port: int | None) -> bool:
        """Returns whether the settings trust this host at this port. `port` None: the default port."""
        return (host, port if port not in DEFAULT_PORTS.values() else None) in self._trusted

    def upgraded(self, url: str) -> str:
        """Changes http:// to https://, because lists and redirects often hold outdated http:// addresses."""
        parts = urlsplit(url)
        if parts.scheme != "http" or ":" in parts.netloc or self.trusts(parts.netloc, None):
            return url
        return f"https{url[len('http') :]}"

    def check(self, url: str) -> None:
        """Raises ExtractionError (bad_url, other_host, address)."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise unreadable("bad_url") from error
        default = DEFAULT_PORTS.get(parts.scheme)
        if default is None or not host or "@" in parts.netloc or not url.isascii() or not url.isprintable():
            raise unreadable("bad_url")
        if (parts.scheme == "http" or port not in (None, default)) and not self.trusts(host, port):
            raise unreadable("bad_url")
        if _bare(host) not in self._homes:
            raise unreadable("other_host")
        try:
            allowed = may_connect(host, trusted=self.trusts(host, port))
        except ValueError:  # a name: checked when the connection is made
            return
        if not allowed:
            raise unreadable("address")


def _bare(host: str) -> str:
    return ascii_host(host).removeprefix("www.")


def _place(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text}")
    return ascii_host(parts.hostname or ""), parts.port if parts.port not in DEFAULT_PORTS.values() else None
