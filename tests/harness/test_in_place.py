"""What is replaced is what the approval showed: else it is asked again. What packages change and what stays is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.library import procedures_folder, read_library
from bot.practice.machine.files import File
from bot.practice.site import CONFIG, PACKAGES
from bot.practice.values import Answer, Call, Program, failed
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN
from tests.harness.shown import HOTFIX, asked, hotfix

ONLY_CONFIG = f"backend-3 config={CONFIG} packages=keep"
ONLY_PACKAGES = f"backend-3 packages={PACKAGES}"


def closes(play: Drill, path: str) -> None:
    """The same, of who may read a file."""
    node = play.backend.disk.look(f"{path}/dovecot.conf")
    assert node is not None
    node.mode = 0o600


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot", "mask-dovecot", "install-packages"])
@from_step()
async def test_what_was_changed_on_the_host_after_the_approval_is_asked_about_again_before_it_is_replaced(
    play: Drill,
    step: str,
) -> None:
    """Seen: a hotfix that came while the run was under way was replaced, and nobody had been told of it."""
    hotfix(play)
    await play.asks()
    assert asked(play) == ["approve-flush", step]
    assert play.sent(step) == []
    (lapsed,) = play.facts(fact.ApprovalLapsed)
    assert lapsed.reason.endswith(f"difference is added {HOTFIX}, expected none")
    assert f"added {HOTFIX}" in play.thread(fact.ApprovalAsked)[-1]
    assert await play.ends() == "done"
    assert len(play.facts(fact.ApprovalLapsed)) == 1
    assert play.broken() == []


@virtually
async def test_without_packages_it_is_so_up_to_the_swap() -> None:
    async with a_run(text=ONLY_CONFIG) as play:
        await play.reaches("install-config")
        hotfix(play)
        await play.asks()
        assert asked(play) == ["approve-flush", "install-config"]
        assert await play.ends() == "done"


@virtually
async def test_owners_that_were_changed_since_the_copy_was_made_are_asked_about_and_mended_before_the_swap() -> None:
    """In place with the modes of this morning, it could be read by those whom a colleague has just shut out."""
    async with a_run(text=ONLY_CONFIG) as play:
        await play.reaches("install-config")
        closes(play, "/etc/dovecot")
        await play.asks()
        assert "dovecot.conf is root:root 600, was root:root 644" in play.thread(fact.ApprovalLapsed)[-1]
        await play.approve()
        run = await play.held()
        assert run.reason.startswith("not begun")
        assert "dovecot.conf is root:root 644, and as on the host it is root:root 600" in run.reason
        closes(play, f"/etc/dovecot.{RUN}.proposed")
        await play.retry()
        assert await play.ends() == "done"


@virtually
async def test_a_swap_that_was_cut_in_the_middle_is_finished() -> None:
    """There is nothing in place then, and nothing to hold the copy against."""
    async with a_run(text=ONLY_CONFIG) as play:
        await play.reaches("install-config")
        play.backend.programs["mv"] = half_done(play.backend.programs["mv"])
        run = await play.held()
        assert run.step is not None
        assert run.step.name == "install-config"
        assert play.backend.disk.look("/etc/dovecot") is None
        await play.retry()
        assert await play.ends() == "done"


def half_done(usual: Program) -> Program:
    """The first `mv` is done, the second fails; from the third on all is as usual."""
    calls: list[Call] = []

    def word(call: Call) -> Answer | Awaitable[Answer]:
        calls.append(call)
        return failed(1, "mv: interrupted") if len(calls) == 2 else usual(call)

    return word


@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_users_who_wait_for_a_stopped_dovecot_are_moved_first(play: Drill, step: str) -> None:
    """They wait for that click otherwise; what was changed is asked about once they are away."""
    hotfix(play)
    await play.asks()
    assert asked(play) == ["approve-flush", "mask-dovecot"]
    assert len(play.sent(step)) == 1
    assert await play.ends() == "done"


@from_step("drain")
async def test_what_was_changed_before_the_question_is_shown_with_it(play: Drill) -> None:
    """The comparison is from before the drain."""
    hotfix(play)
    await play.asks()
    (question,) = play.facts(fact.ApprovalAsked)
    assert any(f"/etc/dovecot difference added {HOTFIX}" in line for line in question.evidence)
    assert await play.ends() == "done"
    assert play.facts(fact.ApprovalLapsed) == []


@from_step("approve-flush")
async def test_a_change_between_the_question_and_the_click_is_not_approved_by_it(play: Drill) -> None:
    await play.asks()
    hotfix(play)
    await play.approve()
    await play.asks()
    assert asked(play) == ["approve-flush", "stop-lmtp"]


@from_step("stop-lmtp")
async def test_while_nothing_is_changed_nobody_is_asked_twice_and_a_touch_is_no_change(play: Drill) -> None:
    node = play.backend.disk.look("/etc/dovecot/dovecot.conf")
    assert isinstance(node, File)
    node.changed += timedelta(minutes=5)
    assert await play.ends() == "done"
    assert asked(play) == ["approve-flush"]


@from_step("stop-lmtp")
async def test_where_it_cannot_be_seen_what_is_in_place_the_run_holds(play: Drill) -> None:
    """What is not read is not as it was shown."""
    kept = play.backend.disk.remove("/etc/dovecot")
    assert kept is not None
    run = await play.held()
    assert "what is there now cannot be read" in run.reason
    assert play.sent("stop-lmtp") == []


@virtually
async def test_a_run_without_config_asks_nobody_about_the_configuration() -> None:
    """It stays as it is."""
    async with a_run(text=ONLY_PACKAGES) as play:
        await play.reaches("stop-dovecot")
        hotfix(play)
        assert await play.ends() == "done"
        assert asked(play) == ["approve-flush"]


@pytest.mark.parametrize(
    "text", [f"backend-3 config={CONFIG} packages={PACKAGES}", ONLY_PACKAGES], ids=["config", "packages-only"]
)
@virtually
async def test_what_the_packages_change_in_the_configuration_is_told(text: str) -> None:
    """Nobody has approved it; with a proposed configuration it is replaced with the rest."""
    async with a_run(text=text) as play:
        await play.reaches("install-packages")

        def unpacks() -> None:
            play.backend.disk.write("/etc/dovecot/conf.d/15-new.conf", "# new\n")
            play.backend.disk.remove("/etc/dovecot/conf.d/20-lmtp.conf")

        play.backend.packages.unpacks = unpacks
        assert await play.ends() == "done"
        told = [one for one in play.facts(fact.StepDone) if one.step == "config-after-packages"]
        said = "backend-3: /etc/dovecot difference added conf.d/15-new.conf; removed conf.d/20-lmtp.conf"
        assert [one.reason for one in told] == [said]
        assert any(said in one for one in play.thread(fact.StepDone))
        assert asked(play) == ["approve-flush"]


@from_step("mask-dovecot")
async def test_a_bot_that_was_away_judges_what_is_in_place_as_well(play: Drill) -> None:
    play.stop_bot()
    hotfix(play)
    await asyncio.sleep(10)
    await play.start_bot()
    await play.asks()
    assert asked(play)[0] == "approve-flush"
    assert len(asked(play)) == 2
    assert await play.ends() == "done"


# owners and modes on the way


@virtually
async def test_the_configuration_that_is_put_in_place_is_whose_the_old_one_was() -> None:
    """As the practice hosts have it: what is there keeps its owners, what is new is as its neighbours."""
    async with a_run() as play:
        for path, group, mode in (("dovecot.conf", "dovecot", 0o640), ("conf.d", "mail", 0o750)):
            node = play.backend.disk.look(f"/etc/dovecot/{path}")
            assert node is not None
            node.group, node.mode = group, mode
        assert await play.ends() == "done"
        found = {path: play.backend.disk.look(f"/etc/dovecot/{path}") for path in ("dovecot.conf", "conf.d")}
        assert [(one.group, one.mode) for one in found.values() if one] == [("dovecot", 0o640), ("mail", 0o750)]


@virtually
async def test_the_way_back_brings_the_old_one_with_its_owners() -> None:
    async with a_run() as play:
        await play.until(lambda run: run.step is not None)
        before = await nodes(play)
        await play.reaches("approve-restore")
        await play.asks()
        await play.go_back()
        assert await play.ends() == "went back"
        assert await nodes(play) == before


async def nodes(play: Drill) -> list[tuple[str, str, str, int]]:
    found = play.backend.disk.tree("/etc/dovecot")
    return [(path, node.owner, node.group, node.mode) for path, node in found]


@virtually
async def test_a_procedure_of_a_sites_own_that_copies_without_owners_goes_on_as_it_did(tmp_path: Path) -> None:
    """Its literal command says so, and its proof is the digest with the folder's own modes."""
    for path in procedures_folder().glob("*.yaml"):
        text = path.read_text().replace("--same-owner --same-permissions --file", "--no-same-owner --file")
        text = re.sub(r" *- \{probe: ownership, .*difference: none\}\n", "", text)
        text = re.sub(r" *only_if: \{probe: ownership, [^}]*\}[^}]*\}[^}]*\}\n", "", text)
        text = text.replace('contents: "{config.contents}"', 'digest: "{config.digest}"')
        (tmp_path / path.name).write_text(text)
    own = read_library(tmp_path).procedures
    async with a_run(lambda catalogue: replace(catalogue, procedures=own)) as play:
        stage = play.step("stage-config")
        assert isinstance(stage, PlannedChange)
        assert "--no-same-owner" in str(stage.action)
        assert await play.ends() == "done"
        node = play.backend.disk.look("/etc/dovecot/dovecot.conf")
        assert node is not None
        assert (node.owner, node.group, node.mode) == ("root", "root", 0o644)


@pytest.mark.parametrize("text", [ONLY_CONFIG, ONLY_PACKAGES, "backend-3 restart=yes"])
def test_a_configuration_that_cannot_be_read_is_found_out_before_anybody_drains(text: str) -> None:
    """Every approval reads it, also of a run that leaves it alone."""

    @virtually
    async def whole() -> None:
        async with a_run(text=text, spoil=lambda play: play.becomes_a_link("/etc/dovecot")) as play:
            run = await play.until(lambda run: run.status in {Status.ENDED, Status.ASKING})
            assert (run.outcome, play.began("director update")) == (fact.Outcome.REFUSED, [])
            assert "/etc/dovecot" in run.reason

    whole()
