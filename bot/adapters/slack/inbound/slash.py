"""What people type after a slash command, done: asks the service, returns what to answer. Knows nothing of Bolt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from bot.adapters.slack.inbound.answers import note
from bot.adapters.slack.messages.blocks import Message, marked
from bot.adapters.slack.messages.markup import escape, inline
from bot.adapters.slack.messages.plans import dry_run, help_text
from bot.adapters.slack.messages.root import looks, run_list
from bot.adapters.slack.people import SlackPeople
from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.adapters.slack.thread.damage import beside_an_answer
from bot.core.decisions.approval import Person, allow, waits_for
from bot.core.decisions.damage import claimed_words
from bot.core.decisions.decide import GoBack
from bot.core.decisions.summary import summary_of
from bot.core.runs.events import RUN_ID
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.text.meant import near
from bot.engine.offering import Offer
from bot.engine.planning import Request
from bot.engine.service import Service
from bot.engine.surveying import Survey
from bot.errors import JournalError, Refused

Respond = Callable[[Message], Awaitable[None]]
"""A first answer to whoever typed, while the work goes on."""

_LINK_WITHIN = 5.0
"""Seconds that an answer waits for the address of a thread that is just being begun."""

_WHERE_SHOWN = "its thread says what happens; while it has none, a message to whoever asked for it does"

_ABOUT_OPEN_RUNS = frozenset({"abort", "repost", "status", "list"})

_LISTED = 20

_IN_FULL = 3
"""Damaged runs that are shown in full: an answer has room for five messages."""


class Commands:
    """Does what was typed; every method returns the answer or raises a BotError whose text is one."""

    def __init__(self, *, service: Service, people: SlackPeople, threads: SlackAnnouncer) -> None:
        self._service = service
        self._people = people
        self._threads = threads
        self._subcommands: Mapping[str, Callable[[Request, Person], Awaitable[Message | tuple[Message, ...]]]] = {
            "plan": self._plan,
            "status": self._status,
            "list": self._list,
            "abort": self._abort,
            "repost": self._repost,
            "release": self._release,
        }

    async def do(self, typed: Request, respond: Respond) -> Message | tuple[Message, ...]:
        """What was typed, by its first word; what is none of them is a request for a run."""
        if _subcommand(typed) == "help":
            return self._help(typed)
        against = await self._people.channel_allowed(typed.channel)
        if against and await self._about_runs_of(typed):
            against = await self._people.channel_allowed(typed.channel, of_a_run=True)
        allow(against)
        person = await self._people.person(typed.requester)
        allow(person.barred)
        if subcommand := self._subcommands.get(_subcommand(typed)):
            return await subcommand(typed, person)
        return await self._request(typed, person, respond)

    async def _about_runs_of(self, typed: Request) -> bool:
        """Whether it is about open runs, and typed where these are spoken of though nothing new may be asked for.

        That is a channel that others outside have come to read since, or that has left the settings, for its own runs.

        Whoever may do nothing is told nothing of the journal, not even that it cannot be read.
        """
        if _subcommand(typed) not in _ABOUT_OPEN_RUNS:
            return False
        person = await self._people.person(typed.requester)
        if person.barred and not person.unsure:
            return False
        try:
            return bool((await self._survey(typed)).runs)
        except JournalError:
            return False

    async def _survey(self, typed: Request, *, most: int | None = None) -> Survey:
        """The open runs, or with `most` all; in a channel that has left the settings, its own open ones alone."""
        if self._people.set_up_for(typed.channel):
            return await self._service.survey(open_only=most is None, most=most)
        found = await self._service.survey(open_only=True)
        runs = tuple(run for run in found.runs if isinstance(run, Run) and run.request.channel == typed.channel)
        damaged = tuple(one for one in found.damaged if one.last and one.last.request.channel == typed.channel)
        return Survey(runs=runs, damaged=damaged, count=len(runs))

    async def against(self, typed: Request) -> str:
        """Why this person may ask for nothing here, empty when they may."""
        if against := await self._people.channel_allowed(typed.channel):
            return against
        person = await self._people.person(typed.requester)
        return person.no_asking

    async def offer(self, typed: Request) -> Offer:
        """What can be asked for; raises Refused."""
        return await self._service.offer(typed)

    async def brings(self, typed: Request) -> tuple[str, ...]:
        """What a run that was asked for so would bring; raises Refused."""
        return await self._service.brings(typed)

    def _help(self, typed: Request) -> Message:
        return help_text(self._service.commands, only=(typed.command,))

    async def _request(self, typed: Request, person: Person, respond: Respond) -> Message:
        if _first(typed) not in self._service.backends:
            return self._unknown(typed)
        allow(person.no_asking)
        # Before the hosts are read for the plan: with one that hangs, that takes a while.
        await respond(note(f"Looking at {_first(typed)} …", ":mag:"))
        run = await self._service.request(typed)
        begun = fold((await self._service.entries(run))[:1])
        if begun and not begun.in_channel:
            return note(looks(begun), ":mag:")
        link = await self._link(run)
        return note(f"Run {run} has begun. Follow it in its thread in this channel. {link}".strip())

    def _unknown(self, typed: Request) -> Message:
        """What to type instead; it says back only what it knows, and begins nothing."""
        command, backends = typed.command, self._service.backends
        if meant := near(_first(typed), ("help", *self._subcommands, *backends)):
            whole = f"{command} {meant} …" if _rest(typed) else f"{command} {meant}"
            raise Refused(f"Nothing was begun. Did you mean `{whole}`?")
        if backend := next((name for name in _rest(typed).split() if name in backends), ""):
            raise Refused(f"Nothing was begun. The backend comes first: `{command} {backend} …`")
        known = ", ".join(map(escape, backends[:_LISTED])) + (", …" if len(backends) > _LISTED else "")
        unknown = "What you typed is neither a backend nor one of the words below; nothing was begun."
        return marked(self._help(typed), f":no_entry: {unknown} The backends: {known}.")

    async def _link(self, run: str) -> str:
        try:
            async with asyncio.timeout(_LINK_WITHIN):
                await self._threads.until_posted(run, 1)
                return await self._threads.permalink(run)
        except TimeoutError:
            return ""

    async def _plan(self, typed: Request, person: Person) -> tuple[Message, ...]:
        allow(person.no_asking)
        if not _rest(typed):
            raise Refused(f"Which backend? {typed.command} plan BACKEND")
        found = await self._service.dry_run(replace(typed, text=_rest(typed)))
        damaged = (await self._service.survey(open_only=True)).damaged
        return (*(beside_an_answer(one) for one in damaged if one.concerns(found.target)), *dry_run(found))

    async def _status(self, typed: Request, person: Person) -> tuple[Message, ...]:
        return await self._listing(typed, await self._survey(typed), "Open runs", person)

    async def _list(self, typed: Request, person: Person) -> tuple[Message, ...]:
        return await self._listing(typed, await self._survey(typed, most=_LISTED), "All runs, the newest first", person)

    async def _listing(self, typed: Request, found: Survey, title: str, person: Person) -> tuple[Message, ...]:
        if not self._people.set_up_for(typed.channel):
            title = "Open runs of this channel"
        return _alone(typed, await self._listed(found, title, person))

    async def _listed(self, found: Survey, title: str, person: Person) -> tuple[Message, ...]:
        """What waits for whoever asks stands first."""
        mine = {run.id for run in found.runs if isinstance(run, Run) and waits_for(run, person)}
        runs = sorted(found.runs, key=lambda run: run.id not in mine)
        ids = [run.id for run in runs[:_LISTED]]
        links = dict(zip(ids, await asyncio.gather(*map(self._threads.permalink, ids)), strict=True))
        damaged = tuple(beside_an_answer(one) for one in found.damaged[:_IN_FULL])
        if len(found.damaged) > _IN_FULL:
            more = f"{len(found.damaged) - _IN_FULL} more runs are damaged, or were released"
            damaged += (note(f"{more}: `dovecot-bot runs` names them all."),)
        if damaged and not runs:
            return damaged
        known = {run: link for run, link in links.items() if link}
        message = run_list(runs, known, title=title, count=found.count, mine=mine)
        failing = [f"{inline(run)} ({why})" for run in ids if (why := self._threads.failing(run))]
        if failing:
            message = marked(message, f":warning: Slack did not take what was said last of run {'; '.join(failing)}.")
        return (*damaged, message)

    async def _abort(self, typed: Request, person: Person) -> Message:
        run = await self._run(typed, _rest(typed))
        await self._service.steer(run, GoBack(person=person, reason=f"{typed.command} abort was typed"))
        return note(f"Run {run} turns round at its next safe point; {_WHERE_SHOWN}.")

    async def _repost(self, typed: Request, person: Person) -> Message:
        run = await self._run(typed, _rest(typed))
        await self._service.entries(run)
        allow(person.no_steering)
        return note(await self._threads.repost(run))

    async def _release(self, typed: Request, person: Person) -> Message:
        name, reason = (*_rest(typed).split(maxsplit=1), "", "")[:2]
        found = await self._service.release(await self._run(typed, name), person, reason)
        return note(
            f"Run {found.run} was released: {claimed_words(found)} is free. The channel sees it, with your reason."
        )

    async def _run(self, typed: Request, text: str) -> str:
        """The id of a run as it was typed; where a backend was typed, or nothing, Refused says which there are."""
        subcommand, (name, *more) = f"`{_subcommand(typed)}`", text.split() or [""]
        backend = near(name, self._service.backends)
        if name and not backend:
            return await self._spoken_of(typed, _run_id(name, subcommand, more))
        found = await self._survey(typed)
        state = "damaged" if _subcommand(typed) == "release" else "open"
        runs = [one.last for one in found.damaged if one.last] if state == "damaged" else found.runs
        if name in {one.id for one in runs}:
            return _run_id(name, subcommand, more)
        on = {one.id: summary_of(one).backend for one in runs}
        if not backend:
            listed = ", ".join(f"{run} on {where}" for run, where in [*on.items()][:_LISTED])
            raise Refused(f"Which run? {subcommand} takes a run's id. {state.capitalize()}: {listed or 'none'}.")
        run = next((run for run, where in on.items() if where == backend), "")
        if not run:
            raise Refused(f"{subcommand} takes a run's id, and no run is {state} on {backend}.")
        whole = f"{typed.command} {_subcommand(typed)} {run}" + (" …" if state == "damaged" else "")
        raise Refused(
            f"Nothing was done: {subcommand} takes a run's id. Did you mean `{whole}`, which is {state} on {backend}?"
        )

    async def _spoken_of(self, typed: Request, run: str) -> str:
        """The same id; raises Refused in a channel that has left the settings, but for its own open runs."""
        if self._people.set_up_for(typed.channel) or run in {one.id for one in (await self._survey(typed)).runs}:
            return run
        none = f"there is no open run {run} of this channel"
        raise Refused(f"Not done: {none}, and this is not one of the channels that the bot is set up for.")


def _first(typed: Request) -> str:
    """The first word as it was typed."""
    return (typed.text.split() or ["help"])[0]


def _subcommand(typed: Request) -> str:
    """The same in small letters, as the words of the command are."""
    return _first(typed).lower()


def _rest(typed: Request) -> str:
    """What follows the first word."""
    return "".join(typed.text.split(maxsplit=1)[1:]).strip()


def _alone(typed: Request, answer: tuple[Message, ...]) -> tuple[Message, ...]:
    """The answer to a word that takes no more words, with a remark where there were some."""
    if not _rest(typed):
        return answer
    remark = f"`{_subcommand(typed)}` takes nothing more: what stands behind it was not looked at."
    return (marked(answer[0], remark), *answer[1:])


def _run_id(name: str, subcommand: str, more: Sequence[str]) -> str:
    if not RUN_ID.fullmatch(name):
        raise Refused(f"Which run? {subcommand} takes a run's id, which stands in the first message of its thread.")
    if more:
        raise Refused(f"{subcommand} takes a run's id, and nothing more.")
    return name
