"""Writes bench/results/results.md from bench/results/*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(folder: Path) -> str:
    parts = ["# Measurements", "", "Made by `make bench`. Machines differ and are noisy: compare within one run."]
    tables = {
        "ingest": _ingest,
        "airflow": _airflow,
        "scaling": _scaling,
        "retrieval": _retrieval,
        "retrieval-bge-small": _retrieval,
        "queries": _queries,
        "formats": _formats,
        "pii": _pii,
        "relations": _relations,
        "machine": _flat,
    }
    for name, table in tables.items():
        path = folder / f"{name}.json"
        if path.exists():
            parts += ["", f"## {name}", "", *table(json.loads(path.read_text()))]
    text = "\n".join(parts) + "\n"
    (folder / "results.md").write_text(text)
    return text


def _ingest(figures: dict[str, Any]) -> list[str]:
    lines = ["| variant | phase | seconds (all runs) | embedded | points | peak MB | seconds by stage |"]
    lines.append("|---|---|---|---|---|---|---|")
    for variant in ("peer", "vectors-only", "full"):
        for phase, figure in figures.get(variant, {}).items():
            stages = ", ".join(f"{stage} {took:.2f}" for stage, took in figure.get("stages", {}).items())
            times = ", ".join(f"{each:.2f}" for each in figure["all_s"])
            lines.append(
                f"| {variant} | {phase} | {figure['s']:.2f} ({times}) | {figure['embedded']} | {figure['points']} "
                f"| {figure.get('peak_mb', '')} | {stages} |"
            )
    ratio = figures.get("ratio of medians, vectors-only / peer")
    output = ", ".join(f"{phase} {value}" for phase, value in ratio.items()) if ratio else figures.get("note", "")
    return [*lines, "", f"Ratio of medians, vectors-only / peer: {output}" if ratio else output]


_WHERE_IT_GROWS = (
    "Aims: nothing to do on 100,000 documents within 20 s and in the same memory; growth of load at most 1.2; "
    "MiniLM at most 1.10. Vectors-only misses the second one, and Qdrant alone shows where: a point's dense vector "
    "and payload cost the same throughout, its sparse vector does not. A segment that takes writes keeps, for each "
    "term, a list of its points with upper bounds of what follows, and a new point touches the whole list of each of "
    "its terms; once the optimizer has rebuilt the segment, its lists are short again, so that the cost goes up and "
    "down. Switching HNSW off does not help (growth 1.9). More segments make each point cheaper and the curve no "
    "flatter (default_segment_number=16 at 384 dimensions: 2.4 s in place of 3.8 s per 20,000 points, growth 2). With "
    "the graph, which is slower than that, nothing grows."
)


def _scaling(figures: dict[str, Any]) -> list[str]:
    lines = ["| figure | value |", "|---|---|"]
    for name, figure in figures.items():
        if name.startswith("warm"):
            output = f"cold {figure['cold_s']} s; nothing to do {figure['warm_s']} s, peak {figure['peak_mb']} MB"
        elif name.startswith("load"):
            cost = list(figure["ms a chunk"].items())
            shown = ", ".join(f"{each} ms up to {upto}" for upto, each in (cost[1], cost[len(cost) // 2], cost[-1]))
            output = f"{figure['chunks']} chunks: {shown}; growth {figure['growth']}, peak {figure['peak_mb']} MB"
        elif name == "Qdrant alone":
            output = "; ".join(
                f"{kind} {each['ms a point'][1]} to {each['ms a point'][-1]} ms a point, growth {each['growth']}"
                for kind, each in figure.items()
            )
        else:
            output = f"{figure['ratio']} ({figure['ratios']}), {figure['texts']} texts, bare {figure['bare_s']} s"
        lines.append(f"| {name} | {output} |")
    return [*lines, "", _WHERE_IT_GROWS]


def _airflow(figures: dict[str, Any]) -> list[str]:
    lines = [
        "| work | command line, s | nothing to do, s | DAG, s | DAG / command line | tasks | of their time, starts |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    output = []
    for name, figure in figures.items():
        if "dag" in figure:
            dag, warm = figure["dag"], figure["command, nothing to do, s"]
            lines.append(
                f"| {name} | {_list(figure['command_s'])} | {_list(warm)} | {_list(figure['dag_s'])} "
                f"| {figure['ratio']} | {dag['tasks']} | {dag['share of starts, imports and lineage']} |"
            )
            output += [f"- {name}, seconds by task: " + _pairs(dag["by task, s"])]
            output += [f"- {name}, seconds by stage: " + _pairs(dag["by stage, s"])]
        elif "ratio" in figure:
            output.append(
                f"- {name}: {figure['ratio']} ({_list(figure['full_s'])} / {_list(figure['vectors-only_s'])})"
            )
        else:
            for phase, each in figure.items():
                output.append(f"- {name}, {phase}: {each['ratio']} ({_list(each['ours'])} / {_list(each['peer'])})")
    return [*lines, "", *output]


def _list(times: list[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in times)


def _pairs(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {took}" for name, took in times.items())


def _retrieval(figures: dict[str, Any]) -> list[str]:
    lines = [
        "Learned: weights from every second question, on the others, against the default weights.",
        "",
        "| set | nDCG@10 [95 %] | against RRF (p) | against no graph (p) | learned (p) | dense | BM25 | recall@10 "
        "| MRR | all gold@10 | queries |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, figure in figures.items():
        low, high = figure["intervals"]["ndcg@10"]
        rrf, no_graph = (figure[f"against_{each}"]["ndcg@10"] for each in ("rrf", "no_graph"))
        learned = figure["learned"]["against_default"]["ndcg@10"]
        lines.append(
            f"| {name} | {figure['ndcg@10']:.4f} [{low:.3f}, {high:.3f}] "
            f"| {rrf['difference']:+.4f} ({rrf['p']:.3f}) | {no_graph['difference']:+.4f} ({no_graph['p']:.3f}) "
            f"| {learned['difference']:+.4f} ({learned['p']:.3f}) "
            f"| {figure['alone']['dense']['ndcg@10']:.4f} | {figure['alone']['sparse']['ndcg@10']:.4f} "
            f"| {figure['recall@10']:.4f} | {figure['mrr']:.4f} | {figure['all_gold@10']:.4f} | {figure['queries']} |"
        )
    return lines


_LATENCIES = (
    "Aims: at 100,000 chunks, uncached p95 at most 10 ms above the embedding of the question (`hash:384`: none), "
    "cached p95 at most 5 ms, both as the server measures them; no error and no stale answer. Decision 62 says where "
    "the time goes."
)


def _queries(figures: dict[str, Any]) -> list[str]:
    lines = [
        "| searches | kind | server p50 / p95 / p99, ms | client p50 / p95 / p99, ms | more |",
        "|---|---|---|---|---|",
    ]
    output = []
    for name, figure in figures.items():
        if not isinstance(figure, dict):
            output.append(f"- {name}: {figure}")
        elif "uncached" in figure:
            for kind in ("uncached", "cached"):
                one = figure[kind]
                more = f"hits {one['hits']}" + (f", degraded {one['degraded']}" if one["degraded"] else "")
                server_ms, client_ms = (_percentiles(one[f"{side}_ms"]) for side in ("server", "client"))
                lines.append(f"| {name} | {kind} | {server_ms} | {client_ms} | {more} |")
        elif "client_ms" in figure:
            more = "; ".join(f"{key} {value}" for key, value in figure.items() if key != "client_ms")
            lines.append(f"| {name} | mixed | | {_percentiles(figure['client_ms'])} | {more} |")
        else:
            output.append(f"- {name}: " + _pairs(figure))
    return [*lines, "", *output, "", _LATENCIES]


def _percentiles(figures: dict[str, float]) -> str:
    return " / ".join(str(figures[each]) for each in ("p50", "p95", "p99"))


def _formats(figures: dict[str, Any]) -> list[str]:
    ours, theirs = figures["sluice"], figures["markitdown"]
    lines = [
        f"Against the reference Markdown of {figures['documents']} documents; {figures['peer']} on the same files.",
        "",
        "| format | documents | token F1 | markitdown | cells recall / precision | markitdown |",
        "|---|---|---|---|---|---|",
    ]
    for kind, figure in ours["by_format"].items():
        lines.append(_format_row(kind, figure["documents"], figure, theirs["by_format"][kind]))
    lines.append(_format_row("**all**", figures["documents"], ours, theirs))
    times = ", ".join(f"{seconds} s with {name}" for name, seconds in figures["all formats, seconds"].items())
    both = [side["token_f1_where_both_have_text"] for side in (ours, theirs)]
    output = f"Token F1 where both have text: {both[0]:.3f}, markitdown {both[1]:.3f}."
    failed = f"Without text: {ours['failed']} (markitdown {theirs['failed']})."
    return [*lines, "", f"{output} {failed} The whole set: {times}."]


def _format_row(kind: str, documents: int, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    tables = [
        f"{side['cells']['recall']:.3f} / {side['cells']['precision']:.3f}" if "cells" in side else ""
        for side in (ours, theirs)
    ]
    shown = f"{ours['token_f1']:.3f} | {theirs['token_f1']:.3f} | {tables[0]} | {tables[1]}"
    return f"| {kind} | {documents} | {shown} |"


def _pii(figures: dict[str, Any]) -> list[str]:
    lines = [
        "Precision / recall by exact span, and in brackets by overlap.",
        "",
        "| set | variant | ms a text | kind | labelled | found | exact | overlap |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, own in figures.items():
        for variant, scores in own.items():
            if isinstance(scores, dict):
                lines += [
                    f"| {name} ({own['role']}) | {variant} | {scores['ms_per_text']} | {kind} | {each['labelled']} "
                    f"| {each['found']} | {each['precision']:.3f} / {each['recall']:.3f} "
                    f"| ({each['precision_overlap']:.3f} / {each['recall_overlap']:.3f}) |"
                    for kind, each in scores.items()
                    if isinstance(each, dict)
                ]
    return lines


def _relations(figures: dict[str, Any]) -> list[str]:
    lines = [
        f"{figures['documents']} documents of Re-DocRED with their own entities; {figures['related pairs']} pairs are "
        "related.",
        "",
        "| related at all | found | precision | recall |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {each['found']} | {each['precision']:.3f} | {each['recall']:.3f} |"
        for name, each in figures["pairs"].items()
    ]
    lines += ["", "| which relation (Wikidata) | measured on | labelled | found | precision | recall |"]
    lines.append("|---|---|---|---|---|---|")
    for where, own in (*figures["typed"].items(), ("held out, spaCy's entities", figures["typed, spaCy's entities"])):
        lines += [
            f"| {name} | {where} | {each['labelled']} | {each['found']} | {each['precision']:.3f} "
            f"| {each['recall']:.3f} |"
            for name, each in own.items()
        ]
    return [*lines, "", "; ".join(f"{name}: {value}" for name, value in figures["cost"].items())]


def _flat(figures: dict[str, Any]) -> list[str]:
    return [f"- {name}: {value}" for name, value in figures.items()]
