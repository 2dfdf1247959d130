"""Users are moved before anything stops, on a real ring: no login fails, and no mail is deferred.

But for what the backend is just answering as its users are moved: the directors themselves say so of it, and there is
no more of it than logins are under way at one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from bot.practice.scene import Scene, executed
from tests.acceptance.realring import (
    PACKAGES,
    at_work,
    installed,
    lab_for_the_bot,
    mapped,
    outcome_as_users_come,
    put_back,
)
from tests.chaos.facts import FactWatch
from tests.lab import Lab
from tests.lab.deliveries import Deliveries, Delivery
from tests.lab.fixtures import FOR_AS_LONG_AS_IT_TAKES
from tests.lab.users import Login, MailUsers, cut_by_moves

Kill = Callable[[Scene], Awaitable[None]]

MOVE_FIRST = "move-first"
CONTROL = 300
"""Logins, and mails, that are seen to do well before the run."""
MANY = 12
"""Of the sixty users, a third come to each backend: fewer than this to be moved would show little."""
DOWN = 5.0
"""Seconds that the bot is gone."""
AT_ONCE = timedelta(seconds=1)
"""Within this all kicks of one flush come: it moves up to 100 users at a time, and there are fewer here."""

UPLOADED = "/tmp/uploaded"
PRO = f"""
mv /usr/bin/doveadm /usr/bin/doveadm.real
cat >/usr/bin/doveadm <<'END'
#!/bin/sh
[ "$*" = "metacache flushall" ] || exec /usr/bin/doveadm.real "$@"
touch {UPLOADED}
END
chmod 755 /usr/bin/doveadm
"""
"""Dovecot Pro's own command, which Debian's does not have."""
NOT_PRO = f"[ ! -e /usr/bin/doveadm.real ] || mv /usr/bin/doveadm.real /usr/bin/doveadm; rm -f {UPLOADED}"


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    # Whoever is mapped stays so: else there might be nobody left to be moved.
    with lab_for_the_bot(user_expire=FOR_AS_LONG_AS_IT_TAKES, take_down=MOVE_FIRST) as running:
        yield running


@pytest.fixture
async def lab(module_lab: Lab) -> AsyncIterator[Lab]:
    module_lab.run("backend-3", PRO, check=True)
    # Nobody is mapped any more, so that all users come to where their names' hashes lead, some of them to backend-3.
    module_lab.run("director-1", "doveadm director flush -F all", check=True)
    yield module_lab
    await asyncio.to_thread(put_back, module_lab, {"backend-3": NOT_PRO})


async def until(holds: Callable[[], bool], within: float = 120.0) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.05)


async def seen_to_do_well(users: MailUsers, mails: Deliveries) -> None:
    """The control: the same load, and no run."""
    logins, delivered = len(users.logins), len(mails.attempts)
    await until(lambda: len(users.logins) >= logins + CONTROL and len(mails.attempts) >= delivered + CONTROL)
    assert users.failed() == []
    assert mails.failed() == []


@dataclass(frozen=True, kw_only=True)
class Felt:
    """What failed from the first fact of a run to its last; `cut`: by the move, as the directors themselves say."""

    moved: int
    failed: Sequence[Login]
    cut: Sequence[Login]
    deferred: Sequence[Delivery]

    def __str__(self) -> str:
        cut = f" ({len(self.cut)} more cut by the move itself)" if self.cut else ""
        return f"{self.moved} moved, {len(self.failed)} failed{cut}, {len(self.deferred)} deferred"


def under_way(logins: Sequence[Login]) -> int:
    """The most that were under way at one moment."""
    return max(sum(one.at <= other.at <= one.at + one.took for one in logins) for other in logins)


async def felt(lab: Lab, text: str, kill: Kill) -> Felt:
    """One run under users and deliveries, once these alone were seen to do well; the bot is killed or not."""
    before = await asyncio.to_thread(cut_by_moves, lab)
    async with (
        at_work(lab, take_down=MOVE_FIRST, launch=executed) as scene,
        MailUsers(lab) as users,
        Deliveries(lab) as mails,
    ):
        await seen_to_do_well(users, mails)
        at_most = under_way(list(users.logins))
        moved = await asyncio.to_thread(mapped, lab)
        began = datetime.now(UTC)
        await scene.ask(text)
        await kill(scene)
        assert await outcome_as_users_come(lab, scene) == "done"
        ended = datetime.now(UTC)
    by_moves = await asyncio.to_thread(cut_by_moves, lab) - before
    failed = users.failed(began, ended)
    cut = [one for one in failed if one.cut_short and by_moves[one.director, one.user] and let_in_next(users, one)]
    assert len({one.user for one in cut}) == len(cut), "each is moved once"
    # A user who is being moved waits; only what was under way as the one flush came is cut.
    assert len(cut) <= at_most, f"{len(cut)} logins cut, and at most {at_most} were under way at one moment: {cut}"
    assert not cut or max(one.at for one in cut) <= min(one.at + one.took for one in cut) + AT_ONCE, cut
    others = [one for one in failed if one not in cut]
    return Felt(moved=moved, failed=others, cut=cut, deferred=mails.failed(began, ended))


def let_in_next(users: MailUsers, failed: Login) -> bool:
    return next((one.ok for one in users.logins if one.user == failed.user and one.at > failed.at), False)


async def test_a_package_upgrade_that_moves_first_fails_no_login_and_defers_no_mail(
    lab: Lab, measured: Callable[[str], None]
) -> None:
    """From the first fact to the last; in the runbook's order, all users that are mapped fail a login."""
    version = await asyncio.to_thread(lab.other_version, "backend-3")
    packages = ",".join(f"{name}={version}" for name in PACKAGES)

    async def nobody_kills(_scene: Scene) -> None:
        """It is left to itself."""

    seen = await felt(lab, f"backend-3 packages={packages}", nobody_kills)
    measured(f"move-first, a package upgrade: {seen}")
    assert await asyncio.to_thread(installed, lab) == version
    assert lab.run("backend-3", f"test -e {UPLOADED}").returncode == 0
    assert seen.moved >= MANY
    assert (seen.failed, seen.deferred) == ([], [])


KILLS = {
    "StepStarted:move-users": "StepDone:move-users",
    "StepDone:stop-lmtp": "StepDone:stop-dovecot",
    "StepDone:stop-dovecot": "StepDone:flush-users",
}
"""In the move, once LMTP is stopped, once dovecot is stopped: the fact at which it is killed, and what has not come."""


async def test_a_bot_killed_in_the_move_and_twice_in_the_take_down_fails_no_login_and_defers_no_mail(
    lab: Lab, measured: Callable[[str], None]
) -> None:
    """In the runbook's order its users wait for as long as the bot is away."""

    async def kill(scene: Scene) -> None:
        # A bot that is started goes on before it is known to have started, and the next fact may come by then.
        starting = asyncio.create_task(asyncio.sleep(0))
        with closing(FactWatch(scene.folder / "journal.db")) as facts:
            for name, still_to_come in KILLS.items():
                async with asyncio.timeout(120):
                    await facts.until(name)
                await scene.kill_bot()
                with suppress(RuntimeError):  # it was killed as it started
                    await starting
                assert still_to_come not in facts.look(), f"killed too late after {name}"
                await asyncio.sleep(DOWN)
                starting = asyncio.create_task(scene.start_bot())
        await starting

    seen = await felt(lab, "backend-3 restart=yes", kill)
    measured(f"move-first, killed three times: {seen}")
    assert seen.moved >= MANY
    assert (seen.failed, seen.deferred) == ([], [])
