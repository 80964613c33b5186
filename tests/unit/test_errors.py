"""What an error advises must fit what failed."""

from __future__ import annotations

import pytest

from sluice.adapters.embedders.factory import make_embedder
from sluice.adapters.embedders.openai import Endpoint
from sluice.errors import TRY_AGAIN, Slow, Unavailable, storable_text


def test_an_endpoint_that_is_down_is_not_started_by_make() -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1", connect_timeout_s=2.0, timeout_s=2.0, attempts=1)
    with pytest.raises(Unavailable) as failure:
        make_embedder("openai:a-model", endpoint).embed(["words"])
    assert "make up" not in str(failure.value) and "SLUICE_OPENAI_BASE_URL" in str(failure.value)


def test_engines_are() -> None:
    assert "make up" in str(Unavailable("qdrant", "connection refused"))
    assert str(Unavailable("the source", "gone.", TRY_AGAIN)) == "the source is not available: gone. " + TRY_AGAIN


def test_an_engine_that_is_slow_is_not_started() -> None:
    said = str(Slow("neo4j", "write 7 chunks: The transaction was terminated. "))
    assert said.startswith("neo4j did not answer in time: write 7 chunks: The transaction was terminated. Try again")
    assert "SLUICE_CALL_TIMEOUT_S" in said and "make up" not in said


def test_only_the_text_of_sluices_own_errors_is_stored() -> None:
    """The message of another error may quote a document."""
    assert storable_text(Unavailable("qdrant", "down")).startswith("Unavailable: qdrant is not available")
    assert storable_text(ValueError("the owl's secret nest")) == "ValueError. See the log"
    assert "from outside" in storable_text(None)
