"""Nothing is deleted that was not flushed, nothing starts while something is deleted, and every mask is undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import Inventory, Metacache, TakeDown
from bot.core.plans.plan import PlannedChange
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from bot.errors import MayHaveRun
from bot.practice.ring.hosts import FLUSH_UNIT
from bot.practice.values import Answer, Call
from tests.examples import named, pairs
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually

DELETIONS = ("rm -f", "-delete")


def nothing_deleted(play: Drill) -> bool:
    return not any(play.began(text) for text in DELETIONS) and play.ring.losses == []


def disable(play: Drill) -> None:
    play.backend.metacache_flush = "disabled"


def stop_by_hand(play: Drill) -> None:
    """Whoever stops the unit by itself skips the flush, as Dovecot's documentation says."""
    unit = play.backend.units[FLUSH_UNIT]
    unit.active, unit.sub = "inactive", "dead"


def fails_at_stop(play: Drill) -> None:
    play.backend.units[FLUSH_UNIT].stop_result = "exit-code"


def unclean(play: Drill) -> None:
    play.backend.dovecot_unit.stop_result = "timeout"


@pytest.mark.parametrize(
    ("at", "how"),
    pairs(["drain", "approve-flush", "ring-is-still-whole", "stop-lmtp"], [disable, stop_by_hand]),
    ids=named,
)
@virtually
async def test_a_flush_unit_that_is_not_active_before_users_are_disturbed_lets_nothing_begin(
    how: Callable[[Drill], None], at: str
) -> None:
    """Seen: disabled while the question waited, and the metacache was deleted. Here nobody has been disturbed yet."""
    async with a_run() as play:
        await play.reaches(at)
        how(play)
        if at != "stop-lmtp":
            await play.reaches("stop-lmtp")
        run = await play.held()
        assert "metacache" in run.reason
        assert play.began("stop lmtp") == []
        await play.go_back()
        assert await play.ends() == "went back"
        assert nothing_deleted(play)


ORDERS = [
    (how, call)
    for how in (disable, stop_by_hand, fails_at_stop)
    for call in ("StepDone:stop-lmtp", "StepStarted:stop-dovecot", "hosts.run backend-3 systemctl stop")
    # Between the look and the stop, milliseconds later, only the unit's own end could tell of a hand that stopped it.
    if how is not stop_by_hand or call == "StepDone:stop-lmtp"
]


@pytest.mark.parametrize(("how", "call"), ORDERS)
@from_step("approve-flush")
async def test_a_stop_that_is_no_flush_is_held_before_the_first_deletion(
    play: Drill, how: Callable[[Drill], None], call: str
) -> None:
    """In every order: the users come first and are moved, and then nothing is deleted; the reason says what to do."""
    await play.until(lambda run: run.status is Status.ASKING)
    play.before(call, lambda: how(play))
    await play.reaches("remove-old-metacache-database")
    assert play.ring.users_on("backend-3") == 0
    run = await play.held()
    assert "was not seen to be flushed" in run.reason
    assert "go back" in run.reason
    assert nothing_deleted(play)
    await play.retry()
    await play.held()
    assert nothing_deleted(play), "however often somebody retries"
    await play.go_back()
    assert await play.ends() == "went back"
    assert nothing_deleted(play)
    assert play.backend.serving
    assert not play.backend.dovecot_unit.masked


@pytest.mark.parametrize("how", [disable, stop_by_hand])
@from_step("stop-lmtp")
async def test_a_unit_that_ended_while_a_failed_stop_was_held_makes_the_next_stop_no_flush(
    play: Drill,
    how: Callable[[Drill], None],
) -> None:
    """It was active before the first stop, which stopped nothing; minutes later somebody has stopped it by hand."""
    play.fails("stop-dovecot")
    await play.held()
    how(play)
    await play.retry(after=timedelta(minutes=8))
    await play.reaches("remove-old-metacache-database")
    run = await play.held()
    assert "was not seen to be flushed" in run.reason
    assert nothing_deleted(play)


@from_step("stop-dovecot")
async def test_a_stop_that_was_not_clean_is_held_before_anything_is_installed(play: Drill) -> None:
    """Its users are moved all the same; what follows waits for people."""
    unclean(play)
    await play.reaches("stop-was-clean")
    await play.held()
    assert play.ring.users_on("backend-3") == 0
    await play.go_back()
    assert await play.ends() == "went back"
    assert nothing_deleted(play)


def unheard() -> None:
    raise MayHaveRun("backend-3: the command was sent and its end was not heard.")


@pytest.mark.parametrize("order", list(TakeDown))
@pytest.mark.parametrize("lost", ["before the stop", "after it: dropped", "after it: away for 5 s"])
@virtually
async def test_one_answer_that_is_lost_around_a_clean_stop_does_not_keep_a_run_from_deleting(
    lost: str, order: TakeDown
) -> None:
    """How the flush unit was and is can be asked for only there: no Retry could ever go on."""
    async with a_run(take_down=order) as play:
        await play.reaches("stop-dovecot")

        def goes() -> None:
            if "dropped" in lost:
                play.network.drop("backend-3")
            else:
                play.network.away("backend-3", timedelta(seconds=5))

        if lost == "before the stop":
            play.before(f"dovecot {FLUSH_UNIT}", unheard)
        else:
            play.after("stop-dovecot", lambda: play.before(f"dovecot {FLUSH_UNIT}", goes))
        assert await play.ends() == "done"
        assert play.broken() == []


@from_step("stop-dovecot")
async def test_an_unflushed_metacache_is_deleted_only_when_two_engineers_say_so(play: Drill) -> None:
    """The way on without going back: each deletion is skipped by hand, and the run ends well."""
    play.before("StepStarted:stop-dovecot", lambda: disable(play))
    await play.reaches("remove-old-metacache-database")
    for _ in range(2):
        await play.held()
        await play.skip()
    assert await play.ends() == "done"
    assert nothing_deleted(play)


@from_step("remove-old-metacache-database")
async def test_a_restart_between_stop_and_deletion_forgets_no_flush_and_invents_none(play: Drill) -> None:
    """What was read around the stop is in the facts."""
    await play.restart_bot()
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("stop-dovecot")
async def test_a_stop_that_is_repeated_after_a_crash_is_still_the_flush_that_it_was(play: Drill) -> None:
    """The first one flushed and its end was not heard; the unit is inactive then, and rightly so."""
    await play.until(lambda run: run.status is Status.BUSY)
    await play.restart_bot()
    assert await play.ends() == "done"
    assert play.broken() == []


@pytest.mark.parametrize("at", ["install-packages", "install-config", "clean-metacache", "unmask-dovecot"])
@virtually
async def test_whoever_starts_dovecot_while_it_is_masked_is_refused_by_systemd(at: str) -> None:
    """Puppet, monit, needrestart, a colleague: between the take-down and its start, nobody starts it."""
    async with a_run() as play:
        await play.reaches(at)
        answer = play.backend.programs["systemctl"](_call("start", "dovecot"))
        answer = answer if isinstance(answer, Answer) else await answer
        assert answer.exit_status == 1
        assert b"masked" in answer.err
        assert not play.backend.serving
        assert await play.ends() == "done"


def _call(*words: str) -> Call:
    class _Nothing:
        async def read(self) -> bytes:
            return b""

    return Call(args=words, stdin=_Nothing())


@virtually
async def test_a_run_without_packages_masks_as_well() -> None:
    """What could start it in between is not only a package."""
    async with a_run(text="backend-3 restart=yes") as play:
        await play.reaches("clean-metacache")
        assert play.backend.dovecot_unit.masked
        assert await play.ends() == "done"
        assert not play.backend.dovecot_unit.masked


BACK_FROM = (
    "set-vhosts-to-zero",
    "stop-lmtp",
    "stop-dovecot",
    "director-down",
    "flush-users",
    "mask-dovecot",
    "stop-was-clean",
    "install-packages",
    "install-config",
    "remove-old-metacache-database",
    "clean-metacache",
    "unmask-dovecot",
    "start-dovecot",
    "test-user-reads-mail",
    "approve-restore",
)


@pytest.mark.parametrize("step", BACK_FROM)
@from_step()
async def test_the_way_back_from_every_step_leaves_no_mask_and_a_backend_that_serves(play: Drill, step: str) -> None:
    """A mask that was forgotten would keep dovecot down at the next start."""
    if isinstance(play.step(step), PlannedChange):
        play.fails(step)
        await play.held()
    await play.go_back()
    assert await play.ends() in {"went back", "aborted"}
    assert not play.backend.dovecot_unit.masked
    assert play.backend.serving
    assert play.ring.state.usable(play.backend.ip)
    assert play.broken() == []


def flushed_by_dovecot(made: Catalogue) -> Catalogue:
    """Settings of an older version of the bot name dovecot itself as the unit that flushes."""
    (ring,) = made.inventory.rings
    wrong = ring.model_copy(update={"metacache": Metacache(flush_unit="dovecot")})
    return replace(made, inventory=Inventory.model_construct(rings=(wrong,)))


@virtually
async def test_a_clean_stop_of_dovecot_alone_is_no_flush_whatever_unit_the_settings_name() -> None:
    async with a_run(flushed_by_dovecot, spoil=disable) as play:
        await play.asks()
        await play.approve()
        run = await play.held()
        assert "each of its stops would look like a flush" in run.reason
        assert nothing_deleted(play)
        assert play.sent("stop-lmtp") == []


@from_step("remove-old-metacache-database")
async def test_the_old_database_is_not_said_to_be_removed_while_it_is_there(play: Drill) -> None:
    play.becomes_a_link("/var/lib/dovecot/metacache")
    run = await play.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
    assert (run.status, run.step and run.step.name) == (Status.HELD, "remove-old-metacache-database")
    assert "remove-old-metacache-database" not in run.seen_done
