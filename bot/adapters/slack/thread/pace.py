"""How fast Slack is talked to: pauses between edits and after failures, the edits that all runs share, a run's own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from bot.adapters.slack.messages.blocks import Message
from bot.engine.posts import Post


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long is waited: between two edits of a root, and after a call that failed, first and at most.

    `together`: edits of roots a minute, of all runs; Slack takes about 50, and those that take buttons away come first.
    """

    edits: timedelta = timedelta(seconds=2)
    together: int = 40
    first: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(seconds=60)

    def pause(self, failures: int) -> float:
        """Seconds to wait after a call that failed, with so many failures before it."""
        longer: timedelta = self.first * 2 ** min(failures, 16)
        return min(longer, self.most).total_seconds()

    async def rest(self, failures: int) -> None:
        """Wait longer after each failure."""
        await asyncio.sleep(self.pause(failures))


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


class Drawing:
    """The first message of one run, which is kept up to date: edited where that changes it, and when it is time."""

    def __init__(self, *, pace: Pace, budget: EditBudget, edit: Callable[[Post, Message], Awaitable[None]]) -> None:
        self._pace = pace
        self._budget = budget
        self._edit = edit
        self._next = 0.0
        self._drawn: Message | None = None

    @property
    def begun(self) -> bool:
        """Whether it was posted, or edited, by this bot since its start."""
        return self._drawn is not None

    def posted(self, message: Message) -> None:
        """It stands there as that from now on."""
        self._drawn = message
        self._next = asyncio.get_running_loop().time() + self._pace.edits.total_seconds()

    async def draw(self, post: Post | None, message: Message, *, last: bool = False) -> float | None:
        """Edit it if it is time and if it would change; the `last` time, whatever other runs edit.

        Returns in how many seconds it is due for that, None when it is up to date.
        """
        now = asyncio.get_running_loop().time()
        if message == self._drawn or post is None:
            return None
        if (pause := max(self._next - now, 0.0 if last else self._budget.wait(now))) > 0:
            return pause
        self._budget.spend(now)
        await self._edit(post, message)
        self.posted(message)
        return None

    async def draw_at_last(self, post: Post | None, message: Message) -> None:
        """Edit it for the last time, once it is time."""
        if (pause := await self.draw(post, message, last=True)) is not None:
            await asyncio.sleep(pause)
            await self.draw(post, message, last=True)
