"""A run whose facts cannot be read whole: what is wrong, what is known of its backend all the same, who released it.

The bot does nothing for such a run: it would act on what it does not know. What the run claims stays claimed,
until somebody who may approve has looked at the backend and says so. From then on whoever did looks after it, also when
its facts can be read again, as after an upgrade of the bot or from a backup: another run may have its ring by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.core.decisions.approval import Person, allow
from bot.core.hosts.inventory import Target
from bot.core.plans.effects import Effect, takes_back
from bot.core.plans.plan import PlannedChange
from bot.core.runs.changed import undone_by
from bot.core.runs.events import Entry
from bot.core.runs.events.claims import claim_in_words, keys_of
from bot.core.runs.fold import apply, begin
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.dates import stamp
from bot.core.text.shown import in_line
from bot.errors import Illegal, Refused

_REASON = 500
"""Characters of a reason."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Who released what a damaged run claimed, when and why; no fact of the run, as a broken chain takes none.

    `remark` is what the journal cannot vouch for.
    """

    run: str
    by: str
    at: datetime
    reason: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A run that cannot be read whole, or was released: `flaw` says at which fact, and how; `last` is the known state.

    The flaw is empty when all facts are sound, those of a run that was released and can be read again. `release_flaw`
    says what is wrong with what the journal keeps as its release, which then counts for nothing.
    `rings` and `keys` are what it still claims (core/runs/events/claims.py), nothing once it has ended or was released.
    """

    run: str
    flaw: str
    sound: tuple[Entry, ...]
    last: Run | None
    rings: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    release: Release | None = None
    release_flaw: str = ""

    @property
    def claims(self) -> bool:
        """Whether there is anything that nobody else may have."""
        return bool(self.rings or self.keys)

    def concerns(self, target: Target) -> bool:
        """Whether a run on that target would want what this one claims."""
        return target.ring.name in self.rings or not set(self.keys).isdisjoint(keys_of(target))


def examined(
    run: str,
    entries: Sequence[Entry],
    flaw: str,
    *,
    rings: Sequence[str] = (),
    keys: Sequence[str] = (),
    release: Release | None = None,
    release_flaw: str = "",
) -> Damaged | None:
    """What is wrong with a run; None for a sound one that nobody has released, and for one that nobody knows.

    `entries` are those that could be read, `flaw` says what follows them and cannot be, `release_flaw` what is wrong
    with its release. A release that has not freed what the run claims is none.
    """
    last: Run | None = None
    sound: list[Entry] = []
    for entry in entries:
        try:
            last = begin(entry) if last is None else apply(last, entry)
        except Illegal as error:
            flaw = str(error)
            break
        sound.append(entry)
    if release and (rings or keys):
        release, release_flaw = None, "it says that the run was released, and the run has what it claims"
    known = rings or keys or release or release_flaw
    if not entries and not flaw and known:
        flaw = "no fact of it is there any more: they were deleted, or are in another journal"
    if not (flaw or release or release_flaw):
        return None
    flaw = flaw.removeprefix(f"run {run}, ").removeprefix(f"run {run}: ").removesuffix(".")
    return Damaged(
        run=run,
        flaw=flaw,
        sound=tuple(sound),
        last=last,
        rings=tuple(rings),
        keys=tuple(keys),
        release=release,
        release_flaw=release_flaw,
    )


def decide_release(run: str, found: Damaged | None, person: Person, reason: str, now: datetime) -> Release:
    """What is to be written when this person releases a damaged run; raises Refused."""
    allow(person.no_approving)
    if found is None or not (found.flaw or found.release):
        raise Refused(f"There is no run {run} whose facts are damaged. One that can be read is aborted, or taken over.")
    if found.release is not None:
        raise Refused(f"Run {run} {release_words(found.release)}.")
    if not found.claims:
        raise Refused(f"Run {run} claims nothing.")
    text = in_line(reason)
    if not text:
        raise Refused(f"This needs a reason: release {run} REASON, such as what was looked at on the backend.")
    if len(text) > _REASON:
        raise Refused(f"Say it in at most {_REASON} characters.")
    return Release(run=run, by=person.id, at=now, reason=text)


def release_words(release: Release) -> str:
    """Who released a run, in a clause without its subject."""
    remark = f" ({release.remark})" if release.remark else ""
    return f"was released by <@{release.by}>, {stamp(release.at)}{remark}: {_quoted(release.reason)}"


def claimed_words(found: Damaged) -> str:
    """What it claims, in words."""
    return " and ".join(f"ring {ring}" for ring in found.rings) or "what it shares with others"


def damage_in_words(found: Damaged) -> str:
    """All that whoever meets such a run has to know, a line each; between backticks stand commands alone."""
    if not found.flaw and found.claims:
        return f"Run {found.run} goes on, and has what it claims. {_doubtful(found)}"
    lines = [_what_is_wrong(found) if found.flaw else _let_go(found), *_last_known(found)]
    if found.flaw and found.claims:
        lines += [_by_hand(found), _then(found)]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Text that a person typed or a row holds: in one line, and no command."""
    return in_line(text).replace("`", "'")


def _what_is_wrong(found: Damaged) -> str:
    if found.claims:
        unwatched = f"{claimed_words(found)} is not watched, and stays claimed until an approver releases it"
        consequence = f"nothing is done for it, {unwatched}"
    elif found.release:
        consequence = f"it {release_words(found.release)}"
    else:
        consequence = "it claims nothing"
    doubt = f" {_doubtful(found)}" if found.release_flaw else ""
    return f"Run {found.run} is damaged: {_quoted(found.flaw)}. So {consequence}.{doubt}"


def _doubtful(found: Damaged) -> str:
    return (
        f"The row of its release (table releases) is damaged: {_quoted(found.release_flaw)}. So that row counts for"
        " nothing: whether it was released, by whom and why is not known."
    )


def _let_go(found: Damaged) -> str:
    if found.release is None:
        return f"Run {found.run} claims nothing, so nothing is done for it. {_doubtful(found)}"
    return (
        f"Run {found.run} {release_words(found.release)}. It could not be read then, and can be now; whoever"
        " released it looks after it all the same, so nothing is done for it, and it claims nothing."
    )


def _last_known(found: Damaged) -> tuple[str, ...]:
    run = found.last
    if run is None:
        claimed = ", ".join(claim_in_words(key) for key in found.keys)
        about = (
            f"what it claims says what it was about: {claimed}" if claimed else "its thread may say what it was about"
        )
        return (f"Not one of its facts is sound; {about}.",)
    target = run.request.target
    backend = f"{target.backend.name} ({target.backend.ip}) of ring {target.ring.name}"
    if run.status is Status.ENDED:
        return (f"Last known of {backend}: the run had ended: {run.outcome}.",)
    step = f"; at hand was: {_quoted(run.step.says)}" if run.step else ""
    known = f"Last known of {backend}, at fact {run.seq}, {stamp(run.at)}:"
    lines = [f"{known} the run was {run.status}{step}.", f"{_made(run)} What came after that is not known."]
    if isinstance(run.step, PlannedChange) and run.status in {Status.BUSY, Status.DOUBT}:
        lines.append(f"This may have run, or run still: `{_quoted(run.step.action.command.text)}`")
    return tuple(lines)


_LEFT_BY = {
    Effect.TAKES_VHOSTS: ("vhosts", "it had vhosts 0, so no new users"),
    Effect.DOWN: ("state", "the directors had it as down"),
    Effect.FLUSH: ("users", "its users were moved"),
    Effect.STOP_DOVECOT: ("dovecot", "dovecot was stopped"),
    Effect.START_DOVECOT: ("dovecot", "dovecot was started"),
    Effect.MASK: ("mask", "dovecot was masked"),
    Effect.UNMASK: ("mask", "dovecot was unmasked"),
    Effect.INSTALL: ("packages", "its packages were changed"),
    Effect.CONFIGURE: ("configuration", "its configuration was changed"),
    Effect.DELETE: ("files", "files were deleted there, as of its metacache"),
}
"""By what a change does: what it is about, as a later one on the same takes its place, and what it left."""


def _made(run: Run) -> str:
    """What the run's changes had made of the backend, the later one in the place of an earlier on the same."""
    left: dict[str, str] = {}
    for step in _done(run):
        command = step.action.command.text
        if Effect.STOP_DOVECOT in step.does or Effect.START_DOVECOT in step.does:
            left.pop("service", None)  # which starts and stops with it
        for effect in sorted(step.does):
            about, text = _LEFT_BY.get(effect, ("", ""))
            if effect is Effect.TAKES_VHOSTS and run.ring.given_users:
                text = "it had vhosts 0, and was last seen to be given users again"
            if effect is Effect.STOP and Effect.STOP_DOVECOT not in step.does and undone_by(step) not in run.seen_done:
                about, text = "service", f"`{command}` was done"
            if effect is Effect.RESTORE:
                about = "vhosts" if Effect.TAKES_VHOSTS in takes_back(command) else "state"
                text = f"`{command}` was done"
            if about:
                left.pop(about, None)
                left[about] = text
    return (
        f"Seen done until then: {'; '.join(left.values())}."
        if left
        else "No change of the ring or of dovecot was seen done."
    )


def _done(run: Run) -> tuple[PlannedChange, ...]:
    """The changes that were seen done, in order, those of the way back after the others."""
    back = run.plan.steps[: run.position] if run.plan.back else ()
    return (*run.made, *(step for step in back if isinstance(step, PlannedChange) and step.name in run.seen_done))


def _by_hand(found: Damaged) -> str:
    if found.last is None:
        return (
            "Look by hand: `doveadm director status` on every director of that ring: which backend has vhosts 0, or is"
            " down? `systemctl status dovecot` there: does it run, is it masked?"
        )
    target = found.last.target
    directors = ", ".join(director.address for director in target.ring.directors)
    ip, vhosts = target.backend.ip, target.backend.vhosts
    return (
        f"Look by hand: `doveadm director status` on {directors}: what are vhosts, state and users of {ip}?"
        f" `systemctl status dovecot` on {target.backend.address}: does it run, is it masked?"
        " `doveadm service status lmtp` there: does it run? Are there folders"
        f" `/etc/dovecot.{found.run}.*`? Once it serves mail, and not before: `doveadm director update {ip} {vhosts}`"
        f" and `doveadm director up {ip}`."
    )


def _then(found: Damaged) -> str:
    shown = f" `dovecot-bot record {found.run}` shows what is sound." if found.sound else ""
    return f"Then an approver types `release {found.run} REASON` after the slash command, and the ring is free.{shown}"
