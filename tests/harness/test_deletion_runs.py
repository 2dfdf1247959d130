"""A deletion that still runs on its host is waited for: no second one, and no start of dovecot under it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.plans.procedure import Change, Procedure
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from bot.practice.values import Answer, Call
from tests.harness.drill import Drill, a_run, virtually


def impatient(catalogue: Catalogue) -> Catalogue:
    """The shipped procedure, whose deletions are given up after two seconds."""

    def hurried(procedure: Procedure) -> Procedure:
        stages = [
            stage.model_copy(
                update={
                    "steps": tuple(
                        step.model_copy(update={"timeout": timedelta(seconds=2)})
                        if isinstance(step, Change) and step.while_stopped
                        else step
                        for step in stage.steps
                    )
                }
            )
            for stage in procedure.stages
        ]
        return procedure.model_copy(update={"stages": tuple(stages)})

    return replace(catalogue, procedures=tuple(map(hurried, catalogue.procedures)))


def slow_deletion(play: Drill, length: float) -> None:
    """The host's find takes that long where it deletes."""
    usual = play.backend.programs["find"]

    async def find(call: Call) -> Answer:
        if "-delete" in call.args:
            await asyncio.sleep(length)
        answer = usual(call)
        return answer if isinstance(answer, Answer) else await answer

    play.backend.programs["find"] = find


@pytest.mark.parametrize("length", [5, 40, 1000])
@virtually
async def test_a_deletion_that_still_runs_is_waited_for_and_dovecot_is_not_started_under_it(length: float) -> None:
    """Caused with a shortened timeout: three deletions of three attempts ran while dovecot served."""
    async with a_run(impatient) as play:
        await play.reaches("clean-metacache")
        slow_deletion(play, length)
        while (run := await play.until(lambda run: run.status in _STANDS)).status is not Status.ENDED:
            if run.status is Status.ASKING:
                await play.approve()
                continue
            running = [one for one in play.began("-delete") if one.ran.finished is None]
            assert len(running) <= 1
            assert not play.backend.serving
            await play.retry(after=timedelta(minutes=3))
        assert str(run.outcome) == "done"
        ends = [one.ran.finished for one in play.began("-delete")]
        start = play.began("systemctl start dovecot")[-1].ran.at
        assert all(end is not None and end <= start for end in ends)
        assert play.broken() == []


@virtually
async def test_going_back_waits_for_a_deletion_that_still_runs_before_dovecot_is_started() -> None:
    """The lock is the same for a whole run, and for its way back."""
    async with a_run(impatient) as play:
        await play.reaches("clean-metacache")
        slow_deletion(play, 500)
        await play.held()
        await play.go_back()
        while (run := await play.until(lambda run: run.status in _STANDS)).status is not Status.ENDED:
            if run.status is Status.HELD:
                assert not play.backend.serving
                await play.retry(after=timedelta(minutes=3))
            else:
                await play.approve()
        (deletion,) = play.began("-delete")
        assert deletion.ran.finished is not None
        assert deletion.ran.finished <= play.began("systemctl start dovecot")[0].ran.at
        assert play.broken() == []


_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


@virtually
async def test_a_skipped_deletion_that_still_runs_keeps_the_start_waiting() -> None:
    """Two engineers may go on without it; what runs there runs on, and dovecot must not come up under it."""
    async with a_run(impatient) as play:
        await play.reaches("clean-metacache")
        slow_deletion(play, 300)
        await play.held()
        await play.skip()
        run = await play.until(lambda run: run.status in _STANDS)
        while run.status is Status.HELD:
            assert not play.backend.serving
            await play.retry(after=timedelta(minutes=3))
            run = await play.until(lambda run: run.status in _STANDS)
        (deletion,) = play.began("-delete")
        assert deletion.ran.finished is not None
        assert deletion.ran.finished <= play.began("systemctl start dovecot")[0].ran.at
        assert play.facts(fact.SkipAgreed)
