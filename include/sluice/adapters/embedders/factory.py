"""Embedders by name: `minilm`, `bge-small`, `wordllama`, `openai:<model>` or `hash:<dim>`. Each is loaded on first use,
once per process."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sluice.adapters.embedders.bge_small import BgeSmall
from sluice.adapters.embedders.hashed import HashEmbedder
from sluice.adapters.embedders.minilm import MiniLm
from sluice.adapters.embedders.openai import Endpoint, OpenAiEmbedder
from sluice.adapters.embedders.wordllama import WordLlama
from sluice.errors import BadRequest
from sluice.ports.content import Embedder

_MAX_DIM = 4096
_embedders: dict[tuple[str, Endpoint, Path], Embedder] = {}
_lock = Lock()


def make_embedder(name: str, endpoint: Endpoint = Endpoint(), models: Path = Path(".sluice/models")) -> Embedder:
    """Returns the process's embedder of that name. `models`: folder of fetched models. Raises BadRequest on an unknown
    name, Terminal if its model was not fetched."""
    with _lock:
        if (name, endpoint, models) not in _embedders:
            _embedders[name, endpoint, models] = _build(name, endpoint, models)
        return _embedders[name, endpoint, models]


def _build(name: str, endpoint: Endpoint, models: Path) -> Embedder:
    kind, _, argument = name.partition(":")
    if name == "minilm":
        return MiniLm()
    if name == "bge-small":
        return BgeSmall(models)
    if name == "wordllama":
        return WordLlama()
    if kind == "hash" and argument.isdecimal() and 1 <= int(argument) <= _MAX_DIM:
        return HashEmbedder(int(argument))
    if kind == "openai" and argument:
        return OpenAiEmbedder(argument, endpoint)
    raise BadRequest(
        f"There is no embedder {name!r}. Use minilm, bge-small, wordllama, openai:<model>, or hash:<dim> with 1 to "
        f"{_MAX_DIM}, e.g. hash:384."
    )
