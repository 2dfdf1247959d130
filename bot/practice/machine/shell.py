"""A small shell on a pretend host, as far as the scripts of procedures and probes go.

Words with quotes, parameters and "$(…)"; lists with ; and newlines; && and ||; { groups; }; redirections to /dev/null
or to another output. All else (pipes, loops, conditions, background jobs) is refused before anything is run.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bot.practice.machine.files import Disk
from bot.practice.values import Answer, Sent, Stdin, failed

Runner = Callable[[tuple[str, ...], Stdin], Awaitable[Answer]]


class NotUnderstood(Exception):
    """The script is wrong, or beyond this small shell."""


# reading: text to a script

_OUTPUT = r"\$\((?:[^()'\"`]|'[^']*'|\"[^\"`]*\")*\)"
_PARAMETER = r"\$(?:[A-Za-z_]\w*|[0-9?])"
_DOUBLE = rf"\"(?:{_OUTPUT}|\\.|\$(?!\{{)|[^\"\\$`])*\""
_PIECE = rf"'[^']*'|{_DOUBLE}|{_OUTPUT}|{_PARAMETER}|\\.|\$(?![{{(])|[^\s;&|<>()'\"\\$`]+"
_TOKEN = re.compile(
    r"[ \t]*(?:(?P<redirect>\d?>>?[ ]*/dev/null|\d?>&[12]|<[ ]*/dev/null)"
    rf"|(?P<operator>&&|\|\||[;\n])|(?P<word>(?:{_PIECE})+)|$)",
    re.DOTALL,
)
_PIECES = re.compile(_PIECE, re.DOTALL)
_INSIDE = re.compile(rf"{_OUTPUT}|{_PARAMETER}|\\[$\"\\]|[^\\$]+|.", re.DOTALL)
"""What stands between double quotes."""
_LITERAL = re.compile(r"'[^']*'|[^$`\\'\"*?\[]+")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_RESERVED = frozenset({"if", "then", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "!", "[["})


@dataclass(frozen=True, kw_only=True)
class Simple:
    """The words of one command as they are written, assignments first."""

    words: tuple[str, ...]
    redirects: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A list between braces."""

    body: Script
    redirects: tuple[str, ...]


Command = Simple | Group
Chain = tuple[tuple[str, Command], ...]
"""Commands joined by && and ||; each is paired with the joint before it."""
Script = tuple[Chain, ...]


@lru_cache(maxsize=512)
def read_script(text: str) -> Script:
    """The whole text as a script; raises `NotUnderstood`. The same few are read again and again."""
    return _Parser(list(_tokens(text))).script()


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NotUnderstood(f'"{text[at : at + 20]}" unexpected')
        at = found.end()
        if found.lastgroup is not None:
            yield found.lastgroup, found[found.lastgroup]


class _Parser:
    """Puts tokens together."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._left = tokens[::-1]

    def _next(self) -> tuple[str, str]:
        return self._left[-1] if self._left else ("end", "end of file")

    def _take_while(self, kind: str) -> Iterator[str]:
        while self._next()[0] == kind:
            yield self._left.pop()[1]

    def _pass_newlines(self) -> None:
        while self._next() == ("operator", "\n"):
            self._left.pop()

    def script(self, *, closing: bool = False) -> Script:
        chains: list[Chain] = []
        self._pass_newlines()
        while self._left and not (closing and self._next() == ("word", "}")):
            chains.append(tuple(self._chain()))
            if self._next()[1] in {";", "\n"}:
                self._left.pop()
            elif self._left:
                raise self._unexpected()
            self._pass_newlines()
        return tuple(chains)

    def _chain(self) -> Iterator[tuple[str, Command]]:
        yield "", self._command()
        while self._next()[1] in {"&&", "||"}:
            joint = self._left.pop()[1]
            self._pass_newlines()
            yield joint, self._command()

    def _command(self) -> Command:
        kind, word = self._next()
        if kind != "word" or word in _RESERVED or word == "}":
            raise self._unexpected()
        if word == "{":
            self._left.pop()
            body = self.script(closing=True)
            if not body or not self._left:
                raise self._unexpected()
            self._left.pop()
            return Group(body=body, redirects=tuple(self._take_while("redirect")))
        words: list[str] = []
        redirects: list[str] = []
        while self._next()[0] in {"word", "redirect"}:
            words += self._take_while("word")
            redirects += self._take_while("redirect")
        for output in _outputs(words):
            read_script(output)
        return Simple(words=tuple(words), redirects=tuple(redirects))

    def _unexpected(self) -> NotUnderstood:
        return NotUnderstood(f'"{self._next()[1]}" unexpected')


def _outputs(words: list[str]) -> Iterator[str]:
    """The scripts whose output is meant."""
    for word in words:
        for piece in _PIECES.findall(word):
            if not piece.startswith("'"):
                yield from (output[2:-1] for output in re.findall(_OUTPUT, piece))


# running: a host's commands are its words, files are the host's disk


class _Exit(Exception):
    """`exit` or `exec` was called."""

    def __init__(self, status: int) -> None:
        self.status = status


@dataclass(kw_only=True)
class _Frame:
    """Where a script is: its parameters, its last status, and what it has printed so far."""

    parameters: dict[str, str]
    stdin: Stdin
    status: int = 0
    outputs: dict[int, list[bytes]] = field(default_factory=lambda: {1: [], 2: []})

    def answer(self, status: int) -> Answer:
        return Answer(exit_status=status, out=b"".join(self.outputs[1]), err=b"".join(self.outputs[2]))


class Shell:
    """A shell on one host."""

    def __init__(
        self, disk: Disk, run: Runner, environment: Mapping[str, str], at_exec: Callable[[], None] = lambda: None
    ) -> None:
        """`run` does one command, given its name and arguments; `at_exec` is told of each `exec` before it is done.

        `environment`: the variables that are there from the beginning.
        """
        self._disk = disk
        self._run = run
        self._environment = environment
        self._at_exec = at_exec

    async def run(self, text: str, arguments: tuple[str, ...] = (), stdin: Stdin | None = None) -> Answer:
        """A script with its $0, $1, …; exit status 2 and nothing run when it is not understood."""
        try:
            script = read_script(text)
        except NotUnderstood as problem:
            return failed(2, f"sh: 1: Syntax error: {problem}")
        parameters = {str(index): value for index, value in enumerate(arguments or ("sh",))}
        frame = _Frame(parameters={**self._environment, **parameters}, stdin=stdin or Sent())
        return frame.answer(await self._whole(script, frame))

    async def _whole(self, script: Script, frame: _Frame) -> int:
        try:
            return await self._script(script, frame)
        except _Exit as leaving:
            return leaving.status

    async def _script(self, script: Script, frame: _Frame) -> int:
        for chain in script:
            for joint, command in chain:
                if joint != ("||" if frame.status == 0 else "&&"):
                    frame.status = await self._command(command, frame)
        return frame.status

    async def _command(self, command: Command, frame: _Frame) -> int:
        outer = frame.outputs
        frame.outputs = {1: [], 2: []}
        try:
            if isinstance(command, Group):
                return await self._script(command.body, frame)
            return await self._simple(command, frame)
        finally:
            inner, frame.outputs = frame.outputs, outer
            for number, place in _places(command.redirects).items():
                if place:
                    outer[place] += inner[number]

    async def _simple(self, command: Simple, frame: _Frame) -> int:
        words = list(command.words)
        values: dict[str, str] = {}
        while words and (assigned := _ASSIGNMENT.fullmatch(words[0])):
            values[assigned[1]] = "".join([await self._text(one, frame) for one in _PIECES.findall(assigned[2])])
            del words[0]
        if not words:
            frame.parameters |= values
            return frame.status if any(_outputs(list(command.words))) else 0
        match [text for word in words for text in await self._expand(word, frame)]:
            case ["exit", *number]:
                raise _Exit(int(number[0]) if number else frame.status)
            case ["exec", *expanded] if expanded:
                self._at_exec()
                raise _Exit(await self._one(expanded, frame))
            case expanded:
                return await self._one(expanded, frame)

    async def _one(self, words: list[str], frame: _Frame) -> int:
        answer = await self._run(tuple(words), frame.stdin)
        frame.outputs[1].append(answer.out)
        frame.outputs[2].append(answer.err)
        return answer.exit_status

    async def _expand(self, word: str, frame: _Frame) -> list[str]:
        """One word as it stands in the script, to the none, one or many that the command gets."""
        if _LITERAL.fullmatch(word):  # most words
            return [word.strip("'")]
        fields: list[list[tuple[str, bool]]] = [[]]
        for piece in _PIECES.findall(word):
            text = await self._text(piece, frame)
            if piece[0] == "$" and len(piece) > 1:
                first, *others = text.split() or [""]
                fields[-1] += [(first, False)] if first else []
                fields += [[(other, False)] for other in others]
            else:
                fields[-1].append((text, piece[0] in "'\"\\"))
        return [path for pieces in fields if pieces for path in self._paths(pieces)]

    def _paths(self, pieces: list[tuple[str, bool]]) -> list[str]:
        plain = "".join(text for text, _ in pieces)
        if not any(mark in text for text, quoted in pieces if not quoted for mark in "*?["):
            return [plain]
        return self._disk.glob("".join(glob.escape(text) if quoted else text for text, quoted in pieces)) or [plain]

    async def _text(self, piece: str, frame: _Frame) -> str:
        """What a piece of a word stands for."""
        if piece[0] == "'":
            return piece[1:-1]
        if piece[0] == '"':
            return "".join([await self._value(one, frame) for one in _INSIDE.findall(piece[1:-1])])
        return await self._value(piece, frame)

    async def _value(self, piece: str, frame: _Frame) -> str:
        if len(piece) == 1 or piece[0] not in "$\\":
            return piece
        if not piece.startswith("$("):
            values = {**frame.parameters, "?": str(frame.status)}
            return piece[1:] if piece[0] == "\\" else values.get(piece[1:], "")
        below = _Frame(parameters=dict(frame.parameters), stdin=frame.stdin)
        frame.status = await self._whole(read_script(piece[2:-1]), below)
        frame.outputs[2] += below.outputs[2]
        return b"".join(below.outputs[1]).decode(errors="replace").rstrip("\n")


def _places(redirects: tuple[str, ...]) -> dict[int, int | None]:
    """Where each output ends up, the redirections taken from left to right; None is nowhere."""
    places: dict[int, int | None] = {1: 1, 2: 2}
    for redirect in redirects:
        number = int(redirect[0]) if redirect[0].isdigit() else 1
        if "&" in redirect:
            places[number] = places[int(redirect[-1])]
        elif not redirect.startswith("<"):
            places[number] = None
    return places
