"""A cross-encoder on onnxruntime, from a local folder with `model.onnx` and `tokenizer.json`, as Hugging Face's
sequence classification models are exported (ms-marco-MiniLM, bge-reranker, …)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from sluice.adapters.onnx_session import open_session
from sluice.errors import BadRequest, Slow, Terminal
from sluice.model.text import encodable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

MAX_TOKENS = 512  # of question and passage together, unless the tokenizer's file says fewer
_BATCH_TOKENS = 2048  # with padding; also how often the time limit is checked
_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_PADS = ("[PAD]", "<pad>")
_WHERE = "The reranker"
_IF_SLOW = "Allow more time (SLUICE_RERANKER_TIMEOUT_S) or rerank fewer passages (SLUICE_RERANKER_CANDIDATES)."


class OnnxReranker:
    """Scores pairs of question and text by the model's only logit. Loads on first use; threads may share it."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """`threads`: for one matrix multiplication; 0: all cores. Raises BadRequest if a file is missing."""
        self._folder, self._threads = folder, threads
        for name in ("model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise BadRequest(
                    f"SLUICE_RERANKER names the folder {folder}, in which {name} is missing. Put the exported model "
                    "and its tokenizer there, or set SLUICE_RERANKER=off."
                )
        self._loading = Lock()
        self._model: tuple[Tokenizer, InferenceSession, int] | None = None

    def scores(self, question: str, texts: Sequence[str], timeout_s: float) -> list[float]:
        until = time.monotonic() + timeout_s
        tokenizer, session, pad = self._loaded()
        asked = encodable(question)
        encodings = tokenizer.encode_batch([(asked, encodable(text)) for text in texts])
        scores = np.empty(len(texts), np.float64)
        for batch in _batches([len(each) for each in encodings]):
            if time.monotonic() > until:
                raise Slow(_WHERE, f"not all of {len(texts)} passages were scored in {timeout_s:g} s", _IF_SLOW)
            scores[batch] = self._logits(session, [encodings[position] for position in batch], pad)
        if not np.isfinite(scores).all():
            raise Terminal(f"The reranker in {self._folder} returned NaN or infinity. Export the model again.")
        return [float(score) for score in scores]

    def _loaded(self) -> tuple[Tokenizer, InferenceSession, int]:
        """Raises Terminal if a file cannot be read or the model has other inputs."""
        with self._loading:
            if self._model is None:
                tokenizer, pad = _read_tokenizer(self._folder / "tokenizer.json")
                self._model = tokenizer, _open_session(self._folder / "model.onnx", self._threads), pad
            return self._model

    def _logits(self, session: InferenceSession, encodings: Sequence[Encoding], pad: int) -> np.ndarray[Any, Any]:
        width = max(len(encoding) for encoding in encodings)
        inputs = {name: np.zeros((len(encodings), width), np.int64) for name in _INPUTS}
        inputs["input_ids"][:] = pad
        for row, encoding in enumerate(encodings):
            inputs["input_ids"][row, : len(encoding)] = encoding.ids
            inputs["attention_mask"][row, : len(encoding)] = 1
            inputs["token_type_ids"][row, : len(encoding)] = encoding.type_ids
        wanted = {each.name: inputs[each.name] for each in session.get_inputs()}
        logits = np.asarray(session.run(None, wanted)[0])
        if logits.size != len(encodings):
            raise Terminal(
                f"The model in {self._folder} returns {'×'.join(map(str, logits.shape))} values for {len(encodings)} "
                "pairs; a reranker returns one for each. Use a cross-encoder with one label."
            )
        return logits.reshape(-1)


def _read_tokenizer(path: Path) -> tuple[Tokenizer, int]:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class
        raise Terminal(
            f"{path} is not a tokenizer that the library tokenizers reads ({type(error).__name__})."
        ) from error
    own = (tokenizer.truncation or {}).get("max_length") or MAX_TOKENS
    padding = tokenizer.padding
    tokenizer.enable_truncation(min(own, MAX_TOKENS), strategy="longest_first")
    tokenizer.no_padding()
    known = (tokenizer.token_to_id(each) for each in _PADS)
    return tokenizer, padding["pad_id"] if padding else next((each for each in known if each is not None), 0)


def _open_session(path: Path, threads: int) -> InferenceSession:
    try:
        session = open_session(str(path), threads)
    except Exception as error:  # the library raises no narrower class
        raise Terminal(f"{path} is not a model that onnxruntime reads ({type(error).__name__}).") from error
    names = {each.name for each in session.get_inputs()}
    if not {"input_ids"} <= names <= _INPUTS:
        raise Terminal(
            f"{path} has the inputs {', '.join(sorted(names))}; a reranker has {', '.join(sorted(_INPUTS))} or fewer "
            "of them. Export the model for sequence classification."
        )
    return session


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields positions, shortest first, in batches of at most `_BATCH_TOKENS` with padding, or of one pair."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[position] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
