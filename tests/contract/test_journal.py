"""The journal: the same promises of the fake and of SQL; and of SQL, what a machine and a stranger can do to it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from bot.adapters.journal import Post, SqlJournal
from bot.core.events import (
    Entry,
    How,
    Outcome,
    Ran,
    RunEnded,
    RunHeld,
    RunRequested,
    StageBegan,
    StepDone,
    UsersCounted,
    WaitBegan,
)
from bot.core.inventory import Backend, Director, Ring, Target
from bot.core.plan import Plan, digest
from bot.engine.ports import Journal
from bot.errors import Conflict, Illegal, JournalError, RingHeld
from tests.fakes import MORNING, FakeJournal

REPOSITORY = Path(__file__).parents[2]


def requested(ring: str = "blue") -> RunRequested:
    """The first fact of a run on a ring."""
    backends = (Backend(name=f"{ring}-1", ip="192.0.2.1"), Backend(name=f"{ring}-2", ip="2001:db8::2"))
    inventory = Ring(name=ring, directors=(Director(name=f"{ring}-d1"),), backends=backends, test_user="canary@example")
    return RunRequested(
        procedure="dovecot-upgrade",
        target=Target(ring=inventory, backend=backends[0]),
        requester="U1",
        team="T1",
        channel="C1",
        text="blue-1 „düster“ \N{SNOWMAN} \x00\t'; DROP TABLE events; --",
        plan=Plan(title="Upgrade", stages=()),
    )


DONE = StepDone(
    step="stop-dovecot",
    how=How.RAN,
    ran=(
        Ran(
            host="blue-1",
            command="systemctl stop dovecot",
            exit_status=0,
            took=timedelta(milliseconds=1234),
            output="größe\n",
            output_bytes=8,
            changes=True,
        ),
    ),
    seen=(),
    remembered={"packages": "dovecot-core=2.3"},
)
SECOND = timedelta(seconds=1)


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture(params=["fake", "sql"])
async def two(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[tuple[Journal, Journal]]:
    """Two writers of the same journal; the fake is one that both share."""
    if request.param == "fake":
        fake = FakeJournal()
        yield fake, fake
        return
    async with SqlJournal(url(path)) as one, SqlJournal(url(path)) as other:
        yield one, other


@pytest.fixture
def journal(two: tuple[Journal, Journal]) -> Journal:
    return two[0]


@pytest.fixture
async def sql(path: Path) -> AsyncIterator[SqlJournal]:
    async with SqlJournal(url(path)) as journal:
        yield journal


# what every journal promises


async def test_facts_come_back_as_they_were_in_order_and_numbered(journal: Journal) -> None:
    facts = (
        requested(),
        StageBegan(stage="drain"),
        DONE,
        WaitBegan(step="wait", until=MORNING),
        UsersCounted(users={}),
    )
    written = await journal.append("r1", 0, MORNING, facts)
    assert await journal.entries("r1") == written
    assert [entry.seq for entry in written] == [1, 2, 3, 4, 5]
    assert tuple(entry.fact for entry in written) == facts
    assert {(entry.run, entry.at) for entry in written} == {("r1", MORNING)}


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\u2028", "\N{PILE OF POO}", "a" * 1_000_000, ""])
async def test_whatever_somebody_types_or_a_host_prints_comes_back(journal: Journal, text: str) -> None:
    await journal.append("r1", 0, MORNING, [requested(), RunHeld(reason=text)])
    assert (await journal.entries("r1"))[1].fact == RunHeld(reason=text)


async def test_what_one_wrote_the_other_reads(two: tuple[Journal, Journal]) -> None:
    one, other = two
    await one.append("r1", 0, MORNING, [requested()])
    await other.append("r1", 1, MORNING, [StageBegan(stage="drain")])
    assert await one.entries("r1") == await other.entries("r1")
    assert len(await one.entries("r1")) == 2


async def test_nothing_is_known_of_an_unknown_run(journal: Journal) -> None:
    assert await journal.entries("nobody") == ()
    assert await journal.open_runs() == ()
    assert await journal.all_runs() == ()


async def test_of_two_writers_of_the_same_fact_one_writes_and_one_is_told(two: tuple[Journal, Journal]) -> None:
    """Two clicks, or two bots: the law that makes every approval count once."""
    await two[0].append("r1", 0, MORNING, [requested()])
    for after in range(1, 21):
        facts = [RunHeld(reason="one"), RunHeld(reason="other")]
        ended = await asyncio.gather(
            *(writer.append("r1", after, MORNING, [fact]) for writer, fact in zip(two, facts, strict=True)),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in ended) == ["Conflict", "tuple"]
    assert len(await two[1].entries("r1")) == 21


async def test_a_conflict_writes_nothing_of_what_was_asked(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested(), StageBegan(stage="drain")])
    with pytest.raises(Conflict):
        await journal.append("r1", 1, MORNING, [RunHeld(reason="late"), RunEnded(outcome=Outcome.ABORTED)])
    assert len(await journal.entries("r1")) == 2
    assert await journal.open_runs() == ("r1",)


async def test_a_run_holds_its_ring_from_its_first_fact_to_its_last(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(RingHeld) as held:
        await journal.append("r2", 0, MORNING, [requested()])
    assert (held.value.ring, held.value.run) == ("blue", "r1")
    assert await journal.entries("r2") == ()
    await journal.append("r1", 1, MORNING, [RunEnded(outcome=Outcome.DONE)])
    await journal.append("r2", 0, MORNING + SECOND, [requested()])
    assert await journal.open_runs() == ("r2",)
    assert await journal.all_runs() == ("r1", "r2")


async def test_of_two_runs_that_ask_at_the_same_moment_exactly_one_holds_the_ring(two: tuple[Journal, Journal]) -> None:
    for ring in (f"ring-{number}" for number in range(20)):
        ended = await asyncio.gather(
            *(writer.append(f"{ring}-{n}", 0, MORNING, [requested(ring)]) for n, writer in enumerate(two)),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in ended) == ["RingHeld", "tuple"]
    assert len(await two[0].open_runs()) == len(await two[0].all_runs()) == 20


async def test_rings_are_held_each_by_its_own_run_the_oldest_first(journal: Journal) -> None:
    await journal.append("b", 0, MORNING + SECOND / 2, [requested("blue")])
    await journal.append("a", 0, MORNING + SECOND, [requested("red")])
    await journal.append("c", 0, MORNING, [requested("green")])
    assert await journal.open_runs() == await journal.all_runs() == ("c", "b", "a")


async def test_a_run_that_ends_with_its_first_facts_holds_nothing(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested(), RunEnded(outcome=Outcome.REFUSED, reason="no")])
    assert await journal.open_runs() == ()
    await journal.append("r2", 0, MORNING, [requested()])


async def test_the_same_request_again_is_a_conflict_and_not_a_held_ring(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Conflict):
        await journal.append("r1", 0, MORNING, [requested()])


@pytest.mark.parametrize(
    ("after", "facts"),
    [(0, [RunHeld(reason="first")]), (1, [requested("red")]), (0, [requested("red"), requested("green")])],
)
async def test_only_a_first_fact_is_a_request_and_every_first_fact(
    journal: Journal, after: int, facts: list[RunHeld | RunRequested]
) -> None:
    """A run without a ring, or with two, could not be told from one that nobody holds back."""
    if after:
        await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Illegal):
        await journal.append("r1", after, MORNING, facts)
    assert len(await journal.entries("r1")) == after


async def test_a_number_that_leaves_a_gap_is_never_written(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Illegal, match="fact 7 is not there"):
        await journal.append("r1", 7, MORNING, [RunHeld(reason="gap")])


# what SQL promises besides


async def test_times_are_kept_to_the_microsecond_and_in_utc(sql: SqlJournal) -> None:
    here = datetime(2026, 3, 29, 2, 59, 59, 1, tzinfo=timezone(timedelta(hours=1)))
    await sql.append("r1", 0, here, [requested()])
    (entry,) = await sql.entries("r1")
    assert entry.at == here
    assert entry.at.tzinfo == UTC


async def test_a_journal_is_for_its_owners_eyes_alone(path: Path) -> None:
    """Who may read it reads every command line; and a journal that was created otherwise is corrected."""
    await asyncio.to_thread(path.touch, 0o644)
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 0, MORNING, [requested()])
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("journal.db*")}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


async def test_what_is_committed_survives_the_machine(sql: SqlJournal, path: Path) -> None:
    """synchronous is each connection's own setting, so it is asked of a connection that the journal made."""
    asked: list[object] = []

    def ask(connection: Connection) -> None:
        asked.extend(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys"))

    with _at_each_begin(ask):
        await sql.append("r1", 0, MORNING, [requested()])
    assert asked[:2] == [2, 1]
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


WRITER = """
import asyncio, itertools, sys
from bot.adapters.journal import SqlJournal
from bot.core.events import RunHeld
from tests.contract.test_journal import requested
from tests.fakes import MORNING

async def main():
    async with SqlJournal(sys.argv[1]) as journal:
        await journal.append("r1", 0, MORNING, [requested()])
        for after in itertools.count(1, 2):
            await journal.append("r1", after, MORNING, [RunHeld(reason=str(after)), RunHeld(reason=str(after))])
            print(after + 2, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 5, 30])
async def test_a_killed_writer_loses_nothing_that_it_was_told_was_written(path: Path, after: int) -> None:
    told = await asyncio.to_thread(_killed_after, after, path)
    async with SqlJournal(url(path)) as journal:
        entries = await journal.entries("r1")
        assert len(entries) >= told
        assert len(entries) % 2 == 1, "half of an append was written"
        assert await journal.open_runs() == ("r1",)
        await journal.append("r1", len(entries), MORNING, [RunEnded(outcome=Outcome.ABORTED)])


def _killed_after(lines: int, path: Path) -> int:
    """Start a writer, kill it with SIGKILL when it has said that much; returns the last number it was told."""
    command = [sys.executable, "-c", WRITER, url(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.readlines()
    return int([line for line in said if line.endswith("\n")][-1])


async def _written(journal: SqlJournal) -> tuple[Entry, ...]:
    return await journal.append("r1", 0, MORNING, [requested(), StageBegan(stage="drain"), DONE, RunHeld(reason="x")])


@pytest.mark.parametrize(
    ("tampering", "number", "said"),
    [
        ("UPDATE events SET body = replace(body, 'stop', 'start') WHERE seq = 3", 3, "altered"),
        ("UPDATE events SET body = body || ' ' WHERE seq = 3", 3, "altered"),
        ("UPDATE events SET at = '2026-03-02T09:00:01.000000+00:00' WHERE seq = 2", 2, "altered"),
        ("UPDATE events SET kind = 'RunEnded' WHERE seq = 4", 4, "altered"),
        ("UPDATE events SET version = 2 WHERE seq = 4", 4, "altered"),
        ("UPDATE events SET hash = 'no' WHERE seq = 2", 2, "altered"),
        ("UPDATE events SET prev_hash = 'no' WHERE seq = 2", 2, "does not follow"),
        ("DELETE FROM events WHERE seq = 1", 1, "missing; the next one there is fact 2"),
        ("DELETE FROM events WHERE seq = 2", 2, "missing; the next one there is fact 3"),
        ("UPDATE events SET seq = 9 WHERE seq = 4", 4, "missing; the next one there is fact 9"),
        ("UPDATE events SET run = 'r2'; UPDATE events SET run = 'r1' WHERE seq > 2", 1, "missing"),
    ],
)
async def test_tampering_is_found_at_its_place(
    sql: SqlJournal, path: Path, tampering: str, number: int, said: str
) -> None:
    sound = await _written(sql)
    _change(path, tampering)
    with pytest.raises(Illegal, match=f"^run r1, fact {number}: .*{said}"):
        await sql.entries("r1")
    damage = await sql.damage("r1")
    assert damage is not None
    assert damage.startswith(f"run r1, fact {number}: ")
    assert await sql.readable_entries("r1") == sound[: number - 1]


async def test_a_sound_run_has_no_damage(sql: SqlJournal) -> None:
    sound = await _written(sql)
    assert await sql.damage("r1") is None
    assert await sql.readable_entries("r1") == sound
    assert await sql.damage("nobody") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row | {"kind": "StepDreamt"}, "unknown kind: StepDreamt"),
        (lambda row: row | {"body": "{}"}, "RunHeld that cannot be read"),
        (lambda row: row | {"body": "no JSON"}, "cannot be read"),
        (lambda row: row | {"at": "yesterday"}, "cannot be read"),
        (lambda row: row | {"version": 2}, "another version of the bot"),
    ],
    ids=["kind", "fields", "JSON", "time", "version"],
)
async def test_a_row_that_this_bot_cannot_read_is_said_though_its_hash_fits(
    sql: SqlJournal, path: Path, change: Callable[[dict[str, object]], dict[str, object]], said: str
) -> None:
    """As after going back to an older bot: it must say so, and not leave the fact out."""
    sound = await _written(sql)
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        row = change(dict(database.execute("SELECT * FROM events WHERE seq = 4").fetchone()))
        columns = ("run", "seq", "at", "kind", "version", "body", "prev_hash")
        row["hash"] = digest([row[column] for column in columns])
        database.execute(
            "UPDATE events SET at = :at, kind = :kind, version = :version, body = :body, hash = :hash WHERE seq = 4",
            row,
        )
    database.close()
    with pytest.raises(Illegal, match=f"^run r1, fact 4: .*{said}"):
        await sql.entries("r1")
    assert await sql.readable_entries("r1") == sound[:3]


async def test_a_damaged_run_does_not_hide_the_others(sql: SqlJournal, path: Path) -> None:
    await _written(sql)
    await sql.append("r2", 0, MORNING + SECOND, [requested("red")])
    _change(path, "DELETE FROM events WHERE run = 'r1' AND seq = 1")
    assert len(await sql.entries("r2")) == 1
    assert set(await sql.open_runs()) == set(await sql.all_runs()) == {"r1", "r2"}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_a_fact_that_could_not_be_read_again_is_not_written(sql: SqlJournal) -> None:
    """A defect of the bot would else make the run unreadable for good, with a host half changed."""
    await sql.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Illegal, match="RunHeld that cannot be read"):
        await sql.append("r1", 1, MORNING, [RunHeld(reason=7)])  # type: ignore[arg-type]
    assert len(await sql.entries("r1")) == 1


async def test_the_hash_is_what_the_readme_of_the_chain_says(sql: SqlJournal, path: Path) -> None:
    """Anybody can check it with nothing but SHA-256 and JSON."""
    await _written(sql)
    previous = ""
    for *columns, found in _change(
        path, "SELECT run, seq, at, kind, version, body, prev_hash, hash FROM events ORDER BY seq"
    ):
        assert columns[-1] == previous
        text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert found == previous


# what can be wrong with a disk


async def test_a_journal_that_can_only_be_read_is_read_and_says_so_when_written(path: Path) -> None:
    async with SqlJournal(url(path)) as journal:
        sound = await _written(journal)
        async with SqlJournal(f"{url(Path('file:' + str(path)))}?mode=ro&uri=true") as only_read:
            assert await only_read.entries("r1") == sound
            with pytest.raises(JournalError, match=r"readonly.*Nothing was written.*give the file and its directory"):
                await only_read.append("r1", 4, MORNING, [RunHeld(reason="x")])
        assert await journal.entries("r1") == sound


async def test_a_full_disk_writes_nothing_by_halves_and_says_what_to_do(sql: SqlJournal) -> None:
    sound = await _written(sql)
    much = [RunHeld(reason="x" * 3000) for _ in range(100)]
    with _at_each_begin(_no_more_pages), pytest.raises(JournalError, match=r"is full.*Nothing was written.*make room"):
        await sql.append("r1", 4, MORNING, [*much, RunEnded(outcome=Outcome.DONE)])
    assert await sql.entries("r1") == sound
    assert await sql.open_runs() == ("r1",)
    with _at_each_begin(_pages_again):
        await sql.append("r1", 4, MORNING, [*much, RunEnded(outcome=Outcome.DONE)])
    assert len(await sql.entries("r1")) == 105


async def test_a_first_fact_on_a_full_disk_takes_no_ring(sql: SqlJournal) -> None:
    much = [RunHeld(reason="x" * 3000) for _ in range(100)]
    with _at_each_begin(_no_more_pages), pytest.raises(JournalError, match="is full"):
        await sql.append("r1", 0, MORNING, [requested(), *much])
    assert await sql.open_runs() == await sql.all_runs() == ()


async def test_a_journal_that_another_program_holds_is_waited_for_and_then_told(sql: SqlJournal, path: Path) -> None:
    sound = await _written(sql)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with _at_each_begin(_impatient), pytest.raises(JournalError, match=r"is locked.*another program"):
        await sql.append("r1", 4, MORNING, [RunHeld(reason="x")])
    waiting = asyncio.create_task(sql.append("r1", 4, MORNING, [RunHeld(reason="x")]))
    assert await sql.entries("r1") == sound, "reading waits for nobody"
    other.execute("ROLLBACK")
    other.close()
    await waiting


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 100), "not a database.*wrong file"),
        (lambda path: path.mkdir(), "unable to open"),
        (lambda path: path.parent.rmdir(), "unable to open.*its directory must exist"),
    ],
    ids=["no database", "a folder", "no folder"],
)
async def test_a_file_that_is_no_journal_is_told(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    spoil(folder / "journal.db")
    with pytest.raises(JournalError, match=said):
        await SqlJournal(url(folder / "journal.db")).open()


async def test_a_journal_that_is_not_open_says_so(path: Path) -> None:
    with pytest.raises(JournalError, match="is not open"):
        await SqlJournal(url(path)).entries("r1")


async def test_a_password_in_the_url_is_never_told() -> None:
    with pytest.raises(JournalError) as told:
        await SqlJournal("sqlite+aiosqlite://bot:hunter2@host/nowhere/journal.db").entries("r1")
    assert "hunter2" not in str(told.value)


@contextmanager
def _at_each_begin(do: Callable[[Connection], object]) -> Iterator[None]:
    """Do something on the journal's own connections, at the beginning of each transaction."""
    event.listen(Engine, "begin", do)
    try:
        yield
    finally:
        event.remove(Engine, "begin", do)


def _no_more_pages(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite makes it as many as there are


def _pages_again(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA max_page_count = 1000000")


def _impatient(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA busy_timeout = 20")


def _change(path: Path, script: str) -> list[tuple[object, ...]]:
    """What somebody does to the file with another program; returns what the last statement answers."""
    database = sqlite3.connect(path, isolation_level=None)
    try:
        return [row for statement in script.split(";") for row in database.execute(statement).fetchall()]
    finally:
        database.close()


# the thread's notes


async def test_a_message_is_noted_before_it_is_sent_and_after(sql: SqlJournal) -> None:
    await sql.posts.begin("r1", 2, 0, "C1")
    await sql.posts.begin("r1", 1, 1, "C1")
    await sql.posts.begin("r1", 1, 0, "C1")
    await sql.posts.sent("r1", 1, 0, "1700000000.000100")
    assert await sql.posts.of("r1") == (
        Post(run="r1", seq=1, part=0, channel="C1", ts="1700000000.000100", state="sent"),
        Post(run="r1", seq=1, part=1, channel="C1", ts=None, state="sending"),
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
