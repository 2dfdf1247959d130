"""The rows that keep two runs from claiming the same thing: taken and given up in the transaction of that fact.

It must not know which facts those are (core/runs/events/claims.py does), only keys.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from bot.adapters.journal.database import CLAIMS, HOLDS, Database
from bot.adapters.journal.ids import shown
from bot.core.runs.events.claims import claim_in_words
from bot.errors import RingClaimed

log = logging.getLogger(__name__)


def claim(connection: Connection, run: str, keys: Sequence[str]) -> None:
    """Claim these keys too; raises RingClaimed when another run has one of them."""
    holders = _holders(connection, keys)
    if claimed := _against(holders, run, keys):
        raise claimed
    _take(connection, run, (key for key in keys if key not in holders))


def claimed_by_another(connection: Connection, run: str, keys: Sequence[str]) -> RingClaimed | None:
    """The first of the keys that another run has, as the error that says so."""
    return _against(_holders(connection, keys), run, keys)


def _against(holders: Mapping[str, str], run: str, keys: Sequence[str]) -> RingClaimed | None:
    key = next((key for key in keys if holders.get(key, run) != run), None)
    return None if key is None else RingClaimed("", holders[key], what=claim_in_words(key))


def drop(connection: Connection, run: str) -> None:
    """Claim nothing any more."""
    connection.execute(delete(CLAIMS).where(CLAIMS.c.run == run))


async def drop_what_is_over(database: Database) -> None:
    """An older version of the bot ends a run without giving up what it does not know of."""
    over = CLAIMS.c.run.not_in(select(HOLDS.c.run))
    left = select(CLAIMS.c.run).where(over).limit(1)
    if await database.read(lambda connection: connection.execute(left).first()) is not None:
        await database.write(lambda connection: connection.execute(delete(CLAIMS).where(over)).close())


async def claim_what_is_free(database: Database, run: str, keys: Sequence[str]) -> None:
    """For a run that an older version of the bot began; what another one has already is reported to people."""
    holders = await database.read(lambda connection: _holders(connection, keys))
    for other in sorted(set(holders.values()) - {run}):
        shared = ", ".join(claim_in_words(key) for key in keys if holders.get(key) == other)
        log.error(
            "run %s and run %s both claim %s: an older version of the bot began both. Two backends behind the same"
            " directors may be out at once: look at both runs, and bring one of them to its end first",
            *(run, other, shared),
            extra={"run": run},
        )
    if set(keys) <= set(holders):
        return
    try:
        await database.write(lambda connection: _take_free(connection, run, keys))
    except IntegrityError:
        log.info("another program is claiming the same at this moment", extra={"run": run})


def _holders(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    if not keys:
        return {}
    rows = connection.execute(select(CLAIMS.c.key, CLAIMS.c.run).where(CLAIMS.c.key.in_(keys)))
    return {row.key: shown(row.run) for row in rows}


def _take(connection: Connection, run: str, keys: Iterable[str]) -> None:
    # In one order for all, so that two writers of a server's database never wait for each other.
    if rows := [{"key": key, "run": run} for key in sorted(keys)]:
        connection.execute(insert(CLAIMS), rows)


def _take_free(connection: Connection, run: str, keys: Sequence[str]) -> None:
    holders = _holders(connection, keys)
    _take(connection, run, (key for key in keys if key not in holders))
