"""A bot that cannot start while runs are under way: nobody watches what is out, so people are called."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.journal import SqlJournal, url_of
from bot.adapters.single_instance import single_instance
from bot.adapters.slack.app import sign_in, web_client
from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.people import Allowed, SlackPeople
from bot.adapters.slack.thread.elsewhere import post, unreadable, unwatched
from bot.adapters.slack.thread.pace import Pace
from bot.config import ChannelId, GroupId, Tokens, UserId, read_toml
from bot.core.decisions.damage import Damaged
from bot.core.decisions.summary import RunList, summary_of
from bot.core.runs.run import Run
from bot.engine.surveying import Survey, read_run, surveyed
from bot.errors import BotError, InUse, JournalError, Misconfigured
from bot.missing import mistake

log = logging.getLogger(__name__)

_TRIED_AGAIN = timedelta(seconds=5)
_SLACK_TRIED_AGAIN = timedelta(minutes=1)
"""Slack takes few questions about an app-level token in a minute."""
_SAID_AGAIN = timedelta(minutes=15)
"""After so long the bot ends, and its next start calls people again."""


@dataclass(frozen=True, kw_only=True)
class _Reachable:
    """As much of the settings as it takes to call people; of channels and approvers those that can be read."""

    journal: Path
    channels: tuple[str, ...]
    approvers: Allowed


def _reachable(path: Path) -> _Reachable | None:
    """Whom to call, and about which journal; None where the settings, or it, cannot be read so far."""
    try:
        table = read_toml(path.read_text(encoding="utf-8"))
        journal = path.resolve().parent / Path(table["bot"]["journal"]).expanduser()
        if not journal.exists():
            return None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    approvers = _part(_part(table, "people"), "approvers")
    groups = _valid(GroupId, [_part(approvers, "usergroup")])
    users = frozenset(_valid(UserId, _part(approvers, "users")))
    allowed = Allowed(users=users, usergroup=groups[0] if groups else None)
    channels = _valid(ChannelId, _part(_part(table, "slack"), "channels"))
    return _Reachable(journal=journal, channels=channels, approvers=allowed)


def _part(table: Any, key: str) -> Any:
    return table.get(key) if isinstance(table, dict) else None


def _valid(kind: Any, values: Any) -> tuple[str, ...]:
    """Those of the values that are ids of this kind."""
    found = []
    for value in values if isinstance(values, list) else []:
        with suppress(ValidationError):
            found.append(TypeAdapter(kind).validate_python(value, strict=True))
    return tuple(found)


async def call_people(config: Path, tokens: Tokens, why: str, stop: asyncio.Event, *, in_slack: bool = False) -> None:
    """Say which runs nobody watches, in the log and in their channels; returns at once where there are none.

    So it does where another bot is there, which watches them. Else when the bot is told to stop, when something else
    keeps it from starting than `why`, or to say it again. `in_slack`: `why` is what Slack says of a token.
    """
    reachable = _reachable(config)
    if reachable is None:
        return
    async with AsyncExitStack() as stack:
        try:
            locked = _locked(stack, reachable.journal)
        except InUse:
            return
        found = await _under_way(reachable.journal)
        if found is not None and not found.runs and not found.damaged:
            return
        token = tokens.bot_token.get_secret_value()
        client = await stack.enter_async_context(web_client(token=token, api_url=tokens.api_url))
        allowed = reachable.approvers
        people = SlackPeople(
            client=client, requesters=allowed, approvers=allowed, channels=frozenset(reachable.channels)
        )
        calling = [
            asyncio.create_task(post(client, Pace(), channels, functools.partial(_same, message), people.may_post_in))
            for channels, message in _messages(found, why, reachable, in_slack=in_slack)
        ]
        try:
            here = functools.partial(_here, config, reachable.journal, locked)
            slack = functools.partial(_slack, client, tokens, why) if in_slack else None
            await _until_something_changes(here, slack, why, stop)
        finally:
            for task in calling:
                task.cancel()
            await asyncio.gather(*calling, return_exceptions=True)


async def _under_way(journal: Path) -> Survey | None:
    """The runs that nobody watches, said in the log; None where the journal cannot be read."""
    try:
        async with SqlJournal(url_of(journal), only_looks=True) as opened:
            open_runs = RunList(others=tuple(await opened.open_runs()))
            found = await surveyed(open_runs, functools.partial(read_run, opened))
    except BotError as error:
        log.critical("the bot does not start, and which runs are under way is not known: %s", error)
        return None
    named = [f"{run.id} on {summary_of(run).backend}" for run in found.runs]
    named += [f"{one.run}, which is damaged" for one in found.damaged]
    if named:
        log.critical("the bot does not start, and nobody watches: %s", "; ".join(named))
    return found


def _same(message: Message) -> Message:
    return message


def _messages(
    found: Survey | None, why: str, reachable: _Reachable, *, in_slack: bool
) -> Iterator[tuple[tuple[str, ...], Message]]:
    """One message for each channel that has runs, and where it is posted when that channel takes none."""
    if found is None:
        if reachable.channels:
            yield reachable.channels, unreadable(why, approvers=reachable.approvers.mention)
        return
    runs: dict[str, list[Run]] = {}
    damaged: dict[str, list[Damaged]] = {}
    for run in found.runs:
        if isinstance(run, Run):
            runs.setdefault(run.request.channel, []).append(run)
    for one in found.damaged:
        for channel in [one.last.request.channel] if one.last else reachable.channels[:1]:
            damaged.setdefault(channel, []).append(one)
    for channel in dict.fromkeys((*runs, *damaged)):
        mention, here = reachable.approvers.mention, (runs.get(channel, ()), damaged.get(channel, ()))
        message = unwatched(*here, why, approvers=mention, in_slack=in_slack)
        yield tuple(dict.fromkeys((channel, *reachable.channels))), message


async def _until_something_changes(
    here: Callable[[], Awaitable[str]], slack: Callable[[], Awaitable[str]] | None, why: str, stop: asyncio.Event
) -> None:
    """Ask what a start asks, in its order. A folder that is mounted late is not waited for longer than a moment.

    `slack` is given where the reason comes from there: what is mended here must not wait for a Slack that is away.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + _SAID_AGAIN.total_seconds()
    rest = _SLACK_TRIED_AGAIN if slack else _TRIED_AGAIN
    while not stop.is_set() and loop.time() < give_up:
        if (await here() or (await slack() if slack else "")) != why:
            return
        try:
            await asyncio.wait_for(stop.wait(), rest.total_seconds())
        except TimeoutError:
            continue


def _locked(stack: AsyncExitStack, journal: Path) -> bool:
    """Whether the lock of the journal is held from now on; not where it cannot be opened. Raises InUse."""
    try:
        stack.enter_context(single_instance(journal))
    except InUse:
        raise
    except Misconfigured:
        return False
    return True


async def _here(config: Path, journal: Path, locked: bool) -> str:
    """What on this machine keeps a bot from starting; `locked`: whether the journal's lock is held already."""
    if found := await asyncio.to_thread(mistake, config):
        return found
    try:
        with nullcontext() if locked else single_instance(journal):
            async with SqlJournal(url_of(journal)):
                return ""
    except (Misconfigured, JournalError) as wrong:
        return str(wrong)


async def _slack(client: AsyncWebClient, tokens: Tokens, why: str) -> str:
    """Why Slack takes a token not; `why`, as before, where it does not say now."""
    try:
        address = await sign_in(client, tokens.app_token.get_secret_value())
    except Misconfigured as refused:
        return str(refused)
    return "" if address else why
