"""What a run claims, and who released what a damaged run claimed: read and written in the caller's transaction.

It must not know when a run may be released (core/decisions/damage.py does).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, literal_column, select

from bot.adapters.journal import claiming
from bot.adapters.journal.database import CLAIMS, EVENTS, HOLDS, METADATA, RELEASES
from bot.adapters.journal.ids import is_of
from bot.core.decisions.damage import Release
from bot.core.plans.plan import digest
from bot.errors import Conflict

log = logging.getLogger(__name__)


_NO_HASH = "its row has no hash, as older versions of the bot wrote it: whether it was altered does not show"
_CUT_OFF = "the fact that it follows is not there as it was then"


def claimed(connection: Connection, run: str, there: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rings that a run has, and the keys that it claims, by the tables that are there."""
    rings = select(HOLDS.c.ring).where(is_of(HOLDS.c.run, run)).order_by(HOLDS.c.ring)
    keys = select(CLAIMS.c.key).where(is_of(CLAIMS.c.run, run)).order_by(CLAIMS.c.key)
    return (
        tuple(connection.execute(rings).scalars()) if HOLDS.name in there else (),
        tuple(connection.execute(keys).scalars()) if CLAIMS.name in there else (),
    )


def released(connection: Connection, run: str, there: Collection[str]) -> tuple[Release | None, str]:
    """Who released a run, None when nobody did; or None, and what is wrong with the row that says who did."""
    row = _row(connection, run) if RELEASES.name in there else None
    if row is None:
        return None, ""
    try:
        found = _sound(row)
    except (TypeError, ValueError) as error:
        return None, str(error)
    follows = row.get("prev_hash")
    fact = select(EVENTS.c.seq).where(EVENTS.c.run == run, EVENTS.c.hash == follows)
    if follows and connection.execute(fact).first() is None:
        found = replace(found, remark=_CUT_OFF)
    return found, ""


def _row(connection: Connection, run: str) -> RowMapping | None:
    """With the columns that are there: a journal of an older version that is only looked at has no hash."""
    query: Select[Any] = select(literal_column("*")).select_from(RELEASES).where(is_of(RELEASES.c.run, run))
    return connection.execute(query).mappings().first()


def _sound(row: RowMapping) -> Release:
    """What a row says; raises TypeError, ValueError where it can be no release, or was altered."""
    values: dict[str, Any] = {column: row[column] for column in ("run", "by", "at", "reason")}
    for column, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"what stands in column {column} is no text")
    follows, stored = row.get("prev_hash"), row.get("hash")
    hashed = not (follows is None and stored is None)
    if hashed and (not isinstance(follows, str) or stored != _hash(**values, follows=follows)):
        raise ValueError("it was altered after it was written (hash)")
    at = datetime.fromisoformat(values["at"])
    if at.tzinfo is None:
        raise ValueError("its time has no zone")
    return Release(**values | {"at": at}, remark="" if hashed else _NO_HASH)


def _hash(*, run: str, by: str, at: str, reason: str, follows: str) -> str:
    """SHA-256 of all that the row says, as of a fact (facts.py), and of the hash of the last sound fact before it."""
    return digest([run, by, at, reason, follows])


def release(connection: Connection, given: Release, follows: str) -> None:
    """Write it down behind the fact of that hash, and free what the run claims; raises Conflict when it has nothing."""
    run = given.run
    if not any(claimed(connection, run, METADATA.tables)):
        raise Conflict(f"run {run} claims nothing any more: somebody else has released it")
    if row := _row(connection, run):  # whose release would have freed it
        log.error("what the journal has as the release of run %s was none, and is replaced: %r", run, dict(row))
        connection.execute(delete(RELEASES).where(RELEASES.c.run == run))
    at = given.at.astimezone(UTC).isoformat(timespec="microseconds")
    said = {"run": run, "by": given.by, "at": at, "reason": given.reason}
    connection.execute(insert(RELEASES).values(**said, prev_hash=follows, hash=_hash(**said, follows=follows)))
    connection.execute(delete(HOLDS).where(HOLDS.c.run == run))
    claiming.drop(connection, run)
