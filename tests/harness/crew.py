"""The people of a played run: they approve, retry a few times, then go back. What they know is in the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import Approve, GoBack, Postpone, Retry, Steering, WaitLonger
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.service import Service
from bot.errors import BotError
from tests.build import REQUESTER, SECOND, THIRD
from tests.reader import Reader

log = logging.getLogger(__name__)

PEOPLE = {user: Person(id=user, may_ask=True, may_approve=True) for user in (REQUESTER, SECOND, THIRD)}
RETRIES = 3
_LOOKS = timedelta(seconds=30)


class Crew:
    """A second engineer who answers what is open, and comes back to it when Slack or the bot is away."""

    def __init__(self, reader: Reader, service: Callable[[], Service | None], sees: Callable[[], bool]) -> None:
        """`sees`: whether Slack is there."""
        self.thinks = timedelta(seconds=20)
        self.gave_up = False
        self._reader = reader
        self._service = service
        self._sees = sees
        self._retries = RETRIES
        self._turned = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def work(self) -> None:
        """Until the run has ended, or nobody knows what else to say."""
        while not self.gave_up:
            run = self._reader.run
            if run is not None and run.status is Status.ENDED:
                return
            if run is not None and run.status in {Status.ASKING, Status.HELD} and self._sees():
                await asyncio.sleep(self.thinks.total_seconds())
                now = self._reader.run
                if now is not None and (now.status, now.held) == (run.status, run.held):
                    await self._answer(now)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _LOOKS.total_seconds())
            self._woken.clear()

    async def _answer(self, run: Run) -> None:
        if run.status is Status.ASKING and run.asked is not None:
            await self.say(Approve(person=self._approver(run), ask=run.asked.seq, message="1.1"))
            return
        said = run.plan.back or self._retries > 0
        self._retries -= 1
        if self._retries < -RETRIES:
            self.gave_up = True
        elif said or self._turned:
            await self.say(Retry(person=PEOPLE[SECOND], held=run.held))
        else:
            self._turned = await self.say(
                GoBack(person=PEOPLE[SECOND], reason="it does not get well", answers=run.held)
            )

    @staticmethod
    def _approver(run: Run) -> Person:
        return next(PEOPLE[user] for user in (SECOND, THIRD, REQUESTER) if user not in run.not_by)

    async def say(self, command: Steering) -> bool:
        """Whether it was taken; a bot that is down does not hear it."""
        service, run = self._service(), self._reader.run
        if service is None or run is None:
            return False
        try:
            await asyncio.wait_for(service.steer(run.id, command), 60)
        except (BotError, TimeoutError) as error:
            log.info("not taken: %s", error)
            return False
        return True

    # what an attack has said

    async def put_off(self) -> None:
        run = self._reader.run
        if run is not None and run.asked is not None:
            await self.say(Postpone(person=PEOPLE[THIRD], ask=run.asked.seq, reason="an attack", message="1.1"))

    async def wait_longer(self) -> None:
        run = self._reader.run
        if run is not None and run.asked is not None:
            await self.say(WaitLonger(person=PEOPLE[THIRD], ask=run.asked.seq, reason="", message="1.1"))

    async def abort(self) -> None:
        await self.say(GoBack(person=PEOPLE[THIRD], reason="an attack"))

    async def retry(self) -> None:
        run = self._reader.run
        if run is not None:
            await self.say(Retry(person=PEOPLE[THIRD], held=run.held))
