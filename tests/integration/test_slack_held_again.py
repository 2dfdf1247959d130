"""A run that holds, and then holds anew: every button that is to be seen counts, and those that do not are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from bot.adapters.slack.inbound.clicks import Click, Clicks
from bot.adapters.slack.inbound.forms import FORMS
from bot.core.decisions.approval import Person
from bot.core.decisions.decide import Steering, decide
from bot.core.decisions.goback import going_back, way_back_shown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.practice.slack.payloads import name_of
from bot.practice.slack.posting import clickable
from bot.practice.slack.workspace import Message
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.integration.workspace import CHANNEL, Place, app, place, slack
from tests.unit.stories import ALL

__all__ = ["app", "place", "slack"]

DEVIATED = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="director-1: vhosts is 100")
SET_BACK = fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="vhosts 0")
HELPLESS = replace(DEVIATED, helpless="no other backend can be used")
BOOTED = fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="dovecot runs", lost="mask-dovecot")

Replacing = Callable[[Story], Story]
"""What makes a run hold anew that holds already, or puts another question in the place of the one that is open."""


def deviates(story: Story) -> Story:
    for _ in range(3):
        story.tell(DEVIATED, SET_BACK)
    return story.tell(*story.well())


def postponed() -> Story:
    """At a gate; it is asked again, and then the run holds there for another reason, too."""
    story = Story().until("approve-restore", on=Status.ASKING)
    story.tell(fact.Postponed(step="approve-restore", gate=Gate.RESTORE, by=THIRD, reason="later", message="1.1"))
    return story.tell(fact.RetryChosen(by=THIRD)).until("approve-restore", on=Status.ASKING)


def cannot_be_set_back(story: Story) -> Story:
    return story.tell(HELPLESS).tell(*story.well())


def boots(story: Story) -> Story:
    return story.tell(BOOTED).tell(*story.well())


HOLDS_ANEW = pytest.mark.parametrize("again", [deviates, cannot_be_set_back, boots])


def held() -> Story:
    return Story().until("install-packages").fail()


def proposed() -> Story:
    return held().tell(fact.SkipProposed(by=THIRD, step="install-packages", reason="they are there already"))


def holds_at_once() -> Story:
    """What failed under way has no buttons, as the run holds for another reason right after it; those have to go."""
    failed = Story().until("install-packages", on=Status.BUSY).tell(HELPLESS).fail()
    return failed.tell(*failed.well()).tell(fact.RetryChosen(by=REQUESTER))


HELD_ANEW = (
    lambda: deviates(proposed()),
    lambda: boots(cannot_be_set_back(proposed())),
    holds_at_once,
    lambda: deviates(postponed().tell(fact.RunHeld(reason="the ring was changed"))),
)


# every button counts


@dataclass(frozen=True)
class Judge:
    """The core, asked whether a click of somebody who may approve would count; nothing comes of it."""

    run: Run
    at: Story

    async def steer(self, _run: str, command: Steering) -> None:
        for made in decide(self.run, command, self.at.at):
            assert not isinstance(made, fact.ApprovalRefused), made

    async def entries(self, _run: str) -> tuple[Entry, ...]:
        return tuple(self.at.entries)

    async def person(self, user: str) -> Person:
        return Person(id=user, may_ask=True, may_approve=True)


async def assert_every_button_counts(place: Place, story: Story) -> None:
    """In the thread, that is: the first message has what can be said of a run at any time."""
    judge = Judge(story.run, story)
    clicks = Clicks(service=judge, people=judge)  # type: ignore[arg-type] # all that a click asks for
    thread = place.said[1:]
    for message in thread:
        for button in buttons(message):
            value = button["value"].removeprefix(f"{name_of(button)}:")
            click = Click(action=name_of(button), value=value, user="U0EVE", message=message.ts)
            if click.action == "commands":
                question, _, closed = await clicks.question_of(click)
                assert closed == ""
                assert question in story.run.open_questions
                continue
            shown = way_back_shown(going_back(story.run)) if click.action == "go_back" else ""
            done = clicks.sent(click, "because", shown) if click.action in FORMS else clicks.do(click)
            await done
    waits = {Status.ASKING: "approve", Status.HELD: "retry", Status.TAKEN: "stays_out"}.get(story.run.status)
    asked = story.run.asked.fact if story.run.asked else None
    answered = isinstance(asked, fact.ApprovalAsked) and asked.word_of
    if waits and not story.run.only_looked and not story.run.must_hold and not answered:
        assert any(waits == button["action_id"] for message in thread for button in buttons(message))


def buttons(message: Message) -> list[dict[str, str]]:
    return [button for block in message.blocks if block["type"] == "actions" for button in clickable(block)]


def fact_by_fact(entries: Sequence[Entry]) -> list[Story]:
    """The run as it was after each of its facts."""
    told, asked = [], entries[0].fact
    assert isinstance(asked, fact.RunRequested)
    for count in range(1, len(entries) + 1):
        story = Story(asked.plan)
        told.append(story.tell(*(entry.fact for entry in entries[1:count])))
    return told


@pytest.mark.parametrize("made", [*ALL, *HELD_ANEW])
async def test_after_every_fact_every_button_in_the_thread_counts(place: Place, made: Callable[[], Story]) -> None:
    for story in fact_by_fact(made().entries):
        shown = fold(story.entries)
        if shown and shown.in_channel:
            await place.tell(story)
            await assert_every_button_counts(place, story)


# a run that holds anew


def with_button(place: Place, action: str) -> list[Message]:
    return [one for one in place.said[1:] if any(action == button["action_id"] for button in buttons(one))]


@HOLDS_ANEW
async def test_buttons_of_the_hold_before_are_taken_away_and_those_of_the_new_one_work(
    app: Place, again: Replacing
) -> None:
    await app.tell(held())
    (first,) = with_button(app, "retry")
    await app.tell(again(app.service.story))
    (second,) = with_button(app, "retry")
    assert second.ts != first.ts
    assert "*Holds anew*" in str(first.blocks)
    await app.slack.click(REQUESTER, first, "retry", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "older question; what counts now is further down" in answer.text
    await app.slack.click(REQUESTER, second, "retry")
    assert isinstance(app.service.story.entries[-1].fact, fact.RetryChosen)
    await app.slack.until(lambda: not with_button(app, "retry"))


@HOLDS_ANEW
async def test_reposted_buttons_are_those_of_the_new_hold_and_vanish_with_it(app: Place, again: Replacing) -> None:
    await app.tell(held())
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", f"repost {app.run}")
    await app.slack.until(lambda: len(with_button(app, "retry")) == 2)
    await app.tell(again(app.service.story))
    assert len(with_button(app, "retry")) == 1, "those that were posted again are of the hold before, too"
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", f"repost {app.run}")
    newest = await app.slack.until(lambda: len(with_button(app, "retry")) == 2 and with_button(app, "retry")[-1])
    await app.slack.click(REQUESTER, newest, "retry")
    assert isinstance(app.service.story.entries[-1].fact, fact.RetryChosen)
    await app.slack.until(lambda: not with_button(app, "retry"))


@HOLDS_ANEW
async def test_a_skip_that_was_proposed_before_the_run_held_anew_cannot_be_agreed_after_it(
    app: Place, again: Replacing
) -> None:
    """Whoever agrees would agree to leave out a step in a ring that is not the one the proposal was made for."""
    await app.tell(proposed())
    (proposal,) = with_button(app, "agree_skip")
    await app.tell(again(app.service.story))
    assert with_button(app, "agree_skip") == []
    assert "*Holds anew*" in str(proposal.blocks)
    await app.slack.click(SECOND, proposal, "agree_skip", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "There is no such proposal any more" in answer.text
    assert app.service.story.run.status is Status.HELD


async def test_a_gate_that_the_run_held_at_says_so_in_the_place_of_its_buttons(app: Place) -> None:
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    (asked,) = with_button(app, "approve")
    await app.tell(app.service.story.tell(HELPLESS, fact.RunHeld(reason=HELPLESS.helpless)))
    assert with_button(app, "approve") == []
    assert "*Holds*: this question is closed" in str(asked.blocks)
    await app.slack.click(SECOND, asked, "approve", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "This question is closed: the run held" in answer.text
