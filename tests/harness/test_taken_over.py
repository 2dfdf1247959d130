"""A backend that somebody takes over before it was out: it is in use, and that says nothing about the work by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from bot.adapters.slack.messages.root import root
from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Request
from bot.errors import Refused
from bot.practice.scene import CHANNEL
from tests.build import THIRD
from tests.harness.branches import from_step
from tests.harness.drill import ROUND, Drill, a_run, virtually
from tests.harness.hooks import wording

_SECOND_RUN = "r2026i"
_SOON = timedelta(seconds=2 * ROUND)


async def second_run(play: Drill) -> None:
    """Somebody asks for the next backend of the ring."""
    assert play.service is not None
    play.service._new_id = lambda: _SECOND_RUN
    text = "backend-2 restart=yes"
    await play.service.request(
        Request(command="/dovecot-upgrade", text=text, requester=THIRD, team="T0", channel=CHANNEL)
    )


async def nothing_is_downloaded(play: Drill) -> None:
    await play.reaches("download-packages")
    play.fails("download-packages", 9)
    await play.held()


async def no_vhosts_are_taken(play: Drill) -> None:
    """The command was sent, and fails."""
    await play.reaches("set-vhosts-to-zero")
    play.fails("set-vhosts-to-zero", 9)
    await play.held()


async def it_was_not_seen_back(play: Drill) -> None:
    """Given users by the run itself; then a director says that it is down, and it holds in its last check."""
    await play.reaches("users-come-back")
    play.colleague_gives(vhosts=None, up=False)
    await play.held()


async def it_was_not_seen_back_on_the_way_back(play: Drill) -> None:
    await play.reaches("approve-flush")
    await play.asks()
    await play.go_back()
    await it_was_not_seen_back(play)


async def its_restore_failed_on_the_way_back(play: Drill) -> None:
    await play.reaches("approve-flush")
    await play.asks()
    await play.go_back()
    await play.reaches("undo-set-vhosts-to-zero")
    play.fails("undo-set-vhosts-to-zero", 9)
    await play.held_in_the_end()


@pytest.mark.parametrize("holds", [nothing_is_downloaded, no_vhosts_are_taken])
@virtually
async def test_who_takes_over_what_was_not_out_has_the_ring_until_they_say_that_the_work_is_done(
    holds: Callable[[Drill], Awaitable[None]],
) -> None:
    """Seen: released within half a minute, as every director “gives users again” that it had never taken away."""
    async with a_run() as play:
        await holds(play)
        await play.take_over()
        said = play.thread(fact.TakenOver)[0]
        assert "releases the ring when somebody says that the work by hand is done" in said
        assert "The work by hand is done…" in str(play.messages(fact.TakenOver)[0][1].blocks)
        await asyncio.sleep(3 * ROUND)
        await play.restart_bot()
        await asyncio.sleep(3 * ROUND)
        with pytest.raises(Refused, match="is claimed by run"):
            await second_run(play)
        assert play.run_now.status is Status.TAKEN
        assert "until somebody says that the work by hand is done" in wording(root(play.run_now))
        await play.leave_out()
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.reason == f"<@{THIRD}> says that the work by hand is done"
        assert play.journal.rings == {}


@from_step("set-vhosts-to-zero")
async def test_what_is_taken_out_by_hand_after_the_take_over_is_released_once_it_is_in_use_again(play: Drill) -> None:
    """A restarted bot knows that it was out; until it is seen back on every director, the ring is claimed."""
    await no_vhosts_are_taken(play)
    await play.take_over()
    await asyncio.sleep(2 * ROUND)
    play.colleague_gives(vhosts=0, up=None)
    await asyncio.sleep(2 * ROUND)
    assert [one.reason.count("vhosts is 0") for one in play.facts(fact.SeenOut)] == [2]
    assert "is seen out" in play.thread(fact.SeenOut)[0]
    assert "It was seen out" in wording(root(play.run_now))
    await play.restart_bot()
    await asyncio.sleep(2 * ROUND)
    with pytest.raises(Refused, match="is claimed by run"):
        await second_run(play)
    play.colleague_gives()
    run = await play.until(lambda run: run.status is Status.ENDED, within=_SOON)
    assert "every director gives the backend users again" in run.reason
    assert len(play.facts(fact.SeenOut)) == 1


@from_step("download-packages")
async def test_what_a_monitor_says_is_down_is_not_out_by_hand(play: Drill) -> None:
    """Down and up again by itself, before anybody has begun: the ring stays with whoever took over."""
    await nothing_is_downloaded(play)
    await play.take_over()
    play.colleague_gives(vhosts=None, up=False)
    await asyncio.sleep(2 * ROUND)
    play.colleague_gives(vhosts=None, up=True)
    await asyncio.sleep(2 * ROUND)
    assert play.facts(fact.SeenOut) == []
    assert play.run_now.status is Status.TAKEN


@pytest.mark.parametrize(
    "holds", [it_was_not_seen_back, it_was_not_seen_back_on_the_way_back, its_restore_failed_on_the_way_back]
)
@pytest.mark.parametrize("stays", [False, True])
@virtually
async def test_what_was_not_seen_back_is_released_once_it_is_or_on_the_word_that_it_stays_out(
    holds: Callable[[Drill], Awaitable[None]], stays: bool
) -> None:
    """What was sent is no proof, and nobody has to see it at vhost count 0 again."""
    async with a_run() as play:
        await holds(play)
        await play.take_over()
        assert "It stays out…" in str(play.messages(fact.TakenOver)[0][1].blocks)
        await asyncio.sleep(3 * ROUND)
        assert play.run_now.taken
        if stays:
            await play.leave_out()
            run = await play.until(lambda run: run.status is Status.ENDED)
            assert run.reason == f"<@{THIRD}> says that it stays out of the ring"
        else:
            play.colleague_gives()
            await play.until(lambda run: run.status is Status.ENDED, within=_SOON)


@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_what_is_down_still_as_its_restore_failed_is_released_once_it_is_up_by_hand(order: TakeDown) -> None:
    """The run took it out, and was not seen to have given it back: nobody has to see it at vhost count 0 again."""
    async with a_run(take_down=order) as play:
        await play.reaches("director-up")
        play.fails("director-up", 20)
        run = await play.held_in_the_end()
        assert "state is down" in run.reason
        await play.take_over()
        assert "does not know backend-3 to be out" not in play.thread(fact.TakenOver)[0]
        await asyncio.sleep(3 * ROUND)
        assert play.run_now.taken
        play.colleague_gives()
        await play.until(lambda run: run.status is Status.ENDED, within=_SOON)
