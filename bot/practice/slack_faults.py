"""What may go wrong at Slack, said beforehand: faults of single calls, and the rate of posting.

It decides and counts; carrying a fault out is the server's work. It knows nothing of HTTP or of the bot.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

What = Literal["drop_after_accept", "status_500", "rate_limited", "hang", "refuse", "error"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with the next calls of a method.

    `method` is a Web API method, `upload`, `response_url`, or `*` for any of them. `drop_after_accept` does
    what was asked and then drops the connection; `refuse` drops it before; `hang` answers nothing, until
    the fault is cleared or Slack closes; `error` answers with `error`. `retry_after` is in seconds,
    `times=None` means until cleared.
    """

    method: str
    what: What
    retry_after: int = 1
    times: int | None = 1
    error: str = "internal_error"


@dataclass(kw_only=True)
class Faults:
    """The faults still to come, in the order they were asked for."""

    _coming: list[tuple[Fault, int | None]] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Have this fault happen from now on."""
        self._coming.append((fault, fault.times))

    def clear(self) -> None:
        """Have no fault happen any more."""
        self._coming.clear()

    def strike(self, method: str) -> Fault | None:
        """Return the fault that strikes this call, and count it; None when the call goes well."""
        for number, (fault, left) in enumerate(self._coming):
            if fault.method in (method, "*"):
                if left is not None and left <= 1:
                    del self._coming[number]
                elif left is not None:
                    self._coming[number] = (fault, left - 1)
                return fault
        return None


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a channel may be posted to: `per_second` in the long run, `burst` at once."""

    per_second: float = 1.0
    burst: int = 3


@dataclass(kw_only=True)
class Meter:
    """Counts the posts of each channel against a rate; without a rate it lets everything pass."""

    rate: Rate | None
    clock: Callable[[], float]
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def too_fast(self, channel: str) -> int | None:
        """Count one post, and return None; or return the whole seconds to wait when it is one too many."""
        if self.rate is None:
            return None
        now = self.clock()
        left, then = self._left.get(channel, (float(self.rate.burst), now))
        left = min(self.rate.burst, left + (now - then) * self.rate.per_second)
        if left < 1:
            self._left[channel] = (left, now)
            return max(1, round((1 - left) / self.rate.per_second + 0.5))
        self._left[channel] = (left - 1, now)
        return None
