"""Puts a change into its fence: over the connection it was decided on, until a moment soon, behind the backend's lock.

Whatever changes a host goes through here: steps, undos, and what the watch sets back.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from bot.core.hosts.command import Result
from bot.core.hosts.fence import CLOCK, Fence, lock_question, read_clock, read_locks
from bot.core.hosts.inventory import Backend, Host
from bot.engine.looks.beside import give_up
from bot.engine.ports import Clock, Hosts
from bot.errors import MayHaveRun, NotRun, StillRuns

_YOUNG = timedelta(seconds=1)
"""The age at which a host's clock is read anew: what a long look takes would be lost to the change's way there."""


BESIDE = timedelta(milliseconds=250)
"""How long a director's command has for its usual answer, before it is looked whether it is done all the same."""


class Sending:
    """Sends the changes of one bot to its hosts.

    `not_after`: how long after its host's clock was read a change may begin there. What the network has not taken by
    then has been given up on this side (see the TCP timeouts of the SSH adapter). As long after that, a director may
    still carry out what lay in its socket when it hung.
    """

    def __init__(self, hosts: Hosts, not_after: timedelta) -> None:
        self._hosts = hosts
        self._seconds = max(1, int(not_after.total_seconds()))

    async def asked(self, host: Host) -> Result:
        """What a fence is made of: the host's clock, and of a backend its locks; raises NotRun."""
        question = lock_question(host.name) if isinstance(host, Backend) else CLOCK
        try:
            return await self._hosts.run(host, question)
        except MayHaveRun as error:
            raise NotRun(f"{host.name} does not say what time it has ({error}); nothing was sent.") from error

    def fence(self, host: Host, connection: str, lock: str, answer: Result) -> Fence:
        """The fence for a change that was just decided on this connection; raises HostError, and nothing was sent.

        StillRuns: an earlier change runs there. `lock`: the file that this run has used so far, if any. `answer`: what
        it was asked for this change.
        """
        if answer.connection != connection:
            raise NotRun(f"{host.name}: its connection has changed since it was looked at; nothing was sent.")
        if not isinstance(host, Backend):
            now = read_clock(answer.stdout)
            if now is None:
                raise NotRun(f"{host.name} does not say what time it has; nothing was sent.")
            return Fence(connection=connection, not_after=now + self._seconds, lock=None)
        path, now, free = locked_by(host, answer, lock)
        if not free:
            raise StillRuns(f"{host.name}: an earlier change of this bot still runs there; it holds {path}.")
        return Fence(connection=connection, not_after=now + self._seconds, lock=path)

    async def over(self, backend: Backend, not_after: int, lock: str) -> bool:
        """Whether nothing that was sent there can begin or run any more; raises HostError where that cannot be seen."""
        _, now, free = locked_by(backend, await self.asked(backend), lock)
        return free and now > not_after

    async def clock(self, director: Host) -> int:
        """What time it has; raises HostError."""
        now = read_clock((await self.asked(director)).stdout)
        if now is None:
            raise NotRun(f"{director.name} does not say what time it has.")
        return now

    def carried_out_until(self, not_after: int) -> int:
        """Until when, by its clock, a director may carry out what may begin there until `not_after`."""
        return not_after + self._seconds


class Early:
    """What a fence is made of, asked beside the look on which its change is decided, of the host that it is meant for.

    It is a question for one change; an answer that is not young when all is decided is no answer.
    """

    def __init__(self, sending: Sending, clock: Clock, host: Host) -> None:
        self._sending = sending
        self._clock = clock
        self._host = host
        self._began = clock.now()
        self._asking = asyncio.create_task(sending.asked(host))

    async def answer(self, host: Host, connection: str) -> Result:
        """What this host says, asked now where it was not over this connection, or too early; raises NotRun."""
        if self._host == host:
            with suppress(NotRun):
                answer = await self._asking
                if answer.connection == connection and self._clock.now() - self._began < _YOUNG:
                    return answer
        return await self._sending.asked(host)

    async def close(self) -> None:
        """Leave no question behind."""
        await give_up(self._asking)


def locked_by(backend: Backend, answer: Result, lock: str = "") -> tuple[str, int, bool]:
    """The lock's file on the backend, the clock there, and whether the lock is free; raises NotRun, with what to do."""
    locks = read_locks(answer.stdout)
    if locks is None:
        raise NotRun(f"{backend.name} does not say what time it has, or which lock is free: {answer.complaint!r}.")
    path = lock or next(iter(locks.free), "")
    if path not in locks.free:
        raise NotRun(
            f"{backend.name}: no lock can be taken there, and nothing is changed without one. It needs the command"
            " flock (package util-linux), and a home or /run/lock that the bot's user can write. What to do: mend that."
        )
    return path, locks.now, locks.free[path]
