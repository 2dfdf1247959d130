"""Troubles of Slack: calls that fail, sockets that close, envelopes that come twice or are lost, Slack away."""

from __future__ import annotations

import asyncio

from bot.practice.slack.context import Fault, What
from tests.chaos.case import Trouble
from tests.chaos.play import Play


def call_fails_at(fact: str, method: str, what: What, *, times: int = 1, seconds: float = 2.0) -> Trouble:
    """The next calls of the method go wrong; whatever hangs is let go after some seconds."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.scene.slack.fault(Fault(method=method, what=what, times=times, retry_after=1))
        play.struck = True
        if what == "hang":
            await asyncio.sleep(seconds)
            play.scene.slack.clear_faults()

    return trouble


def sockets_close_at(fact: str, reason: str) -> Trouble:
    """Slack closes every socket, as it does every few hours."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        await play.scene.slack.close_sockets(reason)

    return trouble


async def envelopes_twice(play: Play) -> None:
    """Every envelope comes twice, the whole run long."""
    play.struck = True
    play.scene.slack.send_envelopes_twice = True


def acknowledgements_lost_at(fact: str) -> Trouble:
    """What the bot acknowledges from here on is not heard: whoever clicked sees an error, and clicks again."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.scene.slack.lose_acknowledgements = True
        await asyncio.sleep(4)
        play.scene.slack.lose_acknowledgements = False

    return trouble


def envelopes_lost_at(fact: str) -> Trouble:
    """Commands and clicks do not reach the bot for some seconds."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.scene.slack.lose_envelopes = True
        await asyncio.sleep(2)
        play.scene.slack.lose_envelopes = False

    return trouble


def away_at(fact: str, seconds: float) -> Trouble:
    """Slack cannot be reached at all for some seconds."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.scene.slack.away()
        try:
            await asyncio.sleep(seconds)
        finally:
            play.scene.slack.away(False)

    return trouble


def killed_while_away_at(fact: str, seconds: float) -> Trouble:
    """Slack goes away, the bot is killed while it is away, and comes back together with Slack."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.scene.slack.away()
        try:
            await asyncio.sleep(seconds)
            await play.kill()
        finally:
            play.scene.slack.away(False)
        await play.start()

    return trouble
