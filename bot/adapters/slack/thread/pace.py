"""How fast Slack is talked to: pauses between edits and after failures, and the edits that all runs share."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta


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
