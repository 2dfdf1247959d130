"""What a drill puts in and reads: hooks before calls of ports, commands that fail, what a message says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.adapters.slack.messages.blocks import Message
from bot.practice.values import Answer, Call, Program, failed
from tests.harness.ports import Life, Points, T

FAILED = 42
"""What a command exits with that is made to fail."""


@dataclass
class Hook:
    """Something that is done right before the next call of a port with that text in its name; `always`: each time."""

    text: str
    does: Callable[[], object]
    always: bool = False


@dataclass
class Hooks(Points):
    """Calls with something put in before those of a name."""

    hooks: list[Hook] = field(default_factory=list)

    async def call(self, life: Life, name: str, act: Callable[[], Awaitable[T]], host: str = "") -> T:
        await life.goes_on()
        for hook in [hook for hook in self.hooks if hook.text in name]:
            if not hook.always:
                self.hooks.remove(hook)
            done = hook.does()
            if isinstance(done, Awaitable):
                await done
        return await super().call(life, name, act, host)


def failing(usual: Program, args: tuple[str, ...], left: list[int]) -> Program:
    def program(call: Call) -> Answer | Awaitable[Answer]:
        if call.args == args and left[0] > 0:
            left[0] -= 1
            return failed(FAILED, "made to fail")
        return usual(call)

    return program


def followed(usual: Program, args: tuple[str, ...], left: list[int], does: Callable[[], object]) -> Program:
    async def program(call: Call) -> Answer:
        answer = usual(call)
        answer = await answer if isinstance(answer, Awaitable) else answer
        if call.args == args and left[0] > 0:
            left[0] -= 1
            done = does()
            if isinstance(done, Awaitable):
                await done
        return answer

    return program


def wording(message: Message) -> str:
    """All that a message says, in its text and its blocks."""
    parts = [message.text]
    for block in message.blocks:
        for part in (block.get("text"), *block.get("fields", ()), *block.get("elements", ())):
            if isinstance(part, dict):
                text = part.get("text")
                parts.append(str(text.get("text")) if isinstance(text, dict) else str(text))
    return "\n".join(parts)


def buttons(message: Message) -> set[str]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return {str(button["action_id"]) for row in rows for button in row}
