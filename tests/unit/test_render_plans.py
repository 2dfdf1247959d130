"""Plans, help and lists of runs, as Slack shows them."""

from __future__ import annotations

from bot.adapters.slack.messages.plans import dry_run, help_text, plan_text
from bot.adapters.slack.messages.root import run_list
from bot.core.plans.dryrun import DryRun
from tests.build import plan, target
from tests.unit.messages import fits, seen
from tests.unit.stories import HOSTILE, happy, refused, troubled


def test_the_plan_is_shown_with_the_checks_as_they_are_now() -> None:
    made = plan()
    checks = (
        ("The ring is whole", True, "as it should be"),
        ("It serves", False, HOSTILE),
        ("Apt offers it", None, "no"),
    )
    messages = dry_run(DryRun(plan=made, target=target(), checks=checks))
    for message in messages:
        fits(message)
    said = "".join(seen(message) for message in messages)
    assert all(step.says in said for step in made.steps)
    assert "Of 3 checks, 1 is not met now and 1 is not known now" in said
    assert len(messages) <= 4
    assert all(step.action.command.text in plan_text(made, target()) for step in made.changes)


def test_help_and_lists_fit_slacks_limits() -> None:
    fits(help_text({"/dovecot-upgrade": "Takes a backend out"}))
    runs = tuple(story.run for story in (happy(), troubled(), refused())) * 30
    fits(run_list(runs, {"r2025a": "https://x.slack.com/archives/C0OPS/p1"}, title="All runs"))
    fits(run_list((), {}, title="Open runs"))
