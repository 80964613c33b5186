"""Files of NAME=value lines: `.env`, and the generated credentials."""

import os
from collections.abc import Mapping
from pathlib import Path

from devstack.errors import DevstackError


def read(path: Path) -> dict[str, str]:
    """The values of a file; empty if there is no file. Raises DevstackError for a line that is not NAME=value."""
    if not path.is_file():
        return {}
    values = {}
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip().removeprefix("export ").lstrip()
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip().isidentifier():
            raise DevstackError(f"{path}, line {number}: expected NAME=value. Correct or remove that line.")
        values[name.strip()] = _unquoted(value.strip())
    return values


def write_private(path: Path, values: Mapping[str, str], heading: str) -> None:
    """Writes NAME=value lines atomically, readable by the owner only."""
    for name, value in values.items():
        if value and value.splitlines() != [value]:
            raise DevstackError(f"{name} contains a line break, which {path.name} cannot store. Remove it.")
    lines = [f"# {heading}", *(f"{name}={_quoted(value)}" for name, value in values.items())]
    write_private_text(path, "\n".join(lines) + "\n")


def write_private_text(path: Path, text: str) -> None:
    """Writes a file atomically, with mode 0600."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _quoted(value: str) -> str:
    """The value unchanged if `read` returns it unchanged, else in quotes, which `read` removes."""
    return value if _unquoted(value.strip()) == value else f'"{value}"'


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
