"""Rules that say which places may be given to which tenants and groups.

A rule (`SLUICE_SOURCE_RULES`) names the beginning of a URI and who may get its content:

    {"file:///documents/board": {"tenants": ["acme"], "groups": ["board"]}, "s3://reports/": {"tenants": ["acme"]}}

If several rules cover a place, the one with the longest beginning applies. A source below a rule is rejected unless its
tenant is in the rule, and it is for at least one of the rule's groups and for no others. A source above a rule that it
does not fulfil leaves out the documents below that rule. `file`, `jsonl` and `git+file` name one kind of place, by path
with links resolved; `http`, `https` and `git+https` another, by host and path.
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
    """One rule: who may get the content of a place and of all places below it."""

    place: Place
    tenants: frozenset[str] | None = None  # None: any
    groups: frozenset[str] | None = None  # None: any group, or the whole tenant

    def admits(self, spec: SourceSpec) -> bool:
        """Returns True if the rule allows the source. `spec` holds the values in force: its groups are not None."""
        groups = set(spec.access_groups or ())
        return (self.tenants is None or spec.tenant in self.tenants) and (
            self.groups is None or (bool(groups) and groups <= self.groups)
        )


@dataclass(frozen=True, slots=True)
class SourceRules:
    """All rules. Without rules, every source is allowed."""

    rules: Sequence[Rule] = ()

    def check(self, spec: SourceSpec) -> Place | None:
        """Returns the source's own place. Raises Forbidden if it may not be given to the source's tenant and groups."""
        place = place_of(spec.uri)
        if place is None:
            return None
        rule = self._deciding(place)
        below = [
            rule_below for rule_below in self.rules if place.holds(rule_below.place) and not rule_below.admits(spec)
        ]
        if (rule and not rule.admits(spec)) or (is_whole(spec.uri) and below):
            who = f"groups {', '.join(spec.access_groups)}" if spec.access_groups else "everyone"
            raise Forbidden(
                f"{spec.uri} may not be given to {who} in tenant {spec.tenant}: SLUICE_SOURCE_RULES restricts it, or a "
                "part of it, to other tenants or groups. Nothing was read or changed. Ingest it for the groups that "
                "may read it, or ask an administrator to change the rule."
            )
        return place

    def admitting(self, spec: SourceSpec) -> Callable[[str], bool] | None:
        """Returns a check, by URI, of the documents that the source may hold. None: no rule concerns any of them."""
        place = place_of(spec.uri)
        if is_whole(spec.uri):  # `check` has already rejected it if a rule covers a part of it
            return None
        kinds = {other.place.kind for other in self.rules if not other.admits(spec)}
        # Documents of a web source may lie on other hosts than its list.
        if place is None or place.kind not in kinds:
            return None
        if place.kind != "web" and not any(place.holds(other.place) for other in self.rules if not other.admits(spec)):
            return None

        def admits(uri: str) -> bool:
            document_place = place_of(uri)
            rule = self._deciding(document_place) if document_place else None
            return rule is None or rule.admits(spec)

        return admits

    def roots(self, spec: SourceSpec, roots: Sequence[Path]) -> Sequence[Path]:
        """Returns the folders that the source may read.

        If rules concern folders, a repository may not read outside its own folder, because other folders may be for
        others. Raises Forbidden, as `check` does: a link in the path may lead elsewhere by now, so the place that is
        checked is the one that may be read.
        """
        place = self.check(spec)
        if place is None or not is_whole(spec.uri) or not any(each.place.kind == "file" for each in self.rules):
            return roots
        own = Path(os.fsdecode(place.path))
        return [own] if place.kind == "file" and any(own.is_relative_to(each.resolve()) for each in roots) else roots

    def _deciding(self, place: Place) -> Rule | None:
        """Returns the rule with the longest beginning that covers the place, or None."""
        covering = [rule for rule in self.rules if rule.place.holds(place)]
        return max(covering, key=lambda rule: len(rule.place.path), default=None)


def parse_rules(text: str) -> SourceRules:
    """Parses `SLUICE_SOURCE_RULES`, a JSON object or an empty text. Raises BadRequest."""
    uri_by_place: dict[Place, str] = {}
    rules = []
    for uri, content in _object(text).items():
        rule = _rule(uri, content)
        if rule.place in uri_by_place:
            raise BadRequest(
                f"SLUICE_SOURCE_RULES: {uri} and {uri_by_place[rule.place]} are the same place. Nothing was read. "
                "Remove one of them."
            )
        uri_by_place[rule.place] = uri
        rules.append(rule)
    return SourceRules(rules)


def merged_rules(first: str, more: str) -> str:
    """Merges two sets of rules, as JSON. Raises BadRequest, also if both name the same place."""
    rules, added = _object(first), _object(more)
    known = {place_of(uri) for uri in rules}
    if duplicates := [uri for uri in added if place_of(uri) in known]:
        raise BadRequest(
            f"SLUICE_SOURCE_RULES and Airflow's variable sluice_source_rules both name {duplicates[0]}. Nothing was "
            "read. Remove one of them."
        )
    return json.dumps({**rules, **added})


def _object(text: str) -> Mapping[str, Any]:
    if not text.strip():
        return {}
    try:
        rules = json.loads(text)
    except ValueError:
        rules = None
    if not isinstance(rules, dict):
        raise BadRequest(
            'SLUICE_SOURCE_RULES is not a JSON object such as {"file:///documents/board": {"groups": ["board"]}}. '
            "Nothing was read. Correct it; until then no source may be read."
        )
    return rules


def _rule(uri: str, content: Any) -> Rule:
    place = place_of(uri)
    if place is None:
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} is not the beginning of a source's URI. Nothing was read. "
            "Write it as the source is written, such as file:///documents/board."
        )
    scheme, _, rest = uri.strip().partition("://")
    if place.kind == "file" and (host := rest.partition("/")[0]) not in ("", "localhost"):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} names the host {host!r}. Nothing was read. "
            f"A folder has three slashes: {scheme}:///{rest}"
        )
    if place.kind == "web" and not _is_host(uri):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} names no host, or an invalid one. Nothing was read. Correct "
            "it: such a rule would cover nothing."
        )
    if "?" in uri or "#" in uri:
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri[:200]!r} has a query. Nothing was read. A rule covers a whole place: "
            "remove the part from ? or # on."
        )
    if not isinstance(content, dict):
        raise BadRequest(
            f"SLUICE_SOURCE_RULES: {uri} needs an object with tenants, groups or both, such as "
            '{"groups": ["board"]}. Nothing was read.'
        )
    if unknown := unknown_names(content, {"tenants", "groups"}, "key"):
        raise BadRequest(f"SLUICE_SOURCE_RULES: {uri}: {unknown} Nothing was read.")
    return Rule(place, _names(uri, content, "tenants"), _names(uri, content, "groups"))


def _is_host(uri: str) -> bool:
    try:
        return bool(ascii_host(uri_parts(uri.strip()).hostname or "").encode("idna"))  # no empty or long label
    except ValueError:
        return False


def _names(uri: str, content: Mapping[str, Any], key: str) -> frozenset[str] | None:
    names = content.get(key)
    if key not in content:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadRequest(
            f'SLUICE_SOURCE_RULES: {key} of {uri} is not a list of names, such as ["board"]. Nothing was read.'
        )
    return frozenset(names)
