"""Fires at dates, with APScheduler. It knows no run but by its id, and decides nothing: it only says "look".

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
        self._answering: set[asyncio.Future[None]] = set()

    def start(self) -> None:
        """Begin to fire, in the loop that runs now; what was set before fires too."""
        self._scheduler.start()

    async def stop(self) -> None:
        """Fire no more, and end what the last alarms began."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)  # the scheduler's own shutdown is a callback of the loop
        for answering in self._answering:
            answering.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def on_due(self, call: Callable[[str], Awaitable[None]]) -> None:
        """What to call, with the run's id."""
        self._call = call

    def set(self, run: str, at: datetime) -> None:
        """Fire for this run at that date, at once if it is over, instead of any date set before."""
        self._scheduler.add_job(
            self._fire,
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
        """Do not fire for this run."""
        try:
            self._scheduler.remove_job(run)
        except JobLookupError:
            return  # it has fired, or was never set

    async def _fire(self, run: str) -> None:
        """Begin the call and come back: how long it takes is no business of the scheduler's."""
        if self._call is None:
            _LOG.error("the alarm of run %s fired and nobody listens", run, extra={"run": run})
            return
        answering = asyncio.ensure_future(self._call(run))
        self._answering.add(answering)
        answering.add_done_callback(partial(self._answered, run))

    def _answered(self, run: str, answering: asyncio.Future[None]) -> None:
        self._answering.discard(answering)
        if answering.cancelled():
            return
        if error := answering.exception():
            _LOG.error("the alarm of run %s fired, and what it called failed", run, exc_info=error, extra={"run": run})
