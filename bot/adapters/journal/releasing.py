"""What a run claims, and who released what a damaged run claimed: read and written in the caller's transaction.

It must not know when a run may be released (core/decisions/damage.py does).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select

from bot.adapters.journal import claiming
from bot.adapters.journal.database import CLAIMS, HOLDS, RELEASES
from bot.adapters.journal.ids import is_of
from bot.core.decisions.damage import Release
from bot.errors import Conflict

log = logging.getLogger(__name__)


def claimed(connection: Connection, run: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rings that a run has, and the keys that it claims."""
    rings = connection.execute(select(HOLDS.c.ring).where(is_of(HOLDS.c.run, run)).order_by(HOLDS.c.ring))
    keys = connection.execute(select(CLAIMS.c.key).where(is_of(CLAIMS.c.run, run)).order_by(CLAIMS.c.key))
    return tuple(rings.scalars()), tuple(keys.scalars())


def released(connection: Connection, run: str) -> tuple[Release | None, str]:
    """Who released a run, None when nobody did; or None, and what is wrong with the row that says who did."""
    row = _row(connection, run)
    if row is None:
        return None, ""
    try:
        return _sound(row), ""
    except (TypeError, ValueError) as error:
        return None, str(error)


def _row(connection: Connection, run: str) -> RowMapping | None:
    return connection.execute(select(RELEASES).where(is_of(RELEASES.c.run, run))).mappings().first()


def _sound(row: RowMapping) -> Release:
    """What a row says; raises TypeError, ValueError where it can be no release."""
    values: dict[str, Any] = {column: row[column] for column in ("run", "by", "at", "reason")}
    for column, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"what stands in column {column} is no text")
    at = datetime.fromisoformat(values["at"])
    if at.tzinfo is None:
        raise ValueError("its time has no zone")
    return Release(**values | {"at": at})


def release(connection: Connection, given: Release) -> None:
    """Write it down and free what the run claims; raises Conflict when it claims nothing any more."""
    run = given.run
    if not any(claimed(connection, run)):
        raise Conflict(f"run {run} claims nothing any more: somebody else has released it")
    if row := _row(connection, run):  # whose release would have freed it
        log.error("what the journal has as the release of run %s was none, and is replaced: %r", run, dict(row))
        connection.execute(delete(RELEASES).where(RELEASES.c.run == run))
    at = given.at.astimezone(UTC).isoformat(timespec="microseconds")
    connection.execute(insert(RELEASES).values(run=run, by=given.by, at=at, reason=given.reason))
    connection.execute(delete(HOLDS).where(HOLDS.c.run == run))
    claiming.give_up(connection, run)
