"""How commands end: the exit code and the line on stderr."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID

import pytest

from devstack import cli as devstack_cli
from sluice import cli
from sluice.cli import terminal
from sluice.errors import BadRequest, Unavailable


def _with_note() -> Unavailable:
    error = Unavailable("qdrant", "refused")
    error.add_note("3 of 7 documents are complete.")
    return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BadRequest("There is no collection x."), 2, "sluice: There is no collection x."),
        (_with_note(), 1, "and try again. 3 of 7 documents are complete."),
        (KeyboardInterrupt(), 130, "sluice: interrupted. What is complete is kept."),
    ],
)
def test_a_failed_command_says_why(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> NoReturn:
        raise error

    monkeypatch.setattr(cli.operating, "opened", fail)
    monkeypatch.setattr(cli, "use_local_stack", lambda: None)
    monkeypatch.setattr("sys.argv", ["sluice", "doctor"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    assert line in capsys.readouterr().err


def test_json_has_dates_as_the_api_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.tell({"at": datetime(2026, 11, 28, 9, tzinfo=UTC), "id": UUID(int=7)}, True)
    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-28T09:00:00+00:00", "id": str(UUID(int=7))}


def test_nothing_is_removed_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(question: str) -> NoReturn:
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    assert not devstack_cli._confirmed("Remove it? ")
    monkeypatch.setattr("builtins.input", lambda question: "yes")
    assert devstack_cli._confirmed("Remove it? ")
