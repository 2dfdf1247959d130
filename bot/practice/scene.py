"""What the bot needs around it on one machine: a local Slack, its settings for a ring, and the bot as a process.

The bot does not know that it is practising. For `try`, and for the tests, on the practice ring and on a real one.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bot.core.text.duration import written
from bot.practice.site import Site, propose, settings_of
from bot.practice.slack.api import APP_TOKEN, BOT_TOKEN
from bot.practice.slack.payloads import name_of
from bot.practice.slack.posting import clickable
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Ephemeral, Message

REQUESTER, SECOND, THIRD, STRANGER = "U0ALICE", "U0BOB", "U0CAROL", "U0MALLORY"
PEOPLE = {REQUESTER: "alice", SECOND: "bob", THIRD: "carol", STRANGER: "mallory"}
CHANNEL = "C0MAILOPS"
GROUP = "S0MAILENG"


class BotProcess(Protocol):
    """The bot as a process."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def returncode(self) -> int | None:
        """None while it runs."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def send_signal(self, number: signal.Signals, /) -> None:
        """Send a signal."""

    async def wait(self) -> int:
        """Wait for its end."""


Launch = Callable[[Sequence[str], Mapping[str, str], Path], Awaitable[BotProcess]]
"""Starts the program with arguments and an environment; what it says goes to the end of a file."""


async def executed(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> BotProcess:
    """Start `python -m bot`."""
    here = Path(__file__).parents[2]
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", *arguments, env=environment, cwd=here, stdout=out, stderr=out
        )


class Scene:
    """A Slack and a bot for a site, for as long as its `async with` lasts; `folder` stays if it was given.

    `settings` are further settings of the bot's own part, as TOML has them; `launch` starts the program.
    """

    def __init__(
        self,
        site: Site,
        *,
        folder: Path | None = None,
        drain: timedelta = timedelta(seconds=2),
        settings: Mapping[str, str] | None = None,
        launch: Launch = executed,
    ) -> None:
        self._site = site
        self._launch = launch
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="dovecot-bot-"))
        self.slack = LocalSlack()
        self._drain = drain
        self._more = settings or {}
        self._bot: BotProcess | None = None
        self._clicked: set[str] = set()

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.folder / "dovecot-bot.toml"

    @property
    def configs(self) -> Path:
        """The folder of proposed configurations."""
        return self.folder / "configs"

    @property
    def log(self) -> str:
        """What the bot has logged so far."""
        return (self.folder / "bot.log").read_text(encoding="utf-8", errors="replace")

    async def __aenter__(self) -> Self:
        """Start Slack, write the settings; the bot is started with start_bot."""
        await self.slack.__aenter__()
        self._people()
        self.settings.write_text(
            settings_of(self._site, CHANNEL, GROUP, {"drain": written(self._drain), "count_every": "1s", **self._more}),
            encoding="utf-8",
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all of it."""
        await self.kill_bot()
        await self.slack.__aexit__(kind, error, trace)
        if self._own_folder:
            await asyncio.to_thread(shutil.rmtree, self.folder)

    def _people(self) -> None:
        for user, name in PEOPLE.items():
            self.slack.add_user(user, name=name)
        self.slack.add_channel(CHANNEL, name="mail-ops")
        self.slack.add_channel("C0RANDOM", name="random")
        self.slack.add_usergroup(GROUP, users=[REQUESTER, SECOND, THIRD])

    def propose(self, name: str, files: Mapping[str, bytes]) -> None:
        """Put a proposed configuration into the configs folder: its files by their path in it."""
        propose(self.configs / name, files)

    async def start_bot(self, *, within: float = 120.0) -> None:
        """Start the bot and wait until it is connected; raises RuntimeError with its log when it does not come up."""
        environment = {
            **os.environ,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": self.slack.api_url,
        }
        arguments = ("serve", "--config", str(self.settings))
        before = self.slack.sockets
        self._bot = await self._launch(arguments, environment, self.folder / "bot.log")
        started = asyncio.create_task(self.slack.until(lambda: self.slack.sockets > before, timeout=within))
        ended = asyncio.create_task(self._bot.wait())
        done, waiting = await asyncio.wait({started, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if started not in done or started.exception():
            await self.kill_bot()
            raise RuntimeError(f"the bot did not start:\n{self.log}")

    async def kill_bot(self) -> None:
        """SIGKILL, as a power cut; nothing when it does not run."""
        if self._bot and self._bot.returncode is None:
            self._bot.kill()
            await self._bot.wait()

    async def stop_bot(self, *, within: float = 12.0) -> int:
        """SIGTERM, and wait; returns its exit status."""
        assert self._bot is not None
        if self._bot.returncode is None:
            self._bot.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._bot.wait(), within)

    @property
    def begun(self) -> bool:
        """Whether there is a root message."""
        return bool(self._roots)

    @property
    def root(self) -> Message:
        """The newest root message; raises LookupError, with what was said to people, where no run has begun."""
        if not self._roots:
            said = "; ".join(one.text for one in self.slack.ephemerals) or "nothing"
            raise LookupError(f"no run has begun; said to people: {said}")
        return self._roots[-1]

    @property
    def run(self) -> str:
        """The id of the newest run."""
        return str((self.root.metadata or {})["event_payload"]["run"])

    @property
    def _roots(self) -> list[Message]:
        roots = [one for one in self.slack.messages if one.channel == CHANNEL and one.thread_ts in {None, one.ts}]
        return [one for one in roots if one.bot_id]

    @property
    def thread(self) -> list[Message]:
        """The replies below the newest root message, in order."""
        return [one for one in self.slack.thread(CHANNEL, self.root.ts) if one.ts != self.root.ts]

    async def ask(self, text: str, *, user: str = REQUESTER) -> None:
        """Type the slash command, and wait for the root message, or for what is said against it."""
        roots, answers = len(self._roots), len(self.slack.ephemerals)
        await self.slack.command(user, CHANNEL, "/dovecot-upgrade", text)

        def answered() -> bool:
            return len(self._roots) > roots or not all(map(at_work, self.slack.ephemerals[answers:]))

        await self.slack.until(answered)

    @property
    def outcome(self) -> str | None:
        """How the newest run has ended, as its last reply says, whatever files follow it; None while it has not."""
        last = next((one.text for one in reversed(self.thread) if one.text), "")
        found = re.search(r"has ended: ([a-z ]+)\.", last)
        return found[1] if found else None

    def open_buttons(self, action: str) -> list[Message]:
        """The messages of the thread that have this button now."""
        return [one for one in self.thread if action in buttons(one)]

    async def click(self, user: str, action: str, *, within: float = 120.0) -> Message:
        """Wait for that button on a message whose button was not clicked yet, and click it; returns the message."""
        found = await self.question(action, within=within)
        await self.slack.click(user, found, action)
        return found

    async def question(self, action: str, *, within: float = 120.0) -> Message:
        """Wait for a message with that button that nobody has answered yet; from here on it counts as answered."""

        def unanswered() -> list[Message]:
            return [one for one in self.open_buttons(action) if one.ts not in self._clicked]

        found = (await self.slack.until(unanswered, timeout=within))[-1]
        self._clicked.add(found.ts)
        return found


def at_work(answer: Ephemeral) -> bool:
    """Whether somebody was told that the bot looks, and that more will be said."""
    return answer.text.startswith("Looking at ") or "looks at everything" in answer.text


def buttons(message: Message) -> set[str]:
    """The action ids of the buttons that a message has, and the first words of its menu's options."""
    acts = (block for block in message.blocks if block.get("type") == "actions")
    return {name_of(element) for block in acts for element in clickable(block)}
