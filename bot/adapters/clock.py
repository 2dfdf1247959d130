"""The clock that runs go by, from the operating system: one per bot, made in bootstrap. It knows nothing of runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

JUMP = timedelta(seconds=5)
"""A difference between the two clocks that is no drift: somebody has set the machine's clock."""


class SystemClock:
    """The machine's clock, which runs on evenly when somebody sets it while the bot runs.

    A drain of 15 minutes takes 15 minutes, also when the clock is put forward or back meanwhile. The date that was set
    counts from the bot's next start on; until then every jump is logged once.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._began = wall()
        self._began_steady = steady()
        self._apart = timedelta(0)

    def now(self) -> datetime:
        """The time now, aware, UTC."""
        now = self._began + timedelta(seconds=self._steady() - self._began_steady)
        apart = self._wall() - now
        if abs(apart - self._apart) > JUMP:
            log.warning("the machine's clock was set by %s; this bot goes on by its own until it is restarted", apart)
            self._apart = apart
        return now

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        await asyncio.sleep(seconds)
