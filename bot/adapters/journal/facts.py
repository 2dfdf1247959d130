"""The journal's facts as rows: numbered, chained by their hashes, and what a run claims is its alone.

It must not know what may follow what (core/runs/transitions.py does): only that numbers have no gaps and that nothing
was altered.
The chain shows every change but one: rows missing from a run's very end.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from bot.adapters.journal import claiming, releasing, summaries
from bot.adapters.journal.database import EVENTS, HOLDS, Database
from bot.adapters.journal.errors import facts_missing, only_read
from bot.adapters.journal.ids import is_of, is_one, shown
from bot.adapters.journal.posts import SqlPosts
from bot.core.decisions.damage import Damaged, Release, examined
from bot.core.decisions.summary import RunList
from bot.core.plans.plan import digest
from bot.core.runs.events import Entry, Fact, RunEnded, RunRequested, body_of, fact_from
from bot.core.runs.events.claims import claims
from bot.errors import Conflict, Illegal, JournalError, RingClaimed

log = logging.getLogger(__name__)

_LAST = (
    select(EVENTS.c.seq, EVENTS.c.hash).where(EVENTS.c.run == bindparam("of")).order_by(EVENTS.c.seq.desc()).limit(1)
)
_INSERT = insert(EVENTS)
VERSION = 1
"""The way in which a body is written; rows of another are not guessed at."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row as it is stored. `at` is ISO 8601, UTC, with microseconds, so that its text sorts as its time."""

    run: str
    seq: int
    at: str
    kind: str
    version: int
    body: str
    prev_hash: str

    @property
    def hash(self) -> str:
        """SHA-256 of all the row says, the body as its stored text: not one byte can change unseen."""
        return digest([self.run, self.seq, self.at, self.kind, self.version, self.body, self.prev_hash])


class SqlJournal:
    """The facts of all runs in a database, given by its SQLAlchemy URL (`sqlite:///PATH`).

    To be opened before use, or used with `async with`; `posts` keeps the thread's notes in the same database.
    With `only_looks` it must be there, and nothing is written, whatever it lacks.
    """

    def __init__(self, url: str, *, only_looks: bool = False) -> None:
        self._database = Database(url, only_looks=only_looks)
        self.posts = SqlPosts(self._database)
        self._all_have_rows = False

    async def open(self) -> None:
        """Connect and create what is missing; raises JournalError."""
        await self._database.open()
        if not self._database.complete or self._database.only_looks:
            return
        try:
            await claiming.drop_what_is_over(self._database)
            for run in await self.open_runs():
                await self._claim_all(run)
            self._all_have_rows = await summaries.complete(self._database)
        except JournalError as error:
            if not only_read(error):
                await self.close()
                raise

    async def _claim_all(self, run: str) -> None:
        """What it claims by its facts, which a version of the bot may have written that claimed less."""
        entries, damage = await self._read(run)
        if not entries:
            unknown = damage or "its facts are gone"
            log.error("what run %s claims besides its ring is not known: %s", run, unknown, extra={"run": run})
        keys = dict.fromkeys(key for entry in entries for key in claims(entry.fact))
        await claiming.claim_what_is_free(self._database, run, tuple(keys))

    async def close(self) -> None:
        """Give back every connection."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def append(self, run: str, after: int, at: datetime, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        """Commit the facts as numbers after+1, … of the run, all or none.

        Raises Conflict, RingClaimed, JournalError as ports.Journal says; Illegal for facts that no journal may hold.
        """
        moment = at.astimezone(UTC)
        entries = tuple(Entry(run=run, seq=seq, at=moment, fact=fact) for seq, fact in enumerate(facts, after + 1))
        try:
            await self._database.write(partial(_append, run=run, after=after, entries=entries))
        except IntegrityError as error:
            why = f"run {run}: fact {after + 1} was refused by the database: {error.orig}"
            raise await self._database.read(partial(_meaning, entries=entries)) or JournalError(why) from error
        return entries

    async def entries(self, run: str, after: int = 0) -> tuple[Entry, ...]:
        """The facts of a run after that number, in order; raises Illegal, naming the first place that does not fit."""
        entries, damage = await self._read(run, after)
        if damage:
            raise Illegal(damage)
        return entries

    async def readable_entries(self, run: str) -> tuple[Entry, ...]:
        """The facts before the first place that does not fit: all of them in a sound run."""
        return (await self._read(run))[0]

    async def damage(self, run: str) -> str | None:
        """The first place of a run that does not fit, and how; None when all fits."""
        return (await self._read(run))[1]

    async def examine(self, run: str) -> Damaged | None:
        """What is wrong with a run, what it claims, who released it; None where there is nothing to say of it."""
        return await self._database.read(partial(_examined, run=run, there=self._database.there))

    async def release(self, release: Release) -> None:
        """Write down who releases a run, and free all that it claims; raises Conflict, JournalError."""
        try:
            await self._database.write(partial(_release, given=release))
        except IntegrityError as error:
            raise Conflict(f"run {release.run} was released by somebody else at this moment") from error

    async def listed(self, most: int | None = None) -> RunList:
        """Every run there is; of those that have ended only what a list shows, of the newest `most`."""
        return await summaries.listed(self._database, self._read, most, all_have_rows=self._all_have_rows)

    async def _read(self, run: str, after: int = 0) -> tuple[tuple[Entry, ...], str | None]:
        return await self._database.read(partial(_read, run=run, after=after))

    async def open_runs(self) -> tuple[str, ...]:
        """The runs that have a ring, the oldest first."""
        query = select(HOLDS.c.run).join(EVENTS, (EVENTS.c.run == HOLDS.c.run) & (EVENTS.c.seq == 1), isouter=True)
        return await self._database.read(partial(_runs, query=query.order_by(EVENTS.c.at, HOLDS.c.run)))

    async def all_runs(self) -> tuple[str, ...]:
        """Every run there is, the oldest first; one whose first rows are gone is there too."""
        query = select(EVENTS.c.run).group_by(EVENTS.c.run).order_by(func.min(EVENTS.c.at), EVENTS.c.run)
        return await self._database.read(partial(_runs, query=query))


def _read(connection: Connection, run: str, after: int = 0) -> tuple[tuple[Entry, ...], str | None]:
    """The facts of a run after that number and before the first place that does not fit, and how that does not."""
    query = select(EVENTS).where(is_of(EVENTS.c.run, run), EVENTS.c.seq > after).order_by(EVENTS.c.seq)
    rows = connection.execute(query).mappings().all()
    if rows and not is_one(run):
        altered = f"{len(rows)} {'fact is' if len(rows) == 1 else 'facts are'} kept under it that were altered"
        return (), f"run {run}: that is no id of a run, and {altered} after they were written"
    entries: list[Entry] = []
    previous = _hash(connection, run, after)
    for number, columns in enumerate(rows, after + 1):
        values = dict(columns)
        stored = values.pop("hash")
        row = _Row(**values)
        try:
            entries.append(_sound(row, number, previous, stored))
        except Illegal as error:
            return tuple(entries), f"run {run}, fact {number}: {error}"
        previous = stored
    return tuple(entries), None


def _hash(connection: Connection, run: str, seq: int) -> str:
    """Of that fact; empty where there is none."""
    query = select(EVENTS.c.hash).where(EVENTS.c.run == run, EVENTS.c.seq == seq)
    return connection.execute(query).scalar() or "" if seq else ""


def _runs(connection: Connection, query: Select[Any]) -> tuple[str, ...]:
    return tuple(map(shown, connection.execute(query).scalars()))


def _examined(connection: Connection, run: str, there: Collection[str]) -> Damaged | None:
    entries, damage = _read(connection, run)
    rings, keys = releasing.claimed(connection, run, there)
    release, flaw = releasing.released(connection, run, there)
    return examined(run, entries, damage or "", rings=rings, keys=keys, release=release, release_flaw=flaw)


def _release(connection: Connection, given: Release) -> None:
    sound = len(_read(connection, given.run)[0])
    releasing.release(connection, given, _hash(connection, given.run, sound))


def _append(connection: Connection, run: str, after: int, entries: Sequence[Entry]) -> None:
    """Raises IntegrityError when another one was there first, or has what it wants."""
    rows = _chained(entries, _last_hash(connection, run, after))
    connection.execute(_INSERT, rows)
    for entry in entries:
        _hold_or_free(connection, entry)
    if any(isinstance(entry.fact, RunEnded) for entry in entries):
        summaries.end(connection, *_read(connection, run))


def _meaning(connection: Connection, entries: Sequence[Entry]) -> JournalError | None:
    """Why a row could not be written beside those that are there: seen by looking, not by reading the message."""
    run, first = entries[0].run, entries[0].seq
    rings = [entry.fact.target.ring.name for entry in entries if isinstance(entry.fact, RunRequested)]
    holders = connection.execute(select(HOLDS.c.ring, HOLDS.c.run).where(HOLDS.c.ring.in_(rings)))
    for ring, holder in holders:
        if holder != run:
            return RingClaimed(ring, shown(holder))
    keys = tuple(key for entry in entries for key in claims(entry.fact))
    if claimed := claiming.claimed_by_another(connection, run, keys):
        return claimed
    if _last(connection, run)[0] >= first:
        return Conflict(f"run {run}: fact {first} is there already; read the run again")
    return None


def _chained(entries: Sequence[Entry], previous: str) -> list[dict[str, Any]]:
    """The rows; raises Illegal for a run that would have no ring, or two, and for what could not be read again."""
    rows = []
    for entry in entries:
        if isinstance(entry.fact, RunRequested) is not (entry.seq == 1):
            raise Illegal(f"run {entry.run}: its request is its first fact, and only that")
        kind, body = type(entry.fact).__name__, body_of(entry.fact)
        fact_from(kind, body)
        row = _Row(
            run=entry.run,
            seq=entry.seq,
            at=entry.at.isoformat(timespec="microseconds"),
            kind=kind,
            version=VERSION,
            body=body,
            prev_hash=previous,
        )
        previous = row.hash
        rows.append({**asdict(row), "hash": previous})
    return rows


def _last(connection: Connection, run: str) -> tuple[int, str]:
    """The number and the hash of its last fact."""
    row = connection.execute(_LAST, {"of": run}).first()
    return (row.seq, row.hash) if row else (0, "")


def _last_hash(connection: Connection, run: str, after: int) -> str:
    """The hash to chain to; raises Conflict when the run is further already, Illegal when it is not that far."""
    last, found = _last(connection, run)
    if last > after:
        raise Conflict(f"run {run}: fact {after + 1} is there already; read the run again")
    if last < after:
        raise facts_missing(run, after)
    return found


def _hold_or_free(connection: Connection, entry: Entry) -> None:
    if isinstance(entry.fact, RunRequested):
        summaries.begin(connection, entry)
        connection.execute(insert(HOLDS).values(ring=entry.fact.target.ring.name, run=entry.run))
    claiming.claim(connection, entry.run, claims(entry.fact))
    if isinstance(entry.fact, RunEnded):
        connection.execute(delete(HOLDS).where(HOLDS.c.run == entry.run))
        claiming.drop(connection, entry.run)


def _sound(row: _Row, number: int, previous: str, stored: str) -> Entry:
    """The entry that a row holds; raises Illegal, saying what does not fit."""
    if row.seq != number:
        raise Illegal(f"it is missing; the next one there is fact {row.seq}")
    if row.prev_hash != previous:
        raise Illegal("it does not follow the fact before it (prev_hash): one of the two was altered or replaced")
    try:
        fits = stored == row.hash
    except (TypeError, ValueError):  # a column holds what is no text and no number
        fits = False
    if not fits:
        raise Illegal("it was altered after it was written (hash)")
    if row.version != VERSION:
        raise Illegal(f"it was written by another version of the bot ({row.version}, this one reads {VERSION})")
    try:
        at = datetime.fromisoformat(row.at)
    except ValueError as error:
        raise Illegal(f"it cannot be read: {error}") from None
    return Entry(run=row.run, seq=row.seq, at=at, fact=fact_from(row.kind, row.body))
