"""The time, from the operating system. The only place that asks for it; it knows nothing of runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time now, aware, UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass, by a clock that nobody can set."""
        await asyncio.sleep(seconds)
