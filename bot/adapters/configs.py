"""The proposed configurations: folders of files, each a whole /etc/dovecot, read, judged and packed.

It must not know what the files say; whether Dovecot accepts them is seen on the host. A folder is read into memory
once, and what was read is what is hashed and packed: nothing can change in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.plans.proposal import KEEP, Proposal, config_name
from bot.core.readings.ownership import MANIFEST, NotFit, Owned, OwnerRule, assigned, rules, unused
from bot.core.readings.trees import TREE_KEPT, contents_digest, read_tree, tree_digest
from bot.errors import Refused

MOST_ENTRIES = 20_000
MOST_BYTES = 16 * 1024 * 1024
PATH_ON_HOST = 80
"""Bytes that the folder's own path may take in the host's list, where sha256sum prints it before every file."""


@dataclass(frozen=True, kw_only=True)
class _Member:
    """One entry below the folder; `content` is a file's bytes, None for a directory or a link.

    `changed`: in whole seconds since 1970, as the folder has it.
    """

    path: str
    mode: int
    content: bytes | None = field(default=None, repr=False)
    target: str | None = None
    changed: int = 0

    @property
    def holds(self) -> str | None:
        """The digest of a file's content, where a link points to; None for a directory."""
        return self.target if self.content is None else hashlib.sha256(self.content).hexdigest()

    @property
    def lines(self) -> tuple[str, ...]:
        """The entry as the `tree` probe reads it back on the host; a directory is not listed there."""
        if self.target is not None:
            return (f"link {self.target}\t{self.path}",)
        if self.content is None:
            return ()
        return (f"mode {self.mode:o}\t{self.path}", f"{self.holds}  {self.path}")

    @property
    def kind(self) -> str:
        """As find's letter."""
        return "l" if self.target is not None else "d" if self.content is None else "f"


@dataclass(frozen=True, kw_only=True)
class _Folder:
    """A proposed configuration as it was read: its entries, and its manifest, which goes to no host."""

    name: str
    members: tuple[_Member, ...]
    manifest: tuple[OwnerRule, ...]

    @property
    def kinds(self) -> dict[str, str]:
        return {".": "d"} | {member.path: member.kind for member in self.members}

    @property
    def proposal(self) -> Proposal:
        lines = [line for member in self.members for line in member.lines]
        owners = "\n".join(map(str, self.manifest))
        digest = tree_digest(lines)
        if owners:
            digest = hashlib.sha256(f"{digest}\n{owners}".encode()).hexdigest()
        return Proposal(
            name=self.name,
            digest=digest,
            contents=contents_digest(lines),
            owners=owners,
            files={member.path: (member.holds, member.changed) for member in self.members if member.holds is not None},
        )


class FolderProposals:
    """Every folder of `root` is a proposed configuration, under its own name; None: there are none."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    async def proposal(self, name: str) -> Proposal:
        """The configuration of that name; raises Refused, saying what is wrong and which there are."""
        if name == KEEP:
            raise Refused(f"A configuration cannot be named {KEEP}, which means none: give its folder another name.")
        return (await asyncio.to_thread(self._read, config_name(name))).proposal

    async def names(self) -> list[str]:
        """The names of all folders, the one that was changed last first."""
        return await asyncio.to_thread(self._names, self._root) if self._root else []

    async def archive(self, proposal: Proposal, like: str | None = None) -> bytes:
        """It as a tar archive; raises Refused when its files are not those of the proposal any more."""
        return await asyncio.to_thread(self.packed, proposal, like)

    def packed(self, proposal: Proposal, like: str | None) -> bytes:
        """The same, at once: it reads the folder."""
        folder = self._read(config_name(proposal.name))
        now = folder.proposal.digest
        if now != proposal.digest:
            raise Refused(
                f"The configuration {proposal.name} has changed since it was approved: its digest was"
                f" {proposal.digest[:12]}… and is {now[:12]}…. Put it back, or ask for a new run."
            )
        try:
            return _packed(folder.members, _owned(folder, like))
        except NotFit as unfit:
            raise Refused(f"The configuration {proposal.name} cannot be given its owners: {unfit}.") from None

    def _read(self, name: str) -> _Folder:
        try:
            found = tuple(_walk(self._folder(name)))
            members = tuple(member for member in found if member.path != MANIFEST)
            manifest = next((member for member in found if member.path == MANIFEST), None)
            folder = _Folder(name=name, members=members, manifest=_manifest(manifest))
            _all_used(folder)
        except OSError as error:
            raise Refused(f"The configuration {name} cannot be read: {error.strerror}: {error.filename}.") from None
        except (_Unfit, NotFit) as unfit:
            raise Refused(f"The configuration {name} cannot be used: {unfit}.") from None
        self._usable(name, members)
        return folder

    @staticmethod
    def _usable(name: str, members: tuple[_Member, ...]) -> None:
        if not any(member.path == "dovecot.conf" and member.content is not None for member in members):
            raise Refused(f"The configuration {name} cannot be used: it has no file dovecot.conf.")
        listed = sum(len(line.encode()) + 1 for member in members for line in member.lines)
        listed += PATH_ON_HOST * sum(1 for member in members if member.content is not None)
        if listed > TREE_KEPT:  # else the host could never show that it has it: trees.tree refuses a cut list
            raise Refused(f"The configuration {name} cannot be used: it has too many files to be compared on the host.")

    def _folder(self, name: str) -> Path:
        if self._root is None:
            raise Refused("No configurations are proposed here: the setting `configs` names no folder.")
        folder = self._root / name
        if not folder.is_dir() and not folder.is_symlink():
            there = ", ".join(self._names(self._root)) or "none"
            raise Refused(f"There is no configuration {name!r}. There are: {there}.")
        if folder.is_symlink() or folder.resolve() != self._root.resolve() / name:
            raise _Unfit("it is a link; a proposed configuration is a folder of its own")
        return folder

    def _names(self, root: Path) -> list[str]:
        if not root.is_dir():
            return []
        folders = (entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink())
        found = sorted(((entry.stat().st_mtime, entry.name) for entry in folders if entry.name != KEEP), reverse=True)
        return [name for _, name in found]


class _Unfit(Exception):
    """Why a folder cannot be used."""


def _walk(root: Path) -> Iterator[_Member]:
    """Every entry below, in the order of their paths' parts; raises _Unfit for the first that may not be there."""
    _mode(root.stat(), ".")
    entries, size, folders = 0, 0, [(root, "")]
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as scan:
            found = sorted(scan, key=lambda entry: entry.name)
        for entry in found:
            entries += 1
            if entries > MOST_ENTRIES:
                raise _Unfit(f"it has more than {MOST_ENTRIES:,} entries")
            member = _member(Path(entry.path), prefix + entry.name, MOST_BYTES - size)
            size += len(member.content or b"")
            if member.content is None and member.target is None:
                folders.append((Path(entry.path), f"{member.path}/"))
            yield member


def _member(path: Path, name: str, room: int) -> _Member:
    """One entry as it is, links never followed."""
    _plain(name)
    status = path.lstat()
    changed = max(int(status.st_mtime), 0)
    if stat.S_ISLNK(status.st_mode):
        target = str(path.readlink())
        _plain(target)
        return _Member(path=name, mode=0o777, target=target, changed=changed)
    mode = _mode(status, name)
    if stat.S_ISDIR(status.st_mode):
        return _Member(path=name, mode=0o755)
    if not stat.S_ISREG(status.st_mode):
        raise _Unfit(f"{name} is neither a file, a folder nor a link")
    return _Member(path=name, mode=mode, content=_content(path, name, room), changed=changed)


def _mode(status: os.stat_result, name: str) -> int:
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISDIR(status.st_mode):
        raise _Unfit(f"{name} is setuid or setgid (mode {mode:o})")
    if mode & stat.S_IWOTH:
        raise _Unfit(f"{name} may be written by everybody (mode {mode:o})")
    return mode


def _content(path: Path, name: str, room: int) -> bytes:
    """The bytes of a file that is still a file when opened; a pipe in its place would be waited for without end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _Unfit(f"{name} is not a file any more")
        content = file.read(room + 1)
    if len(content) > room:
        raise _Unfit(f"it is larger than {MOST_BYTES // 1024**2} MiB")
    return content


def _plain(name: str) -> None:
    """Names that find and sha256sum print as they are, on one line, and that come back over SSH unaltered."""
    if not name.isprintable() or "\\" in name:
        raise _Unfit(f"the name {name!a} has characters that cannot be compared on the host")


def _manifest(member: _Member | None) -> tuple[OwnerRule, ...]:
    """Whose the entries are to be, as far as the folder says so; raises NotFit."""
    if member is None:
        return ()
    if member.content is None:
        raise NotFit(f"{MANIFEST} is no file")
    try:
        return rules(member.content.decode())
    except UnicodeDecodeError:
        raise NotFit(f"{MANIFEST} is no text in UTF-8") from None


def _all_used(folder: _Folder) -> None:
    """A line that is about nothing was meant for something else."""
    if nothing := unused(folder.manifest, folder.kinds):
        raise NotFit(f"{MANIFEST} names what is not there: {nothing}")


def _owned(folder: _Folder, like: str | None) -> dict[str, Owned]:
    """What each entry gets; without a tree to go by, all is root's, and folders are 0755. Raises NotFit."""
    if like is not None:
        given = assigned(folder.kinds, read_tree(like), folder.manifest)
        return {path: one.owned for path, one in given.items()}
    if folder.manifest:
        raise NotFit(f"it has a {MANIFEST}, and the procedure copies it with --no-same-owner")
    modes = {".": 0o755} | {member.path: member.mode for member in folder.members}
    return {path: Owned(owner="root", group="root", mode=mode) for path, mode in modes.items()}


def _packed(members: tuple[_Member, ...], owned: dict[str, Owned]) -> bytes:
    """A tar archive: sorted, with the files' times, by which the host's newer ones are known; folders have none."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in (_Member(path=".", mode=0o755), *sorted(members, key=lambda member: member.path)):
            entry = tarfile.TarInfo(member.path)
            whose = owned[member.path]
            entry.mode, entry.mtime = whose.mode, member.changed
            entry.uname, entry.uid = _named(whose.owner)
            entry.gname, entry.gid = _named(whose.group)
            entry.type = tarfile.DIRTYPE
            if member.target is not None:
                entry.type, entry.linkname = tarfile.SYMTYPE, member.target
            elif member.content is not None:
                entry.type, entry.size = tarfile.REGTYPE, len(member.content)
            archive.addfile(entry, io.BytesIO(member.content or b""))
    return packed.getvalue()


def _named(owner: str) -> tuple[str, int]:
    """An owner's name and number. A name that the host does not know becomes root's there, and is found out."""
    return ("", int(owner)) if owner.isascii() and owner.isdigit() else (owner, 0)
