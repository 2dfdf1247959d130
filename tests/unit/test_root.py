"""What the first message of a run shows, which is edited as the run goes on."""

from __future__ import annotations

from datetime import timedelta

from bot.adapters.slack.messages.root import root
from bot.adapters.slack.messages.text import moment
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.core.text.dates import clock
from bot.core.text.duration import length
from tests.build import REQUESTER, SECOND, Story
from tests.unit.messages import as_lines, buttons, last, seen
from tests.unit.stories import happy, refused, turned_round


def test_the_root_says_where_who_how_far_and_how_many_users() -> None:
    story = Story().until("drain", on=Status.WAITING)
    until = story.run.until
    assert until is not None
    story.tell(fact.UsersCounted(users={"director-1": 12, "director-2": 11}))
    said = seen(root(story.run))
    for part in ("backend-3", "192.0.2.13", "r2025a", f"<@{REQUESTER}>", "change record", "director-1: 12"):
        assert part in said
    assert f"<!date^{int(until.timestamp())}^" in said
    assert clock(until) in said
    assert f"{story.run.position} of {len(story.run.plan.steps)}" in said
    assert list(buttons(root(story.run))) == ["abort", "take_over"]


def test_the_root_is_a_checklist_of_the_stages_with_the_one_under_way() -> None:
    story = Story().until("stop-dovecot")
    shown = [line for line in as_lines(root(story.run)) if line.startswith(":white_") or "take-down" in line]
    done, at_hand, to_come = shown[:3], shown[3], shown[4:]
    assert done == [f":white_check_mark: {name}" for name in ("preflight", "prepare", "drain")]
    assert at_hand == ":arrow_forward: *take-down*: Stop backend-3 and move its users, without a pause"
    assert to_come == [f":white_small_square: {name}" for name in ("upgrade", "verify", "restore")]
    assert ":warning: *take-down*" in seen(root(story.fail().run))
    assert ":white_small_square:" not in seen(root(happy().run))


def test_while_it_drains_the_root_has_the_users_at_the_beginning_now_and_when_they_are_counted() -> None:
    story = Story().until("set-vhosts-to-zero").tell(fact.UsersCounted(users={"director-1": 40}))
    story.until("drain", on=Status.WAITING).tell(fact.UsersCounted(users={"director-1": 12}))
    assert story.run.until is not None
    assert story.run.ring.out_since is not None
    said = seen(root(story.run))
    assert story.run.ring.users_at is not None
    counted = f"12 (director-1: 12), counted {moment(story.run.ring.users_at)}, at the beginning 40"
    for part in (counted, moment(story.run.until), moment(story.run.ring.out_since)):
        assert part in said
    assert moment(story.run.until) not in seen(root(story.until("approve-flush").run))


def test_the_root_says_how_long_the_backend_was_out_once_it_is_back() -> None:
    """From its vhosts being taken to the last command that gave it users again."""
    run = happy().run
    assert run.ring.out_since is not None
    assert run.ring.out_until is not None
    up = next(
        one.at for one in happy().entries if isinstance(one.fact, fact.StepDone) and one.fact.step == "director-up"
    )
    assert run.ring.out_until == up
    assert f"*Out* for {length(up - run.ring.out_since)}" in seen(root(run))


def test_how_long_a_backend_was_out_does_not_grow_with_a_take_over_after_it_was_given_its_users() -> None:
    story = Story().until("users-come-back")
    given = story.run.ring.out_until
    story.fail("director-1: users is 0, expected at least 1")
    story.at += timedelta(hours=2)
    story.tell(fact.TakenOver(by=SECOND, reason="I look why nobody comes"))
    story.tell(fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason="every director gives it users again"))
    assert story.run.ring.out_until == given


def test_a_count_of_users_changes_the_root_and_not_its_since() -> None:
    story = Story().until("drain", on=Status.WAITING)
    before = story.run
    story.tell(fact.UsersCounted(users={"director-1": 12}))
    assert story.run.since == before.since
    assert root(story.run) != root(before)


def test_a_run_that_ended_has_nothing_to_click() -> None:
    for story in (happy(), turned_round(), refused()):
        assert not buttons(root(story.run))
        assert not buttons(last(story))
        assert story.run.open_questions == ()


def test_a_step_that_was_skipped_is_not_counted_as_done() -> None:
    """Neither in the first message nor in the last, which an auditor may read alone."""
    story = Story().until("install-packages").fail()
    story.tell(fact.SkipProposed(by=REQUESTER, step="install-packages", reason="it is done by hand"))
    story.tell(fact.SkipAgreed(by=SECOND, step="install-packages")).until(None, on=Status.ENDED)
    count = len(story.run.plan.steps)
    for message in (root(story.run), last(story)):
        assert f"{count - 1} of {count} done; skipped: Install dovecot-core" in seen(message)
