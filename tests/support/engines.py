"""The engines of a session of tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devstack import Stack
from sluice.settings import Settings


@dataclass(frozen=True)
class EngineStack:
    """Addresses and logins of running, migrated engines, as SLUICE_* variables."""

    environment: dict[str, str]
    devstack: Stack | None

    def files_with(self, *sentences: str) -> list[Path]:
        """Files of any engine or of Airflow that hold one in clear: tables, write-ahead logs, artefacts, task logs."""
        if self.devstack is None:
            pytest.skip("the scan needs the engines' own files: unset SLUICE_TEST_STACK")
        files = [
            path
            for folder in self.devstack.data_folders()
            for path in folder.rglob("*")
            if path.is_file() and not path.is_symlink()
        ]
        assert any("pg_wal" in str(path) for path in files), "the database's files are not where they are looked for"
        looked_for = [each.encode() for each in sentences]
        return [path for path in files if any(map(_content(path).__contains__, looked_for))]

    def settings(self, **changes: Any) -> Settings:
        known: dict[str, Any] = {
            name.removeprefix("SLUICE_").lower(): value
            for name, value in self.environment.items()
            if name.removeprefix("SLUICE_").lower() in Settings.model_fields
        }
        master_key = Path(self.environment["SLUICE_MASTER_KEY_FILE"]).read_text().strip()
        return Settings(_env_file=None, **{**known, "master_key": master_key, **changes})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # engines at work make and remove files all the time
        return b""
