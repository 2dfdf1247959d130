"""The commands on files, as GNU's do them on a pretend disk, with the options that procedures and probes use.

Any other option is refused. tests/contract/test_gnu.py holds them against the real ones.
"""

import difflib
import fnmatch
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice, takewhile

from bot.practice.machine.files import Directory, Disk, File, Link, Node, letter, parts
from bot.practice.machine.tar import tar
from bot.practice.values import Answer, Call, Program, failed, succeeded

_GONE = "No such file or directory"


def gnu_programs(disk: Disk) -> dict[str, Program]:
    """Every command on files, by its name."""
    programs: dict[str, Callable[[Disk, Call], Answer]] = {
        "cat": _cat, "cp": _cp, "diff": _diff, "find": _find, "mkdir": _mkdir, "mv": _mv, "rm": _rm,
        "realpath": _realpath, "test": _test, "[": _bracket,
    }  # fmt: skip
    return {name: partial(program, disk) for name, program in programs.items()} | {"tar": partial(tar, disk)}


def _not_known(name: str, call: Call, exit_status: int = 1) -> Answer:
    return failed(exit_status, f"{name}: not understood here: {' '.join(call.args)}")


def _finished(out: str | bytes, complaints: Iterable[str], exit_status: int = 1) -> Answer:
    """Success, or this exit status when there is something to complain of."""
    err = "".join(f"{line}\n" for line in complaints)
    data = out.encode() if isinstance(out, str) else out
    return Answer(exit_status=exit_status if err else 0, out=data, err=err.encode())


# one file, or one folder


def _cat(disk: Disk, call: Call) -> Answer:
    found = {path: disk.read(path) for path in call.args}
    gone = (f"cat: {path}: {_GONE}" for path, data in found.items() if data is None)
    return _finished(b"".join(data or b"" for data in found.values()), gone)


def _realpath(disk: Disk, call: Call) -> Answer:
    match call.args:
        case ("-e", "--", path) if disk.look(path) is None:
            return failed(1, f"realpath: {path}: {_GONE}")
        case ("-e", "--", path) if not any(isinstance(disk.look(one, follow=False), Link) for one in _along(path)):
            return succeeded(f"{path}\n")
        case _:
            return _not_known("realpath", call)


def _along(path: str) -> list[str]:
    names = parts(path)
    return ["/" + "/".join(names[:length]) for length in range(1, len(names) + 1)]


def _cp(disk: Disk, call: Call) -> Answer:
    match call.args:
        case (source, target) if (data := disk.read(source)) is not None and disk.parent(target) is not None:
            disk.write(target, data)
            return Answer()
        case _:
            return _not_known("cp", call)


def _rm(disk: Disk, call: Call) -> Answer:
    force = call.args[:1] == ("-f",)
    complaints = []
    for path in call.args[force:]:
        node = disk.look(path, follow=False)
        if isinstance(node, Directory):
            complaints.append(f"rm: cannot remove '{path}': Is a directory")
        elif node is not None:
            disk.remove(path)
        elif not force:
            complaints.append(f"rm: cannot remove '{path}': {_GONE}")
    return _finished("", complaints)


def _mkdir(disk: Disk, call: Call) -> Answer:
    match call.args:
        case ("-p", "-m", mode, path):
            bits = int(mode, 8)
        case ("-p", path) if not path.startswith("-"):
            bits = 0o755
        case _:
            return _not_known("mkdir", call)
    if isinstance(disk.look(path), Directory) or disk.make_directory(path, bits):
        return Answer()
    there = "Not a directory" if disk.look(path) is None else "File exists"
    return failed(1, f"mkdir: cannot create directory ‘{path}’: {there}")


def _mv(disk: Disk, call: Call) -> Answer:
    match call.args:
        case ("-T", source, target):
            node, there = disk.look(source, follow=False), disk.look(target, follow=False)
        case _:
            return _not_known("mv", call)
    if node is None:
        return failed(1, f"mv: cannot stat '{source}': {_GONE}")
    if f"{target}/".startswith(f"{source}/"):
        return failed(1, f"mv: cannot move '{source}' to a subdirectory of itself, '{target}'")
    if disk.parent(target) is None:
        return failed(1, f"mv: cannot move '{source}' to '{target}': {_GONE}")
    if there is not None and isinstance(there, Directory) != isinstance(node, Directory):
        return failed(1, f"mv: cannot overwrite '{target}' with '{source}'")
    if isinstance(there, Directory) and there.entries:
        return failed(1, f"mv: cannot move '{source}' to '{target}': Directory not empty")
    disk.remove(source)
    disk.place(target, node)
    return Answer()


def _bracket(disk: Disk, call: Call) -> Answer:
    if call.args[-1:] != ("]",):
        return failed(2, "sh: 1: [: missing ]")
    return _test(disk, Call(args=call.args[:-1], stdin=call.stdin))


def _test(disk: Disk, call: Call) -> Answer:
    match call.args:
        case ("-e", path):
            holds = disk.look(path) is not None
        case ("-d", path):
            holds = isinstance(disk.look(path), Directory)
        case (left, "=", right):
            holds = left == right
        case (left, "-lt", right):
            holds = int(left) < int(right)
        case _:
            return _not_known("test", call, 2)
    return Answer(exit_status=int(not holds))


# find

_ARGUMENTS = {
    **dict.fromkeys(("(", ")", "-xdev", "-delete"), 0),
    **dict.fromkeys(("-type", "-name", "-path", "-size", "-mindepth", "-maxdepth", "-printf"), 1),
    "-exec": 3,
}
"""What an expression is made of, and how many arguments each has."""

_Group = list[tuple[str, str]]


def _find(disk: Disk, call: Call) -> Answer:
    """`find PATH… EXPRESSION`: groups between commas, in parentheses or not."""
    roots = list(takewhile(lambda one: not one.startswith(("-", "(")), call.args))
    groups: list[_Group] = [[]]
    left = iter(call.args[len(roots) :])
    for predicate in left:
        if predicate == ",":
            groups.append([])
        elif predicate in _ARGUMENTS:
            groups[-1].append((predicate, " ".join(islice(left, _ARGUMENTS[predicate]))))
        else:
            return failed(1, f"find: unknown predicate `{predicate}'")
    search = _Search(disk=disk)
    for root in roots:
        # -delete implies -depth: what is in a directory goes before the directory.
        deletes = any(predicate == "-delete" for group in groups for predicate, _ in group)
        entries = list(disk.tree(root))
        for path, node in reversed(entries) if deletes else entries:
            for group in groups:
                all(search.holds(predicate, value, (root, path, node)) for predicate, value in group)
    sums = (f"{hashlib.sha256(disk.read(path) or b'').hexdigest()}  {path}\n" for path in search.summed)
    gone = (f"find: ‘{root}’: {_GONE}" for root in roots if disk.look(root, follow=False) is None)
    return _finished("".join([*search.out, *sums]), gone)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What one run of find has printed, and which files it hands to sha256sum."""

    disk: Disk
    out: list[str] = field(default_factory=list)
    summed: list[str] = field(default_factory=list)

    def holds(self, predicate: str, value: str, entry: tuple[str, str, Node]) -> bool:
        """Do one test or action on an entry, and say whether it holds."""
        root, path, node = entry
        match predicate, value:
            case "-type", _:
                return letter(node) == value
            case (("-name" | "-path"), _):
                return fnmatch.fnmatchcase(path if predicate == "-path" else path.rpartition("/")[2], value)
            case "-size", "+0":
                return not isinstance(node, File) or node.data != b""
            case "-mindepth", _:
                return path.removeprefix(root).count("/") >= int(value)
            case "-maxdepth", _:
                return path.removeprefix(root).count("/") <= int(value)
            case "-printf", _:
                self.out.append(_printed(value, root, path, node))
            case "-delete", _:
                self.disk.remove(path)
            case "-exec", "sha256sum {} +":
                self.summed.append(path)
            case (("-size" | "-exec"), _):
                raise ValueError(value)  # which Machine.run refuses
        return True


def _printed(shape: str, root: str, path: str, node: Node) -> str:
    changed = f"{node.changed.timestamp() if isinstance(node, File) else 0:.10f}"
    values = {
        "%p": path,
        "%P": path.removeprefix(root).lstrip("/"),
        "%f": path.rpartition("/")[2],
        "%y": letter(node),
        "%m": f"{node.mode:o}",
        "%l": node.target if isinstance(node, Link) else "",
        "%u": node.owner,
        "%g": node.group,
        **dict.fromkeys(("%T@", "%C@"), changed),
        r"\t": "\t",
        r"\n": "\n",
    }
    return re.sub(r"\\.|%[TC]@|%.", lambda found: values[found[0]], shape)


# diff

_DIFF = ("--recursive", "--unified", "--new-file", "--no-dereference")
_FOLLOWS = _DIFF[:-1]
"""As a test asks, to see what would come out then: links are followed."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = {Directory: "directory", File: "regular file", Link: "symbolic link"}


def _diff(disk: Disk, call: Call) -> Answer:
    """Exit status 0: same; 1: they differ; 2: trouble."""
    match call.args:
        case (*options, left, right) if tuple(options) in {_DIFF, _FOLLOWS}:
            follow = tuple(options) == _FOLLOWS
        case _:
            return _not_known("diff", call, 2)
    if disk.look(left) is None and disk.look(right) is None:
        return failed(2, *(f"diff: {path}: {_GONE}" for path in (left, right)))
    complaints: list[str] = []
    text = "".join(_compared(disk, left, right, complaints, follow=follow))
    answer = _finished(text, complaints, exit_status=2)
    return answer if complaints else Answer(exit_status=int(bool(text)), out=answer.out)


def _compared(disk: Disk, left: str, right: str, complaints: list[str], *, follow: bool) -> Iterator[str]:
    one, two = (disk.look(path, follow=follow) for path in (left, right))
    kinds = [type(node) for node in (one, two) if node is not None]
    if not kinds:
        return
    if len(set(kinds)) == 2:
        yield f"File {left} is a {_KINDS[kinds[0]]} while file {right} is a {_KINDS[kinds[1]]}\n"
    elif kinds[0] is Directory:
        for name in sorted({*disk.names(left), *disk.names(right)}):
            yield from _compared(disk, f"{left}/{name}", f"{right}/{name}", complaints, follow=follow)
    elif kinds[0] is Link:
        # GNU diff 3.8 complains of a link that is on one side only, and goes on.
        complaints += [f"diff: {path}: {_GONE}" for path, node in ((left, one), (right, two)) if node is None]
        if isinstance(one, Link) and isinstance(two, Link) and one.target != two.target:
            yield f"Symbolic links {left} and {right} differ\n"
    else:
        yield from _changes(one, two, left, right)


def _changes(one: Node | None, two: Node | None, left: str, right: str) -> Iterator[str]:
    before, after = (node.data if isinstance(node, File) else b"" for node in (one, two))
    if before == after:
        return
    if b"\0" in before + after:
        yield f"Binary files {left} and {right} differ\n"
        return
    yield f"diff {' '.join(_DIFF)} {left} {right}\n"
    was, now = (data.decode(errors="replace").splitlines(keepends=True) for data in (before, after))
    for line in difflib.unified_diff(was, now, left, right, _stamp(one), _stamp(two)):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _stamp(node: Node | None) -> str:
    changed = node.changed if isinstance(node, File) else _NEVER
    return changed.strftime("%Y-%m-%d %H:%M:%S.%f000 +0000")
