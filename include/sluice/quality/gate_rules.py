"""Rules of a collection: for each check of the suites another limit, another action or other options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import cast, get_args

from sluice.errors import BadRequest
from sluice.model.gates import GateAction, GateRule
from sluice.quality.checks import SUITES, Check, check_of, suite_of

Rules = Mapping[tuple[str, str], GateRule]  # by suite and code


def parse_actions(text: str) -> dict[tuple[str, str], GateRule]:
    """Parses `code:action,code:action` into rules. Raises BadRequest on an unknown check or action."""
    rules: dict[tuple[str, str], GateRule] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        code, _, action = part.partition(":")
        if action not in get_args(GateAction):
            raise BadRequest(f"{part!r} names no action: write code:action, with {', '.join(get_args(GateAction))}.")
        rule = GateRule(cast(GateAction, action))
        ruled(check_of(code), rule)
        rules[suite_of(code), code] = rule
    return rules


def merged(everywhere: Rules, own: Rules) -> dict[tuple[str, str], GateRule]:
    """Merges rules: each part of a collection's rule overrides that of the rule for all collections."""
    rules = dict(everywhere)
    for place, rule in own.items():
        other = rules.get(place, GateRule())
        rules[place] = GateRule(
            rule.action or other.action,
            other.limit if rule.limit is None else rule.limit,
            other.options if rule.options is None else rule.options,
        )
    return rules


def with_rules(suite: str, rules: Rules) -> tuple[Check, ...]:
    """Returns the enabled checks with a collection's rules applied. Raises BadRequest on a rule that does not fit its
    check."""
    checks = {check.code: check for check in SUITES[suite]}
    for (of, code), rule in rules.items():
        if of == suite:
            if code not in checks:
                suite_of(code)  # its error names the nearest check
                raise BadRequest(f"Check {code!r} is not one of the suite {suite!r}.")
            checks[code] = ruled(checks[code], rule)
    return tuple(check for check in checks.values() if check.action != "off")


def ruled(check: Check, rule: GateRule) -> Check:
    """Returns the check with the rule applied. Raises BadRequest if the check does not support the rule."""
    if rule.limit is not None and not (check.bound and math.isfinite(rule.limit)):
        takes = "a finite number" if check.bound else "no limit"
        raise BadRequest(f"Check {check.code!r} takes {takes}, not {rule.limit!r}.")
    lowest, highest = check.limits
    if rule.limit is not None and not lowest <= rule.limit <= highest:
        raise BadRequest(f"Check {check.code!r} takes {lowest:g} to {highest:g}, not {rule.limit!r}.")
    if rule.action == "mask" and not check.masks:
        raise BadRequest(f"Check {check.code!r} cannot mask; use off, flag or block.")
    if rule.options is not None:
        if not check.options:
            raise BadRequest(f"Check {check.code!r} takes no options.")
        unknown = set(rule.options) - set(check.known or rule.options)
        if unknown or not rule.options:
            raise BadRequest(
                f"Check {check.code!r} takes one or more of {', '.join(check.known) or 'any names'}, not "
                f"{', '.join(sorted(unknown)) or 'none'}. To switch it off: action off."
            )
    return replace(
        check,
        action=rule.action or check.action,
        limit=check.limit if rule.limit is None else rule.limit,
        options=check.options if rule.options is None else rule.options,
    )
