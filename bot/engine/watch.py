"""Watches the ring while a backend is out, and sets back what says otherwise, in the safe direction only.

A restarted director forgets; an emptied ring forgets everything; colleagues and health monitors act too. What the run
has made of the ring must stay so until the backend is given users again; the only commands used are the run's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from bot.core import events as fact
from bot.core.expect import deviating
from bot.core.laws import gate_needed
from bot.core.plan import Action, PlannedStep
from bot.engine.ledger import Ledger
from bot.engine.looking import Looking, Sight, ran, unheard
from bot.engine.ports import World
from bot.errors import HostError, JournalError

log = logging.getLogger(__name__)


class Watch:
    """One run's. `hands` is held by whoever changes the ring for this run, so that nobody acts in between."""

    def __init__(
        self, world: World, ledger: Ledger, looking: Looking, hands: asyncio.Lock, told: Callable[[], None]
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._looking = looking
        self._hands = hands
        self._told = told

    async def keep(self) -> None:
        """Look again and again, for as long as the run lives; ends by being cancelled."""
        while True:
            await self._world.clock.sleep(self._world.timings.watch_every.total_seconds())
            try:
                await self.look_round()
            except JournalError:
                log.exception("run %s: the ring is watched, but nothing can be written down", self._ledger.run.id)

    async def look_round(self) -> None:
        """Look once at everything that has to stay as it was made, and set back what is not."""
        async with self._hands:
            for step in self._ledger.run.kept:
                assert step.action is not None
                sight = await self._looking.look(step.action.done_when)
                if sight.judgement.holds is False:
                    await self._set_back(step, step.action, sight)

    async def _set_back(self, step: PlannedStep, action: Action, sight: Sight) -> None:
        host = deviating(sight.looks)[0]
        reason = sight.judgement.reason
        await self._ledger.tell(fact.RingDeviated(step=step.name, host=host, reason=reason))
        gate = gate_needed(action.command.text)
        if gate is None or gate in self._ledger.run.granted:
            told, after = await self._do(host, action)
            holds = after.judgement.holds is True
            await self._ledger.tell(
                fact.RingSetBack(
                    step=step.name,
                    holds=holds,
                    reason=after.judgement.reason,
                    ran=(told, *after.ran),
                    seen=after.seen,
                )
            )
        self._told()

    async def _do(self, host: str, action: Action) -> tuple[fact.Ran, Sight]:
        """On the very director that says otherwise: the others have nothing to tell it."""
        target = self._ledger.run.request.target.host(host)
        try:
            told = ran(await self._world.hosts.run(target, action.command), changes=True)
            patience = action.within
        except HostError as error:
            told = unheard(target, action.command, error, changes=True)
            patience = timedelta(0)
        return told, await self._looking.until_seen(action.done_when, patience)
