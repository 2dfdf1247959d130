"""Which steps share a reply, and when it comes: every step that was done is told, by itself or in a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.adapters.slack.messages.blocks import Message
from bot.core.decisions.goback import going_back
from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.fold import follow
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.unit.messages import all_messages, last, seen, told
from tests.unit.stories import ALL, command, entries_of

GOOD = "Checked and good"


def test_good_checks_of_a_stage_share_a_reply_with_the_last_of_them() -> None:
    story = Story().until("one-backend-at-a-time", on=Status.READY)
    while story.run.step != story.run.plan.steps[7]:
        story.tell(*story.well())
        assert told(story) == ()
    said = seen(last(story.until("download-packages")))
    assert GOOD in said
    assert [f"*{number}*" in said for number in range(1, 10)] == [True] * 8 + [False]
    assert said.count("as it should be") == 8


def test_a_wait_has_a_line_among_the_checks_after_it() -> None:
    story = Story().until("drain", on=Status.WAITING)
    assert told(story) == (), "until when stands in the first message"
    assert told(story.until("count-mapped-users")) == ()
    assert "15 min have passed" in seen(last(story.until("approve-flush")))


def test_what_a_check_attaches_comes_with_those_before_it() -> None:
    story = Story().until("proposed-config-is-valid")
    done = fact.StepDone(step="proposed-config-is-valid", how=fact.How.RAN, reason="yes", attachment="- a\n+ b & <c>\n")
    message = last(story.tell(replace(done, remembered={"config_before": "c1" * 32})))
    assert "See whether the packages of before are there" in seen(message)
    assert [file.content for file in message.files] == ["- a\n+ b & <c>\n"]


def test_a_check_that_fails_stands_alone_and_the_good_ones_come_when_it_is_good() -> None:
    story = Story().until("stop-was-clean").fail("backend-3: dovecot result is exit-code")
    assert "The ring is still whole" not in seen(last(story))
    story.tell(fact.RetryChosen(by=REQUESTER)).until("config-before-packages")
    assert "The ring is still whole" in seen(last(story))


def test_where_the_last_check_is_skipped_the_good_ones_are_told_all_the_same() -> None:
    story = Story().until("stop-was-clean").fail()
    story.tell(fact.SkipProposed(by=REQUESTER, step="stop-was-clean", reason="it is down"))
    skipped, checks = told(story.tell(fact.SkipAgreed(by=SECOND, step="stop-was-clean")))
    assert "*Skipped*" in seen(skipped)
    assert "The ring is still whole" in seen(checks)
    assert "it is down" not in seen(checks)


def test_where_the_run_turns_round_the_good_ones_are_told_first() -> None:
    story = Story().until("stop-dovecot").fail()
    story.tell(fact.GoBackAsked(by=REQUESTER, reason="it hangs"))
    way_back = going_back(story.run)
    assert way_back is not None
    checks, turned = told(story.tell(fact.TurnedBack(plan=way_back)))
    assert "The ring is still whole" in seen(checks)
    assert way_back.title in turned.text


def taken_over() -> Story:
    return Story().until("stop-lmtp").fail().tell(fact.TakenOver(by=THIRD, reason="I do the rest"))


def test_where_somebody_takes_over_the_good_ones_are_told_with_the_time_when_they_were_read() -> None:
    """From there on nobody looks for the run, and what was read is true for then alone."""
    story = taken_over()
    taken, checks = told(story)
    assert "*Taken over by hand*" in seen(taken)
    assert "still at vhost count 0" in seen(checks)
    (read,) = [one.at for one in story.entries if "ring-is-still-whole" in str(one.fact)[:60]]
    assert checks.text == f"{GOOD} earlier: stage 4 of 7, read {read:%Y-%m-%d %H:%M:%S} UTC."


def test_a_thread_does_not_say_at_its_end_that_the_backend_is_still_at_vhost_count_0() -> None:
    """Hours later somebody has given it its users back by hand: that is why the run ends."""
    given = f"<@{THIRD}> took over, and every director gives the backend users again"
    story = taken_over().tell(fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason=given))
    assert "still at vhost count 0" not in "".join(seen(message) for message in told(story))


def test_nor_what_it_had_said_before_a_boot_is_said_once_more_with_the_time_of_the_end() -> None:
    """The ring was seen to give it users since, and not set back."""
    story = Story().until("install-packages")
    story.tell(
        fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="it is enabled", lost="mask-dovecot")
    ).tell(*story.well())
    helpless = "backend-3 has been given users again, and no other backend can be used"
    story.tell(
        fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100", helpless=helpless),
        fact.TakenOver(by=THIRD, reason="I do the rest"),
        fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason="it stays out", by=THIRD),
    )
    said = [seen(message) for _, message in all_messages(story.entries) if message.text.startswith(GOOD)]
    assert sum("is still at vhost count 0" in one for one in said) == 1, "as it was read, and never again"


@pytest.mark.parametrize(("later", "when"), [(timedelta(hours=3), ""), (timedelta(days=1), "2026-03-01 ")])
def test_what_was_read_hours_before_the_last_check_says_when(later: timedelta, when: str) -> None:
    """A hold in the middle of a stage: its first checks are no news when the last one is made."""
    story = Story().until("stop-lmtp").fail()
    (read,) = [one.at for one in story.entries if "ring-is-still-whole" in str(one.fact)[:60]]
    story.at += later
    checks = last(story.tell(fact.RetryChosen(by=REQUESTER)).until("config-before-packages"))
    whole, clean = seen(checks).split("The ring is still whole")[1].split("\\n")
    assert f" · read {read:%H:%M:%S} UTC" in whole
    assert f"{when}{read:%H:%M:%S} UTC>" in whole, "the date, where it was another day"
    assert "read" not in clean
    assert f"{story.at:%H:%M}" in checks.text


@pytest.mark.parametrize("how", [fact.How.FOUND, fact.How.LOOKED_UP])
def test_a_change_that_was_found_done_says_whether_it_was_sent(how: fact.How) -> None:
    """A bot that was killed has no answer of the command: what it sent is shown all the same."""
    on = Status.BUSY if how is fact.How.LOOKED_UP else Status.READY
    story = Story().until("stop-dovecot", on=on)
    looks = (command(changes=False, text="systemctl show dovecot"),)
    said = seen(last(story.tell(fact.StepDone(step="stop-dovecot", how=how, ran=looks, reason="inactive"))))
    assert ("$ systemctl stop dovecot" in said) is (how is fact.How.LOOKED_UP)
    assert ("no end was heard" in said) is (how is fact.How.LOOKED_UP)
    assert ("nothing was run" in said) is (how is fact.How.FOUND)


@pytest.mark.parametrize("ended", [fact.StepNotDone, fact.StepFailed])
def test_a_command_whose_answer_died_with_the_bot_is_shown_however_it_ends(
    ended: type[fact.StepNotDone] | type[fact.StepFailed],
) -> None:
    """Whatever may have changed a host stands in the thread."""
    looks = (command(changes=False, text="systemctl show dovecot"),)
    story = Story().until("stop-dovecot", on=Status.BUSY)
    assert "$ systemctl stop dovecot" in seen(last(story.tell(ended(step="stop-dovecot", reason="it runs", ran=looks))))
    story = Story().until("stop-dovecot")
    story.tell(fact.StepFailed(step="stop-dovecot", reason="not begun", ran=looks))
    assert "$ systemctl" not in seen(last(story)), "it was not sent"


@pytest.mark.parametrize("made", ALL)
def test_every_step_that_was_done_is_told(made: Callable[[], Story]) -> None:
    """A change with its command in the reply of its fact; a check there or later, in a line."""
    entries, run = entries_of(made), None
    said: list[tuple[int, str]] = [(entry.seq, seen(message)) for entry, message in all_messages(entries)]
    for entry in entries:
        before: Run | None = run
        run = follow(before, entry)
        if not isinstance(entry.fact, fact.StepDone) or not run.in_channel or made.__name__ == "refused":
            continue
        assert before is not None
        assert before.step is not None
        if isinstance(before.step, PlannedChange):
            assert any(seq == entry.seq and before.step.says in text for seq, text in said)
        else:
            line = f"*{before.position + 1}*"
            assert any(seq >= entry.seq and GOOD in text and line in text for seq, text in said), before.step.name


def checks(made: Callable[[], Story]) -> list[Message]:
    return [message for _, message in all_messages(entries_of(made)) if message.text.startswith(GOOD)]


@pytest.mark.parametrize("made", ALL)
def test_no_reply_of_checks_comes_twice(made: Callable[[], Story]) -> None:
    told_at = [message.blocks for message in checks(made)]
    assert all(told_at.count(one) == 1 for one in told_at)
