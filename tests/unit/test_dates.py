"""A time of day alone is that of what has just happened: a run may hold for weeks, and what it shows is read then."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from bot.adapters.slack.messages.blocks import Message, MessageBuilder, rewritten
from bot.adapters.slack.messages.replies import answered, replies
from bot.adapters.slack.messages.root import root, run_list
from bot.adapters.slack.messages.text import dated, moment, now
from bot.core.decisions.approval import Person, asked_now, still_good
from bot.core.decisions.brief import brief
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.core.text.dates import stamp
from bot.errors import Refused
from tests.build import NOON, SECOND, THIRD, Story
from tests.unit.messages import GROUP, fits, runs_after, seen
from tests.unit.stories import ALL

_READ_BEFORE = timedelta(seconds=10)
"""Checks that were good share a reply, and its time is that of the reading."""


def times_alone(message: Message) -> list[int]:
    """The times in it that Slack shows without a date; a check that was read earlier the same day stands below one."""
    found = re.findall(r"(?<!· read [0-9:]{8} UTC \()<!date\^(\d+)\^\{time_secs\}\|", seen(message))
    return [int(at) for at in found]


def test_what_is_kept_up_to_date_and_what_is_listed_has_a_date_with_every_time() -> None:
    for story in [made() for made in ALL]:
        for run in runs_after(story.entries).values():
            assert not times_alone(root(run))
            assert not times_alone(run_list([run], {}, title="Open runs"))


def test_a_reply_has_no_time_without_its_date_but_that_of_its_fact() -> None:
    """Slack dates the reply itself."""
    for story in [made() for made in ALL]:
        runs = runs_after(story.entries)
        for entry in story.entries:
            for message in replies(entry, runs.get(entry.seq - 1), runs[entry.seq], approvers=GROUP):
                earliest = (entry.at - _READ_BEFORE).timestamp()
                assert all(earliest <= at <= entry.at.timestamp() for at in times_alone(message)), seen(message)


def test_what_is_told_long_after_it_came_has_a_date_with_every_time() -> None:
    """Slack dates it by when it was told; within minutes that is the same."""
    for story in [made() for made in ALL]:
        runs = runs_after(story.entries)
        for entry in story.entries:
            facts = (entry, runs.get(entry.seq - 1), runs[entry.seq])
            for message in replies(*facts, approvers=GROUP, posted=entry.at + timedelta(minutes=6)):
                fits(message)
                assert not times_alone(message)
                assert message.text.endswith(f"Posted late: it happened at {stamp(entry.at)}.")
        soon = replies(*facts, approvers=GROUP, posted=entry.at + timedelta(minutes=4))
        assert soon == replies(*facts, approvers=GROUP)


def test_no_date_is_cut_in_two_where_the_dates_make_a_paragraph_too_long() -> None:
    builder = MessageBuilder("Many times.")
    builder.paragraph("\n".join(f"• {'x' * 97} · read {now(NOON)}" for _ in range(16)))
    message = rewritten(builder.message(), dated)
    fits(message)
    assert seen(message).count(moment(NOON)) == 16
    assert len(message.blocks) == 2


def test_how_a_question_ended_is_told_with_the_date() -> None:
    """It stands in the message that asked, which Slack dates by when it was asked."""
    story = Story().until("stop-lmtp").fail()
    asked, after = story.entries[-1], story.run
    story.at += timedelta(days=3)
    ending = story.tell(fact.RetryChosen(by=THIRD)).entries[-1]
    message = answered(asked, runs_after(story.entries)[asked.seq - 1], after, ending, approvers=GROUP)
    assert f"*Retry*, said <@{THIRD}>, {moment(ending.at)}" in seen(message)
    assert message.text.startswith(f"Retry, said <@{THIRD}>, {stamp(ending.at)}.")


def test_who_clicks_days_later_is_told_of_the_answer_with_its_date() -> None:
    story = Story().until("approve-flush", on=Status.ASKING)
    question = story.entries[-1].seq
    story.until("stop-lmtp")
    (grant,) = story.run.grants
    with pytest.raises(Refused, match=f"gave the flush approval, {stamp(grant.given)}"):
        asked_now(story.run, question)
    second = Person(id=SECOND, may_ask=True, may_approve=True)
    assert f"approval of {stamp(grant.given)} has expired" in still_good(story.run, grant, second, grant.expires)


def test_since_when_a_backend_is_out_is_shown_with_the_date_on_another_day() -> None:
    run = Story().until("approve-restore", on=Status.ASKING).run
    assert run.ring.zero_since is not None
    lines = brief(run, Gate.RESTORE, (), {}, run.at + timedelta(days=2)).lines
    assert any(line.startswith(f"without new users since {stamp(run.ring.zero_since)}, ") for line in lines)
