"""Whom the thread calls, and what the notification says to somebody who has nothing but a phone."""

from __future__ import annotations

from bot.adapters.slack.messages.root import root, run_list
from bot.adapters.slack.people import Allowed
from bot.config import MOST_CALLED
from bot.core.runs import events as fact
from bot.core.runs.events import ApprovalAsked
from bot.core.runs.transitions import Status
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.unit.messages import GROUP, all_messages, fits, last, seen, told
from tests.unit.stories import ALL, on_its_way_back

BOTH = f"<@{REQUESTER}> <@{THIRD}>"


def asking_to_go_back() -> Story:
    return on_its_way_back("start-dovecot").until("approve-going-back", on=Status.ASKING)


def nobody_approves(story: Story) -> Story:
    asked = story.run.asked.fact if story.run.asked else None
    assert isinstance(asked, ApprovalAsked)
    return story.tell(fact.ApprovalExpired(step=asked.step, gate=asked.gate))


def test_every_approver_of_the_settings_is_called_and_the_messages_fit() -> None:
    """Those whom a message left out would never hear of a question."""
    users = [f"U0ENGINEER{at:02d}".ljust(21, "X") for at in range(MOST_CALLED)]
    everybody = Allowed(users=frozenset(users)).mention
    calling = 0
    for story in [made() for made in ALL]:
        for _, message in all_messages(story.entries, everybody):
            fits(message)
            if users[0] in message.text:
                calling += 1
                assert [user for user in users if f"<@{user}>" not in message.text] == []
                assert [user for user in users if f"<@{user}>" not in seen(message)] == []
    assert calling > 10
    assert Allowed(users=frozenset(users[:2]), usergroup="S0MAIL").mention == f"{GROUP} <@{users[0]}> <@{users[1]}>"


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
    assert says in seen(run_list([story.run], {}, title="Open runs"))
    assert "proposes" not in root(story.tell(fact.RetryChosen(by=SECOND)).fail().run).text
