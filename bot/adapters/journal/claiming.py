"""The rows that keep two runs from claiming the same thing: taken and given up in the transaction of that fact.

It must not know which facts those are (core/runs/claims.py does), only keys.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.adapters.journal.database import CLAIMS, HOLDS, Database
from bot.core.runs.claims import claim_in_words
from bot.errors import RingClaimed

log = logging.getLogger(__name__)


async def claim(connection: AsyncConnection, run: str, keys: Sequence[str]) -> None:
    """Claim these keys too; raises RingClaimed when another run has one of them."""
    holders = await _holders(connection, keys)
    if claimed := _against(holders, run, keys):
        raise claimed
    await _take(connection, run, (key for key in keys if key not in holders))


async def claimed_by_another(connection: AsyncConnection, run: str, keys: Sequence[str]) -> RingClaimed | None:
    """The first of the keys that another run has, as the error that says so."""
    return _against(await _holders(connection, keys), run, keys)


def _against(holders: Mapping[str, str], run: str, keys: Sequence[str]) -> RingClaimed | None:
    key = next((key for key in keys if holders.get(key, run) != run), None)
    return None if key is None else RingClaimed("", holders[key], what=claim_in_words(key))


async def give_up(connection: AsyncConnection, run: str) -> None:
    """Claim nothing any more."""
    await connection.execute(delete(CLAIMS).where(CLAIMS.c.run == run))


async def give_up_what_is_over(database: Database) -> None:
    """An older version of the bot ends a run without giving up what it does not know of."""
    over = CLAIMS.c.run.not_in(select(HOLDS.c.run))
    async with database.reading() as connection:
        left = (await connection.execute(select(CLAIMS.c.run).where(over).limit(1))).first()
    if left is not None:
        async with database.writing() as connection:
            await connection.execute(delete(CLAIMS).where(over))


async def claim_what_is_free(database: Database, run: str, keys: Sequence[str]) -> None:
    """For a run that an older version of the bot began; what another one has already is reported to people."""
    async with database.reading() as connection:
        holders = await _holders(connection, keys)
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
        async with database.writing() as connection:
            holders = await _holders(connection, keys)
            await _take(connection, run, (key for key in keys if key not in holders))
    except IntegrityError:
        log.info("another program is claiming the same at this moment", extra={"run": run})


async def _holders(connection: AsyncConnection, keys: Sequence[str]) -> dict[str, str]:
    if not keys:
        return {}
    rows = await connection.execute(select(CLAIMS.c.key, CLAIMS.c.run).where(CLAIMS.c.key.in_(keys)))
    return {row.key: row.run for row in rows}


async def _take(connection: AsyncConnection, run: str, keys: Iterable[str]) -> None:
    # In one order for all, so that two writers of a server's database never wait for each other.
    if rows := [{"key": key, "run": run} for key in sorted(keys)]:
        await connection.execute(insert(CLAIMS), rows)
