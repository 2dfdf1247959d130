"""A list of files as find itself prints it."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from bot.core.plans.listing import FORMAT, ListedFile, listing
from bot.errors import Unreadable


def test_each_entry_is_read_with_its_owner_mode_time_and_target(tmp_path: Path) -> None:
    one, two = tmp_path / "dovecot", tmp_path / "dovecot.r1.proposed"
    (one / "conf.d").mkdir(parents=True)
    two.mkdir()
    (one / "conf.d/größe .conf").write_text("x")
    (one / "conf.d/größe .conf").chmod(0o640)
    os.utime(one / "conf.d/größe .conf", (1_700_000_000.75, 1_700_000_000.75))
    (two / "link").symlink_to("/etc/ssl/a.pem")
    printed = subprocess.run(["find", one, two, "-printf", FORMAT], capture_output=True, text=True, check=True).stdout
    before, after = listing(printed.splitlines(), str(one), str(two))
    assert set(before) == {".", "conf.d", "conf.d/größe .conf"}
    assert before["conf.d/größe .conf"] == ListedFile(
        kind="f",
        mode=0o640,
        owner=pwd.getpwuid(os.getuid()).pw_name,
        group=grp.getgrgid(os.getgid()).gr_name,
        changed=1_700_000_000,
    )
    assert before["conf.d"].kind == "d"
    assert (after["link"].kind, after["link"].target) == ("l", "/etc/ssl/a.pem")


@pytest.mark.parametrize(
    "line",
    ["", "find: ‘/x’: Permission denied", "f\t644\troot\troot\t1.0\t/elsewhere/a\t", "f\t644\troot\troot\t1.0\t/x/a"],
)
def test_what_is_no_entry_of_these_trees_is_unreadable(line: str) -> None:
    with pytest.raises(Unreadable):
        listing(["d\t755\troot\troot\t1.0\t/x\t", line], "/x")
