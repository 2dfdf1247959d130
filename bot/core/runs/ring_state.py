"""What a run knows of its ring: what it made of it, what may still come there, what others did, who is mapped there.

Each method gives the state after one thing. Nothing here decides; what has to stay as it is is said by `Run.enforced`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.core.plans.effects import TAKE_USERS_AWAY, Effect
from bot.core.plans.plan import PlannedChange
from bot.core.runs import events as fact

DEVIATIONS = 3
"""How often the ring is set back before a person is asked."""

UNHEARD = 6
"""How many commands to one director it is remembered of that their end was not heard: more than are under way at once,
so that the end of one of these takes no other one away.
"""


@dataclass(frozen=True, kw_only=True)
class RingState:
    """The ring as a run made it and last saw it. Dates are those of the facts."""

    users: Mapping[str, int] = field(default_factory=dict)
    """By director: how many users were mapped to the backend at the last count, at `users_at`."""
    users_at: datetime | None = None
    users_before: Mapping[str, int] = field(default_factory=dict)
    """As they were first counted."""
    out_since: datetime | None = None
    """When its vhosts were taken away, or may have been."""
    zero_since: datetime | None = None
    """The same, or when it was last set back after it had been given users."""
    out_until: datetime | None = None
    """When it was given them, or was set up again; the last time."""
    not_back: str = ""
    """What was last seen, at `not_back_at`, where people skipped the check that would show that it is back."""
    not_back_at: datetime | None = None
    seen_out: datetime | None = None
    """When it was seen out that somebody had taken over who was to take it out by hand."""
    given_back: frozenset[Effect] = frozenset()
    """What this run has begun to take back of what it made of the ring; the backend gets users once that is all."""
    kept_up: tuple[PlannedChange, ...] = ()
    """What the watch keeps so: the changes of the ring that were made, in order, and a flush that was skipped."""
    given_by: frozenset[str] = frozenset()
    """The directors that were last seen to give it users again, and not seen to be set back since."""
    unheard: tuple[tuple[str, int], ...] = ()
    """Commands that take users away and whose end was not heard: the director, and until when each may still begin
    there, by the director's own clock. Of many, those that may begin last: when they are over, all are.
    """
    deviations: int = 0
    """How often it was seen not to be as it was made, since somebody last dealt with that."""
    times: int = 0
    """How many of these were more than what was left of the one before."""
    times_reported: int = 0
    """How many of them there were when people were last called; they are called anew when there are too many."""
    left: frozenset[str] = frozenset()
    """The steps that the watch has not made again since it saw the last deviation: what needs them is no other one."""
    in_vain: bool = False
    """Whether something that the watch has sent since then did not keep users away."""
    helpless_reported: bool = False
    """Whether people were called about a ring that cannot be set back, and neither they nor the watch did so since."""
    came_back: int = 0
    """How often users came back before the stop, since somebody last dealt with it."""
    others_left: int | None = None
    """How many other backends can be used, as was last posted, where the ring needs more; None where it does not."""
    monitor_reported: bool = False
    """Whether the thread says already that something reports the backend up."""

    @property
    def enforced(self) -> frozenset[Effect]:
        """What was made of it, and not taken back since; a flush alone keeps nobody away."""
        made = frozenset[Effect]().union(*(step.does for step in self.kept_up)) & TAKE_USERS_AWAY - self.given_back
        return made if made - {Effect.FLUSH} else frozenset()

    @property
    def given_users(self) -> bool:
        """Whether it was last seen to be given users again, and not seen to be set back since."""
        return bool(self.given_by)

    @property
    def deviates_too_often(self) -> bool:
        """Whether people have to say what keeps changing it."""
        return self.times >= DEVIATIONS

    @property
    def deviates_anew(self) -> bool:
        """The same, and they were not called about it yet."""
        return self.times >= DEVIATIONS > self.times_reported

    @property
    def others_low(self) -> bool:
        """Whether fewer other backends were last reported usable than the ring needs."""
        return self.others_left is not None

    def calm(self) -> RingState:
        """People have dealt with what kept changing it."""
        calm = replace(self, deviations=0, times=0, times_reported=0, left=frozenset())
        return replace(calm, helpless_reported=False, came_back=0)

    def reported(self) -> RingState:
        """People were called: the run holds."""
        return replace(self, times_reported=self.times)

    def users_came_back(self) -> RingState:
        """Users were mapped to it again before the stop, and are moved once more."""
        return replace(self, came_back=self.came_back + 1)

    def others_counted(self, new: fact.OthersCounted) -> RingState:
        """The other backends became fewer than the ring needs, or enough again."""
        return replace(self, others_left=new.usable if new.usable < new.needed else None)

    def reported_up(self) -> RingState:
        """Something was seen to report the backend up at vhosts 0."""
        return replace(self, monitor_reported=True)

    def counted(self, users: Mapping[str, int], at: datetime) -> RingState:
        """The users mapped to the backend were counted."""
        return replace(self, users=users, users_at=at, users_before=self.users_before or users)

    def taken_out(self, at: datetime) -> RingState:
        """The backend's vhosts were taken away, or may have been."""
        return replace(self, out_since=self.out_since or at, zero_since=self.zero_since or at)

    def taken_out_by_hand(self, at: datetime) -> RingState:
        """Whoever has taken over has taken its vhosts away; until when it is out is not known."""
        since = self.out_since if self.out_until is None else None
        return replace(self, seen_out=at, out_since=since or at, out_until=None)

    def takes_back(self, effects: frozenset[Effect]) -> RingState:
        """The run begins to take these back, or people have done so by hand."""
        return replace(self, given_back=self.given_back | effects)

    def turned_back(self) -> RingState:
        """The run goes back: what it makes there is another plan's, which has taken nothing back yet."""
        return replace(self, given_back=frozenset())

    def given_users_for_good(self, at: datetime) -> RingState:
        """Every director was seen to give the backend users, and so it is meant to stay."""
        return replace(self.seen_back(), out_until=at)

    def not_seen_back(self, reason: str, at: datetime) -> RingState:
        """It was given users, and what was to show that they can come to it was left out: this was seen last."""
        return replace(self, not_back=reason, not_back_at=at)

    def seen_back(self) -> RingState:
        """Every director was seen to say that it is back."""
        return replace(self, not_back="", not_back_at=None) if self.not_back else self

    def as_before(self, was: RingState) -> RingState:
        """What was begun certainly never ran: it has taken nothing away, and nothing back."""
        # Where its vhosts were away before, what was begun changed no date: another one is the watch's.
        zero_since = self.zero_since if was.zero_since else None
        return replace(self, out_since=was.out_since, zero_since=zero_since, given_back=was.given_back)

    def keeps_up(self, step: PlannedChange) -> RingState:
        """The watch keeps this so from here on."""
        return self if step in self.kept_up else replace(self, kept_up=(*self.kept_up, step))

    def sent(self, host: str, not_after: int, times: int = 1) -> RingState:
        """Commands that take users away go out to this director."""
        there = sorted(one for one in self.unheard if one[0] == host)
        kept = list(self.unheard)
        for one in there[: max(0, len(there) + times - UNHEARD)]:
            kept.remove(one)
        return replace(self, unheard=(*kept, *((host, not_after),) * times))

    def heard(self, hosts: Collection[str]) -> RingState:
        """The end of the last such command was heard at each of these; an older one there may still be on its way."""
        last = {host: at for at, (host, _) in enumerate(self.unheard)}
        ended = {at for host, at in last.items() if host in hosts}
        return replace(self, unheard=tuple(one for at, one in enumerate(self.unheard) if at not in ended))

    def deviated(self, new: fact.RingDeviated) -> RingState:
        """It is not as this run made it, and the watch is about to set it back."""
        left = frozenset(step.name for step in self.kept_up) - (frozenset() if new.helpless else {new.step})
        counted = replace(
            self, deviations=self.deviations + 1, times=self.times + (new.step not in self.left), left=left
        )
        again = counted.sent(new.host, new.not_after, new.sends)
        helpless = self.helpless_reported or bool(new.helpless)
        given_by = self.given_by | {new.host, *new.given}
        return replace(again, given_by=given_by, helpless_reported=helpless, in_vain=False)

    def set_back(self, new: fact.RingSetBack, at: datetime) -> RingState:
        """What the watch sent takes users away too, and may still come where its end was not heard."""
        keeps_away = any(step.name == new.step and Effect.FLUSH not in step.does for step in self.kept_up)
        in_vain = bool(new.not_after) and (self.in_vain or (keeps_away and not new.holds))
        state = replace(self, left=self.left - {new.step}, in_vain=in_vain)
        if self.given_users and new.holds and not in_vain:
            # That is over: where it happens again, people are called again.
            state = replace(state, given_by=frozenset(), zero_since=at, helpless_reported=False)
        if not new.not_after:  # nothing was sent
            return replace(state, left=frozenset()) if new.holds else state
        command, *_ = new.ran
        sent = (command.host, new.not_after)
        if command.changes and command.exit_status is None:
            return state if sent in state.unheard else state.sent(*sent)
        place = state.unheard.index(sent) if sent in state.unheard else len(state.unheard)
        return replace(state, unheard=(*state.unheard[:place], *state.unheard[place + 1 :]))
