"""What users feel of a move, on the real ring: what becomes of a login that is just being answered.

Dovecot's own doing, which no order of the take-down spares them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.integration.test_lab import backend_2, on_every_director
from tests.lab import Lab, wait_for
from tests.lab.fixtures import lab
from tests.lab.imap import PORT, Ended, Session, connected
from tests.lab.users import cut_by_moves

__all__ = ["backend_2", "lab"]

USER = "user-000"
LONG = timedelta(seconds=60)


@pytest.fixture
def slow_to_answer(lab: Lab, backend_2: str) -> Iterator[str]:
    """A backend that nobody new comes to, to which USER is mapped, and on which a login waits for its answer."""
    ip = lab.backends[backend_2].ip
    lab.run("director-1", f"doveadm director move {USER} {ip}", check=True)
    lab.run("director-1", f"doveadm director update {ip} 0", check=True)
    on_every_director(lab, backend_2, vhosts="0", users="1")
    lab.run(backend_2, "pkill -STOP -x auth", check=True)
    yield backend_2
    lab.run(backend_2, "pkill -CONT -x auth")  # none is there once dovecot was stopped


@pytest.fixture
def a_process_for_each_login(lab: Lab) -> Iterator[None]:
    """As it is where nobody has configured `service_count`."""
    many, one, conf = "service_count = 0", "service_count = 1", "/etc/dovecot/dovecot.conf"
    for old, new in ((many, one), (one, many)):
        for name in lab.directors:
            lab.run(name, f"sed -i 's/{old}/{new}/' {conf}; doveadm reload", check=True)
        wait_for("the ring is as usual", lab.is_as_usual)
        if new == one:
            yield


async def logged_in(lab: Lab, user: str) -> None:
    async with connected(lab.directors["director-1"].ip, LONG) as session:
        await session.command(f"LOGIN {user} {lab.password}")
        await session.command("LOGOUT")


def sessions(lab: Lab, backend: str) -> bool:
    listed = lab.run("director-1", "doveadm -f tab proxy list", check=True).stdout
    return lab.backends[backend].ip in listed


def flush(lab: Lab, backend: str) -> None:
    lab.run("director-1", f"doveadm director flush {lab.backends[backend].ip}", check=True)
    on_every_director(lab, backend, users="0")


@asynccontextmanager
async def logging_in(lab: Lab, backend: str) -> AsyncIterator[tuple[Session, asyncio.Task[None]]]:
    """USER's session through director-1, and the login that the backend is answering."""
    connections = f"ss --no-header --tcp state established dst {lab.backends[backend].ip}:{PORT}"
    async with connected(lab.directors["director-1"].ip, LONG) as session:
        login = asyncio.create_task(session.command(f"LOGIN {USER} {lab.password}"))
        under_way = lambda: bool(lab.run(backend, connections, check=True).stdout)  # noqa: E731
        await asyncio.to_thread(wait_for, "the login is under way", under_way)
        yield session, login


async def test_where_a_login_process_has_many_users_it_is_cut_and_the_next_one_succeeds(
    lab: Lab, slow_to_answer: str
) -> None:
    await logged_in(lab, "user-001")  # a director reaches its login process from the first session on that it proxies
    before = cut_by_moves(lab)
    async with logging_in(lab, slow_to_answer) as (_, login):
        flush(lab, slow_to_answer)
        with pytest.raises(Ended):
            await login
    assert cut_by_moves(lab) - before == {("director-1", USER): 1}
    await logged_in(lab, USER)


@pytest.mark.usefixtures("a_process_for_each_login")
async def test_where_each_login_has_a_process_it_is_let_in_there_and_only_the_stop_ends_the_session(
    lab: Lab, slow_to_answer: str
) -> None:
    async with logging_in(lab, slow_to_answer) as (session, login):
        flush(lab, slow_to_answer)
        lab.run(slow_to_answer, "pkill -CONT -x auth", check=True)
        await login
        await asyncio.to_thread(wait_for, "the session is listed", lambda: sessions(lab, slow_to_answer))
        flush(lab, slow_to_answer)
        await session.command("NOOP")
        assert sessions(lab, slow_to_answer)
        await asyncio.to_thread(lab.run, slow_to_answer, "systemctl stop dovecot", check=True)
        with pytest.raises(Ended):
            await session.command("NOOP")
    await logged_in(lab, USER)
    assert not sessions(lab, slow_to_answer)
