"""A command for a host, and what came back. Arguments are a list to the end; only `text` joins them, quoted."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from bot.core.text.redact import redact

OUTPUT_KEPT = 64 * 1024
"""Bytes of each stream that a result keeps, unless its command says otherwise; the rest is counted and dropped."""

_LAST = 4_000
"""Characters at the end of an output in which its last line is looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What is to run on one host.

    `root`: needs root there. `keeps_output=False`: the output is counted and thrown away (it is somebody's mail).
    `sends`: the named material that goes to standard input. `timeout`: how long its end is waited for. `ahead`: it is
    asked so that a change can go, and does not wait behind looks.
    """

    argv: tuple[str, ...]
    root: bool = True
    keeps_output: bool = True
    sends: str | None = None
    timeout: timedelta = timedelta(seconds=30)
    keeps: int = OUTPUT_KEPT
    """Bytes of each stream, where the output is kept."""
    ahead: bool = False

    @property
    def text(self) -> str:
        """The command as a POSIX shell reads it, every argument quoted on its own."""
        return _joined(self.argv)


@lru_cache(maxsize=1024)  # a run's state and its guards ask for it again and again
def _joined(argv: tuple[str, ...]) -> str:
    return shlex.join(argv)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a command that ran to its end answered; an exit status is a value, not an error.

    `stdout` and `stderr` hold at most `kept` bytes; `stdout_bytes` counts all of it. `exit_status` is the shell's:
    128 + N for a process ended by signal N. `connection` names the connection that it went over.
    """

    host: str
    command: str
    exit_status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    stdout_bytes: int
    began: datetime
    took: timedelta
    connection: str = ""
    kept: int = OUTPUT_KEPT

    @property
    def complaint(self) -> str:
        """The last line that it complains with, secrets hidden; empty where it says nothing."""
        output = (self.stderr.strip() or self.stdout[-_LAST:].strip())[-_LAST:]
        return redact(output).split("\n")[-1][:300]

    @property
    def cut_short(self) -> bool:
        """Whether more was printed than was kept."""
        return self.stdout_bytes > self.kept
