"""What people type when no run is under way: every mistake gets a clear answer, and no host is touched."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, STRANGER, Scene
from bot.practice.site import CONFIG
from tests.acceptance import practice
from tests.acceptance.practice import BOTH, answer, changed, staged, wording

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stage = tuple[PracticeRing, Scene]
NEITHER = "is neither a backend nor one of the words below; nothing was begun"
NOT_A_BACKEND = "is not the name of a backend"
NOT_UNDERSTOOD = 'BACKEND [config=NAME|keep] [packages=NAME=VERSION,…|keep] [restart=yes] [reason="…"] [ticket=…]'
NOT_A_CONFIG = "is not a name: letters, digits, dot, dash and underscore, no path"
NOT_PACKAGES = "packages= takes NAME=VERSION,…; this is none"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


def assert_untouched(stage: Stage) -> None:
    """No host heard of it, and no run was begun."""
    ring, scene = stage
    assert ring.log == []
    assert scene.slack.messages == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("backend-9", "The backends: backend-1, backend-2, backend-3."),
        ("all", "The backends: backend-1, backend-2, backend-3."),
        ("director-1", "The backends: backend-1, backend-2, backend-3."),
        ("192.0.2.13", "The backends: backend-1, backend-2, backend-3."),
        ("-F", NEITHER),
        ("backend-3;reboot", NEITHER),
        ("backend-3|sh", "Did you mean `/dovecot-upgrade backend-3`?"),
        ("$(reboot)", NEITHER),
        ("`reboot`", NEITHER),
        ("'backend-3'", "Did you mean `/dovecot-upgrade backend-3`?"),
        ("../backend-3", "Did you mean `/dovecot-upgrade backend-3`?"),
        ("BACKEND-3", "Did you mean `/dovecot-upgrade backend-3`?"),
        ("backend-3\u200b", "Did you mean `/dovecot-upgrade backend-3`?"),
        ("Backend-3", "Did you mean `/dovecot-upgrade backend-3`?"),
        ("backnd-3 config=spring", "Did you mean `/dovecot-upgrade backend-3 …`?"),
        ("stauts", "Did you mean `/dovecot-upgrade status`?"),
        ("abrot backend-3", "Did you mean `/dovecot-upgrade abort …`?"),
        ("please upgrade backend-3", "The backend comes first: `/dovecot-upgrade backend-3 …`"),
        ("packages=keep backend-3", "The backend comes first: `/dovecot-upgrade backend-3 …`"),
        ("upgrade", NEITHER),
        ("upgrade", "/dovecot-upgrade status"),
        ("backend-3 config", "config needs its value right behind it: config=NAME or config=keep"),
        ("backend-3 config=", "config needs its value right behind it: config=NAME or config=keep"),
        ("backend-3 config keep", "config needs its value right behind it: config=NAME or config=keep"),
        ("backend-3 pakages=keep", "Did you mean packages=NAME=VERSION,… or packages=keep?"),
        ("backend-3 tickt=OPS-1", "Did you mean ticket=…?"),
        ("backend-3 force=yes", NOT_UNDERSTOOD),
        ("backend-3 backend-2", NOT_UNDERSTOOD),
        ("backend-3 ; reboot", NOT_UNDERSTOOD),
        (f"backend-3 config={CONFIG} config={CONFIG}", "config is given twice"),
        ("backend-3 config=never-made", f"There are: {CONFIG}."),
        ("backend-3 config=../../etc", NOT_A_CONFIG),
        ("backend-3 config=/etc/dovecot", NOT_A_CONFIG),
        ("backend-3 config=..", NOT_A_CONFIG),
        ("backend-3 config=$(reboot)", NOT_A_CONFIG),
        ("backend-3 config=a;reboot", NOT_A_CONFIG),
        ("backend-3 packages=dovecot-core", NOT_PACKAGES),
        ("backend-3 packages=dovecot-core=1;reboot", NOT_PACKAGES),
        ("backend-3 packages=dovecot-core=1,", NOT_PACKAGES),
        ("backend-3 packages=--reinstall=1", NOT_PACKAGES),
        ("backend-3 packages=dovecot-core=1,dovecot-core=2", "names a package twice"),
        ("plan", "Which backend?"),
        ("plan backnd-3", "Did you mean backend-3?"),
        ("plan Backend-3", "Did you mean backend-3?"),
        ("plan backend-9", "There are: backend-1, backend-2, backend-3."),
        ("plan $(reboot)", NOT_A_BACKEND),
        ("abort", "Which run?"),
        ("abort ../../journal", "Which run?"),
        ("abort r234567", "There is no run r234567"),
        ("abort backend-3", "`abort` takes a run's id, and no run is open on backend-3"),
        ("abort r234567 now", "`abort` takes a run's id, and nothing more"),
        ("release Backend-3 looked", "`release` takes a run's id, and no run is damaged on backend-3"),
        ("repost", "Which run?"),
        ("repost r234567", "There is no run r234567"),
        ("status", "there are none"),
        ("list", "there are none"),
        ("list foo", "`list` takes nothing more: what stands behind it was not looked at"),
        ("list foo", "there are none"),
    ],
)
async def test_what_is_wrong_is_said_and_what_would_be_right(stage: Stage, text: str, expected: str) -> None:
    told = await answer(stage[1], REQUESTER, text)
    assert expected in told
    assert_untouched(stage)


async def test_what_somebody_typed_cannot_call_everybody_when_it_is_said_back(stage: Stage) -> None:
    told = await answer(stage[1], REQUESTER, "plan <!channel>")
    assert NOT_A_BACKEND in told
    assert "<!channel>" not in told
    assert_untouched(stage)


@pytest.mark.parametrize("text", ["help", "HELP me"])
async def test_help_shows_every_sub_command(stage: Stage, text: str) -> None:
    told = await answer(stage[1], REQUESTER, text)
    for word in (
        "backend-3",
        "backend-3 packages=NAME=VERSION,… config=NAME",
        "plan",
        "status",
        "list",
        "abort RUN",
        "repost RUN",
        "release RUN REASON",
    ):
        assert f"/dovecot-upgrade {word}" in told
    assert_untouched(stage)


async def test_a_command_that_nobody_registered_is_answered(stage: Stage) -> None:
    """Slack says nothing to the person when an app stays silent."""
    told = await answer(stage[1], REQUESTER, "backend-3", command="/dovecot-downgrade")
    assert "does not know /dovecot-downgrade" in told
    assert_untouched(stage)


@pytest.mark.parametrize(
    "text", ["backend-3 restart=yes", "plan backend-3 restart=yes", "status", "list", "abort r234567"]
)
async def test_in_another_channel_nothing_is_done_or_told(stage: Stage, text: str) -> None:
    told = await answer(stage[1], REQUESTER, text, channel="C0RANDOM")
    assert "this is not one of the channels that the bot is set up for" in told
    assert_untouched(stage)


@pytest.mark.parametrize("text", ["backend-3 restart=yes", BOTH, "plan backend-3 restart=yes"])
async def test_a_person_who_may_not_ask_is_told_so(stage: Stage, text: str) -> None:
    told = await answer(stage[1], STRANGER, text)
    assert "you are not among those who may ask for runs" in told
    assert_untouched(stage)


async def planned(scene: Scene, text: str) -> str:
    """All that `plan` answers, in however many messages."""
    before = len(scene.slack.ephemerals)
    await scene.slack.command(REQUESTER, "C0MAILOPS", "/dovecot-upgrade", f"plan {text}")

    def said() -> str:
        return "\n".join(wording(one) for one in scene.slack.ephemerals[before:])

    await scene.slack.until(lambda: "director up 192.0.2.13" in said())
    return said()


async def test_a_plan_looks_at_the_hosts_now_shows_every_command_and_changes_nothing() -> None:
    async with staged() as (ring, scene):
        told = await planned(scene, BOTH)
        told = html.unescape(re.sub(r"(dovecot-bot/|dovecot\.)r[0-9a-z]{6}\b", r"\1RUN", told))
        assert "every check is met now" in told.lower()
        assert "seen in the run itself" in told
        commands = [command for _, command in (*practice.DRAIN, *practice.TAKE_DOWN, *practice.INSTALL_PACKAGES)]
        for command in (*commands, *(command for _, command in (*practice.START, *practice.RESTORE))):
            assert command in told
        assert {"director-1", "director-2", "backend-3"} == {ran.host for ran in ring.log}

        ring.state.change(ring.backends["backend-2"].ip, now=ring.log[-1].at, vhosts=50)
        told = await planned(scene, "backend-3 restart=yes")
        assert "of 6 checks, 1 is not met now" in told
        assert "Dovecot on backend-3 would start with the configuration in place" in told
        assert "backend-3 proves by an address of its interfaces that it is 192.0.2.13" in told
        assert "Only if, right then: the ring is whole, every other backend is as usual" in told
        assert "backend-2 is up with vhosts 50" in told
        assert changed(ring) == []
        assert scene.slack.messages == []


async def test_a_plan_names_the_files_of_the_configuration_that_a_run_changes_adds_and_removes() -> None:
    """A forgotten file would be deleted: whoever plans has to see its name."""
    async with staged() as (_, scene):
        told = await planned(scene, f"backend-3 packages=keep config={CONFIG}")
        assert f"Compared {CONFIG} with the configuration in place, file by file" in told
        removed = ("conf.d/10-auth.conf", "conf.d/10-master.conf", "conf.d/20-lmtp.conf", "conf.d/99-local.conf.ext")
        assert (
            "backend-3: changed 1 (conf.d/90-metacache.conf), added 1 (conf.d/20-imap.conf), removed 6 "
            f"({', '.join(removed)}, dovecot-sql.conf.ext, private/passphrase)"
        ) in told
