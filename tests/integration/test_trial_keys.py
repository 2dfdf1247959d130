"""What is typed at the questions of `deploy/try`, and how it ends when somebody interrupts it."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.forked import Forked, forked

ROOT = Path(__file__).parents[2]
WITHIN = 90.0
QUESTION = r"@\w+[^\n]*\?\n[^\n]* > $"


class Typing:
    """The program with a terminal to read from, and somebody at it; it is shown through a pipe."""

    def __init__(self, process: Forked, out: asyncio.StreamReader, keys: int) -> None:
        self.process = process
        self._out = out
        self._keys = keys
        self.shown = ""

    async def until_asked(self) -> str:
        """What is shown up to the next question, which has an end of its own."""
        return await self.until(QUESTION)

    async def until(self, wanted: str) -> str:
        """What is shown until this is in it."""
        before = len(self.shown)
        async with asyncio.timeout(WITHIN):
            while not re.search(wanted, self.shown[before:]):
                more = await self._out.read(65536)
                assert more, f"it ended: {self.shown}"
                self.shown += more.decode()
        return self.shown[before:]

    async def answer(self, key: str) -> str:
        """Type this, and return what follows up to the next question."""
        os.write(self._keys, f"{key}\n".encode())
        return await self.until_asked()

    async def end(self, key: str | None = None) -> int:
        """Type this, and return the exit status; what was shown is whole then."""
        if key is not None:
            os.write(self._keys, key.encode())
        async with asyncio.timeout(WITHIN):
            self.shown += (await self._out.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def typing(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[Typing]:
    """`dovecot-bot try` in a process group of its own, as a shell starts it; its folders are made in this one."""
    keys, terminal = pty.openpty()
    with tempfile.TemporaryDirectory() as beside:
        shown = Path(beside, "shown")
        os.mkfifo(shown)
        out = asyncio.StreamReader()
        pipe = os.fdopen(os.open(shown, os.O_RDONLY | os.O_NONBLOCK), "rb")
        reading, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(out), pipe)
        process = await forked(
            ["try", "--drain", "1s", *arguments],
            {**os.environ, "TMPDIR": str(folder), **environment},
            shown,
            terminal=Path(os.ttyname(terminal)),
        )
        try:
            yield Typing(process, out, keys)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            reading.close()
            os.close(terminal)
            os.close(keys)


def left_in(folder: Path) -> list[str]:
    """What is left: every file in this folder, and every process that was told of it."""
    found = [path.name for path in folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "cmdline").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


async def test_only_the_letters_that_are_shown_count_and_no_no_no_ends_it(tmp_path: Path) -> None:
    async with typing(tmp_path, "backend-3 restart=yes") as somebody:
        assert "Approval needed" in await somebody.until_asked()
        for odd in ("", "deny it", "yn", "x", "ü", " \x1b[A"):
            again = await somebody.answer(odd)
            assert "Approved" not in again and "Not now" not in again, odd
            assert "│" not in again, "nothing has happened in the thread"
        held = await somebody.answer("n")
        assert "@alice" in held.splitlines()[-2]
        assert (await somebody.answer("")).splitlines() == held.splitlines()[-2:]
        assert "Approval needed" in await somebody.answer("g")
        assert "@alice" in (await somebody.answer(" N ")).splitlines()[-2]
        assert await somebody.end("n\n") == 1
        assert "Traceback" not in somebody.shown
        assert "\x1b" not in somebody.shown
        *_, how, backend, logins, thread, record = somebody.shown.splitlines()
        assert "nobody decided" in how
        assert "vhosts 0" in backend
        assert "failed" in logins
        assert "replies" in thread
        assert "# " in await asyncio.to_thread(Path(record.split()[-1]).read_text)


async def test_yes_approves_and_the_commands_are_shown_to_who_asks_for_them(tmp_path: Path) -> None:
    async with typing(tmp_path, "backend-3 restart=yes") as somebody:
        await somebody.until_asked()
        assert "doveadm director flush 192.0.2.13" in await somebody.answer("c")
        assert "Approved" in await somebody.answer("yes")
        assert await somebody.end("y\n") == 0
        assert somebody.shown.splitlines()[-5].startswith("The run has ended: done")


async def test_who_has_no_more_to_type_ends_it_and_the_record_is_whole_though_the_terminal_has_not_every_sign(
    tmp_path: Path,
) -> None:
    async with typing(tmp_path, "backend-3 restart=yes reason=für", PYTHONIOENCODING="ascii") as somebody:
        await somebody.until_asked()
        assert await somebody.end("\x04") == 1
        assert "Traceback" not in somebody.shown
        record = Path(somebody.shown.split()[-1])
        assert "für" in await asyncio.to_thread(record.read_text)


@pytest.mark.parametrize("stdin", ["<&-", "</dev/null"])
async def test_where_nobody_can_answer_nothing_is_approved_unless_it_is_said_to_be_scripted(stdin: str) -> None:
    """An `n` from a pipe counted as approved."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$0" -m bot try {stdin}', sys.executable,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert "--yes scripts the clicks" in said.decode()
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("number", "drain"),
    [(signal.SIGINT, "1s"), (signal.SIGINT, "60s"), (signal.SIGTERM, "1s"), (signal.SIGHUP, "60s")],
    ids=[
        "Ctrl-C at a question",
        "Ctrl-C in the drain",
        "told to end at a question",
        "its terminal closed in the drain",
    ],
)
async def test_it_ends_at_once_and_leaves_nothing(tmp_path: Path, number: signal.Signals, drain: str) -> None:
    """As when Ctrl-C is typed, which the bot and whatever else was started hear, too."""
    async with typing(tmp_path, "--drain", drain, "backend-3 restart=yes") as somebody:
        await (somebody.until_asked() if drain == "1s" else somebody.until("No new users to backend-3"))
        assert left_in(tmp_path), "the bot runs"
        os.killpg(somebody.process.pid, number)
        async with asyncio.timeout(30):  # on a busy machine; whoever waited for an answer or the drain took longer
            assert await somebody.end() == 128 + number
        assert "Traceback" not in somebody.shown
        assert not left_in(tmp_path)


@pytest.mark.parametrize(("drain", "why"), [("0s", "at least 1s"), ("-1s", "such as"), ("soon", "such as")])
async def test_a_drain_that_is_none_is_refused_in_a_line(tmp_path: Path, drain: str, why: str) -> None:
    async with typing(tmp_path, f"--drain={drain}") as somebody:
        assert await somebody.end() == 2
        assert "Traceback" not in somebody.shown
        assert why in re.sub(r"[\s│]+", " ", somebody.shown)
