"""Every local embedder, and the model of bge-small as it is fetched."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from devstack.config import Config
from sluice.adapters.embedders.bge_small import MAX_TOKENS
from sluice.adapters.embedders.factory import make_embedder
from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.adapters.embedders.local import read_tokenizer
from sluice.adapters.embedders.minilm import minilm_tokenizer
from sluice.adapters.embedders.models import BGE_SMALL, TOKENIZER, content, fetch
from sluice.chunking.chunker import chunk
from sluice.errors import Unavailable
from sluice.model.document import Document
from sluice.model.scan import ListingEntry, WorkItem
from sluice.ports.content import Embedder
from sluice.testing.contracts.embedders import EmbedderContract


class TestHash(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return HashEmbedder(64)


class TestMiniLm(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return make_embedder("minilm")


class TestWordLlama(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return make_embedder("wordllama")


@cache
def _models() -> Path | str:
    """Returns the folder of models beside Neo4j's jars, with bge-small in it; or why it cannot be fetched."""
    config = Config.from_env(Path.cwd(), os.environ)
    try:
        fetch(BGE_SMALL, config.cache / "models", config.maven_mirror)
    except Unavailable as error:
        return str(error)
    return config.cache / "models"


@pytest.fixture(scope="module")
def models() -> Path:
    folder = _models()
    if isinstance(folder, str):
        pytest.skip(folder)
    return folder


class TestBgeSmall(EmbedderContract):
    @pytest.fixture
    def embedder(self, models: Path) -> Embedder:
        return make_embedder("bge-small", models=models)

    def test_similar_sentences_are_near(self, embedder: Embedder) -> None:
        wing, air, eggs = embedder.embed(
            [
                "The boundary layer grows along the wing.",
                "Air flowing over an aerofoil forms a thin viscous layer.",
                "The recipe needs two eggs and a spoon of sugar.",
            ]
        )
        assert wing @ air > 0.8 > 0.6 > max(wing @ eggs, air @ eggs)

    def test_it_reads_512_tokens(self, embedder: Embedder) -> None:
        long = "word " * 600
        assert embedder.tokens([long]) == [MAX_TOKENS]
        same, longer = embedder.embed([long, long + "Two eggs and sugar."])
        np.testing.assert_array_equal(same, longer)

    def test_the_chunker_bounds_its_input(self, models: Path) -> None:
        """The chunker counts MiniLM's tokens, and both tokenizers have the same ones."""
        own, counting = read_tokenizer(content(BGE_SMALL, TOKENIZER, models)), minilm_tokenizer()
        assert own.get_vocab() == counting.get_vocab()
        text = "Ünïcode wörds, 東京 and formulas x²=3; aerodynamically " * 200
        assert own.encode(text).ids == counting.encode(text).ids
        item = WorkItem(uuid4(), ListingEntry("", "", "", 0), new=True)
        document = Document(item, "text/plain", "A title", text, b"")
        (cut,) = chunk([document], profile="tokens:512:0", index_key=b"k" * 32, tokenizer=counting)
        lengths = [len(own.encode(each.embedded_text)) for each in cut.chunks]
        assert len(lengths) > 3 and max(lengths) <= MAX_TOKENS
