"""What a run claims, and who released what a damaged run claimed: read and written in the caller's transaction.

It must not know when a run may be released (core/decisions/damage.py does).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select

from bot.adapters.journal import claiming
from bot.adapters.journal.database import CLAIMS, HOLDS, RELEASES
from bot.core.decisions.damage import Release
from bot.errors import Conflict


def claimed(connection: Connection, run: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rings that a run has, and the keys that it claims."""
    rings = connection.execute(select(HOLDS.c.ring).where(HOLDS.c.run == run).order_by(HOLDS.c.ring))
    keys = connection.execute(select(CLAIMS.c.key).where(CLAIMS.c.run == run).order_by(CLAIMS.c.key))
    return tuple(rings.scalars()), tuple(keys.scalars())


def released(connection: Connection, run: str) -> Release | None:
    """Who released a run, None when nobody did."""
    row = connection.execute(select(RELEASES).where(RELEASES.c.run == run)).first()
    if row is None:
        return None
    return Release(run=row.run, by=row.by, at=datetime.fromisoformat(row.at), reason=row.reason)


def release(connection: Connection, given: Release) -> None:
    """Write it down and free what the run claims; raises Conflict when it claims nothing any more."""
    run = given.run
    if released(connection, run) is not None or not any(claimed(connection, run)):
        raise Conflict(f"run {run} claims nothing any more: somebody else has released it")
    at = given.at.astimezone(UTC).isoformat(timespec="microseconds")
    connection.execute(insert(RELEASES).values(run=run, by=given.by, at=at, reason=given.reason))
    connection.execute(delete(HOLDS).where(HOLDS.c.run == run))
    claiming.give_up(connection, run)
