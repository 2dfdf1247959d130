"""Who may ask, who may approve, and in which channels: the Slack adapter asks the local Slack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from bot.adapters.slack.people import CACHED_FOR, Allowed, SlackPeople
from bot.core.decisions.approval import Person
from bot.core.runs.transitions import Status
from bot.practice.slack.context import Fault
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.integration.workspace import APPROVERS, CHANNEL, Place, app, place, slack

__all__ = ["app", "place", "slack"]


# people


async def people_of(place: Place, user: str) -> tuple[bool, bool, str]:
    person = await place.people.person(user)
    return person.may_ask, person.may_approve, person.barred


async def test_who_somebody_is_comes_from_slack_and_the_group(place: Place) -> None:
    place.slack.add_user("U0GONE", name="gone", deleted=True)
    place.slack.add_user("U0ROBOT", name="robot", is_bot=True)
    place.slack.add_user("U0ELSE", name="else", is_stranger=True)
    place.slack.add_user("U0ONCE", name="once", is_ultra_restricted=True)
    assert await people_of(place, SECOND) == (True, True, "")
    assert await people_of(place, "U0DAVE") == (False, False, "")
    barred = {"U0GONE": "deactivated", "U0ROBOT": "bots", "U0ELSE": "other workspaces", "U0ONCE": "guests"}
    for user, why in {**barred, "bob": "no user id", "U0NOBODY": "user_not_found"}.items():
        may_ask, may_approve, reason = await people_of(place, user)
        assert not may_ask
        assert not may_approve
        assert why in reason


async def test_the_engineer_who_installed_the_app_is_no_bot(place: Place) -> None:
    """`is_app_user` is what Slack says of a person who has authorized the calling app; a bot's user has `is_bot`."""
    place.slack.add_user(SECOND, name="bob", is_app_user=True)
    assert await people_of(place, SECOND) == (True, True, "")


async def test_a_group_that_cannot_be_read_allows_nobody(place: Place) -> None:
    place.slack.fault(Fault(method="usergroups.users.list", what="status_500", times=None))
    assert await people_of(place, SECOND) == (False, False, "")
    known = await place.people.person(SECOND)
    assert "try again in a minute" in known.unknown
    assert known.may_yet_approve


async def test_what_slack_does_not_say_of_somebody_is_not_said_to_whoever_reads_it(place: Place) -> None:
    """The thread had: an approval lapsed, as “Slack does not say who you are”. It was of whoever had given it."""
    assert (await place.people.person("U0NOBODY")).barred.startswith("Slack does not say who this is (user_not_found)")
    place.slack.away()
    assert (await place.people.person(SECOND)).barred.startswith("Slack did not say who this is (")


async def test_who_is_known_to_be_no_approver_is_not_waited_for_as_their_other_right_is_not_known(place: Place) -> None:
    place.slack.fault(Fault(method="usergroups.users.list", what="status_500", times=None))
    known = await with_groups(place, APPROVERS, Allowed(users=frozenset({SECOND}))).person(THIRD)
    assert known.unsure
    assert not known.may_yet_approve


def with_groups(place: Place, requesters: Allowed, approvers: Allowed) -> SlackPeople:
    return SlackPeople(client=place.client, requesters=requesters, approvers=approvers, channels=frozenset({CHANNEL}))


GONE = Allowed(usergroup="S0GONE")
"""Slack disables a user group that is emptied."""


async def test_a_requester_named_by_id_may_still_steer_once_the_approvers_group_is_gone(place: Place) -> None:
    """Take over, abort, not now, retry: nothing of it needs the approvers' group."""
    known = await with_groups(place, Allowed(users=frozenset({REQUESTER})), GONE).person(REQUESTER)
    assert (known.may_ask, known.may_approve, known.barred, known.unsure) == (True, False, "", False)
    assert "S0GONE of people.approvers" in known.approve_unknown


async def test_an_approver_named_by_id_may_approve_once_the_requesters_group_is_gone(place: Place) -> None:
    """The restore waits for that approval, with the backend out."""
    known = await with_groups(place, GONE, Allowed(users=frozenset({SECOND}))).person(SECOND)
    assert (known.may_ask, known.may_approve, known.barred) == (False, True, "")


async def test_a_group_that_is_gone_is_named_and_no_reason_to_try_again_in_a_minute(place: Place) -> None:
    known = await with_groups(place, GONE, GONE).person(SECOND)
    assert (known.may_ask, known.may_approve, known.unsure) == (False, False, False)
    for part in ("S0GONE of people.requesters", "S0GONE of people.approvers", "no_such_subteam", "What to do"):
        assert part in known.unknown
    assert "try again in a minute" not in known.unknown


async def test_a_right_that_was_taken_away_is_gone_after_a_minute(place: Place) -> None:
    at = [0.0]
    people = SlackPeople(
        client=place.client,
        requesters=Allowed(users=frozenset({REQUESTER})),
        approvers=APPROVERS,
        channels=frozenset({CHANNEL}),
        now=lambda: at[0],
    )
    assert (await people.person(SECOND)).may_approve
    place.slack.add_usergroup("S0MAIL", users=[REQUESTER])
    assert (await people.person(SECOND)).may_approve, "believed for a minute: Slack allows 20 questions a minute"
    at[0] = CACHED_FOR
    assert not (await people.person(SECOND)).may_approve


async def test_channels_that_others_can_read_are_refused(place: Place) -> None:
    assert await place.people.channel_allowed(CHANNEL) == ""
    assert "not one of" in await place.people.channel_allowed("C0RANDOM")
    place.slack.add_channel("C0SHARED", name="with-others", is_ext_shared=True)
    people = SlackPeople(
        client=place.client, requesters=APPROVERS, approvers=APPROVERS, channels=frozenset({"C0SHARED", "C0GONE"})
    )
    assert "shared" in await people.channel_allowed("C0SHARED")
    assert "channel_not_found" in await people.channel_allowed("C0GONE")


@pytest.mark.parametrize("text", ["status", "list", "repost {run}", "abort {run}"])
async def test_an_open_run_is_steered_by_typing_also_once_others_can_read_its_channel(app: Place, text: str) -> None:
    """The vendor was invited to help with it: what is answered, nobody else sees. Nothing new is asked for there."""
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    app.slack.channels[CHANNEL] = replace(app.slack.channels[CHANNEL], is_ext_shared=True)
    await app.slack.command(SECOND, CHANNEL, "/dovecot-upgrade", text.format(run=app.run))
    told = (await app.slack.until(lambda: app.slack.ephemerals))[-1]
    assert "shared with others outside" not in str(told)
    app.slack.ephemerals.clear()
    for new in ("backend-3", "plan backend-3"):
        await app.slack.command(SECOND, CHANNEL, "/dovecot-upgrade", new)
        told = (await app.slack.until(lambda: app.slack.ephemerals))[-1]
        assert "shared with others outside" in str(told)
        app.slack.ephemerals.clear()
    assert app.service.requests == []


@pytest.mark.parametrize("private", [False, True])
async def test_nothing_is_asked_for_where_the_bot_could_post_nothing_and_invited_it_is_at_once(
    app: Place, private: bool
) -> None:
    """It can be typed in every channel: a run would begin that nobody sees. A private one is not even shown."""
    outside = replace(app.slack.channels[CHANNEL], bot=False, is_private=private)
    app.slack.channels[CHANNEL] = outside
    for text in ("backend-3", "plan backend-3"):
        await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", text)
        told = (await app.slack.until(lambda: app.slack.ephemerals))[-1]
        app.slack.ephemerals.clear()
        assert "`/invite` it" in str(told.blocks)
    assert app.service.requests == []
    app.slack.channels[CHANNEL] = replace(outside, bot=True)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3")
    await app.slack.until(lambda: app.service.requests)


# one slow answer


def asked_about(place: Place, method: str) -> int:
    return sum(call.method == method for call in place.slack.calls)


async def hanging(place: Place, method: str, users: Iterable[str]) -> list[asyncio.Task[Person]]:
    """Slack is asked about these, and does not answer; whatever is asked next it answers."""
    before = asked_about(place, method)
    place.slack.fault(Fault(method=method, what="hang"))
    tasks = [asyncio.create_task(place.people.person(user)) for user in users]
    await place.slack.until(lambda: asked_about(place, method) > before)
    return tasks


async def test_an_answer_about_one_that_hangs_does_not_delay_what_another_clicks(app: Place) -> None:
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    question = next(message for message in app.said if "'approve'" in str(message.blocks))
    app.slack.fault(Fault(method="users.info", what="hang"))
    slow = asyncio.create_task(app.slack.click(THIRD, question, "approve"))
    await app.slack.until(lambda: asked_about(app, "users.info"))
    await app.slack.click(SECOND, question, "approve")
    assert app.service.story.run.grants, "on the record, though Slack still says nothing of the other one"
    app.slack.clear_faults()
    await slow
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert answer.user == THIRD
    assert f"<@{SECOND}> was first" in answer.text


async def test_slack_is_asked_once_where_many_want_to_know_the_same(place: Place) -> None:
    """It allows 20 questions about a group a minute; and one that fails must not be waited for by each in turn."""
    people = await asyncio.gather(*(place.people.person(SECOND) for _ in range(5)))
    assert all(person.may_approve for person in people)
    assert asked_about(place, "users.info") == asked_about(place, "usergroups.users.list") == 1
    waiting = await hanging(place, "users.info", [THIRD] * 5)
    place.slack.away()
    assert all(person.unsure for person in await asyncio.gather(*waiting))
    assert asked_about(place, "users.info") == 2


async def test_whoever_gives_up_waiting_takes_nobody_with_them(place: Place) -> None:
    first, second = await hanging(place, "users.info", [THIRD, THIRD])
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    place.slack.away()
    assert (await second).unsure
    place.slack.away(False)
    assert (await place.people.person(THIRD)).may_approve, "asked again, as nothing was answered"


async def test_a_list_of_runs_comes_though_slack_gives_no_address_of_their_threads(app: Place) -> None:
    """Twenty runs were twenty answers to wait for, one after the other."""
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    app.slack.fault(Fault(method="chat.getPermalink", what="hang", times=None))
    await app.slack.command(SECOND, CHANNEL, "/dovecot-upgrade", "status")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "Open runs: 1" in answer.text


async def test_whoever_wants_the_buttons_while_slack_takes_nothing_is_told_so(app: Place) -> None:
    """The wait for a thread that Slack takes nothing of has no end."""
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    app.slack.fault(Fault(method="chat.postMessage", what="hang", times=None))
    app.service.story.tell(*app.service.story.well())
    app.service.publish()
    await app.slack.until(lambda: any(call.status == "hang" for call in app.slack.calls))
    await app.slack.command(SECOND, CHANNEL, "/dovecot-upgrade", f"repost {app.run}")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "Slack has not yet taken what was said" in answer.text


# Slack limits


async def test_whoever_clicks_while_slack_limits_who_they_are_is_told_in_some_seconds(app: Place) -> None:
    """They saw nothing for minutes, and then it counted. What Slack wants for a moment is waited for."""
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    question = next(message for message in app.said if "'approve'" in str(message.blocks))
    app.slack.fault(Fault(method="users.info", what="rate_limited", retry_after=3600))
    await app.slack.click(SECOND, question, "approve")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "Slack did not say who this is" in answer.text
    assert "ratelimited" in answer.text
    assert asked_about(app, "users.info") == 1
    app.slack.fault(Fault(method="users.info", what="rate_limited", retry_after=0))
    await app.slack.click(SECOND, question, "approve")
    await app.slack.until(lambda: app.service.story.run.grants)


async def test_whoever_wants_a_form_while_slack_limits_views_is_told_what_does_the_same(app: Place) -> None:
    """Slack opens none three seconds after the click."""
    await app.tell(Story().until("approve-flush", on=Status.ASKING))
    app.slack.fault(Fault(method="views.open", what="rate_limited", retry_after=3600))
    await app.slack.click(SECOND, app.said[0], "take_over")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "Slack did not open the form (ratelimited)" in answer.text
