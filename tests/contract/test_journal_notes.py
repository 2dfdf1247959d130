"""The thread's notes in the journal: which messages were sent, and how far it is."""

from __future__ import annotations

from pathlib import Path

from bot.adapters.journal import SqlJournal
from bot.core.runs.events import Outcome, RunEnded, StageBegan
from bot.engine.posts import Post
from tests.contract.journals import path, requested, sql, url
from tests.fakes import MORNING

__all__ = ["path", "sql"]


# the thread's notes


async def test_a_message_is_noted_before_it_is_sent_and_after(sql: SqlJournal) -> None:
    await sql.posts.begin("r1", 2, 0, "C1")
    await sql.posts.begin("r1", 1, 1, "C1")
    await sql.posts.begin("r1", 1, 0, "C1")
    await sql.posts.sent("r1", 1, 0, "1700000000.000100")
    await sql.posts.sent("r1", 1, 1, "1700000000.000200", marked=True)
    assert await sql.posts.of("r1") == (
        Post(run="r1", seq=1, part=0, channel="C1", ts="1700000000.000100", state="sent"),
        Post(run="r1", seq=1, part=1, channel="C1", ts="1700000000.000200", state="marked"),
        Post(run="r1", seq=2, part=0, channel="C1", ts=None, state="sending"),
    )
    assert await sql.posts.of("r2") == ()


async def test_a_message_begun_twice_is_one_and_stays_sent(sql: SqlJournal) -> None:
    """After a crash the thread begins again where it was, and has to see what it had sent."""
    await sql.posts.begin("r1", 1, 0, "C1")
    await sql.posts.sent("r1", 1, 0, "1.1")
    await sql.posts.begin("r1", 1, 0, "C1")
    assert [(post.ts, post.state) for post in await sql.posts.of("r1")] == [("1.1", "sent")]


async def test_the_cursor_only_goes_forward(sql: SqlJournal) -> None:
    assert await sql.posts.cursor("r1") == 0
    for seq in (3, 5, 4):
        await sql.posts.advance("r1", seq)
    assert await sql.posts.cursor("r1") == 5
    assert await sql.posts.cursor("r2") == 0


async def test_the_notes_are_there_after_a_restart(path: Path) -> None:
    async with SqlJournal(url(path)) as journal:
        await journal.posts.begin("r1", 1, 0, "C1")
        await journal.posts.advance("r1", 7)
    async with SqlJournal(url(path)) as journal:
        assert (await journal.posts.cursor("r1"), len(await journal.posts.of("r1"))) == (7, 1)


async def test_what_has_ended_and_was_not_shown_to_its_end_is_known(sql: SqlJournal) -> None:
    """But not what was never noted: an older version may have shown it."""
    for run in ("behind", "shown", "unnoted", "open"):
        await sql.append(run, 0, MORNING, [requested(run), StageBegan(stage="drain")])
        if run != "open":
            await sql.append(run, 2, MORNING, [RunEnded(outcome=Outcome.ABORTED, reason="")])
    for run, seq in (("behind", 0), ("shown", 3), ("open", 1), ("gone", 1)):
        await sql.posts.advance(run, seq)
    assert await sql.posts.behind() == ["behind"]
