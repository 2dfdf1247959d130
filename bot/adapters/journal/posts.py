"""What the Slack thread has shown of each run, beside the journal: a cursor and the messages, to recognise repeats."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from bot.adapters.journal.database import CURSORS, EVENTS, POSTS, Database
from bot.adapters.journal.ids import is_text
from bot.core.runs.events import RunEnded
from bot.engine.posts import Post


class SqlPosts:
    """The thread's notes. Every method raises JournalError when the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, run: str, seq: int, part: int, channel: str) -> None:
        """A message is about to be sent; changes nothing when that was recorded before."""
        values = {"run": run, "seq": seq, "part": part, "channel": channel, "state": "sending"}

        def note(connection: Connection) -> None:
            if connection.execute(select(POSTS.c.state).where(_is(run, seq, part))).first() is None:
                connection.execute(insert(POSTS).values(values))

        await self._database.write(note)

    async def sent(self, run: str, seq: int, part: int, ts: str, *, marked: bool = False) -> None:
        """Slack has taken a message that was begun; `marked` as a possible repeat."""
        taken = update(POSTS).where(_is(run, seq, part)).values(ts=ts, state="marked" if marked else "sent")
        await self._database.write(lambda connection: connection.execute(taken).close())

    async def of(self, run: str) -> tuple[Post, ...]:
        """The messages of a run, in order."""
        query = select(POSTS).where(POSTS.c.run == run).order_by(POSTS.c.seq, POSTS.c.part)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return tuple(Post(**row) for row in rows)

    async def cursor(self, run: str) -> int:
        """All messages up to this fact are shown; 0 when none is."""
        query = select(CURSORS.c.seq).where(CURSORS.c.run == run)
        return await self._database.read(lambda connection: connection.execute(query).scalar() or 0)

    async def advance(self, run: str, seq: int) -> None:
        """All messages up to this fact are shown; never goes back. 0 notes that the run is shown from now on."""

        def note(connection: Connection) -> None:
            if connection.execute(select(CURSORS.c.seq).where(CURSORS.c.run == run)).first() is None:
                connection.execute(insert(CURSORS).values(run=run, seq=seq))
            else:
                further = (CURSORS.c.run == run) & (CURSORS.c.seq < seq)
                connection.execute(update(CURSORS).where(further).values(seq=seq))

        await self._database.write(note)

    async def behind(self) -> Sequence[str]:
        """The ended runs of which not all is shown: two steps through the journal's key for each run with a cursor.

        One without, of an older version of the bot, may have been shown whole.
        """
        of_run = EVENTS.c.run == CURSORS.c.run
        last = select(func.max(EVENTS.c.seq)).where(of_run).scalar_subquery()
        newest = select(EVENTS.c.kind).where(of_run).order_by(EVENTS.c.seq.desc()).limit(1).scalar_subquery()
        query = select(CURSORS.c.run).where(CURSORS.c.seq < last, newest == RunEnded.__name__, is_text(CURSORS.c.run))
        return await self._database.read(lambda connection: connection.execute(query).scalars().all())


def _is(run: str, seq: int, part: int) -> ColumnElement[bool]:
    return (POSTS.c.run == run) & (POSTS.c.seq == seq) & (POSTS.c.part == part)
