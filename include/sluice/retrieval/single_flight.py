"""Equal calls at the same time are made once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """While one thread makes a call, other threads that would make the same call wait for its result."""

    def __init__(self) -> None:
        self._running: dict[str, Future[Result]] = {}
        self._lock = Lock()

    def run(self, name: str, call: Callable[[], Result], wait_s: float) -> tuple[Result, bool]:
        """Returns the result of `call`, or of the call of this name that another thread is making, and whether it is
        the other's. Raises what that call raises. After `wait_s` for the other one, makes the call itself."""
        with self._lock:
            other = self._running.get(name)
            if other is None:
                own = self._running[name] = Future()
        if other is not None:
            try:
                return other.result(wait_s), True
            except TimeoutError:
                return call(), False
        try:
            result = call()
        except BaseException as error:
            own.set_exception(error)
            raise
        else:
            own.set_result(result)
            return result, False
        finally:
            with self._lock:
                del self._running[name]
