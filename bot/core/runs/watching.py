"""What the directors say while a backend is out, judged: is it as the run left it, and are there enough others?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.plans.effects import Effect
from bot.core.runs.events import OthersCounted, Seen
from bot.core.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class RingSeen:
    """One look at the directors that answer, judged.

    `given_users`: directors that give the backend users again, or have some mapped to it though it was emptied, with
    their answers. `reported_up`: directors that report it up at vhosts 0, which harms nobody. `said`: all their
    answers. `usable_others`: the lowest count of all directors; None when none answered.
    """

    given_users: dict[str, str]
    reported_up: dict[str, str]
    said: str
    usable_others: int | None
    others: str


def judge_ring(run: Run, seen: Sequence[Seen]) -> RingSeen:
    """Hold the directors' answers against what this run has made of the ring."""
    enforced = run.enforced
    given, up, said = {}, {}, []
    fewest: int | None = None
    others: dict[str, None] = {}
    for one in seen:
        if one.probe != "director-hosts" or one.reading is None:
            continue
        vhosts, users, state = one.reading["vhosts"], one.reading["users"], one.reading["state"]
        line = f"{one.host}: vhosts is {vhosts}, state is {state}, users is {users}"
        said.append(line)
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
        given_users=given, reported_up=up, said="; ".join(said), usable_others=fewest, others="; ".join(others)
    )


def counted(run: Run, ring: RingSeen) -> OthersCounted | None:
    """The fact to be written when the others became fewer than the ring needs, or enough again."""
    needed = run.request.target.ring.usable_others
    if ring.usable_others is None or not run.enforced or (ring.usable_others < needed) == run.ring.others_low:
        return None
    return OthersCounted(usable=ring.usable_others, needed=needed, reason=ring.others)
