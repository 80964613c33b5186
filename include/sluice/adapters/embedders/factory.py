"""Embedders by name: `minilm`, `wordllama`, `openai:<model>` or `hash:<dim>`. Each is loaded on first use, once per
process."""

from __future__ import annotations

from threading import Lock

from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.adapters.embedders.minilm import MiniLm
from sluice.adapters.embedders.openai import Endpoint, OpenAiEmbedder
from sluice.adapters.embedders.wordllama import WordLlama
from sluice.errors import BadRequest
from sluice.ports.content import Embedder

_MAX_DIM = 4096
_embedders: dict[tuple[str, Endpoint], Embedder] = {}
_lock = Lock()


def make_embedder(name: str, endpoint: Endpoint = Endpoint()) -> Embedder:
    """Returns the process's embedder of that name. Raises BadRequest on an unknown name."""
    with _lock:
        if (name, endpoint) not in _embedders:
            _embedders[name, endpoint] = _build(name, endpoint)
        return _embedders[name, endpoint]


def _build(name: str, endpoint: Endpoint) -> Embedder:
    kind, _, argument = name.partition(":")
    if name == "minilm":
        return MiniLm()
    if name == "wordllama":
        return WordLlama()
    if kind == "hash" and argument.isdecimal() and 1 <= int(argument) <= _MAX_DIM:
        return HashEmbedder(int(argument))
    if kind == "openai" and argument:
        return OpenAiEmbedder(argument, endpoint)
    raise BadRequest(
        f"There is no embedder {name!r}. Use minilm, wordllama, openai:<model>, or hash:<dim> with 1 to {_MAX_DIM}, "
        "e.g. hash:384."
    )
