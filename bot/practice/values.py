"""The values that the practice ring's parts hand each other: a call, its answer, a fault, what ran.

Knows nothing of hosts, rings or SSH.
"""

import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, Literal, Protocol, TypeVar


class Stdin(Protocol):
    """What a command can read: everything up to the end of file."""

    async def read(self) -> bytes:
        """Everything the client sends, until it says that this was all."""
        ...


class Sent:
    """Standard input that has come whole; nothing, as from /dev/null, unless something is given."""

    def __init__(self, data: bytes = b"") -> None:
        """Have these bytes, and then the end of file."""
        self._data = data

    async def read(self) -> bytes:
        """All of it."""
        return self._data


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command leaves behind: its exit status and its two outputs."""

    exit_status: int = 0
    out: bytes = b""
    err: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One command's arguments, without its name, and what it may read."""

    args: tuple[str, ...]
    stdin: Stdin


Program = Callable[[Call], Answer | Awaitable[Answer]]
"""What a host knows under one command name."""

Now = Callable[[], datetime]
"""Says the time, aware, in UTC."""


def machine_time() -> datetime:
    """The time of the machine that the practice ring runs on."""
    return datetime.now(UTC)


def succeeded(text: str) -> Answer:
    """Success, with this text on standard output."""
    return Answer(out=text.encode())


def failed(exit_status: int, *lines: str) -> Answer:
    """Failure with this exit status, and these lines on standard error."""
    return Answer(exit_status=exit_status, err="".join(f"{line}\n" for line in lines).encode())


async def run_program(known: Mapping[str, Program], argv: tuple[str, ...], stdin: Stdin) -> Answer:
    """One command, by its name and arguments; 127 when it is not known."""
    program = known.get(argv[0]) if argv else None
    if program is None:
        return failed(127, f"sh: 1: {argv[0] if argv else ''}: not found")
    try:
        answer = program(Call(args=argv[1:], stdin=stdin))
        return answer if isinstance(answer, Answer) else await answer
    except (IndexError, ValueError):
        # An option without its value, or a number that is none: the real command would refuse too.
        return failed(1, f"{argv[0]}: invalid arguments: {shlex.join(argv[1:])}")


@dataclass(kw_only=True, slots=True)
class Ran:
    """One command that really ran on a host.

    Written when it begins, and completed (hence not frozen) when it ends: until then `finished` and
    `exit_status` are None; of one that a reboot ended, `exit_status` stays None. A command that a fault kept from
    running is not here. One that was sent in a fence is here from the moment its fence lets it begin, and `command`
    is what stands inside of the fence: `not_after` (seconds since 1970 by the host's own clock) tells that it was
    fenced, and `lock` behind which file.
    """

    at: datetime
    host: str
    command: str
    exit_status: int | None = None
    finished: datetime | None = None
    not_after: int | None = None
    lock: str | None = None


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A file of the metacache that was deleted on a host before all was in the object storage."""

    at: datetime
    host: str
    path: str


@dataclass(kw_only=True)
class HostLog:
    """What all hosts of a ring write down: what ran, what a fence refused, what was lost."""

    ran: list[Ran] = field(default_factory=list)
    refused: list[Ran] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FailedLogin:
    """A pretend mail user who was turned away.

    `backend` is the literal IP of the backend that was not serving, or empty when no backend was usable.
    """

    at: datetime
    user: str
    backend: str


class Lasting(Protocol):
    """What goes wrong so many times; None: until it is taken back."""

    @property
    def times(self) -> int | None: ...


F = TypeVar("F", bound=Lasting)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with the next `times` commands that contain `matches`.

    `host` is a host's name, or None for any. `when` is relative to the command's work: before it, the command
    is never run; during and after, it runs to its end, whatever the client hears; late, it begins `delay` after its
    sender was cut off, as one that lay in a network's buffers does. `what`: cut drops the TCP connection, hang never
    answers, exit answers `exit_status` (and nothing else) in place of the true one.
    """

    host: str | None = None
    matches: str = ""
    when: Literal["before", "during", "after", "late"]
    what: Literal["cut", "hang", "exit"]
    exit_status: int = 75
    times: int = 1
    delay: timedelta = timedelta(0)

    def hits(self, host: str, command: str) -> bool:
        """Whether it is meant for this command."""
        return self.host in {None, host} and self.matches in command


class Faults(Generic[F]):
    """The faults that are still to strike, in the order in which they were armed."""

    def __init__(self) -> None:
        """No faults."""
        self._armed: list[F] = []

    def add(self, fault: F) -> None:
        """Arm a fault; those armed first strike first."""
        self._armed += [fault] * (fault.times or 1)

    def clear(self) -> None:
        """Disarm what has not struck."""
        self._armed.clear()

    def strike(self, hits: Callable[[F], bool]) -> F | None:
        """The first fault that hits, if any; it is used up by one, unless it is to last until it is cleared."""
        for index, fault in enumerate(self._armed):
            if hits(fault):
                if fault.times is not None:
                    del self._armed[index]
                return fault
        return None
