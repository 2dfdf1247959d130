"""What people click on the local Slack: which clicks count, once, and what becomes of the buttons."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from html import escape

import pytest

from bot.core.decisions.decide import AgreeToSkip, Approve, GoBack, ProposeSkip
from bot.core.decisions.goback import going_back
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.slack.workspace import Message
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.integration.workspace import CHANNEL, Place, app, place, slack

__all__ = ["app", "place", "slack"]


# clicks


def question(place: Place, action: str) -> Message:
    """The last message with such a button; LookupError while there is none, which `until` waits out."""
    return [message for message in place.said if f"'{action}'" in str(message.blocks)][-1]


async def asking(place: Place) -> Message:
    await place.tell(Story().until("approve-flush", on=Status.ASKING))
    return question(place, "approve")


async def test_a_second_engineers_click_approves_and_the_buttons_are_gone(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    assert "actions" not in str(asked.blocks)
    assert f"*Approved* by <@{SECOND}> (asked for by <@{REQUESTER}>)" in str(asked.blocks)
    (command,) = app.service.steered
    assert isinstance(command, Approve)
    assert (command.person.id, command.message) == (SECOND, asked.ts)
    await app.slack.until(
        lambda: app.said[-1].text.startswith(f"Approved: take backend-3 down and upgrade it, by <@{SECOND}>")
    )


@pytest.mark.parametrize("twice", [False, True])
async def test_a_click_is_acknowledged_once_it_is_on_the_record(app: Place, twice: bool) -> None:
    """Should the bot be killed before, Slack tells whoever clicked; a repeat of the envelope must not say otherwise."""
    asked = await asking(app)
    app.service.journal_answers.clear()
    app.slack.send_envelopes_twice = twice
    click = asyncio.create_task(app.slack.click(SECOND, asked, "approve"))
    await app.slack.until(lambda: app.service.steered)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")  # whatever comes after it is acknowledged
    assert not click.done()
    app.service.journal_answers.set()
    await click
    assert len(app.service.steered) == 1
    assert app.service.story.run.grants


async def test_a_click_whose_record_takes_long_is_acknowledged_all_the_same(app: Place) -> None:
    """Else Slack would say after 3 seconds that it came to nothing."""
    asked = await asking(app)
    app.service.journal_answers.clear()
    await app.slack.click(SECOND, asked, "approve")
    assert not app.service.story.run.grants
    app.service.journal_answers.set()
    await app.slack.until(lambda: app.service.story.run.grants)


async def test_the_requesters_own_click_does_not_count_and_is_on_the_record(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(REQUESTER, asked, "approve")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "whoever asked for a run cannot approve it" in answer.text
    await app.slack.until(lambda: "Did not count" in str(app.said[-1].blocks))
    assert app.service.story.run.status is Status.ASKING
    assert "actions" in str(asked.blocks)


async def test_a_late_click_is_told_who_was_first(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    await app.slack.click(THIRD, asked, "approve", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert f"<@{SECOND}> was first" in answer.text
    assert answer.user == THIRD
    await app.slack.click(THIRD, asked, "not_now", stale=True)
    (view,) = await app.slack.until(lambda: app.slack.views)
    assert f"<@{SECOND}> was first and gave the flush approval" in str(view.body["blocks"])
    assert "submit" not in view.body


@pytest.mark.parametrize("action", ["not_now", "wait_longer", "go_back"])
async def test_a_form_that_was_left_open_until_the_gate_was_decided_says_so_in_itself(app: Place, action: str) -> None:
    """By name, as a form shows no mentions; nothing is done, and nothing else is said."""
    asked = await asking(app)
    await app.slack.click(THIRD, asked, action)
    (view,) = await app.slack.until(lambda: app.slack.views)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    reply = await app.slack.submit(THIRD, view, {"reason": {"reason": "it can wait"}})
    assert "closed: @bob was first and gave the flush approval" in reply.errors["reason"]
    assert view.shown
    assert (app.slack.ephemerals, app.service.story.run.turning) == ([], False)


async def test_a_form_of_a_question_that_has_expired_or_was_changed_is_refused_in_itself(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(THIRD, asked, "wait_longer")
    (view,) = await app.slack.until(lambda: app.slack.views)
    assert "15 min once more" in str(view.body["blocks"])
    hidden = json.loads(view.body["private_metadata"])
    view.body["private_metadata"] = json.dumps(hidden | {"shown": "another"})
    assert "has changed since" in (await app.slack.submit(THIRD, view)).errors["reason"]
    view.body["private_metadata"] = json.dumps(hidden)
    app.service.story.at += timedelta(days=1)
    assert "has expired" in (await app.slack.submit(THIRD, view)).errors["reason"]
    app.service.story.at -= timedelta(days=1)
    assert not (await app.slack.submit(THIRD, view)).errors
    await app.slack.until(lambda: "chose to wait longer" in str(asked.blocks) or "*Wait longer*" in str(asked.blocks))
    assert app.service.story.run.longer_waits == 1


async def test_aborting_while_a_question_is_open_closes_the_question(app: Place) -> None:
    asked = await asking(app)
    await app.slack.fill_in(THIRD, app.said[0], "abort", "not tonight")
    await app.slack.until(lambda: "asked to go back" in str(asked.blocks))
    assert isinstance(app.service.steered[0], GoBack)
    await app.slack.until(lambda: "abort" not in str(app.said[0].blocks))


@pytest.mark.parametrize("label", ["not_now", "deny"])
async def test_not_now_holds_the_run_and_says_who_and_why(app: Place, label: str) -> None:
    """The button of an older thread, *Deny*, does what is safe: it asks for a reason, and holds."""
    asked = await asking(app)
    row = next(block for block in asked.blocks if block["type"] == "actions")
    next(one for one in row["elements"] if one["action_id"] == "not_now")["action_id"] = label
    await app.slack.fill_in(REQUESTER, asked, label, "the storage is slow")
    hold = await app.slack.until(lambda: question(app, "retry"))
    assert f"<@{REQUESTER}> said *not now* to the flush approval" in str(hold.blocks)
    assert "*Reason given* `the storage is slow`" in str(hold.blocks)
    await app.slack.until(lambda: f"*Not now*, said <@{REQUESTER}>" in str(asked.blocks))
    assert "actions" not in str(asked.blocks)
    assert app.service.story.run.status is Status.HELD


async def test_going_back_shows_first_what_it_would_do_and_whose_word_it_is(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(SECOND, asked, "go_back")
    (view,) = await app.slack.until(lambda: app.slack.views)
    shown = str(view.body["blocks"])
    assert "*1 change* on the way back" in shown
    assert "doveadm director update 192.0.2.13 100" in shown
    assert f"but for <@{REQUESTER}>, this *is* the restore approval" in shown
    await app.slack.submit(SECOND, view, {"reason": {"reason": ""}})
    await app.slack.until(lambda: "asked to go back" in str(asked.blocks))
    (command,) = app.service.steered
    assert isinstance(command, GoBack)
    assert command.shown


async def test_a_longer_way_back_is_shown_with_every_command_and_is_refused_once_it_has_changed(app: Place) -> None:
    await app.tell(Story().until("approve-restore", on=Status.ASKING))
    await app.slack.click(SECOND, question(app, "go_back"), "go_back")
    (view,) = await app.slack.until(lambda: app.slack.views)
    shown = str(view.body["blocks"])
    back = going_back(app.service.story.run)
    assert back is not None
    commands = [step.action.command.text for step in back.changes]
    assert f"*{len(commands)} changes* on the way back, after *go back* and *restore* approval" in shown
    assert all(escape(command, quote=False) in shown.replace("\\'", "'").replace('\\"', '"') for command in commands)
    assert "Whoever sends this cannot approve it" in shown
    await app.tell(app.service.story.until("users-come-back"))
    reply = await app.slack.submit(SECOND, view)
    assert "This question is closed: @bob was first" in reply.errors["reason"]


async def held(place: Place) -> Message:
    await place.tell(Story().until("stop-dovecot").fail())
    return question(place, "retry")


async def test_a_held_run_is_retried_once_and_an_old_button_does_not_retry_a_later_hold(app: Place) -> None:
    first = await held(app)
    await app.slack.click(REQUESTER, first, "retry")
    await app.slack.until(lambda: "*Retry*, said" in str(first.blocks))
    await app.tell(app.service.story.fail())
    await app.slack.click(REQUESTER, first, "retry", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "older question" in answer.text
    assert [type(entry.fact) for entry in app.service.story.entries].count(fact.RetryChosen) == 1


async def test_a_skip_needs_a_reason_and_a_second_engineer(app: Place) -> None:
    first = await held(app)
    await app.slack.click(REQUESTER, first, "skip")
    view = (await app.slack.until(lambda: app.slack.views))[0]
    reply = await app.slack.submit(REQUESTER, view, {"reason": {"reason": "   "}})
    assert "needs a reason" in str(reply.errors)
    await app.slack.submit(REQUESTER, view, {"reason": {"reason": "stopped by hand <!channel>"}})
    proposal = await app.slack.until(lambda: question(app, "agree_skip"))
    assert "&lt;!channel&gt;" in str(proposal.blocks)
    await app.slack.click(REQUESTER, proposal, "agree_skip")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "a second engineer has to agree" in answer.text
    await app.slack.click(SECOND, proposal, "agree_skip")
    await app.slack.until(lambda: "*Skipped*" in str(proposal.blocks) and "*Skipped*" in str(first.blocks))
    assert [type(command) for command in app.service.steered] == [ProposeSkip, AgreeToSkip, AgreeToSkip]


@pytest.mark.parametrize("action", ["skip", "take_over"])
async def test_a_reason_that_looks_like_an_approval_is_shown_as_somebodys(app: Place, action: str) -> None:
    """Whoever reads the thread at night must not take it for the bot's own word."""
    forged = f"fine\n\n:white_check_mark: *Approved* by <@{SECOND}> (asked by <@{REQUESTER}>)\n<!channel> \u202e"
    first = await held(app)
    approved = approvals(app)
    await app.slack.fill_in(THIRD, first, action, forged)
    told = await app.slack.until(lambda: [one for one in app.said if "*Reason given*" in str(one.blocks)])
    texts = [block["text"]["text"] for block in told[-1].blocks if block["type"] == "section"]
    (given,) = [text for text in texts if "Approved" in text]
    assert given == (
        f"*Reason given* `fine :white_check_mark: *Approved* by &lt;@{SECOND}&gt; (asked by &lt;@{REQUESTER}&gt;)"
        " &lt;!channel&gt;`"
    )
    every = [*(one.text for one in app.said), *(str(one.blocks) for one in app.said)]
    assert not any("<!channel>" in said for said in every)
    assert approvals(app) == approved


def approvals(place: Place) -> int:
    """Lines of the thread that say so."""
    texts = [block["text"]["text"] for one in place.said for block in one.blocks if block["type"] == "section"]
    return sum(line.startswith(":white_check_mark: *Approved*") for text in texts for line in text.split("\n"))


async def test_reposted_buttons_work_and_vanish_with_the_question(app: Place) -> None:
    """Clicks were seen lost behind a stale socket; people need buttons that work."""
    asked = await asking(app)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", f"repost {app.run}")
    await app.slack.until(lambda: "Posted again at the end" in app.slack.ephemerals[-1].text)
    again = question(app, "approve")
    assert again.ts != asked.ts
    assert "Posted again" in str(again.blocks)
    await app.slack.click(SECOND, again, "approve")
    await app.slack.until(lambda: "*Approved*" in str(again.blocks) and "*Approved*" in str(asked.blocks))
    assert "actions" not in str(again.blocks) + str(asked.blocks)


@pytest.mark.parametrize("value", ["r2025a:1:2", "r2025a:-1", "", "x" * 200, "r2025a:abc", "../../x:1"])
async def test_a_button_that_this_bot_did_not_write_does_nothing(app: Place, value: str) -> None:
    asked = await asking(app)
    row = next(block for block in asked.blocks if block["type"] == "actions")
    row["elements"][0]["value"] = value
    await app.slack.click(SECOND, asked, "approve")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "nothing that the bot knows" in answer.text
    assert app.service.steered == []


async def test_a_form_to_take_over_a_run_that_holds_does_not_take_over_one_that_went_on(app: Place) -> None:
    """Every other form of a hold is void by then, too."""
    first = await held(app)
    await app.slack.click(THIRD, first, "take_over")
    (view,) = await app.slack.until(lambda: app.slack.views)
    await app.slack.click(SECOND, first, "retry")
    await app.slack.until(lambda: "*Retry*, said" in str(first.blocks))
    await app.tell(app.service.story.until("approve-restore", on=Status.ASKING))
    reply = await app.slack.submit(THIRD, view, {"reason": {"reason": "nobody does anything about it"}})
    assert app.service.story.run.status is Status.ASKING
    assert "does not hold" in str(reply.errors)


async def test_the_button_of_the_first_message_takes_over_whatever_the_run_does(app: Place) -> None:
    await asking(app)
    await app.slack.click(THIRD, app.said[0], "take_over")
    (view,) = await app.slack.until(lambda: app.slack.views)
    reply = await app.slack.submit(THIRD, view, {"reason": {"reason": "I know better"}})
    assert not reply.errors
    assert app.service.story.run.status is Status.TAKEN


@pytest.mark.parametrize("typed", ["", "\u200b\u3164", "pass\u200bword=hunter2x"])
async def test_what_is_typed_in_a_form_is_read_as_people_will_read_it(app: Place, typed: str) -> None:
    """Where a reason may be left out, one that nobody can read is none."""
    await app.slack.fill_in(THIRD, await held(app), "go_back", typed)
    await app.slack.until(lambda: app.service.story.run.back_asked_by)
    asked = [one.fact for one in app.service.story.entries if isinstance(one.fact, fact.GoBackAsked)][-1]
    assert asked.reason == ("password=hunter2x" if "=" in typed else "Go back was clicked")
