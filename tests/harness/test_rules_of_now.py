"""Rules that were tightened while a run is open hold for what is left of its plan; users who wait come first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.plans.laws import Rule
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import Drill

DELETES, STARTS = "rm -f /var/lib/dovecot/metacache/metacache-users", "systemctl start dovecot"
MEANS = "breaks the rule found-out-last-night: it was an outage"


async def restarted_with_rule(play: Drill, never: str) -> None:
    """The site has one rule more, found out last night."""
    rule = Rule.model_validate({"rule": "found-out-last-night", "never": never, "because": "it was an outage"})
    rules = play._catalogue.rules
    play._catalogue = replace(play._catalogue, rules=rules.model_copy(update={"rules": (*rules.rules, rule)}))
    await play.restart_bot()


async def taken_back(play: Drill) -> None:
    rules = play._catalogue.rules
    play._catalogue = replace(play._catalogue, rules=rules.model_copy(update={"rules": rules.rules[:-1]}))
    await play.restart_bot()


async def held_anew(play: Drill) -> Run:
    before = play.run_now.held
    return await play.until(lambda run: run.status is Status.HELD and run.held != before)


@pytest.mark.parametrize("never", ["metacache-users", "doveadm reload"], ids=["does", "undoes"])
@from_step("approve-flush")
async def test_a_rule_that_was_added_holds_an_open_run_before_users_are_disturbed(play: Drill, never: str) -> None:
    """It was sent all the same, hours later. A rule against what undoes a step would refuse a new run, too."""
    await play.asks()
    await restarted_with_rule(play, never)
    run = await play.until(lambda run: run.status is Status.HELD)
    assert MEANS in run.reason
    assert "What to do: go back, and ask for a new run" in run.reason
    await play.retry()
    await held_anew(play)
    await play.go_back()
    assert await play.ends() == "went back"
    assert not run.may_have_disturbed


@from_step("stage-config")
async def test_a_run_that_still_prepares_ends_where_a_new_rule_forbids_what_it_would_do(play: Drill) -> None:
    """Nothing is to be undone, and nobody need be called."""
    await restarted_with_rule(play, "metacache-users")
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert run.outcome is fact.Outcome.REFUSED
    assert MEANS in run.reason


@from_step("director-down")
async def test_a_rule_that_was_added_keeps_no_users_of_a_stopped_dovecot_waiting_for_what_it_forbids_later(
    play: Drill,
) -> None:
    """It holds right before that step, which can be skipped, and goes on once the rule is taken back."""
    await restarted_with_rule(play, "metacache-users")
    run = await play.held()
    assert (run.step and run.step.name, "flush-users" in run.seen_done) == ("remove-old-metacache-database", True)
    assert MEANS in run.reason
    await taken_back(play)
    await play.retry()
    assert await play.ends() == "done"


@from_step("director-down")
async def test_a_rule_against_the_very_command_that_helps_users_who_wait_holds_and_says_so(play: Drill) -> None:
    """What a site forbids is sent for no reason; whoever is called starts dovecot, or takes the rule back."""
    await restarted_with_rule(play, "director down")
    run = await play.held()
    assert run.users_wait
    assert MEANS in run.reason
    assert play.sent("director-down") == []
    assert "start_again" in play.buttons()


@from_step("start-dovecot")
async def test_what_the_way_back_may_not_send_the_way_forward_does_not_send_either(play: Drill) -> None:
    """Both say which rule it is and what is left to do; what is done by hand is found done."""
    await restarted_with_rule(play, STARTS)
    run = await play.held()
    assert MEANS in run.reason
    assert "do by hand what this step is for, as the rule allows it, then click Retry" in run.reason
    await play.go_back()
    run = await held_anew(play)
    assert "No way back could be planned, as rules.yaml forbids a part of it" in run.reason
    assert MEANS in run.reason
    assert "What to do: take over, and undo by hand" in run.reason
    await play.retry()
    await held_anew(play)
    play.backend.dovecot_unit.start()
    await play.retry()
    assert await play.ends() == "done"
    assert play.sent("start-dovecot") == []


@pytest.mark.parametrize("never", ["doveadm reload", STARTS], ids=["later", "itself"])
@from_step("director-down")
async def test_dovecot_is_started_for_users_who_wait_unless_a_rule_names_that_very_command(
    play: Drill, never: str
) -> None:
    """The way back was refused whole for a rule against a later step of it."""
    play.others_out()
    await play.held()
    await restarted_with_rule(play, never)
    await play.go_back(start_first=True)
    itself = never == STARTS
    run = await (held_anew(play) if itself else play.until(lambda run: "undo-stop-dovecot" in run.seen_done))
    assert run.users_wait == itself
    assert ("No way back could be planned" in run.reason) == itself
    assert len(play.began(STARTS)) == (0 if itself else 1)
