"""POST /documents: who may, how much, from where; what is kept is sealed and queued in the caller's name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from sluice.api import quota_check, routes_uploads
from sluice.api.app import create_app
from sluice.api.limits import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, UploadSlots
from sluice.api.quota_check import QuotaCheck
from sluice.errors import Unavailable
from sluice.model.costs import Quota
from sluice.model.grants import Grant
from sluice.model.quarantine import QuarantineEntry
from sluice.model.scan import ListingEntry
from sluice.model.source import SourceSpec
from sluice.sources.schemes import reader_for
from sluice.testing.blobs import MemoryBlobs
from support.api_service import FILTER_FIELDS, PROFILE, TOKENS, World, as_caller, authenticate, named

PATH = "/api/v1/documents"


class Service:
    def __init__(self, world: World) -> None:
        self.world, self.blobs = world, MemoryBlobs()
        self.queued: list[tuple[dict[str, Any], str]] = []
        self.failing = False
        self.world.ledger.grants.add(Grant("sam", "acme", frozenset({"legal"}), True))
        app = create_app(self._sluice, authenticate, self._trigger)
        self.client = TestClient(app, base_url="http://sluice.test")

    def _sluice(self) -> Any:
        sluice = self.world.sluice()
        sluice.ledger, sluice.blobs, sluice.keyring = self.world.ledger, self.blobs, self.world.keyring
        return sluice

    def _trigger(self, conf: Any, caller: str) -> str:
        if self.failing:
            raise Unavailable("Airflow", "down")
        self.queued.append((dict(conf), caller))
        return f"run-{len(self.queued)}"

    def send(self, content: bytes = b"# Owls", token: str = "ann-token", **changes: Any) -> Any:
        data = {"collection": "new", **changes.pop("data", {})}
        files = {"file": (changes.pop("name", "owls.md"), content)}
        headers = {**as_caller(token), "X-Sluice-Tenant": "acme", **changes.pop("headers", {})}
        return self.client.post(PATH, data=data, files=files, headers=headers, **changes)

    def entries(self) -> dict[str, ListingEntry]:
        spec = SourceSpec("uploads://acme/new", "new", "acme")
        reader = reader_for(spec, max_bytes=10**8, blobs=self.blobs, keyring=self.world.keyring)
        return {entry.external_id: entry for entry in reader.scan()}


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    built = Service(world)
    with built.client:
        yield built


def test_an_upload_is_kept_sealed_and_queued_in_the_callers_name(service: Service) -> None:
    answer = service.send(b"# Owls at dusk", data={"title": "Owls", "metadata": '{"year": 2024}'}, name="../x/owls.md")
    assert answer.status_code == 202, answer.text
    output = answer.json()
    assert (output["external_id"], output["source"], output["dag_run_id"]) == ("owls.md", "uploads://acme/new", "run-1")
    assert service.queued == [({"source": "uploads://acme/new", "collection": "new", "tenant": "acme"}, "ann")]
    assert list(service.entries()) == ["owls.md"]
    assert not any(b"dusk" in body for body in service.blobs.objects.values())
    assert service.send(b"again").json()["upload_id"] == output["upload_id"]


def test_who_may_not_write_keeps_nothing(service: Service) -> None:
    assert service.send(token="bob-token").status_code == 403
    assert service.send(token="nobody").status_code == 401
    assert service.send(headers={"X-Sluice-Tenant": "other"}).status_code == 403
    spec = SourceSpec("uploads://acme/new", "new", "acme", ("secret",))
    service.world.ledger.sources.open(spec, PROFILE, FILTER_FIELDS)
    assert service.send(token="sam-token").status_code == 403  # holds legal only
    assert service.send().status_code == 202
    assert len(service.queued) == 1 and len(service.entries()) == 1


def test_too_large_is_refused_whether_or_not_the_length_is_told(service: Service) -> None:
    assert service.send(b"x" * (MAX_BODY_BYTES + 1)).status_code == 202
    assert service.send(b"x" * (MAX_UPLOAD_BYTES + 1)).status_code == 413
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    parts = iter([head, *[b"x" * 2**20] * 21])
    output = {**as_caller("ann-token"), "Content-Type": "multipart/form-data; boundary=b"}
    assert service.client.post(PATH, content=parts, headers=output).status_code == 413
    assert len(service.queued) == 1


def test_a_tenant_without_room_is_told_before_anything_is_kept(service: Service) -> None:
    assert service.send(b"# Owls").status_code == 202
    use = service.world.ledger.quotas.use("acme")
    service.world.ledger.quotas.assign("acme", Quota(use.documents))
    answer = service.send(name="other.md")
    assert answer.status_code == 409 and "sluice tenants set" in answer.json()["detail"]
    assert list(service.entries()) == ["owls.md"] and len(service.queued) == 1
    assert service.send(b"# Owls, again").status_code == 202, "of a name that is known the run decides"
    service.world.ledger.quotas.assign("acme", Quota(None, use.size_bytes + 10))
    assert service.send(b"x" * 11, name="long.md").status_code == 409
    assert service.send(b"x" * 10, name="long.md").status_code == 202


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"metadata": "[]"}},
        {"data": {"metadata": "{"}},
        {"data": {"metadata": '{"a": "' + "x" * 70_000 + '"}'}},
        {"data": {"collection": "../x"}},
        {"data": {"collection": "a__g1"}},
        {"data": {"title": "x" * 1001}},
        {"name": "folder/"},
        {"data": {"tenant": "other"}},
        {"data": {"collection": ["docs", "other"]}},
        {"data": {"metadata": '{"gate_flags": ["personal_data"]}'}},
    ],
)
def test_what_a_form_may_not_say(service: Service, changes: dict[str, Any]) -> None:
    assert service.send(**changes).status_code == 422
    assert service.queued == [] and service.blobs.objects == {}


def test_other_bodies_are_refused(service: Service) -> None:
    headers = as_caller("ann-token")
    assert service.client.post(PATH, json={"a": 1}, headers=headers).status_code == 415
    assert service.client.post(PATH, data={"collection": "c"}, headers=headers).status_code == 415
    no_boundary = {**headers, "Content-Type": "multipart/form-data"}
    assert service.client.post(PATH, content=b"x", headers=no_boundary).status_code == 422
    no_file = service.client.post(PATH, files={"collection": (None, "c")}, headers=headers)
    assert no_file.status_code == 422


def test_a_cookie_needs_our_header_and_our_page(service: Service) -> None:
    assert "ann-token" in TOKENS
    service.client.cookies.set("_token", "ann-token")

    def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = service.client.post(PATH, data={"collection": "c"}, files={"file": ("a.md", b"x")}, headers=named)
        return answer.status_code

    assert status() == 403
    assert status(Sec_Fetch_Site="same-origin") == 403
    assert status(X_Sluice_Request="1", Sec_Fetch_Site="cross-site") == 403
    assert status(X_Sluice_Request="1", Origin="http://evil.test") == 403
    assert service.queued == []
    assert status(X_Sluice_Request="1", Sec_Fetch_Site="same-origin") == 202


def test_when_airflow_fails_the_caller_is_told_to_try_again(service: Service) -> None:
    service.failing = True
    assert service.send().status_code == 503


def test_without_airflow_there_are_no_uploads(world: World) -> None:
    app = create_app(world.sluice, authenticate)
    with TestClient(app, base_url="http://sluice.test") as client:
        answer = client.post(PATH, files={"file": ("a", b"x")}, headers=as_caller("ann-token"))
    assert answer.status_code == 501


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ('{"a":' * 260 + "1" + "}" * 260, "deeper than 32 levels"),
        ('{"a":' + "[" * 20_000 + "]" * 20_000 + "}", "deeper"),
        ('{"a": {"b": ["x", "\\ud800"]}}', "metadata.a.b[1]"),
        ('{"a": NaN}', "metadata.a"),
        ('{"a": 9223372036854775808}', "metadata.a"),
        ('{"a": 1, "a": 2}', "a: the key is there twice"),
    ],
)
def test_metadata_beyond_bounds_is_told_with_its_path(service: Service, metadata: str, said: str) -> None:
    answer = service.send(data={"metadata": metadata})
    assert answer.status_code == 422 and said in answer.json()["detail"]
    assert service.blobs.objects == {} and service.queued == []


def test_forms_that_arrive_at_once_are_limited_before_they_are_read(service: Service) -> None:
    slots = UploadSlots(4)
    with slots.slot("ann"), slots.slot("ann"):
        with pytest.raises(HTTPException, match="429"), slots.slot("ann"):
            pass
        with slots.slot("ben"), slots.slot("cid"), pytest.raises(HTTPException, match="503"), slots.slot("dan"):
            pass
    service.client.app.state.backend.forms = UploadSlots(1)  # type: ignore[attr-defined]
    entered, go_on = threading.Event(), threading.Event()

    def wait(conf: Any, caller: str) -> str:
        entered.set()
        go_on.wait(10)
        return "run"

    service.client.app.state.trigger = wait  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(service.send)
        assert entered.wait(10)
        answer = service.send(name="second.md")
        go_on.set()
        assert first.result().status_code == 202
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert service.send(name="second.md").status_code == 202


def test_a_form_that_does_not_arrive_gives_its_place_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_uploads, "FORM_TIMEOUT_S", 0.05)

    async def never(request: Any) -> Any:
        await anyio.sleep(60)

    with monkeypatch.context() as slow:
        slow.setattr(routes_uploads, "_form", never)
        assert service.send().status_code == 408
    assert service.send().status_code == 202


def test_room_is_counted_once_in_a_while_and_what_was_refused_counts(service: Service) -> None:
    ledger = service.world.ledger
    counts: list[str] = []
    count = ledger.quotas.use
    ledger.quotas.use = lambda tenant: counts.append(tenant) or count(tenant)  # type: ignore[method-assign,func-returns-value]
    assert service.send(name="0.md").status_code == 202 and counts == [], "without a quota nothing is counted"
    use = count("acme")
    ledger.quotas.assign("acme", Quota(use.documents + 3))
    assert [service.send(name=f"{n}.md").status_code for n in range(1, 4)] == [202, 202, 202]
    assert counts == ["acme"]
    assert service.send(name="4.md").status_code == 202, "what was let in and is not served yet is not counted on"
    source = ledger.sources.open(SourceSpec("uploads://acme/new", "new", "acme"), PROFILE, FILTER_FIELDS)
    run = ledger.runs.start(source, "incremental", named("refusing run"))
    items = ledger.scans.record(
        run, [ListingEntry(f"{n}.md", f"uploads://acme/new#{n}.md", "1", 10) for n in range(3)]
    ).items
    failed = [QuarantineEntry(item, "extract", "binary", "Binary.", retained_bytes=10) for item in items]
    ledger.quarantine.add(run, failed)
    assert (count("acme").quarantined, count("acme").quarantined_bytes) == (3, 30)
    service.client.app.state.backend.quotas = QuotaCheck()  # type: ignore[attr-defined]
    assert service.send(name="5.md").status_code == 409


def test_a_tenant_that_is_full_is_not_counted_at_each_refusal(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = service.world.ledger
    counts: list[str] = []
    count = ledger.quotas.use
    ledger.quotas.assign("acme", Quota(count("acme").documents))
    ledger.quotas.use = lambda tenant: counts.append(tenant) or count(tenant)  # type: ignore[method-assign,func-returns-value]
    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(quota_check, "time", clock)
    assert [service.send(name=f"{n}.md").status_code for n in range(5)] == [409] * 5
    assert counts == ["acme"]
    clock.monotonic = lambda: 1001.5
    assert [service.send(name=f"{n}.md").status_code for n in range(5)] == [409] * 5
    assert counts == ["acme"] * 2
    ledger.quotas.assign("acme", Quota(None, 10**9))
    assert service.send().status_code == 202, "another quota holds at once"
