"""Whole runs for tests of what is told: one that goes well, some in trouble, and what a hostile host would print."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

from bot.core.decisions.goback import going_back
from bot.core.hosts.inventory import Access
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Ran
from bot.core.runs.transitions import Status
from tests.build import REQUESTER, SECOND, THIRD, Story, plan

HOSTILE = "<!channel> <@U0EVIL> <https://evil.example|click> @here & ``` ` *bold* \u202e\x1b[31m\x00 &amp; <b>"


def command(
    output: str = "", *, changes: bool = True, status: int | None = 0, text: str = "systemctl stop dovecot"
) -> Ran:
    return Ran(
        host="backend-3",
        command=text,
        exit_status=status,
        took=timedelta(seconds=0.4),
        output=output,
        output_bytes=len(output.encode()),
        changes=changes,
    )


def happy() -> Story:
    return Story().until(None, on=Status.ENDED)


def turned_round() -> Story:
    """Fails in the take-down, is retried, a skip is proposed twice and agreed, and then it goes back to its end."""
    story = Story().until("stop-lmtp").fail()
    story.tell(fact.RetryChosen(by=REQUESTER)).fail()
    story.tell(fact.SkipProposed(by=REQUESTER, step="stop-lmtp", reason="it is stopped by hand"))
    story.tell(fact.SkipProposed(by=THIRD, step="stop-lmtp", reason="nobody delivers to it any more"))
    story.tell(fact.SkipAgreed(by=SECOND, step="stop-lmtp"))
    return on_its_way_back("start-dovecot", story).until(None, on=Status.ENDED)


def on_its_way_back(failed: str, story: Story | None = None) -> Story:
    """A run that failed at this step, and follows its way back."""
    story = (story or Story()).until(failed).fail()
    story.tell(fact.GoBackAsked(by=THIRD, reason="it does not start"))
    way_back = going_back(story.run)
    assert way_back is not None
    return story.tell(fact.TurnedBack(plan=way_back))


def troubled() -> Story:
    """Doubt, refused clicks, questions that expired, were put off and denied, a hold, and a way back nobody allows."""
    story = Story().until("set-vhosts-to-zero", on=Status.BUSY)
    story.tell(
        fact.StepUnclear(step="set-vhosts-to-zero", reason="the connection was lost", ran=(command(status=None),))
    )
    story.tell(fact.StepNotDone(step="set-vhosts-to-zero", reason="vhosts is 100"))
    story.until("drain", on=Status.WAITING).tell(fact.UsersCounted(users={"director-1": 12, "director-2": 12}))
    given = "director-1: vhosts is 100"
    story.tell(fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason=given, sends=1))
    story.tell(fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="vhosts 0", ran=(command(),)))
    story.until("approve-flush", on=Status.ASKING)
    story.tell(fact.ApprovalRepeated(step="approve-flush", gate=Gate.FLUSH, times=1, last=False))
    story.tell(fact.ApprovalRepeated(step="approve-flush", gate=Gate.FLUSH, times=2, last=True))
    story.tell(fact.ApprovalRefused(gate=Gate.FLUSH, by=REQUESTER, reason="whoever asked for a run cannot approve it"))
    story.tell(fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH))
    story.tell(fact.RetryChosen(by=REQUESTER)).until("stop-lmtp")
    story.tell(fact.ApprovalLapsed(gate=Gate.FLUSH, reason="the flush approval has expired")).until("stop-lmtp")
    story.tell(fact.RunHeld(reason=f"<@{SECOND}>, who approved, may not approve any more")).tell(
        fact.RetryChosen(by=SECOND)
    )
    story.until("approve-restore", on=Status.ASKING)
    later = "the storage team <https://x|looks> at it"
    story.tell(fact.Postponed(step="approve-restore", gate=Gate.RESTORE, by=THIRD, reason=later, message="1.1"))
    story.tell(fact.RetryChosen(by=SECOND)).until("approve-restore", on=Status.ASKING)
    story.tell(fact.Denied(step="approve-restore", gate=Gate.RESTORE, by=SECOND, message="1.1"))
    way_back = going_back(story.run)
    assert way_back is not None
    story.tell(fact.TurnedBack(plan=way_back)).until("approve-going-back", on=Status.ASKING)
    story.tell(fact.Denied(step="approve-going-back", gate=Gate.GO_BACK, by=SECOND, message="1.1"))
    return story.tell(fact.RunHeld(reason="the go back approval was denied; the backend stays as it is"))


def others_act() -> Story:
    """Somebody waits longer, the bot is away, new settings, others fail and come back, users are helped, a boot."""
    story = Story().until("approve-flush", on=Status.ASKING)
    longer = fact.LongerWaitChosen(
        step="approve-flush", gate=Gate.FLUSH, by=THIRD, reason="12 are left", message="1.1", back_to="drain"
    )
    story.tell(longer).until("drain", on=Status.WAITING)
    said = "the bot was away; by its own clock 61 minutes have passed, by the clock of director-1 50 seconds"
    story.tell(fact.WaitGoesOn(step="drain", until=story.at + timedelta(minutes=14), reason=said))
    access = Access(ssh="director-1-new", sudo=True, machine_id="")
    stays = ("director-3 was added to the directors", "vhosts of backend-2 is 50, and 100 for this run")
    story.tell(fact.SettingsChanged(directors={"director-1": access}, backends={}, stays=stays))
    story.tell(fact.MonitorSaysUp(host="director-1", reason="director-1: vhosts is 0, state is up, users is 12"))
    story.tell(fact.OthersCounted(usable=0, needed=1, reason="director-1: backend-1 is down with vhosts 100"))
    story.tell(fact.OthersCounted(usable=1, needed=1, reason="director-1: backend-2 is down with vhosts 100"))
    story.until("stop-lmtp")
    story.tell(fact.ApprovalLapsed(gate=Gate.FLUSH, reason="the flush approval has expired", at="stop-lmtp"))
    story.until("stop-lmtp", on=Status.ASKING).until("director-down")
    down = "doveadm director down 192.0.2.13"
    approval = f"the flush approval of <@{SECOND}>, which was not judged again"
    word = f"users wait, so this is sent at once, with {approval}"
    story.tell(fact.StepStarted(step="director-down", attempt=1, host="director-1", command=down, word=word))
    story.until("install-packages")
    lost = fact.BackendRebooted(
        host="backend-3",
        boot_id="b",
        was="a",
        reason="“Keep dovecot from being started” is no longer seen to be done: backend-3: dovecot enabled is enabled",
        lost="mask-dovecot",
        ran=(command(changes=False, text="systemctl show dovecot"),),
    )
    story.tell(lost).tell(*story.well())
    helpless = "backend-3 has been given users again, and no other backend can be used"
    given = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100", helpless=helpless)
    story.tell(given, fact.TakenOver(by=THIRD, reason="I do the rest"))
    return story.tell(
        fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason=f"<@{THIRD}> says that it stays out", by=THIRD)
    )


def moved_first() -> Story:
    """The users are moved before anything stops, and come back once."""
    story = Story(plan(move_first=True)).until("drain", on=Status.WAITING)
    story.tell(fact.UsersCounted(users={"director-1": 12, "director-2": 12})).until("stop-lmtp")
    story.tell(fact.UsersCameBack(back_to="move-users", reason="director-1: users is 3, expected 0", ran=(command(),)))
    return story.until(None, on=Status.ENDED)


def aborted_in_the_drain() -> Story:
    """By an approver, whose word is the restore approval, as only the vhosts were taken."""
    story = Story().until("drain", on=Status.WAITING)
    way_back = going_back(story.run)
    assert way_back is not None
    story.tell(fact.GoBackAsked(by=SECOND, reason="not tonight", approves=way_back.digest))
    return story.tell(fact.TurnedBack(plan=way_back)).until(None, on=Status.ENDED)


def taken_out_by_hand() -> Story:
    """The vhosts cannot be taken away; somebody takes over, does it by hand, and puts it back in the end."""
    story = Story().until("set-vhosts-to-zero").fail("director-1: vhosts is 100, expected 0")
    story.tell(fact.TakenOver(by=THIRD, reason="I take it out by hand"))
    story.tell(fact.SeenOut(reason="director-1: vhosts is 0, state is up, users is 12"))
    given = f"<@{THIRD}> took over, and every director gives the backend users again"
    return story.tell(fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason=given))


def not_seen_back() -> Story:
    """Its last check fails, and two engineers leave it out."""
    story = Story().until("users-come-back").fail("director-1: vhosts is 0, expected 100")
    story.tell(fact.SkipProposed(by=THIRD, step="users-come-back", reason="somebody else looks after it"))
    return story.tell(fact.SkipAgreed(by=SECOND, step="users-come-back")).until(None, on=Status.ENDED)


def refused() -> Story:
    story = Story().until("one-backend-at-a-time").fail("director-1: backend-2 vhosts is 0")
    return story.tell(fact.RunEnded(outcome=fact.Outcome.REFUSED, reason=story.run.reason))


ALL = (
    happy,
    turned_round,
    troubled,
    others_act,
    aborted_in_the_drain,
    moved_first,
    taken_out_by_hand,
    not_seen_back,
    refused,
)
"""Every story: together they have every kind of fact."""


@cache
def entries_of(made: Callable[[], Story]) -> tuple[Entry, ...]:
    """The facts of a whole run of these, made once."""
    return tuple(made().entries)
