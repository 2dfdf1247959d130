"""What was true a moment ago: slow looks, slow directors and silence, while others act or users wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually

CONFIGURATION = "hosts.run backend-3 find /etc/dovecot"
UNITS = "hosts.run backend-3 systemctl show"
STATUS = "doveadm -f tab director status"
LOCKS = "hosts.run backend-3 sh -c 'date"


def told(play: Drill, last: int = 8) -> str:
    run = play.run_now
    return "\n".join(
        [
            f"{run.status} at {run.step and run.step.name}: {run.reason}",
            *(
                f"{one.at:%H:%M:%S} {type(one.fact).__name__} {getattr(one.fact, 'step', '')}"
                f" {getattr(one.fact, 'reason', '')}"[:200]
                for one in play.journal.facts["r2026h"][-last:]
            ),
        ]
    )


def slowly(seconds: float, meanwhile: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """A call that takes so long; half a second after it began, something happens."""

    async def slow() -> None:
        await asyncio.sleep(0.5)
        meanwhile()
        await asyncio.sleep(seconds - 0.5)

    return slow


def directors_are(play: Drill, how: str, length: int) -> None:
    for name in play.ring.directors:
        act = play.network.silence if how == "silent" else play.network.away
        act(name, timedelta(seconds=length))


# silence in the middle of the take-down, while users wait


@pytest.mark.parametrize(("how", "length"), [("silent", 45), ("away", 25)])
@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_directors_gone_for_some_seconds_leave_no_user_for_people_to_move(
    play: Drill, step: str, how: str, length: int
) -> None:
    """Dovecot is stopped and users wait; silent directors are waited for as a silent backend is."""
    play.before(f"journal.append StepStarted:{step}", lambda: directors_are(play, how, length))
    await asyncio.sleep(400)
    assert play.ring.users_on("backend-3") == 0, told(play)


@from_step("director-down")
async def test_a_network_gone_for_100_seconds_right_after_the_stop_leaves_no_user_for_people_to_move(
    play: Drill,
) -> None:
    """All hosts at once, as when the bot's own uplink is cut; users wait, and all is well a moment later."""
    for name in play.network.machines:
        play.network.silence(name, timedelta(seconds=100))
    await asyncio.sleep(400)
    assert play.ring.users_on("backend-3") == 0, told(play)


def silent_once_it_exited(play: Drill, step: str, first_look: str, silent: Callable[[], object]) -> None:
    """From the look on that is to prove the step, whose exit 0 was heard."""

    async def heard() -> None:
        play.before(first_look, silent)

    play.after(step, lambda: play.later(timedelta(0), heard))


@pytest.mark.parametrize("length", [25, 90])
@from_step("stop-dovecot")
async def test_a_backend_silent_right_after_its_stop_exited_leaves_no_user_for_people_to_move(
    play: Drill, length: int
) -> None:
    silent = timedelta(seconds=length)
    silent_once_it_exited(play, "stop-dovecot", UNITS, lambda: play.network.silence("backend-3", silent))
    await asyncio.sleep(400)
    assert play.ring.users_on("backend-3") == 0, told(play)


@from_step("director-down")
async def test_directors_silent_right_after_down_exited_leave_no_user_for_people_to_move(play: Drill) -> None:
    silent_once_it_exited(play, "director-down", STATUS, lambda: directors_are(play, "silent", 60))
    await asyncio.sleep(400)
    assert play.ring.users_on("backend-3") == 0, told(play)


@from_step("stop-dovecot")
async def test_a_backend_silent_between_its_two_stops_does_not_leave_lmtp_stopped_until_somebody_wakes(
    play: Drill,
) -> None:
    """LMTP is stopped, mail is deferred; the backend is back after 100 s."""
    play.network.silence("backend-3", timedelta(seconds=100))
    await asyncio.sleep(400)
    assert play.run_now.status is not Status.HELD, told(play)


# a change that is sent on what was read many seconds ago, in the same look


@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_dovecot_is_not_stopped_on_a_count_of_other_backends_that_is_eight_seconds_old(order: TakeDown) -> None:
    """The directors answer at once, /etc/dovecot takes 8 s to be read; the other backends fail meanwhile."""
    async with a_run(take_down=order) as play:
        await play.reaches("stop-dovecot")
        play.before(CONFIGURATION, slowly(8, play.others_out))
        await asyncio.sleep(100)
        assert not play.sent("stop-dovecot"), f"{play.broken()}\n{told(play)}"


@from_step("stop-dovecot")
async def test_dovecot_is_not_stopped_on_vhosts_that_were_zero_seven_seconds_ago(play: Drill) -> None:
    """Five users are mapped and served when it is stopped."""

    def given() -> None:
        play.colleague_gives()
        for number in range(3):
            play.ring.state.move(f"somebody-{number}", play.backend.ip, play.ring.now())

    play.before(CONFIGURATION, slowly(7, given))
    stopped: list[bool] = []
    play.before("systemctl stop dovecot", lambda: stopped.append(play.ring.state.usable(play.backend.ip)))
    await asyncio.sleep(100)
    assert stopped == [False], told(play)


@from_step("director-up")
async def test_users_are_not_sent_to_a_dovecot_that_greeted_eight_seconds_ago(play: Drill) -> None:
    """It greeted in the look before `director up`; it died while /etc/dovecot was still being read for that look."""
    play.before(CONFIGURATION, slowly(9, play.dovecot_dies))
    await asyncio.sleep(60)
    assert not play.ring.state.usable(play.backend.ip), told(play)


def watched_every_two_seconds(play: Drill) -> None:
    play.timings = replace(play.timings, watch_every=timedelta(seconds=2))


@virtually
async def test_users_are_not_left_to_a_dovecot_that_died_while_the_watch_kept_director_up_waiting() -> None:
    """A monitor did it, and that was judged; what the watch was sending meanwhile took eight seconds."""
    async with a_run(spoil=watched_every_two_seconds) as play:
        await play.reaches("director-up")
        asked = asyncio.Event()

        async def slow() -> None:
            asked.set()
            await slowly(8, play.dovecot_dies)()

        async def until_the_watch_asks() -> None:
            play.ring.state.change(play.backend.ip, now=play.ring.now(), up=True)  # a monitor
            await asked.wait()

        play.before(f"doveadm director down {play.backend.ip}", slow)
        play.before("announcer.until_posted", until_the_watch_asks)
        await asyncio.sleep(100)
        assert asked.is_set()
        assert "director-up" not in play.run_now.seen_done, told(play)


# a person's word waits for a look


@from_step("drain")
async def test_an_abort_in_the_drain_does_not_wait_for_a_count_of_users(play: Drill) -> None:
    """Directors take 25 s to answer."""
    await play.until(lambda run: run.status is Status.WAITING)
    await asyncio.sleep(31)
    for name in play.ring.directors:
        play.before(f"hosts.run {name} {STATUS}", lambda: asyncio.sleep(25), always=True)
    await asyncio.sleep(31)
    await play.go_back()
    asked = play.ring.now()
    await play.until(lambda run: run.plan.back)
    waited = play.ring.now() - asked
    assert waited < timedelta(seconds=5), f"{waited}\n{told(play)}"


@from_step("users-come-back")
async def test_a_run_that_was_taken_over_and_left_out_looks_at_no_host_any_more(play: Drill) -> None:
    """Taken over in its last check, which goes on for a quarter of an hour after the run has ended."""
    play.dovecot_dies()
    await asyncio.sleep(5)
    await play.take_over()
    await play.leave_out()
    await asyncio.sleep(40)
    calls = len(play.points.calls)
    await asyncio.sleep(60)
    asked = [one for one in play.points.calls[calls:] if one.startswith("hosts.run")]
    assert play.run_now.status is Status.ENDED
    assert asked == [], f"{len(asked)} commands a minute"


# what is asked again is old by the time that all is answered


def then(play: Drill, first: float, text: str, second: float, meanwhile: Callable[[], object]) -> Callable[[], object]:
    """A call that takes `first` seconds; the next with `text` takes `second`, and something happens meanwhile."""

    async def slow() -> None:
        await asyncio.sleep(first)
        play.before(text, slowly(second, meanwhile))

    return slow


@from_step("director-up")
async def test_users_are_not_given_to_a_dovecot_that_died_while_directors_were_asked_again(play: Drill) -> None:
    """Asked for once only, what was read of dovecot was seven seconds old as users were sent to it."""

    async def slow() -> None:
        await asyncio.sleep(8)
        play.before(f"director-1 {STATUS}", slowly(8, play.dovecot_dies))
        play.before(f"director-2 {STATUS}", lambda: asyncio.sleep(8))

    play.before(CONFIGURATION, slow)
    await asyncio.sleep(100)
    assert not play.sent("director-up"), told(play)


@pytest.mark.parametrize(
    ("first", "second"),
    [(f"director-1 {STATUS}", CONFIGURATION), (LOCKS, LOCKS)],
    ids=["in the look", "as its host is asked for the fence"],
)
@from_step("stop-dovecot")
async def test_dovecot_is_not_stopped_on_a_count_of_other_backends_of_before_a_second_slow_answer(
    play: Drill, first: str, second: str
) -> None:
    play.before(first, then(play, 8, second, 8, play.others_out))
    if first != LOCKS:
        play.before(f"director-2 {STATUS}", lambda: asyncio.sleep(8))
    await asyncio.sleep(100)
    assert not play.sent("stop-dovecot"), f"{play.broken()}\n{told(play)}"


@from_step("approve-flush")
async def test_a_backend_whose_disk_is_slow_is_upgraded_all_the_same(play: Drill) -> None:
    """Two of its answers always take long, and not as long as each other."""
    play.before(CONFIGURATION, lambda: asyncio.sleep(4), always=True)
    play.before("hosts.run backend-3 dpkg-query", lambda: asyncio.sleep(7), always=True)
    assert await play.ends() == "done"
