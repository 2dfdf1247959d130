"""Whom the thread calls, and what the notification says to somebody who has nothing but a phone."""

from __future__ import annotations

from bot.adapters.slack.messages.root import listing, root
from bot.core.runs import events as fact
from bot.core.runs.events import ApprovalAsked
from bot.core.runs.transitions import Status
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.unit.messages import last, seen, told
from tests.unit.stories import on_its_way_back

BOTH = f"<@{REQUESTER}> <@{THIRD}>"


def asking_to_go_back() -> Story:
    return on_its_way_back("start-dovecot").until("approve-going-back", on=Status.ASKING)


def nobody_approves(story: Story) -> Story:
    asked = story.run.asked.fact if story.run.asked else None
    assert isinstance(asked, ApprovalAsked)
    return story.tell(fact.ApprovalExpired(step=asked.step, gate=asked.gate))


def test_a_hold_on_the_way_back_calls_whoever_asked_to_go_back() -> None:
    """The run's requester may be asleep; whoever turned it round is at it."""
    held = last(nobody_approves(asking_to_go_back()))
    assert held.text.startswith(f"{BOTH} Run ")
    assert BOTH in seen(held)


def test_so_do_the_last_repeat_of_its_question_other_backends_that_get_few_and_its_end() -> None:
    story = asking_to_go_back()
    asked = story.run.asked.fact if story.run.asked else None
    assert isinstance(asked, ApprovalAsked)
    for number, last_time in ((1, False), (2, True)):
        story.tell(fact.ApprovalRepeated(step=asked.step, gate=asked.gate, times=number, last=last_time))
        assert (BOTH in seen(last(story))) is last_time
    few = fact.OthersCounted(usable=0, needed=1, reason="backend-1: vhosts is 0")
    assert BOTH in seen(last(story.tell(few)))
    ended = told(asking_to_go_back().until(None, on=Status.ENDED))[-1]
    assert ended.text.startswith(f"{BOTH} Run ")
    assert BOTH in seen(ended)


def test_a_run_that_goes_forward_calls_its_requester_alone_and_nobody_twice() -> None:
    assert last(Story().until("stop-lmtp").fail()).text.startswith(f"<@{REQUESTER}> Run ")
    story = Story().until("stop-lmtp").fail().tell(fact.GoBackAsked(by=REQUESTER, reason="no more"))
    assert last(story.tell(fact.RunHeld(reason="the ring is not whole"))).text.count("<@") == 1


def test_the_notification_of_a_hold_names_the_backend() -> None:
    """Several rings share a channel: a run's id says nothing to whoever is called at night."""
    assert " Run r2025a on backend-3 holds: " in last(nobody_approves(asking_to_go_back())).text
    assert " Run r2025a on backend-3 holds: " in last(Story().until("stop-lmtp").fail()).text


def test_a_proposed_skip_is_in_the_state_of_the_run_until_it_is_answered() -> None:
    """In the first message and in `status`: a second engineer is waited for, and nobody says so again."""
    story = Story().until("stop-lmtp").fail()
    held = root(story.run).text
    assert "Holds, a person has to decide: Step" in held
    story.tell(fact.SkipProposed(by=THIRD, step="stop-lmtp", reason="it is stopped by hand"))
    says = f"Holds; <@{THIRD}> proposes to skip this step, a second engineer has to agree: Step"
    assert says in root(story.run).text
    assert says in seen(root(story.run))
    assert says in seen(listing([story.run], {}, title="Open runs"))
    assert "proposes" not in root(story.tell(fact.RetryChosen(by=SECOND)).fail().run).text
