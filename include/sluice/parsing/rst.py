"""reStructuredText: what its parser cannot see of a table, and a plain reading of its lines."""

from __future__ import annotations

import re
from itertools import pairwise

_BORDER = re.compile(r"[ ]*+=++(?: ++=++)++ *+")
_DIRECTIVE = re.compile(r"\.\. (?:\|[^|]*+\| )?(?:([\w:-]+)::|\[([^\]]*+)\])(.*)", re.S)
_OPTION = re.compile(r":(?!alt)[\w-]++:")
_RULE = re.compile(r"[\s=+|*~^\"'`#:.,_-]*+")
_NO_TEXT = frozenset({"image", "include", "raw", "highlight", "index", "contents", "role", "default-role", "container"})


def rst_for_parser(text: str) -> str:
    """Simple tables without blank lines, and their last column as wide as its longest cell: no border bounds it."""
    lines = text.split("\n")
    borders = [n for n, line in enumerate(lines) if "==" in line and _BORDER.fullmatch(line)]
    blank: set[int] = set()
    for first, last in reversed(list(pairwise(borders))):  # the first border is to be the widest
        if lines[first].rstrip("= ") != lines[last].rstrip("= ") or not lines[first + 1].strip():
            continue  # two tables: a blank line follows the last border of the first
        width = max(map(len, lines[first : last + 1]))
        for border in (first, last):
            lines[border] = lines[border].rstrip().ljust(width, "=")
        blank.update(n for n in range(first, last) if not lines[n].strip())
    return "\n".join(line for n, line in enumerate(lines) if n not in blank)


def rst_blocks(text: str) -> list[str]:
    """Paragraphs, and the lines of tables; without comments, options and the names of directives."""
    found: list[str] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.strip().split("\n")
        if lines[0].startswith(".. "):
            directive = _DIRECTIVE.match(lines[0])
            if directive is None or directive[1] in _NO_TEXT:
                continue  # a comment, a target of a link, or what has no text
            lines[0] = directive[3].strip()
        kept = [line for line in lines if not _OPTION.match(line.strip()) and not _RULE.fullmatch(line)]
        is_table = any(_BORDER.fullmatch(line) for line in lines)
        found += kept if is_table else [" ".join(" ".join(kept).split())] if kept else []
    return found
