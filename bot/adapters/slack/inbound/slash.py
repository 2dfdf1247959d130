"""What people type after a slash command, done: asks the service, returns what to answer. Knows nothing of Bolt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bot.adapters.slack.inbound.answers import note
from bot.adapters.slack.messages.alone import looks
from bot.adapters.slack.messages.blocks import Message, marked
from bot.adapters.slack.messages.markup import escape
from bot.adapters.slack.messages.plans import dry_run, help_text
from bot.adapters.slack.messages.root import listing
from bot.adapters.slack.messages.story import story_of
from bot.adapters.slack.thread.damage import beside
from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Damaged, held_words
from bot.core.decisions.decide import GoBack, Steering
from bot.core.decisions.summary import summary_of
from bot.core.plans.dryrun import DryRun
from bot.core.runs.events import Entry
from bot.core.text.meant import near
from bot.engine.planning import Request
from bot.engine.surveying import Survey
from bot.errors import Refused

Say = Callable[[Message], Awaitable[None]]
"""A first answer to whoever typed, while the work goes on."""

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_LINK_WITHIN = 5.0
"""Seconds that an answer waits for the address of a thread that is just being begun."""

_WHERE_TOLD = "its thread says what happens or, while it has none, whoever asked for it is told"

_LISTED = 20

_TOLD = 3
"""Damaged runs that are told in full: an answer has room for five messages."""


class Service(Protocol):
    """What is called behind commands and clicks: see engine/service.py."""

    @property
    def commands(self) -> Mapping[str, str]:
        """Every slash command, with its summary."""

    @property
    def backends(self) -> Sequence[str]:
        """The names of all backends."""

    async def request(self, request: Request) -> str:
        """Begin a run; returns its id."""

    async def dry_run(self, request: Request) -> DryRun:
        """What would run."""

    async def steer(self, run: str, command: Steering) -> None:
        """Approve, deny, retry, skip, go back."""

    async def entries(self, run: str) -> tuple[Entry, ...]:
        """The facts of a run."""

    async def survey(self, *, open_only: bool = False, most: int | None = None) -> Survey:
        """The runs, the newest first, and those that are damaged; of what has ended the newest `most`."""

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
    say: Say

    @property
    def first(self) -> str:
        """The first word as it was typed."""
        return (self.request.text.split() or ["help"])[0]

    @property
    def word(self) -> str:
        """The same in small letters, as the words of the command are."""
        return self.first.lower()

    @property
    def rest(self) -> str:
        """What follows the first word."""
        return "".join(self.request.text.split(maxsplit=1)[1:]).strip()


class Commands:
    """Does what was typed; every method returns the answer or raises a BotError whose text is one."""

    def __init__(self, *, service: Service, people: People, threads: Threads) -> None:
        self._service = service
        self._people = people
        self._threads = threads
        self._words: Mapping[str, Callable[[Typed, Person], Awaitable[Message | tuple[Message, ...]]]] = {
            "plan": self._plan,
            "status": self._status,
            "list": self._list,
            "abort": self._abort,
            "repost": self._repost,
            "release": self._release,
        }

    async def do(self, typed: Typed) -> Message | tuple[Message, ...]:
        """What was typed, by its first word; what is none of them is a request for a run."""
        if typed.word == "help":
            return self._help(typed)
        if against := await self._people.channel_allowed(typed.request.channel):
            raise Refused(f"Not done: {against}.")
        person = await self._people.person(typed.request.requester)
        if person.barred:
            raise Refused(f"Not done: {person.barred}.")
        return await self._words.get(typed.word, self._request)(typed, person)

    def _help(self, typed: Typed) -> Message:
        return help_text(self._service.commands, only=(typed.request.command,))

    async def _request(self, typed: Typed, person: Person) -> Message:
        if typed.first not in self._service.backends:
            return self._unknown(typed)
        _may_ask(person)
        # Before the hosts are read for the plan: with one that hangs, that takes a while.
        await typed.say(note(f"Looking at {typed.first} …", ":mag:"))
        run = await self._service.request(typed.request)
        begun = story_of((await self._service.entries(run))[:1])
        if begun and not begun.in_channel:
            return note(looks(begun.run), ":mag:")
        link = await self._link(run)
        return note(f"Run {run} has begun. Follow it in its thread in this channel. {link}".strip())

    def _unknown(self, typed: Typed) -> Message:
        """What to type instead; it says back only what it knows, and begins nothing."""
        command, backends = typed.request.command, self._service.backends
        if meant := near(typed.first, ("help", *self._words, *backends)):
            whole = f"{command} {meant} …" if typed.rest else f"{command} {meant}"
            raise Refused(f"Nothing was begun. Did you mean `{whole}`?")
        if backend := next((word for word in typed.rest.split() if word in backends), ""):
            raise Refused(f"Nothing was begun. The backend comes first: `{command} {backend} …`")
        known = ", ".join(map(escape, backends[:_LISTED])) + (", …" if len(backends) > _LISTED else "")
        said = "What you typed is neither a backend nor one of the words below; nothing was begun."
        return marked(self._help(typed), f":no_entry: {said} The backends: {known}.")

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
        found = await self._service.dry_run(replace(typed.request, text=typed.rest))
        damaged = (await self._service.survey(open_only=True)).damaged
        return (*(beside(one) for one in damaged if one.concerns(found.target)), *dry_run(found))

    async def _status(self, typed: Typed, _person: Person) -> tuple[Message, ...]:
        return _alone(typed, await self._listing(await self._service.survey(open_only=True), "Open runs"))

    async def _list(self, typed: Typed, _person: Person) -> tuple[Message, ...]:
        return _alone(
            typed, await self._listing(await self._service.survey(most=_LISTED), "All runs, the newest first")
        )

    async def _listing(self, found: Survey, title: str) -> tuple[Message, ...]:
        runs = found.runs
        ids = [run.id for run in runs[:_LISTED]]
        links = dict(zip(ids, await asyncio.gather(*map(self._threads.permalink, ids)), strict=True))
        told = tuple(beside(one) for one in found.damaged[:_TOLD])
        if len(found.damaged) > _TOLD:
            told += (note(f"{len(found.damaged) - _TOLD} more runs are damaged: `dovecot-bot runs` names them all."),)
        if told and not runs:
            return told
        return (
            *told,
            listing(runs, {run: link for run, link in links.items() if link}, title=title, count=found.count),
        )

    async def _abort(self, typed: Typed, person: Person) -> Message:
        run = await self._run(typed, typed.rest)
        await self._service.steer(run, GoBack(person=person, reason=f"{typed.request.command} abort was typed"))
        return note(f"Run {run} turns round at its next safe point; {_WHERE_TOLD}.")

    async def _repost(self, typed: Typed, person: Person) -> Message:
        run = await self._run(typed, typed.rest)
        await self._service.entries(run)
        if not (person.may_ask or person.may_approve):
            raise Refused("Not done: you are neither among those who may ask for runs nor among the approvers.")
        return note(await self._threads.repost(run))

    async def _release(self, typed: Typed, person: Person) -> Message:
        name, reason = (*typed.rest.split(maxsplit=1), "", "")[:2]
        found = await self._service.release(await self._run(typed, name), person, reason)
        return note(f"Run {found.run} has let go: {held_words(found)} is free. The channel is told, with your reason.")

    async def _run(self, typed: Typed, text: str) -> str:
        """The id of a run as it was typed; where a backend was typed, or nothing, Refused says which there are."""
        word, (name, *more) = f"`{typed.word}`", text.split() or [""]
        backend = near(name, self._service.backends)
        if name and not backend:
            return _run_id(name, word, more)
        found = await self._service.survey(open_only=True)
        state = "damaged" if typed.word == "release" else "open"
        runs = [one.last for one in found.damaged if one.last] if state == "damaged" else found.runs
        if name in {one.id for one in runs}:
            return _run_id(name, word, more)
        on = {one.id: summary_of(one).backend for one in runs}
        if not backend:
            listed = ", ".join(f"{run} on {where}" for run, where in [*on.items()][:_LISTED])
            raise Refused(f"Which run? {word} takes a run's id. {state.capitalize()}: {listed or 'none'}.")
        run = next((run for run, where in on.items() if where == backend), "")
        if not run:
            raise Refused(f"{word} takes a run's id, and no run is {state} on {backend}.")
        whole = f"{typed.request.command} {typed.word} {run}" + (" …" if state == "damaged" else "")
        raise Refused(
            f"Nothing was done: {word} takes a run's id. Did you mean `{whole}`, which is {state} on {backend}?"
        )


def _alone(typed: Typed, told: tuple[Message, ...]) -> tuple[Message, ...]:
    """The answer to a word that takes no more words, with a remark where there were some."""
    if not typed.rest:
        return told
    return (marked(told[0], f"`{typed.word}` takes nothing more: what stands behind it was not looked at."), *told[1:])


def _may_ask(person: Person) -> None:
    if not person.may_ask:
        raise Refused("Not done: you are not among those who may ask for runs.")


def _run_id(name: str, word: str, more: Sequence[str]) -> str:
    if not RUN_ID.fullmatch(name):
        raise Refused(f"Which run? {word} takes a run's id, which stands in the first message of its thread.")
    if more:
        raise Refused(f"{word} takes a run's id, and nothing more.")
    return name
