"""The errors of the bot: one small tree. A message says what happened, where, what it means and what to do."""

from __future__ import annotations


class BotError(Exception):
    """Something the bot can name; its text may be shown to people."""


class Refused(BotError):
    """A command was not accepted, and nothing was changed or written."""


class Misconfigured(BotError):
    """Settings, inventory, rules or a procedure cannot be used; nothing was started."""


class InUse(Misconfigured):
    """Another bot is using this journal."""


class TokenRefused(Misconfigured):
    """Slack does not take a token of the bot; nothing was started."""


class Unprinted(BotError):
    """Standard output did not take what was to be printed; the text says why."""


class Unreadable(BotError):
    """A host answered with something that is not the answer to what was asked."""


class Illegal(BotError):
    """A fact does not fit the run that it is about: the journal is damaged, or the bot has a defect."""


class HostError(BotError):
    """A command could not be brought to a host and back."""


class NotRun(HostError):
    """The command was certainly not run: no connection to the host was there."""


class CameLate(NotRun):
    """The host refused the command, as it came after the time that it was decided for."""


class StillRuns(NotRun):
    """The host refused the command, as an earlier one of this bot still runs there."""


class MayHaveRun(HostError):
    """The command was sent and its end was not heard: it may have run, and may still be running."""


class JournalError(BotError):
    """The journal cannot be read or written; what was not written did not happen."""


class Conflict(JournalError):
    """Somebody else has written the next fact of this run."""


class RingClaimed(JournalError):
    """Another run has this ring, or a backend or director that both would claim.

    `what` is it in words; `ring` is empty when it is not the ring of that name.
    """

    def __init__(self, ring: str, run: str, *, what: str = "") -> None:
        self.what = what or f"ring {ring}"
        super().__init__(f"{self.what} is claimed by run {run}")
        self.ring = ring
        self.run = run


class SlackAway(BotError):
    """Slack cannot be reached, or did not take a message."""
