"""The rows of the command line and of the journal."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bot.adapters.slack.messages.root import run_list
from bot.core.hosts.inventory import Inventory
from bot.engine.planning import Catalogue
from bot.engine.service import Service
from tests.bench.past import append, folder, fsync_latency, on_disk, opened, pasts, whole_run
from tests.bench.row import Measured, Row, times
from tests.build import library, ring
from tests.fakes import FakeJournal, fake_ports

ROOT = Path(__file__).parents[3]
PLAIN = "the same rows in plain sqlite3, WAL, synchronous=FULL, same file system"
_RUNS_AT_ONCE = 3
_LISTED = 20


async def _seconds(*command: str) -> float:
    """How long Python takes with this."""

    def run() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return await asyncio.to_thread(run)


async def _memory(*command: str) -> float:
    """MB at most."""

    def run() -> float:
        with subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        return used.ru_maxrss / 1024

    return await asyncio.to_thread(run)


async def _pairs(
    runs: int, ours: Callable[[], Awaitable[float]], theirs: Callable[[], Awaitable[float]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """In turn, after one of each that does not count: it reads what then lies in the cache."""
    await ours(), await theirs()
    found = [(await ours(), await theirs()) for _ in range(runs)]
    return tuple(a for a, _ in found), tuple(b for _, b in found)


# the command line

HELP = ("-m", "bot", "--help")


async def _help(runs: int) -> Measured:
    ours, theirs = await _pairs(runs, lambda: _seconds(*HELP), lambda: _seconds("-c", "pass"))
    return Measured(
        ours=ours,
        theirs=theirs,
        unit="s",
        bound="Importing typer, and making the parser of all commands; no library of the bot's is imported.",
    )


async def _runs(runs: int) -> Measured:
    found = await pasts()
    with folder() as made:
        many, few = (
            _settings(made / name, path) for name, path in (("many.toml", found.many), ("few.toml", found.few))
        )

        async def less_help(settings: Path) -> float:
            return await _seconds("-m", "bot", "runs", "--config", str(settings)) - await _seconds(*HELP)

        ours, theirs = await _pairs(runs, lambda: less_help(many), lambda: less_help(few))
        memory = [await _memory("-m", "bot", "runs", "--config", str(settings)) for settings in (many, few)]
    return Measured(
        ours=ours,
        theirs=theirs,
        unit="s",
        bound="With 10 it is what the command imports; with 4,000 also reading as many rows of the index, and printing"
        " as many lines.",
        beside=(f"Memory: {memory[0]:.0f} MB, with 10 {memory[1]:.0f} MB.",),
    )


def _settings(file: Path, journal: Path) -> Path:
    """The example's, with this journal."""
    example = (ROOT / "deploy" / "dovecot-bot.toml").read_text()
    file.write_text(example.replace("/var/lib/dovecot-bot/journal.db", str(journal)))
    return file


async def _list(runs: int) -> Measured:
    found = await pasts()
    async with opened(found.many) as many, opened(found.few) as few:

        async def listed(service: Service) -> float:
            began = time.perf_counter()
            survey = await service.survey(most=_LISTED)
            run_list(survey.runs, {}, title="All runs, the newest first", count=survey.count)
            return time.perf_counter() - began

        known = Catalogue(inventory=Inventory(rings=(ring(),)), procedures=library().procedures, rules=library().rules)
        services = [
            Service(replace(fake_ports(FakeJournal()), journal=journal), known, lambda: "r0") for journal in (many, few)
        ]
        ours, theirs = await _pairs(runs, lambda: listed(services[0]), lambda: listed(services[1]))
    return Measured(
        ours=ours,
        theirs=theirs,
        unit="s",
        bound=f"Reading the newest {_LISTED} rows of the index, and counting all of them.",
    )


# the journal


async def _ours(path: Path, runs: int) -> float:
    """Facts a second."""
    entries = whole_run()
    async with opened(path) as journal:
        began = time.perf_counter()
        for number in range(runs):
            await append(journal, f"r{number}", entries)
        return runs * len(entries) / (time.perf_counter() - began)


def _theirs(path: Path, rows: list[tuple[object, ...]]) -> float:
    """The same rows in a table of the same form."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(
            "CREATE TABLE events (run TEXT, seq INTEGER, at TEXT NOT NULL, kind TEXT NOT NULL,"
            " version INTEGER NOT NULL, body TEXT NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL,"
            " PRIMARY KEY (run, seq))"
        )
        began = time.perf_counter()
        for row in rows:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            database.execute("COMMIT")
        return len(rows) / (time.perf_counter() - began)


def _rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT * FROM events ORDER BY run, seq").fetchall()


def _size(path: Path) -> int:
    """Bytes, with nothing left beside the file."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


async def _facts(runs: int) -> Measured:
    on_disk()
    await asyncio.to_thread(whole_run)
    ours, theirs = [], []
    with folder() as made:
        for number in range(runs):
            ours.append(await _ours(made / f"{number}.db", _RUNS_AT_ONCE))
            rows = _rows(made / f"{number}.db")
            theirs.append(await asyncio.to_thread(_theirs, made / f"{number}-plain.db", rows))
        fsync = fsync_latency(made)
    return Measured(
        ours=tuple(ours),
        theirs=tuple(theirs),
        unit="facts a second",
        bound="The disk's fsync, which both wait for; beyond it SQLAlchemy's statements, one hand-over to"
        " the writing thread and back, and reading the fact back from its JSON before it is written.",
        beside=(f"An fsync of 4 KiB took {fsync * 1000:.2f} ms (median of 200).",),
    )


async def _bytes(runs: int) -> Measured:
    on_disk()
    await asyncio.to_thread(whole_run)
    with folder() as made:
        ours, theirs = made / "ours.db", made / "plain.db"
        count = runs * 20
        await _ours(ours, count)
        await asyncio.to_thread(_theirs, theirs, _rows(ours))
        sizes = _size(ours) / count, _size(theirs) / count
    return Measured(
        ours=sizes[:1],
        theirs=sizes[1:],
        unit="bytes",
        bound="The facts' own JSON, most of it what hosts printed; the index of the runs is the only other thing kept.",
    )


ROWS = (
    Row(
        name="runs",
        what="`dovecot-bot runs`, less the time of `--help`, with 4,000 past runs",
        against="with 10",
        mark=times(most=2),
        runs=7,
        measure=_runs,
    ),
    Row(
        name="list",
        what="`list` in Slack, in process, with 4,000 past runs",
        against="with 10",
        mark=times(most=2),
        runs=15,
        measure=_list,
    ),
    Row(
        name="help",
        what="`dovecot-bot --help`",
        against="`python -c pass`",
        mark=times(most=12),
        runs=9,
        measure=_help,
    ),
    Row(
        name="journal-facts",
        what="journal: facts committed per second, one fact a transaction",
        against=PLAIN,
        mark=times(least=0.5),
        runs=5,
        measure=_facts,
    ),
    Row(
        name="journal-bytes",
        what="journal: bytes per run",
        against=PLAIN,
        mark=times(most=1.5),
        measure=_bytes,
    ),
)
