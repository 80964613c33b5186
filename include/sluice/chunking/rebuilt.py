"""Rebuilds the context with which a stored chunk was embedded. It is not stored: its lines are some of the title and
headings, and the stored hash of the embedded text identifies them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from sluice import encryption
from sluice.chunking.context import ContextSizes, fitting, lines
from sluice.chunking.cutter import parse_profile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST_LINES = 8  # title and six levels of headings, and one more


class Contexts:
    """Finds contexts of chunks of one profile."""

    def __init__(self, profile: str, tokenizer: Callable[[], Tokenizer]) -> None:
        chunker = parse_profile(profile)
        counting = tokenizer() if chunker.unit == "tokens" else None
        special = counting.num_special_tokens_to_add(False) if counting else 0
        self._sizes = ContextSizes(chunker.max_size - special, counting)

    def find(self, title: str, headings: Sequence[str], text: str, text_hash: bytes, index_key: bytes) -> str | None:
        """Returns the context; None if none gives that hash: another release or another key made the chunk."""
        names = lines(title, headings)[:_MOST_LINES]
        for left_out in range(len(names) + 1):
            for chosen_lines in combinations(names, len(names) - left_out):
                context = "\n".join(line for line, _ in fitting(chosen_lines, self._sizes))
                if encryption.text_hash(index_key, f"{context}\n\n{text}" if context else text) == text_hash:
                    return context
        return None
