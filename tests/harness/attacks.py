"""What is put in at a call of a port. Each is a few lines; where it makes sense is said beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from bot.practice.ring.hosts import FLUSH_UNIT
from bot.practice.values import Answer, Call, failed
from tests.harness.judges import CHANGES
from tests.harness.play import Attack, Play, now
from tests.harness.ports import Here

SHORT, LONG = timedelta(seconds=26), timedelta(hours=2)
_RESTART = timedelta(seconds=10)
_REPAIRED = timedelta(minutes=20)

Effect = Callable[[Play], object]
Fits = Callable[[str, str], bool]
"""Whether an attack makes sense at a call: by the call's name and where the run stands."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An attack with its name."""

    name: str
    does: Attack
    fits: Fits = lambda _call, _stands: True


def _then(effect: Effect) -> Attack:
    """It happens, and then the call goes on."""

    async def attack(play: Play, here: Here) -> object:
        _strike(play, effect)
        return await here.act()

    return attack


def _strike(play: Play, effect: Effect) -> None:
    play.struck = play.struck or now()
    effect(play)
    play.watching.look()


# a person's command


def _said(what: Callable[[Play], Awaitable[object]], after: timedelta = timedelta(0)) -> Attack:
    """Somebody says it; it is taken as soon as the bot can take it, which may be after this call."""

    async def attack(play: Play, here: Here) -> object:
        play.struck = play.struck or now()
        play.later(after, partial(what, play))
        await asyncio.sleep(0.001)
        return await here.act()

    return attack


def _thinks(length: timedelta, meanwhile: Effect = lambda _play: None) -> Effect:
    def slow(play: Play) -> None:
        usual, play.crew.thinks = play.crew.thinks, length
        play.later(timedelta(minutes=1), lambda: _strike(play, meanwhile))
        play.later(length + timedelta(minutes=1), lambda: setattr(play.crew, "thinks", usual))

    return slow


# a crash


def _crash(when: str, down: timedelta = _RESTART, meanwhile: Effect = lambda _play: None) -> Attack:
    """The bot is gone before the call has its effect, after it, or while it is under way."""

    async def attack(play: Play, here: Here) -> object:
        play.struck = play.struck or now()
        under_way = asyncio.ensure_future(here.act()) if when != "before" else None
        if under_way is not None:
            await asyncio.wait({under_way}, timeout=0.01 if when == "during" else None)
            if under_way.done() and not under_way.cancelled():
                under_way.exception()
        play.crash(down)
        play.later(timedelta(seconds=1), lambda: _strike(play, meanwhile))
        await here.life.never()

    return attack


# the ring is changed by somebody else


def _back_to_100(play: Play) -> None:
    play.ring.state.change(play.backend.ip, now=now(), vhosts=100, up=True)


def _monitor_says_up(play: Play) -> None:
    play.ring.state.change(play.backend.ip, now=now(), up=True)


def _others_to_zero(play: Play, length: timedelta = _REPAIRED) -> None:
    for name in ("backend-1", "backend-2"):
        ip = play.ring.backends[name].ip
        play.ring.state.change(ip, now=now(), vhosts=0)
        play.later(length, partial(_usual, play, ip))


def _usual(play: Play, ip: str) -> None:
    play.ring.state.change(ip, now=now(), vhosts=100, up=True)


def _fails(*names: str) -> Effect:
    def fail(play: Play) -> None:
        for name in names:
            other = play.ring.backends[name]
            other.dovecot_unit.active, other.dovecot_unit.sub = "failed", "failed"
            play.ring.state.change(other.ip, now=now(), up=False)

    return fail


_others_fail = _fails("backend-1", "backend-2")


def _taken_over(play: Play, length: timedelta = _REPAIRED) -> None:
    """By hand, somebody gave the backend back and took the others out for a while."""
    _back_to_100(play)
    _others_to_zero(play, length)


# hosts


def _silent(host: str, length: timedelta = SHORT) -> Effect:
    return lambda play: play.network.silence(host, length)


def _away(host: str) -> Effect:
    return lambda play: play.network.away(host, timedelta(seconds=40))


def _director_stops(name: str) -> Effect:
    def stop(play: Play) -> None:
        play.ring.directors[name].hanging = True
        play.later(timedelta(seconds=45), lambda: setattr(play.ring.directors[name], "hanging", False))

    return stop


def _all_restart(play: Play) -> None:
    """The ring forgets: every backend is at 100 and up."""
    play.ring.restart_all_directors()


def _reboot(play: Play) -> None:
    play.reboots.append(now())
    play.backend.reboot()
    play.network.drop("backend-3", "the host has rebooted")


def _lies_in_the_network(*, crash: bool) -> Attack:
    """The command is on its way when the network is cut; it comes 26 s later, whoever has sent it."""

    async def attack(play: Play, here: Here) -> object:
        _strike(play, _silent(here.host))
        sending = asyncio.ensure_future(here.act())
        if crash:
            sending.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.sleep(0.01)
            play.crash(timedelta(seconds=5))
            await here.life.never()
        return await sending

    return attack


def _fails_once(meanwhile: Effect = lambda _play: None) -> Attack:
    """The command does nothing and exits 1; the ring changes while somebody thinks about that."""

    async def attack(play: Play, here: Here) -> object:
        play.struck = play.struck or now()
        words, name = play.network.machines[here.host].programs, here.name.split()[2]
        usual = words[name]

        def fail(_call: Call) -> Answer:
            words[name] = usual
            return failed(1, "made to fail")

        words[name] = fail
        play.later(timedelta(seconds=10), lambda: _strike(play, meanwhile))
        return await here.act()

    return attack


def _leads_elsewhere(play: Play) -> None:
    """From the next connection on, the backend's SSH name leads to another host."""
    play.network.reaches["backend-3"] = "backend-2"
    play.network.drop("backend-3")


# Slack, the backend


def _slack_away(meanwhile: Effect = lambda _play: None) -> Effect:
    def away(play: Play) -> None:
        play.slack.go_away()
        play.later(timedelta(seconds=30), lambda: _strike(play, meanwhile))
        play.later(timedelta(minutes=3), play.slack.come_back)

    return away


def _flush_unit_disabled(play: Play) -> None:
    play.backend.metacache_flush = "disabled"


def _flush_unit_fails(play: Play) -> None:
    play.backend.units[FLUSH_UNIT].stop_result = "exit-code"


def _stop_fails(play: Play) -> None:
    play.backend.dovecot_unit.stop_result = "timeout"


def _somebody_starts_dovecot(play: Play) -> None:
    if not play.backend.dovecot_unit.masked:
        play.backend.dovecot_unit.start()


def _about_to_ask(call: str, _stands: str) -> bool:
    """Whoever is asked reads the question and begins to think at once."""
    return "ApprovalAsked" in call


def _of_a_host(call: str, _stands: str) -> bool:
    return call.startswith("hosts.")


def _a_change(call: str, _stands: str) -> bool:
    return call.startswith("hosts.run") and re.search(CHANGES, call) is not None


def _kinds() -> list[Kind]:
    asking: dict[str, Effect] = {
        "approve-late": _thinks(timedelta(minutes=59)),
        "approve-too-late": _thinks(timedelta(minutes=61)),
        "approve-late-others-fail": _thinks(timedelta(minutes=59), _others_fail),
        "approve-late-taken-over": _thinks(timedelta(minutes=10), _taken_over),
        "approve-late-flush-unit-disabled": _thinks(timedelta(minutes=10), _flush_unit_disabled),
    }
    plain: dict[str, Effect] = {
        "back-to-100": _back_to_100,
        "others-to-zero": _others_to_zero,
        "taken-over": _taken_over,
        "one-other-fails": _fails("backend-2"),
        "others-fail": _others_fail,
        "monitor-says-up": _monitor_says_up,
        "director-1-stops": _director_stops("director-1"),
        "director-2-stops": _director_stops("director-2"),
        "director-1-restarts": lambda play: play.ring.restart_director("director-1"),
        "all-directors-restart": _all_restart,
        "slack-away": _slack_away(),
        "slack-away-others-to-zero": _slack_away(_others_to_zero),
        "reboot": _reboot,
        "flush-unit-disabled": _flush_unit_disabled,
        "flush-unit-fails": _flush_unit_fails,
        "stop-fails": _stop_fails,
        "somebody-starts-dovecot": _somebody_starts_dovecot,
        "leads-elsewhere": _leads_elsewhere,
    }
    plain |= {f"silent-{host}": _silent(host) for host in ("director-1", "backend-3")}
    plain |= {f"away-{host}": _away(host) for host in ("director-1", "director-2", "backend-3")}
    crashes = {
        "crash-before": _crash("before"),
        "crash-after": _crash("after"),
        "crash-taken-over": _crash("before", meanwhile=_taken_over),
        "crash-long-taken-over": _crash("after", LONG, meanwhile=partial(_taken_over, length=2 * LONG)),
        "abort": _said(lambda play: play.crew.abort()),
    }
    kinds = [Kind(name=name, does=_then(effect)) for name, effect in plain.items()]
    kinds += [Kind(name=name, does=_then(effect), fits=_about_to_ask) for name, effect in asking.items()]
    kinds += [Kind(name=name, does=attack) for name, attack in crashes.items()]
    not_now = _said(lambda play: play.crew.put_off(), after=timedelta(seconds=1))
    kinds.append(Kind(name="not-now", does=not_now, fits=_about_to_ask))
    longer = _said(lambda play: play.crew.wait_longer(), after=timedelta(seconds=1))
    kinds.append(Kind(name="wait-longer", does=longer, fits=_about_to_ask))
    kinds.append(Kind(name="crash-during", does=_crash("during"), fits=_of_a_host))
    for name, crash in (("late", False), ("late-crash", True)):
        kinds.append(Kind(name=name, does=_lies_in_the_network(crash=crash), fits=_a_change))
    for name, meanwhile in (("", lambda _play: None), ("-others-fail", _others_fail), ("-taken-over", _taken_over)):
        kinds.append(Kind(name=f"fails-once{name}", does=_fails_once(meanwhile), fits=_a_change))
    return kinds


KINDS = {kind.name: kind for kind in _kinds()}
