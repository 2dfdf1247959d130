"""`diff --recursive --unified` of two trees on a pretend disk, as GNU diff prints it."""

import difflib
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

from bot.practice.files import Directory, Disk, File, Node
from bot.practice.values import Answer, Call, failed

_KNOWN = {"--recursive", "--unified", "--new-file", "-r", "-u", "-N"}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def diff(disk: Disk, call: Call) -> Answer:
    """Exit status 0: same; 1: they differ; 2: trouble."""
    options = [argument for argument in call.args if argument.startswith("-")]
    paths = [argument for argument in call.args if not argument.startswith("-")]
    if wrong := [option for option in options if option not in _KNOWN]:
        return failed(2, f"diff: unrecognized option '{wrong[0]}'")
    if len(paths) != 2:
        return failed(2, "diff: missing operand")
    new_file = bool({"--new-file", "-N"} & set(options))
    missing = [path for path in paths if disk.look(path) is None]
    if len(missing) == 2 or (missing and not new_file):
        return failed(2, *(f"diff: {path}: No such file or directory" for path in missing))
    command = shlex.join(["diff", *options])
    text = "".join(_compared(disk, paths[0], paths[1], command, new_file=new_file))
    return Answer(exit_status=1 if text else 0, out=text.encode())


def _compared(disk: Disk, left: str, right: str, command: str, *, new_file: bool) -> Iterator[str]:
    one, two = disk.look(left), disk.look(right)
    if isinstance(one, Directory) or isinstance(two, Directory):
        if isinstance(one, File) or isinstance(two, File):
            kinds = [_kind(one), _kind(two)]
            yield f"File {left} is a {kinds[0]} while file {right} is a {kinds[1]}\n"
            return
        for name in sorted({*_names(one), *_names(two)}):
            absent = [side for side, node in ((left, one), (right, two)) if name not in _names(node)]
            if absent and not new_file:
                yield f"Only in {right if absent[0] == left else left}: {name}\n"
                continue
            yield from _compared(disk, f"{left}/{name}", f"{right}/{name}", command, new_file=new_file)
        return
    changes = _changes(one, two, left, right)
    if changes:
        yield f"{command} {left} {right}\n" if changes[0].startswith("---") else ""
        yield from changes


def _kind(node: Node | None) -> str:
    return "directory" if isinstance(node, Directory) else "regular file"


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
