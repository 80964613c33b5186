"""GET /health/live and /health/ready (open, bare) and GET /health (guarded, in detail)."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response

from sluice.api.backend import Backend, backend_of
from sluice.api.problems import documented
from sluice.api.schemas import Health, Probe
from sluice.maintenance import probes
from sluice.maintenance.probes import NEEDED, EngineState
from sluice.resilience.guard import State

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])

PING_TIMEOUT_S = 5.0
READY_KEPT_S = 2.0


@router.get("/health/live", response_model=Probe)
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/health/ready", response_model=Probe, responses={503: {"model": Probe, "description": "Not ready"}})
async def ready(request: Request, response: Response) -> dict[str, str]:
    """Searches can be answered. Open without login, so the answer is cached for two seconds to protect the stores."""
    state = request.app.state
    async with state.ready_lock:
        if time.monotonic() - state.ready_at > READY_KEPT_S:
            running = {each.name for each in await _dependencies(backend_of(request)) if each.ok}
            state.ready = running.issuperset(NEEDED)
            state.ready_at = time.monotonic()
    response.status_code = 200 if state.ready else 503
    return {"status": "ready" if state.ready else "not ready"}


@router.get("/health", response_model=Health, responses=documented(401, 422))
async def health(request: Request) -> dict[str, Any]:
    """Every dependency: state, version, latency, and the state of its circuit breaker."""
    backend = backend_of(request)
    states = await _dependencies(backend)
    breakers = await _breakers(backend)
    dependencies = [{**_dependency(each), "breaker": breakers.get(each.name)} for each in states]
    return {
        "status": probes.overall_state(states),
        "dependencies": [*dependencies, *_without_ping(breakers, {each.name for each in states})],
    }


async def _dependencies(backend: Backend) -> list[EngineState]:
    """Pings all dependencies concurrently, each within PING_TIMEOUT_S."""
    states: dict[str, EngineState] = {}
    try:
        names = list(await backend.probes.run(lambda: backend.sluice.pings))
    except Exception:
        names = list(NEEDED)  # the dependencies cannot be built: each probe below reports that

    async def ask(name: str) -> None:
        states[name] = await _probe(backend, name)

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(ask, name)
    return [states[name] for name in names]


async def _breakers(backend: Backend) -> dict[str, State]:
    """Returns the states of the circuit breakers, by dependency; none if the dependencies cannot be built."""
    try:
        guards = await backend.probes.run(lambda: backend.sluice.guards)
    except Exception:
        return {}
    return {name: guard.state for name, guard in guards.items()}


def _without_ping(breakers: Mapping[str, State], known: Collection[str]) -> list[dict[str, Any]]:
    """Returns the dependencies that only calls can test, where calls have failed: an endpoint of embeddings."""
    shown = {"state": "down", "version": None, "latency_ms": None}
    failing = {name: state for name, state in breakers.items() if name not in known and state != "closed"}
    return [{"name": name, **shown, "breaker": state} for name, state in failing.items()]


async def _probe(backend: Backend, name: str) -> EngineState:
    try:
        with anyio.fail_after(PING_TIMEOUT_S):
            state = await backend.probes.run(lambda: probes.probe(name, backend.sluice.pings[name]), abandon=True)
    except Exception as error:
        # A client may raise anything; each error means that the dependency is down.
        state = EngineState(name, error=str(error) or "no answer in time")
    if not state.ok:  # the reason goes to the log only, not to the caller
        log.warning("%s does not answer: %s", name, state.error)
    return state


def _dependency(state: EngineState) -> dict[str, Any]:
    if not state.ok:
        return {"name": state.name, "state": "down", "version": None, "latency_ms": None}
    latency_ms = round(state.latency_ms, 2)
    return {"name": state.name, "state": "ok", "version": state.version or None, "latency_ms": latency_ms}
