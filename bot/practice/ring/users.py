"""The practice ring's mail users: most stay connected, some come and go, all log in again when they are cut off.

What counts is who could not log in: a director tries a backend that does not serve for 3 seconds, and then
turns the user away.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.practice.ring.state import DirectorsState
from bot.practice.values import FailedLogin

_STEADY = 0.7
_CAME_BACK_SOON = 4


@dataclass(kw_only=True)
class _MailUser:
    name: str
    steady: bool
    next_at: datetime
    """When a user who is away logs in, or one who comes and goes leaves."""
    backend: str | None = None
    trying_since: datetime | None = None


class MailUsers:
    """The population of one ring."""

    def __init__(
        self,
        ring: DirectorsState,
        *,
        count: int,
        serving: Callable[[str], bool],
        chance: random.Random,
        now: datetime,
        login_patience: timedelta = timedelta(seconds=3),
    ) -> None:
        """`serving` says whether the backend of an IP takes logins."""
        self.failed_logins: list[FailedLogin] = []
        self._ring = ring
        self._serving = serving
        self._chance = chance
        self._patience = login_patience
        self._usable: set[str] = set()
        self._users = [self._made(number, count, now) for number in range(1, count + 1)]

    def _made(self, number: int, count: int, now: datetime) -> _MailUser:
        """Steady ones, and half of the others, are connected from the beginning."""
        steady = number <= count * _STEADY
        user = _MailUser(name=f"user-{number:03}", steady=steady, next_at=now)
        if steady or number % 2:
            self._log_in(user, now)
        else:
            user.next_at = now + self._ring.user_expire * self._chance.uniform(0.1, 0.8)
        return user

    @property
    def names(self) -> set[str]:
        """Everyone's name."""
        return {user.name for user in self._users}

    @property
    def connected(self) -> dict[str, str]:
        """The backend IP of each user who is connected now."""
        return {user.name: user.backend for user in self._users if user.backend is not None}

    def tick(self, now: datetime) -> None:
        """Let everyone do what is due."""
        self._welcome_back(now)
        kicked, self._ring.kicked = self._ring.kicked, set()
        for user in self._users:
            if user.backend is None:
                if now >= user.next_at:
                    self._log_in(user, now)
            elif user.name in kicked or not self._serving(user.backend):
                self._leave(user, now + timedelta(seconds=self._chance.uniform(0.05, 0.3)))
            elif not user.steady and now >= user.next_at:
                self._leave(user, now + self._ring.user_expire * self._chance.uniform(1.05, 1.6))
            elif user.name in self._ring.mapped:
                self._ring.mapped[user.name].seen = now
            else:
                self._ring.route(user.name, now)

    @staticmethod
    def _leave(user: _MailUser, back_at: datetime) -> None:
        user.backend, user.next_at = None, back_at

    def _log_in(self, user: _MailUser, now: datetime) -> None:
        if self._ring.knowing() is None:
            # No director takes logins before it has the ring's state; the client tries again.
            user.next_at = now + timedelta(seconds=0.3)
            return
        backend = self._ring.route(user.name, now)
        user.trying_since = user.trying_since or now
        if backend is not None and self._serving(backend):
            user.backend, user.trying_since = backend, None
            user.next_at = now + self._ring.user_expire * self._chance.uniform(0.3, 1.0)
        elif backend is None or now - user.trying_since > self._patience:
            self.failed_logins.append(FailedLogin(at=now, user=user.name, backend=backend or ""))
            user.trying_since, user.next_at = None, now + timedelta(seconds=1)

    def _welcome_back(self, now: datetime) -> None:
        """Bring some logins forward when a backend becomes usable, so that a practice run need not wait long."""
        known = self._ring.knowing()
        usable = set() if known is None else {ip for ip, seen in known.backends.items() if seen.usable}
        if usable - self._usable:
            away = [user for user in self._users if user.backend is None and user.trying_since is None]
            unmapped_first = sorted(away, key=lambda user: user.name in self._ring.mapped)
            for number, user in enumerate(unmapped_first[:_CAME_BACK_SOON], start=1):
                user.next_at = min(user.next_at, now + timedelta(seconds=0.2 * number))
        self._usable = usable
