"""Who may ask, who may approve, and in which channels: the Slack adapter asks the local Slack."""

from __future__ import annotations

from bot.adapters.slack.people import KEPT_FOR, Allowed, SlackPeople
from bot.practice.slack import Fault
from tests.build import REQUESTER, SECOND
from tests.integration.workspace import APPROVERS, CHANNEL, Place, place, slack

__all__ = ["place", "slack"]


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


async def test_a_group_that_cannot_be_read_allows_nobody(place: Place) -> None:
    place.slack.fault(Fault(method="usergroups.users.list", what="status_500", times=None))
    may_ask, may_approve, barred = await people_of(place, SECOND)
    assert (may_ask, may_approve) == (False, False)
    assert "try again" in barred


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
    place.slack.add_usergroup("S0MAIL", handle="mail", users=[REQUESTER])
    assert (await people.person(SECOND)).may_approve, "believed for a minute: Slack allows 20 questions a minute"
    at[0] = KEPT_FOR
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
