"""Start-up: every run that has a ring goes on from where its facts end; what was under way is in doubt."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from bot.core.decisions.damage import damage_in_words
from bot.core.hosts.inventory import Inventory
from bot.core.hosts.since import since
from bot.core.runs.events import SettingsChanged, StepUnclear
from bot.core.runs.events.claims import directors_claimed
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
        service.take_up(await _with_settings(ports, service, run))
        taken.append(run_id)
    return tuple(taken)


async def _with_settings(ports: Ports, service: Service, run: Run) -> Run:
    """The run with its hosts reached as the settings say now; as they were, where that cannot be written down.

    A director that another run claims by its new name is reached as before, and all others as the settings say.
    """
    claimed: dict[str, str] = {}
    while run.status is not Status.ENDED and (changed := _changed(run, service.inventory, claimed)):
        try:
            (entry,) = await ports.journal.append(run.id, run.seq, ports.clock.now(), (changed,))
            return apply(run, entry)
        except JournalError as error:
            others = directors_claimed(changed, error)
            if not others:
                log.exception("that the settings have changed cannot be written down now", extra=fields(run))
                break
            claimed |= others
    return run


def _changed(run: Run, inventory: Inventory, claimed: Mapping[str, str]) -> SettingsChanged | None:
    """What the settings say otherwise than this run knows, None where that is nothing."""
    machine_id = run.proved.machine_id if run.proved else "" if run.only_looked else None
    now = since(run.request.target, inventory, machine_id=machine_id, claimed=claimed)
    known = run.settings or SettingsChanged(directors={}, backends={}, stays=())
    changed = SettingsChanged(directors=now.directors, backends=now.backends, stays=now.stays)
    return None if changed == known else changed


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
