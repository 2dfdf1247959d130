"""The restore approval shows packages and configuration as they are read then, not as the run once made them.

Hours may lie between: a hold, a night. `unattended-upgrades` and Puppet act meanwhile, and the backend is about to get
its users.
"""

from __future__ import annotations

import pytest

from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import ApprovalAsked
from bot.practice.ring.packages import OLD
from tests.examples import named
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.shown import NEWER, Happens, hotfix, is_upgraded_further, upgrades_itself


def question(play: Drill) -> ApprovalAsked:
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert asked.gate is Gate.RESTORE
    return asked


FORWARD: dict[Happens, tuple[str, str]] = {
    is_upgraded_further: (NEWER, f"dovecot-core and 2 more: {OLD}"),
    hotfix: ("/etc/dovecot", "configuration "),
}
"""What happens: what the alarm names, and how the line begins that would be false now."""


@pytest.mark.parametrize("happens", FORWARD, ids=named)
@virtually
async def test_what_has_changed_since_the_run_made_it_is_an_alarm_and_no_line_claims_it(happens: Happens) -> None:
    alarm, claim = FORWARD[happens]
    async with a_run() as play:
        await play.reaches("test-user-reads-mail")
        happens(play)
        await play.reaches("approve-restore")
        await play.asks()
        asked = question(play)
        assert any(one.startswith("not as it was left: ") and alarm in one for one in asked.alarms)
        assert not any(line.startswith(claim) for line in asked.brief)
        assert await play.ends() == "done", "whoever was shown it may approve it"


@from_step("approve-restore")
async def test_where_nothing_has_changed_both_are_shown_and_nothing_is_an_alarm(play: Drill) -> None:
    await play.asks()
    for _, claim in FORWARD.values():
        assert any(line.startswith(claim) for line in question(play).brief)
    assert question(play).alarms == ()


@pytest.mark.parametrize("happens", [upgrades_itself, hotfix], ids=named)
@from_step("approve-restore")
async def test_on_the_way_back_too(play: Drill, happens: Happens) -> None:
    await play.asks()
    await play.go_back()
    await play.reaches("test-user-reads-mail")
    happens(play)
    await play.reaches("approve-restore")
    await play.asks()
    asked = question(play)
    assert any(one.startswith("not as it was left: ") for one in asked.alarms)
    assert "packages and configuration as before the run" not in asked.brief
    assert await play.ends() == "went back"


@virtually
async def test_a_restart_claims_nothing_of_packages_and_configuration_but_that_it_changed_none() -> None:
    async with a_run(text="backend-3 restart=yes") as play:
        await play.reaches("test-user-reads-mail")
        upgrades_itself(play)
        await play.reaches("approve-restore")
        await play.asks()
        assert "this run has changed neither packages nor configuration" in question(play).brief
