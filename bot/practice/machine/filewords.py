"""The commands that work on a pretend disk: rm, mkdir, mv, cp, cat, tar, test. (`find` and `diff` are elsewhere.)"""

import io
import operator
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from bot.practice.machine.diff import diff
from bot.practice.machine.files import KNOWN, Directory, Disk, File, Link, Node
from bot.practice.machine.find import find
from bot.practice.values import Answer, Call, Word, failed

_MISSING = "No such file or directory"


def file_words(disk: Disk) -> dict[str, Word]:
    """Every command on files, by its name."""
    words: dict[str, Callable[[Disk, Call], Answer]] = {
        "cat": _cat,
        "cp": _cp,
        "diff": diff,
        "find": find,
        "mkdir": _mkdir,
        "mv": _mv,
        "rm": _rm,
        "test": _test,
        "[": _bracket,
    }
    return {name: partial(word, disk) for name, word in words.items()} | {"tar": partial(_tar, disk)}


def _options(call: Call) -> tuple[str, list[str]]:
    """The short options run together (long ones by their first letter), and the operands."""
    options = ""
    operands: list[str] = []
    for position, argument in enumerate(call.args):
        if argument == "--":
            return options, [*operands, *call.args[position + 1 :]]
        if argument.startswith("--"):
            options += argument[2:3]
        elif argument.startswith("-") and argument != "-":
            options += argument[1:]
        else:
            operands.append(argument)
    return options, operands


def _unknown(name: str, options: str, known: str) -> Answer | None:
    wrong = [option for option in options if option not in known]
    return failed(1, f"{name}: invalid option -- '{wrong[0]}'") if wrong else None


def _finished(complaints: list[str]) -> Answer:
    return failed(1, *complaints) if complaints else Answer()


def _rm(disk: Disk, call: Call) -> Answer:
    options, paths = _options(call)
    if (wrong := _unknown("rm", options, "frRv")) is not None:
        return wrong
    if not paths and "f" not in options:
        return failed(1, "rm: missing operand")
    complaints = []
    for path in paths:
        node = disk.look(path, follow=False)
        if node is disk.root:
            complaints.append("rm: it is dangerous to operate recursively on '/'")
        elif node is None:
            complaints += [] if "f" in options else [f"rm: cannot remove '{path}': {_MISSING}"]
        elif isinstance(node, Directory) and not set(options) & {"r", "R"}:
            complaints.append(f"rm: cannot remove '{path}': Is a directory")
        else:
            disk.remove(path)
    return _finished(complaints)


def _mkdir(disk: Disk, call: Call) -> Answer:
    arguments = list(call.args)
    mode = 0o755
    if "-m" in arguments:
        at = arguments.index("-m")
        mode = int(arguments[at + 1], 8)
        del arguments[at : at + 2]
    options, paths = _options(Call(args=tuple(arguments), stdin=call.stdin))
    if (wrong := _unknown("mkdir", options, "p")) is not None:
        return wrong
    complaints = []
    for path in paths:
        there = disk.look(path)
        if there is not None and not ("p" in options and isinstance(there, Directory)):
            complaints.append(f"mkdir: cannot create directory ‘{path}’: File exists")
        elif there is None and "p" not in options and disk.parent(path) is None:
            complaints.append(f"mkdir: cannot create directory ‘{path}’: {_MISSING}")
        elif there is None and not disk.make_directory(path, mode):
            complaints.append(f"mkdir: cannot create directory ‘{path}’: Not a directory")
    return _finished(complaints)


def _destination(disk: Disk, options: str, paths: list[str]) -> tuple[str, str]:
    source, target = paths
    if "T" not in options and isinstance(disk.look(target), Directory):
        target = f"{target.rstrip('/')}/{source.rstrip('/').rsplit('/', 1)[-1]}"
    return source, target


def _mv(disk: Disk, call: Call) -> Answer:
    options, paths = _options(call)
    if (wrong := _unknown("mv", options, "Tnf")) is not None:
        return wrong
    if len(paths) != 2:
        return failed(1, "mv: missing file operand" if len(paths) < 2 else f"mv: extra operand '{paths[2]}'")
    source, target = _destination(disk, options, paths)
    node, there = disk.look(source, follow=False), disk.look(target, follow=False)
    if node is None:
        return failed(1, f"mv: cannot stat '{source}': {_MISSING}")
    if disk.parent(target) is None:
        return failed(1, f"mv: cannot move '{source}' to '{target}': {_MISSING}")
    if isinstance(there, Directory) and not isinstance(node, Directory):
        return failed(1, f"mv: cannot overwrite directory '{target}' with non-directory")
    if isinstance(there, Directory) and there.entries:
        return failed(1, f"mv: cannot move '{source}' to '{target}': Directory not empty")
    if there is not None and isinstance(node, Directory) and not isinstance(there, Directory):
        return failed(1, f"mv: cannot overwrite non-directory '{target}' with directory '{source}'")
    if f"{target.rstrip('/')}/".startswith(f"{source.rstrip('/')}/"):
        return failed(1, f"mv: cannot move '{source}' to a subdirectory of itself, '{target}'")
    disk.remove(source)
    disk.place(target, node)
    return Answer()


def _cp(disk: Disk, call: Call) -> Answer:
    options, paths = _options(call)
    if (wrong := _unknown("cp", options, "aTrRp")) is not None:
        return wrong
    if len(paths) != 2:
        return failed(1, "cp: missing file operand")
    source, target = _destination(disk, options, paths)
    copy = disk.copy(source)
    if copy is None:
        return failed(1, f"cp: cannot stat '{source}': {_MISSING}")
    if isinstance(copy, Directory) and not set(options) & set("arR"):
        return failed(1, f"cp: -r not specified; omitting directory '{source}'")
    there = disk.look(target)
    if isinstance(copy, Directory) and isinstance(there, Directory):
        _merge(there, copy)
    elif not disk.place(target, copy):
        return failed(1, f"cp: cannot create directory '{target}': {_MISSING}")
    return Answer()


def _merge(into: Directory, copied: Directory) -> None:
    for name, node in copied.entries.items():
        there = into.entries.get(name)
        if isinstance(node, Directory) and isinstance(there, Directory):
            _merge(there, node)
        else:
            into.entries[name] = node


def _cat(disk: Disk, call: Call) -> Answer:
    complaints = [f"cat: {path}: {_MISSING}" for path in call.args if disk.read(path) is None]
    out = b"".join(disk.read(path) or b"" for path in call.args)
    return Answer(exit_status=1 if complaints else 0, out=out, err="".join(f"{c}\n" for c in complaints).encode())


def _bracket(disk: Disk, call: Call) -> Answer:
    if call.args[-1:] != ("]",):
        return failed(2, "sh: 1: [: missing ]")
    return _test(disk, Call(args=call.args[:-1], stdin=call.stdin))


def _test(disk: Disk, call: Call) -> Answer:
    verdict = _judged(disk, call.args)
    if verdict is None:
        return failed(2, f"sh: 1: test: {' '.join(call.args)}: not understood here")
    return Answer(exit_status=0 if verdict else 1)


def _judged(disk: Disk, args: tuple[str, ...]) -> bool | None:
    match args:
        case ("!", *rest):
            inner = _judged(disk, tuple(rest))
            return None if inner is None else not inner
        case ("-n", text) | (text,):
            return text != ""
        case ("-z", text):
            return text == ""
        case ("-e", path):
            return disk.look(path) is not None
        case ("-L" | "-h", path):
            return isinstance(disk.look(path, follow=False), Link)
        case ("-d", path):
            return isinstance(disk.look(path), Directory)
        case ("-f", path):
            return disk.read(path) is not None
        case (left, how, right):
            return _compared(left, how, right)
        case _:
            return None


_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-lt": operator.lt,
    "-le": operator.le,
    "-gt": operator.gt,
    "-ge": operator.ge,
}


def _compared(left: str, how: str, right: str) -> bool | None:
    """Two texts, or two numbers; None for anything else."""
    if how in {"=", "!="}:
        return (left == right) is (how == "=")
    whole = all(text.removeprefix("-").isdecimal() for text in (left, right))
    return _NUMBERS[how](int(left), int(right)) if whole and how in _NUMBERS else None


async def _tar(disk: Disk, call: Call) -> Answer:
    directory, extract, owners = None, False, "--no-same-owner" not in call.args
    for argument in call.args:
        if argument.startswith("--directory="):
            directory = argument.partition("=")[2]
        elif argument == "--extract":
            extract = True
        elif argument not in {"--file=-", *_OWNERS}:
            return failed(64, f"tar: unrecognized option '{argument}'")
    data = await call.stdin.read()
    if not extract or directory is None:
        return failed(2, "tar: You must specify --extract and --directory here")
    if not isinstance(disk.look(directory), Directory):
        return failed(2, f"tar: {directory}: Cannot open: {_MISSING}", "tar: Error is not recoverable: exiting now")
    return _extracted(disk, directory, data, owners=owners)


_OWNERS = ("--no-same-owner", "--same-owner", "--preserve-permissions", "--same-permissions")


def _extracted(disk: Disk, directory: str, data: bytes, *, owners: bool) -> Answer:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
            # Read as a whole before anything is placed would be kinder than tar is: it leaves what came before.
            for member in archive:
                if ".." in member.name.split("/"):
                    return failed(2, f"tar: {member.name}: Member name contains '..'")
                _place(disk, f"{directory}/{member.name}", _whose(_node(archive, member), member, owners=owners))
    except tarfile.ReadError:
        what = "Unexpected EOF in archive" if data else "This does not look like a tar archive"
        return failed(2, f"tar: {what}", "tar: Exiting with failure status due to previous errors")
    return Answer()


def _node(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    if member.isdir():
        return Directory(mode=member.mode & 0o7777)
    if member.issym():
        return Link(target=member.linkname)
    stream = archive.extractfile(member)
    return File(
        data=stream.read() if stream is not None else b"",
        mode=member.mode & 0o7777,
        changed=datetime.fromtimestamp(member.mtime, UTC),
    )


def _whose(node: Node, member: tarfile.TarInfo, *, owners: bool) -> Node:
    """As root's tar has it: a name that is not known here gives way to the number."""
    if owners:
        node.owner = member.uname if member.uname in KNOWN else str(member.uid or "root")
        node.group = member.gname if member.gname in KNOWN else str(member.gid or "root")
    return node


def _place(disk: Disk, path: str, node: Node) -> None:
    there = disk.look(path)
    if isinstance(node, Directory) and isinstance(there, Directory):
        there.mode, there.owner, there.group = node.mode, node.owner, node.group
        return
    if disk.parent(path) is None:
        disk.make_directory(path.rstrip("/").rpartition("/")[0])
    disk.place(path, node)
