"""A run that ends in its first stage has changed nothing that serves mail; what it made all the same is named."""

from __future__ import annotations

from bot.adapters.slack.messages.root import root, run_list
from bot.core.decisions.goback import left_there
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.record.markdown import markdown
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.hooks import wording
from tests.harness.play import RUN


async def refused(play: Drill) -> Run:
    """The copy does not parse: the run ends in its first stage."""
    await play.reaches("proposed-config-is-valid")
    play.backend.dovecot.doveconf.unknown = frozenset({"mail_max_userip_connections"})
    return await play.until(lambda run: run.status is Status.ENDED)


@from_step("proposed-config-is-valid")
async def test_a_run_that_is_refused_says_that_the_copy_stays_and_where(play: Drill) -> None:
    """Seen: “Refused, nothing was changed”, while the copy of a configuration lay on the host."""
    run = await refused(play)
    assert run.outcome is fact.Outcome.REFUSED
    assert play.backend.disk.look(f"/etc/dovecot.{RUN}.proposed") is not None
    places = {
        "the thread": play.thread(fact.RunEnded)[-1],
        "its head": wording(root(play.run_now)),
        "status and list": wording(run_list([run], {}, title="Runs")),
        "the record": markdown(play.journal.facts[RUN]),
    }
    for place, said in places.items():
        assert f"/etc/dovecot.{RUN}.proposed" in said, place
        assert "nothing was changed" not in said.lower(), place
        assert "stays what this made" in said, place


@virtually
async def test_a_run_that_is_refused_before_it_made_anything_has_left_nothing() -> None:
    async with a_run() as play:
        play.others_out()
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.outcome is fact.Outcome.REFUSED
        assert left_there(run) == ""


@from_step("proposed-config-is-valid")
async def test_a_run_that_is_aborted_before_anything_needs_undoing_says_it_too(play: Drill) -> None:
    await play.go_back()
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert (run.outcome, run.reason) == (fact.Outcome.ABORTED, "nothing that needs undoing had been changed")
    assert f"/etc/dovecot.{RUN}.proposed" in play.thread(fact.RunEnded)[-1]
