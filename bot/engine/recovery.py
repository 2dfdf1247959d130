"""Start-up: every run that holds a ring goes on from where its facts end; what was under way is in doubt."""

from __future__ import annotations

import logging

from bot.core.events import StepUnclear
from bot.core.fold import apply, fold
from bot.core.run import Status
from bot.engine.ports import World
from bot.engine.service import Service
from bot.errors import Illegal, JournalError

log = logging.getLogger(__name__)


async def recover(world: World, service: Service) -> tuple[str, ...]:
    """Take up all open runs; returns their ids. A damaged run is left alone: its ring stays held, and it is logged."""
    taken = []
    for run_id in await world.journal.open_runs():
        try:
            run = fold(await world.journal.entries(run_id))
        except (Illegal, JournalError):
            log.exception(
                "run %s is left alone: its journal is damaged; `dovecot-bot record %s` shows it", run_id, run_id
            )
            continue
        if run is None:
            continue
        world.announcer.nudge(run_id)
        if run.status is Status.BUSY and run.step:
            reason = "the bot was stopped while this was under way"
            unclear = StepUnclear(step=run.step.name, reason=reason)
            try:
                (entry,) = await world.journal.append(run_id, run.seq, world.clock.now(), (unclear,))
                run = apply(run, entry)
            except JournalError:
                log.exception("run %s: its doubt cannot be written down now; it is looked up all the same", run_id)
        service.take_up(run)
        taken.append(run_id)
    return tuple(taken)
