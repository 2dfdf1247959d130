"""Looks in Slack for what this bot has posted: how a repeat is recognised after a crash or a lost answer.

Metadata holds a message's place (run, seq, part) and the mark of its fact, which another fact had not that stood there
before an older copy of the journal was put back. Everybody in the workspace can read it: no secrets. A file is found by
its name. A search that cannot be made raises SlackAway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, DeliveryFailure, delivery_failure, name_of, passes
from bot.adapters.slack.thread.pace import Pace
from bot.errors import SlackAway

EVENT = "dovecot_bot"

_TRIES = 5
"""How often a page is asked for before the search is given up for this time."""

_PAGES = 50

Place = tuple[int, int]
"""(seq, part) of a message in its run."""

Metadata = dict[str, Any]


class RootGone(Exception):
    """Somebody has deleted the first message of the thread."""


def metadata(run: str, place: Place, mark: str) -> Metadata:
    """What a message carries, unseen."""
    return {"event_type": EVENT, "event_payload": {"run": run, "seq": place[0], "part": place[1], "mark": mark}}


class Search:
    """Looks for what this bot has posted."""

    def __init__(self, *, client: AsyncWebClient, pace: Pace) -> None:
        self._client = client
        self._pace = pace

    async def root(self, channel: str, wanted: Metadata, since: float) -> str | None:
        """The ts of a message of the channel itself, posted since then (seconds since 1970)."""

        def page(cursor: str | None) -> Awaitable[Any]:
            return self._client.conversations_history(
                channel=channel, oldest=f"{since:.6f}", include_all_metadata=True, limit=200, cursor=cursor
            )

        return await self._through(page, lambda message: _is_it(message, wanted))

    async def reply(self, channel: str, thread: str, wanted: Metadata) -> str | None:
        """The ts of a reply; raises RootGone."""
        return await self._through(self._replies(channel, thread), lambda message: _is_it(message, wanted))

    async def file(self, channel: str, thread: str, name: str) -> str | None:
        """The id of a file of that name; raises RootGone."""

        def named(message: Mapping[str, Any]) -> str | None:
            found = [file for file in message.get("files") or () if file.get("name") == name]
            return str(found[0]["id"]) if found else None

        return await self._through(self._replies(channel, thread), named)

    def _replies(self, channel: str, thread: str) -> Callable[[str | None], Awaitable[Any]]:
        return lambda cursor: self._client.conversations_replies(
            channel=channel, ts=thread, include_all_metadata=True, limit=200, cursor=cursor
        )

    async def _through(
        self,
        page: Callable[[str | None], Awaitable[Any]],
        match: Callable[[Mapping[str, Any]], str | None],
    ) -> str | None:
        cursor = None
        for _ in range(_PAGES):
            answer = await self._asked(page, cursor)
            for message in answer.get("messages") or ():
                if found := match(message):
                    return found
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return None

    async def _asked(self, page: Callable[[str | None], Awaitable[Any]], cursor: str | None) -> Mapping[str, Any]:
        for failures in range(_TRIES):
            try:
                answer: Mapping[str, Any] = await page(cursor)
            except ERRORS as error:
                if delivery_failure(error) is DeliveryFailure.NO_ROOT:
                    raise RootGone from error
                if not passes(error):
                    raise SlackAway(f"Slack cannot be searched: {name_of(error)}") from error
                await self._pace.rest(failures)
            else:
                return answer
        raise SlackAway("Slack cannot be searched: no answer")


def _is_it(message: Mapping[str, Any], wanted: Metadata) -> str | None:
    """Its ts, if it carries that and is an app's: people cannot write metadata, but could quote it."""
    found, payload = message.get("metadata") or {}, wanted["event_payload"]
    carried = {"mark": payload["mark"], **(found.get("event_payload") or {})}  # older versions had none
    ours = bool(message.get("bot_id")) and found.get("event_type") == EVENT and carried == payload
    return str(message["ts"]) if ours else None
