"""Texts to vectors, by name: `minilm`, `wordllama`, `openai:<model>` or `hash:<dim>`. Loaded on first use, once
a process."""

from __future__ import annotations

from threading import Lock

from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.adapters.embedders.minilm import MiniLm
from sluice.adapters.embedders.openai import Endpoint, OpenAiEmbedder
from sluice.adapters.embedders.wordllama import WordLlama
from sluice.errors import BadRequest
from sluice.ports.content import Embedder

_MAX_DIM = 4096
_made: dict[tuple[str, Endpoint], Embedder] = {}
_making = Lock()


def make_embedder(name: str, endpoint: Endpoint = Endpoint()) -> Embedder:
    """The process's embedder of that name. Raises BadRequest on a name that is not known."""
    with _making:
        if (name, endpoint) not in _made:
            _made[name, endpoint] = _build(name, endpoint)
        return _made[name, endpoint]


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
