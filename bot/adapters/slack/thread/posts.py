"""What was posted, as it is kept: the port that the journal's database implements, and how fast Slack is talked to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


class Post(Protocol):
    """A message of a run: its place, and its ts once it is *sent* (a file's id for a file)."""

    @property
    def run(self) -> str:
        """The run's id."""

    @property
    def seq(self) -> int:
        """The fact that it shows."""

    @property
    def part(self) -> int:
        """Which message of that fact."""

    @property
    def channel(self) -> str:
        """Where it is."""

    @property
    def ts(self) -> str | None:
        """Its ts, None as long as it is *sending*."""

    @property
    def state(self) -> str:
        """*sending*, *sent*, or *marked*: sent as a possible repeat."""


class Posts(Protocol):
    """Keeps what was posted, for good; every method raises JournalError when it cannot."""

    async def begin(self, run: str, seq: int, part: int, channel: str) -> None:
        """Commit a row as *sending* before it returns; one that is there already stays as it is."""

    async def sent(self, run: str, seq: int, part: int, ts: str, *, marked: bool = False) -> None:
        """The row is *sent*, or *marked*, from now on, with this ts; also when it was before, with another one."""

    async def of(self, run: str) -> Sequence[Post]:
        """All rows of a run."""

    async def cursor(self, run: str) -> int:
        """The last fact that was posted whole; 0 at first."""

    async def advance(self, run: str, seq: int) -> None:
        """Everything up to this fact was posted."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A Post as it is kept in memory."""

    run: str
    seq: int
    part: int
    channel: str
    ts: str | None
    state: str


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long is waited: between two edits of a root, and after a call that failed, first and at most.

    `together`: edits of roots a minute, of all runs; Slack takes about 50, and those that take buttons away come first.
    """

    edits: timedelta = timedelta(seconds=2)
    together: int = 40
    first: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(seconds=60)

    async def rest(self, failures: int) -> None:
        """Wait longer after each failure."""
        await asyncio.sleep(min(self.first * 2 ** min(failures, 16), self.most).total_seconds())


class EditBudget:
    """The edits that the roots of all runs share; `now` is in seconds by any clock that runs evenly."""

    def __init__(self, most: int) -> None:
        self._made: deque[float] = deque(maxlen=most)

    def wait(self, now: float) -> float:
        """Seconds until another edit may be made, 0 for at once."""
        full = len(self._made) == self._made.maxlen
        return max(0.0, self._made[0] + _MINUTE - now) if full else 0.0

    def spend(self, now: float) -> None:
        """One was made."""
        self._made.append(now)


_MINUTE = 60.0
