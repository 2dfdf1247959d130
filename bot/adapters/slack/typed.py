"""What people type after a slash command, done: asks the service, returns what to answer. Knows nothing of Bolt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bot.adapters.slack.answers import note
from bot.adapters.slack.blocks import Message
from bot.adapters.slack.damage import beside
from bot.adapters.slack.plans import foreseen, help_text
from bot.adapters.slack.root import listing
from bot.core.approval import Person
from bot.core.damage import Damaged, held_words
from bot.core.decide import GoBack, Steering
from bot.core.events import Entry
from bot.engine.planning import Foreseen, Request
from bot.engine.service import Survey
from bot.errors import Refused

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_LINK_WITHIN = 5.0
"""Seconds that an answer waits for the address of a thread that is just being begun."""

_LISTED = 20

_TOLD = 3
"""Damaged runs that are told in full: an answer has room for five messages."""


class Service(Protocol):
    """What is called behind commands and clicks: see engine/service.py."""

    @property
    def commands(self) -> Mapping[str, str]:
        """Every slash command, with its summary."""

    async def request(self, request: Request) -> str:
        """Begin a run; returns its id."""

    async def foresee(self, request: Request) -> Foreseen:
        """What would run."""

    async def steer(self, run: str, command: Steering) -> None:
        """Approve, deny, retry, skip, go back."""

    async def entries(self, run: str) -> tuple[Entry, ...]:
        """The facts of a run."""

    async def survey(self, *, open_only: bool = False) -> Survey:
        """The runs, the newest first, and those that are damaged."""

    async def release(self, run: str, person: Person, reason: str) -> Damaged:
        """Let go what a damaged run holds."""


class People(Protocol):
    """Who somebody is, and where they may ask."""

    async def person(self, user: str) -> Person:
        """What is known of this user now."""

    async def channel_allowed(self, channel: str) -> str:
        """Why nothing may be asked for in this channel, empty when it may."""


class Threads(Protocol):
    """What is asked of the threads."""

    async def shown(self, run: str, seq: int) -> None:
        """Returns when people can see the run up to that fact."""

    async def permalink(self, run: str) -> str:
        """The address of the run's root message."""

    async def repost(self, run: str) -> str:
        """Post the run's buttons again; says what was posted."""


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A slash command as it came."""

    request: Request

    @property
    def word(self) -> str:
        """The first word."""
        return (self.request.text.split() or ["help"])[0].lower()

    @property
    def rest(self) -> str:
        """What follows the first word."""
        return self.request.text.strip().partition(" ")[2].strip()


class Commands:
    """Does what was typed; every method returns the answer or raises a BotError whose text is one."""

    def __init__(self, *, service: Service, people: People, threads: Threads) -> None:
        self._service = service
        self._people = people
        self._threads = threads

    async def do(self, typed: Typed) -> Message | tuple[Message, ...]:
        """What was typed, by its first word; what is none of them is a request for a run."""
        if typed.word == "help":
            return help_text(self._service.commands, only=(typed.request.command,))
        words: dict[str, Callable[[Typed, Person], Awaitable[Message | tuple[Message, ...]]]] = {
            "plan": self._plan,
            "status": self._status,
            "list": self._list,
            "abort": self._abort,
            "repost": self._repost,
            "release": self._release,
        }
        if against := await self._people.channel_allowed(typed.request.channel):
            raise Refused(f"Not done: {against}.")
        person = await self._people.person(typed.request.requester)
        if person.barred:
            raise Refused(f"Not done: {person.barred}.")
        return await words.get(typed.word, self._request)(typed, person)

    async def _request(self, typed: Typed, person: Person) -> Message:
        _may_ask(person)
        run = await self._service.request(typed.request)
        link = await self._link(run)
        return note(f"Run {run} has begun. Follow it in its thread in this channel. {link}".strip())

    async def _link(self, run: str) -> str:
        try:
            async with asyncio.timeout(_LINK_WITHIN):
                await self._threads.shown(run, 1)
                return await self._threads.permalink(run)
        except TimeoutError:
            return ""

    async def _plan(self, typed: Typed, person: Person) -> tuple[Message, ...]:
        _may_ask(person)
        if not typed.rest:
            raise Refused(f"Which backend? {typed.request.command} plan BACKEND")
        found = await self._service.foresee(replace(typed.request, text=typed.rest))
        damaged = (await self._service.survey(open_only=True)).damaged
        return (*(beside(one) for one in damaged if one.concerns(found.target)), *foreseen(found))

    async def _status(self, _typed: Typed, _person: Person) -> tuple[Message, ...]:
        return await self._listing(await self._service.survey(open_only=True), "Open runs")

    async def _list(self, _typed: Typed, _person: Person) -> tuple[Message, ...]:
        return await self._listing(await self._service.survey(), "All runs, the newest first")

    async def _listing(self, found: Survey, title: str) -> tuple[Message, ...]:
        runs = found.runs
        ids = [run.id for run in runs[:_LISTED]]
        links = dict(zip(ids, await asyncio.gather(*map(self._threads.permalink, ids)), strict=True))
        told = tuple(beside(one) for one in found.damaged[:_TOLD])
        if len(found.damaged) > _TOLD:
            told += (note(f"{len(found.damaged) - _TOLD} more runs are damaged: `dovecot-bot runs` names them all."),)
        if told and not runs:
            return told
        return (*told, listing(runs, {run: link for run, link in links.items() if link}, title=title))

    async def _abort(self, typed: Typed, person: Person) -> Message:
        run = _run_id(typed.rest)
        await self._service.steer(run, GoBack(person=person, reason=f"{typed.request.command} abort was typed"))
        return note(f"Run {run} turns round at its next safe point; the thread says what happens.")

    async def _repost(self, typed: Typed, person: Person) -> Message:
        run = _run_id(typed.rest)
        await self._service.entries(run)
        if not (person.may_ask or person.may_approve):
            raise Refused("Not done: you are neither among those who may ask for runs nor among the approvers.")
        return note(await self._threads.repost(run))

    async def _release(self, typed: Typed, person: Person) -> Message:
        name, _, reason = typed.rest.partition(" ")
        found = await self._service.release(_run_id(name), person, reason)
        return note(f"Run {found.run} has let go: {held_words(found)} is free. The channel is told, with your reason.")


def _may_ask(person: Person) -> None:
    if not person.may_ask:
        raise Refused("Not done: you are not among those who may ask for runs.")


def _run_id(text: str) -> str:
    if not RUN_ID.fullmatch(text):
        raise Refused("Which run? Its id stands in the first message of its thread.")
    return text
