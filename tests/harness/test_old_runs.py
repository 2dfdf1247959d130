"""A run that an older version of the bot began is continued under the laws of now, or holds and says why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact
from bot.core.runs.transitions import Status
from bot.errors import Illegal
from tests.harness.branches import from_step
from tests.harness.drill import Drill
from tests.harness.play import RUN

STEPS = (
    "backend-is-well",
    "set-vhosts-to-zero",
    "drain",
    "count-mapped-users",
    "approve-flush",
    "ring-is-still-whole",
    "stop-lmtp",
    "stop-dovecot",
    "director-down",
    "flush-users",
    "mask-dovecot",
    "install-packages",
    "running-config-is-known",
    "install-config",
    "remove-old-metacache-database",
    "unmask-dovecot",
    "start-dovecot",
    "test-user-reads-mail",
    "approve-restore",
    "ring-is-whole-for-the-restore",
    "set-vhosts-back",
    "director-up",
    "users-come-back",
)
_UNKNOWN_THEN = (fact.HostsProved, fact.BackendRebooted, fact.OthersCounted, fact.MonitorSaysUp)


def as_written_then(told: Fact) -> Fact:
    """The fact as it was before the bot looked at guards, fences, boots and what was verified."""
    match told:
        case fact.StepStarted():
            return replace(told, seen=(), not_after=0, boot_id="", word="")
        case fact.WaitBegan():
            return replace(told, clocks={})
        case fact.ApprovalAsked():
            return replace(told, verified={})
        case fact.StepDone():
            return replace(told, seen=tuple(one for one in told.seen if one.probe != "metacache-flush"))
        case fact.RingSetBack():
            return replace(told, not_after=0)
        case _:
            return told


def age(play: Drill) -> None:
    """The journal of the run, as an older version would have left it."""
    kept = [one for one in play.journal.facts[RUN] if not isinstance(one.fact, _UNKNOWN_THEN)]
    play.journal.facts[RUN] = [
        Entry(run=RUN, seq=seq, at=one.at, fact=as_written_then(one.fact)) for seq, one in enumerate(kept, 1)
    ]
    play.journal.claims.clear()
    play.reader._run = None


async def to_its_end(play: Drill) -> tuple[str, list[str]]:
    """How it ends and at which reasons it held, where people approve, retry once, and then skip."""
    held: list[str] = []
    tried = ""
    while (run := await play.until(lambda run: run.status in _STANDS)).status is not Status.ENDED:
        assert run.step is not None
        if run.status is Status.ASKING:
            await play.approve()
        elif tried != run.step.name:
            tried = run.step.name
            held.append(run.reason)
            await play.retry()
        else:
            await play.skip()
    return str(run.outcome), held


_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


@pytest.mark.parametrize("step", STEPS)
@from_step()
async def test_a_run_of_an_older_version_is_brought_to_its_end_from_every_step(play: Drill, step: str) -> None:
    """What it never read is no proof: a stop that nobody saw to be a flush lets nothing be deleted."""
    play.stop_bot()
    age(play)
    await asyncio.sleep(10)
    await play.start_bot()
    outcome, held = await to_its_end(play)
    assert outcome == "done"
    stopped = STEPS.index("stop-dovecot") < STEPS.index(step) <= STEPS.index("remove-old-metacache-database")
    assert any("was not seen to be flushed" in reason for reason in held) == stopped
    assert len(held) <= (2 if stopped else 0)
    assert play.ring.losses == []
    assert play.broken() == []


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot", "director-down", "flush-users", "set-vhosts-back"])
@from_step()
async def test_a_run_of_an_older_version_takes_no_users_from_the_last_backend_either(play: Drill, step: str) -> None:
    """The guards are read from the command: a stored plan is not without them."""
    play.stop_bot()
    age(play)
    play.others_out()
    if step == "set-vhosts-back":
        play.others_back()
        play.dovecot_dies()
    await play.start_bot()
    run = await play.held_in_the_end()
    assert run.step is not None
    assert run.step.name == step
    assert play.sent(step) == []


@pytest.mark.parametrize("step", ["stop-dovecot", "install-packages", "start-dovecot"])
@from_step()
async def test_a_run_of_an_older_version_goes_back(play: Drill, step: str) -> None:
    """The other way out."""
    play.stop_bot()
    age(play)
    await play.start_bot()
    play.fails(step)
    await play.held()
    await play.go_back()
    assert await play.ends() == "went back"
    assert play.broken() == []


@from_step("ring-is-still-whole")
async def test_an_old_lapse_that_went_back_to_the_gate_still_folds_and_is_approved_there(play: Drill) -> None:
    """As older versions wrote it: without the step at hand."""
    play.stop_bot()
    age(play)
    lapsed = fact.ApprovalLapsed(gate=play.run_now.grants[-1].gate, reason="it has expired")
    last = play.journal.facts[RUN][-1]
    play.journal.facts[RUN].append(Entry(run=RUN, seq=last.seq + 1, at=last.at, fact=lapsed))
    assert play.run_now.step is not None
    assert play.run_now.step.name == "approve-flush"
    await play.start_bot()
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("stop-lmtp")
async def test_a_run_of_an_older_version_is_held_to_the_right_host_without_having_proved_it(play: Drill) -> None:
    """Its journal has no HostsProved: who the host is, is asked on the connection all the same."""
    play.stop_bot()
    age(play)
    play.network.reaches["backend-3"] = "backend-2"
    play.network.drop("backend-3")
    await play.start_bot()
    run = await play.held_in_the_end()
    assert "does not prove to be backend-3" in run.reason
    assert [one.text for one in play.watching.begun if one.ran.host == "backend-2" and one.ran.not_after] == []


def test_a_fact_of_a_kind_that_nobody_knows_is_said_to_be_one() -> None:
    """Going back to an older version of the bot with a newer journal is refused, and not guessed at."""
    with pytest.raises(Illegal, match="unknown kind"):
        fact.fact_from("BackendTeleported", "{}")


@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_a_run_of_an_older_version_moves_waiting_users_at_once(play: Drill) -> None:
    """Its approval may have expired in the hours of the bot's update: users come first here too."""
    play.stop_bot()
    age(play)
    await asyncio.sleep(timedelta(hours=2).total_seconds())
    began = play.ring.now()
    await play.start_bot()
    await play.until(lambda run: "flush-users" in run.seen_done)
    assert play.ring.now() - began < timedelta(seconds=4)
    assert any("users wait" in one for one in play.thread(fact.StepStarted))
