"""Lines that the documents of a batch repeat: navigation, cookie banners, licence headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_SHORTEST_CHARS = 20  # shorter lines repeat by chance
_FEWEST_DOCUMENTS = 3
_SHARE_OF_DOCUMENTS = 0.05


def boilerplate_shares(texts: Sequence[str]) -> list[float]:
    """Returns for each text the share (0 to 1) of its characters in repeated lines: those that at least three texts and
    5 % of the batch contain. In a batch of fewer than three texts it is 0."""
    lines = [[line for each in text.splitlines() if len(line := each.strip()) >= _SHORTEST_CHARS] for text in texts]
    seen = Counter(line for own in lines for line in set(own))
    least = max(_FEWEST_DOCUMENTS, _SHARE_OF_DOCUMENTS * len(texts))
    repeated = {line for line, count in seen.items() if count >= least and any(map(str.isalpha, line))}
    return [
        min(1.0, sum(len(line) for line in own if line in repeated) / max(1, len(text.strip())))
        for text, own in zip(texts, lines, strict=True)
    ]
