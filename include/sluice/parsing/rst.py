"""reStructuredText: rewrites tables that its parser misreads, and gives a plain reading of the lines."""

from __future__ import annotations

import re
from itertools import pairwise

_BORDER = re.compile(r"[ ]*+=++(?: ++=++)++ *+")
_DIRECTIVE = re.compile(r"\.\. (?:\|[^|]*+\| )?(?:([\w:-]+)::|\[([^\]]*+)\])(.*)", re.S)
_OPTION = re.compile(r":(?!alt)[\w-]++:")
_RULE = re.compile(r"[\s=+|*~^\"'`#:.,_-]*+")
_NO_TEXT = frozenset({"image", "include", "raw", "highlight", "index", "contents", "role", "default-role", "container"})


def rst_for_parser(text: str) -> str:
    """Removes blank lines from simple tables, and widens the last column, which has no border, to its longest cell."""
    lines = text.split("\n")
    borders = [n for n, line in enumerate(lines) if "==" in line and _BORDER.fullmatch(line)]
    blank: set[int] = set()
    for first, last in reversed(list(pairwise(borders))):  # bottom up, so that the first border becomes the widest
        if lines[first].rstrip("= ") != lines[last].rstrip("= ") or not lines[first + 1].strip():
            continue  # two tables: a blank line follows the end of the first
        width = max(map(len, lines[first : last + 1]))
        for border in (first, last):
            lines[border] = lines[border].rstrip().ljust(width, "=")
        blank.update(n for n in range(first, last) if not lines[n].strip())
    return "\n".join(line for n, line in enumerate(lines) if n not in blank)


def rst_blocks(text: str) -> list[str]:
    """Returns paragraphs and lines of tables; leaves out comments, options and the names of directives."""
    blocks: list[str] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.strip().split("\n")
        if lines[0].startswith(".. "):
            directive = _DIRECTIVE.match(lines[0])
            if directive is None or directive[1] in _NO_TEXT:
                continue  # a comment, a link target, or a directive without text
            lines[0] = directive[3].strip()
        text_lines = [line for line in lines if not _OPTION.match(line.strip()) and not _RULE.fullmatch(line)]
        is_table = any(_BORDER.fullmatch(line) for line in lines)
        blocks += text_lines if is_table else [" ".join(" ".join(text_lines).split())] if text_lines else []
    return blocks
