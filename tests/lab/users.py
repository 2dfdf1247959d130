"""Mail users at work: they log in through both directors, again and again, and note what came of it.

They run in a thread with an event loop of its own: what a test does in its loop must not make a login look slow.
"""

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from tests.lab.files import Host
from tests.lab.imap import Ended, Refused, connected
from tests.lab.keep import LabError
from tests.lab.ring import Lab

# Twenty to forty logins a second of sixty users: a tenth of the two processors that hold everything.
PAUSE = timedelta(seconds=1.5)
SHORT_STAY = timedelta(0)
# Longer than most flushes take to come round to a user, so that there is somebody to kick.
LONG_STAY = timedelta(seconds=6)
# Then a mail program says that the server does not answer.
PATIENCE = timedelta(seconds=30)
FIRST_ROUND = timedelta(seconds=30)
AT_MOST = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Login:
    """One attempt, begun at `at`; `took` is how long the user waited to be let in, or to hear that not."""

    at: datetime
    user: str
    director: str
    ok: bool
    took: timedelta
    error: str | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the server hung up instead of answering, as a flush does on a login that waits for a backend."""
        return self.error is not None and self.error.startswith("Ended")


@dataclass(frozen=True, kw_only=True)
class Kick:
    """A session that had been let in, and was ended by the server; no failure, users come back by themselves."""

    at: datetime
    user: str
    director: str


class MailUsers:
    """`count` users, each at work every one to two seconds while the `async with` lasts.

    Half of them stay connected for some seconds each time. It is entered when each has been let in once, and ends
    by itself after `at_most`.
    """

    def __init__(self, lab: Lab, count: int = 60, *, at_most: timedelta = AT_MOST) -> None:
        self.count = count
        self.logins: list[Login] = []
        self.kicks: list[Kick] = []
        self._password = lab.password
        self._directors = list(lab.directors.values())
        self._at_most = at_most
        self._thread = threading.Thread(target=self._run, name="mail users", daemon=True)
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._errors: list[BaseException] = []

    def failed(self, since: datetime | None = None, until: datetime | None = None) -> list[Login]:
        """The logins begun in that time that did not succeed."""
        return [
            login
            for login in list(self.logins)
            if not login.ok and (since is None or login.at >= since) and (until is None or login.at <= until)
        ]

    async def __aenter__(self) -> Self:
        self._thread.start()
        try:
            async with asyncio.timeout(FIRST_ROUND.total_seconds()):
                while len({login.user for login in list(self.logins) if login.ok}) < self.count:
                    await asyncio.sleep(0.05)
                    self._raise_errors()
        except TimeoutError:
            await self._end()
            raise LabError(f"not every user was let in; the last failures: {self.failed()[-3:]}") from None
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
            raise LabError("a mail user broke") from self._errors[0]

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
        """One user's day; they begin spread over a pause, and every second one stays for longer."""
        user = f"user-{number:03}"
        stay = LONG_STAY if number % 2 else SHORT_STAY
        await asyncio.sleep(PAUSE.total_seconds() * number / self.count)
        turn = number // 2
        while True:
            await self._visit(user, self._directors[turn % len(self._directors)], stay)
            turn += 1
            # Nobody's clock is exact, and nobody's step with another's.
            await asyncio.sleep(PAUSE.total_seconds() * (0.7 + 0.06 * ((turn * 7 + number) % 10)))

    async def _visit(self, user: str, director: Host, stay: timedelta) -> None:
        at, begun = datetime.now(UTC), time.monotonic()

        def note(error: str | None) -> None:
            took = timedelta(seconds=time.monotonic() - begun)
            ok = error is None
            self.logins.append(Login(at=at, user=user, director=director.name, ok=ok, took=took, error=error))

        let_in = False
        try:
            async with connected(director.ip, PATIENCE) as session:
                await session.command(f"LOGIN {user} {self._password}")
                let_in = True
                note(None)
                await session.command("SELECT INBOX")
                await session.stay(stay)
                await session.command("LOGOUT")
        except Refused as answer:
            note(str(answer))
        except (Ended, OSError, TimeoutError) as end:
            if let_in:
                self.kicks.append(Kick(at=datetime.now(UTC), user=user, director=director.name))
            else:
                note(f"{type(end).__name__}: {end}")
