"""A quiet ring: nobody logs in after the restore, and the run ends all the same once the backend is seen back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.core.plans.procedure import Check, Expectation, Step
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN, now

FOR_USERS = timedelta(minutes=2)
A_LOOK = timedelta(seconds=5)


async def at_the_end(play: Drill, *, back: bool) -> datetime:
    """Everything is done but the last check; when it began."""
    if back:
        await play.reaches("start-dovecot")
        play.fails("start-dovecot")
        await play.held()
        await play.go_back()
        await play.until(lambda run: run.plan.back)
    play.nobody_logs_in()
    await play.reaches("users-come-back")
    return now()


def last_look(play: Drill) -> fact.StepDone:
    return next(one for one in reversed(play.facts(fact.StepDone)) if one.step == "users-come-back")


@pytest.mark.parametrize("back", [False, True], ids=["forth", "back"])
@virtually
async def test_a_run_of_a_quiet_ring_ends_after_two_minutes_and_says_that_nobody_came(back: bool) -> None:
    """At three at night nobody may come for hours; the run is done, and its ring is not held for that."""
    async with a_run() as play:
        began = await at_the_end(play, back=back)
        assert await play.ends() == ("went back" if back else "done")
        assert FOR_USERS <= now() - began <= FOR_USERS + A_LOOK
        assert play.journal.rings == {}
        said = last_look(play).reason
        assert "vhosts 100" in said
        assert "for 2 min: director-1: users is 0, expected at least 1" in said
        assert play.facts(fact.UsersCounted)[-1].users == {"director-1": 0, "director-2": 0}
        assert "→ 0 (director-1: 0, director-2: 0)" in play.thread(fact.RunEnded)[-1]
        assert play.broken() == []


@virtually
async def test_whoever_comes_in_those_two_minutes_is_seen_and_the_run_ends_then() -> None:
    """Users who come are why it waits at all."""
    async with a_run() as play:
        began = await at_the_end(play, back=False)
        await asyncio.sleep(30)
        play.ring.state.move("somebody-new", play.backend.ip, now())
        assert await play.ends() == "done"
        assert now() - began <= timedelta(seconds=30) + A_LOOK
        assert "users 1" in last_look(play).reason
        assert "→ 1 (" in play.thread(fact.RunEnded)[-1]


@virtually
async def test_a_backend_that_dies_while_users_are_waited_for_holds_the_run() -> None:
    """What is hoped for is judged by nothing; that the backend serves has to be so to the last look."""
    async with a_run() as play:
        await at_the_end(play, back=False)
        await asyncio.sleep(30)
        play.dovecot_dies()
        run = await play.held()
        assert "dovecot active is failed" in run.reason
        play.backend.dovecot_unit.start()
        await play.retry()
        assert await play.ends() == "done"


@virtually
async def test_a_director_that_hangs_at_the_last_look_is_waited_for() -> None:
    """Two minutes are for users; what has to be so has its own time, and a hiccup calls nobody."""
    async with a_run() as play:
        await at_the_end(play, back=False)
        await asyncio.sleep(100)
        play.ring.state.set_hanging("director-2", hanging=True)
        await asyncio.sleep(120)
        assert play.run_now.status is Status.READY
        play.ring.state.set_hanging("director-2", hanging=False)
        assert await play.ends() == "done"


@from_step("set-vhosts-back")
async def test_a_director_that_does_not_give_it_users_yet_is_waited_for_and_only_then_are_users(play: Drill) -> None:
    """As long as one says vhosts 0, it is not back: its users come by that one, too."""
    await at_the_end(play, back=False)
    view, ip = play.ring.state.directors["director-2"], play.backend.ip
    given = view.backends[ip]
    view.backends[ip] = replace(given, vhosts=0)
    await asyncio.sleep(300)
    assert play.run_now.status is Status.READY
    view.backends[ip] = given
    began = now()
    assert await play.ends() == "done"
    assert FOR_USERS <= now() - began <= FOR_USERS + 2 * A_LOOK


@virtually
async def test_a_bot_killed_while_users_are_waited_for_ends_the_run_after_its_next_start() -> None:
    """A check leaves nothing behind, so it is made anew."""
    async with a_run() as play:
        await at_the_end(play, back=False)
        await asyncio.sleep(60)
        await play.restart_bot()
        assert await play.ends() == "done"
        assert len([one for one in play.journal.facts[RUN] if isinstance(one.fact, fact.StepFailed)]) == 0


def as_older_versions_had_it(catalogue: Catalogue) -> Catalogue:
    """The shipped procedure, whose last step expects users, and does so for a quarter of an hour."""
    (procedure,) = catalogue.procedures

    def older(step: Step) -> Step:
        if not isinstance(step, Check) or step.hopes is None:
            return step
        hosts, *others = step.expect
        expecting = Expectation.model_validate(hosts.model_dump(mode="json") | {"users": {"at_least": 1}})
        return step.model_copy(update={"expect": (expecting, *others), "hopes": None})

    stages = [stage.model_copy(update={"steps": tuple(map(older, stage.steps))}) for stage in procedure.stages]
    return replace(catalogue, procedures=(procedure.model_copy(update={"stages": tuple(stages)}),))


@virtually
async def test_a_stored_plan_that_expects_users_is_run_as_it_was_approved() -> None:
    """A run keeps the steps that it began with, the waiting included."""
    async with a_run(as_older_versions_had_it) as play:
        began = await at_the_end(play, back=False)
        assert "users is 0" in (await play.held()).reason
        assert now() - began >= timedelta(minutes=15)
