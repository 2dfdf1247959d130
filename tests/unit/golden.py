"""Every text of the thread in files: as Block Kit, and as what it reads like. Write them anew, and read what changed:

python -m tests.unit.golden
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.adapters.slack.messages.blocks import Message
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Where
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from tests.build import Story
from tests.unit.messages import all_messages, as_read, runs_after
from tests.unit.stories import ALL, entries_of

FOLDER = Path(__file__).parent / "golden"

_READ = {
    "one-backend-at-a-time": "director-1, director-2: state up, vhosts 100, others as usual, usable others 2",
    "backend-is-well": "backend-3: dovecot active active; backend-3: port 143 greets yes; backend-3: messages 15",
    "packages-can-be-installed": "backend-3: state ready; backend-3: /var free mib 5000; backend-3: /usr free mib 5000",
    "package-lists-are-known": "backend-3: package lists less than an hour old",
    "packages-are-as-planned": "backend-3: installed dovecot-core=1:2.3.19.1-1, status installed",
    "config-in-place-is-known": "backend-3: /etc/dovecot files 9",
    "download-packages": "backend-3: missing none",
    "download-packages-of-before": "exit 0, and nothing more can be read of it",
    "way-back-for-packages": "backend-3: the packages of before: there",
    "proposed-config-is-valid": "backend-3: /etc/dovecot added 1, changed 1, lines +2 -12, newer none, removed 6",
    "set-vhosts-to-zero": "director-1, director-2: vhosts 0",
    "count-mapped-users": "director-1, director-2: vhosts 0, users 14, others as usual, usable others 2",
    "ring-is-still-whole": "director-1, director-2: synced yes; director-1, director-2: vhosts 0, others as usual",
    "stop-lmtp": "backend-3: lmtp stopped yes",
    "stop-dovecot": "backend-3: dovecot load loaded, active inactive",
    "director-down": "director-1, director-2: state down",
    "flush-users": "director-1, director-2: vhosts 0, users 0",
    "mask-dovecot": "backend-3: dovecot enabled masked-runtime, active inactive",
    "stop-was-clean": "backend-3: dovecot load masked, active inactive, result success",
    "config-after-packages": "backend-3: /etc/dovecot difference none",
    "clean-metacache": "backend-3: /var/dovecot/vmail exists yes, count 0",
    "start-dovecot": "backend-3: dovecot active active; backend-3: port 143 greets yes; backend-3: port 24 greets yes",
    "test-user-reads-mail": "backend-3: folders 3; backend-3: messages 15; backend-3: bytes 1230",
    "set-vhosts-back": "director-1, director-2: vhosts 100",
    "director-up": "director-1, director-2: vhosts 100, state up",
    "users-come-back": "director-1, director-2: vhosts 100, state up; director-1, director-2: users 3",
}
"""What is read of a step, on the practice ring."""

_DATE = re.compile(r"<!date\^(\d+)\^([^|]*)\|[^>]*>")

_SIGNS = {
    ":white_check_mark:": "✅",
    ":white_small_square:": "▫",
    ":arrow_forward:": "▶",
    ":warning:": "⚠",
    ":raised_hand:": "✋",
    ":x:": "❌",
    ":hourglass_flowing_sand:": "⏳",
}


class _Whole(Story):
    """A run that goes well, with what the practice ring answers."""

    def well(self) -> Iterable[Fact]:
        for one in super().well():
            yield self._read(one)
            if isinstance(one, fact.WaitBegan):
                yield fact.UsersCounted(users={"director-1": 40, "director-2": 40})
                yield fact.UsersCounted(users={"director-1": 14, "director-2": 14})

    def _read(self, one: Fact) -> Fact:
        if not isinstance(one, fact.StepDone):
            return one
        step = self.run.step
        on_backend = isinstance(step, PlannedChange) and step.where is Where.BACKEND
        ran = tuple(replace(command, host="backend-3" if on_backend else "director-1") for command in one.ran)
        attached = "-metacache_max_space = 200G\n+metacache_max_space = 400G\n"
        return replace(
            one,
            ran=ran,
            reason=_READ.get(one.step, one.reason),
            attachment=attached if one.step == "proposed-config-is-valid" else "",
        )


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A message, and what it is of."""

    of: str
    key: tuple[object, ...]
    message: Message


def _shown(entries: Iterable[Entry]) -> Iterator[_Shown]:
    entries = tuple(entries)
    runs = runs_after(entries)
    for entry, message in all_messages(entries):
        run, root = runs[entry.seq], message.blocks[0]["type"] == "header"
        name = "the first message" if root else type(entry.fact).__name__
        says = re.sub(r"<[^>]*>|\d+", "", message.text)[:40]
        key = _state(run) if root else (name, says, tuple(_buttons(message)), _order(entry.fact))
        yield _Shown(of=f"{entry.seq} · {name}", key=key, message=message)


def _state(run: Run) -> tuple[object, ...]:
    """The first message is shown once for each state, and where a run works once a stage."""
    if run.status in {Status.READY, Status.BUSY}:
        return (Status.READY, run.plan.back or run.stage_begun)
    counted = bool(run.ring.users) if run.status is Status.WAITING else None
    return (run.status, run.plan.back, run.outcome, counted)


def _order(told: Fact) -> str:
    """In which order of the take-down an approval is asked for, as one of its lines names it."""
    lines = (*told.alarms, *told.brief) if isinstance(told, fact.ApprovalAsked) else ()
    found = (re.search(r"\(order ([a-z-]+)", line) for line in lines)
    return next((one[1] for one in found if one), "")


def _once(messages: Iterable[_Shown], known: set[tuple[object, ...]], *, replies: bool) -> list[_Shown]:
    """Without what there is one of already; with `replies` all replies."""
    found = []
    for one in messages:
        if one.key not in known or (replies and "first message" not in one.of):
            found.append(one)
        known.add(one.key)
    return found


def _buttons(message: Message) -> Iterator[str]:
    for block in message.blocks:
        if block["type"] == "actions":
            yield from (element["text"]["text"] for element in block["elements"] if "text" in element)


def _reading(one: _Shown) -> str:
    lines = [f"── {one.of}{' · in the channel, too' if one.message.broadcast else ''}"]
    parts = [part for block in one.message.blocks for part in (block.get("text"), *block.get("elements", ()))]
    lines += [as_read(_DATE.sub(_local, part["text"])) for part in parts if _is_text(part)]
    if labels := list(_buttons(one.message)):
        lines.append(" ".join(f"[{label}]" for label in labels))
    lines += [f"(file {file.name})" for file in one.message.files]
    said = "\n".join(lines)
    for sign, shown in _SIGNS.items():
        said = said.replace(sign, shown)
    return said


def _local(token: re.Match[str]) -> str:
    """A time as a reader sees it whose clock is an hour ahead of UTC."""
    at = datetime.fromtimestamp(int(token[1]) + 3600, UTC)
    return token[2].replace("{date_num}", f"{at:%Y-%m-%d}").replace("{time_secs}", f"{at:%H:%M:%S}")


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _json(one: _Shown) -> str:
    """A block a line, so that a change shows where it is."""
    written = [json.dumps(block, ensure_ascii=False) for block in one.message.blocks]
    blocks = ",\n    ".join(written)
    head = json.dumps({"of": one.of, "text": one.message.text}, ensure_ascii=False)[:-1]
    return f'{head}, "blocks": [\n    {blocks}\n]}}'


def files() -> dict[Path, str]:
    """What the golden files should hold."""
    known: set[tuple[object, ...]] = set()
    whole = _once(_shown(_Whole().until(None, on=Status.ENDED).entries), known, replies=True)
    others = [one for made in ALL for one in _once(_shown(entries_of(made)), known, replies=False)]
    made: dict[Path, str] = {}
    for name, messages in (("whole", whole), ("others", others)):
        made[FOLDER / f"{name}.txt"] = "\n\n".join(map(_reading, messages)) + "\n"
        made[FOLDER / f"{name}.json"] = "[\n" + ",\n".join(map(_json, messages)) + "\n]\n"
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
