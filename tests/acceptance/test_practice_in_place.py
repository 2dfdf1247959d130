"""The configuration in place, through Slack: what was changed on the host is asked about again, what stays is said."""

from __future__ import annotations

from bot.core.runs import events as fact
from bot.practice.scene import REQUESTER, SECOND
from bot.practice.site import CONFIG
from tests.acceptance import practice
from tests.acceptance.practice import answer, at_gate, changed, ended, facts_of, staged, tree, whole, wording

HOTFIX = "conf.d/99-hotfix.conf"


async def test_a_hotfix_that_comes_while_the_question_is_open_is_asked_about_again_by_its_name() -> None:
    """The second engineer who clicks has seen the configuration of before."""
    async with staged() as (ring, scene):
        host = ring.backends["backend-3"]
        closed = host.disk.look("/etc/dovecot/local.conf")
        assert closed is not None
        closed.group, closed.mode = "dovecot", 0o640
        await scene.ask(f"backend-3 config={CONFIG}")
        asked = await whole(scene, await at_gate(scene, "flush"))
        assert "/etc/dovecot difference none" in asked
        assert "new conf.d/20-imap.conf root:root 644 as those beside it" in asked
        assert "Configuration in place" in asked
        host.disk.write(f"/etc/dovecot/{HOTFIX}", "mail_max_userip_connections = 5\n")
        before = len(ring.log)
        await scene.click(SECOND, "approve")
        again = await scene.click(SECOND, "approve")
        assert f"added {HOTFIX}" in wording(again)
        (lapsed,) = [one for one in scene.thread if "cannot be used any more" in wording(one)]
        why = "the configuration in place is another one: backend-3: /etc/dovecot difference is added"
        assert f"{why} {HOTFIX}" in wording(lapsed)
        await scene.click(SECOND, "approve")
        assert await ended(scene) == "done"
        assert len(await facts_of(scene, fact.ApprovalLapsed)) == 1
        assert changed(ring, scene.run, before)[: len(practice.TAKE_DOWN)] == practice.TAKE_DOWN
        assert f"/etc/dovecot/{HOTFIX}" not in tree(ring)
        put = host.disk.look("/etc/dovecot/local.conf")
        assert put is not None
        assert (put.owner, put.group, put.mode) == ("root", "dovecot", 0o640)


async def test_a_refused_run_says_in_thread_and_list_which_copy_stays_on_the_host() -> None:
    async with staged() as (ring, scene):
        scene.propose("broken", {"dovecot.conf": b"protocols = imap\nBROKEN = yes\n"})
        await scene.ask("backend-3 config=broken packages=keep")
        assert await ended(scene) == "refused"
        copy = f"/etc/dovecot.{scene.run}.proposed"
        assert tree(ring, copy) != {}
        told = wording(scene.thread[-1])
        assert f"to {copy}" in told
        assert "nothing that serves mail was changed" in told
        assert f"to {copy}" in await answer(scene, REQUESTER, "list")
