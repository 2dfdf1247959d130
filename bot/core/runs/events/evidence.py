"""What facts are shown by: the commands that ran, and what was read of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A command that ran on a host, or was sent there. `exit_status` None: its end was not heard.

    `output` is shortened and has its secrets hidden; `output_bytes` counts what the command really printed.
    """

    host: str
    command: str
    exit_status: int | None
    took: timedelta
    output: str
    output_bytes: int
    changes: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one look at one host read, or why it could not be read."""

    host: str
    probe: str
    reading: Mapping[str, str | int | bool] | None
    problem: str = ""
