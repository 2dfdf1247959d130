"""A list of files, as find prints it; tests/contract/test_shell.py has find itself."""

from __future__ import annotations

import pytest

from bot.core.plans.listing import listing
from bot.errors import Unreadable


@pytest.mark.parametrize(
    "line",
    ["", "find: ‘/x’: Permission denied", "f\t644\troot\troot\t1.0\t/elsewhere/a\t", "f\t644\troot\troot\t1.0\t/x/a"],
)
def test_what_is_no_entry_of_these_trees_is_unreadable(line: str) -> None:
    with pytest.raises(Unreadable):
        listing(["d\t755\troot\troot\t1.0\t/x\t", line], "/x")
