"""`dovecot-bot try`: the whole job on one machine, in a terminal, with the engineers' answers asked for there."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from bot.core.text.duration import length
from bot.practice.keys import Choice, Keyboard, question_of
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL, GROUP, PEOPLE, Launch, Scene, buttons, executed
from bot.practice.site import CONFIG, practice_site, propose_a_small_change
from bot.practice.slack.socket import SlackUserError
from bot.practice.slack.workspace import Ephemeral, Message
from bot.practice.terminal import WIDTH, Shown, printable, shown

_NAMES = {**PEOPLE, GROUP: "mail-engineers", CHANNEL: "mail-ops"}
_LONGEST = 1800.0
_THREAD = "  │ "
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TYPED = 'backend-3 reason="CVE fix" ticket=CHG0012345'
"""The bare command: the example needs no more."""


@dataclass(kw_only=True)
class Trial:
    """How to try: the drain's length, whether the answers are scripted, where it is shown, what is typed.

    `launch` starts the bot.
    """

    drain: timedelta
    scripted: bool
    out: TextIO
    text: str = TYPED
    keyboard: Keyboard = field(default_factory=lambda: Keyboard(descriptor=0))
    launch: Launch = executed
    _answered: set[str] = field(default_factory=set)
    _printed: set[str] = field(default_factory=set)

    async def run(self) -> int:
        """Do it all; returns the exit status. Its folder stays when there is a change record in it."""
        folder = Path(tempfile.mkdtemp(prefix="dovecot-bot-try-"))
        stays = False
        try:
            async with (
                PracticeRing(user_expire=self.drain) as ring,
                Scene(
                    practice_site(ring, proposed=CONFIG), folder=folder, drain=self.drain, launch=self.launch
                ) as scene,
            ):
                propose_a_small_change(scene.configs / CONFIG, ring.backends["backend-3"].disk)
                self._print("A practice ring (2 directors, 3 backends, 60 users) and a local Slack are up.")
                await scene.start_bot()
                self._print(f"\n@alice in #mail-ops:\n\n  /dovecot-upgrade {printable(self.text)}\n")
                await scene.ask(self.text)
                if not scene.begun:
                    self._show_new(scene)
                    self._print("There is no run, and nothing was changed.")
                    return 1
                await self._follow(scene)
                await self._sum_up(scene, ring)
                stays = True
                await scene.stop_bot()
                return 0 if scene.outcome in {"done", "went back"} else 1
        except (RuntimeError, TimeoutError) as error:
            stays = True
            self._print(f"It did not go on: {error}\nWhat the bot has logged: {folder / 'bot.log'}")
            return 1
        finally:
            if not stays:
                shutil.rmtree(folder)

    def _print(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    async def _follow(self, scene: Scene) -> None:
        """Show the thread as it grows, and have its questions answered, until it is over or nobody will decide."""
        while True:
            self._show_new(scene)
            if scene.outcome:
                with suppress(TimeoutError):  # the root message is edited at most every two seconds
                    await scene.slack.until(lambda: "ended" in shown(scene.root, _NAMES), timeout=10)
                self._print("The first message, as it is now:\n")
                self._show(scene.root)
                return
            if asked := self._question(scene):
                if not await self._answer(scene, asked):
                    return
            else:
                await scene.slack.until(lambda: self._new(scene), timeout=_LONGEST)

    def _new(self, scene: Scene) -> list[Message | Ephemeral]:
        messages: list[Message | Ephemeral] = [*scene.slack.ephemerals]
        messages += [scene.root, *scene.thread] if scene.begun else []
        return sorted((one for one in messages if one.ts not in self._printed), key=lambda one: one.ts)

    def _show_new(self, scene: Scene) -> None:
        for message in self._new(scene):
            self._printed.add(message.ts)
            self._show(message)
            if isinstance(message, Ephemeral) and not self.scripted:
                self._answered.clear()  # what somebody was told in private, the thread does not have: asked again

    def _show(self, what: Shown) -> None:
        in_thread = isinstance(what, Message) and what.thread_ts not in {None, what.ts}
        before = _THREAD if in_thread else ""
        lines = shown(what, _NAMES, width=WIDTH - len(before), styles=self._styles).split("\n")
        if isinstance(what, Ephemeral):
            lines.append(f"(only @{_NAMES.get(what.user, what.user)} sees this)")
        elif isinstance(what, Message) and what.reply_broadcast:
            lines.append("(also sent to #mail-ops)")
        self._print("\n".join(f"{before}{line}".rstrip() for line in [*lines, ""]))

    @property
    def _styles(self) -> bool:
        return self.out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def _question(self, scene: Scene) -> Message | None:
        """The newest message that waits for somebody, and was not answered yet."""
        return next(
            (one for one in reversed(scene.thread) if one.ts not in self._answered and question_of(buttons(one))), None
        )

    async def _answer(self, scene: Scene, message: Message) -> bool:
        """Have one question answered; returns whether it goes on."""
        choice = await self._choice(message)
        if choice is None or not choice.action:
            return False
        try:
            against = await self._done(scene, message, choice)
        except (LookupError, TimeoutError, SlackUserError) as error:
            against = f"Slack did not take it: {error}"
        if against:
            self._print(f"{printable(against)}\n")
            return not self.scripted
        return True

    async def _done(self, scene: Scene, message: Message, choice: Choice) -> str:
        """Click, and fill in what that opens; returns what the form has against it."""
        if choice.action == "commands":
            await self._show_commands(scene, message, choice)
            return ""
        if not choice.form:
            await scene.slack.click(choice.by, message, choice.action)
        else:
            reply = await scene.slack.fill_in(choice.by, message, choice.action, f"@{_NAMES[choice.by]} chose so")
            if errors := reply.payload.get("errors"):
                return "; ".join(errors.values())
        self._answered.add(message.ts)
        return ""

    async def _choice(self, message: Message) -> Choice | None:
        """What is chosen: asked for until it is one of the letters shown; None when nobody types any more."""
        question = question_of(buttons(message))
        assert question is not None
        if self.scripted:
            first = question.choices[0]
            self._print(f"{question.text} {first.says} (scripted)\n")
            return first
        while True:
            print(question.prompt, end="", file=self.out, flush=True)
            typed = await self.keyboard.line()
            if typed is None:
                self._print("\n")
                return None
            if choice := question.chosen(typed):
                self._print("")
                return choice

    async def _show_commands(self, scene: Scene, message: Message, choice: Choice) -> None:
        """What the button *All commands* opens: first that it is read, then all of them."""
        before = len(scene.slack.views)
        await scene.slack.click(choice.by, message, choice.action)
        view = (await scene.slack.until(lambda: scene.slack.views[before:]))[-1]
        loading = view.hash
        with suppress(TimeoutError):
            await scene.slack.until(lambda: view.hash != loading, timeout=3)
        self._show(view)

    async def _sum_up(self, scene: Scene, ring: PracticeRing) -> None:
        """Five lines."""
        began, replies = float(scene.root.ts), scene.thread
        took = length(timedelta(seconds=round(float(replies[-1].ts) - began)))
        ended = f"has ended: {scene.outcome}" if scene.outcome else "has not ended, as nobody decided what next"
        self._print(f"The run {ended}, after {took}.")
        self._print(_backend(ring, next(name for name in ring.backends if name in scene.root.text.partition(",")[0])))
        self._print(f"Logins of the 60 practice users that failed meanwhile: {len(ring.failed_logins)}")
        files = sum(len(one.files) for one in replies)
        self._print(f"The thread: {len(replies)} replies, {files} of them files")
        self._print(f"The change record: {await _record(scene)}")


def _backend(ring: PracticeRing, name: str) -> str:
    """How the ring itself, which knows nothing of the bot, has the backend now."""
    backend = ring.backends[name]
    seen = {at: view.backends[backend.ip] for at, view in ring.state.directors.items()}
    views = ", ".join(f"{at} vhosts {one.vhosts} {'up' if one.up else 'down'}" for at, one in seen.items())
    return f"{name}: {views}; dovecot {backend.dovecot_unit.active}"


async def _record(scene: Scene) -> str:
    """Where it is, or that it is not whole."""
    run = scene.run
    path = scene.folder / f"change-record-{run}.md"
    arguments = ("-m", "bot", "record", run, "--config", str(scene.settings))
    # In a session of its own, a Ctrl-C that ends this is no Ctrl-C there, with a traceback of its own.
    with path.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},  # it is for a file, whatever this terminal can show
            stdout=file,
            start_new_session=True,
        )
        try:
            ended = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
    return f"{path}" if ended == 0 else f"not whole, as `dovecot-bot record` ended with {ended}: {path}"


def until_stopped(trial: Coroutine[Any, Any, int]) -> int:
    """Run it; a signal ends it in order, with the exit status that a shell gives whoever dies of it."""
    stopped: list[int] = []

    async def run() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(trial)

        def stop(number: int) -> None:
            if not stopped:
                stopped.append(number)
                task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, stop, number)
        try:
            return await task
        except asyncio.CancelledError:
            return 128 + stopped[0]

    return asyncio.run(run())
