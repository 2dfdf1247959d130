"""What came of a played run: its facts, what began on its hosts, what its thread says."""

from __future__ import annotations

from typing import TypeVar

from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.messages.replies import replies
from bot.core.plans.plan import PlannedStep
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact
from bot.core.runs.fold import follow
from bot.core.runs.run import Run
from tests.harness.evidence import Begun, gathered
from tests.harness.hooks import FAILED, buttons, wording
from tests.harness.judges import Broken, judged
from tests.harness.play import RUN, Play

K = TypeVar("K")
GROUP = "<!subteam^S0MAIL>"
"""The approvers."""


class Told(Play):
    """A run that is looked at."""

    @property
    def run_now(self) -> Run:
        assert self.reader.run is not None
        return self.reader.run

    def step(self, name: str) -> PlannedStep:
        return next(step for step in self.run_now.plan.steps if step.name == name)

    def facts(self, kind: type[K]) -> list[K]:
        return [one.fact for one in self.journal.facts[RUN] if isinstance(one.fact, kind)]

    def began(self, text: str) -> list[Begun]:
        """The commands with that text that began on hosts, but for those that `fails` kept from doing anything."""
        return [one for one in self.watching.begun if text in one.text and one.ran.exit_status != FAILED]

    def sent(self, step: str) -> list[Begun]:
        """How often a change of the plan as it was asked for began, on any host."""
        action = next(one.action for one in self.run_now.request.plan.changes if one.name == step)
        return [one for one in self.began(action.command.text) if one.text == action.command.text]

    def broken(self) -> list[Broken]:
        entries = tuple(self.journal.facts[RUN])
        return judged(
            gathered(self.watching, self.ring.hostlog, entries, struck=self.struck, reboots=tuple(self.reboots))
        )

    def messages(self, kind: type[Fact] | None = None) -> list[tuple[Entry, Message]]:
        """All replies of the thread, or those of a kind of fact."""
        story: Run | None = None
        said: list[tuple[Entry, Message]] = []
        for entry in self.journal.facts[RUN]:
            before, story = story, follow(story, entry)
            if kind is None or isinstance(entry.fact, kind):
                said += [(entry, one) for one in replies(entry, before, story, approvers=GROUP)]
        return said

    def thread(self, kind: type[Fact] | None = None) -> list[str]:
        """What those replies say, their files included."""
        return ["\n".join([wording(one), *(file.content for file in one.files)]) for _, one in self.messages(kind)]

    def buttons(self) -> set[str]:
        """Of the last reply that has any."""
        rows = [buttons(one) for _, one in self.messages() if buttons(one)]
        return rows[-1]

    def asked_again(self, gate: Gate) -> list[fact.ApprovalAsked]:
        """The questions at a change, after a lapse."""
        return [one for one in self.facts(fact.ApprovalAsked) if one.gate is gate and one.step != f"approve-{gate}"]
