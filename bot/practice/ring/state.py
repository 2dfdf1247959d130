"""What a director ring knows: each director's own view of the backends, and where the users are mapped.

Pure state and its rules; the time is an argument, and which users log in is decided elsewhere (users.py).
"""

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

FULL = 100
"""The vhost count of a backend that nobody has said anything about."""


@dataclass(frozen=True, kw_only=True)
class BackendState:
    """One backend as one director sees it. `changed`: when its state last went up or down, if ever."""

    vhosts: int = FULL
    up: bool = True
    changed: datetime | None = None
    tag: str = ""

    @property
    def usable(self) -> bool:
        """Whether new users are mapped to it, and mapped ones hash to it."""
        return self.up and self.vhosts > 0


@dataclass(kw_only=True)
class View:
    """One director. Away: its process does not run; the others give it up at `failed`, and wait for it until then.

    Hanging: its process is there and does nothing, as after SIGSTOP; the others wait for it as long as it hangs.
    `learns_at`: restarted, and has not yet heard the ring.
    """

    ip: str
    backends: dict[str, BackendState]
    away: bool = False
    hanging: bool = False
    failed: datetime | None = None
    learns_at: datetime | None = None
    restarted: datetime | None = None

    @property
    def knows(self) -> bool:
        """Whether it has the ring's state; one that hangs has an old one."""
        return not self.away and not self.hanging and self.learns_at is None


@dataclass(kw_only=True)
class MappedTo:
    """Where one user is mapped; `seen` is the last time the user was connected or logged in."""

    backend: str
    seen: datetime


@dataclass(frozen=True, kw_only=True)
class _Move:
    due: datetime
    user: str
    away_from: str


@dataclass(kw_only=True)
class DirectorsState:
    """The ring of named directors over backends known by IP."""

    directors: dict[str, View]
    user_expire: timedelta
    chance: random.Random
    learning_takes: timedelta = timedelta(seconds=1)
    mapped: dict[str, MappedTo] = field(default_factory=dict)
    kicked: set[str] = field(default_factory=set)
    """Users whose connections a move or a flush has cut; whoever plays the users takes them out."""
    connected: Callable[[], Mapping[str, str]] = dict
    """By name, the backend's IP of each user who is connected now."""
    unsynced_since: datetime | None = None
    """Since when a change is not confirmed by a director that hangs."""
    _moves: list[_Move] = field(default_factory=list)

    def change(self, ip: str, *, now: datetime, vhosts: int | None = None, up: bool | None = None) -> None:
        """Set what is given, on every director that runs: they tell each other at once."""
        for view in self.directors.values():
            old = view.backends[ip]
            new = replace(old, vhosts=old.vhosts if vhosts is None else vhosts, up=old.up if up is None else up)
            if view.hanging:
                self.unsynced_since = self.unsynced_since or now
            elif not view.away:
                view.backends[ip] = new if new.up == old.up else replace(new, changed=now)

    def restart(self, names: Iterable[str], now: datetime) -> None:
        """Restart these directors together; the ring forgets everything if nobody is left who knows."""
        for name in names:
            view = self.directors[name]
            view.backends = {ip: BackendState(tag=one.tag) for ip, one in view.backends.items()}
            view.learns_at = now + self.learning_takes
            view.restarted = now
        self._forget_if_nobody_knows()

    def set_away(self, name: str, now: datetime, *, away: bool) -> None:
        """Stop a director's process, or start it again."""
        view = self.directors[name]
        if view.away == away:
            return
        view.away, view.hanging, view.failed = away, False, now + self.learning_takes if away else None
        self.restart([name], now)

    def set_hanging(self, name: str, *, hanging: bool) -> None:
        """Stop a director's process as SIGSTOP does, or let it go on: then it hears at once what it missed."""
        view = self.directors[name]
        if view.hanging == hanging or view.away:
            return
        known = self.knowing()
        view.hanging = hanging
        if not hanging:
            if known is not None:
                view.backends = {ip: replace(one, changed=None) for ip, one in known.backends.items()}
            if not any(one.hanging for one in self.directors.values()):
                self.unsynced_since = None

    def waits_until(self, now: datetime) -> datetime:
        """When the ring will have given up whoever went away; a moment that is past when it waits for nobody."""
        return max((view.failed for view in self.directors.values() if view.failed is not None), default=now)

    def _forget_if_nobody_knows(self) -> None:
        if not any(view.knows for view in self.directors.values()):
            self.kicked |= set(self.mapped)
            self.mapped.clear()
            self._moves.clear()

    def knowing(self) -> View | None:
        """A director with the ring's state; those that have it agree."""
        return next((view for view in self.directors.values() if view.knows), None)

    def usable(self, ip: str) -> bool:
        """Whether the ring maps users to this backend."""
        view = self.knowing()
        return view is not None and view.backends[ip].usable

    def users(self, view: View, ip: str) -> int:
        """How many users this director has mapped to this backend."""
        return self._counts()[ip] if view.knows or view.hanging else 0

    def _counts(self) -> Counter[str]:
        return Counter(mapping.backend for mapping in self.mapped.values())

    def choose(self, instead_of: str | None = None, counts: Counter[str] | None = None) -> str | None:
        """A usable backend for a user: the one with the fewest users for its vhosts, or None.

        In place of another backend, only one of the same tag will do. `counts`: the users by backend, where known.
        """
        counts = self._counts() if counts is None else counts
        view = self.knowing()
        seen = {} if view is None else {ip: one for ip, one in view.backends.items() if one.usable}
        if view is not None and instead_of is not None:
            seen = {ip: one for ip, one in seen.items() if one.tag == view.backends[instead_of].tag}
        # Evenly rather than by hash, as the few users of a practice ring would otherwise sit together by chance.
        loads = {ip: (counts[ip] / one.vhosts, self.chance.random()) for ip, one in seen.items()}
        return min(loads, key=lambda ip: loads[ip]) if loads else None

    def route(self, user: str, now: datetime) -> str | None:
        """Where a login of this user goes: where the user is mapped, usable or not, or else a chosen backend."""
        mapping = self.mapped.get(user)
        backend = mapping.backend if mapping is not None else self.choose()
        if backend is not None:
            self.mapped[user] = MappedTo(backend=backend, seen=now)
        return backend

    def proxied(self, director: str) -> dict[str, str]:
        """The sessions that go through this director, as `connected`; a user has one, through one of them."""
        names = list(self.directors)
        through = {user: names[zlib.crc32(user.encode()) % len(names)] for user in self.connected()}
        return {user: ip for user, ip in self.connected().items() if through[user] == director}

    def move(self, user: str, ip: str, now: datetime) -> None:
        """Pin a user to a backend, usable or not, and kick the user if connected to another."""
        before = self.mapped.get(user)
        self.mapped[user] = MappedTo(backend=ip, seen=now)
        if before is not None and before.backend != ip:
            self.kicked.add(user)

    def cut_off(self, ip: str) -> None:
        """Cut the connections of everybody on this backend; the mappings stay."""
        self.kicked |= {user for user, mapping in self.mapped.items() if mapping.backend == ip}

    def flush(self, ip: str, now: datetime) -> None:
        """Begin to move the users whose hash no longer points to this backend; none while it is usable."""
        if self.usable(ip):
            return
        for user, mapping in self.mapped.items():
            if mapping.backend == ip:
                due = now + timedelta(seconds=self.chance.uniform(0.05, 0.4))
                self._moves.append(_Move(due=due, user=user, away_from=ip))

    def tick(self, now: datetime) -> None:
        """Let pass what time brings: directors learn, moves happen, mappings expire."""
        for view in self.directors.values():
            if not view.away and view.learns_at is not None and view.learns_at <= now:
                known = self.knowing()
                # The others tell how a backend is, but not since when.
                learned = (
                    {} if known is None else {ip: replace(one, changed=None) for ip, one in known.backends.items()}
                )
                view.backends = learned or view.backends
                view.learns_at = None
        due = [move for move in self._moves if move.due <= now]
        self._moves = [move for move in self._moves if move.due > now]
        counts = self._counts() if due else Counter[str]()
        for move in due:
            self._make(move, now, counts)
        connected = self.connected()
        for user in [user for user, one in self.mapped.items() if now - one.seen >= self.user_expire]:
            if user not in connected:  # whoever is connected stays mapped
                del self.mapped[user]

    def _make(self, move: _Move, now: datetime, counts: Counter[str]) -> None:
        mapping = self.mapped.get(move.user)
        if mapping is None or mapping.backend != move.away_from or self.usable(move.away_from):
            return
        # Without another usable backend the user is kicked all the same, and keeps the mapping.
        backend = self.choose(move.away_from, counts) or move.away_from
        counts.subtract([move.away_from])
        counts.update([backend])
        self.mapped[move.user] = MappedTo(backend=backend, seen=now)
        self.kicked.add(move.user)
