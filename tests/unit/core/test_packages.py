"""What apt and dpkg say, in words for people: how old the package lists are, what is there to go back to, who waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.core.plans.effects import lock_wait
from bot.core.plans.plan import Expected, Value
from bot.core.plans.procedure import Where
from bot.core.readings.expect import Look, judge
from bot.core.readings.packages import alarm
from bot.core.readings.probes import PROBES
from bot.core.runs.events import Seen
from tests.build import plan, target
from tests.fakes import answered

NOW, HOUR = 1_772_000_000, 3_600
LISTS: dict[str, Value] = {"hours_allowed": 24}
OF_BEFORE: dict[str, Value] = {"folder": "/var/cache/dovecot-bot/r2025a", "names": "dovecot-core=1:2.3-1"}


def said(probe: str, asks: dict[str, Value], printed: str) -> str:
    """What a check that only looks says of such an answer."""
    command = PROBES[probe].command(target(), asks)
    reading = PROBES[probe].read(target(), asks, answered(target().backend, command, printed))
    look = Expected(probe=probe, where=Where.BACKEND, asks=asks)
    verdict = judge([Look(expected=look, seen=(Seen(host="backend-3", probe=probe, reading=reading),))])
    assert verdict.holds is True
    return verdict.reason


def lists(*ages: int) -> str:
    return said("package-lists", LISTS, "\n".join([str(NOW), *(f"{NOW - age}.25" for age in ages)]))


def test_the_age_of_package_lists_is_a_line_that_people_read() -> None:
    assert lists(3 * HOUR) == "backend-3: package lists 3 hours old"
    assert lists(HOUR) == "backend-3: package lists 1 hour old"
    assert lists(60, 60) == "backend-3: package lists less than an hour old"


def test_the_oldest_list_counts() -> None:
    assert lists(HOUR, 5 * HOUR, 2 * HOUR) == "backend-3: package lists 5 hours old"


@pytest.mark.parametrize("age", [24 * HOUR, 49 * HOUR])
def test_lists_as_old_as_the_settings_allow_are_an_alarm(age: int) -> None:
    line = lists(age)
    assert line == (
        f"backend-3: old package lists: {age // HOUR} hours old, and less than 24 are usual; what was released since is"
        " not known there: run `apt-get update` there"
    )
    assert alarm(line)


def test_no_package_lists_at_all_are_an_alarm() -> None:
    assert lists() == "backend-3: no package lists, so apt offers nothing: run `apt-get update` there"
    assert alarm(lists())


def test_what_is_as_usual_is_no_alarm() -> None:
    assert not alarm(lists(23 * HOUR))
    assert not alarm(said("packages-of-before", OF_BEFORE, "dovecot-core_1%3a2.3-1_amd64.deb\n"))


def test_no_way_back_says_what_is_seen_and_not_why() -> None:
    """A mirror that has it no more, one that was away, and a file that somebody deleted look the same there."""
    line = said("packages-of-before", OF_BEFORE, "")
    assert "no way back for the packages: dovecot-core=1:2.3-1 is not there;" in line
    assert "only a mirror that still has it could bring it" in line
    assert "any more" not in line
    assert alarm(line)


def test_the_wait_for_dpkgs_lock_is_read_from_the_command_that_waits() -> None:
    waits = {step.name: lock_wait(step.action.command.text) for step in plan().changes}
    assert {name: wait for name, wait in waits.items() if wait} == {"install-packages": timedelta(minutes=2)}


def test_what_is_free_is_read_whatever_the_filesystem_is_called() -> None:
    """A share or a dataset may have a space in its name."""
    rows = "Filesystem 1048576-blocks  Used Available Capacity Mounted on\ntank/my data  10000  9990  10  100% /var\n"
    assert said("space", {"path": "/var", "free_mib": 10}, rows) == "backend-3: /var free mib 10"
