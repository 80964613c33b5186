"""Texts to vectors, by name: `minilm`, or `hash:<dim>`. Nothing is loaded before its first use; then once a process."""

from __future__ import annotations

from threading import Lock

from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.adapters.embedders.minilm import MiniLm, minilm_tokenizer
from sluice.errors import BadRequest
from sluice.ports import Embedder

__all__ = ["HashEmbedder", "MiniLm", "make_embedder", "minilm_tokenizer"]

_MAX_DIM = 4096
_made: dict[str, Embedder] = {}
_making = Lock()


def make_embedder(name: str) -> Embedder:
    """The process's embedder of that name. Raises BadRequest on a name that is not known."""
    with _making:
        if name not in _made:
            _made[name] = _build(name)
        return _made[name]


def _build(name: str) -> Embedder:
    kind, _, argument = name.partition(":")
    if name == "minilm":
        return MiniLm()
    if kind == "hash" and argument.isdecimal() and 1 <= int(argument) <= _MAX_DIM:
        return HashEmbedder(int(argument))
    raise BadRequest(f"There is no embedder {name!r}. Use minilm, or hash:<dim> with 1 to {_MAX_DIM}, e.g. hash:384.")
