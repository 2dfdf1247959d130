"""Rings at dates, with APScheduler. It knows no run but by its id, and decides nothing: a ring only says "look".

The dates live in the journal; what is here is lost with the process, and set anew from the facts when it starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from bot.engine.ports import Clock

_LOG = logging.getLogger(__name__)

_NEVER_TOO_MANY = 1_000_000
"""APScheduler drops a date for good while its job's last instance is not counted out; with 1, that is soon reached."""


class ApsAlarms:
    """One alarm a run, in memory; late when the machine slept, never early, never dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=UTC, jobstores={"default": MemoryJobStore()})
        self._call: Callable[[str], Awaitable[None]] | None = None
        self._ringing: set[asyncio.Future[None]] = set()

    def start(self) -> None:
        """Begin to ring, in the loop that runs now; what was set before rings too."""
        self._scheduler.start()

    async def stop(self) -> None:
        """Ring no more, and end what the last rings began."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)  # the scheduler's own shutdown is a callback of the loop
        for ringing in self._ringing:
            ringing.cancel()
        await asyncio.gather(*self._ringing, return_exceptions=True)

    def on_due(self, ring: Callable[[str], Awaitable[None]]) -> None:
        """What to call, with the run's id."""
        self._call = ring

    def set(self, run: str, at: datetime) -> None:
        """Ring for this run at that date, at once if it is over, instead of any date set before."""
        self._scheduler.add_job(
            self._ring,
            # The scheduler goes by the machine's clock, which somebody may have set; what is left counts by the bot's.
            DateTrigger(datetime.now(UTC) + (at - self._clock.now())),
            args=[run],
            id=run,
            replace_existing=True,
            misfire_grace_time=None,  # its default of one second drops what is late
            coalesce=True,
            max_instances=_NEVER_TOO_MANY,
        )

    def clear(self, run: str) -> None:
        """Do not ring for this run."""
        try:
            self._scheduler.remove_job(run)
        except JobLookupError:
            return  # it has rung, or was never set

    async def _ring(self, run: str) -> None:
        """Begin the call and come back: how long it takes is no business of the scheduler's."""
        if self._call is None:
            _LOG.error("the alarm of run %s rang and nobody listens", run, extra={"run": run})
            return
        ringing = asyncio.ensure_future(self._call(run))
        self._ringing.add(ringing)
        ringing.add_done_callback(partial(self._rang, run))

    def _rang(self, run: str, ringing: asyncio.Future[None]) -> None:
        self._ringing.discard(ringing)
        if ringing.cancelled():
            return
        if error := ringing.exception():
            _LOG.error("the alarm of run %s rang, and what it called failed", run, exc_info=error, extra={"run": run})
