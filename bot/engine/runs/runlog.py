"""One run's state in memory, kept equal to its journal: it moves only when the facts that move it are committed."""

from __future__ import annotations

import asyncio
import logging

from bot.core.decisions.decide import Steering, decide
from bot.core.runs.events import Entry, Fact
from bot.core.runs.fold import apply
from bot.core.runs.run import Run
from bot.engine.ports import Ports

log = logging.getLogger(__name__)


def fields(run: Run) -> dict[str, object]:
    """The fields of a line of the log about a run: see bootstrap.log_to."""
    return {"run": run.id, "seq": run.seq, "step": run.step.name if run.step else None}


class RunLog:
    """Facts go in one at a time, whoever records them: the runner, or a person."""

    def __init__(self, ports: Ports, run: Run) -> None:
        self._ports = ports
        self._lock = asyncio.Lock()
        self.run = run

    async def record(self, *facts: Fact, only_after: int | None = None) -> bool:
        """Commit the facts; False, and nothing recorded, when the run has moved on from `only_after` meanwhile.

        `only_after` is the `last_decisive` of the run that this was decided on: facts that only report do not count.
        Raises Illegal for facts that cannot follow, JournalError when they could not be written; then nothing moved.
        """
        async with self._lock:
            if only_after is not None and self.run.last_decisive != only_after:
                return False
            if not facts:
                return True
            await self._commit(facts)
            return True

    async def decide(self, command: Steering) -> tuple[Fact, ...]:
        """Commit the facts that a person's command makes, and return them; raises Refused, then nothing moved."""
        async with self._lock:
            facts = decide(self.run, command, self._ports.clock.now())
            await self._commit(facts)
            return facts

    async def _commit(self, facts: tuple[Fact, ...]) -> None:
        now = self._ports.clock.now()
        moved = self.run
        for fact in facts:
            moved = apply(moved, Entry(run=moved.id, seq=moved.seq + 1, at=now, fact=fact))
        await _to_its_end(asyncio.ensure_future(self._write(facts, moved)))

    async def _write(self, facts: tuple[Fact, ...], moved: Run) -> None:
        before = fields(self.run)
        for entry in await self._ports.journal.append(self.run.id, self.run.seq, moved.at, facts):
            log.info("%s", type(entry.fact).__name__, extra={**before, "seq": entry.seq})
        self.run = moved
        self._ports.announcer.wake(moved.id)


async def _to_its_end(write: asyncio.Future[None]) -> None:
    """Wait until the write is over, also when this is cancelled meanwhile, however often; only then it is.

    A write that has begun is finished, or this state would not know what the journal knows. And the runlog's lock is
    held until then, or the next fact would be made on the state before, with the same number.
    """
    cancelled: asyncio.CancelledError | None = None
    while not write.done():
        try:
            await asyncio.wait({write})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return write.result()
    if not write.cancelled():
        write.exception()  # looked at, so that asyncio does not complain that nobody did
    raise cancelled
