"""A run's summary in words: the end of `sluice ingest`, and of the log of the task `finish`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sluice.model.grants import operator
from sluice.model.quarantine import Refusal
from sluice.model.source import SourceSpec
from sluice.ports.tools import Tools

_NAMED = 20  # documents in quarantine


def summary_lines(summary: dict[str, Any], refused: Iterable[Refusal] = ()) -> list[str]:
    """`refused`: documents in quarantine that are named; `summary` says how many there are."""
    documents, chunks, vectors = summary["documents"], summary["chunks"], summary["embeddings"]
    named = list(refused)
    more = 0 < len(named) < sum(summary["quarantine"].values())
    kinds = ("new", "changed", "unchanged", "moved", "deleted")
    return [
        f"{documents['seen']:,} documents seen: "
        + ", ".join(f"{documents[kind]:,} {kind}" for kind in kinds)
        + f", {documents['quarantined']:,} in quarantine",
        *(f"  in quarantine, {code}: {count}" for code, count in summary["quarantine"].items()),
        *(f"    {each.code}: {each.external_id}" for each in named),
        *([f"    and more: sluice quarantine list --collection {summary['collection']}"] if more else []),
        f"{chunks['written']:,} chunks written, {chunks['removed']:,} removed, "
        f"{chunks['total']:,} in {summary['collection']}",
        f"{vectors['computed']:,} embeddings computed, {vectors['cached']:,} from the cache",
        _cost_line(summary["cost"]),
        f"{summary['seconds']:.1f} s ("
        + ", ".join(f"{name} {took:.1f}" for name, took in summary["stages"].items())
        + ")",
        *_stopped_lines(summary),
    ]


def refused_by(tools: Tools, spec: SourceSpec, summary: dict[str, Any]) -> list[Refusal]:
    """The first documents of the source that are in quarantine because of the run that `summary` is of."""
    if not summary["quarantine"]:
        return []
    return tools.catalog.refusals(operator(spec.tenant), spec.collection, run_id=UUID(summary["run_id"]), limit=_NAMED)


def _cost_line(cost: dict[str, Any]) -> str:
    money = "" if cost["money"] is None else f", {cost['money']:.6f} US dollars"
    return f"{cost['tokens']:,} tokens in {cost['texts']:,} texts, {cost['seconds']:.1f} s of embedding{money}"


def _stopped_lines(summary: dict[str, Any]) -> list[str]:
    if not summary["stopped"]:
        return []
    return [f"Stopped by the {summary['stopped']}: {summary['remaining']} documents remain. To go on, run it again."]
