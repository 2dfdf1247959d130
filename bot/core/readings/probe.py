"""What a probe is: a question to a host as a command, and the reading of its answer. All of them are in probes.py.

Its parameters come from the procedure; what it reads can be expected there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Target
from bot.core.readings.outputs import Asks, Exits, Reading, own_answer


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A question to a host. `parameters` are the keys it needs, `fields` the keys that its reading has.

    `hidden`: fields that are remembered, compared, and shown to nobody. `whole`: those that are compared, and so never
    cut. `shows`: what people are shown of an answer, in short and whole, where that is not what was printed.
    `in_words`: a reading in words, where its fields are too little.
    """

    name: str
    parameters: frozenset[str]
    fields: frozenset[str]
    optional: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    command: Callable[[Target, Asks], Command]
    read: Callable[[Target, Asks, Result], Reading]
    shows: Callable[[Asks, Result], tuple[str, str]] | None = None
    in_words: Callable[[Reading], str] | None = None


def probe(  # noqa: PLR0917 - a table reads better without its column names
    name: str,
    command: Callable[[Target, Asks], Command],
    read: Callable[[Target, Asks, Result], Reading],
    parameters: str,
    fields: str,
    optional: str = "",
    exits: Exits = MappingProxyType({}),
    shows: Callable[[Asks, Result], tuple[str, str]] | None = None,
    in_words: Callable[[Reading], str] | None = None,
    counts: bool = False,
) -> Probe:
    """`exits`: the exit statuses beside 0 with which the command answers; any other is somebody else's, or trouble.

    `counts`: what is printed is no part of what is read.
    """

    def answered(target: Target, asks: Asks, result: Result) -> Reading:
        own_answer(result, exits, counts=counts)
        return read(target, asks, result)

    return Probe(
        name=name,
        command=command,
        read=answered,
        shows=shows,
        in_words=in_words,
        parameters=frozenset(parameters.split()),
        fields=frozenset(fields.split()),
        optional=frozenset(optional.split()),
        hidden=_HIDDEN & frozenset(fields.split()),
        whole=_WHOLE & frozenset(fields.split()),
    )


_HIDDEN, _WHOLE = frozenset({"listing"}), frozenset({"installed"})
