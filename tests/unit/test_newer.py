"""What is newer on a host than in a folder, asked by the very command that hosts are asked with."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.configs import FolderProposals
from bot.core.hosts.command import Result
from bot.core.plans.newer import contents, contents_command, differing, in_short, newer
from bot.errors import Unreadable
from tests.build import target
from tests.fakes import answered


def asked(folder: Path) -> Result:
    command = contents_command(str(folder))
    ran = subprocess.run(command.argv, capture_output=True, text=True, check=False)
    return answered(target().backend, command, ran.stdout, stderr=ran.stderr, status=ran.returncode)


async def test_what_differs_and_is_newer_is_named_and_nothing_else(tmp_path: Path) -> None:
    there, proposed = tmp_path / "etc-dovecot", tmp_path / "configs" / "review"
    for folder in (there, proposed):
        (folder / "conf.d").mkdir(parents=True)
        for name in ("dovecot.conf", "conf.d/renewed.conf", "conf.d/ü same.conf", "reviewed.conf"):
            (folder / name).write_text("the same\n")
            os.utime(folder / name, (1_700_000_000,) * 2)
    (there / "conf.d/ü same.conf").touch()
    (there / "conf.d/renewed.conf").write_text("renewed\n")
    (there / "reviewed.conf").write_text("as it was\n")
    os.utime(there / "reviewed.conf", (1_600_000_000,) * 2)
    (there / "hotfix.conf").symlink_to("elsewhere")
    known = (await FolderProposals(proposed.parent).proposal("review")).files
    assert newer(contents(str(there), asked(there)), known) == ("conf.d/renewed.conf", "hotfix.conf")
    assert newer(contents(str(proposed), asked(proposed)), known) == ()
    said = "changed 2 (conf.d/renewed.conf, reviewed.conf), added none, removed 1 (hotfix.conf)"
    assert differing(contents(str(there), asked(there)), known) == said
    (proposed / "new.conf").write_text("new\n")
    known = (await FolderProposals(proposed.parent).proposal("review")).files
    assert "added 1 (new.conf), removed 1 (hotfix.conf)" in differing(contents(str(there), asked(there)), known)


def test_what_is_no_answer_says_nothing_of_what_is_newer(tmp_path: Path) -> None:
    good = asked(tmp_path)
    for answer in (
        replace(good, stdout=""),
        replace(good, exit_status=1, stdout="", stderr="sudo: a password is required"),
        replace(good, stdout_bytes=good.kept + 1),
        asked(tmp_path / "nowhere"),
    ):
        with pytest.raises(Unreadable):
            contents(str(tmp_path), answer)


def test_many_files_that_are_newer_are_counted_and_the_first_are_named() -> None:
    said = in_short([f"conf.d/{number:05}.conf" for number in range(10_000)])
    assert said.startswith("10000 (conf.d/00000.conf, conf.d/00001.conf")
    assert said.endswith(" more)")
    assert len(said) < 600
