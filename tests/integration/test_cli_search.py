"""`sluice search`: what it prints, and how it says that nothing fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sluice.cli import app, documents
from sluice.embedding.bm25 import sparse_query, term_sequence
from sluice.model.search import RETRIEVERS
from sluice.retrieval.search_ports import SearchPorts
from sluice.retrieval.searching import search
from support.api_service import World


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> World:

    @contextmanager
    def sluice() -> Iterator[Any]:
        yield world.sluice()

    monkeypatch.setattr(documents, "opened", sluice)
    return world


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["search", *arguments, "--tenant", "acme"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_passages_with_their_citations(service: World) -> None:
    message = said("pumps")
    assert message.startswith("3 passages in ") and "similarity" not in message
    assert "file:///docs/open.md (Upkeep, page 2, version 1)" in message


def test_the_lowest_similarity_of_what_is_shown(service: World) -> None:
    message = said("pumps", "--min-score", "0.99")
    assert message.startswith("2 passages in ") and ", similarity 1.00]" in message
    assert CliRunner().invoke(app, ["search", "pumps", "--min-score", "1.5"]).exit_code == 2


def test_only_the_chosen_retrievers_search(service: World) -> None:
    assert tuple(documents.Retriever) == RETRIEVERS
    assert json.loads(said("pumps", "--retriever", "sparse", "--json"))["legs"] == ["sparse"]
    both = said("pumps", "--retriever", "sparse", "--retriever", "dense", "--retriever", "sparse", "--json")
    assert json.loads(both)["legs"] == ["dense", "sparse"]
    assert CliRunner().invoke(app, ["search", "pumps", "--retriever", "bm25"]).exit_code == 2


def test_it_says_that_nothing_relevant_was_found(service: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_words(**stores: Any) -> Any:
        """`hash` embedders are judged by words alone."""
        dense = np.array([1, 0, 0, 0], np.float32)
        return partial(
            search,
            SearchPorts(**stores, embed_query=lambda *_: dense, sparse_query=sparse_query, term_sequence=term_sequence),
        )

    monkeypatch.setattr(service, "search_of", of_words)
    assert said("zzz qqq xxyzzy").startswith("Nothing relevant was found in ")
    message = json.loads(said("zzz qqq xxyzzy", "--json"))
    assert message["nothing_relevant"] is True and len(message["results"]) == 3
    assert json.loads(said("pumps", "--json"))["nothing_relevant"] is False
