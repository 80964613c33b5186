"""Numbers of words, each computed once."""

from __future__ import annotations

from collections.abc import Callable


class WordNumbers(dict[str, int]):
    """Word → number, computed on first use: most words repeat. Forgets all of them at `most` words, which bounds the
    memory."""

    def __init__(self, number_of: Callable[[str], int], most: int) -> None:
        super().__init__()
        self._number_of = number_of
        self._most = most

    def __missing__(self, word: str) -> int:
        if len(self) >= self._most:
            self.clear()
        number = self[word] = self._number_of(word)
        return number
