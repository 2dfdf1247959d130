"""What the directors say while a backend is out, judged: is it as the run left it, and are there enough others?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.core.plans.effects import Effect
from bot.core.plans.plan import Expected, PlannedChange
from bot.core.plans.procedure import Where
from bot.core.runs.events import OthersCounted, Seen
from bot.core.runs.run import Run

RING = Expected(probe="director-hosts", where=Where.ANSWERING_DIRECTORS, asks={})
EVERY = Expected(probe="director-hosts", where=Where.EVERY_DIRECTOR, asks={})
DOVECOT = Expected(probe="unit", where=Where.BACKEND, asks={"name": "dovecot", "active": "active"})
"""What a watch looks at: the directors that answer, or each of them, and whether the backend serves."""


@dataclass(frozen=True, kw_only=True)
class RingSeen:
    """One look at the directors that answer, judged.

    `given_users`: directors that give the backend users again, or have some mapped to it though it was emptied, with
    their answers. `reported_up`: directors that report it up at vhosts 0, which harms nobody. `answers`: those of
    all directors, `heard` the names of those that answered. `users`: the highest count of them. `usable_others`: the
    lowest; None when none answered.
    """

    given_users: dict[str, str]
    reported_up: dict[str, str]
    answers: str
    heard: frozenset[str]
    users: int
    usable_others: int | None
    others: str


def judge_ring(run: Run, seen: Sequence[Seen]) -> RingSeen:
    """Compare the directors' answers with what this run has made of the ring."""
    enforced = run.enforced
    given, up, answers, mapped = {}, {}, [], {}
    fewest: int | None = None
    others: dict[str, None] = {}
    for one in seen:
        if one.probe != "director-hosts" or one.reading is None:
            continue
        vhosts, users, state = one.reading["vhosts"], one.reading["users"], one.reading["state"]
        line = f"{one.host}: vhosts is {vhosts}, state is {state}, users is {users}"
        answers.append(line)
        mapped[one.host] = int(users)
        reported_up = state != "down" and Effect.DOWN in enforced
        if (vhosts != 0 and (Effect.TAKES_VHOSTS in enforced or reported_up)) or (
            users != 0 and Effect.FLUSH in enforced
        ):
            given[one.host] = line
        elif reported_up:
            up[one.host] = line
        usable = int(one.reading["usable_others"])
        if fewest is None or usable < fewest:
            fewest = usable
        others[f"{one.host}: {one.reading['others']}"] = None
    return RingSeen(
        given_users=given,
        reported_up=up,
        answers="; ".join(answers),
        heard=frozenset(mapped),
        users=max(mapped.values(), default=0),
        usable_others=fewest,
        others="; ".join(others),
    )


def to_make_again(run: Run, ring: RingSeen, serves: bool | None) -> list[PlannedChange]:
    """The run's own changes that put it right, in order; nothing that serves is flushed, nor what may serve."""
    given = _with_vhosts(ring).values()
    # In the middle of a restore the vhosts are there by this run's own hand: down is what keeps users away.
    again = Effect.TAKES_VHOSTS in run.enforced or any("state is down," not in line for line in given)
    wanted = {Effect.TAKES_VHOSTS, Effect.DOWN} if given and again else set()
    if serves is False:
        wanted.add(Effect.FLUSH)
    last = {effect: step for step in run.ring.kept_up for effect in step.does if effect in wanted & run.enforced}
    return [last[effect] for effect in (Effect.TAKES_VHOSTS, Effect.DOWN, Effect.FLUSH) if effect in last]


def _with_vhosts(ring: RingSeen) -> dict[str, str]:
    return {host: line for host, line in ring.given_users.items() if "vhosts is 0," not in line}


def to_be_sent_to(ring: RingSeen) -> list[str]:
    """The directors on which it can be set back: where one has given it vhosts, the others have nothing to send it."""
    return list(_with_vhosts(ring) or ring.given_users)


def only_mapped(run: Run, ring: RingSeen) -> bool:
    """Whether all that is not as it was made is that users are mapped: what to do then depends on whether it serves."""
    return bool(ring.given_users) and not to_make_again(run, ring, serves=None)


def heard_all(run: Run, seen: Sequence[Seen]) -> bool:
    """Whether each director that gave it users was read: what another one says is not their answer."""
    return run.ring.given_by <= {one.host for one in seen if one.reading is not None}


def all_at_zero(seen: Sequence[Seen]) -> bool:
    """Whether all directors that were read, one at least, have it at vhost count 0.

    Down alone is no proof that a person has taken it out: a health monitor says that too.
    """
    read = [one.reading for one in seen if one.reading is not None]
    return bool(read) and all(one["vhosts"] == 0 for one in read)


def in_use(seen: Sequence[Seen], *, every: bool = True) -> bool:
    """Whether every director was read, and gives it users; or else all that were read, one at least."""
    read = [one.reading for one in seen if one.probe == "director-hosts" and one.reading is not None]
    enough = len(read) == len(seen) if every else bool(read)
    return enough and all(one["vhosts"] != 0 and one["state"] == "up" for one in read)


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """What nobody saw: the backend was out already when this watch began, as the bot was away before.

    `possible`: that it was put back meanwhile, by somebody who had no bot to tell it to. `found`: it looks so. `sent`:
    what the run had sent to hosts by then. `called`: people were called about it.
    """

    possible: bool
    sent: frozenset[str]
    found: bool = False
    called: bool = False

    @classmethod
    def before(cls, run: Run) -> Unseen:
        """As a watch of this run begins."""
        return cls(possible=bool(run.enforced), sent=run.sent)

    def after(self, run: Run, seen: Sequence[Seen], serves: bool | None) -> Unseen:
        """After one more look: so as long as it serves, all give it users, and neither people nor the run act on it.

        Whoever is not heard has not said that it is otherwise.
        """
        if not self.possible or all(one.reading is None for one in seen):
            return replace(self, found=False)
        called = self.called or run.ring.helpless_reported
        dealt_with = called and not run.ring.helpless_reported
        new = (step.does for step in run.plan.steps if step.name in run.sent - self.sent)
        started = any(Effect.START_DOVECOT in does for does in new)
        possible = in_use(seen, every=False) and serves is not False and not (dealt_with or started)
        return replace(self, possible=possible, found=possible and serves is True, called=called)


@dataclass(frozen=True, kw_only=True)
class Others:
    """What the looks of one watch have shown of the other backends since that was last reported.

    Those that flap call people once, and not at each of their turns. `enough_since`: since when no look has shown fewer
    than the ring needs; `fell`: since when each one has, after they had been enough and that was not reported.
    """

    enough_since: datetime | None = None
    fell: datetime | None = None

    def seen(self, run: Run, ring: RingSeen, now: datetime) -> Others:
        """After one more look; a silence shows nothing."""
        if ring.usable_others is None:
            return self
        if not _too_few(run, ring.usable_others):
            return Others(enough_since=self.enough_since or now)
        return Others(fell=now if self.enough_since and run.ring.others_low else self.fell)

    def to_record(self, run: Run, ring: RingSeen, now: datetime, calm: timedelta) -> OthersCounted | None:
        """The fact to be written: at once when they became fewer than the ring needs, or than was reported.

        What is reported anew, that they are enough again, or too few again, has to be so for `calm` before.
        """
        usable, left = ring.usable_others, run.ring.others_left
        if usable is None or not run.enforced:
            return None
        if not _too_few(run, usable):
            due = left is not None and _long(self.enough_since, now, calm)
        else:
            due = left is None or usable < left or _long(self.fell, now, calm)
        needed = run.target.ring.usable_others
        return OthersCounted(usable=usable, needed=needed, reason=ring.others) if due else None


def _long(since: datetime | None, now: datetime, calm: timedelta) -> bool:
    return since is not None and now - since >= calm


def _too_few(run: Run, usable: int) -> bool:
    return usable < run.target.ring.usable_others


def nowhere_to_go(run: Run, ring: RingSeen) -> str:
    """Why nothing is set back: users must have somewhere to go."""
    name = run.target.backend.name
    return (
        f"{name} has been given users again ({'; '.join(ring.given_users.values())}), and no other backend can be used"
        f" ({ring.others}). It is left as it is, as setting it back would leave users with nowhere to go. What to do:"
        f" see whether {name} serves, and bring the others back; or take over by hand"
    )


def put_back(run: Run) -> str:
    """Why nothing is set back: it serves, so nobody is harmed where it is left, and somebody may have meant it."""
    name = run.target.backend.name
    return (
        f"{name} serves, and is given users by all directors that answer, as the bot finds it after it was away:"
        " somebody may have put it back meanwhile. It is left as it is. What to do: where it is to stay so, take over,"
        " which ends the run; to go on with the run, click Retry, and it is taken out again"
    )


def another_director(host: str) -> str:
    """Why nothing is set back: the director is not the one that is meant."""
    return (
        f"{host} gives users again to the backend that is out, and does not prove to be the director that it was when"
        " this run began, so nothing is sent there. What to do: see where its `ssh` name leads now, then click Retry"
    )


def nameless(host: str) -> str:
    """The same, where it does not say who it is, though it was asked several times."""
    return (
        f"{host} gives users again to the backend that is out, and does not say which director it is, so nothing is"
        " sent there. What to do: see what `doveadm director ring status` says there, then click Retry"
    )


def nobody_knows(run: Run, ring: RingSeen) -> str:
    """Why users are not moved: none that serves is flushed, nor what may serve."""
    backend = run.target.backend
    return (
        f"users are mapped to {backend.name} ({'; '.join(ring.given_users.values())}), and whether its dovecot runs"
        f" cannot be seen, so they are not moved. What to do: see whether {backend.name} serves; where it does not,"
        f" `doveadm director flush {backend.ip}` on a director moves them; or take over by hand"
    )


def unapproved(run: Run, steps: Sequence[PlannedChange]) -> str:
    """Why nothing is set back: nobody's word stands for it any more."""
    commands = ", ".join(f"`{step.action.command.text}`" for step in steps)
    return (
        f"{run.target.backend.name} has users again, and what sets that back needs an approval that does not"
        f" count any more: {commands}. What to do: do that by hand on a director, or take over by hand"
    )
