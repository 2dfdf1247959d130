"""What a run claims, and who released what a damaged run claimed: read and written in the caller's transaction.

It must not know when a run may be released (core/decisions/damage.py does).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.adapters.journal import claiming
from bot.adapters.journal.database import CLAIMS, HOLDS, RELEASES
from bot.core.decisions.damage import Release
from bot.errors import Conflict


async def claimed(connection: AsyncConnection, run: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rings that a run has, and the keys that it claims."""
    rings = await connection.execute(select(HOLDS.c.ring).where(HOLDS.c.run == run).order_by(HOLDS.c.ring))
    keys = await connection.execute(select(CLAIMS.c.key).where(CLAIMS.c.run == run).order_by(CLAIMS.c.key))
    return tuple(rings.scalars()), tuple(keys.scalars())


async def released(connection: AsyncConnection, run: str) -> Release | None:
    """Who released a run, None when nobody did."""
    row = (await connection.execute(select(RELEASES).where(RELEASES.c.run == run))).first()
    if row is None:
        return None
    return Release(run=row.run, by=row.by, at=datetime.fromisoformat(row.at), reason=row.reason)


async def release(connection: AsyncConnection, given: Release) -> None:
    """Write it down and free what the run claims; raises Conflict when it claims nothing any more."""
    run = given.run
    if await released(connection, run) is not None or not any(await claimed(connection, run)):
        raise Conflict(f"run {run} claims nothing any more: somebody else has released it")
    at = given.at.astimezone(UTC).isoformat(timespec="microseconds")
    await connection.execute(insert(RELEASES).values(run=run, by=given.by, at=at, reason=given.reason))
    await connection.execute(delete(HOLDS).where(HOLDS.c.run == run))
    await claiming.give_up(connection, run)
