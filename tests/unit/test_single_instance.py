"""One bot a journal, by whatever name the journal is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.adapters.single_instance import single_instance
from bot.errors import Misconfigured

NAMES: dict[str, Callable[[Path], Path]] = {
    "its own name": lambda journal: journal,
    "a link to it": lambda journal: linked(journal.parent.parent / "link.db", journal),
    "a link to a link": lambda journal: linked(
        journal.parent / "second.db", linked(journal.parent.parent / "first.db", journal)
    ),
    "a link to its folder": lambda journal: linked(journal.parent.parent / "folder", journal.parent) / journal.name,
    "a way round": lambda journal: journal.parent / ".." / journal.parent.name / journal.name,
}


def linked(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept" / "journal.db"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_second_bot_is_refused_by_whatever_name_it_calls_the_journal(
    journal: Path, name: str, is_there: bool
) -> None:
    """Two bots would each bring every run forward."""
    if is_there:
        journal.touch()
    other = NAMES[name](journal)
    with (
        single_instance(journal),
        pytest.raises(Misconfigured, match=r"another bot \(process [0-9]+\)"),
        single_instance(other),
    ):
        pass
    with single_instance(other), pytest.raises(Misconfigured, match="another bot"), single_instance(journal):
        pass


def test_the_lock_stands_beside_the_journal_itself_and_never_in_it(journal: Path) -> None:
    """Closing a second descriptor of an SQLite file would drop SQLite's own locks on it."""
    other = NAMES["a link to it"](journal)
    with single_instance(other):
        assert [path.name for path in journal.parent.iterdir()] == ["journal.db.lock"]
        assert not other.with_name("link.db.lock").exists()
