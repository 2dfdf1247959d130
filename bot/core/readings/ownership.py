"""Whose each entry of a proposed configuration is on the host, and who may read it. Pure.

As on the host for what is there; for what is new as those beside it; or as the manifest in the folder says. What was
proposed brings no owner and no mode of its own: a working copy has those of whoever made it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from bot.core.plans.listing import ListedFile

MANIFEST = ".ownership"
"""The manifest in the folder itself: lines `OWNER:GROUP MODE PATH`; a `/` at the end stands for all files below."""

_RULE = re.compile(r"([A-Za-z_][\w.-]{0,31}):([A-Za-z_][\w.-]{0,31})\s+([0-7]{3,4})\s+(\S.*)", re.ASCII)
_EVERYBODY_WRITES, _SETUID = 0o002, 0o6000


class NotFit(Exception):
    """Why owners or modes cannot be given as they are asked for."""


@dataclass(frozen=True, kw_only=True)
class Owned:
    """An owner, a group, and permission bits."""

    owner: str
    group: str
    mode: int

    @classmethod
    def of(cls, listed: ListedFile) -> Self:
        """Those of an entry on a host."""
        return cls(owner=listed.owner, group=listed.group, mode=listed.mode)

    def __str__(self) -> str:
        return f"{self.owner}:{self.group} {self.mode:o}"


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """What an entry gets, and why, in words."""

    owned: Owned
    by: str

    @property
    def is_new(self) -> bool:
        """Whether there was nothing on the host to go by."""
        return self.by != _AS_THERE


_AS_THERE, _AS_BESIDE, _AS_LISTED = "as on the host", "as those beside it", f"as {MANIFEST} says"


@dataclass(frozen=True, kw_only=True)
class OwnerRule:
    """One line of the manifest; `below`: for all files below that folder, not for itself."""

    owned: Owned
    path: str
    below: bool

    def __str__(self) -> str:
        return f"{self.owned} {self.path}{'/' if self.below else ''}"


def rules(text: str) -> tuple[OwnerRule, ...]:
    """The manifest; raises NotFit, naming the line, for anything else than its lines, comments and empty ones."""
    found: dict[tuple[str, bool], OwnerRule] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        rule = _rule(line.rstrip(), f"{MANIFEST}, line {number}")
        if (rule.path, rule.below) in found:
            raise NotFit(f"{MANIFEST}, line {number}: {rule.path} is named twice")
        found[rule.path, rule.below] = rule
    return tuple(found[key] for key in sorted(found))


def _rule(line: str, where: str) -> OwnerRule:
    read = _RULE.fullmatch(line)
    if read is None:
        raise NotFit(f"{where}: this is not OWNER:GROUP MODE PATH, such as root:dovecot 640 private/key.pem: {line!r}")
    owner, group, mode, path = read.groups()
    owned, name = Owned(owner=owner, group=group, mode=int(mode, 8)), path.removesuffix("/")
    if name != "." and any(part in {"", ".", ".."} for part in name.split("/")):
        raise NotFit(f"{where}: {path} is no path below the folder; the folder itself is .")
    if owned.mode & (_EVERYBODY_WRITES | 0o7000):
        raise NotFit(f"{where}: mode {mode}: nothing is setuid, setgid or sticky, or may be written by everybody")
    return OwnerRule(owned=owned, path=name, below=path.endswith("/"))


def unused(manifest: Iterable[OwnerRule], kinds: Mapping[str, str]) -> str:
    """The first path of the manifest that the folder does not have, empty when it has all of them."""
    return next((str(rule) for rule in manifest if not any(_fits(rule, *entry) for entry in kinds.items())), "")


def assigned(
    kinds: Mapping[str, str], like: Mapping[str, ListedFile], manifest: tuple[OwnerRule, ...]
) -> Mapping[str, Assigned]:
    """What each entry gets, by its path (`.` is the folder itself); `kinds`: find's letters, as in `like`.

    Raises NotFit where the host's own modes are none that should be given to anything.
    """
    found: dict[str, Assigned] = {}
    for path in sorted(kinds, key=lambda name: (name != ".", name.split("/"))):
        kind, there = kinds[path], like.get(path)
        if rule := _rule_for(manifest, path, kind):
            given = Assigned(owned=rule.owned, by=_AS_LISTED)
        elif there and there.kind == kind:
            given = Assigned(owned=Owned.of(there), by=_AS_THERE)
        else:
            given = Assigned(owned=_beside(path, kind, like, found), by=_AS_BESIDE)
        found[path] = replace(given, owned=replace(given.owned, mode=0o777)) if kind == "l" else given
        _may_be(path, kind, found[path])
    return found


def _rule_for(manifest: tuple[OwnerRule, ...], path: str, kind: str) -> OwnerRule | None:
    """An exact path goes before a folder, the nearest folder before those above it."""
    fitting = [rule for rule in manifest if _fits(rule, path, kind)]
    return max(fitting, key=lambda rule: (not rule.below, len(rule.path)), default=None)


def _fits(rule: OwnerRule, path: str, kind: str) -> bool:
    if not rule.below:
        return path == rule.path
    return kind != "d" and (rule.path == "." or path.startswith(f"{rule.path}/"))


def _beside(path: str, kind: str, like: Mapping[str, ListedFile], found: Mapping[str, Assigned]) -> Owned:
    """Most of those of its kind in its folder; else a folder is as the one that it is in, a file as those further up.

    Where there are as many of one as of another: as the folder that it is in, or the one that fewer may read.
    """
    inside = next((found[folder].owned for folder in _above(path) if folder in found), None)
    if inside is None:
        raise NotFit(f"{path} is in no folder that is known")
    if kind == "d":
        most = _most(next(_above(path)), "d", like)
        return most[0] if len(most) == 1 else inside
    most = next((some for folder in _above(path) if (some := _most(folder, "f", like))), [])
    return most[0] if most else replace(inside, mode=inside.mode & 0o666)


def _most(folder: str, kind: str, like: Mapping[str, ListedFile]) -> list[Owned]:
    """The most common of that kind right in a folder, the strictest first."""
    there = (one for name, one in like.items() if one.kind == kind and name != "." and next(_above(name)) == folder)
    counted = Counter(Owned.of(one) for one in there)
    most = [owned for owned, count in counted.items() if count == max(counted.values())]
    return sorted(most, key=lambda owned: (owned.mode & 0o7, owned.mode & 0o70, owned.mode, str(owned)))


def _above(path: str) -> Iterator[str]:
    """The folders that an entry is in, the nearest first; the last one is `.`."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
    yield "."


def _may_be(path: str, kind: str, given: Assigned) -> None:
    mode = given.owned.mode
    wrong = "may be written by everybody" if mode & _EVERYBODY_WRITES and kind != "l" else ""
    wrong = "is setuid or setgid" if mode & _SETUID and kind == "f" else wrong
    if wrong:
        raise NotFit(
            f"{path} {wrong} {given.by} (mode {mode:o}), and would stay so; mend that there, or name it in {MANIFEST}"
        )
