"""The two embedders: the same text always gives the same unit vector, in the caller's order."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sluice
from sluice.adapters.embedders.factory import make_embedder
from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.adapters.embedders.minilm import MiniLm, minilm_tokenizer
from sluice.adapters.embedders.wordllama import WordLlama
from sluice.errors import BadRequest

INCLUDE = str(Path(sluice.__file__).parents[1])
SENTENCES = [
    "The boundary layer grows along the wing.",
    "Air flowing over an aerofoil forms a thin viscous layer.",
    "The recipe needs two eggs and a spoon of sugar.",
    "Interest rates were raised by the central bank.",
]


def test_hash_vectors_are_sums_of_signed_words() -> None:
    text = "Zwei zwei DREI, 4th-of_july!"
    expected = np.zeros(64)
    for word, count in Counter(["zwei", "zwei", "drei", "4th", "of", "july"]).items():
        crc = zlib.crc32(word.encode())
        expected[crc % 64] += count * (-1 if crc & 0x10000 else 1)
    (vector,) = HashEmbedder(64).embed([text])
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-7)


def test_hash_vectors_do_not_depend_on_company_and_have_length_one() -> None:
    embedder = HashEmbedder(32)
    texts = [f"word{number} shared text {number % 7}" for number in range(5000)] + ["", "…", "?!"]
    together = embedder.embed(texts)
    assert together.shape == (5003, 32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    for position in (0, 2047, 2048, 4999):
        np.testing.assert_array_equal(together[position], HashEmbedder(32).embed([texts[position]])[0])
    empty = np.eye(1, 32, dtype=np.float32)[0]
    np.testing.assert_array_equal(together[-3:], np.stack([empty] * 3))


def test_hash_words_that_cancel_out_give_the_vector_of_no_words() -> None:
    embedder = HashEmbedder(1)
    words = [f"w{number}" for number in range(50)]
    plus = next(word for word in words if not zlib.crc32(word.encode()) & 0x10000)
    minus = next(word for word in words if zlib.crc32(word.encode()) & 0x10000)
    np.testing.assert_array_equal(embedder.embed([f"{plus} {minus}"]), [[1.0]])


@pytest.mark.parametrize("embedder", [HashEmbedder(8), MiniLm(), WordLlama()], ids=lambda each: each.name)
def test_no_texts_give_no_rows(embedder: HashEmbedder | MiniLm | WordLlama) -> None:
    assert embedder.embed([]).shape == (0, embedder.dim)


@pytest.mark.parametrize("embedder", [HashEmbedder(8), MiniLm(), WordLlama()], ids=lambda each: each.name)
def test_tokens_are_told_before_as_they_are_counted_after(embedder: HashEmbedder | MiniLm | WordLlama) -> None:
    texts = [*SENTENCES, "word " * 400, "", "\udcff broken"]
    output = embedder.tokens(texts)
    assert embedder.metered(texts)[1] == sum(output) and len(output) == len(texts)
    assert output[len(SENTENCES)] == {"minilm": 256, "wordllama": 401}.get(embedder.name, 400)


@pytest.mark.parametrize("name", ["", "hash", "openai:", "hash:", "hash:0", "hash:x", "hash:99999", "minilm:6", "gpt"])
def test_an_unknown_name_is_a_bad_request(name: str) -> None:
    with pytest.raises(BadRequest, match="minilm"):
        make_embedder(name)


def test_an_embedder_is_made_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len({id(each) for each in pool.map(make_embedder, ["hash:24"] * 8)}) == 1
    assert make_embedder("hash:24").name == "hash:24"
    assert make_embedder("minilm") is make_embedder("minilm")


def test_minilm_knows_what_is_alike() -> None:
    vectors = make_embedder("minilm").embed(SENTENCES)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.4
    assert max(alike[0, 2], alike[0, 3], alike[1, 2], alike[2, 3]) < 0.2


def test_a_minilm_vector_does_not_depend_on_the_texts_beside_it() -> None:
    """The cache relies on it: a vector from another batch, or another day, is the same one."""
    embedder = make_embedder("minilm")
    texts = [" ".join(SENTENCES[: 1 + number % 4]) + " more" * (number * 9) for number in range(8)]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    order = np.random.default_rng(3).permutation(8)
    np.testing.assert_allclose(embedder.embed([texts[each] for each in order]), together[order], atol=1e-6)


def test_minilm_reads_256_tokens() -> None:
    start = "The boundary layer grows along the wing. " * 40
    assert len(minilm_tokenizer().encode(start).ids) > 300
    vectors = make_embedder("minilm").embed([start, start + "Two eggs and sugar.", "", "\udcff broken"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.isfinite(vectors).all()


def test_wordllama_gives_what_its_own_package_gives() -> None:
    """In a process of its own: the package sets up logging when it is imported."""
    code = (
        "import json, pathlib, sys, wordllama; folder = pathlib.Path(wordllama.__file__).parent; "
        "model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True); "
        "print(json.dumps(model.embed(json.load(sys.stdin), norm=True).tolist()))"
    )
    texts = [*SENTENCES, "word " * 400, "Ünïcode “quotes” 東京"]
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(texts), text=True, stdout=subprocess.PIPE, check=True, timeout=60
    )
    ours = WordLlama().embed(texts)
    np.testing.assert_allclose(ours, json.loads(done.stdout), atol=1e-5)
    assert ours.dtype == np.float32
    alike = ours @ ours.T
    assert alike[0, 1] > max(alike[0, 2], alike[0, 3])


def test_the_tokenizer_counts_whole_texts() -> None:
    tokenizer = minilm_tokenizer()
    assert tokenizer.encode("boundary layer", add_special_tokens=False).tokens == ["boundary", "layer"]
    assert len(tokenizer.encode("word " * 1000, add_special_tokens=False).ids) == 1000


def test_nothing_heavy_is_imported_before_use_and_torch_never() -> None:
    code = (
        "import sys; from sluice.adapters.embedders.factory import make_embedder; m = make_embedder('minilm'); "
        "assert not {'onnxruntime', 'tokenizers', 'spacy'} & set(sys.modules); m.embed(['x']); "
        "assert not {'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={"PYTHONPATH": INCLUDE}
    )
    assert done.returncode == 0, done.stderr
