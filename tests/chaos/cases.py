"""Every case there is, made from the facts and the changes of one good run; and the seeded sample of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Literal

from bot.practice.slack.context import What
from tests.chaos import cuts, kills, rings, slacks
from tests.chaos.case import KINDS, Case, Kind
from tests.chaos.good import Good
from tests.chaos.others_cases import of_others

_DONE = frozenset({"done"})
_REFUSED = _DONE | {"refused"}
_WENT_BACK = frozenset({"went back"})
_DOVEADM = "doveadm"
_MOVE_FIRST = "move-first"


def all_cases(good: Good) -> tuple[Case, ...]:
    """Every case."""
    return (*_kills(good), *_of_the_bot(good), *_cuts(good), *_slack(good), *_ring(good), *of_others(good))


def _kills(good: Good) -> Iterator[Case]:
    for name in good.facts:
        yield Case(name=f"kill/{name}", kind="kills", family="kill", trouble=kills.at_facts(name))
        yield Case(name=f"kill-twice/{name}", kind="kills", family="twice", trouble=kills.at_fact_twice(name))
        yield Case(name=f"term/{name}", kind="kills", family="term", trouble=kills.terminated_at(name))
    for name, (family, take_down) in product(good.back, (("kill-back", ""), ("kill-back-moved", _MOVE_FIRST))):
        yield Case(
            name=f"{family}/{name}",
            kind="kills",
            family=family,
            trouble=kills.at_facts(name),
            turns_at="restore",
            may_end=_WENT_BACK,
            take_down=take_down,
        )
    for name in good.moving:
        killed = kills.at_facts(name)
        yield Case(name=f"kill-move/{name}", kind="kills", family="kill-move", trouble=killed, take_down=_MOVE_FIRST)
    for step, part in good.changes:
        yield Case(name=f"kill-in/{step}", kind="kills", family="kill-in", trouble=kills.at_command(part))


def _of_the_bot(good: Good) -> Iterator[Case]:
    for every in (1, 5, 7):
        storm = kills.again_and_again(every)
        # A bot that is killed at each fact never gets to send a command; at the third time it does not try again.
        rare = every == 1
        may_end = _REFUSED if rare else _DONE
        name = f"kill-every/{every}"
        yield Case(name=name, kind="kills", family="storm", trouble=storm, within=300, seldom=rare, may_end=may_end)
    for name in good.stages:
        yield Case(name=f"second/{name}", kind="kills", family="second", trouble=kills.second_start_at(name))
        locked = kills.journal_locked_at(name, 7.0)
        yield Case(name=f"locked/{name}", kind="kills", family="locked", trouble=locked)
        full = kills.journal_full_at(name, 3.0)
        yield Case(name=f"full/{name}", kind="kills", family="full", trouble=full)


def _cuts(good: Good) -> Iterator[Case]:
    moments: tuple[Literal["before", "during", "after"], ...] = ("before", "during", "after")
    for step, part in good.changes:
        for when in moments:
            cut = cuts.command(part, when=when, what="cut")
            yield Case(name=f"cut-{when}/{step}", kind="cuts", family=f"cut-{when}", trouble=cut)
        for when in ("before", "after"):
            hang = cuts.command(part, when=when, what="hang")
            yield Case(name=f"hang-{when}/{step}", kind="cuts", family=f"hang-{when}", trouble=hang)
            if part.startswith(_DOVEADM):
                busy = cuts.command(part, when=when, what="exit")
                yield Case(name=f"75-{when}/{step}", kind="cuts", family=f"75-{when}", trouble=busy)
        thrice = cuts.command(part, when="before", what="cut", times=3)
        may_end = _REFUSED if good.before_any_drain(step) else _DONE
        yield Case(name=f"cut-thrice/{step}", kind="cuts", family="cut-thrice", trouble=thrice, may_end=may_end)
    yield from _cuts_in_the_move()
    for stage in good.stages:
        for host in ("backend-3", "director-1", "director-2"):
            gone = cuts.unreachable_at(stage, host, 3.0)
            yield Case(name=f"unreachable-{host}/{stage}", kind="cuts", family=f"unreachable-{host[:8]}", trouble=gone)
        for director in ("director-1", "director-2"):
            yield Case(
                name=f"away-{director}/{stage}",
                kind="cuts",
                family="away",
                trouble=cuts.director_away_at(stage, director, 3.0),
                disturbs_ring=True,
            )


def _cuts_in_the_move() -> Iterator[Case]:
    """The flush that moves the users is the first one that such a run sends, and no login may fail by it."""
    ways: tuple[tuple[Literal["before", "during", "after"], Literal["cut", "hang", "exit"]], ...] = (
        ("before", "cut"),
        ("during", "cut"),
        ("after", "cut"),
        ("before", "hang"),
        ("after", "hang"),
        ("after", "exit"),
    )
    for when, what in ways:
        trouble = cuts.command("doveadm director flush", when=when, what=what)
        name = f"{what}-{when}-moving/move-users"
        yield Case(name=name, kind="cuts", family="cut-move", trouble=trouble, take_down=_MOVE_FIRST)


_METHODS = ("chat.postMessage", "chat.update", "*")
_FAULTS: tuple[What, ...] = ("drop_after_accept", "rate_limited", "status_500", "hang", "refuse")


def _slack(good: Good) -> Iterator[Case]:
    points = (good.facts[0], *good.stages, "ApprovalAsked:approve-flush", "Approved:approve-flush", "RunEnded")
    for point in points:
        for method in _METHODS:
            for what in _FAULTS:
                fails = slacks.call_fails_at(point, method, what, times=2)
                yield Case(name=f"{what}-{method}/{point}", kind="slack", family=what, trouble=fails)
        for method in ("files.getUploadURLExternal", "upload", "files.completeUploadExternal"):
            for what in _FAULTS:
                fails = slacks.call_fails_at(point, method, what)
                yield Case(name=f"{what}-{method}/{point}", kind="slack", family="files", trouble=fails)
        yield from _sockets(point)
        yield from _away(point)
    yield Case(name="envelopes-twice", kind="slack", family="envelopes", trouble=slacks.envelopes_twice)


def _sockets(point: str) -> Iterator[Case]:
    for reason in ("warning", "refresh_requested"):
        closed = slacks.sockets_close_at(point, reason)
        yield Case(name=f"sockets-{reason}/{point}", kind="slack", family="sockets", trouble=closed)
    yield Case(name=f"acks-lost/{point}", kind="slack", family="acks", trouble=slacks.acknowledgements_lost_at(point))
    yield Case(name=f"clicks-lost/{point}", kind="slack", family="clicks", trouble=slacks.envelopes_lost_at(point))


def _away(point: str) -> Iterator[Case]:
    yield Case(name=f"away-3s/{point}", kind="slack", family="away", trouble=slacks.away_at(point, 3.0))
    yield Case(
        name=f"away-60s/{point}",
        kind="slack",
        family="away-long",
        trouble=slacks.away_at(point, 60.0),
        within=300,
        seldom=True,
    )
    killed = slacks.killed_while_away_at(point, 1.0)
    yield Case(name=f"away-killed/{point}", kind="slack", family="away-killed", trouble=killed)


def _ring(good: Good) -> Iterator[Case]:
    for name in good.while_out:
        for family, trouble in (
            ("restart-1", rings.director_restarts_at(name, "director-1")),
            ("restart-2", rings.director_restarts_at(name, "director-2")),
            ("restart-all", rings.all_restart_at(name)),
            ("vhosts", rings.somebody_says_at(name, vhosts=100)),
            ("up", rings.somebody_says_at(name, up=True)),
            ("both", rings.somebody_says_at(name, vhosts=100, up=True)),
        ):
            # At a gate people are slow, so that the watch has to see it and not a step.
            slow = 8.0 if name.startswith("ApprovalAsked") else 1.5
            yield Case(
                name=f"{family}/{name}", kind="ring", family=family, trouble=trouble, disturbs_ring=True, slow=slow
            )
    for name in good.in_move:
        yield Case(
            name=f"restart-all-moving/{name}",
            kind="ring",
            family="restart-move",
            trouble=rings.all_restart_at(name),
            disturbs_ring=True,
            slow=1.5,
            take_down=_MOVE_FIRST,
        )
    for name in ("StepDone:install-config", "StepDone:remove-old-metacache-database"):
        started = rings.somebody_starts_dovecot_at(name)
        # The stop that counted is undone: nothing more is deleted, and people go back.
        yield Case(
            name=f"dovecot-started/{name}",
            kind="ring",
            family="started",
            trouble=started,
            then="go_back",
            may_end=_DONE | _WENT_BACK,
        )
    for delay in (0.0, 0.02, 0.5, 2.0):
        asked = rings.another_backend_is_asked_for(delay)
        yield Case(name=f"two-requests/{delay:g}s", kind="ring", family="two", trouble=asked)


_MORE: dict[Kind, int] = {"kills": 2, "cuts": 4, "slack": 4, "ring": 4, "others": 4}
"""How many cases of each kind a sample has besides one of every family."""


def sample(good: Good, seed: int) -> tuple[Case, ...]:
    """A choice for this seed: first one of every family; then a kill at every fact, some a scene; then more."""
    chance = random.Random(seed)
    first: dict[tuple[str, str], Case] = {}
    rest: list[Case] = []
    cases = [case for case in all_cases(good) if not case.seldom]
    chance.shuffle(cases)
    for case in cases:
        if first.setdefault((case.kind, case.family), case) is not case:
            rest.append(case)
    more = [case for kind in KINDS for case in [one for one in rest if one.kind == kind][: _MORE[kind]]]
    together = list(_together(good))
    chance.shuffle(together)
    return (*first.values(), *together, *more)


_IN_ONE = 3


def _together(good: Good) -> Iterator[Case]:
    """Every fact once, the kills of one scene a third of a run apart: a scene for each is too long for a sample."""
    for number in range(_IN_ONE):
        if names := good.moving[number::_IN_ONE]:
            killed = kills.at_facts(*names)
            name = f"kill-move/{'+'.join(names)}"
            yield Case(name=name, kind="kills", family="kill-move", trouble=killed, take_down=_MOVE_FIRST)
    apart = -(-len(good.facts) // _IN_ONE)
    for number in range(apart):
        names = good.facts[number::apart]
        yield Case(name=f"kill/{'+'.join(names)}", kind="kills", family="kill", trouble=kills.at_facts(*names))
