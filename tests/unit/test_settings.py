from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sluice.errors import BadRequest
from sluice.settings import Settings


def test_a_secret_may_come_as_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    monkeypatch.setenv("SLUICE_QDRANT_API_KEY_FILE", str(tmp_path / "secret"))
    key = Settings(_env_file=None).qdrant_api_key
    assert key and key.get_secret_value() == "from-a-file"
    monkeypatch.setenv("SLUICE_QDRANT_API_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(BadRequest, match="SLUICE_QDRANT_API_KEY_FILE"):
        Settings(_env_file=None)


@pytest.mark.parametrize("plain", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"])
def test_database_urls_get_the_driver_that_is_installed(plain: str) -> None:
    settings = Settings(_env_file=None, database_url=plain)
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://u:p@h/d"
    assert "u:p" not in repr(settings)


def test_an_unknown_embedder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="minilm, bge-small, wordllama, openai:<model> or hash:<dim>"):
        Settings(_env_file=None, embedder="word2vec")


def test_an_endpoint_needs_a_model_and_its_key_is_a_secret() -> None:
    with pytest.raises(ValidationError, match="openai:<model>"):
        Settings(_env_file=None, embedder="openai:")
    settings = Settings(_env_file=None, embedder="openai:BAAI/bge-m3", openai_api_key="sk-secret")
    assert "sk-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SLUICE_GATE_ACTION", "SLUICE_GATE_ACTIONS"),
        ("SLUICE_FILE_ROOT", "SLUICE_FILE_ROOTS"),
        ("SLUICE_SOURCES_RULES", "SLUICE_SOURCE_RULES"),
        ("SLUICE_MASTERKEY_FILE", "SLUICE_MASTER_KEY"),
    ],
)
def test_a_misspelled_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, meant: str
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{name}=x\n")
    with pytest.raises(BadRequest, match=f"Did you mean {meant}"):
        Settings(_env_file=file)
    monkeypatch.setenv(name, "x")
    with pytest.raises(BadRequest, match=f"Did you mean {meant}"):
        Settings(_env_file=None)


def test_variables_of_others_are_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    before, others = Settings(_env_file=None), 0
    for line in (Path(__file__).resolve().parents[2] / ".env.example").read_text().splitlines():
        name = line.lstrip("# ").partition("=")[0]
        mine = name.lower().removeprefix("sluice_") in Settings.model_fields
        if name.startswith("SLUICE_") and name.isupper() and not mine:
            monkeypatch.setenv(name, "x")
            others += 1
    monkeypatch.setenv("SLUICE_CONNECTION_QDRANT_URL", "x://h")
    assert others > 10 and Settings(_env_file=None) == before


def test_four_connections_are_not_enough() -> None:
    """Two stages work at once, each takes a second one while it holds the first, and leases are renewed meanwhile."""
    with pytest.raises(ValidationError, match="pool_size"):
        Settings(_env_file=None, pool_size=4)
    assert Settings(_env_file=None, pool_size=5).pool_size == 5
