"""One command's session on a connection: what was sent, what came back, and how much of it is kept.

It must not know which host it is, nor what the command is for.
"""

from __future__ import annotations

import asyncio
import re
import signal

import asyncssh

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class BoundedOutput:
    """The first bytes of a stream, and the count of all."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._head = bytearray()
        self.count = 0

    def add(self, data: bytes) -> None:
        """Take what arrived."""
        self.count += len(data)
        self._head += data[: self._room - len(self._head)]

    @property
    def text(self) -> str:
        """What was kept: UTF-8, plain line ends, U+FFFD for every control character but those and the tab."""
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", self._head.decode(errors="replace").replace("\r\n", "\n"))


class CommandSession(asyncssh.SSHClientSession[bytes]):
    """Listens to one command from its sending to its end.

    `stdout`, `stderr`: what is kept of each. `sent`: from here on it may have run. `ended` is done when the channel is
    closed, with the error that closed it.
    """

    def __init__(self, *, stdout: int, stderr: int) -> None:
        self.stdout = BoundedOutput(stdout)
        self.stderr = BoundedOutput(stderr)
        self.sent = False
        self.exit_status: int | None = None
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._abandoned = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open, and asyncssh sends the command next, without giving way to anybody in between."""
        self._channel = chan
        if self._abandoned:
            chan.abort()  # which also keeps asyncssh from sending the command
        else:
            self.sent = True

    def feed(self, material: bytes) -> None:
        """Standard input: this and no more."""
        assert self._channel is not None
        try:
            self._channel.write(material)
            self._channel.write_eof()
        except OSError:
            return  # the command has ended without reading it; its end is what counts

    def hang_up(self) -> None:
        """Listen no more: the channel is closed, now or as soon as it opens."""
        self._abandoned = True
        if self._channel is not None and not self.ended.done():
            self._channel.abort()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Count everything, keep the beginning."""
        (self.stderr if datatype == asyncssh.EXTENDED_DATA_STDERR else self.stdout).add(data)

    def exit_status_received(self, status: int) -> None:
        """The command ended by itself."""
        self.exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: ARG002
        """The command was ended by a signal, known by its name (`TERM`)."""
        self.exit_status = 128 + _number(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        if not self.ended.done():
            self.ended.set_result(exc)


def _number(name: str) -> int:
    """A signal's number by SSH's name for it; 0 for one that this machine does not know."""
    return next((known.value for known in signal.Signals if known.name == f"SIG{name}"), 0)
