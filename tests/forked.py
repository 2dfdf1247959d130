"""The program in processes that are forked from one that has imported it: nearly all of a start is Python's imports.

What only a start of `python -m bot` can show is seen with one: how long the users of a stopped backend wait for a bot
that was killed (on the real ring, in the chaos scene that counts failed logins), `deploy/try`, and an installed bot.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["bot.__main__", "bot.bootstrap", "bot.config", "sqlalchemy.dialects.sqlite.pysqlite", "tests.forked"]
)


class Forked:
    """What `asyncio.subprocess.Process` is for a process that was executed."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process
        self._ended = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(process.sentinel, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._ended.set_result(self._process.exitcode)

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the number of the signal that ended it, negative; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return int(await asyncio.shield(self._ended))


async def forked(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    out: Path,
    err: Path | None = None,
    terminal: Path | None = None,
) -> Forked:
    """Start the program with these arguments; what it says is appended to the files.

    With a terminal it reads from there, in a process group of its own, as a shell starts it.
    """
    process = _SERVER.Process(target=_bot, args=(arguments, dict(environment), out, err or out, terminal), daemon=True)
    await asyncio.to_thread(process.start)  # the first one waits for the imports
    return Forked(process)


def _bot(
    arguments: Sequence[str], environment: dict[str, str], out: Path, err: Path, terminal: Path | None = None
) -> None:
    gc.freeze()  # a collection would write to all memory that is shared with the server, and have it copied
    os.chdir(_ROOT)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it is read of the environment once
    if terminal is not None:
        os.setpgid(0, 0)
        os.dup2(os.open(terminal, os.O_RDONLY), 0)
        sys.stdin = os.fdopen(0, closefd=False)
    for path, number in ((out, 1), (err, 2)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), number)
    # Python reads at its start what it is to write, and whether it writes to a pipe.
    sys.stdout = os.fdopen(1, "w", closefd=False, encoding=environment.get("PYTHONIOENCODING", sys.stdout.encoding))
    sys.argv = ["dovecot-bot", *arguments]

    from bot.__main__ import main

    main()
