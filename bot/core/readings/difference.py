"""Two trees of configuration compared: which files differ, and as what; the text of a difference where it is no secret.

They are compared on the host, as they may hold secrets: the list of files comes from find, their text from GNU diff
(3.8 and newer), in one answer of one command. Links are compared as links. A file that is kept from others, or whose
name says that it is a secret, is listed without content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.hosts.command import Result
from bot.core.plans.listing import FORMAT, ListedFile, listing
from bot.core.plans.newer import in_short, later
from bot.core.readings.ownership import Owned
from bot.core.text.redact import is_secret, redact
from bot.errors import Unreadable

SCRIPT = (
    f'find "$0" "$1" -printf "{FORMAT}" && echo &&'
    ' LC_ALL=C diff --recursive --unified --new-file --no-dereference "$0" "$1"'
)
"""$0: the tree as it is, $1: the tree as it is to be. The list ends with an empty line."""

KEPT = 64 * 1024 * 1024
"""Bytes of the answer that are kept; an answer that is longer is none, as its list may be cut."""

TEXT = 50_000
"""Characters for the text of all differences together; the list of files is never cut."""

_LEAST = 120
"""Characters of a file's difference that are worth showing, where not all of it can be."""

_KIND = r"(?:regular (?:empty )?file|directory|symbolic link|fifo|socket|\w+ special file)"
_MISSING = re.compile(r"diff: (.+): No such file or directory")
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")

Tree = Mapping[str, ListedFile]


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One file that is not the same on both sides: `how` is changed, added or removed; `newer`: on the host."""

    path: str
    how: str
    remark: str = ""
    newer: bool = False

    def __str__(self) -> str:
        remarks = "; ".join(part for part in ("newer on the host" if self.newer else "", self.remark) if part)
        return f"{self.how}: {self.path}" + (f" ({remarks})" if remarks else "")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All that differs: every file, how many lines, and as much of their text as there is room for, secrets hidden."""

    files: tuple[Changed, ...]
    plus: int
    minus: int
    text: str = field(repr=False)

    def count(self, how: str) -> int:
        """How many files are changed, added or removed."""
        return sum(1 for one in self.files if one.how == how)

    @property
    def newer(self) -> str:
        """How many files are newer on the host, and the first of them by name; `none`."""
        return in_short([one.path for one in self.files if one.newer])

    @property
    def listed(self) -> str:
        """Every file, a line each, under their number."""
        head = f"{self.count('changed')} changed, {self.count('added')} added, {self.count('removed')} removed"
        return "\n".join(
            [f"{head}; lines +{self.plus} -{self.minus}; newer on the host: {self.newer}", *map(str, self.files)]
        )

    @property
    def whole(self) -> str:
        """The list, and the text."""
        return f"{self.listed}\n\n{self.text}".rstrip()


def difference(path: str, to: str, result: Result) -> Difference:
    """What the command answered; raises Unreadable for whatever is no answer of find and diff."""
    if result.cut_short:
        raise Unreadable("the difference is too long to be read")
    lines = result.stdout.split("\n")
    end = lines.index("") if "" in lines else len(lines)
    before, after = listing(lines[:end], path, to)
    texts = dict(_texts(lines[end:], path, to))
    _must_be_whole(result, path, to, before, after, differs=bool(texts))
    return _put_together(before, after, texts)


def _must_be_whole(result: Result, path: str, to: str, before: Tree, after: Tree, *, differs: bool) -> None:
    """Exit 0: the same; 1: they differ, and it says how; 2: trouble, or a link that is on one side only."""
    complaints = [line for line in result.stderr.splitlines() if line.startswith("diff: ")]
    links = {f"{path}/{name}" for name in after.keys() - before.keys() if after[name].kind == "l"}
    links |= {f"{to}/{name}" for name in before.keys() - after.keys() if before[name].kind == "l"}
    missing = [found[1] if (found := _MISSING.fullmatch(line)) else "" for line in complaints]
    explained = bool(complaints) and links.issuperset(map(_unquoted, missing))
    fine = {0: not differs, 1: differs, 2: explained}
    if not fine.get(result.exit_status, False) or "." not in before or "." not in after:
        why = result.complaint if result.stderr.strip() else "nothing that it says is an answer"
        raise Unreadable(f"`{result.command}` exited with {result.exit_status}: {why}")


def _texts(lines: Sequence[str], path: str, to: str) -> Iterator[tuple[str, list[str]]]:
    """By path, what diff says of it: its head line is left out where hunks follow."""
    name, text = "", [""]
    for line in lines:
        if line and line[0] not in " +-@\\":
            if name:
                yield name, text
            name, text = _path_of(line, path, to), [] if line.startswith("diff ") else [line]
        elif line:
            text.append(line)
    if name:
        yield name, text


def _path_of(line: str, path: str, to: str) -> str:
    """Empty for what is no file and only on one side: it is in find's list."""
    if line.startswith("Only in "):
        return ""
    here, there = re.escape(path), re.escape(to)
    for pattern in (
        rf'diff .* ("{there}/(?:[^"\\]|\\.)*"|{there}/\S+)',
        rf"(?:Binary files|Symbolic links) {here}/(.+) and {there}/\1 differ",
        rf"File {here}/(.+) is a {_KIND} while file {there}/\1 is a {_KIND}",
    ):
        if found := re.fullmatch(pattern, line):
            return _unquoted(found[1]).removeprefix(f"{to}/")
    raise Unreadable(f"diff says what is not understood: {line[:80]}")


def _unquoted(name: str) -> str:
    """A name as GNU diff writes it: in C's quotes where it has anything but plain ASCII."""
    if not (name.startswith('"') and name.endswith('"') and len(name) > 1):
        return name
    usual = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}

    def one(found: re.Match[str]) -> str:
        text = found[1]
        return chr(int(text, 8)) if len(text) == 3 else usual.get(text, text)

    whole = _ESCAPE.sub(one, name[1:-1])
    return whole.encode("latin-1", errors="replace").decode(errors="replace")


def _put_together(before: Tree, after: Tree, texts: Mapping[str, list[str]]) -> Difference:
    differing = [
        path for path in sorted(before.keys() | after.keys() | texts.keys()) if _differs(path, before, after, texts)
    ]
    times = ({path: one.changed for path, one in side.items() if one.kind != "d"} for side in (before, after))
    newer = later((path for path in differing if path in texts or path not in after), *times)
    files, shown = [], {}
    for path in differing:
        old, new = before.get(path), after.get(path)
        kept = _is_kept_from_others(path, before) or _is_kept_from_others(path, after)
        how = "added" if old is None else "removed" if new is None else "changed"
        files.append(Changed(path=path, how=how, remark=_remark(old, new, kept=kept), newer=path in newer))
        if not kept and any(line.startswith(("@@", "Binary")) for line in texts.get(path, ())):
            shown[str(files[-1])] = texts[path]  # of links and other kinds all is in the list already
    plus, minus = (sum(line.startswith(sign) for text in texts.values() for line in text[2:]) for sign in "+-")
    return Difference(files=tuple(files), plus=plus, minus=minus, text=_as_room_allows(shown))


def _differs(path: str, before: Tree, after: Tree, texts: Mapping[str, list[str]]) -> bool:
    """What stands in a folder is listed: one that is on one side only needs no line of its own."""
    old, new = before.get(path), after.get(path)
    if path in texts:
        if not (old or new):
            raise Unreadable(f"the files have changed while they were compared: {path}")
        return True
    if old is None or new is None:
        return any(one is not None and one.kind != "d" for one in (old, new))
    return (old.kind, old.target) != (new.kind, new.target) or (old.kind != "l" and Owned.of(old) != Owned.of(new))


def _is_kept_from_others(path: str, side: Tree) -> bool:
    """By its name, or as not everybody may read it, or enter a folder above it; who may enter the root is no matter."""
    above = path.split("/")[:-1]
    folders = (side.get("/".join(above[: depth + 1])) for depth in range(len(above)))
    closed = any(folder is not None and folder.kind == "d" and not folder.mode & 0o001 for folder in folders)
    own = side.get(path)
    return is_secret(path) or closed or (own is not None and own.kind == "f" and not own.mode & 0o004)


def _remark(old: ListedFile | None, new: ListedFile | None, *, kept: bool) -> str:
    remarks = []
    if any(one is not None and one.kind == "l" for one in (old, new)):
        links = [one.target if one.kind == "l" else "no link" for one in (old, new) if one]
        remarks.append("a link: " + " → ".join(links))
    elif old and new and Owned.of(old) != Owned.of(new):
        remarks.append(f"{Owned.of(old)} → {Owned.of(new)}")
    if kept:
        remarks.append("its content is not shown")
    return "; ".join(remarks)


def _as_room_allows(texts: Mapping[str, Sequence[str]]) -> str:
    """The beginning of each text, secrets hidden; what is left out is noted. Short ones have their room first."""
    room, shares = TEXT, {}
    sizes = {name: sum(map(len, text)) + len(text) for name, text in texts.items()}
    for left, name in zip(range(len(sizes), 0, -1), sorted(sizes, key=sizes.__getitem__), strict=True):
        shares[name] = min(sizes[name], room // left)
        room -= shares[name]
    shown = []
    for name, text in texts.items():
        if shares[name] >= min(sizes[name], _LEAST):
            shown.append(f"{name}\n{_beginning(text, shares[name])}")
    if left_out := len(texts) - len(shown):
        shown.append(f"… (the text of {left_out} files is left out; all are in the list above)")
    return "\n\n".join(shown)


def _beginning(text: Sequence[str], room: int) -> str:
    """Whole lines from the first on, so that what hides a key sees its beginning."""
    kept = 0
    while kept < len(text) and room >= len(text[kept]) + 1:
        room -= len(text[kept]) + 1
        kept += 1
    left = f"\n… ({len(text) - kept} lines left out)" if kept < len(text) else ""
    return redact("\n".join(text[:kept])) + left
