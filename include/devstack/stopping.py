"""Stops several services concurrently, each as soon as the services that use it have stopped."""

import threading
import time
from collections.abc import Callable, Sequence

from devstack import runner
from devstack.config import Config
from devstack.errors import DevstackError
from devstack.service import Service


def stop(config: Config, services: Sequence[Service], tell: Callable[[str], None]) -> None:
    """Stops the services; returns when all their processes have ended. Raises DevstackError for those that survive."""
    stopped = {service.name: threading.Event() for service in services}
    survivors: dict[str, list[int]] = {}
    speaking = threading.Lock()

    def work(service: Service) -> None:
        for user in services:
            if service.name in user.needs or user.name in service.stops_after:
                stopped[user.name].wait()
        began = time.monotonic()
        was_recorded = runner.record(config, service.name) is not None
        try:
            if surviving := runner.end(config, service):
                survivors[service.name] = surviving
            elif was_recorded:
                with speaking:
                    tell(f"{service.name} … stopped in {time.monotonic() - began:.1f} s")
        finally:
            stopped[service.name].set()

    threads = [threading.Thread(target=work, args=(service,), name=f"stop {service.name}") for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if survivors:
        listed = "; ".join(f"{name}: processes {pids}" for name, pids in survivors.items())
        raise DevstackError(f"Some processes did not end, even when killed ({listed}). End them by hand.")
