"""Others act while a backend is out, on a real ring: no user loses the last backend, and no mail its flags."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.practice.scene import REQUESTER, SECOND, Scene
from tests.acceptance.practice import at_gate, wording
from tests.acceptance.realring import FLUSH_UNIT, altered, at_work, by_hand, lab_for_users, mapped, put_back
from tests.lab import Lab, wait_for
from tests.lab.users import MailUsers
from tests.patience import SECONDS

A_SECOND = timedelta(seconds=1)

STOPPED, GO = "/tmp/lmtp-is-stopped", "/tmp/go"
LATE_ANSWER = f"""
mv /usr/bin/doveadm /usr/bin/doveadm.real
cat >/usr/bin/doveadm <<'END'
#!/bin/bash
[ "$*" = "service stop lmtp" ] || exec /usr/bin/doveadm.real "$@"
/usr/bin/doveadm.real "$@" && touch {STOPPED}
until [ -e {GO} ]; do sleep 0.05; done
END
chmod 755 /usr/bin/doveadm
"""
IN_TIME = f"[ ! -e /usr/bin/doveadm.real ] || mv /usr/bin/doveadm.real /usr/bin/doveadm; rm -f {STOPPED} {GO}"


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    with lab_for_users() as running:
        yield running


@pytest.fixture
async def lab(module_lab: Lab) -> AsyncIterator[Lab]:
    yield module_lab
    await asyncio.to_thread(put_back, module_lab, {"backend-3": IN_TIME})


async def holding(scene: Scene) -> str:
    """Wait until the run holds; returns what it says of why."""
    await scene.slack.until(lambda: scene.open_buttons("retry"))
    return wording(scene.open_buttons("retry")[-1])


async def more_logins(users: MailUsers, count: int) -> None:
    """Let so many more people log in, or fail to."""
    before = len(users.logins)
    async with asyncio.timeout(SECONDS):
        while len(users.logins) < before + count:
            await asyncio.sleep(0.05)


async def test_a_bot_killed_after_the_stop_of_lmtp_does_not_stop_what_has_become_the_only_backend(
    lab: Lab, measured: Callable[[str], None]
) -> None:
    """Started again, it went on with a verdict of before: it stopped, downed and flushed the only serving backend."""
    await asyncio.to_thread(lab.run, "backend-3", LATE_ANSWER, check=True)
    async with at_work(lab, drain=A_SECOND) as scene, MailUsers(lab, count=20) as users:
        await scene.ask("backend-3 restart=yes")
        stopped = lambda: lab.run("backend-3", ["test", "-e", STOPPED]).returncode == 0  # noqa: E731
        await asyncio.to_thread(wait_for, "LMTP is stopped", stopped)
        await scene.kill_bot()
        since = datetime.now(UTC)
        words = "update backend-3 100", "update backend-1 0", "update backend-2 0"
        await asyncio.to_thread(by_hand, lab, *words)
        await asyncio.to_thread(lab.run, "backend-3", f"touch {GO}", check=True)
        await scene.start_bot()
        said = await holding(scene)
        await more_logins(users, 20)
        changed = await asyncio.to_thread(altered, lab, since)
    measured(f"{len(users.logins)} logins, failed: {len(users.failed())}")
    assert changed == []
    assert users.failed() == []
    assert lab.run("backend-3", "systemctl is-active dovecot").stdout.strip() == "active"
    assert "no other backend can be used" in said


async def test_a_verified_backend_that_carries_all_users_is_left_alone_and_people_are_called(
    lab: Lab, measured: Callable[[str], None]
) -> None:
    """The watch set it to 0, down, and flushed it: 1,103 failed logins in 25 s."""
    async with at_work(lab, approves=False, drain=A_SECOND) as scene, MailUsers(lab, count=30) as users:
        await scene.ask("backend-3 restart=yes")
        await scene.click(SECOND, "approve")
        await at_gate(scene, "restore")
        since = datetime.now(UTC)
        await asyncio.to_thread(by_hand, lab, "down backend-1", "down backend-2")
        await asyncio.to_thread(
            by_hand, lab, "update backend-3 100", "up backend-3", "flush backend-1", "flush backend-2"
        )
        for name in ("backend-1", "backend-2"):
            await asyncio.to_thread(lab.run, name, "systemctl stop dovecot", check=True)
        given = datetime.now(UTC)
        said = await holding(scene)
        await more_logins(users, 30)
        changed = await asyncio.to_thread(altered, lab, since)
        carried = await asyncio.to_thread(mapped, lab)
        called = [one.text for one in scene.thread if "No other backend can be used" in one.text]
    failed = f"{len(users.failed(since, given))} while they were moved, {len(users.failed(given))} after it"
    measured(f"{len(users.logins)} logins, failed: {failed}")
    assert changed == []
    assert users.failed(given) == []
    assert carried >= 20
    assert len(called) == 1
    assert "<!subteam" in called[0]
    assert "no other backend can be used" in said


async def test_nothing_is_deleted_when_the_flush_failed_at_the_stop_and_dovecot_cannot_be_started_meanwhile(
    lab: Lab,
) -> None:
    """What was not flushed is there only, and going back has it read again. The users are moved all the same."""
    drop_in = f"/etc/systemd/system/{FLUSH_UNIT}.service.d"
    failing = f"mkdir {drop_in}; printf '[Service]\\nExecStop=\\nExecStop=/bin/false\\n' >{drop_in}/failing.conf"
    await asyncio.to_thread(lab.run, "backend-3", f"{failing}; systemctl daemon-reload", check=True)
    before = await asyncio.to_thread(kept, lab)
    async with at_work(lab, drain=A_SECOND) as scene:
        await scene.ask("backend-3 restart=yes")
        said = await holding(scene)
        assert "nothing is deleted: the metacache was not seen to be flushed" in said
        assert await asyncio.to_thread(mapped, lab) == 0
        refused = await asyncio.to_thread(lab.run, "backend-3", "systemctl start dovecot")
        assert (refused.returncode, "Unit dovecot.service is masked." in refused.stderr) == (1, True)
        assert await asyncio.to_thread(kept, lab) == before
        held = await scene.question("go_back")
        await scene.slack.fill_in(REQUESTER, held, "go_back", "it does not get well")
        active = lambda: lab.run("backend-3", "systemctl is-active dovecot").returncode == 0  # noqa: E731
        await asyncio.to_thread(wait_for, "dovecot runs again", active)
    assert await asyncio.to_thread(kept, lab) == before


def kept(lab: Lab) -> str:
    """The metacache's files."""
    return lab.run("backend-3", "find /var/dovecot/vmail /var/lib/dovecot/metacache | sort", check=True).stdout
