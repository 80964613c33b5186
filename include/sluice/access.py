"""One policy for reading and writing: what a grant allows, and which places may be given to which tenants and groups.

A rule (`SLUICE_SOURCE_RULES`) names the beginning of a URI and who its content may be given to:

    {"file:///documents/board": {"tenants": ["acme"], "groups": ["board"]}, "s3://reports/": {"tenants": ["acme"]}}

Of several rules that cover a place the one with the longest beginning decides. A source below a rule is refused unless
its tenant is one of the rule's and it is for some of the rule's groups and no others. A source above a rule that it
does not keep leaves out what lies below it. `file`, `jsonl` and `git+file` name one kind of place, by its path without
links; `http`, `https` and `git+https` another, by host and path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import unquote_to_bytes

from sluice.errors import BadRequest, Forbidden
from sluice.model import ALL_GROUPS, Grant, SourceSpec
from sluice.names import ascii_host, check_uri, uri_parts
from sluice.spelling import unknown_names

_KINDS = {
    **dict.fromkeys(("file", "jsonl", "git+file"), "file"),
    **dict.fromkeys(("http", "https", "git+https"), "web"),
    "s3": "s3",
    "postgresql": "postgresql",
}
_WHOLE = ("git+file", "git+https")  # what is read of these holds every file, so nothing can be left out
_PORTS = {"http": 80, "https": 443}


# --- grants ------------------------------------------------------------------------------------------------------


def held(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """The grant for this tenant, if there is one."""
    return next((each for each in grants if each.tenant == tenant), None)


def grant_json(grant: Grant) -> dict[str, Any]:
    """As the command line and the routes show it."""
    return {
        "principal": grant.principal,
        "tenant": grant.tenant,
        "groups": sorted(grant.groups),
        "may_write": grant.may_write,
    }


def writing(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """The grant to write to this tenant, if there is one."""
    return next((each for each in grants if each.tenant == tenant and each.may_write), None)


def may_repeat(grant: Grant | None, saved: SourceSpec | None) -> bool:
    """Whether a saved source (None: a new one) may be ingested, or its documents removed, as it is saved."""
    if grant is None:
        return False
    groups = (saved.access_groups if saved else None) or ()
    return ALL_GROUPS in grant.groups or set(groups) <= grant.groups


def is_kept_from(saved: SourceSpec, spec: SourceSpec) -> bool:
    """Whether what is saved for some groups would be readable for others by the source `spec`, whose groups are not
    None."""
    groups = set(spec.access_groups or ())
    return bool(saved.access_groups) and not (groups and groups <= set(saved.access_groups or ()))


def readers(grants: Iterable[Grant], spec: SourceSpec) -> list[Grant]:
    """Grants by which the documents of a source may be read."""
    groups = set(spec.access_groups or ())
    return [
        each
        for each in grants
        if each.tenant == spec.tenant and (not groups or ALL_GROUPS in each.groups or groups & each.groups)
    ]


# --- places ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where documents come from, without the way in which they are read."""

    kind: str  # file, web, s3, postgresql
    path: bytes  # with its bucket, host or connection; no slash at its end

    def holds(self, other: Place) -> bool:
        return self.kind == other.kind and (
            self.path in (b"", other.path) or other.path.startswith(self.path.rstrip(b"/") + b"/")
        )

    def overlaps(self, other: Place) -> bool:
        return self.holds(other) or other.holds(self)


def place_of(uri: str) -> Place | None:
    """None where the URI names nothing that rules are about, such as uploads. Raises BadRequest where it holds what
    cannot be stored."""
    check_uri(uri)
    scheme, separator, rest = uri.strip().partition("://")
    kind = _KINDS.get(scheme.lower())
    if not separator or kind is None:
        return None
    plain = rest.partition("#")[0].partition("?")[0]
    host, _, path = plain.partition("/")
    named = unquote_to_bytes(path)
    if kind == "file":
        return Place(kind, _real(b"/" + named))
    if kind == "web":
        named = os.fsencode(normpath("/" + os.fsdecode(named))).lstrip(b"/")
        host = _host(scheme.lower(), plain)
    if kind == "postgresql":  # as variables name connections: `my-crm`, `My_CRM` and `my.crm` are one
        host = "".join(each if each.isalnum() else "_" for each in host.lower())
    return Place(kind, b"/".join([os.fsencode(host), named]).rstrip(b"/"))


def _real(path: bytes) -> bytes:
    """Without links; one that cannot be a path stays, and is refused by its reader."""
    return path if b"\0" in path else os.path.realpath(path)


def _host(scheme: str, place: str) -> str:
    """In ASCII, as DNS has it; without the scheme's own port. One that is not understood is refused by its reader."""
    try:
        parts = uri_parts(f"{scheme}://{place}")
        host, port = ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        return place.partition("/")[0]
    return host if port in (None, _PORTS.get(scheme.removeprefix("git+"))) else f"{host}:{port}"


def borrowing(spec: SourceSpec, kept: Sequence[Place]) -> Callable[[str], bool]:
    """Which files a repository may read, by their URIs: those of its own folder, and others that lie in no place that
    is `kept` for other groups. Its own folder is the one that its URI names, not the one to which a link there leads:
    such a link may be another by now."""
    own = Place("file", os.path.normpath(b"/" + unquote_to_bytes(spec.uri.partition("://")[2].partition("?")[0])))

    def admits(uri: str) -> bool:
        found = place_of(uri)
        return found is None or own.holds(found) or not any(each.holds(found) for each in kept)

    return admits


# --- rules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    place: Place
    tenants: frozenset[str] | None = None  # None: any
    groups: frozenset[str] | None = None  # None: any, and everyone

    def admits(self, spec: SourceSpec) -> bool:
        """`spec` says what holds: its groups are not None."""
        groups = set(spec.access_groups or ())
        return (self.tenants is None or spec.tenant in self.tenants) and (
            self.groups is None or (bool(groups) and groups <= self.groups)
        )


@dataclass(frozen=True, slots=True)
class SourceRules:
    rules: Sequence[Rule] = ()

    def check(self, spec: SourceSpec) -> Place | None:
        """The source's own place. Raises Forbidden where it may not be given to its tenant and groups."""
        place = place_of(spec.uri)
        if place is None:
            return None
        rule = self._deciding(place)
        below = [each for each in self.rules if place.holds(each.place) and not each.admits(spec)]
        if (rule and not rule.admits(spec)) or (_is_whole(spec.uri) and below):
            who = f"groups {', '.join(spec.access_groups)}" if spec.access_groups else "everyone"
            raise Forbidden(
                f"{spec.uri} may not be given to {who} in tenant {spec.tenant}: SLUICE_SOURCE_RULES keeps it, or a "
                "part of it, for other tenants or groups. Nothing was read or changed. Ingest it for the groups that "
                "may read it, or ask an administrator to change the rule."
            )
        return place

    def admitting(self, spec: SourceSpec) -> Callable[[str], bool] | None:
        """Which documents of the source, by their URIs, it may hold; None where no rule is about any of them."""
        place = place_of(spec.uri)
        if _is_whole(spec.uri):  # `check` has refused it already where a rule is about a part of it
            return None
        kinds = {each.place.kind for each in self.rules if not each.admits(spec)}
        # Documents of a web source may lie on other hosts than its list.
        if place is None or place.kind not in kinds:
            return None
        if place.kind != "web" and not any(place.holds(each.place) for each in self.rules if not each.admits(spec)):
            return None

        def admits(uri: str) -> bool:
            found = place_of(uri)
            rule = self._deciding(found) if found else None
            return rule is None or rule.admits(spec)

        return admits

    def roots(self, spec: SourceSpec, roots: Sequence[Path]) -> Sequence[Path]:
        """Folders that the source may read. Where rules are about folders, a repository borrows nothing from outside of
        itself: what lies there may be for others. Raises Forbidden as `check`: a link on the way to the folder may
        lead elsewhere by now, so the place that is judged is the one that may be read."""
        place = self.check(spec)
        if place is None or not _is_whole(spec.uri) or not any(each.place.kind == "file" for each in self.rules):
            return roots
        own = Path(os.fsdecode(place.path))
        return [own] if place.kind == "file" and any(own.is_relative_to(each.resolve()) for each in roots) else roots

    def _deciding(self, place: Place) -> Rule | None:
        """The one with the longest beginning."""
        covering = [each for each in self.rules if each.place.holds(place)]
        return max(covering, key=lambda each: len(each.place.path), default=None)


def _is_whole(uri: str) -> bool:
    return uri.partition(":")[0].lower() in _WHOLE


def parse_rules(text: str) -> SourceRules:
    """Of `SLUICE_SOURCE_RULES`, a JSON object or nothing. Raises BadRequest."""
    rules: dict[Place, str] = {}
    made = []
    for uri, given in _object(text).items():
        rule = _rule(uri, given)
        if rule.place in rules:
            raise BadRequest(
                f"SLUICE_SOURCE_RULES: {uri} and {rules[rule.place]} are one place. Nothing was read. "
                "Remove one of them."
            )
        rules[rule.place] = uri
        made.append(rule)
    return SourceRules(made)


def merged_rules(first: str, more: str) -> str:
    """Both, as JSON. Raises BadRequest, also where both say something of one place."""
    rules, added = _object(first), _object(more)
    known = {place_of(uri) for uri in rules}
    if twice := [uri for uri in added if place_of(uri) in known]:
        raise BadRequest(
            f"SLUICE_SOURCE_RULES and Airflow's variable sluice_source_rules both name {twice[0]}. Nothing was read. "
            "Remove one of them."
        )
    return json.dumps({**rules, **added})


def _object(text: str) -> Mapping[str, Any]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadRequest(
            'SLUICE_SOURCE_RULES is not a JSON object such as {"file:///documents/board": {"groups": ["board"]}}. '
            "Nothing was read. Correct it; until then no source may be read."
        )
    return found


def _rule(uri: str, given: Any) -> Rule:
    place = place_of(uri)
    scheme, _, rest = uri.strip().partition("://")
    if place is not None and place.kind == "file" and rest.partition("/")[0] not in ("", "localhost"):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} names the host {rest.partition('/')[0]!r}. Nothing was read. "
            f"A folder has three slashes: {scheme}:///{rest}"
        )
    if place is not None and place.kind == "web" and not _is_host(uri):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} names no host, or one that DNS cannot have. Nothing was read. Correct "
            "it: such a rule would cover nothing."
        )
    if place is not None and ("?" in uri or "#" in uri):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} has a query. Nothing was read. A rule is about a whole place: "
            "leave out what begins with ? or #."
        )
    if place is None:
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} is not the beginning of a source's URI. Nothing was read. "
            "Write it as the source is written, such as file:///documents/board."
        )
    if not isinstance(given, dict):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri} needs an object with tenants, groups or both, such as "
            '{"groups": ["board"]}. Nothing was read.'
        )
    if told := unknown_names(given, {"tenants", "groups"}, "key"):
        raise BadRequest(f"SLUICE_SOURCE_RULES: {uri}: {told} Nothing was read.")
    return Rule(place, _names(uri, given, "tenants"), _names(uri, given, "groups"))


def _is_host(uri: str) -> bool:
    try:
        return bool(ascii_host(uri_parts(uri.strip()).hostname or "").encode("idna"))  # no empty or long label
    except ValueError:
        return False


def _names(uri: str, given: Mapping[str, Any], key: str) -> frozenset[str] | None:
    found = given.get(key)
    if key not in given:
        return None
    if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
        raise BadRequest(
            f'SLUICE_SOURCE_RULES: {key} of {uri} is not a list of names, such as ["board"]. Nothing was read.'
        )
    return frozenset(found)


# --- connections -------------------------------------------------------------------------------------------------


def check_connection(conn_id: str, extra: Mapping[str, Any], spec: SourceSpec) -> None:
    """A connection's extra may name `tenants` and `groups` (with `,` between them, or a list): only they may use it.
    Raises Forbidden, and BadRequest for a name that is nearly one of the two: it would leave the connection open."""
    for name in extra:
        if name not in ("tenants", "groups") and str(name).casefold().replace("_", "") in _MISSPELLED:
            raise BadRequest(
                f"Connection {conn_id!r} has an extra {name!r}. Who may use it is said by `tenants` and `groups`; "
                "nothing was read. Rename it."
            )
    rule = Rule(Place("connection", b""), _listed(extra.get("tenants")), _listed(extra.get("groups")))
    if not rule.admits(spec):
        raise Forbidden(
            f"Sources of tenant {spec.tenant!r} for {', '.join(spec.access_groups or ()) or 'everyone'} may not use "
            f"connection {conn_id!r}. Its extras `tenants` and `groups` say who may. Nothing was read."
        )


_MISSPELLED = frozenset(
    {"tenant", "tenants", "tennants", "tenents", "group", "groups", "accessgroups", "accessgroup", "allowedtenants"}
    | {"allowedgroups"}
)


def _listed(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    names = value if isinstance(value, list) else str(value).split(",")
    return frozenset(str(each).strip() for each in names)
