"""Looks at hosts for the engine: runs the probes of expectations, all at once, and judges what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from bot.core.hosts.command import Command, Result
from bot.core.hosts.identity import not_proved_to_be
from bot.core.hosts.inventory import Backend, Host, Target
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.core.readings.expect import Look, judge
from bot.core.readings.probes import PROBES
from bot.core.readings.sessions import matched
from bot.engine.looks.asking import asking_once
from bot.engine.looks.beside import give_up
from bot.engine.looks.observation import Observation, hosts_for
from bot.engine.looks.reading import Answer, At, Readings, unanswered
from bot.engine.ports import Clock, Hosts, Timings
from bot.errors import NotRun, Unreadable

_LOOKS_AT_LEAST = 3
_LONGEST_PAUSE = timedelta(seconds=2)
_LOOKS_AT_MOST = 180
"""About: what may take a quarter of an hour is not looked at every two seconds."""
_GRACE = timedelta(seconds=3)
"""How long a director is waited for once another one has answered, where those that answer are enough."""

OLD = timedelta(seconds=2)
"""What was answered so long before a look has heard, or given up, the last host is asked again."""

OLDEST = timedelta(seconds=5)
"""A change is decided on no answer that is so much older than the last one, where asking again makes none younger."""

_ROUNDS = 3
"""How often all is asked in a look on which a change is decided."""

_RING_STATUS = PROBES["director-ring"]
_DIRECTORS_HOSTS = Expected(probe="director-hosts", where=Where.EVERY_DIRECTOR, asks={})


class Looking:
    """Looks at the hosts of one target.

    Where the directors that answer are enough, one that does not is waited for a few seconds once; from then on it is
    known to be away, and nobody waits for it until it answers `ask_those_away`, or a look with a grace.
    """

    def __init__(self, hosts: Hosts, clock: Clock, timings: Timings, target: Target) -> None:
        self._hosts = hosts
        self._clock = clock
        self._timings = timings
        self._target = target
        self._away: set[str] = set()
        self._directors: Mapping[str, str] = {}
        self._themselves: set[str] = set()

    def expect(self, directors: Mapping[str, str]) -> None:
        """From here on, a director's word counts only over a connection on which its own row is the one given here."""
        self._directors = directors

    async def look(
        self, expectations: Sequence[Expected], grace: timedelta | None = None, *, to_act: bool = False
    ) -> Observation:
        """Look once, everywhere at the same time; what two expectations ask the same host is asked once.

        `grace`: how long to wait for directors once one has answered, those that are known to be away too. `to_act`: a
        change is decided on it, so what stays old counts as not read.
        """
        once = [expected for at, expected in enumerate(expectations) if expected not in expectations[:at]]
        groups = await self._asked(once, grace, to_act=to_act)
        read = matched(
            [(expected.probe, tuple(one.seen for one in ones)) for expected, ones in zip(once, groups, strict=True)]
        )
        looks = tuple(Look(expected=expected, seen=seen) for expected, seen in zip(once, read, strict=True))
        every = [one for ones in groups for one in ones]
        return Observation(
            verdict=judge(looks),
            looks=looks,
            ran=tuple(dict.fromkeys(one.ran for one in every)),
            connections=_connections(every),
            last_output=every[-1].output if every else str,
        )

    async def _asked(
        self, expectations: Sequence[Expected], grace: timedelta | None, *, to_act: bool
    ) -> list[list[Answer]]:
        """What came of each, all asked at the same time; what is old by the time that all is answered, once more."""
        async with asking_once(self._proved, self._clock) as answers:
            at = Readings(self._target, answers.ask).at

            async def all_asked(*, again: bool = True) -> list[list[Answer]]:
                asked = (self._everywhere(expected, at, grace, again=again) for expected in expectations)
                return await asyncio.gather(*asked)

            groups = await all_asked(again=False)
            for _ in range(_ROUNDS - 1 if to_act else 1):
                if answers.forget(OLD):
                    groups = await all_asked()
            return await all_asked() if to_act and answers.refuse(OLDEST) else groups

    async def until_seen(
        self,
        expectations: Sequence[Expected],
        within: timedelta,
        steady: timedelta = timedelta(0),
        in_vain: Callable[[], bool] = lambda: False,
    ) -> Observation:
        """Look until it holds, as long as `within`; a host that cannot be read is looked at some times in any case.

        `steady`: it has to be seen so for so long, in every look; what begins to be so within time is waited for.
        `in_vain`: whether what is seen not to hold need not be waited for any more.
        """
        holds_since: datetime | None = None

        def steadily(observation: Observation) -> bool:
            nonlocal holds_since
            now = self._clock.now()
            holds_since = (holds_since or now) if observation.verdict.holds is True else None
            return holds_since is not None and now - holds_since >= steady

        def enough(observation: Observation) -> bool:
            return steadily(observation) or (observation.verdict.holds is False and in_vain())

        observation = await self.until(enough, expectations, within)
        if holds_since is not None and self._clock.now() - holds_since < steady:
            observation = await self.until(lambda now: steadily(now) or holds_since is None, expectations, steady)
        return observation

    async def until(
        self,
        enough: Callable[[Observation], bool],
        expectations: Sequence[Expected],
        within: timedelta,
        *,
        to_act: bool = False,
    ) -> Observation:
        """Look until it is enough, as long as `within`; a host that cannot be read is looked at some times anyhow."""
        give_up = self._clock.now() + within
        pause = self._timings.look_again / 8
        looked = 0
        while True:
            observation = await self.look(expectations, to_act=to_act)
            looked += 1
            unread = observation.verdict.holds is None and looked < _LOOKS_AT_LEAST
            if enough(observation) or (self._clock.now() >= give_up and not unread):
                return observation
            await self._clock.sleep(pause.total_seconds())
            pause = min(pause * 2, max(_LONGEST_PAUSE, within / _LOOKS_AT_MOST))

    def there(self, hosts: Sequence[Host]) -> Sequence[Host]:
        """Those that are not known to be away; all, where every one is."""
        return [host for host in hosts if host.name not in self._away] or hosts

    def passes_over(self, host: Host) -> None:
        """It answered, and is silent now: another director is asked before it, until it answers again."""
        self._away.add(host.name)

    async def answers(self, host: Host) -> bool:
        """Whether this director answers for the ring, in a look that begins now."""
        return (await Readings(self._target, self._proved).at(host, _DIRECTORS_HOSTS)).seen.reading is not None

    async def ask_those_away(self) -> None:
        """See whether a director that did not answer does so again; takes as long as that takes."""
        away = [host for host in self._target.ring.directors if host.name in self._away]
        answers = await asyncio.gather(*map(self.answers, away))
        self._away -= {host.name for host, answered in zip(away, answers, strict=True) if answered}

    async def _everywhere(self, expected: Expected, at: At, grace: timedelta | None, *, again: bool) -> list[Answer]:
        hosts = hosts_for(self._target, expected.where)
        match expected.where:
            case Where.ONE_DIRECTOR:
                return [await self._first(sorted(hosts, key=lambda host: host.name in self._away), expected, at)]
            case Where.ANSWERING_DIRECTORS:
                return await self._answering(hosts, expected, at, grace, again=again)
            case _:
                return list(await asyncio.gather(*(at(host, expected) for host in hosts)))

    async def _first(self, hosts: Sequence[Host], expected: Expected, at: At) -> Answer:
        for host in hosts:
            one = await at(host, expected)
            if one.seen.reading is not None:
                break
        return one

    async def _answering(
        self, hosts: Sequence[Host], expected: Expected, at: At, grace: timedelta | None, *, again: bool
    ) -> list[Answer]:
        """Those that are not known to be away; once one has answered, the others are given a few seconds."""
        asked = self.there(hosts) if grace is None or again else hosts
        asking = {asyncio.create_task(at(host, expected)): host for host in asked}
        try:
            answered = await _until_one_answers(asking)
            if answered:
                await asyncio.wait(asking, timeout=(grace or _GRACE).total_seconds())
            late = {host for task, host in asking.items() if not task.done()}
        finally:
            await give_up(*asking)
        self._away |= {host.name for host in late}
        known = {host.name: task.result() for task, host in asking.items() if host not in late}
        self._away -= {name for name, one in known.items() if one.seen.reading is not None}
        return [known.get(host.name) or self._is_away(host, expected) for host in hosts]

    def _is_away(self, host: Host, expected: Expected) -> Answer:
        problem = NotRun(f"{host.name}: does not answer; known to be away until it does again")
        return unanswered(self._target, host, expected, problem)

    async def _proved(self, host: Host, command: Command) -> Result:
        """What the host says, once it has proved on this very connection to be the backend; raises HostError.

        What another host says is no reading of this one: a change would be called done, and users be sent there, on it.
        """
        if not isinstance(host, Backend):
            return await self._of_itself(host, command)
        identity = await self._hosts.identity(host)
        if against := not_proved_to_be(host, identity):
            raise NotRun(against)
        result = await self._hosts.run(host, command)
        if result.connection != identity.connection:
            raise NotRun(f"{host.name}: its connection has changed while it was looked at; that says nothing of it")
        return result

    async def _of_itself(self, host: Host, command: Command) -> Result:
        """What a director says; on a connection that is new, it is asked first which member of the ring it is."""
        result = await self._hosts.run(host, command)
        expected = self._directors.get(host.name)
        if expected is None or result.connection in self._themselves:
            return result
        row = await self._hosts.run(host, _RING_STATUS.command(self._target, {}))
        try:
            own = _RING_STATUS.read(self._target, {}, row)["self"]
        except Unreadable as error:
            raise NotRun(f"{host.name} does not say which director it is: {error}") from error
        if row.connection != result.connection or own != expected:
            raise NotRun(
                f"{host.name} is another director ({own}) than when this run began ({expected}), and what it"
                " says does not count. What to do: see where its `ssh` name leads now"
            )
        self._themselves.add(result.connection)
        return result


async def _until_one_answers(asking: Mapping[asyncio.Task[Answer], Host]) -> bool:
    """Whether one did, before all were asked in vain."""
    waiting = set(asking)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if any(task.result().seen.reading is not None for task in done):
            return True
    return False


def _connections(every: Sequence[Answer]) -> dict[str, str]:
    over: dict[str, set[str]] = {}
    for one in every:
        if one.connection:
            over.setdefault(one.seen.host, set()).add(one.connection)
    return {host: next(iter(names)) for host, names in over.items() if len(names) == 1}
