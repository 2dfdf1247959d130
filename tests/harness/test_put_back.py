"""A backend that people put back while the bot was away is theirs: the bot says what it sees, and asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.practice.values import Call, Sent
from tests.acceptance.practice import changes
from tests.harness.drill import ROUND, Drill, a_run, virtually

SHORT, LONG = timedelta(minutes=4), timedelta(minutes=40)
"""How long the bot is away: approvals that were given before count still, or do not."""
OUT = [
    *("drain", "approve-flush", "stop-lmtp", "stop-dovecot", "mask-dovecot", "install-packages", "install-config"),
    *("clean-metacache", "unmask-dovecot", "start-dovecot", "approve-restore"),
]
"""Steps at which it is out, and nobody waits for it."""


async def put_back_by_hand(play: Drill) -> None:
    """By the runbook: dovecot is started, and every director gives it users."""
    for words in (("unmask", "--runtime", "dovecot"), ("start", "dovecot")):
        answer = play.backend.programs["systemctl"](Call(args=words, stdin=Sent()))
        answer = await answer if isinstance(answer, Awaitable) else answer
        assert not answer.exit_status, answer
    play.colleague_gives()


async def away(play: Drill, lasts: timedelta) -> None:
    """The bot is gone, and comes back after people have put right what it had begun."""
    play.stop_bot()
    await asyncio.sleep(lasts.total_seconds() / 2)
    await put_back_by_hand(play)
    await asyncio.sleep(lasts.total_seconds() / 2)
    await play.start_bot()


def made(play: Drill, since: int) -> list[str]:
    """What the bot has changed on any host."""
    return [one.command for one in changes(play.ring, since)]


def asked(play: Drill) -> list[fact.RingDeviated]:
    return [one for one in play.facts(fact.RingDeviated) if one.helpless]


def holds(run: Run) -> bool:
    return run.status is Status.HELD


@pytest.mark.parametrize("lasts", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("step", OUT)
@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_what_people_put_back_while_the_bot_was_away_is_left_to_them(
    order: TakeDown, step: str, lasts: timedelta
) -> None:
    """Nothing is done to it, whoever approved what before; taken over, the run ends."""
    async with a_run(take_down=order) as play:
        await play.reaches(step)
        began = len(play.ring.log)
        await away(play, lasts)
        run = await play.until(holds)
        await asyncio.sleep(10 * ROUND)
        assert "somebody may have put it back meanwhile" in run.reason
        assert [one.helpless for one in asked(play)] == [run.reason]
        assert made(play, began) == []
        await play.take_over()
        ended = await play.until(lambda run: run.status is Status.ENDED)
        assert ended.outcome is fact.Outcome.TAKEN_OVER
        assert made(play, began) == []


@pytest.mark.parametrize("step", ["drain", "install-packages", "approve-restore"])
@virtually
async def test_it_is_left_also_where_no_director_is_heard_at_first(step: str) -> None:
    """The network comes back after the bot does; whoever is not heard has not said that it is out."""
    async with a_run() as play:
        await play.reaches(step)
        began = len(play.ring.log)
        for director in play.ring.directors:
            play.network.away(director, SHORT + timedelta(minutes=3))
        await away(play, SHORT)
        await play.until(lambda _run: asked(play))
        await asyncio.sleep(10 * ROUND)
        assert made(play, began) == []


@pytest.mark.parametrize("step", ["drain", "approve-flush"])
@virtually
async def test_it_is_taken_out_again_once_somebody_says_so(step: str) -> None:
    """Retry is that word, also after one more start of the bot; it is asked once, and the run goes on."""
    async with a_run() as play:
        await play.reaches(step)
        await away(play, LONG)
        await play.until(holds)
        await play.restart_bot()
        await asyncio.sleep(2 * ROUND)
        began = len(play.ring.log)
        await play.retry()
        assert await play.ends() == "done"
        assert "doveadm director update" in made(play, began)[0]
        assert len(asked(play)) == 1


@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_where_it_does_not_serve_users_are_kept_away_at_once(order: TakeDown) -> None:
    """All directors forgot while the bot was away: who is sent to a stopped dovecot waits for nobody's word."""
    async with a_run(take_down=order) as play:
        await play.reaches("clean-metacache")
        began = len(play.ring.log)
        play.stop_bot()
        play.colleague_gives()
        await play.start_bot()
        assert await play.ends() == "done"
        assert "doveadm director update" in made(play, began)[0]
        assert asked(play) == []


@virtually
async def test_what_one_director_alone_gives_is_set_back_at_once() -> None:
    """That one has restarted; whoever puts a backend back sees to it that all of them say so."""
    async with a_run() as play:
        await play.reaches("drain")
        began = len(play.ring.log)
        play.stop_bot()
        forgets = play.ring.state.directors["director-1"].backends
        forgets[play.backend.ip] = replace(forgets[play.backend.ip], vhosts=100, up=True)
        await play.start_bot()
        assert await play.ends() == "done"
        assert "doveadm director update" in made(play, began)[0]
        assert asked(play) == []
