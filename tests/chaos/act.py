"""Plays one case from begin to end, and gathers what the judges need."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.adapters.journal import SqlJournal
from bot.core.runs.events import Entry
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, Scene
from bot.practice.site import CONFIG, PACKAGES
from bot.practice.slack.workspace import Message
from bot.practice.values import Ran
from tests.chaos.case import Case
from tests.chaos.evidence import Broken, Evidence, Sample
from tests.chaos.facts import RunOver
from tests.chaos.judges import repeated, two_out, unapproved, unwatched
from tests.chaos.people import People
from tests.chaos.play import DRAIN, Play, stage
from tests.chaos.safety import SAFETY
from tests.chaos.threads import NEVER_BEGUN, lost

REQUEST = f"backend-3 config={CONFIG} packages={PACKAGES}"

JUDGES = (repeated, lost, unwatched, unapproved, two_out, *SAFETY)

_SAMPLE_EVERY = 0.05


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a case.

    `struck`: its trouble happened at all, and so many times (`strikes`). `facts` are the names of the journal's facts.
    """

    case: str
    struck: bool
    broken: tuple[Broken, ...]
    strikes: int = 1
    killed_at: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    evidence: Evidence | None = None


async def act(case: Case, *, folder: Path, seed: int) -> Verdict:
    """Play the case in this folder, and judge it; the bot's log and journal stay there."""
    async with stage(folder, random.Random(f"{seed}/{case.name}"), case.settings, case.take_down) as play:
        people = People(
            scene=play.scene,
            calm=lambda: play.calm or not play.struck,
            bot_started=lambda: play.starts,
            slow=case.slow,
            turns_at=case.turns_at,
            retries=case.retries,
            then=case.then,
        )
        samples: list[Sample] = []
        play.ring.hostlog.ran = Noted(lambda: _take(play.ring, samples))
        await play.start()
        tasks = [asyncio.create_task(people.answer()), asyncio.create_task(_sample(play.ring, samples))]
        try:
            await _until_over(play, case, people)
            entries = await _entries(play)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return _judged(play, case, _evidence(play, case, people, samples, entries) if entries else None)


def _judged(play: Play, case: Case, evidence: Evidence | None) -> Verdict:
    if evidence is None:
        broken = (Broken(law="lost", what="; ".join(("no run began", *play.remarks))),)
        return Verdict(case=case.name, struck=play.struck, broken=broken)
    found = tuple(one for judge in JUDGES for one in judge(evidence))
    return Verdict(
        case=case.name,
        struck=play.struck,
        broken=found,
        strikes=max(1, len(play.interrupted)),
        killed_at=tuple(play.killed_at),
        facts=tuple(play.facts.names),
        evidence=evidence,
    )


async def _until_over(play: Play, case: Case, people: People) -> None:
    """Until the trouble is over and the run has ended and was told, or the time is up; then the bot is stopped."""
    trouble = asyncio.create_task(_trouble(play, case))
    try:
        asking = asyncio.create_task(people.ask(REQUEST, began=lambda: bool(play.facts.look())))
        over = await play.until(lambda: trouble.done() and _told(play), within=case.within)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    finally:
        trouble.cancel()
        await asyncio.gather(trouble, return_exceptions=True)
    await _leave(play, over=over)


async def _trouble(play: Play, case: Case) -> None:
    """The case's trouble; one that never found its moment has not struck, and is no failure of the bot."""
    try:
        with suppress(RunOver):
            await case.trouble(play)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the verdict
        said = str(error).strip().splitlines() or [""]
        play.remarks.append(f"{type(error).__name__}: {said[0]} {said[-1] if len(said) > 1 else ''}"[:400])
    finally:
        play.calm = True


def _told(play: Play) -> bool:
    play.facts.look()
    return play.facts.over and play.facts.told_all() and ended_as(play.scene) is not None


async def _leave(play: Play, *, over: bool) -> None:
    """SIGTERM ends a bot that lives, within 10 s and with 0; one that ended by itself is a remark."""
    process = play.scene._bot
    if process is None or process.returncode is not None:
        play.remarks.append(f"the bot had ended by itself: {process and process.returncode}")
        return
    try:
        status = await play.scene.stop_bot(within=11)
    except TimeoutError:
        play.remarks.append("the bot did not leave within 10 s of SIGTERM")
        return
    if status != 0 and over:
        play.remarks.append(f"the bot answered SIGTERM with {status}")


async def _entries(play: Play) -> tuple[Entry, ...]:
    async with SqlJournal(f"sqlite:///{play.scene.folder / 'journal.db'}") as journal:
        runs = await journal.all_runs()
        if len(runs) > 1:
            play.remarks.append(f"{len(runs)} runs began")
        if not runs:
            return ()
        damage = await journal.damage(runs[-1])
        play.remarks.extend([damage] if damage else [])
        return await journal.readable_entries(runs[-1])


def _evidence(play: Play, case: Case, people: People, samples: list[Sample], entries: tuple[Entry, ...]) -> Evidence:
    scene = play.scene
    thread: tuple[Message, ...] = ()
    with suppress(LookupError):
        thread = tuple(scene.thread)
    return Evidence(
        entries=entries,
        log=tuple(play.ring.log),
        thread=thread,
        roots=tuple(roots(scene)),
        alone=tuple(one.text for one in scene.slack.ephemerals if one.user == REQUESTER),
        files=tuple(file.name for file in scene.slack.files if file.thread_ts),
        clicks=tuple(people.clicks),
        samples=tuple(samples),
        interrupted=tuple(play.interrupted),
        unheard=tuple(play.unheard),
        started=tuple(play.started),
        reboots=tuple(play.reboots),
        losses=tuple(play.ring.losses),
        ring_disturbed=case.disturbs_ring,
        others_gone=case.others_gone,
        drain=DRAIN,
        unusual=tuple(unusual(play.ring)),
        remarks=tuple(play.remarks),
        may_end=case.may_end,
        outcome=ended_as(scene),
        failed_logins=tuple(play.ring.failed_logins),
    )


def roots(scene: Scene) -> list[Message]:
    """The bot's messages that are no replies."""
    return [one for one in scene.slack.messages if one.bot_id and one.thread_ts in {None, one.ts}]


def ended_as(scene: Scene) -> str | None:
    """How the run has ended, as its thread says, or, where it has none, the answer to whoever asked."""
    found = [match for one in scene.slack.messages if (match := re.search(r"has ended: ([a-z ]+)\.", one.text))]
    alone = any(NEVER_BEGUN in one.text for one in scene.slack.ephemerals)
    return found[-1][1] if found else "refused" if alone else None


def unusual(ring: PracticeRing) -> Iterator[str]:
    """What is not as before a run: vhosts, states, dovecot."""
    names = {host.ip: name for name, host in ring.backends.items()}
    for director, view in ring.state.directors.items():
        for ip, seen in view.backends.items():
            if not seen.up or seen.vhosts != 100:
                state = "up" if seen.up else "down"
                yield f"at the end {director} has {names[ip]} at {seen.vhosts}, {state}"
    yield from (f"at the end {name} does not serve" for name, host in ring.backends.items() if not host.serving)


class Noted(list[Ran]):
    """The log of what ran; before each command, how the ring is at that moment is looked at."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def append(self, ran: Ran) -> None:
        self._look()
        super().append(ran)


async def _sample(ring: PracticeRing, samples: list[Sample]) -> None:
    """What the ring is like, whenever that changes."""
    while True:
        _take(ring, samples)
        await asyncio.sleep(_SAMPLE_EVERY)


def _take(ring: PracticeRing, samples: list[Sample]) -> None:
    sample = _now(ring)
    if not samples or replace(samples[-1], at=sample.at) != sample:
        samples.append(sample)


def _now(ring: PracticeRing) -> Sample:
    names = {host.ip: name for name, host in ring.backends.items()}
    views = ring.state.directors
    said = [(names[ip], seen) for view in views.values() if view.knows for ip, seen in view.backends.items()]
    return Sample(
        at=datetime.now(UTC),
        out=frozenset(name for name, seen in said if not seen.usable),
        active=frozenset(name for name, host in ring.backends.items() if host.serving),
        usable=frozenset(name for name, seen in said if seen.usable),
        given=frozenset(name for name, seen in said if seen.vhosts),
        mapped=frozenset(names[mapping.backend] for mapping in ring.state.mapped.values()),
        hanging=frozenset(name for name, view in views.items() if view.hanging),
        known=bool(said),
    )
