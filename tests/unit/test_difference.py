"""What a proposed configuration changes, by GNU find and diff themselves: nothing is left out, and no secret told."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.hosts.command import Result
from bot.core.readings.difference import KEPT, TEXT, Difference, difference
from bot.core.readings.probes import PROBES
from bot.core.text.redact import is_secret
from bot.errors import Unreadable
from tests.build import NOON, target

SECRET = "tr0ub4dor-and-3"


class Trees:
    """Two folders, compared as on a host: by the probe's own command."""

    def __init__(self, folder: Path) -> None:
        self.before, self.after = folder / "dovecot", folder / "dovecot.r1.proposed"
        for side in (self.before, self.after):
            side.mkdir()
            self.write(side, "dovecot.conf", "protocols = imap\n")

    @staticmethod
    def write(side: Path, name: str, text: str, mode: int = 0o644) -> None:
        path = side / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.utime(path, (NOON.timestamp(),) * 2)  # which side is newer is for a test to say, not for the clock

    def both(self, name: str, old: str, new: str, mode: int = 0o644) -> None:
        self.write(self.before, name, old, mode)
        self.write(self.after, name, new, mode)

    @property
    def asks(self) -> dict[str, str]:
        return {"path": str(self.before), "to": str(self.after)}

    def result(self) -> Result:
        command = PROBES["config-difference"].command(target(), self.asks)
        ran = subprocess.run(command.argv, capture_output=True, text=True, errors="replace", check=False)
        return Result(
            host="backend-3",
            command=command.text,
            exit_status=ran.returncode,
            stdout=ran.stdout,
            stderr=ran.stderr,
            stdout_bytes=len(ran.stdout.encode()),
            kept=KEPT,
            began=NOON,
            took=timedelta(0),
        )

    def reading(self) -> Mapping[str, str | int | bool]:
        return PROBES["config-difference"].read(target(), self.asks, self.result())

    def differ(self) -> Difference:
        return self.read(self.result())

    def read(self, answer: Result) -> Difference:
        return difference(self.asks["path"], self.asks["to"], answer)


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def test_two_trees_that_are_the_same_differ_in_nothing(trees: Trees) -> None:
    assert trees.differ().listed == "0 changed, 0 added, 0 removed; lines +0 -0; newer on the host: none"


def test_every_file_that_is_changed_added_or_removed_is_listed_empty_ones_too(trees: Trees) -> None:
    trees.both("conf.d/10-mail.conf", "a = 1\n", "a = 2\n")
    trees.write(trees.before, "gone.conf", "")
    trees.write(trees.after, "conf.d/new/99-evil.conf", "")
    trees.write(trees.after, "with space ü.conf", "x = 1")
    trees.both("bin ary", "a\0b", "a\0c")
    (trees.before / "this and that").symlink_to("a")
    (trees.after / "this and that").symlink_to("b")
    trees.write(trees.before, "was a folder/x", "")
    trees.write(trees.after, "was a folder", "")
    os.mkfifo(trees.before / "fifo")
    found = trees.differ()
    assert [(one.how, one.path) for one in found.files] == [
        ("changed", "bin ary"),
        ("changed", "conf.d/10-mail.conf"),
        ("added", "conf.d/new/99-evil.conf"),
        ("removed", "fifo"),
        ("removed", "gone.conf"),
        ("changed", "this and that"),
        ("changed", "was a folder"),
        ("removed", "was a folder/x"),
        ("added", "with space ü.conf"),
    ]
    assert found.listed.startswith("4 changed, 2 added, 3 removed; lines +2 -1; ")
    assert "-a = 1\n+a = 2" in found.whole
    assert "+x = 1" in found.whole


def test_a_mode_that_is_another_one_is_told(trees: Trees) -> None:
    trees.both("a.conf", "x\n", "x\n")
    (trees.after / "a.conf").chmod(0o664)
    (trees.before / "private").mkdir(mode=0o700)
    (trees.after / "private").mkdir(mode=0o755)
    listed = trees.differ().listed
    assert re.search(r"^changed: a.conf \((\S+:\S+) 644 → \1 664\)$", listed, re.MULTILINE)
    assert re.search(r"^changed: private \((\S+:\S+) 700 → \1 755\)$", listed, re.MULTILINE)


def test_links_are_compared_as_links_and_their_targets_are_shown(trees: Trees, tmp_path: Path) -> None:
    """A proposed link into root's files printed them: diff follows links unless it is told not to."""
    (tmp_path / "shadow").write_text(f"root:{SECRET}\n")
    (trees.after / "new.conf").symlink_to(tmp_path / "shadow")
    (trees.before / "old.conf").symlink_to("nowhere")
    for side, text in ((trees.before, "a"), (trees.after, "b")):
        (side / "other.conf").symlink_to(f"/etc/{text}")
    trees.write(trees.before, "was.conf", "x\n")
    (trees.after / "was.conf").symlink_to(tmp_path / "shadow")
    found = trees.differ()
    assert SECRET not in found.whole
    assert "changed: other.conf (a link: /etc/a → /etc/b)" in found.listed
    assert f"added: new.conf (a link: {tmp_path}/shadow)" in found.listed
    assert "removed: old.conf (a link: nowhere)" in found.listed
    assert f"changed: was.conf (a link: no link → {tmp_path}/shadow)" in found.listed


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("private/passphrase", 0o644),
        ("private/deep/in/it", 0o644),
        ("tls/dovecot.key", 0o644),
        ("dovecot.pem", 0o644),
        ("users", 0o644),
        ("imap.passwd", 0o644),
        ("passwd.masterusers", 0o644),
        ("conf.d/21-sql.conf.ext", 0o640),
        ("conf.d/21-sql.conf.ext", 0o600),
    ],
)
@pytest.mark.parametrize("how", ["changed", "added", "removed"])
def test_a_file_that_is_kept_from_others_is_listed_without_its_content(
    trees: Trees, name: str, mode: int, how: str
) -> None:
    """Seen: the name of private/passphrase was hidden, and its content printed."""
    if how != "added":
        trees.write(trees.before, name, f"{SECRET}-old\n", mode)
    if how != "removed":
        trees.write(trees.after, name, f"{SECRET}-new\n", mode)
    whole = trees.differ().whole
    assert SECRET not in whole
    assert f"{how}: {name} (its content is not shown)" in whole


def test_what_stands_in_a_folder_that_others_may_not_enter_is_not_shown(trees: Trees) -> None:
    trees.write(trees.after, "sql/connect.conf", f"x {SECRET}\n")
    (trees.after / "sql").chmod(0o750)
    assert SECRET not in trees.differ().whole


def test_a_file_behind_sixteen_hundred_comment_lines_is_listed_and_what_is_cut_is_said(trees: Trees) -> None:
    """Seen: 99-evil.conf was behind them, and was cut off."""
    comment = "".join(f"# {'so it was decided in the review ' * 3}{number}\n" for number in range(1_600))
    trees.write(trees.after, "conf.d/00-comment.conf", comment)
    trees.write(trees.after, "conf.d/99-evil.conf", "mail_location = /tmp\n")
    whole = trees.differ().whole
    assert "added: conf.d/99-evil.conf" in whole
    assert "+mail_location = /tmp" in whole
    assert re.search(r"^… \(\d+ lines left out\)$", whole, re.MULTILINE)
    assert len(whole) < TEXT + 2_000


def test_of_a_thousand_files_the_text_is_left_out_and_each_is_listed(trees: Trees) -> None:
    trees.write(trees.after, "many/0.conf", "x = 1\n")
    for number in range(1, 1_000):
        (trees.after / "many" / f"{number}.conf").hardlink_to(trees.after / "many" / "0.conf")
    found = trees.differ()
    assert found.count("added") == 1_000
    assert {f"added: many/{number}.conf" for number in range(1_000)} <= set(found.listed.splitlines())
    assert "the text of 1000 files is left out; all are in the list above" in found.whole


def test_no_file_says_that_it_is_a_difference_of_another_one(trees: Trees) -> None:
    """What stands in a file stands behind a sign in what diff says; it can forge no line of its own."""
    forged = f"diff --recursive x {trees.after}/forged.conf\n\nf\t644\ta\ta\t1.0\t{trees.after}/forged.conf\t\n"
    trees.both("a.conf", "x\n", forged)
    assert [one.path for one in trees.differ().files] == ["a.conf"]


def test_what_is_no_answer_of_diff_is_unreadable(trees: Trees) -> None:
    """An exit that nothing explains must not come to mean that nothing differs."""
    good = trees.result()
    trees.both("a.conf", "x\n", "y\n")
    differs = trees.result()
    listed = differs.stdout.partition("\n\n")[0] + "\n\n"
    for answer in (
        replace(good, exit_status=1),
        replace(good, exit_status=1, stdout="", stderr="sudo: a password is required"),
        replace(good, exit_status=1, stdout=""),
        replace(good, stdout=""),
        replace(good, stdout="\n"),
        replace(good, stdout=good.stdout.replace("\n", "\nodd\n", 1)),
        replace(good, stdout=listed + "Files of another kind differ\n", exit_status=1),
        replace(good, stdout=listed + f"diff -u a {trees.after}/came-later.conf\n@@ -1 +1 @@\n+x\n", exit_status=1),
        replace(good, exit_status=127, stderr="sh: 1: diff: not found"),
        replace(differs, exit_status=0),
        replace(differs, exit_status=2, stderr="diff: /etc/dovecot/x: Permission denied"),
        replace(differs, exit_status=2, stderr=""),
        replace(differs, stdout=listed),
        replace(differs, stdout_bytes=KEPT + 1),
    ):
        with pytest.raises(Unreadable):
            trees.read(answer)


def test_what_is_newer_on_the_host_is_named_by_the_times_of_the_files(trees: Trees) -> None:
    """A certificate that was renewed, a hotfix: the folder may be weeks old, and it replaces all of them."""
    for name in ("renewed.conf", "reviewed.conf", "same.conf"):
        trees.both(name, "a\n", "a\n" if name == "same.conf" else "b\n")
    trees.write(trees.before, "hotfix.conf", "x\n")
    trees.write(trees.before, "old.conf", "x\n")
    for path in (path for path in (*trees.before.rglob("*"), *trees.after.rglob("*")) if path.is_file()):
        os.utime(path, (1_700_000_000,) * 2)
    os.utime(trees.before / "old.conf", (1_600_000_000,) * 2)
    os.utime(trees.after / "reviewed.conf", (1_700_000_001,) * 2)
    for name in ("renewed.conf", "same.conf", "hotfix.conf"):
        os.utime(trees.before / name, (1_700_000_060,) * 2)
    found = trees.differ()
    assert found.newer == "2 (hotfix.conf, renewed.conf)"
    assert found.listed.splitlines()[1:] == [
        "removed: hotfix.conf (newer on the host)",
        "removed: old.conf",
        "changed: renewed.conf (newer on the host)",
        "changed: reviewed.conf",
    ]
    assert trees.reading()["newer"] == found.newer


@pytest.mark.parametrize(
    "path", ["dovecot.conf", "conf.d/auth-passwdfile.conf.ext", "conf.d/10-ssl.conf", "README", "superusers.conf"]
)
def test_a_file_of_configuration_is_no_secret_by_its_name(path: str) -> None:
    assert not is_secret(path)
