"""The number of users on an approval is the one that was read for it, wherever it stands."""

from __future__ import annotations

import json
from datetime import timedelta

from bot.core.runs import events as fact
from tests.harness.branches import from_step
from tests.harness.drill import Drill
from tests.harness.play import USERS


def say_there_are(play: Drill, number: int) -> bool:
    """Whether question, evidence and the dialog that opens at a click say this number of users, and no other."""
    _, message = play.messages(fact.ApprovalAsked)[-1]
    asked = play.facts(fact.ApprovalAsked)[-1]
    return (
        f"backend-3 stops with {number} users mapped to it" in asked.alarms[0]
        and any(f"backend-3 stops with {number} users mapped" in one for one in asked.evidence)
        and f"moves {number} users" in json.dumps(message.blocks)
        and max(play.run_now.ring.users.values()) == number
    )


@from_step("approve-flush")
async def test_a_question_that_is_asked_again_has_the_number_of_now(play: Drill) -> None:
    """The dialog once had that of the first question, after a hold in which many had come."""
    await play.asks()
    await play.put_off()
    await play.held()
    for number in range(40):
        play.ring.state.move(f"late-{number}", play.backend.ip, play.ring.now())
    there = play.ring.users_on("backend-3")
    assert there > USERS
    await play.retry(after=timedelta(minutes=1))
    await play.asks()
    assert say_there_are(play, there)


@from_step("count-mapped-users")
async def test_a_number_that_was_not_read_for_the_question_is_the_last_count_and_said_to_be_that(play: Drill) -> None:
    """The count before the question can be skipped; the one in preflight is older than the drain."""
    play.others_out("backend-1", "backend-2")
    await play.held()
    await play.skip()
    play.others_back("backend-1", "backend-2")
    await play.asks()
    alarms = play.facts(fact.ApprovalAsked)[-1].alarms
    last = max(play.run_now.ring.users.values())
    not_now = f"the users mapped to backend-3 were not counted for this question; by the last count there were {last}"
    assert f"{not_now} (order runbook)" in alarms
    assert not any("stops with" in one for one in alarms)
