"""The line for systemd-tmpfiles that sites get for the downloads: what is old goes, the folder and the rest stay."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.build import plan

LINE = Path(__file__).parents[2] / "deploy/dovecot-bot.tmpfiles"
CACHE = "var/cache/dovecot-bot"


def planned() -> str:
    """The folder that a run downloads into, as its plan says it."""
    (step,) = (step for step in plan().changes if step.name == "download-packages")
    (found,) = {word for word in step.action.command.text.split() if word.startswith("Dir::Cache::archives=")}
    return found.partition("=")[2]


def cleaned(root: Path, age: str) -> list[str]:
    """What is left of two runs' downloads and of another program's, once it was cleaned at that age."""
    run = planned().removeprefix(f"/{CACHE}/")
    for kept in (f"{CACHE}/{run}/partial", "var/cache/others"):
        (root / kept).mkdir(parents=True)
    for file in (f"{CACHE}/{run}/dovecot-core_1%3a2.3_amd64.deb", f"{CACHE}/{run}/lock", "var/cache/others/old.deb"):
        (root / file).write_text("!<arch>\n")
    time.sleep(1.1)
    line = root / "dovecot-bot.conf"
    line.write_text(LINE.read_text().replace("30d", age))
    program = shutil.which("systemd-tmpfiles")
    assert program is not None
    subprocess.run([program, "--clean", f"--root={root}", str(line)], check=True, timeout=20)
    return sorted(str(path.relative_to(root)) for path in (root / "var").rglob("*"))


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not here")
def test_downloads_go_once_they_are_old_and_nothing_else_does(tmp_path: Path) -> None:
    assert planned() == f"/{CACHE}/r2025a"
    assert LINE.read_text().splitlines()[-1] == f"e /{CACHE} - - - 30d"
    assert cleaned(tmp_path / "old", "1s") == ["var/cache", CACHE, "var/cache/others", "var/cache/others/old.deb"]
    young = cleaned(tmp_path / "young", "30d")
    assert [path for path in young if path.endswith(".deb")] == [
        f"{CACHE}/r2025a/dovecot-core_1%3a2.3_amd64.deb",
        "var/cache/others/old.deb",
    ]
