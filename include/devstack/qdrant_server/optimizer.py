"""Background work: flushes after writes, and builds indexes on a copy of a shard while the original serves.

A cycle: writers wait while the shard's files are copied (readers continue). A separate process optimises the copy.
Writes since the copy are replayed on it. Then it replaces the original between two requests. After a crash at any
point the original is the live shard, with every write in it.
"""

import asyncio
import json
import logging
import os
import shutil
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import qdrant_edge as edge

from devstack.qdrant_server.collection import Collection
from devstack.qdrant_server.optimize_copy import NOTHING_TO_DO
from devstack.qdrant_server.store import Store

TICK_S = 0.25
QUIET_S = 1.0
MAX_UNFLUSHED_POINTS = 20_000
BUSY_UNINDEXED_POINTS = 50_000
MAX_JOURNAL_POINTS = 100_000
OPTIMIZE_TIMEOUT_S = 3600.0
_REPLAY_SLICE_S = 0.02
_REPLAY_TAIL = 8

_log = logging.getLogger("devstack.qdrant_server")


async def run(store: Store) -> None:
    """Flushes and optimises in a loop, one collection at a time, until it is cancelled."""
    while True:
        await asyncio.sleep(TICK_S)
        for collection in list(store.open.values()):
            try:
                await _attend(store, collection)
            except Exception:
                _log.exception("background work on collection %s failed; it is served unchanged", collection.name)


async def _attend(store: Store, collection: Collection) -> None:
    if store.open.get(collection.name) is not collection:
        return
    activity = collection.activity
    quiet = time.monotonic() - activity.last_write_s >= QUIET_S
    if activity.unflushed and (quiet or activity.unflushed >= MAX_UNFLUSHED_POINTS):
        collection.flush()
    if (quiet or activity.unindexed >= BUSY_UNINDEXED_POINTS) and collection.wants_optimizing():
        await optimize(store, collection)


async def optimize(store: Store, collection: Collection) -> bool:
    """One cycle. True: the optimised copy is live. False: the original stays live, unchanged."""
    original = collection.folder / collection.entry.shard
    # A unique name: if an optimiser outlives a killed server, it does not touch the next server's copy.
    copy = collection.folder / uuid.uuid4().hex
    began = time.monotonic()
    try:
        async with collection.gate:
            collection.start_journal()
            await asyncio.to_thread(shutil.copytree, original, copy)
        if not await _optimized(collection, copy):
            return False
        await _take_over(store, collection, copy)
        _log.info("collection %s optimised in %.1f s", collection.name, time.monotonic() - began)
        return True
    except (OSError, RuntimeError, TimeoutError, shutil.Error) as error:
        if store.open.get(collection.name) is collection:
            _log.warning("collection %s was not optimised; it is served unchanged: %s", collection.name, error)
        return False
    finally:
        collection.end_journal()
        retired = original if collection.entry.shard == copy.name else copy
        shutil.rmtree(retired, ignore_errors=True)


async def _optimized(collection: Collection, copy: Path) -> bool:
    package_root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devstack.qdrant_server.optimize_copy",
        str(copy),
        str(os.getpid()),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        config = json.dumps(collection.entry.config).encode()
        _, complaint = await asyncio.wait_for(process.communicate(config), OPTIMIZE_TIMEOUT_S)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode not in (0, NOTHING_TO_DO):
        raise RuntimeError(f"optimiser ended with {process.returncode}: {complaint.decode(errors='replace')[-500:]}")
    return process.returncode == 0


async def _take_over(store: Store, collection: Collection, copy: Path) -> None:
    _check_worth(store, collection)
    journal = collection.journal or []
    shard = Collection.load_shard(copy, collection.entry.config)
    try:
        done = 0
        while len(journal) - done > _REPLAY_TAIL:
            done = _replay(shard, journal, done, time.monotonic() + _REPLAY_SLICE_S)
            await asyncio.sleep(0)
            _check_worth(store, collection)
        # No await from here on, so that no request runs between the last replayed write and the switch.
        _replay(shard, journal, done, float("inf"))
        original = collection.entry.shard
        collection.entry.shard = copy.name
        try:
            store.catalog.save()
        except OSError:
            collection.entry.shard = original
            raise
    except BaseException:
        shard.close()
        raise
    collection.switch(shard).close()


def _check_worth(store: Store, collection: Collection) -> None:
    if store.open.get(collection.name) is not collection:
        raise RuntimeError("it was dropped meanwhile")
    if collection.activity.journalled > MAX_JOURNAL_POINTS:
        raise RuntimeError("too many points were written meanwhile; it is tried again after the writes")


def _replay(shard: edge.EdgeShard, journal: list[edge.UpdateOperation], done: int, until_s: float) -> int:
    while done < len(journal) and time.monotonic() < until_s:
        # A change that failed on the original fails here, too; the client has the error already.
        with suppress(Exception):
            shard.update(journal[done])
        done += 1
    return done
