"""What an error advises must fit what failed."""

from __future__ import annotations

import pytest

from sluice.adapters.embedders.factory import make_embedder
from sluice.adapters.embedders.openai import Endpoint
from sluice.errors import TRY_AGAIN, Unavailable, storable_text


def test_an_endpoint_that_is_down_is_not_started_by_make() -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1", connect_timeout_s=2.0, timeout_s=2.0, attempts=1)
    with pytest.raises(Unavailable) as failure:
        make_embedder("openai:a-model", endpoint).embed(["words"])
    assert "make up" not in str(failure.value) and "SLUICE_OPENAI_BASE_URL" in str(failure.value)


def test_engines_are() -> None:
    assert "make up" in str(Unavailable("qdrant", "connection refused"))
    assert str(Unavailable("the source", "gone.", TRY_AGAIN)) == "the source is not available: gone. " + TRY_AGAIN


def test_only_the_text_of_sluices_own_errors_is_stored() -> None:
    """The message of another error may quote a document."""
    assert storable_text(Unavailable("qdrant", "down")).startswith("Unavailable: qdrant is not available")
    assert storable_text(ValueError("the owl's secret nest")) == "ValueError. See the log"
    assert "from outside" in storable_text(None)
