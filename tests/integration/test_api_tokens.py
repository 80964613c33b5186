"""Airflow's side of the query service: who calls."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.api_service import World


class AuthManager:
    """Stands in for Airflow's configured one: what its tokens mean."""

    async def get_user_from_token(self, token: str) -> Any:
        from jwt import ExpiredSignatureError, InvalidTokenError
        from sqlalchemy.exc import OperationalError

        match token:
            case "good":
                return SimpleNamespace(get_name=lambda: "ann")
            case "nameless":
                return SimpleNamespace(get_name=lambda: "")
            case "expired":
                raise ExpiredSignatureError
            case "database-down":
                raise OperationalError("SELECT", {}, Exception("down"))
            case _:
                raise InvalidTokenError


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from airflow.api_fastapi import app as airflow_app

    from sluice.airflow.auth import authenticate
    from sluice.api.app import create_app

    monkeypatch.setattr(airflow_app._AuthManagerState, "instance", AuthManager())
    with TestClient(create_app(world.sluice, authenticate)) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer good"}, 200),
        ({"Authorization": "bearer good"}, 200),
        ({"Cookie": "_token=good"}, 200),
        ({"Authorization": "Bearer forged"}, 401),
        ({"Authorization": "Bearer expired"}, 401),
        ({"Authorization": "Bearer nameless"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic Z29vZA=="}, 401),
        ({"Authorization": "good"}, 401),
        ({"Cookie": "_token=forged"}, 401),
        ({"Cookie": "session=good"}, 401),
        ({"Authorization": "Bearer forged", "Cookie": "_token=good"}, 401),
        ({"Authorization": "Bearer database-down"}, 503),
    ],
)
def test_airflows_tokens_decide(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.get("/api/v1/collections", headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
