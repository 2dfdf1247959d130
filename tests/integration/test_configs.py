"""Proposed configurations: what is hashed here is what the `tree` probe reads back on the host; the rest is refused."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from bot.adapters.configs import MOST_BYTES, MOST_ENTRIES, PATH_ON_HOST, FolderProposals
from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Backend, Director, Ring, Target
from bot.core.readings.probes import PROBES
from bot.errors import Refused
from tests.fakes import MORNING

NAME = "dovecot-2026.03"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "configs" / NAME
    (folder / "conf.d").mkdir(parents=True)
    (folder / "dovecot.conf").write_text("!include conf.d/*.conf\n")
    (folder / "conf.d" / "10-mail.conf").write_text("mail_location = maildir:~/Maildir\n")
    return folder


@pytest.fixture
def proposals(config: Path) -> FolderProposals:
    return FolderProposals(config.parent)


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_folder_that_is_named_keep_is_refused_and_not_listed(config: Path, proposals: FolderProposals) -> None:
    """config=keep is typed for none: a folder of that name would never be meant by it."""
    config.rename(config.parent / "keep")
    with pytest.raises(Refused, match="cannot be named keep, which means none: give its folder another name"):
        asyncio.run(proposals.proposal("keep"))
    with pytest.raises(Refused, match="There are: none"):
        asyncio.run(proposals.proposal(NAME))


def rich(config: Path) -> None:
    """All that may be in a configuration."""
    (config / "private").mkdir(mode=0o700)
    (config / "private" / "dovecot key.pem").write_bytes(bytes(range(256)))
    (config / "private" / "dovecot key.pem").chmod(0o600)
    (config / "script.sh").write_text("#!/bin/sh\n")
    (config / "script.sh").chmod(0o755)
    (config / "größe  – zwei.conf").write_text("# two spaces in the name\n")
    (config / "-rf").write_text("")
    (config / ("l" * 200)).write_text("a long name needs a header of its own\n")
    (config / "relative").symlink_to("conf.d/10-mail.conf")
    (config / "absolute").symlink_to("/usr/share/dovecot/protocols.d")
    (config / "dangling").symlink_to("nowhere")
    (config / "empty.d").mkdir()


def read_back(folder: Path) -> object:
    """The digest that the host itself would tell of a folder."""
    ring = Ring(
        name="ring",
        directors=(Director(name="director-1"),),
        backends=(Backend(name="backend-1", ip="192.0.2.1"), Backend(name="backend-2", ip="192.0.2.2")),
        test_user="canary",
    )
    target = Target(ring=ring, backend=ring.backends[0])
    asks = {"path": str(folder)}
    command = PROBES["tree"].command(target, asks)
    ran = subprocess.run(command.argv, capture_output=True, check=True)
    result = Result(
        host="backend-1",
        command=command.text,
        exit_status=0,
        stdout=ran.stdout.decode(),
        stderr="",
        stdout_bytes=len(ran.stdout),
        began=MORNING,
        took=timedelta(0),
        kept=command.keeps,
    )
    return PROBES["tree"].read(target, asks, result)["digest"]


def unpacked(archive: bytes, into: Path) -> Path:
    into.mkdir(mode=0o700)
    subprocess.run(["tar", "--extract", "--preserve-permissions", "--directory", into], input=archive, check=True)
    return into


async def test_the_host_reads_back_the_digest_that_was_approved(
    proposals: FolderProposals, config: Path, tmp_path: Path
) -> None:
    """Otherwise every install would fail at its proof, after the files are in place."""
    rich(config)
    proposal = await proposals.proposal(NAME)
    folder = unpacked(await proposals.archive(proposal), tmp_path / "etc-dovecot")
    assert read_back(folder) == proposal.digest == read_back(config)


async def test_the_unpacked_folder_keeps_modes_of_files_and_opens_its_folders(
    proposals: FolderProposals, config: Path, tmp_path: Path
) -> None:
    rich(config)
    folder = unpacked(await proposals.archive(await proposals.proposal(NAME)), tmp_path / "etc-dovecot")
    modes = {path: (folder / path).stat().st_mode & 0o7777 for path in (".", "private", "script.sh", "conf.d")}
    assert modes == {".": 0o755, "private": 0o755, "script.sh": 0o755, "conf.d": 0o755}
    assert (folder / "private" / "dovecot key.pem").stat().st_mode & 0o7777 == 0o600
    assert (folder / "private" / "dovecot key.pem").read_bytes() == bytes(range(256))
    assert (folder / "absolute").readlink() == Path("/usr/share/dovecot/protocols.d")
    assert (folder / "empty.d").is_dir()


async def test_the_archive_has_the_times_of_the_files_and_an_approval_is_not_of_these(
    proposals: FolderProposals, config: Path, tmp_path: Path
) -> None:
    """By them the host's newer files are known; a file that was only touched is the same file."""
    proposal = await proposals.proposal(NAME)
    before = await proposals.archive(proposal)
    assert await proposals.archive(proposal) == before
    os.utime(config / "dovecot.conf", (1_600_000_000.9, 1_600_000_000.9))
    assert await proposals.proposal(NAME) == proposal
    folder = unpacked(await proposals.archive(proposal), tmp_path / "etc-dovecot")
    assert (folder / "dovecot.conf").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize(
    "change",
    [
        lambda config: (config / "dovecot.conf").write_text("other\n"),
        lambda config: (config / "dovecot.conf").chmod(0o600),
        lambda config: (config / "new.conf").write_text(""),
        lambda config: (config / "link").symlink_to("dovecot.conf"),
        lambda config: (config / "conf.d" / "10-mail.conf").unlink(),
    ],
    ids=["content", "mode", "added", "link", "removed"],
)
async def test_what_changed_after_the_approval_is_not_handed_out(
    proposals: FolderProposals, config: Path, change: Callable[[Path], object]
) -> None:
    proposal = await proposals.proposal(NAME)
    change(config)
    with pytest.raises(Refused, match="has changed since it was approved"):
        await proposals.archive(proposal)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def deep(config: Path, count: int) -> list[Path]:
    """Paths of files that are as long as they may be."""
    folder = config / ("d" * 250) / ("e" * 250) / ("f" * 250)
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / f"{number:05}{'g' * 200}.conf" for number in range(count)]


def lay(config: Path, paths: Sequence[Path]) -> None:
    """Have these files there, all of them one file under many names, which is soon made."""
    for path in paths:
        path.hardlink_to(config / "dovecot.conf")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda config: (config / "dovecot.conf").unlink(), "no file dovecot.conf"),
        (lambda config: os.mkfifo(config / "pipe"), "pipe is neither a file, a folder nor a link"),
        (lambda config: _socket(config / "s"), "s is neither"),
        (lambda config: (config / "dovecot.conf").chmod(0o4755), r"setuid or setgid \(mode 4755\)"),
        (lambda config: (config / "dovecot.conf").chmod(0o2755), "setuid or setgid"),
        (lambda config: (config / "dovecot.conf").chmod(0o666), "written by everybody"),
        (lambda config: (config / "conf.d").chmod(0o777), "written by everybody"),
        (lambda config: config.chmod(0o777), "written by everybody"),
        (lambda config: (config / "a\nb").write_text(""), r"the name 'a\\nb' has characters"),
        (lambda config: (config / "a\tb").write_text(""), "has characters"),
        (lambda config: (config / "a\\b").write_text(""), "has characters"),
        (lambda config: (config / "a\x85b").write_text(""), "has characters"),
        (lambda config: (config / "a\u2028b").write_text(""), "has characters"),
        (lambda config: Path(os.fsdecode(bytes(config) + b"/\xff")).write_text(""), "has characters"),
        (lambda config: (config / "link").symlink_to("a\nb"), "has characters"),
        (lambda config: (config / "big").write_bytes(bytes(MOST_BYTES)), "larger than 16 MiB"),
        (lambda config: lay(config, [config / f"{n}" for n in range(MOST_ENTRIES)]), "more than 20,000 entries"),
        (lambda config: lay(config, deep(config, 8_900)), "too many files to be compared"),
    ],
)
async def test_what_no_host_should_get_is_refused_by_its_name(
    proposals: FolderProposals, config: Path, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(config)
    with pytest.raises(Refused, match=why) as refused:
        await proposals.proposal(NAME)
    assert NAME in str(refused.value)


async def test_the_largest_configuration_that_is_taken_can_still_be_read_back(
    proposals: FolderProposals, config: Path, short_path: Path
) -> None:
    """The host's list is cut somewhere, and a cut list proves nothing: the limit has to show here, not there."""
    paths = deep(config, 8_900)
    taken, refused = 0, len(paths)
    while refused - taken > 50:
        count = (taken + refused) // 2
        lay(config, paths[taken:count])
        try:
            await proposals.proposal(NAME)
        except Refused:
            refused = count
            for path in paths[taken:count]:
                path.unlink()
        else:
            taken = count
    assert 0 < taken < refused < len(paths)
    largest = await proposals.proposal(NAME)
    archive = await proposals.archive(largest)
    path = short_path / ("r" * (PATH_ON_HOST - len(f"{short_path}//")))
    assert read_back(unpacked(archive, path)) == largest.digest


async def test_an_unknown_name_is_told_which_there_are(proposals: FolderProposals) -> None:
    with pytest.raises(Refused, match=f"There are: {NAME}"):
        await proposals.proposal("other")


@pytest.mark.parametrize("name", ["../etc", "/etc", "", "a/b", "..", "a..b", ".hidden"])
async def test_a_path_is_not_a_name(proposals: FolderProposals, name: str) -> None:
    with pytest.raises(Refused, match="is not a name"):
        await proposals.proposal(name)


async def test_a_link_in_the_place_of_a_configuration_is_refused(proposals: FolderProposals, config: Path) -> None:
    """Whoever may write one link would else choose any folder of the machine."""
    (config.parent / "linked").symlink_to(config)
    (config.parent / "out").symlink_to("/etc")
    for name in ("linked", "out"):
        with pytest.raises(Refused, match="it is a link"):
            await proposals.proposal(name)


async def test_without_a_folder_there_are_no_configurations() -> None:
    with pytest.raises(Refused, match="`configs` names no folder"):
        await FolderProposals(None).proposal(NAME)


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="There are: none"):
        await FolderProposals(tmp_path / "nowhere").proposal(NAME)


# the manifest

LIKE = "\n".join(
    (
        ".\td\t755\troot\troot\t",
        "conf.d\td\t755\troot\troot\t",
        "conf.d/10-mail.conf\tf\t640\troot\tdovecot\tabc",
        "dovecot.conf\tf\t644\t1234\troot\tabc",
    )
)
"""What is in place, as the host has listed it."""


def packed(archive: bytes) -> dict[str, tuple[str, str, int, str]]:
    """By name: owner, group, number and mode of each entry."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return {one.name: (one.uname, one.gname, one.uid, f"{one.mode:o}") for one in found}


async def test_the_archive_has_the_owners_and_modes_of_what_is_in_place(
    proposals: FolderProposals, config: Path
) -> None:
    (config / "conf.d/20-new.conf").write_text("")
    found = packed(await proposals.archive(await proposals.proposal(NAME), LIKE))
    assert found == {
        ".": ("root", "root", 0, "755"),
        "conf.d": ("root", "root", 0, "755"),
        "conf.d/10-mail.conf": ("root", "dovecot", 0, "640"),
        "conf.d/20-new.conf": ("root", "dovecot", 0, "640"),
        "dovecot.conf": ("", "root", 1234, "644"),
    }


async def test_the_manifest_is_approved_with_the_rest_and_is_no_file_of_it(
    proposals: FolderProposals, config: Path
) -> None:
    without = await proposals.proposal(NAME)
    (config / ".ownership").write_text("# who\nroot:mail 0640 dovecot.conf\n")
    known = await proposals.proposal(NAME)
    assert (known.contents, known.owners) == (without.contents, "root:mail 640 dovecot.conf")
    assert known.digest != without.digest
    found = packed(await proposals.archive(known, LIKE))
    assert (found["dovecot.conf"], ".ownership" in found) == (("root", "mail", 0, "640"), False)
    (config / ".ownership").write_text("root:mail 0600 dovecot.conf\n")
    with pytest.raises(Refused, match="has changed since it was approved"):
        await proposals.archive(known, LIKE)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_text("root 640 dovecot.conf"), "line 1: this is not OWNER:GROUP MODE PATH"),
        (
            lambda path: path.write_text("root:root 640 dovecot.cnf"),
            "names what is not there: root:root 640 dovecot.cnf",
        ),
        (lambda path: path.write_bytes(b"\xff"), "is no text in UTF-8"),
        (lambda path: path.mkdir(), "is no file"),
        (lambda path: path.symlink_to("dovecot.conf"), "is no file"),
    ],
)
async def test_a_manifest_that_cannot_be_followed_refuses_the_configuration(
    proposals: FolderProposals, config: Path, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(config / ".ownership")
    with pytest.raises(Refused, match=why):
        await proposals.proposal(NAME)


async def test_a_procedure_that_copies_without_owners_takes_no_manifest(
    proposals: FolderProposals, config: Path
) -> None:
    """It would be passed over in silence."""
    (config / ".ownership").write_text("root:mail 0640 dovecot.conf\n")
    with pytest.raises(Refused, match="the procedure copies it with --no-same-owner"):
        await proposals.archive(await proposals.proposal(NAME))
