"""Reads what a host itself noted of the commands it ran for the bot's user: the judge of what really ran."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

SSH_LOG = "/var/log/lab/ssh.log"
SUDO_LOG = "/var/log/lab/sudo.log"

ACCEPTED = "accept"
REFUSED = ("reject", "alert")
EXITED = "exit"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One command: as sshd handed it to the user's shell, or as sudo ran it.

    `exit` and `took` are known of sudo's only, and None while it runs. `refused` says that sudo wanted a password that
    nobody was there to type; of a command that is in no rule at all sudo notes nothing, so that one is seen by `ssh`
    alone.
    """

    at: datetime
    via: Literal["ssh", "sudo"]
    command: str
    refused: bool = False
    exit: int | None = None
    took: timedelta | None = None


def of_ssh(text: str) -> Iterator[Ran]:
    """Read the notes of /lab/shell: seconds, a space, the command, NUL."""
    for note in text.split("\0")[:-1]:
        seconds, _, command = note.partition(" ")
        yield Ran(at=datetime.fromtimestamp(float(seconds), UTC), via="ssh", command=command)


def of_sudo(text: str) -> Iterator[Ran]:
    """Read sudo's own JSON log; json.JSONDecodeError when it is being written just now."""
    events: list[tuple[str, dict[str, Any]]] = []
    if text:
        events = json.loads(text, object_pairs_hook=keep_repeated)
    ends = {body["uuid"]: body for kind, body in events if kind == EXITED}
    for kind, body in events:
        if kind == ACCEPTED or kind in REFUSED:
            end = ends.get(body.get("uuid"), {})
            yield Ran(
                at=datetime.fromtimestamp(seconds(body["submit_time"]), UTC),
                via="sudo",
                command=shlex.join(body.get("runargv") or [body["command"]]),
                refused=kind in REFUSED,
                exit=end.get("exit_value"),
                took=timedelta(seconds=seconds(end["run_time"])) if "run_time" in end else None,
            )


def seconds(moment: dict[str, int]) -> float:
    return moment["seconds"] + moment["nanoseconds"] / 1e9


def keep_repeated(pairs: list[tuple[str, Any]]) -> object:
    """The outermost object has a key per event, so the same few again and again; all others are plain."""
    kinds = {ACCEPTED, EXITED, *REFUSED}
    return pairs if all(key in kinds for key, _ in pairs) else dict(pairs)
