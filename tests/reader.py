"""Reads a run on from where it was read last: a test that waits for a state looks many times."""

from __future__ import annotations

from collections.abc import Iterator

from bot.core.runs.fold import follow
from bot.core.runs.run import Run
from tests.fakes import FakeJournal


class Reader:
    """The state of the run by its journal, whatever the bot says."""

    def __init__(self, journal: FakeJournal, run: str) -> None:
        self._journal = journal
        self._id = run
        self._run: Run | None = None

    @property
    def run(self) -> Run | None:
        for _ in self.on():
            """Read to its end."""
        return self._run

    def on(self) -> Iterator[Run]:
        """Each state that it came to since it was read last."""
        for entry in self._journal.facts.get(self._id, [])[self._run.seq if self._run else 0 :]:
            self._run = follow(self._run, entry)
            yield self._run
