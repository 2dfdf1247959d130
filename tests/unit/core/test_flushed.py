"""Nothing is deleted that was not seen to be flushed: each way in which a stop of dovecot is no flush."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from bot.core.decisions.guards import unflushed
from bot.core.plans.effects import GUARD_REFUSED
from bot.core.readings.outputs import Reading
from bot.core.runs import events as fact
from bot.core.runs.events import Seen
from bot.core.runs.transitions import Status
from tests.build import REQUESTER, SECOND, THIRD, Story, plan
from tests.unit.stories import command

DELETES = "remove-old-metacache-database"
STOP = "stop-dovecot"


def metacache(*, ready: bool, flushed: bool, invocation: str = "a") -> Seen:
    reading: Reading = {"ready": ready, "flushed": flushed, "invocation": invocation, "said": "dovecot is …"}
    return Seen(host="backend-3", probe="metacache-flush", reading=reading)


READY, UNIT_OFF = metacache(ready=True, flushed=False), metacache(ready=False, flushed=False)
FLUSHED, NOT_FLUSHED = metacache(ready=False, flushed=True), metacache(ready=False, flushed=False)
OF_ANOTHER = metacache(ready=False, flushed=True, invocation="b")
UNREAD = Seen(host="backend-3", probe="metacache-flush", reading=None, problem="away")


def dovecot(active: str) -> Seen:
    reading = {"load": "loaded", "active": active, "result": "success", "enabled": "enabled"}
    return Seen(host="backend-3", probe="unit", reading=reading)


def started(*seen: Seen, attempt: int = 1) -> fact.StepStarted:
    text = "systemctl stop dovecot"
    return fact.StepStarted(step=STOP, attempt=attempt, host="backend-3", command=text, seen=seen)


def done(*seen: Seen, how: fact.How = fact.How.RAN) -> fact.StepDone:
    return fact.StepDone(step=STOP, how=how, reason="inactive", seen=seen)


def failed(step: str, *seen: Seen, status: int | None = 1) -> fact.StepFailed:
    return fact.StepFailed(step=step, reason="no", seen=seen, ran=(command(status=status),))


def deletes(story: Story) -> bool:
    """Whether the first deletion may be made, once all went well until there; else it is said why not."""
    against = unflushed(story.until(DELETES).run)
    assert not against or "metacache was not seen to be flushed" in against
    return not against


def test_a_stop_with_the_unit_active_before_and_both_ended_well_is_a_flush() -> None:
    assert deletes(Story().until(STOP).tell(started(READY), done(FLUSHED)))


RETRY = fact.RetryChosen(by=REQUESTER)

NO_FLUSH: dict[str, Sequence[fact.Fact]] = {
    "the unit was not active right before": [started(UNIT_OFF), done(FLUSHED)],
    "it could not be read before": [started(UNREAD), done(FLUSHED)],
    "it was not looked at before, as an older version did": [started(), done(FLUSHED)],
    "one of the two is not inactive, or did not end well": [started(READY), done(NOT_FLUSHED)],
    "it could not be read after": [started(READY), done(UNREAD)],
    "it was not looked at after": [started(READY), done()],
    "others had stopped it before this run sent anything": [done(FLUSHED, how=fact.How.FOUND)],
    "it never got there, and was stopped by others before it was sent again": [
        started(READY),
        fact.StepNotDone(step=STOP, reason="never reached its host", ran=(command(changes=False, status=None),)),
        done(FLUSHED, how=fact.How.FOUND),
    ],
    "it failed, and others stopped the unit and it while the run held": [
        started(READY),
        failed(STOP, dovecot("active")),
        RETRY,
        done(FLUSHED, how=fact.How.FOUND),
    ],
    "it failed, others stopped the unit while the run held, and it was stopped again": [
        started(READY),
        failed(STOP, dovecot("active")),
        RETRY,
        started(UNIT_OFF),
        done(FLUSHED),
    ],
    "another dovecot was stopped than the one that was seen before": [started(READY), done(OF_ANOTHER)],
    "it was not heard, and others started and stopped it before it was sent again": [
        started(READY),
        fact.StepUnclear(step=STOP, reason="no answer", ran=(command(status=None),)),
        fact.StepNotDone(step=STOP, reason="dovecot is deactivating", seen=(dovecot("deactivating"),)),
        started(OF_ANOTHER, attempt=2),
        done(OF_ANOTHER),
    ],
    "the stop was skipped": [
        started(READY),
        failed(STOP, dovecot("active")),
        fact.SkipProposed(by=THIRD, step=STOP, reason="by hand"),
        fact.SkipAgreed(by=SECOND, step=STOP),
    ],
}


@pytest.mark.parametrize("told", NO_FLUSH.values(), ids=NO_FLUSH.keys())
def test_nothing_is_deleted_unless_the_stop_was_seen_to_be_a_flush(told: Sequence[fact.Fact]) -> None:
    assert not deletes(Story().until(STOP).tell(*told))


def test_a_stop_that_took_long_is_the_flush_that_was_ready_before_it() -> None:
    """Looked at in the middle, the unit has ended already and dovecot is still stopping."""
    late = fact.StepNotDone(step=STOP, reason="dovecot is deactivating", seen=(dovecot("deactivating"),))
    assert deletes(Story().until(STOP).tell(started(READY), late, started(UNIT_OFF, attempt=2), done(FLUSHED)))
    held: list[fact.Fact] = [started(READY), failed(STOP, dovecot("deactivating"), status=None), RETRY]
    assert deletes(Story().until(STOP).tell(*held, done(FLUSHED, how=fact.How.FOUND)))


def booted(story: Story, lost: str = "") -> Story:
    told = fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="looked again", lost=lost)
    return story.tell(told)


def mask_found_it_running(story: Story) -> Story:
    return story.until("mask-dovecot").tell(failed("mask-dovecot", dovecot("active"))).tell(RETRY)


def check_found_it_running(story: Story) -> Story:
    return story.until("stop-was-clean").tell(failed("stop-was-clean", dovecot("active"))).tell(RETRY)


def host_refused_the_deletion(story: Story) -> Story:
    return story.until(DELETES, on=Status.BUSY).tell(failed(DELETES, status=GUARD_REFUSED)).tell(RETRY)


def another_had_run_before_the_deletion(story: Story) -> Story:
    return story.until(DELETES).tell(failed(DELETES, OF_ANOTHER)).tell(RETRY)


def started_again_by_a_step(story: Story) -> Story:
    """As a procedure of somebody's own may have it."""
    story.until("start-dovecot", on=Status.BUSY).tell(*story.well())
    back = fact.RunHeld(reason="once more", back_to="mask-dovecot")
    return story.until("test-user-reads-mail").tell(back, RETRY)


SINCE: dict[str, Callable[[Story], Story]] = {
    "the backend was booted": lambda story: booted(story.until("install-packages")),
    "dovecot ran when it was to be masked": mask_found_it_running,
    "dovecot ran when its stop was looked at": check_found_it_running,
    "the host refused a deletion, as dovecot ran": host_refused_the_deletion,
    "another dovecot had run before a deletion": another_had_run_before_the_deletion,
    "this run started it again": started_again_by_a_step,
}


@pytest.mark.parametrize("since", SINCE.values(), ids=SINCE.keys())
def test_what_was_flushed_no_longer_counts_once_dovecot_may_have_run(since: Callable[[Story], Story]) -> None:
    """Whatever ran in between wrote to the metacache, and nobody knows how it was stopped."""
    story = Story().until(STOP).tell(started(READY), done(FLUSHED))
    assert not deletes(since(story))


def test_after_a_boot_the_stop_is_made_again_and_only_then_is_there_something_to_delete() -> None:
    story = booted(Story().until("install-packages"), lost=STOP).until(STOP, on=Status.HELD).tell(RETRY)
    assert deletes(story.tell(started(READY), done(FLUSHED)))


def test_where_there_is_no_metacache_nothing_has_to_be_flushed() -> None:
    """Its procedure deletes nothing of the metacache, and its own deletions are its own affair."""
    story = Story(plan(metacache=False))
    assert DELETES not in [step.name for step in story.run.plan.steps]
    assert story.until(None, on=Status.ENDED).run.outcome is fact.Outcome.DONE
