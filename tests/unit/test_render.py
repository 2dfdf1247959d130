"""What the thread says: people find in it what they need at night."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.slack.messages.replies import answered, replies
from bot.adapters.slack.messages.root import root, run_list
from bot.adapters.slack.messages.text import moment
from bot.core.decisions.goback import going_back
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.fold import fold
from bot.core.runs.transitions import Status
from bot.core.text.dates import clock
from bot.core.text.duration import length
from tests.build import NOON, REQUESTER, SECOND, THIRD, Story
from tests.unit.messages import GROUP, buttons, fits, last, seen, strings, told
from tests.unit.stories import command, happy, turned_round


def test_a_poll_and_a_start_make_no_reply() -> None:
    """Nobody wants a message for every poll; a start was announced with its stage."""
    story = Story().until("drain", on=Status.WAITING).tell(fact.UsersCounted(users={"director-1": 3}))
    quiet = [entry for entry in story.entries if isinstance(entry.fact, fact.UsersCounted | fact.StepStarted)]
    assert len(quiet) == 5
    for entry in quiet:
        before, after = fold(story.entries[: entry.seq - 1]), fold(story.entries[: entry.seq])
        assert after is not None
        assert replies(entry, before, after, approvers=GROUP) == ()


def test_a_stage_is_announced_in_a_line_and_its_commands_are_in_the_file_of_the_plan() -> None:
    story = Story().until("ring-is-still-whole")
    story.tell(*story.well())
    assert isinstance(story.entries[-1].fact, fact.StageBegan)
    ((line,),) = [block["text"]["text"].split("\n") for block in last(story).blocks]
    for part in ("Stage 4 of 7: Stop backend-3", "5 changes", "waits for nobody"):
        assert part in line
    (asked,) = replies(story.entries[0], None, story.run, approvers=GROUP)
    assert all(step.action.command.text in asked.files[0].content for step in story.run.plan.changes)


def test_a_stage_that_changes_nothing_is_not_announced() -> None:
    """Its checks are told in one reply; two would be one too many."""
    story = Story().until("test-user-reads-mail").tell(fact.StageBegan(stage="verify"))
    assert told(story) == ()


def test_an_approval_asks_again_with_all_that_the_click_begins() -> None:
    """Phones are clicked by pockets, and the dialog is the last that is read."""
    story = Story().until("approve-flush", on=Status.ASKING)
    message, run = last(story), story.run
    assert message.broadcast
    assert GROUP in message.text
    assert GROUP in seen(message)
    button = buttons(message)["approve"]
    assert (button["value"], button["style"]) == (f"{run.id}:{run.seq}:{story.entries[-1].mark}", "danger")
    confirm = json.dumps(button["confirm"])
    assert "take backend-3 down" in confirm
    for begun in (
        "stops dovecot",
        "on backend-3",
        "moves its users",
        "installs 1 package",
        "changes the configuration in place",
        "deletes files",
        "starts dovecot",
    ):
        assert begun in confirm
    assert "gives it users" not in confirm, "behind the next approval"
    assert run.asked is not None
    assert isinstance(run.asked.fact, fact.ApprovalAsked)
    assert f"<@{REQUESTER}>" in seen(message)
    assert moment(run.asked.fact.expires) in seen(message)


def test_every_command_behind_an_approval_is_in_its_file() -> None:
    """The view that shows them may not open; the record keeps what was approved."""
    story = Story().until("approve-flush", on=Status.ASKING)
    (whole,) = last(story).files
    commands = [step.action.command.text for step in story.run.covered if isinstance(step, PlannedChange)]
    at = [whole.content.index(command) for command in commands]
    assert at == sorted(at)
    assert "director update 192.0.2.13 100" not in whole.content, "behind the next approval"
    assert "as it should be" in whole.content, "the evidence"
    assert story.run.asked is not None
    assert isinstance(story.run.asked.fact, fact.ApprovalAsked)
    assert story.run.asked.fact.digest[:12] in whole.content


@pytest.mark.parametrize("gate", list(Gate))
def test_every_approval_and_the_root_show_the_reason_and_the_ticket(gate: Gate) -> None:
    """Whoever approves is to know why without asking for it elsewhere."""
    entries = [*happy().entries, *turned_round().entries]
    at = next(
        at for at, one in enumerate(entries) if isinstance(one.fact, fact.ApprovalAsked) and one.fact.gate is gate
    )
    begins = len(happy().entries) if at >= len(happy().entries) else 0
    run = fold(entries[begins : at + 1])
    assert run is not None
    (asked,) = replies(entries[at], fold(entries[begins:at]), run, approvers=GROUP)
    for message in (asked, root(run), run_list((run,), {}, title="Open runs")):
        assert "*Reason* `the security update of November` · *Ticket* `OPS-4711`" in seen(message)


def test_a_run_without_a_reason_shows_none() -> None:
    """As those of an older version are."""
    first = Story().entries[0]
    assert isinstance(first.fact, fact.RunRequested)
    first = replace(first, fact=replace(first.fact, reason="", ticket=""))
    run = fold([first])
    assert run is not None
    for message in (root(run), *replies(first, None, run, approvers=GROUP), run_list((run,), {}, title="All")):
        assert "*Reason*" not in seen(message)


def test_an_answered_question_keeps_its_subject_and_loses_its_buttons() -> None:
    story = Story().until("approve-flush", on=Status.ASKING)
    asked, question = story.entries[-1], last(story)
    before, after = fold(story.entries[:-1]), story.run
    story.tell(*story.well())
    message = answered(asked, before, after, story.entries[-1], approvers=GROUP)
    fits(message)
    assert not buttons(message)
    assert f"*Approved* by <@{SECOND}> (asked for by <@{REQUESTER}>), {clock(story.at)}" in seen(message)
    assert [block for block in question.blocks if block["type"] != "actions"] == list(message.blocks[:-1])
    assert not message.broadcast
    assert f"<@{SECOND}>" in seen(last(story)), "the reply says the same"


@pytest.mark.parametrize(
    ("ending", "word"),
    [
        (fact.Denied(step="approve-flush", gate=Gate.FLUSH, by=SECOND, message="1.1"), "Denied"),
        (fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH), "Expired"),
        (fact.GoBackAsked(by=THIRD, reason="abort"), "asked to go back"),
    ],
)
def test_whatever_ends_a_gate_is_said_in_the_question_and_in_a_reply(ending: fact.Fact, word: str) -> None:
    story = Story().until("approve-flush", on=Status.ASKING)
    asked, before, after = story.entries[-1], fold(story.entries[:-1]), story.run
    story.tell(ending)
    assert asked not in story.run.open_questions
    assert word in seen(answered(asked, before, after, story.entries[-1], approvers=GROUP))
    assert clock(story.at) in seen(last(story))


LOOKS = tuple(command(changes=False, text=f"systemctl show dovecot {n}") for n in range(15))


def test_a_change_is_one_reply_with_its_result_and_what_ran_where() -> None:
    story = Story().until("stop-dovecot", on=Status.BUSY)
    ran = (command("line\n" * 100, text=f"systemctl stop dovecot {'x' * 400}"), *LOOKS)
    story.tell(
        fact.StepDone(step="stop-dovecot", how=fact.How.RAN, ran=ran, reason="backend-3: dovecot active inactive")
    )
    message = last(story)
    for part in (
        "Step ",
        "runbook 6",
        "Stop dovecot on backend-3",
        "exit 0",
        "400 ms",
        clock(story.at),
        "active inactive",
    ):
        assert part in seen(message)
    shown = next(part for part in strings(message.blocks) if "```" in part)
    assert shown.startswith("```\n$ systemctl stop dovecot xxx")
    assert len(shown) <= 300 + len("```\n$ \n```")
    assert "line" not in seen(message), "what it printed is in the record"
    assert "systemctl show" not in seen(message), "and what proved it"
    assert message.files == ()
    fits(message)


def test_what_went_wrong_shows_all_that_was_printed_and_looked_at() -> None:
    story = Story().until("stop-dovecot", on=Status.BUSY)
    story.tell(fact.StepFailed(step="stop-dovecot", reason="it runs", ran=(command("line\n" * 100, status=1), *LOOKS)))
    message = last(story)
    assert "more lines, in the file" in seen(message)
    whole = {file.name: file.content for file in message.files}
    assert whole[f"r2025a-{story.run.seq}-output.txt"].count("line\n") >= 99
    assert "systemctl show dovecot 14" in whole[f"r2025a-{story.run.seq}-looks.txt"]
    fits(message)


def test_an_attachment_is_a_file_as_it_is() -> None:
    story = Story().until("proposed-config-is-valid")
    name = "proposed-config-is-valid"
    remembered = {"config_before": "c1" * 32}
    done = fact.StepDone(step=name, how=fact.How.RAN, remembered=remembered, attachment="- a\n+ b & <c>\n")
    message = last(story.tell(done))
    assert [file.content for file in message.files] == ["- a\n+ b & <c>\n"]


def test_a_failure_calls_the_requester_and_says_what_can_be_done() -> None:
    story = Story().until("stop-dovecot").fail("backend-3: dovecot active is active, expected inactive")
    message = last(story)
    assert message.text.startswith(f"<@{REQUESTER}>")
    assert set(buttons(message)) == {"start_again", "retry", "skip", "go_back", "take_over"}
    assert "confirm" not in buttons(message)["skip"], "its form asks"
    for part in ("What was seen", "What it means", "What can be done", "expected inactive", "Stop LMTP"):
        assert part in seen(message)


def test_an_approval_that_expired_cannot_be_skipped() -> None:
    story = Story().until("approve-flush", on=Status.ASKING)
    story.tell(fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH))
    assert set(buttons(last(story))) == {"retry", "go_back", "take_over"}


def test_a_run_that_goes_back_cannot_be_turned_again() -> None:
    story = Story().until("start-dovecot").fail()
    story.tell(fact.GoBackAsked(by=THIRD, reason="it does not start"))
    way_back = going_back(story.run)
    assert way_back is not None
    story.tell(fact.TurnedBack(plan=way_back)).until("approve-going-back", on=Status.ASKING)
    assert set(buttons(root(story.run))) == {"take_over"}
    story.until(way_back.changes[0].name).fail()
    assert set(buttons(last(story))) == {"retry", "skip", "take_over"}


def test_nobody_is_called_for_a_run_that_is_refused_before_anything_was_changed() -> None:
    """The run's end calls the requester once; two calls for one thing are one too many."""
    story = Story().until("one-backend-at-a-time").fail("director-1: backend-2 vhosts is 0")
    message = last(story)
    assert not buttons(message)
    assert f"<@{REQUESTER}>" not in message.text
    assert story.run.open_questions == ()
    story.tell(fact.RunEnded(outcome=fact.Outcome.REFUSED, reason=story.run.reason))
    assert f"<@{REQUESTER}>" in last(story).text


def test_the_end_says_who_approved_what_and_when_also_after_a_way_back() -> None:
    story = turned_round()
    approvals = [entry for entry in story.entries if isinstance(entry.fact, fact.Approved)]
    assert len(approvals) > 2
    for entry in approvals:
        assert clock(entry.at) in seen(last(story))
    assert "went back" in last(story).text


def test_times_and_lengths_are_utc_and_short() -> None:
    assert moment(NOON).startswith("12:00:00 UTC (<!date^")
    assert moment(NOON).endswith("|2026-03-01 12:00:00 UTC>)")
    assert clock(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)) == "23:59:59 UTC"
    said = [length(timedelta(seconds=seconds)) for seconds in (0.44, 20, 200, 900, 4_500)]
    assert said == ["440 ms", "20 s", "3 min 20 s", "15 min", "1 h 15 min"]


def test_a_hold_and_a_proposed_skip_say_how_the_backend_stays_until_somebody_decides() -> None:
    """And the dialog of Retry which command it sends: phones are clicked by pockets."""
    story = Story().until("stop-lmtp").fail()
    out = story.run.ring.out_since
    assert out is not None
    stays = f"backend-3 stays at vhost count 0, as since {moment(out)}"
    message = last(story)
    assert stays in seen(message)
    assert "and sends, unless its approval has lapsed by then: doveadm service stop lmtp" in str(
        buttons(message)["retry"]
    )
    story.tell(fact.SkipProposed(by=THIRD, step="stop-lmtp", reason="it is stopped by hand"))
    assert f"Until then no step is begun; {stays}" in seen(last(story))
    assert "vhost count 0" not in seen(last(Story().until("stage-config").fail()))


def test_an_approval_has_a_menu_where_two_things_apply_and_a_button_where_one_does() -> None:
    """At the drain's end people can wait longer, too, and are told how often they did."""
    story = Story().until("approve-flush", on=Status.ASKING)
    menu = str(buttons(last(story))["more"]["options"])
    assert [f"{action}:{story.run.id}:{story.run.seq}" in menu for action in ("go_back", "wait_longer")] == [True] * 2
    longer = fact.LongerWaitChosen(
        step="approve-flush", gate=Gate.FLUSH, by=SECOND, reason="", message="1.1", back_to="drain"
    )
    for _ in range(3):
        story.tell(longer).until("approve-flush", on=Status.ASKING)
    assert "chose to wait longer, 3 of 3 times" in seen(last(story))
    assert list(buttons(last(story))) == ["approve", "not_now", "commands", "go_back"]
