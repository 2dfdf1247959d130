"""Where a run stands: what moves it, whether users wait, what may still come, and from where it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.goback import going_back
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.changed import at_zero
from bot.core.runs.ring_state import DEVIATIONS, UNHEARD
from bot.core.runs.transitions import Status
from bot.errors import Illegal
from tests.build import PROVED, REQUESTER, SECOND, THIRD, Story
from tests.unit.stories import command

DEVIATED = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100")
HELPLESS = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="100", helpless="no other is usable")
RETRY = fact.RetryChosen(by=REQUESTER)


def booted(lost: str = "") -> fact.BackendRebooted:
    return fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="looked again", lost=lost)


# what moves it


@pytest.mark.parametrize(
    "told",
    [
        fact.UsersCounted(users={"director-1": 3}),
        DEVIATED,
        fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="vhosts 0"),
        PROVED,
        fact.OthersCounted(usable=0, needed=1, reason="backend-1 is down"),
        fact.MonitorSaysUp(host="director-1", reason="state is up"),
    ],
    ids=lambda told: type(told).__name__,
)
def test_what_only_tells_something_does_not_stop_what_was_just_decided(told: fact.Fact) -> None:
    """Else a director that flaps, or a count of users, would starve the take-down while users wait."""
    story = Story().until("director-down")
    moved = story.run.last_decisive
    story.tell(told)
    assert (story.run.last_decisive, story.run.seq) == (moved, moved + 1)


@pytest.mark.parametrize("told", [HELPLESS, booted(), fact.GoBackAsked(by=THIRD, reason="abort")])
def test_what_changes_what_is_next_stops_what_was_just_decided(told: fact.Fact) -> None:
    """A change is sent only on the state that it was decided on."""
    story = Story().until("director-down").tell(told)
    assert story.run.last_decisive == story.run.seq


def test_the_deviation_that_makes_the_run_hold_stops_what_was_just_decided() -> None:
    story = Story().until("director-down").tell(*[DEVIATED] * (DEVIATIONS - 1))
    assert story.run.last_decisive < story.run.seq - 1
    assert story.tell(DEVIATED).run.last_decisive == story.run.seq


FLUSH = fact.RingDeviated(step="flush-users", host="director-1", reason="users is 1")
TAKEN_AGAIN = fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="vhosts 0", not_after=1, ran=(command(),))


@pytest.mark.parametrize(
    ("told", "times"),
    [
        pytest.param([HELPLESS, DEVIATED], 1, id="set back later"),
        pytest.param([HELPLESS, DEVIATED, replace(TAKEN_AGAIN, holds=False), DEVIATED], 2, id="set back in vain"),
        pytest.param([DEVIATED, TAKEN_AGAIN, replace(FLUSH, helpless="silent"), FLUSH], 1, id="its users moved later"),
        pytest.param([DEVIATED, TAKEN_AGAIN, DEVIATED, TAKEN_AGAIN], 2, id="twice"),
        pytest.param([DEVIATED, DEVIATED], 2, id="nothing known of what was sent"),
    ],
)
def test_what_is_left_of_one_deviation_is_not_counted_as_another_one(told: list[fact.Fact], times: int) -> None:
    """Else people hear of three where the ring forgot once, and the watch looks less often from then on."""
    assert Story().until("install-packages").tell(*told).run.ring.times == times


# users who wait


def test_users_wait_from_the_moment_dovecot_may_be_stopped_until_they_are_moved() -> None:
    waits = []
    story = Story()
    while story.run.status is not Status.ENDED:
        if story.run.users_wait and story.run.step:
            waits.append(f"{story.run.step.name} {story.run.status}")
        story.tell(*story.well())
    assert waits == [
        "stop-dovecot busy",
        "director-down ready",
        "director-down busy",
        "flush-users ready",
        "flush-users busy",
    ]


@pytest.mark.parametrize("told", [fact.RunHeld(reason="the ring changes"), HELPLESS])
def test_users_may_wait_too_when_the_stop_is_in_doubt_and_the_run_holds_whatever_for(told: fact.Fact) -> None:
    """Starting dovecot again is offered on this, and must not be taken away by a second reason to hold."""
    story = Story().until("stop-dovecot", on=Status.BUSY).tell(fact.StepFailed(step="stop-dovecot", reason="?"))
    assert story.run.users_wait
    assert story.tell(told).run.users_wait


def test_nobody_waits_any_more_for_a_dovecot_that_a_boot_has_started() -> None:
    story = Story().until("director-down").tell(booted("stop-dovecot"))
    assert story.run.users_wait
    story.tell(fact.RunHeld(reason="booted", back_to="stop-dovecot"))
    assert not story.run.users_wait


def test_on_the_way_back_users_wait_until_dovecot_is_started() -> None:
    story = Story().until("director-down").fail("no director answers")
    story.tell(fact.GoBackAsked(by=THIRD, reason="start it", start_first=True))
    back = going_back(story.run)
    assert back is not None
    story.tell(fact.TurnedBack(plan=back))
    assert story.run.users_wait
    assert story.until("undo-stop-dovecot", on=Status.BUSY).run.users_wait
    assert not story.tell(*story.well()).run.users_wait


def test_what_is_seen_before_a_run_can_hold_takes_nothing_from_what_was_seen_before() -> None:
    """Of two boots the earliest step that either undid is gone back to; what is seen twice is said once."""
    story = Story().until("install-packages", on=Status.BUSY)
    story.tell(booted("mask-dovecot"), booted("stop-dovecot"), HELPLESS, HELPLESS)
    held = story.run.must_hold
    assert held is not None
    assert held.back_to == "stop-dovecot"
    assert held.reason == "backend-3 was booted, and looked again. And: no other is usable"


# made again


def test_what_a_boot_took_away_is_made_again_from_there_on() -> None:
    story = Story().until("install-packages").tell(booted("mask-dovecot")).until("mask-dovecot", on=Status.HELD)
    assert "booted" in story.run.reason
    assert Effect.MASK not in {effect for effect in Effect if story.run.made_by(effect)}
    assert {Effect.STOP_DOVECOT, Effect.FLUSH} <= {effect for effect in Effect if story.run.made_by(effect)}
    assert story.tell(RETRY).until("install-packages").run.made_by(Effect.MASK)


@pytest.mark.parametrize("name", ["start-dovecot", "no-such-step"])
def test_a_run_goes_on_again_only_from_what_it_has_reached(name: str) -> None:
    story = Story().until("install-packages")
    with pytest.raises(Illegal):
        story.tell(fact.RunHeld(reason="?", back_to=name))


def test_what_was_there_before_is_not_overwritten_when_it_is_read_again() -> None:
    """The new configuration would be remembered as the old one, and going back would prove itself by it."""
    story = Story().until("install-config").tell(fact.RunHeld(reason="booted", back_to="mask-dovecot"), RETRY)
    before = story.run.observed["config_before"]
    story.until("running-config-is-known")
    read = {"config_before": "the new one"}
    story.tell(fact.StepDone(step="running-config-is-known", how=fact.How.RAN, remembered=read))
    assert story.run.observed["config_before"] == before


def test_going_back_undoes_what_was_made_before_the_boot_too() -> None:
    """What is not relied on any more may be there all the same."""
    story = Story().until("install-config", on=Status.BUSY).tell(booted("mask-dovecot")).fail()
    story.tell(fact.RunHeld(reason="booted", back_to="mask-dovecot"), fact.GoBackAsked(by=THIRD, reason="no"))
    back = going_back(story.run)
    assert back is not None
    assert {"undo-install-config", "undo-install-packages", "undo-mask-dovecot"} <= {step.name for step in back.steps}


# what may still come


def sent(story: Story, step: str, *, not_after: int) -> Story:
    """That change, sent to director-1 at the time."""
    story.until(step)
    assert isinstance(story.run.step, PlannedChange)
    text = story.run.step.action.command.text
    return story.tell(fact.StepStarted(step=step, attempt=1, host="director-1", command=text, not_after=not_after))


TAKES = ["set-vhosts-to-zero", "director-down", "flush-users"]


@pytest.mark.parametrize("step", TAKES)
def test_what_takes_users_away_may_still_come_until_its_end_was_heard(step: str) -> None:
    """A director that hung carries it out when it wakes: after the backend has its users back."""
    story = sent(Story(), step, not_after=70)
    assert story.run.ring.unheard == (("director-1", 70),)
    seen = fact.StepDone(step=step, how=fact.How.RAN, ran=(_on_director(None),))
    heard = fact.StepDone(step=step, how=fact.How.RAN, ran=(_on_director(0),))
    silent = sent(Story(), step, not_after=70).tell(seen)
    assert silent.run.ring.unheard == (("director-1", 70),)
    assert story.tell(heard).run.ring.unheard == ()


def test_the_end_of_a_later_command_says_nothing_of_an_earlier_one_there() -> None:
    story = sent(Story(), "director-down", not_after=70).tell(fact.StepUnclear(step="director-down", reason="no end"))
    story.tell(fact.StepNotDone(step="director-down", reason="not so"))
    heard = fact.StepDone(step="director-down", how=fact.How.RAN, ran=(_on_director(0),))
    assert sent(story, "director-down", not_after=90).tell(heard).run.ring.unheard == (("director-1", 70),)


def test_what_gives_users_back_is_not_waited_for() -> None:
    assert sent(Story(), "director-up", not_after=70).run.ring.unheard == ()


def test_what_the_watch_sent_may_still_come_as_well() -> None:
    silent = fact.RingSetBack(
        step="set-vhosts-to-zero", holds=True, reason="0", not_after=90, ran=(_on_director(None),)
    )
    heard = fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="0", not_after=90, ran=(_on_director(0),))
    assert Story().until("approve-flush").tell(silent).run.ring.unheard == (("director-1", 90),)
    assert Story().until("approve-flush").tell(heard).run.ring.unheard == ()


def set_back(status: int | None, not_after: int) -> tuple[fact.Fact, fact.Fact]:
    """The watch sends one command, whose end is heard or not."""
    deviated = fact.RingDeviated(
        step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100", sends=1, not_after=not_after
    )
    came = fact.RingSetBack(
        step="set-vhosts-to-zero", holds=True, reason="0", not_after=not_after, ran=(_on_director(status),)
    )
    return deviated, came


def test_of_a_night_of_commands_that_were_not_heard_those_are_remembered_that_may_begin_last() -> None:
    """Days of setting back: each of them was looked at, one after the other, before the restore."""
    story = Story().until("approve-flush").tell(*set_back(None, 9000))  # then the clock there is set back
    for number in range(50):
        story.tell(*set_back(None, 70 + number))
    assert len(story.run.ring.unheard) == UNHEARD
    assert {("director-1", 9000), ("director-1", 119)} <= set(story.run.ring.unheard)


def test_what_is_heard_takes_itself_away_also_where_many_are_remembered() -> None:
    story = Story().until("approve-flush")
    for number in range(10):
        story.tell(*set_back(None, 9000 + number))
    before = story.run.ring.unheard
    for number in range(10):  # the clock there was set back
        story.tell(*set_back(0, 70 + number))
    assert story.run.ring.unheard == before[1:]


def _on_director(status: int | None) -> fact.Ran:
    text = "doveadm director down 192.0.2.13"
    return fact.Ran(
        host="director-1",
        command=text,
        exit_status=status,
        took=timedelta(0),
        output="",
        output_bytes=0,
        changes=True,
    )


def test_a_look_that_was_heard_says_nothing_of_a_change_that_was_not() -> None:
    story = sent(Story(), "director-down", not_after=70)
    looked = fact.StepDone(step="director-down", how=fact.How.LOOKED_UP, ran=(command(changes=False),))
    assert story.tell(looked).run.ring.unheard == (("director-1", 70),)


# who has it in hand


@pytest.mark.parametrize(
    "reached",
    [
        lambda: Story().until("drain", on=Status.WAITING),
        lambda: Story().until("approve-restore", on=Status.ASKING),
        lambda: Story().until("stop-dovecot").fail(),
    ],
)
def test_a_run_that_was_taken_over_keeps_nothing_of_the_ring_and_asks_nothing(reached: Callable[[], Story]) -> None:
    """The watch would fight whoever has it in hand."""
    run = reached().tell(fact.TakenOver(by=SECOND, reason="I know better")).run
    assert (run.enforced, run.asked, run.until, run.taken_by) == (frozenset(), None, None, SECOND)


def test_a_backend_of_which_one_thing_could_not_be_set_back_is_not_at_vhost_count_0_again() -> None:
    """The next round of the watch may be minutes away: until then it is what was seen last."""

    def sent(step: str, *, holds: bool) -> fact.RingSetBack:
        return fact.RingSetBack(step=step, holds=holds, reason="seen", not_after=5, ran=(command(),))

    story = Story().until("install-packages").fail()
    story.tell(replace(DEVIATED, sends=2, not_after=5), sent("set-vhosts-to-zero", holds=False))
    story.tell(sent("director-down", holds=True))
    assert not at_zero(story.run)
    story.tell(fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="vhosts 0"))
    assert at_zero(story.run)
