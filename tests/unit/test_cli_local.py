"""`sluice` finds the stack of this machine, and leaves alone whoever names stores of their own."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from devstack import credentials, environment
from devstack.config import Config
from sluice.cli import local
from sluice.errors import BadRequest

ODD = 'a "quoted" $HOME \\n # word '  # nothing in it may be interpreted


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack's folder, as devstack writes it before the start."""
    config = Config.from_env(tmp_path, {"SLUICE_ADMIN_PASSWORD": "x", "SLUICE_NOTIFY_URL": ODD, "PATH": "/bin"})
    environment.write_for_the_command_line(config, credentials.load_or_make(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "_CHECKOUT", tmp_path)
    return config.home


def test_what_devstack_writes_is_found_in_the_checkout(home: Path) -> None:
    environ: dict[str, str] = {"SLUICE_QDRANT_URL": "http://127.0.0.1:1"}
    local.use_local_stack(environ)
    assert environ["SLUICE_DATABASE_URL"].startswith("postgresql+psycopg://sluice_app:")
    assert environ["SLUICE_NOTIFY_URL"] == ODD
    assert environ["SLUICE_HOME"] == str(home)
    assert environ["SLUICE_QDRANT_URL"] == "http://127.0.0.1:1", "what is set stays"
    assert "SLUICE_POSTGRES_ADMIN_URL" not in environ and "PATH" not in environ
    assert stat.S_IMODE((home / "app.json").stat().st_mode) == 0o600


def test_the_home_that_is_named_goes_before_the_checkout(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "app.json").write_text(json.dumps({"SLUICE_DATABASE_URL": "postgresql://other"}))
    environ = {"SLUICE_HOME": str(other)}
    local.use_local_stack(environ)
    assert environ["SLUICE_DATABASE_URL"] == "postgresql://other"
    nowhere = {"SLUICE_HOME": str(tmp_path / "none")}
    local.use_local_stack(nowhere)
    assert "SLUICE_DATABASE_URL" not in nowhere, "no other stack stands in for the one that is named"


def test_a_working_folder_is_not_trusted(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's folder may hold an app.json that leads to their stores."""
    monkeypatch.setattr(local, "_CHECKOUT", tmp_path / "no-checkout")
    environ: dict[str, str] = {}
    local.use_local_stack(environ)
    assert environ == {}


@pytest.mark.parametrize("given", ["state", "./state/../state"])
def test_the_home_may_be_in_the_checkouts_env_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    home.rename(tmp_path / "state")
    (tmp_path / ".env").write_text(f"SLUICE_HOME={given}\n")
    environ: dict[str, str] = {}
    local.use_local_stack(environ)
    assert environ["SLUICE_DATABASE_URL"].startswith("postgresql")


@pytest.mark.parametrize("content", ["{", "\xff"])
def test_a_damaged_description_of_the_stack_is_one_clear_line(home: Path, content: str) -> None:
    (home / "app.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadRequest, match="make up"):
        local.use_local_stack({})


def test_nothing_but_settings_of_sluice_is_taken_over(home: Path) -> None:
    (home / "app.json").write_text(json.dumps({"SLUICE_DATABASE_URL": "postgresql://x", "HTTPS_PROXY": "http://y"}))
    environ: dict[str, str] = {}
    local.use_local_stack(environ)
    assert environ == {"SLUICE_DATABASE_URL": "postgresql://x"}


@pytest.mark.parametrize("name", ["SLUICE_DATABASE_URL", "SLUICE_DATABASE_URL_FILE"])
def test_a_ledger_of_ones_own_is_never_mixed_with_it(home: Path, tmp_path: Path, name: str) -> None:
    environ = {name: "mine"}
    local.use_local_stack(environ)
    assert environ == {name: "mine"}
    (tmp_path / ".env").write_text(f"{name}=mine\n")
    environ = {}
    local.use_local_stack(environ)
    assert environ == {}
