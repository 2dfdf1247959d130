"""Rules that were tightened while a run is open hold for what is left of its plan; users who wait come first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.plans.laws import Rule
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.errors import JournalError
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


@from_step("approve-flush")
async def test_an_open_question_is_held_against_the_rules_also_where_the_journal_failed_once(play: Drill) -> None:
    """The disk was full for a moment at the start."""

    def disk_is_full() -> None:
        raise JournalError("disk full")

    await play.asks()
    full = play.before("journal.append RunHeld", disk_is_full)
    await restarted_with_rule(play, "metacache-users")
    run = await play.until(lambda run: run.status is Status.HELD, within=timedelta(minutes=10))
    assert full not in play.points.hooks
    assert MEANS in run.reason


@pytest.mark.parametrize("never", ["director down", "director flush"])
@from_step("stop-dovecot")
async def test_dovecot_is_not_stopped_where_a_rule_of_now_forbids_to_move_its_users(play: Drill, never: str) -> None:
    """LMTP is stopped alone: mail is deferred, and nobody fails a login yet."""
    await restarted_with_rule(play, never)
    run = await play.held()
    assert MEANS in run.reason
    assert "What to do: go back, and ask for a new run" in run.reason
    assert not run.users_wait, "it stopped dovecot, and then may not move the users"


@pytest.mark.parametrize(
    ("step", "never"), [("set-vhosts-back", "director update [0-9.]+ 100"), ("director-up", "up ")]
)
@from_step()
async def test_what_a_hold_for_a_rule_advises_is_not_undone_by_the_watch(play: Drill, step: str, never: str) -> None:
    """It advised to give users by hand and said nothing of the watch, which takes them away again."""
    await restarted_with_rule(play, never)
    run = await play.held()
    assert "What to do: take over, and do by hand what this step is for" in run.reason
    assert "do it on a director, and click Retry at once" in run.reason
    play.colleague_gives(vhosts=100, up=True if step == "director-up" else None)
    await play.retry()
    assert await play.ends() == "done"
    assert play.sent(step) == []


# what is seen beside the rule


@from_step("set-vhosts-back")
async def test_a_step_done_by_hand_that_is_not_found_done_is_told_why_beside_the_rule(play: Drill) -> None:
    """It was told the rule alone, again and again, and had done what that advised."""
    await restarted_with_rule(play, "director update [0-9.]+ 100")
    before = await play.held()
    play.colleague_gives(vhosts=100, up=None)
    play.dovecot_dies()
    await play.retry()
    run = await held_anew(play)
    assert run.reason.startswith(before.reason)
    assert "active" in run.reason.removeprefix(before.reason), "dovecot is dead, and that is why"
    assert play.facts(fact.StepFailed)[-1].seen


@from_step("mask-dovecot")
async def test_a_host_that_is_away_is_told_of_beside_the_rule(play: Drill) -> None:
    """It cannot be seen then whether the step was done by hand."""
    await restarted_with_rule(play, "systemctl mask")
    await play.held()
    play.network.away("backend-3", timedelta(hours=1))
    await play.retry()
    run = await held_anew(play)
    assert MEANS in run.reason
    assert "no SSH connection" in run.reason


@from_step("mask-dovecot")
async def test_a_boot_is_known_also_where_a_rule_forbids_the_step_at_hand(play: Drill) -> None:
    """What it undid would not be looked for before the next change."""
    await restarted_with_rule(play, "systemctl mask")
    await play.held()
    play.reboots_now()
    await play.retry()
    await held_anew(play)
    assert play.facts(fact.BackendRebooted)
