"""`find` on a pretend disk: the tests and actions that maintenance commands use, and a refusal of all others."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.practice.machine.files import Directory, Disk, File, Link, Node, letter
from bot.practice.values import Answer, Call, failed

_ESCAPES = {"t": "\t", "n": "\n", "0": "\0", "\\": "\\"}


class _Wrong(Exception):
    """An argument that find does not know."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    path: str
    start: str
    node: Node
    depth: int

    def field(self, directive: str) -> str:
        below = self.path[len(self.start) :].lstrip("/")
        values = {
            "p": self.path,
            "P": below,
            "f": self.path.rsplit("/", 1)[-1],
            "y": letter(self.node),
            "m": f"{self.node.mode:o}",
            "l": self.node.target if isinstance(self.node, Link) else "",
            "u": self.node.owner,
            "g": self.node.group,
            "s": str(len(self.node.data)) if isinstance(self.node, File) else "0",
            "d": str(self.depth),
            **dict.fromkeys(
                ("T@", "C@"), f"{self.node.changed.timestamp() if isinstance(self.node, File) else 0:.10f}"
            ),
            "%": "%",
        }
        if directive not in values:
            raise _Wrong(f"find: -printf %{directive} is not understood here")
        return values[directive]


_Test = Callable[[_Entry], bool]


@dataclass(kw_only=True)
class _Search:
    """One run of find: what it is asked for, and what it has printed."""

    disk: Disk
    left: list[str]
    deepest: int = 1_000_000
    shallowest: int = 0
    acts: bool = False
    deletes: bool = False
    out: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    gathered: list[list[str]] = field(default_factory=list)

    def whole(self) -> _Test:
        """The expression, when it takes up every argument."""
        test = self.expression()
        if self.left:
            raise _Wrong(f"find: unexpected `{self.left[0]}'")
        return test

    def expression(self) -> _Test:
        """Lists with a comma, as find has it: every one is evaluated, the last one counts."""
        tests = [self._alternatives()]
        while self.left[:1] == [","]:
            self.left.pop(0)
            tests.append(self._alternatives())
        return lambda entry: [test(entry) for test in tests][-1]

    def _alternatives(self) -> _Test:
        tests = [self._all_of()]
        while self.left[:1] in (["-o"], ["-or"]):
            self.left.pop(0)
            tests.append(self._all_of())
        return lambda entry: any(test(entry) for test in tests)

    def _all_of(self) -> _Test:
        tests: list[_Test] = []
        while self.left and self.left[0] not in {",", ")", "-o", "-or"}:
            word = self.left.pop(0)
            if word not in {"-a", "-and"}:
                tests.append(self._primary(word))
        return lambda entry: all(test(entry) for test in tests)

    def _primary(self, word: str) -> _Test:
        match word:
            case "(":
                inside = self.expression()
                if self._argument(word) != ")":
                    raise _Wrong("find: invalid expression; I was expecting to find a ')' somewhere")
                return inside
            case "!" | "-not":
                test = self._primary(self._argument(word))
                return lambda entry: not test(entry)
            case "-type":
                kinds = self._argument(word).split(",")
                return lambda entry: letter(entry.node) in kinds
            case "-name":
                pattern = self._argument(word)
                return lambda entry: fnmatch.fnmatchcase(entry.field("f"), pattern)
            case "-size":
                if self._argument(word) != "+0":
                    raise _Wrong("find: -size of anything but +0 is not understood here")
                return lambda entry: entry.field("s") != "0"
            case "-empty":
                return lambda entry: (
                    not (entry.node.entries if isinstance(entry.node, Directory) else entry.field("s") != "0")
                )
            case _:
                return self._option_or_action(word)

    def _option_or_action(self, word: str) -> _Test:
        match word:
            case "-xdev" | "-mount" | "-depth":
                return lambda _entry: True
            case "-maxdepth":
                self.deepest = int(self._argument(word))
                return lambda _entry: True
            case "-mindepth":
                self.shallowest = int(self._argument(word))
                return lambda _entry: True
            case _:
                self.acts = True
                return self._action(word)

    def _action(self, word: str) -> _Test:
        match word:
            case "-print":
                return lambda entry: self._print(f"{entry.path}\n")
            case "-printf":
                shape = self._argument(word)
                return lambda entry: self._print(_printed(shape, entry))
            case "-delete":
                self.deletes = True
                return self._delete
            case "-exec":
                if [self._argument(word) for _ in range(3)] != ["sha256sum", "{}", "+"]:
                    raise _Wrong("find: -exec of anything but sha256sum {} + is not understood here")
                paths: list[str] = []
                self.gathered.append(paths)
                return lambda entry: self._gather(paths, entry)
            case _:
                raise _Wrong(f"find: unknown predicate `{word}'")

    def _argument(self, word: str) -> str:
        if not self.left:
            raise _Wrong(f"find: missing argument to `{word}'")
        return self.left.pop(0)

    def _print(self, text: str) -> bool:
        self.out.append(text)
        return True

    @staticmethod
    def _gather(paths: list[str], entry: _Entry) -> bool:
        paths.append(entry.path)
        return True

    def _delete(self, entry: _Entry) -> bool:
        if isinstance(entry.node, Directory) and entry.node.entries:
            self.complaints.append(f"find: cannot delete ‘{entry.path}’: Directory not empty")
            return False
        self.disk.remove(entry.path)
        return True

    def sums(self) -> str:
        """What the gathered `sha256sum` prints at the end."""
        paths = [path for gathered in self.gathered for path in gathered]
        return "".join(f"{hashlib.sha256(self.disk.read(path) or b'').hexdigest()}  {path}\n" for path in paths)


def _printed(shape: str, entry: _Entry) -> str:
    def one(found: re.Match[str]) -> str:
        if found[0].startswith("\\"):
            return _ESCAPES.get(found[0][1], found[0])
        return entry.field(found[0][1:])

    return re.sub(r"\\.|%[TC]@|%.", one, shape)


def find(disk: Disk, call: Call) -> Answer:
    """`find PATH… EXPRESSION`."""
    arguments = list(call.args)
    starts: list[str] = []
    while arguments and not arguments[0].startswith(("-", "(", "!", ",")):
        starts.append(arguments.pop(0))
    search = _Search(disk=disk, left=arguments)
    try:
        test = search.whole()
        for start in starts or ["."]:
            _search_below(search, start, test)
    except _Wrong as problem:
        return failed(1, str(problem))
    text = "".join(search.out) + search.sums()
    complaints = "".join(f"{line}\n" for line in search.complaints)
    return Answer(exit_status=1 if complaints else 0, out=text.encode(), err=complaints.encode())


def _search_below(search: _Search, start: str, test: _Test) -> None:
    found = list(search.disk.tree(start))
    if not found:
        search.complaints.append(f"find: ‘{start}’: No such file or directory")
    above = start.rstrip("/").count("/")
    # -delete implies -depth: what is in a directory goes before the directory.
    for path, node in reversed(found) if search.deletes else found:
        entry = _Entry(path=path, start=start, node=node, depth=path.rstrip("/").count("/") - above)
        if search.shallowest <= entry.depth <= search.deepest and test(entry) and not search.acts:
            search.out.append(f"{path}\n")
