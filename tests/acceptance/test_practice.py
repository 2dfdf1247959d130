"""The whole job on the practice ring and the local Slack, the bot a process: what ran, when, and what is told."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from bot.core.plans.plan import Plan
from bot.core.runs.events import RunRequested
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, THIRD, Scene
from bot.practice.site import CONFIG, PACKAGES
from bot.practice.slack.workspace import Message
from tests.acceptance import practice
from tests.acceptance.practice import BOTH, at_gate, changed, changes, cli, ended, staged, wording
from tests.unit.messages import as_read

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANGE = re.compile(r"Done: Step (\d+) of \d+(?: · runbook (\d+))?")
LINE = re.compile(r"^• \*(\d+)\*(?: · runbook (\d+))?", re.MULTILINE)


def steps_told(message: Message) -> list[tuple[int, int | None]]:
    """The steps that a reply says are done, each with its row of the runbook."""
    found = CHANGE.findall(message.text) or LINE.findall(wording(message))
    return [(int(number), int(row) if row else None) for number, row in found]


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run that went well: when each approval was clicked and on which message, and the users at the beginning."""

    ring: PracticeRing
    scene: Scene
    run: str
    clicks: tuple[tuple[datetime, Message], ...]
    record: str
    plan: Plan


async def approve(scene: Scene, gate: str, user: str) -> tuple[datetime, Message]:
    """Let the question stand until the root message says so too: a bot that does not wait betrays itself meanwhile."""
    asked = await at_gate(scene, gate)
    await scene.slack.until(lambda: f"Waits for the {gate} approval" in wording(scene.root))
    at = datetime.now(UTC)
    await scene.slack.click(user, asked, "approve")
    return at, asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole() -> AsyncIterator[Story]:
    async with staged() as (ring, scene):
        await scene.ask(BOTH)
        clicks = (await approve(scene, "flush", SECOND), await approve(scene, "restore", THIRD))
        assert await ended(scene) == "done"
        run = scene.run
        record = await cli("record", run, "--config", str(scene.settings))
        assert record.status == 0, record.err
        (asked,) = await practice.facts_of(scene, RunRequested)
        yield Story(ring=ring, scene=scene, run=run, clicks=clicks, record=record.out, plan=asked.plan)


async def test_every_changing_command_ran_once_and_in_the_order_of_the_runbook(whole: Story) -> None:
    """The hosts' own log, not the bot's: it has no other command that alters anything."""
    assert changed(whole.ring, whole.run) == practice.WHOLE
    assert {ran.exit_status for ran in changes(whole.ring)} == {0}


async def test_nothing_was_stopped_or_flushed_before_the_first_approval(whole: Story) -> None:
    """The first law. After the click everything up to the restore runs without another one."""
    first = whole.clicks[0][0]
    before = [practice.bare(ran.command) for ran in changes(whole.ring) if ran.at < first]
    assert before == [
        command.replace("RUN", whole.run)
        for _, command in (*practice.DOWNLOAD, *practice.STAGE_CONFIG, *practice.DRAIN)
    ]


async def test_the_backend_got_no_vhosts_and_no_up_before_the_second_approval(whole: Story) -> None:
    """The second law."""
    second = whole.clicks[1][0]
    after = [(ran.host, practice.bare(ran.command)) for ran in changes(whole.ring) if ran.at > second]
    assert after == practice.RESTORE


async def test_the_thread_shows_each_step_in_one_reply_and_both_approvals_in_their_places(whole: Story) -> None:
    told: list[int] = []
    gates: dict[str, int] = {}
    for message in whole.scene.thread:
        told += [number for number, _ in steps_told(message)]
        if found := re.match(r"Approved: ([\w -]+), by <@(\w+)> \(asked for by <@(\w+)>\)", message.text):
            gates[" ".join(found.groups())] = len(told) + len(gates) + 1
    flush = gates[f"take backend-3 down and upgrade it {SECOND} {REQUESTER}"]
    restore = gates[f"give backend-3 its users back {THIRD} {REQUESTER}"]
    steps = [step.name for step in whole.plan.steps]
    assert (steps[flush - 1], steps[restore - 1]) == ("approve-flush", "approve-restore")
    assert sorted([*told, flush, restore]) == list(range(1, len(steps) + 1))
    stages = [whole.plan.stages.index(whole.plan.stage_of(whole.plan.steps[number - 1])) for number in told]
    assert stages == sorted(stages)


async def test_a_whole_runs_thread_has_at_most_forty_replies(whole: Story) -> None:
    """All that stands below the first message, the files too: nobody reads more while a backend is out."""
    assert len(whole.scene.thread) <= 40
    assert sum(len(as_read(wording(one).removeprefix(one.text))) for one in whole.scene.thread) <= 16_000


async def test_every_command_that_changed_a_host_stands_in_the_thread_in_a_reply_of_its_own(whole: Story) -> None:
    """Three hundred characters of it; the record has all."""
    told = [found for one in whole.scene.thread for found in re.findall(r"```\n\$ (.*)\n```", wording(one))]
    told = [html.unescape(one) for one in told]
    ran = [one.command for one in changes(whole.ring)]
    assert [one[:299] for one in told] == [one[:299] for one in ran]
    assert max(map(len, told)) <= 300
    assert all(one in whole.record for one in ran)


async def test_the_thread_shows_all_fourteen_rows_of_the_runbook_in_order(whole: Story) -> None:
    rows = [row for one in whole.scene.thread for _, row in steps_told(one) if row]
    assert list(dict.fromkeys(rows)) == list(range(1, 15))
    assert rows == sorted(rows)


async def test_the_thread_has_no_gap_and_no_repeat_and_its_root_says_how_it_ended(whole: Story) -> None:
    await practice.assert_thread_is_whole(whole.scene)
    done = f"Upgrade backend-3, run {whole.run}: Done."
    await whole.scene.slack.until(lambda: whole.scene.root.text == done)
    assert len([one for one in whole.scene.slack.messages if one.thread_ts in {None, one.ts}]) == 1


async def test_the_difference_to_the_running_configuration_was_posted_as_a_file(whole: Story) -> None:
    texts = [file.text for file in whole.scene.slack.files]
    assert any("-metacache_max_space = 200G" in text and "+metacache_max_space = 400G" in text for text in texts)


async def test_the_approval_shows_how_many_users_are_mapped_and_what_will_run(whole: Story) -> None:
    """Whoever approves has to know how many users the flush will move."""
    assert re.search(r"backend-3 stops with \d+ users mapped to it|no user is mapped", wording(whole.clicks[0][1]))
    (flush, _) = (file.text for file in whole.scene.slack.files if file.name.endswith("-approval.txt"))
    for _, command in practice.TAKE_DOWN:
        assert command in flush


async def test_the_approvals_of_a_whole_run_fit_a_phone(whole: Story) -> None:
    """Twelve lines and 900 characters, the buttons without scrolling."""
    for _, question in whole.clicks:
        # Answered: its last section says how it ended.
        sections = [block["text"]["text"] for block in question.blocks if block["type"] == "section"][:-1]
        text = as_read("\n".join(sections))
        assert len(text.split("\n")) <= 12
        assert len(text) <= 900


async def test_no_mail_user_was_turned_away(whole: Story) -> None:
    assert whole.ring.failed_logins == []
    assert practice.usual(whole.ring)


async def test_the_backend_has_the_new_packages_the_new_configuration_and_a_clean_metacache(whole: Story) -> None:
    backend = whole.ring.backends["backend-3"]
    wanted = dict(pair.split("=", 1) for pair in PACKAGES.split(","))
    assert {name: backend.packages.installed[name] for name in wanted} == wanted
    assert backend.disk.read("/etc/dovecot/conf.d/20-imap.conf") == b"mail_max_userip_connections = 20\n"
    assert backend.disk.read(f"/etc/dovecot.{whole.run}.before/conf.d/20-lmtp.conf") is not None
    assert backend.disk.names("/var/dovecot/vmail") == []
    assert backend.disk.names("/var/lib/dovecot/metacache") == ["instance.id"]
    assert backend.serving
    assert not backend.dovecot_unit.masked


async def test_the_record_says_who_asked_for_what_and_who_approved_what_and_when(whole: Story) -> None:
    assert f"Asked for by: {REQUESTER} in channel" in whole.record
    assert BOTH in whole.record
    for gate, by, (at, asked) in zip(("flush", "restore"), (SECOND, THIRD), whole.clicks, strict=True):
        found = re.search(rf"- (\S+ \S+) UTC: {gate} approved by {by} \(message ([0-9.]+), digest", whole.record)
        assert found is not None
        assert found[2] == asked.ts
        approved = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
        assert abs((approved - at).total_seconds()) < 20


async def test_the_record_has_every_command_with_host_exit_status_and_how_long_it_took(whole: Story) -> None:
    lines = re.findall(r"^- (?:\*\*)?([a-z0-9-]+?)(?:\*\*)?: (`+) ?(.*?) ?\2: exit (\d+), [0-9.]+ ", whole.record, re.M)
    told = [(host, command, int(status)) for host, _, command, status in lines]
    ran = [(one.host, one.command, one.exit_status) for one in changes(whole.ring)]
    assert [one for one in told if not practice.only_looks(one[1])] == ran
    # How changes are sent, and what is asked of a host for that, is said once.
    ran_at_all = {(one.host, one.command) for one in whole.ring.log if one.command not in practice.QUESTIONS}
    assert ran_at_all == {(host, command) for host, command, _ in told}
    assert "Every host refuses a change that comes late" in whole.record


async def test_every_change_goes_in_a_fence_and_on_the_backend_behind_one_lock(whole: Story) -> None:
    sent = changes(whole.ring)
    assert all(one.not_after is not None for one in sent)
    assert len({one.lock for one in sent if one.host == "backend-3"} - {None}) == 1
    assert {one.lock for one in sent if one.host != "backend-3"} == {None}


async def test_the_record_has_the_users_counted_before_and_after(whole: Story) -> None:
    table = whole.record.partition("## Users mapped to the backend")[2].partition("## What happened")[0]
    counts = [[int(cell) for cell in row] for row in re.findall(r"UTC \| (\d+) \| (\d+) \|", table)]
    assert len(counts) >= 2
    assert min(counts[0]) > 0
    assert min(counts[-1]) > 0


async def test_a_run_given_neither_restarts_with_a_clean_metacache_and_says_what_is_left_out() -> None:
    async with staged() as (ring, scene):
        await scene.ask("backend-3 restart=yes")
        await scene.click(SECOND, "approve")
        await scene.click(SECOND, "approve")
        assert await ended(scene) == "done"
        expected = [
            *practice.DRAIN,
            *practice.TAKE_DOWN,
            *practice.CLEAN_METACACHE,
            *practice.START,
            *practice.RESTORE,
        ]
        assert changed(ring) == expected
        said = wording(scene.thread[0])
        assert re.search(r"install-packages.*packages", said)
        assert re.search(r"install-config.*config", said)
        assert CONFIG not in "".join(wording(one) for one in scene.thread)


async def test_a_site_without_metacache_is_not_cleaned_and_needs_no_flush_unit() -> None:
    """Debian's Dovecot has neither: no step may look for it. Its users are moved first, and none fails a login."""
    async with staged(metacache=False) as (ring, scene):
        await scene.ask(f"backend-3 config={CONFIG} packages=keep")
        await scene.click(SECOND, "approve")
        await scene.click(SECOND, "approve")
        assert await ended(scene) == "done"
        expected = [
            *practice.STAGE_CONFIG,
            *practice.DRAIN,
            *practice.MOVE_FIRST,
            *practice.INSTALL_CONFIG,
            *practice.START,
            *practice.RESTORE,
        ]
        assert changed(ring, scene.run) == expected
        assert ring.failed_logins == []
        assert not ring.ran("metacache")
        said = wording(scene.thread[0])
        for step in ("metacache-is-flushed-at-stop", "remove-old-metacache-database", "clean-metacache"):
            assert step in said
