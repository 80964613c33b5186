"""Rerankers by name: `off`, `onnx:<folder>`, `cohere:<model>`, `jina:<model>` or `tei`."""

from __future__ import annotations

from pathlib import Path

from sluice.adapters.rerankers.endpoint import DIALECTS, Endpoint, EndpointReranker
from sluice.adapters.rerankers.onnx import OnnxReranker
from sluice.errors import BadRequest
from sluice.ports.reranking import Reranker


def make_reranker(name: str, endpoint: Endpoint = Endpoint()) -> Reranker | None:
    """Returns the reranker of that name; None for `off`. Raises BadRequest for an unknown name, a folder without a
    model, or a missing address."""
    kind, _, argument = name.partition(":")
    if name == "off":
        return None
    if kind == "onnx" and argument:
        return OnnxReranker(Path(argument))
    if kind in DIALECTS and bool(argument) == DIALECTS[kind].has_model:
        return EndpointReranker(DIALECTS[kind], argument, endpoint)
    raise BadRequest(
        f"SLUICE_RERANKER={name!r} is unknown. Use off, onnx:<folder>, cohere:<model>, jina:<model> or tei."
    )
