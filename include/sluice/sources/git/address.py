"""Parses git+ URIs: `git+file:///repo?ref=…&path=…&date=…`, `git+https://host/repo?…&connection=<id>`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import partial
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes, urlsplit

from sluice.errors import BadRequest
from sluice.sources.schemes import Scheme
from sluice.sources.uri import path_place
from sluice.sources.web.urls import canonical_web, web_place

_PARAMETERS = ("connection", "date", "path", "ref")  # in the order of the canonical form
_REF = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\]{1,200}")  # git check-ref-format, without revision syntax


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed git+ URI. Errors and passages show `uri`; it holds no login."""

    repository: str  # git+file:///repo or git+https://host/repo
    ref: str | None  # branch, tag or commit; None: where HEAD points
    path: bytes  # folder or file in the tree, without outer slashes; empty: all
    until: datetime | None  # the last commit at or before it
    connection: str | None

    @property
    def uri(self) -> str:
        """Returns the canonical URI, without a login."""
        return self.repository + _query(self)

    @property
    def remote(self) -> str | None:
        """The address to fetch from, or None if the repository is a folder."""
        return self.repository.removeprefix("git+") if self.repository.startswith("git+https:") else None

    def document(self, path: bytes) -> str:
        """Returns the URI of a file for citations: without the commit, so that it stays stable while the file does."""
        pinned = Address(self.repository, self.ref, b"", self.until, None)
        return f"{pinned.uri}#{quote_from_bytes(path)}"


def parse(uri: str) -> Address:
    """Parses the URI. Raises BadRequest."""
    place, _, query = uri.strip().partition("?")
    values = _values(query)
    ref = values["ref"].decode("utf-8", "replace") if "ref" in values else None
    if ref is not None and (not _REF.fullmatch(ref) or ".." in ref or "@{" in ref or ref.startswith(("-", "/"))):
        raise BadRequest(f"ref={ref[:80]!r} is not a branch, tag or commit. Nothing was read.")
    path = values.get("path", b"").strip(b"/")
    if b"\0" in path or any(part in (b".", b"..", b"") for part in path.split(b"/") if path):
        raise BadRequest("path= names a folder or file in the repository, without '..'. Nothing was read.")
    connection = values["connection"].decode("utf-8", "replace") if values.get("connection") else None
    until = _end_of_day(values["date"].decode("ascii", "replace")) if "date" in values else None
    return Address(_repository(place), ref, path, until, connection)


def canonical_git(uri: str) -> str:
    """Returns one spelling for each source. An invalid URI stays as it is, and the reader rejects it."""
    try:
        return parse(uri).uri
    except BadRequest:
        return uri


FILE = Scheme(
    reader="git.reader:GitReader",
    example="git+file:///repository",
    canonical=canonical_git,
    place=path_place,
    whole=True,
)
HTTPS = replace(FILE, example="git+https://host/repository", place=partial(web_place, "https"))


def _repository(place: str) -> str:
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    if "#" in place or not slash or not path.strip("/"):
        raise BadRequest("A git+ URI has the form git+file:///folder or git+https://host/repository, without '#'.")
    if scheme.lower() == "git+file" and host.lower() in ("", "localhost"):
        return f"git+file://{quote_from_bytes(os.path.normpath(b'/' + unquote_to_bytes(path).lstrip(b'/')))}"
    if scheme.lower() == "git+https" and urlsplit(place).hostname and "@" not in host:
        return "git+" + canonical_web(place[len("git+") :]).rstrip("/")
    raise BadRequest("A git+ URI is git+file:///folder or git+https://host/repository. Store logins in a connection.")


def _values(query: str) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in _PARAMETERS or name in values or not value:
            raise BadRequest(
                f"{name[:80]!r} in the URI's query is unknown, empty or given twice. Allowed: ref, path, date, "
                "connection."
            )
        values[name] = unquote_to_bytes(value)
    return values


def _end_of_day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"date={text[:40]!r} is not a day. Write date=YYYY-MM-DD (the day ends in UTC).") from None
    return datetime.combine(day, time.max, UTC)


def _query(address: Address) -> str:
    values = {
        "connection": quote(address.connection or "", safe=""),
        "date": address.until.date().isoformat() if address.until else "",
        "path": quote_from_bytes(address.path),
        "ref": quote(address.ref or ""),
    }
    pairs = [f"{name}={values[name]}" for name in _PARAMETERS if values[name]]
    return f"?{'&'.join(pairs)}" if pairs else ""
