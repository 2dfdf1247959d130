"""Troubles of the bot itself: SIGKILL, SIGTERM, a second start, a journal that cannot be written."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from tests.chaos.case import Trouble
from tests.chaos.play import Play

_CHECKOUT = Path(__file__).parents[2]


def at_facts(*names: str) -> Trouble:
    """Killed as soon as a fact is in the journal, and started again; then the same at the next of them.

    The next one is waited for while the bot starts, as it goes on before it is known to have started. One that had come
    before that is not counted: the bot is killed after it.
    """

    async def trouble(play: Play) -> None:
        starting = asyncio.create_task(asyncio.sleep(0))
        try:
            for name in names:
                passed = name in play.facts.look()
                if passed:
                    await starting
                await play.facts.until(name)
                await play.kill()
                with suppress(RuntimeError):  # it was killed as it started
                    await starting
                if not passed:
                    play.killed_at.append(name)
                starting = asyncio.create_task(play.start())
        finally:
            await starting

    return trouble


def at_fact_twice(name: str) -> Trouble:
    """Killed at this fact, and again as soon as the new one has written or run anything more: in its recovery."""

    async def trouble(play: Play) -> None:
        await play.facts.until(name)
        await play.kill()
        known = len(play.facts.look()), len(play.ring.log)
        await play.start()
        await play.until(lambda: (len(play.facts.look()), len(play.ring.log)) != known, within=5)
        await play.kill_and_start()

    return trouble


def at_command(part: str) -> Trouble:
    """Killed as soon as a command begins on its host."""

    async def trouble(play: Play) -> None:
        await play.until_command(part)
        await play.kill_and_start()

    return trouble


def again_and_again(every: int) -> Trouble:
    """Killed and started again whenever so many more facts are there, to the end of the run."""

    async def trouble(play: Play) -> None:
        seen = 0
        while not play.facts.over:
            if len(play.facts.look()) >= seen + every and not play.facts.over:
                await play.kill_and_start()
                seen = len(play.facts.look())
            await asyncio.sleep(0.002)

    return trouble


def terminated_at(name: str) -> Trouble:
    """SIGTERM at this fact: it leaves within 10 s with 0, and is started again."""

    async def trouble(play: Play) -> None:
        await play.facts.until(name)
        play.struck = True
        began = asyncio.get_running_loop().time()
        status = await play.scene.stop_bot(within=30)
        took = asyncio.get_running_loop().time() - began
        if status != 0 or took > 10:
            play.remarks.append(f"SIGTERM was answered with {status} after {took:.1f} s")
        await play.start()

    return trouble


def second_start_at(name: str) -> Trouble:
    """Started a second time while it runs: the second one must refuse, and say so."""

    async def trouble(play: Play) -> None:
        await play.facts.until(name)
        play.struck = True
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "serve", "--config", str(play.scene.settings)),
            cwd=_CHECKOUT,
            env={**os.environ, **_tokens(play)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == 0 or b"another bot" not in said:
            play.remarks.append(f"a second start ended with {process.returncode}: {said.decode()[-300:]}")

    return trouble


def _tokens(play: Play) -> dict[str, str]:
    slack = {"SLACK_BOT_TOKEN": "xoxb-practice", "SLACK_APP_TOKEN": "xapp-practice"}
    return {**slack, "SLACK_API_URL": play.scene.slack.api_url}


def journal_locked_at(name: str, seconds: float) -> Trouble:
    """Another program holds the journal for longer than the bot waits."""

    async def trouble(play: Play) -> None:
        await play.facts.until(name)
        play.struck = True
        other = sqlite3.connect(play.scene.folder / "journal.db", isolation_level=None, timeout=5)
        try:
            other.execute("BEGIN IMMEDIATE")
            began, ran = len(play.facts.look()), len(play.ring.log)
            await asyncio.sleep(seconds)
            _held_still(play, began, ran)
            other.execute("ROLLBACK")
        finally:
            other.close()

    return trouble


def journal_full_at(name: str, seconds: float) -> Trouble:
    """No file of the bot can grow any more, as on a full disk."""

    async def trouble(play: Play) -> None:
        await play.facts.until(name)
        play.struck = True
        process = play.scene._bot
        assert process is not None
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (64 * 1024, hard))
        began, ran = len(play.facts.look()), len(play.ring.log)
        await asyncio.sleep(seconds)
        _held_still(play, began, ran)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    return trouble


def _held_still(play: Play, facts: int, ran: int) -> None:
    """Without a journal nothing is begun: at most the change whose intent stands in the journal may have run."""
    if new := len(play.facts.look()) - facts:
        play.remarks.append(f"{new} facts were written into a journal that could not be written")
    changing = [one for one in play.ring.log[ran:] if not _only_looks(one.command)]
    if len(changing) > 1:
        play.remarks.append(f"{len(changing)} changes ran without a journal: {changing[1].command}")


def _only_looks(command: str) -> bool:
    looks = (" status", " show ", "--version", "mailbox", "fetch", "dpkg-query", "find /", 'find "$0"')
    return any(part in command for part in looks)
