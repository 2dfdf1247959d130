"""What the directors say while a backend is out, judged: who gives it users, who only says up, how many others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.readings.outputs import Reading
from bot.core.runs import events as fact
from bot.core.runs.events import Seen
from bot.core.runs.ring_state import RingState
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.runs.watching import Others, judge_ring
from tests.build import NOON, THIRD, Story


def says(vhosts: int = 0, state: str = "down", users: int = 0, *, host: str = "director-1", usable: int = 2) -> Seen:
    """One director's answer; without more, as the run left it."""
    reading: Reading = {"vhosts": vhosts, "state": state, "users": users, "usable_others": usable, "others": "as usual"}
    return Seen(host=host, probe="director-hosts", reading=reading)


SILENT = Seen(host="director-2", probe="director-hosts", reading=None, problem="away")


def out() -> Run:
    """A run whose backend is at vhosts 0, down and flushed."""
    return Story().until("install-packages").run


def test_as_the_run_left_it_nothing_is_said() -> None:
    ring = judge_ring(out(), [says(), says(host="director-2")])
    assert (ring.given_users, ring.reported_up) == ({}, {})


@pytest.mark.parametrize("seen", [says(vhosts=100), says(vhosts=100, state="up"), says(users=3), says(0, "up", 3)])
def test_a_director_that_gives_it_users_is_named_with_what_it_says(seen: Seen) -> None:
    ring = judge_ring(out(), [says(host="director-2"), seen])
    assert list(ring.given_users) == ["director-1"]
    assert "director-1: vhosts is" in ring.given_users["director-1"]


def test_up_at_vhosts_0_harms_nobody_and_is_no_deviation() -> None:
    """A health monitor says so of every backend that answers; it stopped the run at the third time."""
    ring = judge_ring(out(), [says(state="up")])
    assert (list(ring.given_users), list(ring.reported_up)) == ([], ["director-1"])


def test_users_who_have_not_left_yet_are_no_deviation() -> None:
    """In the drain they are still mapped, and up: nothing was said of that by this run."""
    ring = judge_ring(Story().until("drain", on=Status.WAITING).run, [says(state="up", users=40)])
    assert (ring.given_users, ring.reported_up) == ({}, {})


def test_up_with_vhosts_gives_users_also_where_a_procedure_never_took_them() -> None:
    """Who is only said to be down has vhosts all the time: there, up is what sends users."""
    run = out()
    kept_up = tuple(step for step in run.ring.kept_up if step.name == "director-down")
    only_down = replace(run, ring=RingState(kept_up=kept_up))
    assert list(judge_ring(only_down, [says(vhosts=100, state="up")]).given_users) == ["director-1"]
    assert judge_ring(only_down, [says(vhosts=100)]).given_users == {}


def test_a_director_that_does_not_answer_says_nothing() -> None:
    ring = judge_ring(out(), [SILENT])
    assert (ring.given_users, ring.reported_up, ring.usable_others) == ({}, {}, None)


def test_the_others_are_as_few_as_the_director_says_that_knows_the_fewest() -> None:
    ring = judge_ring(out(), [says(usable=2), says(usable=1, host="director-3"), SILENT])
    assert ring.usable_others == 1


def needing_two(story: Story) -> Story:
    target = story.run.target
    ring = target.ring.model_copy(update={"usable_others": 2})
    story.run = replace(story.run, target=target.model_copy(update={"ring": ring}))
    return story


def told(story: Story, *minutes: int | None) -> list[int]:
    """The counts that are told where each minute's look has these others; five minutes are long enough."""
    others, said = Others(), []
    for minute, usable in enumerate(minutes):
        now = NOON + timedelta(minutes=minute)
        ring = judge_ring(story.run, [SILENT if usable is None else says(usable=usable)])
        others = others.seen(story.run, ring, now)
        if (counted := others.to_record(story.run, ring, now, timedelta(minutes=5))) is not None:
            story.tell(counted)
            others = Others()
            said.append(counted.usable)
    return said


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ((2, 2, 2, 2, 2, 2, 2), []),
        ((0, 0, 0, 0, 0, 0, 0, 0), [0]),
        ((1, 0), [1, 0]),  # it gets worse: the ring needs two
        ((1, 2, 0, 2, 1, 2, 0), [1, 0]),
        ((0, 2, 0, 2, 2, 0, 0, 0, 0, 2, 0, 2), [0]),  # they flap
        ((0, 2, 2, 2, 2, 2), [0]),
        ((0, 2, 2, 2, 2, 2, 2, 2), [0, 2]),
        ((0, 2, 2, 2, 2, 2, 2, 0), [0, 2, 0]),
        ((0, 2, 0, 0, 0, 0, 0, 0, 0), [0, 0]),  # and stay away then: whoever had mended them has left
        ((None, 0, 2, None, 2, None, 2, 2), [0, 2]),  # a silence is no count
        ((None,), []),
    ],
)
def test_people_hear_at_once_when_the_others_get_fewer_and_later_what_lasts(
    minutes: tuple[int | None, ...], said: list[int]
) -> None:
    assert told(needing_two(Story().until("approve-restore", on=Status.ASKING)), *minutes) == said


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "users-come-back"])
def test_the_others_are_this_runs_affair_only_while_its_backend_is_out(step: str) -> None:
    assert told(Story().until(step), 0) == []


def test_whoever_has_taken_over_is_not_fought() -> None:
    story = Story().until("approve-restore", on=Status.ASKING).tell(fact.TakenOver(by=THIRD, reason="by hand"))
    assert judge_ring(story.run, [says(vhosts=100, state="up", users=9)]).given_users == {}
