"""A director that hangs, tags, the truth about the metacache: what the practice ring must do as the real one does."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from bot.practice.ring.hosts import FLUSH_UNIT, Backend
from bot.practice.ring.ring import PracticeRing
from bot.practice.values import Sent
from tests.harness.virtual import MORNING, run_virtual
from tests.integration.sshclient import IP

Act = Callable[[Backend], None]


async def out(ring: PracticeRing, host: str, line: str) -> tuple[int, str]:
    """One line on one host, without SSH."""
    machine = (ring.directors | ring.backends)[host]
    answer = await machine.begin(line, Sent())
    return answer.exit_status, answer.out.decode() + answer.err.decode()


async def row(ring: PracticeRing, director: str) -> dict[str, str]:
    _, table = await out(ring, director, "doveadm -f tab director status")
    return next(one for one in csv.DictReader(io.StringIO(table), delimiter="\t") if one["mail server ip"] == IP)


def timed(play: Callable[[PracticeRing, Callable[[], datetime]], Awaitable[None]]) -> None:
    """A ring without SSH, in virtual time."""

    async def whole() -> None:
        loop = asyncio.get_running_loop()

        def now() -> datetime:
            return MORNING + timedelta(seconds=loop.time())

        await play(PracticeRing(users=9, now=now), now)

    run_virtual(whole())


def test_a_hanging_director_answers_nothing_for_thirty_seconds() -> None:
    async def play(ring: PracticeRing, now: Callable[[], datetime]) -> None:
        ring.directors["director-2"].hanging = True
        for command in ("-f tab director status", f"director update {IP} 0"):
            began = now()
            status, _ = await out(ring, "director-2", f"doveadm {command}")
            assert (status, now() - began >= timedelta(seconds=30)) == (75, True)
        assert (await row(ring, "director-1"))["vhosts"] == "100"

    timed(play)


def test_changes_beside_a_hanging_director_are_done_at_once_and_confirmed_never() -> None:
    """The look beside the command sees it done; the command itself says 75 after 30 s. A flush waits for nobody."""

    async def play(ring: PracticeRing, now: Callable[[], datetime]) -> None:
        ring.directors["director-2"].hanging = True
        down = asyncio.create_task(out(ring, "director-1", f"doveadm director down {IP}"))
        await asyncio.sleep(0.3)
        assert (await row(ring, "director-1"))["state"] == "down"
        began = now()
        assert await out(ring, "director-1", f"doveadm director flush {IP}") == (0, "")
        assert now() - began < timedelta(seconds=1)
        for _ in range(10):
            ring.tick()
            await asyncio.sleep(0.1)
        assert ring.users_on("backend-3") == 0
        _, whole = await out(ring, "director-1", "doveadm -f tab director ring status")
        assert "ring syncing - last sync" in whole
        status, said = await down
        assert (status, "Ring sync timed out" in said) == (75, True)

    timed(play)


def test_a_director_that_wakes_hears_the_ring_and_does_what_lies_in_its_socket() -> None:
    """What somebody sent 20 s ago, and nobody waits for any more, is carried out then."""

    async def play(ring: PracticeRing, now: Callable[[], datetime]) -> None:
        hanging = ring.directors["director-2"]
        hanging.hanging = True
        begun = now()
        lost = asyncio.create_task(out(ring, "director-2", f"doveadm director update {IP} 0"))
        beside = asyncio.create_task(out(ring, "director-1", f"doveadm director down {IP}"))
        await asyncio.sleep(20)
        hanging.hanging = False
        assert await lost == (0, "")
        assert await beside == (0, "")
        assert now() - begun < timedelta(seconds=21)
        assert {((await row(ring, name))["vhosts"], (await row(ring, name))["state"]) for name in ring.directors} == {
            ("0", "down")
        }
        assert "ring synced" in (await out(ring, "director-1", "doveadm -f tab director ring status"))[1]

    timed(play)


def test_backends_can_have_tags_and_users_move_within_theirs() -> None:
    async def play(ring: PracticeRing, now: Callable[[], datetime]) -> None:
        del ring
        tagged = PracticeRing(users=30, tags={"backend-1": "a", "backend-2": "b", "backend-3": "b"}, now=now)
        assert (await row(tagged, "director-1"))["tag"] == "b"
        before = tagged.users_on("backend-1")
        tagged.state.change(IP, now=now(), vhosts=0)
        tagged.state.flush(IP, now())
        await asyncio.sleep(1)
        tagged.state.tick(now())
        assert (tagged.users_on("backend-3"), tagged.users_on("backend-1")) == (0, before)
        tagged.restart_all_directors()
        assert (await row(tagged, "director-1"))["tag"] == "b"

    timed(play)


# the metacache


def disabled(backend: Backend) -> None:
    backend.metacache_flush = "disabled"


def stopped_by_hand(backend: Backend) -> None:
    backend.units[FLUSH_UNIT].active = "inactive"


def unit_fails(backend: Backend) -> None:
    backend.units[FLUSH_UNIT].stop_result = "exit-code"


def dovecot_is_killed(backend: Backend) -> None:
    backend.dovecot_unit.stop_result = "timeout"


def masked_while_it_runs(backend: Backend) -> None:
    backend.dovecot_unit.masked = True


@pytest.mark.parametrize(
    "spoil",
    [None, disabled, stopped_by_hand, unit_fails, dovecot_is_killed, masked_while_it_runs],
    ids=lambda spoil: spoil.__name__ if spoil else "clean",
)
def test_a_stop_flushes_only_with_the_flush_unit_and_only_if_both_end_well(spoil: Act | None) -> None:
    """And what is deleted without that is on the list of losses."""

    async def play(ring: PracticeRing, now: Callable[[], datetime]) -> None:
        del now
        backend = ring.backends["backend-3"]
        assert not backend.metacache_flushed, "it serves"
        if spoil:
            spoil(backend)
        await out(ring, "backend-3", "systemctl stop dovecot")
        assert backend.metacache_flushed is (spoil is None)
        await out(ring, "backend-3", "rm -f /var/lib/dovecot/metacache/metacache-users*")
        await out(ring, "backend-3", "find /var/dovecot/vmail -xdev -mindepth 1 -delete")
        assert len(ring.losses) == (0 if spoil is None else 47)
        assert backend.dovecot_unit.result == ("timeout" if spoil is dovecot_is_killed else "success")
        assert backend.units[FLUSH_UNIT].active == ("failed" if spoil is unit_fails else "inactive")
        backend.dovecot_unit.masked = False
        await out(ring, "backend-3", "systemctl start dovecot")
        assert not backend.metacache_flushed

    timed(play)
