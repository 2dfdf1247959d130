"""What the hosts' clocks say of a wait that nobody saw: the least that any of them proves, and never more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.upnext import BeginWait, SeeWaited, Sleep, next_action
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.runs.waited import waited
from tests.build import Story

THEN = {"director-1": 1000, "director-2": 5000, "backend-3": 9000}
LENGTH = timedelta(minutes=15)


def waiting(clocks: Mapping[str, int]) -> Run:
    story = Story().until("drain", on=Status.WAITING)
    return replace(story.run, clocks=clocks)


def later(**seconds: int) -> dict[str, int]:
    return {name: THEN[name] + passed for name, passed in zip(THEN, seconds.values(), strict=False)}


def said(run: Run, clocks: Mapping[str, int], own: timedelta) -> fact.StepDone | fact.WaitGoesOn:
    """`own`: how much has passed by the bot's own clock."""
    assert run.until is not None
    return waited(run, clocks, run.until - LENGTH + own)


@pytest.mark.parametrize(
    ("clocks", "passed"),
    [
        (later(a=301, b=301, c=301), 300),
        (later(a=301, b=9000, c=9000), 300),
        (later(a=301, b=-3600, c=301), 0),
        (later(a=301), 300),
        (later(a=0, b=0, c=0), 0),
        ({**later(a=301), "director-9": 0}, 300),
    ],
)
@pytest.mark.parametrize("own", [timedelta(minutes=5), timedelta(hours=2), timedelta(hours=-2)])
def test_the_least_that_a_host_proves_counts_and_the_bots_own_clock_does_not(
    clocks: Mapping[str, int], passed: int, own: timedelta
) -> None:
    run = waiting(THEN)
    told = said(run, clocks, own)
    assert run.until is not None
    assert isinstance(told, fact.WaitGoesOn)
    assert told.until == (run.until - LENGTH + own) + LENGTH - timedelta(seconds=passed)
    assert told.clocks == {}


def test_a_second_less_than_lies_between_two_readings_is_proved_as_they_are_whole_seconds() -> None:
    run, whole = waiting(THEN), int(LENGTH.total_seconds())
    assert isinstance(said(run, later(a=whole), LENGTH), fact.WaitGoesOn)
    assert isinstance(said(run, later(a=whole + 1), LENGTH), fact.StepDone)


def test_what_was_seen_is_said_in_words() -> None:
    run = waiting(THEN)
    assert said(run, later(a=1200, b=1201, c=1202), timedelta(minutes=20)).reason == (
        "15 min have passed by the clocks of director-1, director-2 and backend-3, as the bot was away"
    )
    assert said(run, later(a=362, b=361), timedelta(minutes=65)).reason == (
        "the bot was away; by its own clock 1 h 5 min have passed, by the clocks of director-1 and director-2"
        " 6 min of 15 min: the rest is waited"
    )
    assert "by its own clock none has, as it was set back" in said(run, later(a=361), -LENGTH).reason


@pytest.mark.parametrize(("then", "now"), [(THEN, {}), ({}, THEN), ({}, {}), (later(a=0), {"backend-3": 9900})])
def test_where_no_clock_was_read_both_times_the_whole_length_is_waited_again(
    then: Mapping[str, int], now: Mapping[str, int]
) -> None:
    """From clocks that were read now, where none were read at the beginning: the next restart goes by them."""
    run = waiting(then)
    told = said(run, now, timedelta(hours=1))
    assert run.until is not None
    assert isinstance(told, fact.WaitGoesOn)
    assert told.until == run.until - LENGTH + timedelta(hours=1) + LENGTH
    assert told.clocks == ({} if then else now)


def test_a_wait_whose_date_another_process_made_is_looked_at_before_and_after_that_date() -> None:
    story = Story().until("drain")
    began = next_action(story.run, story.at)
    assert isinstance(began, BeginWait)
    run = story.until("drain", on=Status.WAITING).run
    assert run.until is not None
    for now in (run.until - timedelta(minutes=1), run.until):
        assert isinstance(next_action(run, now, same_clock=False), SeeWaited)
    assert isinstance(next_action(run, run.until - timedelta(minutes=1)), Sleep)
