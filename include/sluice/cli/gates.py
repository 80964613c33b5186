"""What the gates expect of one collection."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.terminal import Collection, Json, tell, tools_of_settings
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.generation import Generation
    from sluice.ports.tools import Tools

app = typer.Typer(help="What the gates expect of one collection, and what they do about it.", no_args_is_help=True)
Code = Annotated[str, typer.Argument(help="Code of a check; `sluice gates list` shows them.")]


class Action(StrEnum):
    off = "off"
    flag = "flag"
    mask = "mask"
    block = "block"


@app.command("list")
def gates_list(collection: Collection = "docs", json_: Json = False) -> None:
    """Every check with its action and limit, and where the collection departs from the suites."""
    from sluice.model.gates import GateRule
    from sluice.quality import suites
    from sluice.quality.rules import merged, ruled

    with tools_of_settings() as tools:
        own = tools.ledger.quality.rules(_generation(tools, collection))
        rules = merged(tools.gate_rules, own)
    checks: list[dict[str, Any]] = []
    lines = []
    for suite, check in [(suite, check) for suite, suited in suites.SUITES.items() for check in suited]:
        place = (suite, check.code)
        now = ruled(check, rules.get(place, GateRule()))
        told = {"action": now.action, "limit": now.limit, "options": list(now.options), "own": place in own}
        checks.append({"suite": suite, "code": check.code, **told})
        limit = "" if now.limit is None else f"{now.limit:g}"
        mark = "its own" if place in own else ""
        lines.append(
            f"{suite:<10} {check.code:<18} {now.action:<6} {limit:<8} {mark:<8} {' '.join(now.options)}".rstrip()
        )
    tell({"collection": collection, "checks": checks}, json_, *lines)


@app.command("set")
def gates_set(
    code: Code,
    collection: Collection = "docs",
    action: Annotated[Action | None, typer.Option(help="mask: only personal_data and secrets.")] = None,
    limit: Annotated[float | None, typer.Option(help="The check's limit.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="What to look for (types, languages); repeat.")] = None,
) -> None:
    """Let a collection depart from a check. What is not given is as the suite says."""
    from sluice.model.gates import GateRule
    from sluice.quality import suites
    from sluice.quality.rules import ruled

    if action is None and limit is None and option is None:
        raise BadRequest(f"Nothing to set for {code!r}: give --action, --limit or --option.")
    rule = GateRule(action.value if action else None, limit, tuple(option) if option else None)
    ruled(suites.check_of(code), rule)
    with tools_of_settings() as tools:
        tools.ledger.quality.set_rule(_generation(tools, collection), suites.suite_of(code), code, rule)
    typer.echo(f"Set for {collection}. What it serves already is judged again by an ingest with --full.")


@app.command("unset")
def gates_unset(code: Code, collection: Collection = "docs") -> None:
    """Back to what the suite says."""
    from sluice.quality import suites

    with tools_of_settings() as tools:
        had = tools.ledger.quality.set_rule(_generation(tools, collection), suites.suite_of(code), code, None)
    typer.echo(f"{code} is as the suite says again." if had else f"{collection} had nothing of its own for {code}.")


def _generation(tools: Tools, collection: str) -> Generation:
    """Raises NotFound."""
    from sluice.pipeline import generations

    return generations.live_generations(tools, collection)[0]
