"""An answer of which a part is missing is never read as whole: a user count, a package, a file may be in that part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.hosts.command import OUTPUT_KEPT
from bot.core.readings.probes import PROBES
from bot.errors import Unreadable
from tests.build import target
from tests.unit.core.test_probes import lab_target, result

COUNTING = {"config-parses", "config-starts", "fetched-mail"}
"""What is printed is no part of what they read, and is thrown away."""
EMPTY_OR_NOT = {"files"}
"""The folder comes first, and one entry more is enough."""


def test_an_answer_that_was_cut_is_unreadable() -> None:
    cut = replace(result("whatever was kept\n"), stdout_bytes=OUTPUT_KEPT + 1)
    for probe in PROBES.keys() - COUNTING - EMPTY_OR_NOT:
        with pytest.raises(Unreadable, match=f"too long: {OUTPUT_KEPT + 1} bytes, of which {OUTPUT_KEPT} are kept"):
            PROBES[probe].read(lab_target(), {}, cut)
            pytest.fail(f"read: {probe}")


@pytest.mark.parametrize("probe", sorted(COUNTING))
def test_what_is_thrown_away_may_be_of_any_length(probe: str) -> None:
    long = replace(result(""), stdout_bytes=100 * OUTPUT_KEPT)
    assert PROBES[probe].read(lab_target(), {"path": "/x", "user": "u"}, long)


@pytest.mark.parametrize("probe", ["director-hosts", "director-ring", "proxied-sessions", "sessions"])
def test_the_tables_of_a_large_ring_and_its_users_are_kept_whole(probe: str) -> None:
    """Two thousand backends behind the same directors, fifty thousand users with names of sixty characters."""
    assert PROBES[probe].command(target(), {}).keeps >= 4 * 1024 * 1024


def test_no_user_is_named_where_the_sessions_cannot_be_counted() -> None:
    """The reason stands in the journal and in the thread."""
    with pytest.raises(Unreadable) as wrong:
        PROBES["proxied-sessions"].read(target(), {}, result("somebody@example.org\n"))
    assert "somebody" not in str(wrong.value)


def test_a_folder_with_more_entries_than_are_kept_is_there_and_is_not_empty() -> None:
    """A backend's metacache may have a folder for each of its users."""
    cut = replace(result("d\t/x\nd\t/x/somebody\nd\t/x/some"), stdout_bytes=100 * OUTPUT_KEPT)
    reading = PROBES["files"].read(lab_target(), {"path": "/x"}, cut)
    assert reading["exists"] is True
    assert int(reading["count"]) > 0
