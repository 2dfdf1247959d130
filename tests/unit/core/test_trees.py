"""A tree as it stands on a host, from what find says: whose it is, and what of it is not as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.core.hosts.command import Result
from bot.core.readings.outputs import Reading
from bot.core.readings.probes import PROBES
from bot.errors import Unreadable
from tests.build import target
from tests.fakes import MORNING

LIVE, STAGED = "/etc/dovecot", "/etc/dovecot.r1.proposed"


def said(text: str, exit_status: int = 0, stderr: str = "") -> Result:
    return Result(
        host="backend-3",
        command="find",
        exit_status=exit_status,
        stdout=text,
        stderr=stderr,
        stdout_bytes=len(text),
        began=MORNING,
        took=timedelta(0),
    )


def entry(path: str, whose: str = "root:root 644", *, root: str = LIVE, content: str = "a") -> str:
    """A file as find lists it, with its content; a path with a slash at its end is a folder."""
    names, mode = whose.split()
    kind, name = ("d", path.rstrip("/")) if path.endswith("/") else ("f", path)
    full = f"{root}/{name}" if name else root
    line = "\t".join((kind, mode, *names.split(":"), "1700000000.0", full, "")) + "\n"
    return line + (f"{content * 64}  {full}\n" if kind == "f" else "")


def tree(*entries: str, root: str = LIVE) -> str:
    return entry("/", "root:root 755", root=root) + "".join(entries)


def read(probe: str, text: str, exit_status: int = 0, stderr: str = "", **asks: str) -> Reading:
    return PROBES[probe].read(target(), {"path": LIVE, **asks}, said(text, exit_status, stderr))


def changed(before: str, now: str) -> object:
    return read("tree-changes", now, since=str(read("owned-tree", before)["listing"]))["difference"]


WAS = tree(entry("dovecot.conf"), entry("conf.d/", "root:root 755"), entry("conf.d/10-mail.conf"))


def test_a_tree_that_is_as_it_was_has_not_changed_however_it_is_listed_and_whenever_it_was_touched() -> None:
    lines = WAS.splitlines(keepends=True)
    assert changed(WAS, "".join(reversed(lines)).replace("1700000000.0", "1800000000.0")) == "none"


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (
            WAS.replace("a" * 64 + "  /etc/dovecot/conf.d", "b" * 64 + "  /etc/dovecot/conf.d"),
            "changed conf.d/10-mail.conf",
        ),
        (WAS + entry("conf.d/99-fix.conf"), "added conf.d/99-fix.conf"),
        (WAS.replace(entry("dovecot.conf"), ""), "removed dovecot.conf"),
        (WAS.replace("f\t644", "f\t640", 1), "dovecot.conf is root:root 640, was root:root 644"),
        (WAS.replace("d\t755\troot\troot", "d\t755\troot\tmail", 1), ". is root:mail 755, was root:root 755"),
        (WAS.replace(entry("dovecot.conf"), entry("dovecot.conf/", "root:root 644")), "changed dovecot.conf"),
    ],
    ids=["content", "added", "removed", "mode", "group", "kind"],
)
def test_every_change_is_named(now: str, told: str) -> None:
    """A digest says that something is different, and lets a person search for it."""
    assert changed(WAS, now) == told


def test_a_tree_that_is_gone_is_said_to_be_gone() -> None:
    gone = "find: ‘/etc/dovecot’: No such file or directory"
    assert read("owned-tree", "", 1, gone) == {"files": 0, "state": "none", "listing": ""}
    since = str(read("owned-tree", WAS)["listing"])
    assert read("tree-changes", "", 1, gone, since=since)["difference"] == "/etc/dovecot is not there"


@pytest.mark.parametrize(
    ("text", "exit_status", "stderr"),
    [
        ("", 1, "sudo: a password is required"),
        ("", 1, ""),
        (WAS, 1, "find: ‘/etc/dovecot/private’: Permission denied"),
        (WAS, 1, "find: ‘/etc/dovecot’: Permission denied"),
        ("", 1, "find: ‘/etc/dovecot.r1.before’: No such file or directory"),
        (WAS.replace("a" * 64 + "  /etc/dovecot/dovecot.conf\n", ""), 0, ""),
        (WAS + "a" * 64 + "  /etc/dovecot/more\n", 0, ""),
        (WAS + "\\" + "a" * 64 + "  /etc/dovecot/a\\nb\n", 0, ""),
    ],
    ids=["sudo", "silence", "not-whole", "not-opened", "another", "no-content", "no-entry", "escaped"],
)
def test_what_is_not_the_whole_tree_is_no_reading(text: str, exit_status: int, stderr: str) -> None:
    with pytest.raises(Unreadable):
        read("owned-tree", text, exit_status, stderr)


def test_without_what_was_there_before_nothing_is_compared() -> None:
    """A check that somebody skipped has remembered nothing."""
    for since in ("", "{observed.config_compared}"):
        with pytest.raises(Unreadable, match="how it was before"):
            read("tree-changes", WAS, since=since)


# whose a copy is


def owned(copy: str, live: str, owners: str = "") -> Reading:
    return read("ownership", copy + live, path=STAGED, like=LIVE, owners=owners)


SECRET = entry("private/", "root:root 700") + entry("private/key.pem", "root:dovecot 640")


def listed(*entries: str, root: str) -> str:
    """Without contents, as this probe asks for none."""
    return "".join(line for line in tree(*entries, root=root).splitlines(keepends=True) if not line.startswith("a"))


def test_a_copy_that_anybody_may_read_is_not_as_it_has_to_be() -> None:
    live = listed(SECRET, root=LIVE)
    assert owned(live.replace(LIVE, STAGED), live) == {"difference": "none", "new": "none"}
    copy = listed(
        entry("private/", "root:root 755", root=STAGED),
        entry("private/key.pem", "root:root 640", root=STAGED),
        root=STAGED,
    )
    assert owned(copy, live)["difference"] == (
        "private is root:root 755, and as on the host it is root:root 700;"
        " private/key.pem is root:root 640, and as on the host it is root:dovecot 640"
    )


def test_what_is_new_is_told_with_whose_it_will_be() -> None:
    live = listed(SECRET, root=LIVE)
    copy = live.replace(LIVE, STAGED) + listed(entry("private/b.pem", "root:dovecot 640", root=STAGED), root=STAGED)
    assert owned(copy, live) == {"difference": "none", "new": "private/b.pem root:dovecot 640 as those beside it"}
    said_so = owned(copy, live, "root:mail 640 private/b.pem")
    assert said_so["difference"] == ("private/b.pem is root:dovecot 640, and as .ownership says it is root:mail 640")


def test_where_one_of_the_two_is_not_there_it_is_not_done() -> None:
    """Half of the swap: the old one is moved, the new one is not there yet. Then the rest may be sent."""
    gone = f"find: ‘{STAGED}’: No such file or directory"
    reading = read("ownership", listed(root=LIVE), 1, gone, path=STAGED, like=LIVE)
    assert reading["difference"] == f"{STAGED} is not there"


@pytest.mark.parametrize(
    "why", ["Permission denied", "Input/output error", "Stale file handle", "Datei oder Verzeichnis"]
)
@pytest.mark.parametrize("probe", ["tree", "owned-tree", "ownership"])
def test_what_cannot_be_read_is_not_taken_for_what_is_not_there(probe: str, why: str) -> None:
    """That /etc/dovecot is not there lets a proposed one be put in its place."""
    beside = entry("", "root:root 755", root=STAGED) if probe == "ownership" else ""
    path = STAGED if probe == "ownership" else LIVE
    with pytest.raises(Unreadable):
        PROBES[probe].read(target(), {"path": path, "like": LIVE}, said(beside, 1, f"find: ‘{LIVE}’: {why}"))


def test_of_a_folder_that_is_a_link_nothing_is_said_to_be_gone() -> None:
    """find prints nothing of what is in it, and exits with 0, while `rm` follows the link."""
    asks = {"path": "/var/lib/dovecot/metacache", "named": "metacache-users*"}
    for printed in ("", "l\t/var/lib/dovecot/metacache\n"):
        with pytest.raises(Unreadable, match="does not say that /var/lib/dovecot/metacache is a folder"):
            PROBES["files"].read(target(), asks, said(printed))


MOUNTED = (
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:2 / {0} rw - ext4 /dev/sdb1 rw\n31 22 8:1 / {0}-old rw - ext4 x rw\n"
)


def test_what_is_mounted_below_a_folder_is_named_and_what_is_mounted_beside_it_is_not() -> None:
    """The folder itself may well be a disk of its own."""
    path = "/var/dovecot/vmail"

    def below(*points: str) -> str | int | bool:
        rows = "".join(f"4{at} 30 8:1 / {point} rw - ext4 x rw\n" for at, point in enumerate(points))
        return PROBES["mounts"].read(target(), {"path": path}, said(f"{path}\n{MOUNTED.format(path)}{rows}"))["below"]

    assert below() == "none"
    assert below(f"{path}/a\\040b") == f"{path}/a b"
    assert below(*(f"{path}/{name}" for name in "abcde")) == f"{path}/a, {path}/b, {path}/c and 2 more"


@pytest.mark.parametrize(
    "text", ["", "/var/dovecot/vmail\n", "22 1 8:1 / / rw - ext4 x rw\n", "/var/dovecot/vmail\n3 2\n"]
)
def test_a_list_of_mounts_that_is_not_whole_says_nothing(text: str) -> None:
    with pytest.raises(Unreadable, match="does not say what is mounted"):
        PROBES["mounts"].read(target(), {"path": "/var/dovecot/vmail"}, said(text))
