"""Airflow's lesser roles: who has a grant can use the search page at the address that is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from demo.server import Server
from sluice.adapters.postgres.airflow_users import has_user
from sluice.model.generation import Profile
from sluice.model.grants import Grant
from sluice.model.source import SourceSpec
from sluice.wiring.application import Sluice
from support.engines import EngineStack

PASSWORD = "a-long-password-1"


@pytest.fixture(scope="module")
def server(airflow_stack: EngineStack) -> Server:
    environment = airflow_stack.environment
    return Server(
        environment["SLUICE_AIRFLOW_URL"], environment["SLUICE_ADMIN_USER"], environment["SLUICE_ADMIN_PASSWORD"]
    )


@pytest.fixture(params=["Viewer", "User"])
def reader(
    airflow_stack: EngineStack,
    server: Server,
    make_sluice: Callable[..., Sluice],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[httpx.Client]:
    """Signed in as a user with that role, who may read the tenant `roles`."""
    name = f"reader-{request.param.lower()}"
    user = {
        "username": name,
        "password": PASSWORD,
        "email": f"{name}@example.org",
        "first_name": "R",
        "last_name": "Eader",
        "roles": [{"name": request.param}],
    }
    built = server._http.post("/auth/fab/v1/users", json=user)
    assert built.status_code in (200, 201, 409), built.text
    sluice = make_sluice([tmp_path], graph="off")
    sluice.ledger.sources.open(
        SourceSpec(tmp_path.as_uri(), "roles", "roles", ()), Profile("tokens:256:0", "hash:64", "off", 64), ()
    )
    sluice.ledger.grants.add(Grant(name, "roles", frozenset(), False))
    with httpx.Client(base_url=airflow_stack.environment["SLUICE_AIRFLOW_URL"], timeout=60.0) as client:
        token = client.post("/auth/token", json={"username": name, "password": PASSWORD}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_the_printed_address_leads_to_the_search_page(reader: httpx.Client) -> None:
    """Airflow's pages show /plugin/sluice-search where the list of plugins, read in the user's name, has it."""
    listed = reader.get("/api/v2/plugins", params={"limit": 100})
    assert listed.status_code == 200, listed.text
    routes = {view["url_route"]: view["href"] for each in listed.json()["plugins"] for view in each["external_views"]}
    assert routes["sluice-search"] == "/sluice/"
    page = reader.get(routes["sluice-search"])
    assert page.status_code == 200 and "<title>" in page.text
    collections = reader.get("/sluice/api/v1/collections").json()
    assert [each["name"] for each in collections["collections"]] == ["roles"]


def test_and_to_nothing_that_was_not_granted(reader: httpx.Client) -> None:
    answer = reader.get("/sluice/api/v1/collections", headers={"X-Sluice-Tenant": "default"})
    assert answer.status_code == 403


def test_the_command_line_knows_airflows_users(airflow_stack: EngineStack) -> None:
    url = airflow_stack.environment["SLUICE_AIRFLOW_DATABASE_URL"]
    assert has_user(url, airflow_stack.environment["SLUICE_ADMIN_USER"]) is True
    assert has_user(url, "nobody-at-all") is False
    assert has_user("postgresql://127.0.0.1:1/nowhere", "admin") is None
