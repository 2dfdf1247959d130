"""`diff --recursive --unified` of two trees on a pretend disk, as GNU diff prints it."""

import difflib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.practice.machine.files import Directory, Disk, File, Link, Node
from bot.practice.values import Answer, Call, failed

_KNOWN = {"--recursive", "--unified", "--new-file", "--no-dereference", "-r", "-u", "-N"}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = {Directory: "directory", File: "regular file", Link: "symbolic link"}


@dataclass(kw_only=True)
class _Comparing:
    """One run of diff: how it was asked, and what it complains of."""

    disk: Disk
    command: str
    new_file: bool
    follow: bool
    complaints: list[str] = field(default_factory=list)

    def compared(self, left: str, right: str) -> Iterator[str]:
        one, two = (self.disk.look(path, follow=self.follow) for path in (left, right))
        if {type(one), type(two)} in ({Directory}, {Directory, type(None)}):
            yield from self._below(left, right, one, two)
        elif one is not None and two is not None and type(one) is not type(two):
            yield f"File {left} is a {_KINDS[type(one)]} while file {right} is a {_KINDS[type(two)]}\n"
        elif isinstance(one, Link) or isinstance(two, Link):
            yield from self._links(left, right, one, two)
        elif changes := _changes(one, two, left, right):
            yield f"{self.command} {left} {right}\n" if changes[0].startswith("---") else ""
            yield from changes

    def _below(self, left: str, right: str, one: Node | None, two: Node | None) -> Iterator[str]:
        for name in sorted({*_names(one), *_names(two)}):
            absent = [side for side, node in ((left, one), (right, two)) if name not in _names(node)]
            if absent and not self.new_file:
                yield f"Only in {right if absent[0] == left else left}: {name}\n"
                continue
            yield from self.compared(f"{left}/{name}", f"{right}/{name}")

    def _links(self, left: str, right: str, one: Node | None, two: Node | None) -> Iterator[str]:
        """GNU diff 3.8 complains of a link that is on one side only, and goes on."""
        absent = [path for path, node in ((left, one), (right, two)) if node is None]
        self.complaints += [f"diff: {path}: No such file or directory" for path in absent]
        if isinstance(one, Link) and isinstance(two, Link) and one.target != two.target:
            yield f"Symbolic links {left} and {right} differ\n"


def diff(disk: Disk, call: Call) -> Answer:
    """Exit status 0: same; 1: they differ; 2: trouble."""
    options = [argument for argument in call.args if argument.startswith("-")]
    paths = [argument for argument in call.args if not argument.startswith("-")]
    if wrong := [option for option in options if option not in _KNOWN]:
        return failed(2, f"diff: unrecognized option '{wrong[0]}'")
    if len(paths) != 2:
        return failed(2, "diff: missing operand")
    comparing = _Comparing(
        disk=disk,
        command=shlex.join(["diff", *options]),
        new_file=bool({"--new-file", "-N"} & set(options)),
        follow="--no-dereference" not in options,
    )
    missing = [path for path in paths if disk.look(path) is None]
    if len(missing) == 2 or (missing and not comparing.new_file):
        return failed(2, *(f"diff: {path}: No such file or directory" for path in missing))
    text = "".join(comparing.compared(paths[0], paths[1]))
    complaints = "".join(f"{line}\n" for line in comparing.complaints)
    return Answer(exit_status=2 if complaints else int(bool(text)), out=text.encode(), err=complaints.encode())


def _names(node: Node | None) -> list[str]:
    return list(node.entries) if isinstance(node, Directory) else []


def _changes(one: Node | None, two: Node | None, left: str, right: str) -> list[str]:
    before = one.data if isinstance(one, File) else b""
    after = two.data if isinstance(two, File) else b""
    if before == after:
        return []
    if b"\0" in before + after:
        return [f"Binary files {left} and {right} differ\n"]
    lines = difflib.unified_diff(
        before.decode(errors="replace").splitlines(keepends=True),
        after.decode(errors="replace").splitlines(keepends=True),
        left,
        right,
        _stamp(one),
        _stamp(two),
    )
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]


def _stamp(node: Node | None) -> str:
    changed = node.changed if isinstance(node, File) else _NEVER
    return changed.strftime("%Y-%m-%d %H:%M:%S.%f000 +0000")
