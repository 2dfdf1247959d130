"""Who somebody is, as Slack says, and what the settings allow them. Ids only; what cannot be read is refused."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import passes
from bot.adapters.slack.waits import impatient
from bot.core.decisions.approval import Person
from bot.errors import SlackAway

CACHED_FOR = 60.0
"""Seconds that an answer of Slack is believed; a right that was taken away is gone after that."""

_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
_SHARED = ("is_ext_shared", "is_pending_ext_shared", "is_org_shared", "is_shared")

_INVITE = "`/invite` it, and try again"
_MINUTE = "try again in a minute"


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Who may do something: these user ids, and the members of this user group."""

    users: frozenset[str] = frozenset()
    usergroup: str | None = None

    @property
    def mention(self) -> str:
        """How they are called in a message, every one of them: the settings take no more users than it has room for."""
        group = (f"<!subteam^{self.usergroup}>",) if self.usergroup else ()
        return " ".join((*group, *(f"<@{user}>" for user in sorted(self.users))))


class _Right(NamedTuple):
    """Whether somebody is among the allowed; `unknown`: why that is not known; `passes`: it may be in a moment."""

    had: bool
    unknown: str = ""
    passes: bool = False


class _Cache:
    """Answers of Slack, each for a minute; asked for once where many want the same one, and none waits for another."""

    def __init__(self, ask: Callable[[str], Awaitable[Mapping[str, Any]]], now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._answers: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._asking: dict[str, asyncio.Task[Mapping[str, Any]]] = {}

    async def of(self, name: str) -> Mapping[str, Any]:
        """The answer; raises SlackAway when there is none, an old one is never given instead."""
        at, answer = self._answers.get(name, (0.0, None))
        if answer is not None and self._now() - at < CACHED_FOR:
            return answer
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._asked(name), name=f"ask Slack about {name}")
            asking.add_done_callback(lambda done: self._forget_asking(name, done))
        # Whoever gives up waiting leaves it to those who wait for the same.
        return await asyncio.shield(asking)

    def forget(self, name: str) -> None:
        """Ask anew the next time."""
        self._answers.pop(name, None)

    async def _asked(self, name: str) -> Mapping[str, Any]:
        asked = self._now()
        answer = await _answered(self._ask(name))
        self._answers = {key: cached for key, cached in self._answers.items() if asked - cached[0] < CACHED_FOR}
        self._answers[name] = asked, answer
        return answer

    def _forget_asking(self, name: str, done: asyncio.Task[Mapping[str, Any]]) -> None:
        del self._asking[name]
        if not done.cancelled():
            done.exception()  # looked at: whoever wanted it may have gone


async def _answered(asking: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return await asking
    except SlackClientError as error:
        response = getattr(error, "response", None)
        name = response.get("error") if response is not None and isinstance(response.data, dict) else None
        raise SlackAway(str(name or "Slack gave no answer")) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SlackAway("Slack cannot be reached") from error


class SlackPeople:
    """Implements the People port; `team` is for tokens of an organisation, `now` is a monotonic clock."""

    def __init__(
        self,
        *,
        client: AsyncWebClient,
        requesters: Allowed,
        approvers: Allowed,
        channels: frozenset[str],
        team: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = impatient(client)
        self._requesters = requesters
        self._approvers = approvers
        self._channels = channels
        self._team = team
        self._users = _Cache(self._user, now)
        self._groups = _Cache(self._members, now)
        self._rooms = _Cache(self._channel, now)
        self._home = _Cache(self._whoami, now)

    async def _user(self, user: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._client.users_info(user=user))["user"]
        return found

    async def _members(self, group: str) -> Mapping[str, Any]:
        answer = await self._client.usergroups_users_list(usergroup=group, team_id=self._team)
        return {"users": frozenset(answer["users"])}

    async def _channel(self, channel: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._client.conversations_info(channel=channel))["channel"]
        return found

    async def _whoami(self, _name: str) -> Mapping[str, Any]:
        return {"team": (await self._client.auth_test())["team_id"]}

    async def person(self, user: str) -> Person:
        """What is known of this user, at most a minute old; a right that cannot be read they do not have."""
        try:
            barred, unsure = await self._against(user), False
        except SlackAway as away:
            unsure = _passes(away)
            # Others read this, too: where an approval lapses, it is of whoever gave it.
            barred = f"Slack did not say who this is ({away}); {_MINUTE}" if unsure else _not_said("who this is", away)
        if barred:
            return Person(id=user, may_ask=False, may_approve=False, barred=barred, unsure=unsure)
        # Each by itself: a group that is gone takes away its own right alone.
        asks, approves = await asyncio.gather(
            self._right(user, self._requesters, "people.requesters"),
            self._right(user, self._approvers, "people.approvers"),
        )
        return Person(
            id=user,
            may_ask=asks.had,
            may_approve=approves.had,
            ask_unknown=asks.unknown,
            approve_unknown=approves.unknown,
            unsure=asks.passes or approves.passes,
            approve_unsure=approves.passes,
        )

    async def name(self, user: str) -> str:
        """How this user is called, to be read and nothing else; the id where Slack does not say."""
        try:
            known = await self._users.of(user)
        except SlackAway:
            return user
        profile = known.get("profile") or {}
        return str(profile.get("display_name") or known.get("real_name") or known.get("name") or user)

    async def _against(self, user: str) -> str:
        if not _USER.fullmatch(user):
            return "this is no user id"
        known = await self._users.of(user)
        if known.get("deleted"):
            return "this account is deactivated"
        if known.get("is_bot") or known.get("is_workflow_bot"):
            return "bots may not do this"
        if known.get("is_restricted") or known.get("is_ultra_restricted"):
            return "guests may not do this"
        home = self._team or (await self._home.of("home"))["team"]
        if known.get("is_stranger") or not _belongs(known, home):
            return "people of other workspaces may not do this"
        return ""

    async def _right(self, user: str, allowed: Allowed, key: str) -> _Right:
        """Whether the user is among them; `key`: where the settings name them."""
        if user in allowed.users or allowed.usergroup is None:
            return _Right(user in allowed.users)
        try:
            return _Right(user in (await self._groups.of(allowed.usergroup))["users"])
        except SlackAway as away:
            whom = f"who is in the user group {allowed.usergroup} of {key} in the settings"
            if _passes(away):
                return _Right(False, f"Slack did not say {whom} ({away}); {_MINUTE}", True)
            mend = f"What to do: enable the group in Slack, or correct {key} and start the bot anew"
            return _Right(False, f"{_not_said(whom, away)}. {mend}")

    async def may_post_in(self, channel: str) -> bool:
        """Whether what runs are about may be said in this channel; not where Slack does not say who reads it."""
        try:
            known = await self._rooms.of(channel)
        except SlackAway:
            return False
        return not any(known.get(name) for name in _SHARED)

    def set_up_for(self, channel: str) -> bool:
        """Whether the settings name this channel; one with an open run may have left them since."""
        return channel in self._channels

    async def channel_allowed(self, channel: str, *, of_a_run: bool = False) -> str:
        """Why nothing may be asked for in this channel, empty when it may.

        `of_a_run`: about one that is open. That is answered to one person alone, so whatever the settings say, and
        whoever else has come to read the channel since the run was begun.
        """
        if not (of_a_run or self.set_up_for(channel)):
            return "this is not one of the channels that the bot is set up for"
        try:
            known = await self._rooms.of(channel)
        except SlackAway as away:
            if str(away) == "channel_not_found":  # so Slack calls a private one that the bot is not in
                return f"Slack does not show the bot this channel ({away}): {_INVITE}"
            return f"Slack did not say who can read this channel ({away}); {_MINUTE}"
        if not of_a_run and any(known.get(name) for name in _SHARED):
            return "this channel is shared with others outside; the change record is not for them"
        if known.get("is_archived"):
            return "this channel is archived"
        if known.get("is_member") is False:
            self._rooms.forget(channel)  # or whoever invites it would be refused for another minute
            return f"the bot is not in this channel and can post nothing here (not_in_channel): {_INVITE}"
        return ""


def _passes(away: SlackAway) -> bool:
    """Whether Slack may say it in a moment, with nothing done about it."""
    return away.__cause__ is None or passes(away.__cause__)


def _not_said(what: str, away: SlackAway) -> str:
    return f"Slack does not say {what} ({away}), and will not by itself"


def _belongs(user: Mapping[str, Any], home: str) -> bool:
    """Whether the workspace is one of the user's own; in an organisation a user has several."""
    teams = (user.get("enterprise_user") or {}).get("teams") or ()
    return user.get("team_id") == home or home in teams
