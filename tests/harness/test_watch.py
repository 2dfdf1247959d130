"""While a backend is out: the watch never takes the last one away, and calls people when the others get few."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from bot.errors import Refused
from tests.harness.branches import from_step
from tests.harness.drill import ROUND, Drill, a_run, virtually


def needs(count: int) -> Callable[[Catalogue], Catalogue]:
    """A ring of which so many others must be usable."""

    def changed(catalogue: Catalogue) -> Catalogue:
        (ring,) = catalogue.inventory.rings
        inventory = catalogue.inventory.model_copy(
            update={"rings": (ring.model_copy(update={"usable_others": count}),)}
        )
        return Catalogue(inventory=inventory, procedures=catalogue.procedures, rules=catalogue.rules)

    return changed


def others_fail(play: Drill, *names: str) -> None:
    for name in names or ("backend-1", "backend-2"):
        other = play.ring.backends[name]
        other.dovecot_unit.active, other.dovecot_unit.sub = "failed", "failed"
        play.ring.state.change(other.ip, now=play.ring.now(), up=False)
    play.watching.look()


@from_step("approve-restore")
async def test_the_last_backend_that_serves_is_not_taken_back_by_the_watch(play: Drill) -> None:
    """Seen: 1,103 failed logins in 25 s, and again: a colleague had given the verified backend its vhosts."""
    await play.asks()
    others_fail(play)
    play.colleague_gives()
    begun = len(play.watching.begun)
    run = await play.until(lambda run: run.status is Status.HELD)
    assert "no other backend can be used" in run.reason
    assert "left as it is" in run.reason
    await asyncio.sleep(5 * ROUND)
    assert play.ring.state.usable(play.backend.ip)
    assert [one.text for one in play.watching.begun[begun:] if one.ran.not_after] == []
    assert len(play.facts(fact.RingDeviated)) == 1, "people were called once, and are at it"
    (told,) = play.thread(fact.RunHeld)
    assert "<@U0ALICE>" in told
    # The second try: Retry asks for the restore again, and nothing is taken meanwhile.
    await play.retry()
    await asyncio.sleep(3 * ROUND)
    assert play.ring.state.usable(play.backend.ip)
    assert [one.text for one in play.watching.begun[begun:] if one.ran.not_after] == []
    assert play.broken() == []


@from_step("approve-restore")
async def test_a_held_run_that_kept_the_last_backend_is_ended_by_its_restore_when_the_others_come_back(
    play: Drill,
) -> None:
    """The way out of that hold: it is found done, as the colleague did it."""
    await play.asks()
    others_fail(play)
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.HELD)
    play.others_back()
    for name in ("backend-1", "backend-2"):
        play.ring.backends[name].dovecot_unit.start()
    await play.retry()
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("approve-restore")
async def test_a_serving_backend_is_set_back_without_a_flush(play: Drill) -> None:
    """With another backend usable the run's own state is kept, and whoever is connected stays connected."""
    await play.asks()
    flushes = len(play.began("director flush"))
    play.colleague_gives()
    await play.until(lambda run: run.ring.deviations > 0)
    await asyncio.sleep(ROUND)
    assert not play.ring.state.usable(play.backend.ip)
    assert len(play.began("director flush")) == flushes
    assert {one.step for one in play.facts(fact.RingSetBack)} == {"set-vhosts-to-zero", "director-down"}


@pytest.mark.parametrize("at", ["drain", "approve-flush", "approve-restore"])
@virtually
async def test_people_are_called_at_once_and_once_when_the_others_get_too_few(at: str) -> None:
    """Seen: a verified backend waited at the restore gate while all others were gone, and nobody was called."""
    async with a_run() as play:
        await play.reaches(at)
        await play.until(lambda run: run.status in {Status.WAITING, Status.ASKING})
        others_fail(play)
        await play.until(lambda run: run.ring.others_low, within=timedelta(seconds=ROUND + 5))
        await asyncio.sleep(4 * ROUND)
        (told,) = play.messages(fact.OthersCounted)
        assert told[1].broadcast
        (said,) = play.thread(fact.OthersCounted)
        assert "<!subteam^S0MAIL>" in said
        assert "<@U0ALICE>" in said
        ready = "approve the restore" if at == "approve-restore" else "go back"
        assert ready in said
        play.others_back()
        await play.until(lambda run: not run.ring.others_low, within=timedelta(seconds=ROUND + 5))
        assert "can be used again" in play.thread(fact.OthersCounted)[-1]


@virtually
async def test_what_is_too_few_is_what_the_ring_needs_and_not_only_none() -> None:
    """A ring of three that needs two others is told of the first that is gone."""
    async with a_run(needs(2)) as play:
        await play.until(lambda run: run.status is Status.ASKING)
        others_fail(play, "backend-2")
        await play.until(lambda run: run.ring.others_low, within=timedelta(seconds=ROUND + 5))
        (said,) = play.thread(fact.OthersCounted)
        assert "Only 1 other" in said
        assert "the ring needs 2" in said


@from_step("start-dovecot")
async def test_people_are_called_while_the_run_holds_as_well(play: Drill) -> None:
    """Who looks into a hold has to hear of it, too."""
    play.backend.dovecot.start_fails = True
    await play.held()
    others_fail(play)
    await play.until(lambda run: run.ring.others_low, within=timedelta(seconds=ROUND + 5))
    assert "going back starts it again" in play.thread(fact.OthersCounted)[-1]


@pytest.mark.parametrize("at", ["approve-restore", "install-packages"])
@virtually
async def test_a_health_monitor_that_says_up_at_no_vhosts_is_told_once_and_fought_never(at: str) -> None:
    """Seen: poolmon stopped the run at its third time; it harms nobody, as nobody is mapped at vhosts 0."""
    async with a_run() as play:
        await play.reaches(at)
        play.backend.packages.takes = timedelta(minutes=4)
        for _ in range(20):
            play.colleague_gives(vhosts=None)
            await asyncio.sleep(10)
        assert play.facts(fact.RingDeviated) == []
        assert len(play.thread(fact.MonitorSaysUp)) == 1
        assert play.run_now.status is not Status.HELD
        assert await play.ends() == "done"
        assert play.broken() == []


@from_step("approve-flush")
async def test_a_monitor_and_a_colleague_are_told_apart(play: Drill) -> None:
    """Vhosts are what gives users: that is set back, whoever says up besides."""
    await play.until(lambda run: run.status is Status.ASKING)
    await play.approve()
    await play.reaches("approve-restore")
    play.colleague_gives(vhosts=None)
    await play.until(lambda run: run.ring.monitor_reported)
    play.colleague_gives()
    await play.until(lambda run: run.ring.deviations == 1)
    await asyncio.sleep(5)
    assert not play.ring.state.usable(play.backend.ip)


@pytest.mark.parametrize("at", ["drain", "approve-flush", "stop-dovecot", "install-packages", "approve-restore"])
@virtually
async def test_who_takes_over_by_hand_is_left_alone_until_the_backend_is_seen_in_use(at: str) -> None:
    """Nothing more is changed, nothing is set back; a restarted bot keeps to that; then the ring is free."""
    async with a_run() as play:
        await play.reaches(at)
        if isinstance(play.step(at), PlannedChange):
            play.fails(at)
            await play.held()
        else:
            await play.until(lambda run: run.status in {Status.WAITING, Status.ASKING})
        await play.take_over()
        begun = len(play.watching.begun)
        play.colleague_gives(vhosts=50, up=False)
        await asyncio.sleep(3 * ROUND)
        await play.restart_bot()
        await asyncio.sleep(3 * ROUND)
        assert [one.text for one in play.watching.begun[begun:] if one.ran.not_after] == []
        assert play.run_now.status is Status.TAKEN
        assert "stays_out" in play.buttons()
        if not play.backend.serving:  # as whoever took over does before they give it users
            play.backend.dovecot_unit.active, play.backend.dovecot_unit.sub = "active", "running"
        play.colleague_gives()
        run = await play.until(lambda run: run.status is Status.ENDED, within=timedelta(seconds=2 * ROUND))
        assert str(run.outcome) == "taken over"
        assert play.journal.rings == {}
        assert play.journal.claims == {}
        assert "every director gives the backend users again" in play.thread(fact.RunEnded)[-1]


@from_step("approve-flush")
async def test_who_took_over_may_say_that_the_backend_stays_out(play: Drill) -> None:
    """Else its ring would be held for ever; whoever clicks anything else is told who has it."""
    await play.until(lambda run: run.status is Status.ASKING)
    ask = play.run_now.asked
    assert ask is not None
    await play.take_over()
    for refused in (play.retry, play.go_back, play.take_over):
        with pytest.raises(Refused, match="taken backend-3 over by hand"):
            await refused()
    await play.leave_out()
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert str(run.outcome) == "taken over"
    assert play.journal.rings == {}


@from_step("approve-flush")
async def test_one_director_that_is_away_keeps_the_ring_until_somebody_says_so(play: Drill) -> None:
    """That a backend is in use is seen on every director: one that does not answer proves nothing."""
    await play.until(lambda run: run.status is Status.ASKING)
    await play.take_over()
    play.ring.directors["director-2"].hanging = True
    play.colleague_gives()
    await asyncio.sleep(10 * ROUND)
    assert play.run_now.status is Status.TAKEN
    play.ring.directors["director-2"].hanging = False
    await play.until(lambda run: run.status is Status.ENDED, within=timedelta(minutes=3))


@from_step("install-packages")
async def test_taking_over_in_the_middle_of_a_command_says_when_it_can_be_done(play: Drill) -> None:
    """What is under way is not left alone: its end is what whoever takes over has to know."""
    play.backend.packages.takes = timedelta(minutes=1)
    await play.until(lambda run: run.status is Status.BUSY)
    with pytest.raises(Refused, match="working at this moment"):
        await play.take_over()
    assert await play.ends() == "done"


@pytest.mark.parametrize("at", ["approve-flush", "approve-restore"])
@virtually
async def test_what_people_are_told_is_ready_to_go_back_goes_back_while_all_others_are_gone(at: str) -> None:
    """The call would be worth nothing if the way that it names asked for a whole ring first."""
    async with a_run() as play:
        await play.reaches(at)
        await play.asks()
        others_fail(play)
        if at == "approve-flush":
            await play.go_back()
        assert await play.ends() in {"done", "went back"}
        assert play.ring.state.usable(play.backend.ip)
        assert play.broken() == []
