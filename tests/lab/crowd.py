"""People who do the same again and again through both directors, and what came of each attempt.

They run in a thread with an event loop of its own: what a test does in its loop must not make an attempt look slow.
"""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Generic, Self, TypeVar

from tests.lab.files import Host
from tests.lab.keep import LabError
from tests.lab.ring import Lab
from tests.patience import SECONDS

# Twenty to forty attempts a second of sixty users: a tenth of the two processors that hold everything.
PAUSE = timedelta(seconds=1.5)
AT_MOST = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one user tried, begun at `at`; `took` is how long it was until that succeeded, or had failed."""

    at: datetime
    user: str
    director: str
    ok: bool
    took: timedelta


A = TypeVar("A", bound=Attempt)


class Crowd(ABC, Generic[A]):
    """`count` users, each busy every one to two seconds while the `async with` lasts.

    It is entered when each has succeeded once, and ends by itself after `at_most`.
    """

    def __init__(self, lab: Lab, count: int, *, at_most: timedelta = AT_MOST) -> None:
        self.count = count
        self.attempts: list[A] = []
        self._directors = list(lab.directors.values())
        self._at_most = at_most
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._errors: list[BaseException] = []

    @abstractmethod
    async def _attempt(self, user: str, director: Host) -> None:
        """Try once, by way of this director, and add what came of it to `attempts`."""

    def failed(self, since: datetime | None = None, until: datetime | None = None) -> list[A]:
        """The attempts begun in that time that did not succeed."""
        return [
            attempt
            for attempt in list(self.attempts)
            if not attempt.ok and (since is None or attempt.at >= since) and (until is None or attempt.at <= until)
        ]

    def worst(self, since: datetime, until: datetime) -> timedelta:
        """The longest that one of them was out: from an attempt of that time that failed to its next success."""
        lasted = timedelta(0)
        began: dict[str, datetime] = {}
        for one in sorted(self.attempts, key=lambda attempt: attempt.at):
            if not one.ok and since <= one.at <= until:
                began.setdefault(one.user, one.at)
            elif one.ok and one.user in began:
                lasted = max(lasted, one.at + one.took - began.pop(one.user))
        return lasted

    async def __aenter__(self) -> Self:
        self._thread.start()
        try:
            async with asyncio.timeout(SECONDS):
                while len({attempt.user for attempt in list(self.attempts) if attempt.ok}) < self.count:
                    await asyncio.sleep(0.05)
                    self._raise_errors()
        except TimeoutError:
            await self._end()
            raise LabError(f"not every user succeeded once; the last failures: {self.failed()[-3:]}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()
        self._raise_errors()

    async def _end(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join)

    def _raise_errors(self) -> None:
        if self._errors:
            raise LabError(f"one of the {type(self).__name__} broke") from self._errors[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._all_users())
        except Exception as error:  # noqa: BLE001 - it is raised where the test can see it
            self._errors.append(error)

    async def _all_users(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._user(number)) for number in range(self.count)]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._at_most.total_seconds())
            for task in tasks:
                task.cancel()

    async def _user(self, number: int) -> None:
        """One user's day; they begin spread over a pause, and take the directors in turn."""
        await asyncio.sleep(PAUSE.total_seconds() * number / self.count)
        turn = number // 2
        while True:
            await self._attempt(f"user-{number:03}", self._directors[turn % len(self._directors)])
            turn += 1
            # Nobody's clock is exact, and nobody's step with another's.
            await asyncio.sleep(PAUSE.total_seconds() * (0.7 + 0.06 * ((turn * 7 + number) % 10)))
