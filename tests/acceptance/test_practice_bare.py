"""The bare command: what apt offers and the settings propose, and no run where that is there already."""

from __future__ import annotations

from datetime import timedelta

from bot.core.runs import events as fact
from bot.practice.ring.packages import NEW, OLD
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, Scene
from bot.practice.site import CONFIG, practice_site, propose_a_small_change
from tests.acceptance.practice import answer, ended, facts_of, whole, wording
from tests.forked import forked


async def test_the_bare_command_upgrades_and_typed_again_begins_nothing() -> None:
    """Every package to what apt offers, the configuration to the proposed one; old and new are shown."""
    async with PracticeRing(user_expire=timedelta(seconds=1), login_patience=timedelta(seconds=8)) as ring:
        site = practice_site(ring, proposed=CONFIG)
        async with Scene(site, drain=timedelta(seconds=1), launch=forked) as scene:
            backend = ring.backends["backend-3"]
            propose_a_small_change(scene.configs / CONFIG, backend.disk)
            await scene.start_bot()
            await scene.ask("backend-3")
            flush = await scene.click(SECOND, "approve")
            for name in backend.packages.installed:
                assert f"{name} {OLD} → {NEW}" in await whole(scene, flush)
            assert f"dovecot-core and 2 more: {OLD} → {NEW}" in wording(flush)
            assert "lines +2 -1 in 2 files" in wording(flush)
            await scene.click(SECOND, "approve")
            assert await ended(scene) == "done"
            assert set(backend.packages.installed.values()) == {NEW}
            assert backend.disk.read("/etc/dovecot/conf.d/20-imap.conf") == b"mail_max_userip_connections = 20\n"

            told = await answer(scene, REQUESTER, "backend-3")
            assert "Nothing would change on backend-3, so nothing was begun" in told
            assert f"dovecot-core, dovecot-imapd, dovecot-lmtpd {NEW} is what apt offers there" in told
            assert f"the configuration {CONFIG} is in place" in told
            assert "restart=yes" in told
            assert len(await facts_of(scene, fact.RunRequested)) == 1


async def test_with_the_mirror_gone_the_way_back_for_the_packages_is_said_to_be_none() -> None:
    async with (
        PracticeRing(user_expire=timedelta(seconds=1), login_patience=timedelta(seconds=8)) as ring,
        Scene(practice_site(ring), drain=timedelta(seconds=1), launch=forked) as scene,
    ):
        ring.backends["backend-3"].packages.gone = {OLD}
        await scene.start_bot()
        await scene.ask("backend-3")
        flush = await scene.click(SECOND, "approve")
        assert "no way back for the packages" in wording(flush)
        ring.backends["backend-3"].packages.mirror_away = True
        await scene.click(SECOND, "approve")
        assert await ended(scene) == "done"
