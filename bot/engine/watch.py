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
from bot.core.laws import gates_needed
from bot.core.plan import Action, PlannedStep
from bot.core.upnext import DEVIATIONS
from bot.engine.ledger import Ledger
from bot.engine.looking import Looking, Sight, unheard
from bot.engine.looking import ran as as_ran
from bot.engine.ports import World
from bot.errors import HostError

log = logging.getLogger(__name__)

_PATIENCE = timedelta(seconds=5)
_CALM = 10
"""So many times longer are the pauses once the run holds because of this: a person is asked, and not a loop fought."""


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
            often = 1 if self._ledger.run.deviations < DEVIATIONS else _CALM
            await self._world.clock.sleep(often * self._world.timings.watch_every.total_seconds())
            try:
                await self.look_round()
            except Exception:
                # The task's boundary: a watch that ended unseen would watch nothing.
                log.exception("run %s: a look at the ring went wrong; it goes on being watched", self._ledger.run.id)

    async def look_round(self) -> None:
        """Look once at everything that has to stay as it was made, and set back what is not."""
        async with self._hands:
            otherwise: list[tuple[PlannedStep, Sight]] = []
            for step in self._ledger.run.kept:
                assert step.action is not None
                sight = await self._looking.look(step.action.done_when)
                if sight.judgement.holds is False:
                    otherwise.append((step, sight))
            if otherwise:
                await self._set_all_back(otherwise)

    async def _set_all_back(self, otherwise: list[tuple[PlannedStep, Sight]]) -> None:
        """One restart undoes several changes at once: that is one deviation, and each change is made again."""
        first, sight = otherwise[0]
        reason = "; ".join(dict.fromkeys(sight.judgement.reason for _, sight in otherwise))
        await self._ledger.tell(
            fact.RingDeviated(step=first.name, host=deviating(sight.looks)[0], reason=reason),
        )
        for step, sight in otherwise:
            assert step.action is not None
            await self._set_back(step, step.action, deviating(sight.looks)[0])
        self._told()

    async def _set_back(self, step: PlannedStep, action: Action, host: str) -> None:
        if gates_needed(action.command.text) - self._ledger.run.granted:
            return
        told, after = await self._do(host, action)
        holds = after.judgement.holds is True
        reason = after.judgement.reason
        ran = (told, *after.ran)
        await self._ledger.tell(
            fact.RingSetBack(step=step.name, holds=holds, reason=reason, ran=ran, seen=after.seen),
        )

    async def _do(self, host: str, action: Action) -> tuple[fact.Ran, Sight]:
        """On the very director that says otherwise: the others have nothing to tell it."""
        target = self._ledger.run.request.target.host(host)
        try:
            told = as_ran(await self._world.hosts.run(target, action.command), changes=True)
            patience = min(action.within, _PATIENCE)  # the run's own changes wait meanwhile
        except HostError as error:
            told = unheard(target, action.command, error, changes=True)
            patience = timedelta(0)
        return told, await self._looking.until_seen(action.done_when, patience)
