"""Running the small shell's scripts: a host's commands are its words, files are the host's disk."""

import glob
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bot.practice.machine.files import Disk
from bot.practice.machine.script import (
    Chain,
    Command,
    Group,
    Not,
    NotUnderstood,
    Redirect,
    Script,
    Simple,
    Word,
    read_script,
)
from bot.practice.values import Answer, NoStdin, Stdin, failed

Runner = Callable[[tuple[str, ...], Stdin], Awaitable[Answer]]


class _Exit(Exception):
    """`exit` was called, or `set -e` saw a failure."""

    def __init__(self, status: int) -> None:
        self.status = status


@dataclass(kw_only=True)
class _Frame:
    """Where a script is: its parameters, its last status, and what it has printed so far."""

    parameters: dict[str, str]
    stdin: Stdin
    status: int = 0
    stop_on_failure: bool = False
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
        frame = _Frame(parameters={**self._environment, **parameters}, stdin=stdin or NoStdin())
        try:
            return frame.answer(await self._script(script, frame))
        except _Exit as leaving:
            return frame.answer(leaving.status)

    async def _script(self, script: Script, frame: _Frame) -> int:
        for chain in script:
            frame.status = await self._chain(chain, frame)
        return frame.status

    async def _chain(self, chain: Chain, frame: _Frame) -> int:
        status, last = 0, len(chain.commands) - 1
        for index, (joint, command) in enumerate(chain.commands):
            if (joint == "&&" and status != 0) or (joint == "||" and status == 0):
                continue
            status = frame.status = await self._command(command, frame)
            # As POSIX has it: `set -e` looks only at the last command of a chain, and never at a negated one.
            if status and index == last and frame.stop_on_failure and not isinstance(command, Not):
                raise _Exit(status)
        return status

    async def _command(self, command: Command, frame: _Frame) -> int:
        if isinstance(command, Not):
            return int(await self._command(command.command, frame) == 0)
        if not command.redirects:
            return await self._plain(command, frame)
        outer = frame.outputs
        frame.outputs = {1: [], 2: []}
        try:
            return await self._plain(command, frame)
        finally:
            inner, frame.outputs = frame.outputs, outer
            for number, place in _places(command.redirects).items():
                if place is not None:
                    outer[place] += inner[number]

    async def _plain(self, command: Simple | Group, frame: _Frame) -> int:
        if isinstance(command, Group):
            return await self._script(command.body, frame)
        words = [text for word in command.words for text in await self._expand(word, frame)]
        values = {name: await self._joined(word, frame) for name, word in command.assignments}
        if not words:
            frame.parameters |= values
            return frame.status if any(_runs_something(word) for _, word in command.assignments) else 0
        if (status := self._builtin(words, frame)) is not None:
            return status
        if words[0] == "exec" and len(words) > 1:
            self._at_exec()
            raise _Exit(await self._one(words[1:], frame))
        return await self._one(words, frame)

    async def _one(self, words: list[str], frame: _Frame) -> int:
        answer = await self._run(tuple(words), frame.stdin)
        frame.outputs[1].append(answer.out)
        frame.outputs[2].append(answer.err)
        return answer.exit_status

    @staticmethod
    def _builtin(words: list[str], frame: _Frame) -> int | None:
        """The status of a command that the shell does itself; None for any other."""
        match words:
            case ["exit"]:
                raise _Exit(frame.status)
            case ["exit", number] if number.isdigit():
                raise _Exit(int(number) & 255)
            case ["exit", number]:
                frame.outputs[2].append(f"sh: 1: exit: Illegal number: {number}\n".encode())
                raise _Exit(2)
            case ["set", "-e" | "-eu" | "-ue"]:
                frame.stop_on_failure = True
                return 0
            case ["set", *_]:
                frame.outputs[2].append(f"sh: 1: {' '.join(words)}: not understood here\n".encode())
                raise _Exit(2)
            case _:
                return None

    async def _joined(self, word: Word, frame: _Frame) -> str:
        return "".join([await self._value(kind=piece.kind, value=piece.value, frame=frame) for piece in word])

    async def _expand(self, word: Word, frame: _Frame) -> list[str]:
        """One word as it stands in the script, to the none, one or many that the command gets."""
        fields: list[list[tuple[str, bool]]] = [[]]
        for piece in word:
            value = await self._value(kind=piece.kind, value=piece.value, frame=frame)
            if piece.quoted or piece.kind == "text":
                fields[-1].append((value, piece.quoted))
                continue
            split = value.split()
            fields[-1] += [(split[0], False)] if split else []
            fields += [[(text, False)] for text in split[1:]]
        return [path for pieces in fields if pieces for path in self._paths(pieces)]

    def _paths(self, pieces: list[tuple[str, bool]]) -> list[str]:
        plain = "".join(text for text, _ in pieces)
        if not any(mark in text for text, quoted in pieces if not quoted for mark in "*?["):
            return [plain]
        return self._disk.glob("".join(glob.escape(text) if quoted else text for text, quoted in pieces)) or [plain]

    async def _value(self, *, kind: str, value: str, frame: _Frame) -> str:
        if kind == "text":
            return value
        if kind == "parameter":
            return str(frame.status) if value == "?" else frame.parameters.get(value, "")
        below = _Frame(parameters=dict(frame.parameters), stdin=frame.stdin, stop_on_failure=frame.stop_on_failure)
        try:
            frame.status = await self._script(read_script(value), below)
        except _Exit as leaving:
            frame.status = leaving.status
        frame.outputs[2] += below.outputs[2]
        return b"".join(below.outputs[1]).decode(errors="replace").rstrip("\n")


def _runs_something(word: Word) -> bool:
    return any(piece.kind == "output" for piece in word)


def _places(redirects: tuple[Redirect, ...]) -> dict[int, int | None]:
    """Where each output ends up, the redirections taken from left to right."""
    places: dict[int, int | None] = {1: 1, 2: 2}
    for redirect in redirects:
        places[redirect.number] = None if redirect.to is None else places[redirect.to]
    return places
