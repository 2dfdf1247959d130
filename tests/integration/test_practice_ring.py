"""The practice ring, seen through a real SSH client: it has to behave as the real ring does, or it teaches lies."""

import csv
import io
import re
from datetime import timedelta

import pytest

from bot.practice.ring.ring import PracticeRing
from tests.integration.sshclient import IP, Client, ring, ssh, until

__all__ = ["ring", "ssh"]

A_WHILE = timedelta(hours=1)
"""As long as it takes to look, however slow the machine; the test says when it is over."""


# the ring


async def test_a_drained_backend_keeps_its_users_until_the_flush_moves_them_and_gets_them_back_later(
    ring: PracticeRing, ssh: Client
) -> None:
    """The whole procedure in short: nobody may fail to log in when it is done in the right order."""
    before = int((await ssh.row("director-1"))["users"])
    assert before >= 10
    await ssh.out("director-1", f"sudo -n -- doveadm director update {IP} 0")
    rows = [await ssh.row(name) for name in ring.directors]
    assert {row["vhosts"] for row in rows} == {"0"}
    assert int(rows[0]["users"]) >= before / 2, "vhosts 0 moves nobody who is mapped"
    for command in ("doveadm service stop lmtp", "systemctl stop dovecot"):
        await ssh.out("backend-3", command)
    for command in ("down", "flush"):
        await ssh.out("director-2", f"doveadm director {command} {IP}")
    await until(lambda: ring.users_on("backend-3") == 0, "users moved")
    assert {(await ssh.row(name))["state"] for name in ring.directors} == {"down"}
    await until(lambda: IP not in ring.people.connected.values(), "connections moved")
    await ssh.out("backend-3", "systemctl start dovecot")
    await ssh.out("director-1", f"doveadm director update {IP} 100")
    await ssh.out("director-1", f"doveadm director up {IP}")
    await until(lambda: ring.users_on("backend-3") > 0, "users came back")
    assert ring.failed_logins == []


async def test_a_flush_of_a_usable_backend_moves_nobody(ring: PracticeRing, ssh: Client) -> None:
    """With vhosts above 0 and up, every user's hash still points there."""
    await ssh.out("director-1", f"doveadm director flush {IP}")
    assert ring.state._moves == []


async def test_logins_fail_on_a_stopped_backend_that_was_not_flushed() -> None:
    """This is the harm the practice ring exists to show."""
    async with PracticeRing(login_patience=timedelta(seconds=0.2)) as ring:
        client = Client(ring)
        await client.out("backend-3", "systemctl stop dovecot")
        await until(lambda: len(ring.failed_logins) > 5, "logins fail")
        assert {failed.backend for failed in ring.failed_logins} == {IP}
        await client.close()


async def test_disconnected_users_leave_a_drained_backend_when_they_expire() -> None:
    """The drain shows a falling count, which does not reach 0: most users stay connected."""
    async with PracticeRing(user_expire=timedelta(seconds=0.4)) as ring:
        ring.state.change(IP, now=ring.people._users[0].next_at, vhosts=0)
        steady = sum(user.backend == IP for user in ring.people._users if user.steady)
        await until(lambda: ring.users_on("backend-3") == steady, "the others left")
        assert steady > 0


async def test_a_restarted_director_claims_100_and_up_until_it_hears_the_ring(ring: PracticeRing, ssh: Client) -> None:
    """Whoever believes it in that second puts users on a backend that is out."""
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    ring.state.learning_takes = A_WHILE
    ring.restart_director("director-1")
    fresh = await ssh.row("director-1")
    assert (fresh["vhosts"], fresh["state"], fresh["users"]) == ("100", "up", "0")
    said = await ssh.out("director-1", "doveadm -f tab director ring status")
    assert re.search(r"\tring syncing - last sync \d+ secs ago\t", said)
    assert (await ssh.row("director-2"))["vhosts"] == "0"
    ring.state.directors["director-1"].learns_at = ring.now()
    await until(lambda: ring.state.directors["director-1"].knows, "it hears the ring")
    assert (await ssh.row("director-1"))["vhosts"] == "0"


async def test_a_ring_that_restarts_as_a_whole_forgets(ring: PracticeRing, ssh: Client) -> None:
    """A backend under maintenance is back at 100 and up then."""
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    await ssh.out("director-1", f"doveadm director down {IP}")
    ring.restart_all_directors()
    await until(lambda: all(view.knows for view in ring.state.directors.values()), "all are up again")
    rows = [await ssh.row(name) for name in ring.directors]
    assert {(row["vhosts"], row["state"]) for row in rows} == {("100", "up")}
    await until(lambda: ring.users_on("backend-3") > 0, "users log in again, here too")


async def test_a_director_that_is_away_learns_on_its_return() -> None:
    """Update and down work without it; it says 75 meanwhile, and the ring shows it as away once it is given up."""
    async with PracticeRing(learning_takes=A_WHILE) as ring:
        ssh = Client(ring)
        await ssh.row("director-1")
        ring.directors["director-2"].away = True
        assert "ring syncing - last sync" in await ssh.out("director-1", "doveadm -f tab director ring status")
        assert (await ssh("director-2", "doveadm -f tab director status")).exit_status == 75
        ring.state.directors["director-2"].failed = ring.now()  # it is given up
        await ssh.out("director-1", f"doveadm director update {IP} 0")
        table = await ssh.out("director-1", "doveadm -f tab director ring status")
        rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))
        assert [(row["type"], row["status"]) for row in rows if row["type"] != ""] == [("self", "ring synced")]
        assert [row["last failed"] != "never" for row in rows if row["type"] == ""] == [True]
        ring.state.learning_takes = timedelta(0)
        ring.directors["director-2"].away = False
        await until(lambda: ring.state.directors["director-2"].knows, "it is back")
        assert (await ssh.row("director-2"))["vhosts"] == "0"
        await ssh.close()


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (f"update {IP} 0", 0),
        (f"down {IP}", 0),
        (f"up {IP}", 0),
        (f"flush {IP}", 0),
        ("update 192.0.2.99 0", 75),
        ("flush 192.0.2.99", 68),
        (f"update {IP}", 64),
        (f"update {IP} many", 64),
        ("down", 64),
        (f"add {IP}", 64),
        ("down backend-3", 75),
    ],
)
async def test_director_commands_exit_as_the_real_ones_and_may_be_repeated(
    ssh: Client, command: str, status: int
) -> None:
    """Exit codes are what the bot's doubt is built on."""
    for _ in range(2):
        assert (await ssh("director-1", f"doveadm director {command}")).exit_status == status
