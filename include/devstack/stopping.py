"""Stops several parts concurrently, each as soon as the parts that use it have stopped."""

import threading
import time
from collections.abc import Callable, Sequence

from devstack import runner
from devstack.config import Config
from devstack.errors import DevstackError
from devstack.part import Part


def stop(config: Config, parts: Sequence[Part], tell: Callable[[str], None]) -> None:
    """Stops the parts; returns when all their processes have ended. Raises DevstackError for those that survive."""
    stopped = {part.name: threading.Event() for part in parts}
    survivors: dict[str, list[int]] = {}
    speaking = threading.Lock()

    def work(part: Part) -> None:
        for user in parts:
            if part.name in user.needs or user.name in part.stops_after:
                stopped[user.name].wait()
        began = time.monotonic()
        was_recorded = runner.record(config, part.name) is not None
        try:
            if surviving := runner.end(config, part):
                survivors[part.name] = surviving
            elif was_recorded:
                with speaking:
                    tell(f"{part.name} … stopped in {time.monotonic() - began:.1f} s")
        finally:
            stopped[part.name].set()

    threads = [threading.Thread(target=work, args=(part,), name=f"stop {part.name}") for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if survivors:
        listed = "; ".join(f"{name}: processes {pids}" for name, pids in survivors.items())
        raise DevstackError(f"Some processes did not end, even when killed ({listed}). End them by hand.")
