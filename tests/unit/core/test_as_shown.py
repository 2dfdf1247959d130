"""What a flush approval shows of the backend, which of it has to stay so, and how a difference is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.decisions.as_shown import as_shown, differences, evidence, must_be_as_shown, ring_is_past, to_read
from bot.core.plans.plan import Plan, PlannedCheck, PlannedStep
from bot.core.readings.expect import Look, check_expectations
from bot.core.readings.outputs import Reading
from bot.core.runs.events import Seen
from tests.build import STANDS, Story, plan

ALL = frozenset(STANDS)


def ahead(made: Plan, step: str) -> tuple[PlannedStep, ...]:
    names = [one.name for one in made.steps]
    return made.steps[names.index(step) :]


@pytest.mark.parametrize(
    ("step", "disturbed", "names"),
    [
        ("stop-lmtp", False, ALL),
        ("stop-dovecot", True, {"in_place", "installed", "downloaded", "way_back"}),
        ("install-config", True, {"in_place"}),
        ("start-dovecot", True, set()),
    ],
)
def test_all_of_it_stays_until_users_are_disturbed_then_what_is_still_to_be_replaced(
    step: str, disturbed: bool, names: set[str]
) -> None:
    assert must_be_as_shown(ahead(plan(), step), config=True, disturbed=disturbed) == names


@pytest.mark.parametrize(
    ("step", "past"),
    [
        ("stop-lmtp", False),
        ("flush-users", False),
        ("mask-dovecot", True),
        ("start-dovecot", True),
        ("approve-restore", False),
        ("set-vhosts-back", False),
    ],
)
def test_directors_count_for_an_approval_until_users_are_moved_and_again_for_the_restore(step: str, past: bool) -> None:
    assert ring_is_past(Story().until(step).run) is past


def test_what_is_read_when_it_is_asked_is_all_that_is_held_against_it_later() -> None:
    made = plan()
    looks, fields = to_read(ALL, made)
    assert fields.keys() == ALL
    later = as_shown(STANDS, made)
    assert [one.probe for one in later] == ["tree-changes", *(one.probe for one in looks[1:])]
    check = PlannedCheck(name="x", says="", because="", expect=(*looks, *later))
    check_expectations(replace(made, stages=(replace(made.stages[0], steps=(check,)),)))


def test_a_plan_that_downloads_nothing_has_no_downloads_to_look_at() -> None:
    made = plan()
    without = replace(made, stages=tuple(one for one in made.stages if one.name != "prepare"))
    assert "downloaded" not in to_read(ALL, without)[1]
    assert "way_back" not in to_read(ALL, without)[1]


def said(probe: str, **now: str) -> str:
    """What is said where that is read now."""
    (expected,) = [one for one in as_shown(STANDS, plan()) if one.probe == probe]
    reading: Reading = {**{key: str(value) for key, value in expected.asks.items()}, **now}
    seen = Seen(host="backend-3", probe=probe, reading=reading, problem="")
    return differences(STANDS, (Look(expected=expected, seen=(seen,)),))


@pytest.mark.parametrize(
    ("probe", "now", "words"),
    [
        ("dovecot-packages", {"installed": STANDS["installed"]}, ""),
        (
            "dovecot-packages",
            {"installed": "dovecot-sieve=2"},
            "dovecot-core is not installed now, and was 1:2.3.19.1-1 when it was shown; dovecot-sieve is 2 now",
        ),
        ("unit", {"enabled": ""}, "dovecot is in no state now, and was enabled when it was shown"),
        ("downloaded-packages", {"missing": "a=1"}, "the downloaded packages: without a=1 now, and all there when"),
        ("packages-of-before", {"way_back": "no way back"}, "the packages of before: no way back; when it was shown: "),
        ("tree-changes", {"difference": "added x"}, "the configuration in place is another one: backend-3: "),
    ],
)
def test_a_difference_is_said_as_what_it_is_now_and_what_it_was(probe: str, now: dict[str, str], words: str) -> None:
    assert said(probe, **now).startswith(words)
    assert bool(said(probe, **now)) == bool(words)


def test_whoever_approves_is_told_what_differs_from_preflight_of_the_packages_of_the_plan() -> None:
    lines = list(evidence({"installed": "dovecot-core=2 dovecot-sieve=5"}, "dovecot-core=1"))
    assert lines == [
        "installed: dovecot-core=2 dovecot-sieve=5; dovecot-core is 2 now, and was 1 in preflight",
    ]
