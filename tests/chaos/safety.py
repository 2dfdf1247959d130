"""The laws of tests/harness, judged over what a scene of real processes leaves: the hosts' logs and samples.

Nobody here knows when the bot sent a command, as the harness does: its `StepStarted` says that, by the fence that the
host read in the command itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from bot.core.runs import events as fact
from bot.engine.ports import Timings
from bot.practice.values import Ran
from tests.chaos.evidence import Broken, Evidence, Law, Sample, bare
from tests.harness import judges
from tests.harness.evidence import Begun, Moment
from tests.harness.evidence import Evidence as Simulated

Judge = Callable[[Evidence], Iterator[Broken]]


def _by_the_harness(law: Law, judge: judges.Judge) -> Judge:
    def judged(seen: Evidence) -> Iterator[Broken]:
        return (Broken(law=law, what=one.what) for one in judge(_simulated(seen)))

    return judged


SAFETY: tuple[Judge, ...] = (
    _by_the_harness("two_out", judges.two_out),
    _by_the_harness("last_taken", judges.last_taken),
    _by_the_harness("wrong_host", judges.wrong_host),
    _by_the_harness("deleted_unflushed", judges.deleted_unflushed),
    _by_the_harness("late", judges.late),
)


def _simulated(seen: Evidence) -> Simulated:
    ips = {host.name: str(host.ip) for host in seen.target.ring.backends}
    moments = [_moment(sample, ips) for sample in seen.samples]
    sent: _Sent = {}
    for key, one in _sent(seen):
        sent.setdefault(key, []).append(one)
    return Simulated(
        entries=seen.entries,
        begun=tuple(_begun(seen, ran, sent, moments) for ran in seen.log),
        moments=tuple(moments),
        losses=seen.losses,
    )


def _moment(sample: Sample, ips: dict[str, str]) -> Moment:
    return Moment(
        at=sample.at,
        usable=frozenset(ips[name] for name in sample.usable),
        given=frozenset(ips[name] for name in sample.given),
        serving=sample.active,
        mapped=frozenset(ips[name] for name in sample.mapped),
        hanging=sample.hanging,
        known=sample.known,
    )


_Sent = dict[tuple[str, int], list[tuple[datetime, str]]]


def _sent(seen: Evidence) -> Iterator[tuple[tuple[str, int], tuple[datetime, str]]]:
    """By command and fence: when it was sent, and to which host; what the watch sets back is known only afterwards.

    A fence is in whole seconds: the run and its watch may send the same to two directors within one.
    """
    for entry in seen.entries:
        match entry.fact:
            case fact.StepStarted() as started:
                yield (started.command, started.not_after), (entry.at, started.host)
            case fact.RingSetBack() as back:
                for ran in back.ran:
                    if ran.changes:
                        yield (bare(ran.command), back.not_after), (_clock_read(back.not_after), ran.host)


def _clock_read(not_after: int) -> datetime:
    """When the host's clock was read for this fence; here all hosts have the same clock."""
    return datetime.fromtimestamp(not_after, UTC) - Timings().not_after


def _begun(seen: Evidence, ran: Ran, sent: _Sent, moments: list[Moment]) -> Begun:
    at, meant = ran.at, ran.host
    if ran.not_after is not None:
        known = sent.get((bare(ran.command), ran.not_after), [(_clock_read(ran.not_after), ran.host)])
        at, meant = next((one for one in reversed(known) if one[1] == ran.host), known[-1])
    nothing = Moment(
        at=seen.entries[0].at - timedelta(days=1),
        usable=frozenset(),
        given=frozenset(),
        serving=frozenset(),
        mapped=frozenset(),
        hanging=frozenset(),
        known=False,
    )
    return Begun(
        ran=ran, sent=at, meant=meant, moment=next((one for one in reversed(moments) if one.at <= ran.at), nothing)
    )
