"""Whole runs for tests of what is told: one that goes well, some in trouble, and what a hostile host would print."""

from __future__ import annotations

from datetime import timedelta

from bot.core import events as fact
from bot.core.events import Ran
from bot.core.goback import going_back
from bot.core.procedure import Gate
from bot.core.run import Status
from tests.build import REQUESTER, SECOND, THIRD, Story

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


def proved() -> fact.HostsProved:
    return fact.HostsProved(
        backend="backend-3",
        by="192.0.2.13 is on one of its interfaces",
        machine_id="0" * 32,
        boot_id="00000000-0000-4000-8000-000000000000",
        lock="/home/bot/.dovecot-bot.lock",
        directors={"director-1": "192.0.2.1:9090", "director-2": "192.0.2.2:9090"},
    )


def happy() -> Story:
    return Story().until(None, on=Status.ENDED)


def turned_round() -> Story:
    """Fails in the take-down, is retried, a skip is proposed twice and agreed, and then it goes back to its end."""
    story = Story().until("stop-dovecot").fail()
    story.tell(fact.RetryChosen(by=REQUESTER)).fail()
    story.tell(fact.SkipProposed(by=REQUESTER, step="stop-dovecot", reason="it is stopped by hand"))
    story.tell(fact.SkipProposed(by=THIRD, step="stop-dovecot", reason="the unit is masked"))
    story.tell(fact.SkipAgreed(by=SECOND, step="stop-dovecot")).until("start-dovecot").fail()
    story.tell(fact.GoBackAsked(by=THIRD, reason="it does not start"))
    way_back = going_back(story.run)
    assert way_back is not None
    story.tell(fact.TurnedBack(plan=way_back))
    return story.until(None, on=Status.ENDED)


def troubled() -> Story:
    """Doubt, refused clicks, an expired question, a denied one, a hold, and the way back that nobody allows."""
    story = Story().until("set-vhosts-to-zero").tell(proved()).until("set-vhosts-to-zero", on=Status.BUSY)
    story.tell(
        fact.StepUnclear(step="set-vhosts-to-zero", reason="the connection was lost", ran=(command(status=None),))
    )
    story.tell(fact.StepNotDone(step="set-vhosts-to-zero", reason="vhosts is 100"))
    story.until("drain", on=Status.WAITING).tell(fact.UsersCounted(users={"director-1": 12, "director-2": 12}))
    story.tell(fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="director-1: vhosts is 100"))
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
    story.tell(fact.Denied(step="approve-restore", gate=Gate.RESTORE, by=SECOND, message="1.1"))
    way_back = going_back(story.run)
    assert way_back is not None
    story.tell(fact.TurnedBack(plan=way_back)).until("approve-going-back", on=Status.ASKING)
    story.tell(fact.Denied(step="approve-going-back", gate=Gate.GO_BACK, by=SECOND, message="1.1"))
    return story.tell(fact.RunHeld(reason="the go back approval was denied; the backend stays as it is"))


def refused() -> Story:
    story = Story().until("one-backend-at-a-time").fail("director-1: backend-2 vhosts is 0")
    return story.tell(fact.RunEnded(outcome=fact.Outcome.REFUSED, reason=story.run.reason))
