"""Start-up: every run that has a ring goes on from where its facts end; what was under way is in doubt."""

from __future__ import annotations

import logging

from bot.core.decisions.damage import damage_in_words
from bot.core.runs.events import StepUnclear
from bot.core.runs.fold import apply, fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.ports import Ports
from bot.engine.runs.runlog import fields
from bot.engine.service import Service
from bot.errors import Illegal, JournalError

log = logging.getLogger(__name__)


async def recover(ports: Ports, service: Service) -> tuple[str, ...]:
    """Take up all open runs; returns their ids. A damaged run is left alone and reported: it keeps what it claims."""
    taken = []
    for run_id in await ports.journal.open_runs():
        run = await _readable(ports, run_id)
        if run is None:
            continue
        ports.announcer.wake(run_id)
        if run.status is Status.BUSY and run.step:
            reason = "the bot was stopped while this was under way"
            unclear = StepUnclear(step=run.step.name, reason=reason)
            try:
                (entry,) = await ports.journal.append(run_id, run.seq, ports.clock.now(), (unclear,))
                run = apply(run, entry)
            except JournalError:
                log.exception("its doubt cannot be written down now; it is looked up all the same", extra=fields(run))
        service.take_up(run)
        taken.append(run_id)
    return tuple(taken)


async def _readable(ports: Ports, run: str) -> Run | None:
    """The run, None for one that cannot be read: it is reported to people."""
    try:
        try:
            found = fold(await ports.journal.entries(run))
        except Illegal:
            found = None
        if found is None:
            await _report_damaged(ports, run)
    except JournalError:
        log.exception("is left alone: the journal does not give it", extra={"run": run})
        return None
    return found


async def _report_damaged(ports: Ports, run: str) -> None:
    found = await ports.journal.examine(run)
    if found is not None:
        log.error("%s", damage_in_words(found), extra={"run": run})
        ports.announcer.damaged(found)
