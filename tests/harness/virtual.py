"""An event loop in virtual time: what sleeps costs nothing, as the clock goes on to the next timer at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, TypeVar, TypeVarTuple

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""When virtual time begins: the loop's 0."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Passing(selectors.SelectSelector):
    """Where the loop would wait, time passes instead. No socket is ever waited for, but the loop's own."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:  # something is ready, and what comes from outside is seen when nothing is
            return []
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits for something that never comes")
        self.passed += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time() is the time that has passed in it, in seconds."""

    def __init__(self) -> None:
        self._passing = _Passing()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.passed

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """What a thread does takes no time: it is done here and now, as time would pass beside a thread."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  it is for whoever waits for what is done
            done.set_exception(error)
        return done


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, run in a loop of its own in virtual time."""
    results: list[T] = []

    async def kept() -> None:
        results.append(await main)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(kept())  # which makes a repr of its task: with the result in it, that took 60 ms
    return results[0]
