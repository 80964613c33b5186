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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.access.places import Place, is_whole, place_of
from sluice.errors import BadRequest, Forbidden
from sluice.model.source import SourceSpec
from sluice.model.spelling import unknown_names
from sluice.sources.uri import ascii_host, uri_parts


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
        if (rule and not rule.admits(spec)) or (is_whole(spec.uri) and below):
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
        if is_whole(spec.uri):  # `check` has refused it already where a rule is about a part of it
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
        if place is None or not is_whole(spec.uri) or not any(each.place.kind == "file" for each in self.rules):
            return roots
        own = Path(os.fsdecode(place.path))
        return [own] if place.kind == "file" and any(own.is_relative_to(each.resolve()) for each in roots) else roots

    def _deciding(self, place: Place) -> Rule | None:
        """The one with the longest beginning."""
        covering = [each for each in self.rules if each.place.holds(place)]
        return max(covering, key=lambda each: len(each.place.path), default=None)


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
