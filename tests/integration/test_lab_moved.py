"""What users feel of a move, on the real ring: the login that is cut by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.integration.test_lab import backend_2, on_every_director
from tests.lab import Lab, wait_for
from tests.lab.fixtures import lab
from tests.lab.imap import Ended, connected
from tests.lab.users import cut_by_moves

__all__ = ["backend_2", "lab"]

LONG = timedelta(seconds=60)


@pytest.fixture
def slow_to_answer(lab: Lab, backend_2: str) -> Iterator[str]:
    """A backend that nobody new comes to, and on which a login waits for its answer."""
    lab.run(backend_2, "pkill -STOP -x auth", check=True)
    yield backend_2
    lab.run(backend_2, "pkill -CONT -x auth", check=True)


async def logged_in(lab: Lab, user: str) -> None:
    async with connected(lab.directors["director-1"].ip, LONG) as session:
        await session.command(f"LOGIN {user} {lab.password}")
        await session.command("LOGOUT")


async def test_a_login_that_the_backend_is_answering_as_its_user_is_moved_is_cut_and_the_next_one_succeeds(
    lab: Lab, slow_to_answer: str
) -> None:
    """Dovecot's own doing: what `move-first` cannot spare its users, and no more than that."""
    ip, user = lab.backends[slow_to_answer].ip, "user-000"
    await logged_in(lab, "user-001")  # a director reaches its login process from the first session on that it proxies
    lab.run("director-1", f"doveadm director move {user} {ip}", check=True)
    lab.run("director-1", f"doveadm director update {ip} 0", check=True)
    on_every_director(lab, slow_to_answer, vhosts="0")
    before = cut_by_moves(lab)
    async with connected(lab.directors["director-1"].ip, LONG) as session:
        login = asyncio.create_task(session.command(f"LOGIN {user} {lab.password}"))
        sessions = "doveadm -f tab proxy list"
        await asyncio.to_thread(
            wait_for, "it is on its way", lambda: ip in lab.run("director-1", sessions, check=True).stdout
        )
        lab.run("director-1", f"doveadm director flush {ip}", check=True)
        with pytest.raises(Ended):
            await login
    assert cut_by_moves(lab) - before == {("director-1", user): 1}
    await logged_in(lab, user)
