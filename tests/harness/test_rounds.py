"""How many rounds to the hosts a run waits for, one after another: here nothing else takes any time."""

from __future__ import annotations

from datetime import datetime

import pytest

from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from tests.harness.network import ONE_WAY
from tests.harness.sweep import good_run


def rounds(since: datetime, until: datetime) -> int:
    return round((until - since) / (2 * ONE_WAY))


@pytest.mark.parametrize("step", ["director-down", "mask-dovecot", "clean-metacache", "unmask-dovecot", "director-up"])
def test_a_change_takes_a_round_to_be_judged_one_to_be_sent_and_one_to_be_proved(step: str) -> None:
    """Its guards, who its host is, the host's clock and its lock are asked for at once."""
    entries = good_run().evidence.entries
    (started,) = (
        at for at, one in enumerate(entries) if isinstance(one.fact, fact.StepStarted) and one.fact.step == step
    )
    before, begun, done = entries[started - 1 : started + 2]
    assert isinstance(done.fact, fact.StepDone)
    assert (rounds(before.at, begun.at), rounds(begun.at, done.at)) == (1, 2)


@pytest.mark.parametrize(("gate", "most"), [(Gate.RESTORE, 3), (Gate.FLUSH, 6)])
def test_a_click_is_followed_by_the_check_what_was_approved_and_the_change(gate: Gate, most: int) -> None:
    """A round each, as far as all that a backend has to answer with packages and a configuration goes at once."""
    entries = good_run().evidence.entries
    clicked = next(one for one in entries if isinstance(one.fact, fact.Approved) and one.fact.gate is gate)
    begun = next(one for one in entries[clicked.seq :] if isinstance(one.fact, fact.StepStarted))
    assert rounds(clicked.at, begun.at) <= most
