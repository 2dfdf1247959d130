"""What the journal's tests share: a run's first facts, a journal in SQL, and a hook into each of its transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from bot.adapters.journal import SqlJournal
from bot.core.hosts.inventory import Backend, Director, Ring, Target
from bot.core.plans.plan import Plan, digest
from bot.core.runs.events import Entry, HostsProved, How, Ran, RunHeld, RunRequested, StageBegan, StepDone
from tests.fakes import MORNING


def requested(ring: str = "blue", *, ip: str = "", directors: Sequence[str] = ()) -> RunRequested:
    """The first fact of a run on a ring: its backend, and the ssh names of its directors; all its own if not given."""
    backends = (Backend(name=f"{ring}-1", ip=ip or _own_ip(ring)), Backend(name=f"{ring}-2", ip="2001:db8::2"))
    reached = tuple(Director(name=f"{ring}-d{n}", ssh=ssh) for n, ssh in enumerate(directors or (f"{ring}-d1",), 1))
    inventory = Ring(name=ring, directors=reached, backends=backends, test_user="canary@example")
    return RunRequested(
        procedure="dovecot-upgrade",
        target=Target(ring=inventory, backend=backends[0]),
        requester="U1",
        team="T1",
        channel="C1",
        text="blue-1 „düster“ \N{SNOWMAN} \x00\t'; DROP TABLE events; --",
        plan=Plan(title="Upgrade", stages=()),
    )


def _own_ip(ring: str) -> str:
    return f"2001:db8:{digest(ring)[:4]}::1"


def proved(*directors: str) -> HostsProved:
    """What the hosts of a run said of themselves; `directors` by what the ring calls them."""
    return HostsProved(
        backend="blue-1",
        by="192.0.2.1 is on one of its interfaces",
        machine_id="0" * 32,
        boot_id="00000000-0000-4000-8000-000000000000",
        lock="/run/lock/dovecot-bot.lock",
        directors={f"d{number}": address for number, address in enumerate(directors, 1)},
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
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def sql(path: Path) -> AsyncIterator[SqlJournal]:
    async with SqlJournal(url(path)) as journal:
        yield journal


async def begun(journal: SqlJournal) -> tuple[Entry, ...]:
    return await journal.append("r1", 0, MORNING, [requested(), StageBegan(stage="drain"), DONE, RunHeld(reason="x")])


@contextmanager
def at_each_begin(do: Callable[[Connection], object]) -> Iterator[None]:
    """Do something on the journal's own connections, at the beginning of each transaction."""
    event.listen(Engine, "begin", do)
    try:
        yield
    finally:
        event.remove(Engine, "begin", do)
