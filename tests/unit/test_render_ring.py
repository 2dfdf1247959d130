"""What the thread says of the ring, the others, a boot, and of who has taken over: who is called, and with what."""

from __future__ import annotations

import pytest

from bot.adapters.slack.inbound.answers import Asker
from bot.adapters.slack.inbound.clicks import Click
from bot.adapters.slack.inbound.forms import form
from bot.core.readings.outputs import Reading
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.build import PROVED, REQUESTER, SECOND, THIRD, Story
from tests.unit.messages import GROUP, as_lines, buttons, fits, last, seen, told
from tests.unit.stories import command, on_its_way_back

LOW = fact.OthersCounted(usable=0, needed=1, reason="director-1: backend-1 is down with vhosts 100")


def test_who_every_host_proved_to_be_stands_with_the_first_checks() -> None:
    story = Story().until("one-backend-at-a-time").tell(PROVED)
    assert told(story) == ()
    first = last(story.until("download-packages"))
    for part in ("director-1 is `192.0.2.1:9090`", "an address of its interfaces", "The ring is whole"):
        assert part in seen(first)


def test_who_every_host_proved_to_be_is_said_by_itself_where_the_checks_were_told_already() -> None:
    """A run that an older version of the bot has begun."""
    story = Story().until("download-packages").tell(PROVED)
    assert "director-1 is `192.0.2.1:9090`" in seen(last(story))


@pytest.mark.parametrize(
    ("step", "ready"),
    [
        ("drain", "was not stopped by this run"),
        ("stop-dovecot", "a service of backend-3 is stopped at"),
        ("director-down", "backend-3 is stopped at"),
        ("test-user-reads-mail", "not verified yet"),
        ("approve-restore", "was verified: approve the restore"),
    ],
)
def test_everybody_is_called_when_the_others_fail_with_what_is_ready_to_go_back(step: str, ready: str) -> None:
    """A verified backend once waited at its restore gate while all others were gone, and nobody knew."""
    message = last(Story().until(step).tell(LOW))
    fits(message)
    assert message.broadcast
    for part in (f"<@{REQUESTER}>", GROUP, ready):
        assert part in message.text
    assert "backend-1 is down" in seen(message)


@pytest.mark.parametrize(
    ("failed", "step", "ready"),
    [
        ("install-packages", "undo-stop-dovecot", "backend-3 is stopped at"),
        ("install-packages", "undo-stop-lmtp", "dovecot runs on backend-3 again and is not verified yet"),
        ("test-user-reads-mail", "undo-install-packages", "backend-3 is stopped at"),
        ("stop-dovecot", "test-user-reads-mail", "dovecot runs on backend-3 again and is not verified yet"),
    ],
)
def test_what_is_ready_to_go_back_counts_what_the_way_back_has_undone(failed: str, step: str, ready: str) -> None:
    """A dovecot that the way back had started was once said to be stopped, and one that it had stopped, to run."""
    assert ready in last(on_its_way_back(failed).until(step).tell(LOW)).text


def test_nobody_is_called_when_they_are_enough_again() -> None:
    message = last(Story().until("drain").tell(LOW, fact.OthersCounted(usable=1, needed=1, reason="as usual")))
    assert "can be used again" in message.text
    assert not message.broadcast
    assert "<@" not in message.text


def test_nobody_is_called_for_a_monitor_that_says_up() -> None:
    message = last(Story().until("drain").tell(fact.MonitorSaysUp(host="director-1", reason="state is up")))
    assert "harms nobody" in message.text
    assert not message.broadcast
    assert "<@" not in message.text


def test_a_ring_that_cannot_be_set_back_is_said_with_the_reason() -> None:
    helpless = "no other backend can be used"
    told = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100", helpless=helpless)
    message = last(Story().until("install-packages").tell(told))
    assert "it is not set back" in message.text
    assert helpless in seen(message)
    assert "vhosts is 100" in seen(message), "the evidence for the call"
    assert "It is set back now" not in seen(message)


def test_a_run_that_holds_already_is_not_said_to_hold_at_time_3() -> None:
    """It is read in the night, beside the question."""
    story = Story().until("approve-restore", on=Status.ASKING)
    gives = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100", sends=1)
    back = fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="vhosts is 0")
    for times in (1, 2, 3):
        assert f"Time {times}; at time 3 the run holds." in seen(last(story.tell(gives)))
        story.tell(back)
    story.tell(fact.RunHeld(reason="directors gave backend-3 users again 3 times"))
    assert "Time 4; the run holds already." in seen(last(story.tell(gives)))
    other = Story().until("install-packages").fail()
    assert "Time 1; at time 3 it holds for this, too." in seen(last(other.tell(gives)))


@pytest.mark.parametrize(("users", "title"), [(3, "Not all users are seen moved yet"), (0, "Not set back")])
def test_a_flush_whose_proof_fails_for_the_vhosts_is_not_told_as_if_users_were_left(users: int, title: str) -> None:
    flush = command(text="doveadm director flush 192.0.2.13")
    reading: Reading = {"vhosts": 100, "state": "down", "users": users}
    seen_there = fact.Seen(host="director-2", probe="director-hosts", reading=reading)
    reason = "director-2: vhosts is 100, expected 0"
    came = fact.RingSetBack(step="flush-users", holds=False, reason=reason, ran=(flush,), seen=(seen_there,))
    assert f"*{title}*" in seen(last(Story().until("install-packages").tell(came)))


def test_a_boot_is_said_with_what_was_looked_at_again() -> None:
    gone = "“Keep dovecot from being started” is no longer seen to be done"
    told = fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason=gone, lost="mask-dovecot")
    message = last(Story().until("install-packages").tell(told))
    assert "backend-3 was booted" in message.text
    assert gone in seen(message)


def test_a_hold_that_goes_back_to_an_earlier_step_has_that_step_at_its_head_and_in_its_form() -> None:
    """Whoever read the packages' name there skipped the mask instead."""
    lost = fact.BackendRebooted(
        host="backend-3", boot_id="b", was="a", reason="dovecot enabled is enabled", lost="mask-dovecot"
    )
    story = Story().until("install-packages").tell(lost)
    hold, *_ = told(story.tell(*story.well()))
    (head,) = [line for line in as_lines(hold) if line.startswith("*Step ")]
    assert "Keep dovecot on backend-3" in head
    skip = Click(action="skip", value=str(buttons(hold)["skip"]["value"]), user=SECOND, message="1.1")
    assert "Keep dovecot on backend-3" in str(form(skip, Asker(user=SECOND, channel="C0OPS"), story.run)["blocks"])


def test_the_thread_says_on_whose_word_users_were_moved() -> None:
    """An approval that was not judged again is no secret."""
    story = Story().until("director-down")
    word = f"users wait, so this is sent at once, with the flush approval of <@{SECOND}>, which was not judged again"
    text = "doveadm director down 192.0.2.13"
    started = fact.StepStarted(step="director-down", attempt=1, host="director-1", command=text, word=word)
    assert word in last(story.tell(started)).text


def test_whoever_takes_over_is_told_what_was_done_and_how_the_ring_is_released() -> None:
    story = Story().until("install-packages").fail().tell(fact.TakenOver(by=THIRD, reason="I do the rest"))
    message, checks = told(story)
    assert checks.text.startswith("Checked and good earlier: ")
    for part in (
        "Stop dovecot on backend-3",
        "systemctl unmask --runtime dovecot",
        "sets nothing back",
        "I do the rest",
    ):
        assert part in seen(message)
    assert set(buttons(message)) == {"stays_out"}
    early = Story().until("drain", on=Status.WAITING).tell(fact.TakenOver(by=THIRD, reason="I do the rest"))
    assert "unmask" not in seen(last(early)), "nothing is masked there"
    assert "No new users to backend-3" in seen(last(early))


TAKEN = fact.TakenOver(by=THIRD, reason="I do the rest")


@pytest.mark.parametrize(
    ("failed", "step", "masked"),
    [
        ("install-packages", "undo-mask-dovecot", True),
        ("install-packages", "undo-stop-dovecot", False),
        ("test-user-reads-mail", "undo-install-packages", True),
        ("test-user-reads-mail", "undo-stop-dovecot", False),
    ],
)
def test_whoever_takes_over_on_the_way_back_is_told_to_unmask_what_is_masked(
    failed: str, step: str, masked: bool
) -> None:
    message = last(on_its_way_back(failed).until(step).tell(TAKEN))
    assert ("This run has masked dovecot there" in seen(message)) is masked


def test_what_the_way_back_has_undone_is_not_said_to_be_changed() -> None:
    """To whoever takes over, and to whoever is asked what to do with a way back that holds."""
    story = on_its_way_back("install-packages").until("undo-stop-lmtp")
    for message in (last(story.fail()), last(story.tell(TAKEN))):
        assert "Stop dovecot on backend-3" not in seen(message)
        assert "Stop LMTP on backend-3" in seen(message)
        assert "No new users to backend-3" in seen(message)


def test_starting_dovecot_again_is_the_first_choice_while_users_wait() -> None:
    held = last(Story().until("director-down").fail("no other backend can be used"))
    assert next(iter(buttons(held))) == "start_again"
    assert "start_again" not in buttons(last(Story().until("mask-dovecot").fail()))
