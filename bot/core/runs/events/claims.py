"""What a run claims besides its ring's name: two backends behind the same directors must never be out at once.

The settings may call one set of directors by two rings' names, and one director by two ssh names. So a run claims its
backend by its address, its directors by how they are reached, and, once that is proved, by what they call themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.hosts.inventory import Target
from bot.core.runs.events import Fact, HostsProved, RunRequested, SettingsChanged
from bot.errors import JournalError, RingClaimed


def claims(fact: Fact) -> tuple[str, ...]:
    """The keys that a run claims from this fact on, each once; no two runs ever have the same one."""
    match fact:
        case RunRequested(target=target):
            return keys_of(target)
        case HostsProved(directors=directors):
            return tuple(dict.fromkeys(f"director {address}" for address in directors.values()))
        case SettingsChanged(directors=accesses):
            return tuple(dict.fromkeys(_ssh(access.ssh) for access in accesses.values()))
        case _:
            return ()


def directors_claimed(changed: SettingsChanged, error: JournalError) -> dict[str, str]:
    """The directors, by name, whose new `ssh` name kept this fact from being written, and the run that claims it."""
    if not isinstance(error, RingClaimed):
        return {}
    keys = {name: _ssh(access.ssh) for name, access in changed.directors.items()}
    return {name: error.run for name, key in keys.items() if claim_in_words(key) == error.what}


def keys_of(target: Target) -> tuple[str, ...]:
    """The keys that a run on this target claims from its beginning on."""
    reached = (_ssh(director.address) for director in target.ring.directors)
    return tuple(dict.fromkeys((f"backend {target.backend.ip}", *reached)))


def _ssh(name: str) -> str:
    return f"ssh {name.lower()}"


def shared(target: Target, rings: Sequence[str], keys: Sequence[str]) -> tuple[str, str] | None:
    """What of that a run on this target would want, too: the ring's name, or empty and the first key in words."""
    if target.ring.name in rings:
        return target.ring.name, ""
    found = next((key for key in keys_of(target) if key in keys), None)
    return None if found is None else ("", claim_in_words(found))


def claim_in_words(key: str) -> str:
    """What a key stands for, for people."""
    kind, _, name = key.partition(" ")
    return f"the director that `ssh {name}` reaches" if kind == "ssh" else f"the {kind} {name}"
