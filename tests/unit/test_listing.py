"""A list of runs says how many of them it shows, whatever room they take, and names those that it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.messages.root import run_list
from bot.core.runs.run import Run
from tests.build import Story
from tests.unit.messages import fits, seen


def held() -> Story:
    return Story().until("stop-dovecot").fail("Job for dovecot.service failed")


def verbose() -> Story:
    """With much to say, and in characters that take room."""
    return Story().until("stop-dovecot").fail("Job für dovecot.service ist fehlgeschlagen: “exit code” — " * 20)


def of(run: Run, count: int) -> list[Run]:
    return [replace(run, id=f"r{number:03}zz") for number in range(count)]


def shown(message: Message, runs: Sequence[Run]) -> list[str]:
    """The runs that have a paragraph of their own."""
    return [run.id for run in runs if any(f"`{run.id}` · " in str(block) for block in message.blocks)]


@pytest.mark.parametrize("made", [held, verbose])
@pytest.mark.parametrize("count", [2, 8, 20, 21, 25, 60, 400])
def test_a_list_says_how_many_runs_it_shows(made: Callable[[], Story], count: int) -> None:
    """It said twenty, and the room of a message held thirteen."""
    runs = of(made().run, count)
    message = run_list(runs, {}, title="Open runs")
    fits(message)
    there = shown(message, runs)
    assert there == [run.id for run in runs[: len(there)]]
    assert len(there) >= min(count, 4)
    assert ("of them are shown" in seen(message)) is (len(there) < count)
    assert f"*Open runs*: {count}" + (f", {len(there)} of them are shown" * (len(there) < count)) in seen(message)
    assert "shortened" not in seen(message), "of what, nobody knows"


def test_where_the_newest_is_not_the_first_the_list_says_what_is() -> None:
    runs = of(held().run, 3)
    first = "what waits for you stands first"
    assert first in seen(run_list(runs, {}, title="All runs, the newest first", mine={"r000zz"}))
    assert first not in seen(run_list(runs, {}, title="All runs, the newest first"))


def test_the_runs_that_have_no_room_are_named() -> None:
    runs = of(held().run, 25)
    message = run_list(runs, {}, title="Open runs")
    there = shown(message, runs)
    assert all((run.id in there) or f"`{run.id}`" in seen(message) for run in runs)
    assert " more" not in seen(message)


def test_of_older_runs_that_were_not_read_the_list_says_how_many_there_are() -> None:
    runs = of(held().run, 20)
    message = run_list(runs, {}, title="All runs, the newest first", count=4_000)
    fits(message)
    assert "*All runs, the newest first*: 4000, " in seen(message)
    assert "and 3980 more" in seen(message)
    assert "`dovecot-bot runs` names them all" in seen(message)
