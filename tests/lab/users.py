"""Mail users at work: they log in through both directors, again and again, and note what came of it; and newcomers."""

import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.lab.crowd import AT_MOST, Attempt, Crowd
from tests.lab.files import Host
from tests.lab.imap import Ended, Refused, connected
from tests.lab.ring import Lab

SHORT_STAY = timedelta(0)
# Longer than most flushes take to come round to a user, so that there is somebody to kick.
LONG_STAY = timedelta(seconds=6)
# Then a mail program says that the server does not answer.
PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Login(Attempt):
    """One login; `took` is how long the user waited to be let in, or to hear that not."""

    error: str | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the server hung up instead of answering; see cut_by_moves."""
        return self.error is not None and self.error.startswith("Ended")


@dataclass(frozen=True, kw_only=True)
class Kick:
    """A session that had been let in, and was ended by the server; no failure, users come back by themselves."""

    at: datetime
    user: str
    director: str


class MailUsers(Crowd[Login]):
    """Users who log in; half of them stay connected for some time, `stay`, each time."""

    def __init__(self, lab: Lab, count: int = 60, *, stay: timedelta = LONG_STAY, at_most: timedelta = AT_MOST) -> None:
        super().__init__(lab, count, at_most=at_most)
        self._stay = stay
        self.kicks: list[Kick] = []
        self._password = lab.password

    @property
    def logins(self) -> list[Login]:
        """Every login so far."""
        return self.attempts

    async def _attempt(self, user: str, director: Host) -> None:
        at, begun = datetime.now(UTC), time.monotonic()
        stay = self._stay if int(user.removeprefix("user-")) % 2 else SHORT_STAY

        def note(error: str | None) -> None:
            took = timedelta(seconds=time.monotonic() - begun)
            ok = error is None
            self.attempts.append(Login(at=at, user=user, director=director.name, ok=ok, took=took, error=error))

        let_in = False
        try:
            async with connected(director.ip, PATIENCE) as session:
                await session.command(f"LOGIN {user} {self._password}")
                let_in = True
                note(None)
                await session.command("SELECT INBOX")
                await session.stay(stay)
                await session.command("LOGOUT")
        except Refused as answer:
            note(str(answer))
        except (Ended, OSError, TimeoutError) as end:
            if let_in:
                self.kicks.append(Kick(at=datetime.now(UTC), user=user, director=director.name))
            else:
                note(f"{type(end).__name__}: {end}")


class Newcomers(Crowd[Attempt]):
    """Users whom no director knows, each once: some of them come to a backend as soon as it is up."""

    def __init__(self, lab: Lab, count: int = 20, *, at_most: timedelta = AT_MOST) -> None:
        super().__init__(lab, count, at_most=at_most)
        self._password = lab.password

    async def _attempt(self, user: str, director: Host) -> None:
        at, begun = datetime.now(UTC), time.monotonic()
        try:
            async with connected(director.ip, PATIENCE) as session:
                await session.command(f"LOGIN new-{uuid4().hex[:12]} {self._password}")
                await session.command("LOGOUT")
            ok = True
        except (Ended, Refused, OSError, TimeoutError):
            ok = False
        took = timedelta(seconds=time.monotonic() - begun)
        self.attempts.append(Attempt(at=at, user=user, director=director.name, ok=ok, took=took))


def cut_by_moves(lab: Lab) -> Counter[tuple[str, str]]:
    """How many logins of each user each director's log says to have been cut as their user was moved.

    Only those that a backend was just answering: Dovecot hangs up on them, and does not try them elsewhere.
    """
    cut = r"Disconnected by proxy: Kicked via director \(internal failure.*?user=<([^>]+)>"
    logs = {name: lab.run(name, "cat /var/log/dovecot.log", check=True).stdout for name in lab.directors}
    return Counter((name, user) for name, text in logs.items() for user in re.findall(cut, text))
