"""Sentences that were false once in a state that a run can reach, told fact by fact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.adapters.slack.inbound.forms import FORMS
from bot.adapters.slack.messages.root import root, steering
from bot.core.decisions.brief import brief
from bot.core.decisions.goback import going_back
from bot.core.decisions.upnext import Ask, Record, Turn, next_action
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.record.markdown import markdown
from tests.build import REQUESTER, SECOND, STANDS, THIRD, Story, library, plan
from tests.unit.messages import buttons, last, seen, told
from tests.unit.stories import command, on_its_way_back

LOW = fact.OthersCounted(usable=0, needed=1, reason="director-1: backend-1 is down with vhosts 100")


def skipped(story: Story, step: str) -> Story:
    story.until(step).fail()
    story.tell(fact.SkipProposed(by=THIRD, step=step, reason="seen by hand"))
    return story.tell(fact.SkipAgreed(by=SECOND, step=step))


def by_itself(story: Story) -> object:
    return next_action(story.run, story.at, library().rules.harmless)


def test_a_backend_that_the_directors_still_have_down_was_not_out_until_then() -> None:
    story = Story().until("director-up").fail("director-1: state is down, expected up")
    assert "*Out* for" not in seen(root(story.run))


def test_a_backend_whose_dovecot_is_seen_not_to_run_is_not_about_to_be_put_back() -> None:
    story = Story().until("ring-is-whole-for-the-restore").fail("backend-3: dovecot active is failed")
    assert story.run.enforced, "so the watch calls"
    assert "is verified and about to be put back" not in last(story.tell(LOW)).text


def test_a_backend_whose_verification_was_skipped_is_not_verified() -> None:
    story = skipped(Story(), "test-user-reads-mail").until("approve-restore", on=Status.ASKING)
    assert "is verified" not in last(story.tell(LOW)).text


def test_a_backend_that_was_started_is_not_said_to_be_stopped() -> None:
    """Its stop was made by hand and skipped, and the run has started dovecot since."""
    story = skipped(Story(), "stop-dovecot").until("test-user-reads-mail")
    assert "dovecot runs on backend-3 again" in last(story.tell(LOW)).text


def test_nor_is_one_whose_start_was_skipped_as_it_may_have_been_made_by_hand() -> None:
    forward = skipped(Story(), "start-dovecot")
    back = skipped(on_its_way_back("start-dovecot"), "undo-stop-dovecot")
    for story in (forward, back):
        assert "backend-3 may be stopped at" in last(story.until("test-user-reads-mail").tell(LOW)).text


def test_on_the_way_back_nobody_is_sent_to_a_button_that_is_not_there() -> None:
    story = Story().until("drain", on=Status.WAITING)
    way_back = going_back(story.run)
    assert way_back is not None
    story.tell(fact.GoBackAsked(by=REQUESTER, reason="not tonight"), fact.TurnedBack(plan=way_back))
    story.until("test-user-reads-mail").fail()
    assert "abort" not in str(steering(story.run))
    assert "Abort in the first message" not in last(story.tell(LOW)).text


def test_the_restore_approval_does_not_come_next_where_the_way_back_stops_dovecot_first() -> None:
    story = on_its_way_back("test-user-reads-mail").until("approve-going-back", on=Status.ASKING)
    assert "the restore approval comes next" not in last(story.tell(LOW)).text


def test_there_is_nothing_to_be_approved_where_the_question_was_put_off() -> None:
    story = Story().until("approve-restore", on=Status.ASKING)
    story.tell(fact.Postponed(step="approve-restore", gate=Gate.RESTORE, by=THIRD, reason="at three", message="1.1"))
    assert "approve the restore, and it gets users at once" not in last(story.tell(LOW)).text


def test_a_backend_whose_restore_approval_has_lapsed_is_not_about_to_be_put_back() -> None:
    """Nobody who reads that looks for the question and approves it again."""
    story = Story().until("set-vhosts-back")
    story.tell(fact.ApprovalLapsed(gate=Gate.RESTORE, reason="it has expired", at="set-vhosts-back"))
    said = last(story.until("set-vhosts-back", on=Status.ASKING).tell(LOW)).text
    assert "is about to be put back" not in said
    assert "was verified: approve the restore" in said


def flush_brief(run: Run, **verified: str) -> tuple[str, ...]:
    return brief(run, Gate.FLUSH, (), {**STANDS, **verified}, run.at).lines


def test_a_flush_approval_does_not_promise_packages_back_beside_the_alarm_that_they_are_not_there() -> None:
    run = Story().until("approve-flush").run
    found = brief(run, Gate.FLUSH, (), {**STANDS, "way_back": "without dovecot-core=1:2.3.19.1-1"}, run.at)
    assert any("packages of before" in one for one in found.alarms)
    assert not any("puts the packages" in one for one in found.lines), found.lines


@pytest.mark.parametrize(
    ("step", "claim"),
    [
        ("install-packages", "dovecot-core: 1:2.3.19.1-1 → 1:2.3.19.1-2"),
        ("clean-metacache", "leaves the metacache empty"),
    ],
)
def test_a_flush_approval_that_is_asked_again_claims_nothing_of_a_step_that_was_skipped(step: str, claim: str) -> None:
    story = Story()
    if step == "clean-metacache":
        skipped(story, "remove-old-metacache-database")
    skipped(story, step).until("unmask-dovecot")
    story.tell(fact.ApprovalLapsed(gate=Gate.FLUSH, reason="it has expired", at="unmask-dovecot"))
    assert isinstance(by_itself(story), Ask)
    assert not any(claim in line for line in flush_brief(story.run))


@pytest.mark.parametrize(("step", "turns"), [("set-vhosts-to-zero", True), ("director-down", False)])
def test_what_turns_round_is_not_said_to_be_tried_again_nor_the_other_way_round(step: str, turns: bool) -> None:
    """In the middle of the take-down it turns round only behind it."""
    story = Story().until(step, on=Status.BUSY).tell(fact.GoBackAsked(by=THIRD, reason="no"))
    message = last(story.tell(fact.StepNotDone(step=step, reason="exit 75")))
    assert isinstance(by_itself(story), Turn) is turns
    assert ("The run turns round now." in seen(message)) is turns
    assert ("The bot tries it again by itself" in seen(message)) is not turns


def test_nor_is_what_the_run_holds_at_next_unless_users_wait() -> None:
    """Directors have given the backend users three times meanwhile."""
    given = fact.RingDeviated(step="set-vhosts-to-zero", host="director-2", reason="vhosts is 100", sends=1)
    for step, held in (("install-config", True), ("director-down", False)):
        story = Story().until(step, on=Status.BUSY).tell(given, given, given)
        story.tell(fact.StepNotDone(step=step, reason="the connection was lost before it was sent"))
        holds = isinstance(action := by_itself(story), Record) and isinstance(action.fact, fact.RunHeld)
        assert holds is held
        assert ("The run holds now." in seen(last(story))) is held
        assert ("tries it again by itself" in seen(last(story))) is not held


def test_what_was_left_out_on_the_way_back_is_not_said_to_be_undone() -> None:
    story = skipped(on_its_way_back("unmask-dovecot"), "undo-install-packages").until(None, on=Status.ENDED)
    assert "what was done is undone" not in seen(last(story))


def test_starting_dovecot_first_is_not_offered_where_the_way_back_could_not() -> None:
    """It said that dovecot is started first; once an installation was begun, an approval came before that."""
    story = skipped(Story(), "flush-users").until("install-packages").fail()
    assert story.run.users_wait
    assert "start_again" not in buttons(last(story))
    assert "started first" not in seen(last(story))


def test_retry_says_that_it_asks_again_where_that_is_all_it_does() -> None:
    story = Story().until("stop-lmtp")
    story.tell(fact.ApprovalLapsed(gate=Gate.FLUSH, reason="it has expired", at="stop-lmtp"))
    story.until("stop-lmtp", on=Status.ASKING)
    story.tell(fact.Postponed(step="stop-lmtp", gate=Gate.FLUSH, by=THIRD, reason="at three", message="1.1"))
    message = last(story)
    story.tell(fact.RetryChosen(by=REQUESTER))
    assert isinstance(by_itself(story), Ask)
    assert "doveadm service stop lmtp" not in str(buttons(message)["retry"])
    assert "try this step again" not in seen(message)


def test_whoever_takes_over_is_told_what_may_have_been_done() -> None:
    story = Story().until("mask-dovecot").fail("it is not known whether it was done, and it may still run there")
    said = seen(last(story))
    assert "Begun, and not known to be done now: Keep dovecot on backend-3" in said
    taken, _checks = told(story.tell(fact.TakenOver(by=THIRD, reason="I do it")))
    assert "Keep dovecot on backend-3" in seen(taken)


def test_directors_that_were_never_set_back_are_not_said_to_have_been_set_back() -> None:
    story = Story().until("install-packages").fail()
    given = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="director-1: vhosts is 100")
    failed = fact.RingSetBack(step="set-vhosts-to-zero", holds=False, reason="director-1: vhosts is 100")
    for _ in range(3):
        story.tell(given, failed)
    action = by_itself(story)
    assert isinstance(action, Record)
    assert isinstance(action.fact, fact.RunHeld)
    assert "were set back 3 times" not in action.fact.reason
    assert "stays at vhost count 0" not in seen(last(story.tell(action.fact)))


def test_a_stage_whose_only_check_was_skipped_is_not_ticked() -> None:
    story = skipped(Story(), "test-user-reads-mail").until("approve-restore", on=Status.ASKING)
    assert ":white_check_mark: verify" not in seen(root(story.run))


def test_a_hold_counts_the_changes_on_the_way_back_as_the_way_back_does() -> None:
    story = Story(plan(config=False, packages=False)).until("test-user-reads-mail").fail()
    way_back = going_back(story.run)
    assert way_back is not None
    said = seen(last(story))
    count = len(way_back.changes)
    assert f"({count} changes)" in said, (count, said[said.index("undo what") :][:80])


def test_what_was_certainly_not_run_is_not_in_the_change_record_as_sent() -> None:
    story = Story().until("stop-dovecot", on=Status.BUSY)
    never = command("backend-3: the connection is gone, and nothing was run.", changes=False, status=None)
    story.tell(
        fact.StepNotDone(step="stop-dovecot", reason="the connection is gone, and nothing was run", ran=(never,))
    )
    assert "`systemctl stop dovecot`: end not heard" not in markdown(story.entries)


def test_a_change_that_was_certainly_not_run_is_not_told_as_a_look_where_it_is_given_up() -> None:
    never = command("backend-3: the connection is lost", changes=False, status=None)
    story = Story().until("stop-dovecot", on=Status.BUSY)
    said = seen(last(story.tell(fact.StepFailed(step="stop-dovecot", reason=never.output, ran=(never,)))))
    assert "Not sent to backend-3" in said
    assert "Looked with" not in said


def test_what_sets_the_ring_back_and_was_certainly_not_run_is_told_as_not_sent() -> None:
    """For an auditor, a command whose end was not heard may have come about on a director."""
    story = Story().until("drain", on=Status.WAITING)
    sets_back = next(one for one in story.run.made if one.name == "set-vhosts-to-zero").action.command.text
    lost = "director-1: the connection is lost"
    never = replace(command(lost, changes=False, status=None, text=sets_back), host="director-1")
    look = command(changes=False, text="doveadm director status")
    story.tell(fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100"))
    story.tell(fact.RingSetBack(step="set-vhosts-to-zero", holds=False, reason="vhosts is 100", ran=(never, look)))
    said, record = seen(last(story)), markdown(story.entries)
    assert "Not sent to director-1" in said
    assert lost in said
    assert "no end was heard" not in said
    assert "`doveadm director status` on" in said
    assert f"- not sent: `{sets_back}`\n```text\n{lost}" in record
    assert "end not heard" not in record


def test_a_flush_approval_that_is_asked_for_again_does_not_ask_to_take_down_what_is_stopped() -> None:
    story = Story().until("install-packages")
    story.tell(fact.ApprovalLapsed(gate=Gate.FLUSH, reason="/etc/dovecot has changed", at="install-packages"))
    again = story.until("install-packages", on=Status.ASKING)
    assert "Approval needed: go on with the upgrade of backend-3" in last(again).text


def test_what_this_run_had_sent_before_is_not_said_to_be_found_without_it() -> None:
    story = Story().until("director-down", on=Status.BUSY)
    story.tell(fact.StepNotDone(step="director-down", reason="exit 75; looked up: state is up"))
    story.tell(fact.StepDone(step="director-down", how=fact.How.FOUND, reason="state down"))
    assert "Found done, nothing more was run" in last(story).text


def test_nor_is_what_the_way_back_had_sent_before() -> None:
    story = on_its_way_back("start-dovecot").until("undo-stop-dovecot").fail("exit 1")
    story.tell(fact.RetryChosen(by=SECOND))
    story.tell(fact.StepDone(step="undo-stop-dovecot", how=fact.How.FOUND, reason="backend-3: dovecot active"))
    assert "Found done, nothing more was run" in last(story).text


def test_users_are_not_said_to_wait_for_a_dovecot_that_was_not_seen_to_stop() -> None:
    story = Story().until("stop-dovecot", on=Status.BUSY)
    story.tell(fact.StepUnclear(step="stop-dovecot", reason="the connection was lost"))
    story.tell(fact.StepFailed(step="stop-dovecot", reason="it is not known whether it was done"))
    said = seen(last(story))
    assert "it may be stopped, and users wait for it then" in said
    assert "Its users are moved next" in said, "which nobody who looks for what moves them would expect of a skip"


def test_dovecot_unmasked_by_hand_and_seen_started_is_not_said_to_be_masked() -> None:
    story = skipped(Story(), "unmask-dovecot").until("test-user-reads-mail").fail()
    story.tell(fact.TakenOver(by=THIRD, reason="I do it"))
    assert "masked dovecot" not in seen(last(story))


def test_whoever_wants_to_take_over_or_skip_is_not_told_to_turn_the_run_round() -> None:
    """Where Slack opens no form; on a way back, and once users are given back, `abort` is refused."""
    assert not any("abort" in FORMS[action].otherwise for action in ("take_over", "skip"))
