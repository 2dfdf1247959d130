"""The journal's rows, read while the bot writes them, so that something can be made to happen at a certain fact."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import suppress
from pathlib import Path

_EVERY = 0.005
"""Seconds: a wake costs a hundred times what a look does."""


class RunOver(Exception):
    """The run ended, and what was waited for did not come."""


class FactWatch:
    """Reads a journal from outside; a fact is named by its kind and what it is about, such as StepStarted:stop-lmtp.

    The second of a name is NAME#2, and so on: the numbers of facts differ a little from run to run, names do not.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._connection: sqlite3.Connection | None = None
        self._row = 0
        self._counted: Counter[str] = Counter()
        self.names: list[str] = []

    def close(self) -> None:
        """Let go of the file."""
        if self._connection:
            self._connection.close()

    @property
    def over(self) -> bool:
        """Whether the run has ended, as far as was read."""
        return "RunEnded" in self.names

    def look(self) -> list[str]:
        """All facts there are."""
        with suppress(sqlite3.OperationalError):  # it is not there yet, or locked just now: nothing new
            if self._connection is None:
                self._connection = sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True, timeout=0)
            rows = self._connection.execute(
                "SELECT rowid, kind, body FROM events WHERE rowid > ? ORDER BY rowid", (self._row,)
            ).fetchall()
            for row, kind, body in rows:
                self._row = row
                self._add(kind, json.loads(body))
        return self.names

    def _add(self, kind: str, body: dict[str, object]) -> None:
        about = body.get("step") or body.get("stage") if kind != "RunRequested" else None
        name = f"{kind}:{about}" if about else kind
        self._counted[name] += 1
        self.names.append(name if self._counted[name] == 1 else f"{name}#{self._counted[name]}")

    async def until(self, name: str) -> None:
        """Wait until that fact is in the journal; raises RunOver when the run ended without it."""
        while name not in self.look():
            if self.over:
                raise RunOver(name)
            await asyncio.sleep(_EVERY)

    def told_all(self) -> bool:
        """Whether the thread has told every fact, by its cursor."""
        with suppress(sqlite3.OperationalError):
            if self._connection is not None:
                facts = self._connection.execute("SELECT run, max(seq) FROM events GROUP BY run").fetchall()
                told = dict(self._connection.execute("SELECT run, seq FROM cursors").fetchall())
                return all(told.get(run) == seq for run, seq in facts)
        return False
