"""What happens to a ring that is out more than once, or together with something else: people hear of each, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import ROUND, Drill
from tests.harness.test_stale import CONFIGURATION, told
from tests.harness.test_watch_unheard import held_at_the_installation
from tests.harness.test_where_rules_meet import ring_forgets
from tests.harness.told import GROUP


def no_other_backend(play: Drill) -> None:
    """The ring gives this one users, and cannot be set back."""
    play.others_out()
    play.colleague_gives()


@from_step("install-packages")
async def test_a_boot_hides_from_nobody_that_a_ring_cannot_be_set_back(play: Drill) -> None:
    """The rack lost its power while a long command was under way: both are seen before the run can hold."""

    async def slow() -> None:
        no_other_backend(play)
        play.reboots_now()
        await asyncio.sleep(70)

    play.before(CONFIGURATION, slow)
    await play.until(lambda run: run.status is Status.HELD)
    (said,) = [one.reason for one in play.facts(fact.RunHeld)]
    assert "was booted" in said
    assert "has been given users again" in said


@pytest.mark.parametrize("helpless", [False, True], ids=["control", "helpless"])
@from_step("install-packages")
async def test_a_boot_that_started_dovecot_is_gone_back_for_whatever_else_is_seen_before_the_run_holds(
    play: Drill,
    helpless: bool,
) -> None:
    """Else Retry would install packages on a dovecot that serves users, and is not masked."""

    async def slow() -> None:
        play.reboots_now()
        await asyncio.sleep(35)
        if helpless:
            no_other_backend(play)
        await asyncio.sleep(60)

    play.before(CONFIGURATION, slow)
    await play.until(lambda run: run.status is Status.HELD)
    play.others_back()
    await asyncio.sleep(120)
    await play.retry()
    await play.until(lambda run: run.status in {Status.HELD, Status.ASKING, Status.ENDED})
    stops = [one for one in play.facts(fact.StepStarted) if one.step == "stop-dovecot"]
    assert len(stops) == 2, told(play, 15)


@from_step("install-packages")
async def test_people_are_called_again_where_users_wait_anew_on_a_host_that_is_off(play: Drill) -> None:
    """The first time it came back by itself and was set back; half an hour later it happens again."""
    await held_at_the_installation(play)
    play.network.silence("backend-3", timedelta(minutes=5))
    ring_forgets(play)
    await play.until(lambda run: run.ring.helpless_reported)
    await play.until(lambda run: not run.ring.given_users)
    assert play.ring.users_on("backend-3") == 0
    await asyncio.sleep(1800)
    play.network.silence("backend-3", timedelta(hours=3))
    await asyncio.sleep(20)
    before = len(play.thread())
    ring_forgets(play)
    await asyncio.sleep(1800)
    assert play.ring.users_on("backend-3")
    assert any(GROUP in one for one in play.thread()[before:]), told(play)


@from_step("install-packages")
async def test_people_are_told_again_that_a_ring_cannot_be_set_back_where_it_was_set_back_in_between(
    play: Drill,
) -> None:
    await held_at_the_installation(play)
    no_other_backend(play)
    await play.until(lambda run: run.ring.helpless_reported)
    play.others_back()
    await play.until(lambda run: not run.ring.given_users)
    await asyncio.sleep(1800)
    before = len(play.thread())
    no_other_backend(play)
    await asyncio.sleep(600)
    assert [one for one in play.thread()[before:] if "has been given users again" in one], told(play)


@from_step("install-packages")
async def test_an_approval_says_when_the_ring_was_set_back_also_after_a_change_that_never_ran(play: Drill) -> None:
    """It forgot, and was set back, while the installation's command was on its way, which then came too late."""
    play.before("hosts.run backend-3 sh -c 'mkdir -p", lambda: asyncio.sleep(40))
    await play.until(lambda run: run.status is Status.BUSY)
    ring_forgets(play)
    await play.until(lambda _run: any(one.holds for one in play.facts(fact.RingSetBack)))
    given = play.run_now.ring.zero_since
    assert given is not None
    await play.reaches("approve-restore")
    await play.asks()
    assert f"without new users since {given:%H:%M:%S}" in play.thread(fact.ApprovalAsked)[-1]


@from_step("install-packages")
async def test_a_ring_that_forgot_once_is_counted_once_also_where_the_backend_is_silent_for_minutes(
    play: Drill,
) -> None:
    """Set back, then seen with users whom nobody may move, then moved: said to be three times, and looked at less often
    from then on, so that a ring that forgets would send users to a stopped backend for five minutes.
    """
    await held_at_the_installation(play)
    play.network.silence("backend-3", timedelta(minutes=5))
    ring_forgets(play)
    await asyncio.sleep(900)
    assert play.ring.users_on("backend-3") == 0
    assert not any("times" in one.reason for one in play.facts(fact.RunHeld)), told(play)
    ring_forgets(play)
    await asyncio.sleep(2 * ROUND)
    assert not play.ring.state.usable(play.backend.ip), told(play)
