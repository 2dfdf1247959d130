"""`dovecot-bot try`: the whole job on one machine, in a terminal, with the second engineer's clicks asked for there."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import (
    CONFIG,
    GROUP,
    REQUESTER,
    SECOND,
    STRANGER,
    THIRD,
    Scene,
    buttons,
    practice_site,
)
from bot.practice.slack.workspace import Ephemeral, Message
from bot.practice.terminal import shown

_NAMES = {REQUESTER: "alice", SECOND: "bob", THIRD: "carol", STRANGER: "mallory", GROUP: "mail-engineers"}
_LONGEST = 1800.0
TYPED = 'backend-3 reason="CVE fix" ticket=CHG0012345'
"""The bare command: the example needs no more."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How to try: the drain's length, whether the clicks are scripted, where it is shown, what is typed."""

    drain: timedelta
    scripted: bool
    out: TextIO
    text: str = TYPED

    async def run(self) -> int:
        """Do it all; returns the exit status."""
        folder = Path(tempfile.mkdtemp(prefix="dovecot-bot-try-"))
        async with (
            PracticeRing(user_expire=self.drain) as ring,
            Scene(practice_site(ring, proposed=CONFIG), folder=folder, drain=self.drain) as scene,
        ):
            scene.propose_a_small_change(CONFIG, ring.backends["backend-3"].disk)
            self._say("A practice ring (2 directors, 3 backends, 60 users) and a local Slack are up on this machine.")
            await scene.start_bot()
            self._say(f"\n@alice in #mail-ops:  /dovecot-upgrade {self.text}\n")
            earlier = len(scene.slack.ephemerals)
            await scene.ask(self.text)
            if not scene.begun:
                self._refused(scene.slack.ephemerals[earlier:])
                return 1
            done = await self._follow(scene)
            failed = len(ring.failed_logins)
            record = await self._record(scene)
            await scene.stop_bot()
        if not done:
            self._say(f"The run did not end as it should. The bot's log: {folder / 'bot.log'}")
            return 1
        self._say(f"\nLogins of the 60 practice users that failed meanwhile: {failed}")
        self._say(f"The change record: {record}")
        return 0

    def _refused(self, answers: Sequence[Ephemeral]) -> None:
        for answer in answers:
            lines = shown(answer, _NAMES).splitlines()
            self._say("#mail-ops | " + "\n          | ".join([*lines, "(only @alice sees this)"]))
        self._say("\nThere is no run, and nothing was changed.")

    def _say(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    async def _follow(self, scene: Scene) -> bool:
        """Show the thread as it grows, and have its questions answered, until the root message says it is over."""
        told: set[str] = set()
        self._show(scene.root)
        while True:
            for message in scene.thread:
                if message.ts not in told:
                    told.add(message.ts)
                    self._show(message)
                    await self._answer(scene, message)
            if scene.outcome:
                with suppress(TimeoutError):  # the root message is edited at most every two seconds
                    await scene.slack.until(lambda: "ended" in shown(scene.root, _NAMES), timeout=10)
                self._show(scene.root)
                return scene.outcome in {"done", "went back"}
            known = len(told)
            await scene.slack.until(lambda: len(scene.thread) > known, timeout=_LONGEST)  # noqa: B023

    def _show(self, message: Message) -> None:
        at = "#mail-ops" if message.thread_ts in {None, message.ts} else "  thread "
        lines = shown(message, _NAMES).splitlines()
        self._say(f"{at} | " + ("\n" + " " * len(at) + " | ").join(lines))
        self._say(" " * len(at) + " |")

    async def _answer(self, scene: Scene, message: Message) -> None:
        found = buttons(message)
        if "approve" in found:
            if await self._yes("@bob, do you approve?"):
                await scene.slack.click(SECOND, message, "approve")
            else:
                await scene.slack.fill_in(SECOND, message, "not_now", "@bob said no")
        elif "retry" in found:
            if await self._yes("@alice, retry? (n: go back)"):
                await scene.slack.click(REQUESTER, message, "retry")
            else:
                await scene.slack.fill_in(REQUESTER, message, "go_back", "@alice said so")

    async def _yes(self, question: str) -> bool:
        if self.scripted:
            self._say(f"            {question} yes (scripted)\n")
            return True
        answer = await asyncio.to_thread(input, f"            {question} [Y/n] ")
        return answer.strip().lower() in {"", "y", "yes"}

    async def _record(self, scene: Scene) -> Path:
        run = _run_of(scene)
        path = scene.folder / f"change-record-{run}.md"
        arguments = ("-m", "bot", "record", run, "--config", str(scene.settings))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        path.write_bytes(printed)
        return path


def _run_of(scene: Scene) -> str:
    metadata = scene.root.metadata or {}
    return str(metadata["event_payload"]["run"])
