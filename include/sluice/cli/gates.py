"""Commands for the checks of one collection's gates."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.terminal import Collection, Json, opened, tell
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.generation import Generation
    from sluice.wiring.application import Sluice

app = typer.Typer(help="The checks of one collection's gates, their limits and actions.", no_args_is_help=True)
Code = Annotated[str, typer.Argument(help="Code of a check; `sluice gates list` shows them.")]


_HEADINGS = ("SUITE", "CHECK", "ACTION", "LIMIT", "RULE", "OPTIONS")


class Action(StrEnum):
    off = "off"
    flag = "flag"
    mask = "mask"
    block = "block"


@app.command("list")
def gates_list(collection: Collection = "docs", json_: Json = False) -> None:
    """List every check with its action and limit, and mark the collection's own rules."""
    from sluice.model.gates import GateRule
    from sluice.quality.checks import SUITES
    from sluice.quality.gate_rules import merged, ruled

    with opened() as sluice:
        own = sluice.ledger.quality.rules(_generation(sluice, collection))
        rules = merged(sluice.gate_rules, own)
    checks, lines = [], []
    for suite, check in [(suite, check) for suite, suited in SUITES.items() for check in suited]:
        place = (suite, check.code)
        now = ruled(check, rules.get(place, GateRule()))
        ruling = {"action": now.action, "limit": now.limit, "options": list(now.options), "own": place in own}
        checks.append({"suite": suite, "code": check.code, **ruling})
        limit = "" if now.limit is None else f"{now.limit:,.10g}"
        mark = "its own" if place in own else ""
        lines.append(_line(suite, check.code, now.action, limit, mark, " ".join(now.options)))
    tell({"collection": collection, "checks": checks}, json_, _line(*_HEADINGS), *lines)


@app.command("set")
def gates_set(
    code: Code,
    collection: Collection = "docs",
    action: Annotated[Action | None, typer.Option(help="mask: only personal_data and secrets.")] = None,
    limit: Annotated[float | None, typer.Option(help="The check's limit.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="What to look for (types, languages); repeat.")] = None,
) -> None:
    """Set a collection's own rule for a check. Options that are not given keep the suite's values."""
    from sluice.model.gates import GateRule
    from sluice.quality.checks import check_of, suite_of
    from sluice.quality.gate_rules import ruled

    if action is None and limit is None and option is None:
        raise BadRequest(f"Nothing to set for {code!r}: give --action, --limit or --option.")
    rule = GateRule(action.value if action else None, limit, tuple(option) if option else None)
    ruled(check_of(code), rule)
    with opened() as sluice:
        sluice.ledger.quality.set_rule(_generation(sluice, collection), suite_of(code), code, rule)
    after = (
        ""
        if suite_of(code) == "retrieval"
        else " To check the documents that it serves already, run an ingest with --full."
    )
    typer.echo(f"Set for {collection}.{after}")


@app.command("unset")
def gates_unset(code: Code, collection: Collection = "docs") -> None:
    """Remove a collection's own rule; the suite's values apply again."""
    from sluice.quality.checks import suite_of

    with opened() as sluice:
        had = sluice.ledger.quality.set_rule(_generation(sluice, collection), suite_of(code), code, None)
    typer.echo(
        f"The suite's values apply to {code} again." if had else f"{collection} had no rule of its own for {code}."
    )


def _line(suite: str, code: str, action: str, limit: str, rule: str, options: str) -> str:
    return f"{suite:<10} {code:<18} {action:<6} {limit:<10} {rule:<8} {options}".rstrip()


def _generation(sluice: Sluice, collection: str) -> Generation:
    """The live generation. Raises NotFound."""
    from sluice.pipeline import generations

    return generations.live_generations(sluice.ledger.collections, collection)[0]
