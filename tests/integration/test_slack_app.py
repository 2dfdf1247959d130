"""The Slack app on the local Slack: it signs in, goes on listening, and answers every command to its sender alone."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.adapters.slack.app import SlackApp, sign_in, web_client
from bot.adapters.slack.inbound import answers as inbound_answers
from bot.adapters.slack.inbound.socket import Socket
from bot.errors import Misconfigured, Refused
from bot.practice.slack.api import APP_TOKEN, BOT_TOKEN
from bot.practice.slack.context import Fault
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Ephemeral
from tests.build import REQUESTER, SECOND, THIRD
from tests.fakes import FakeJournal
from tests.integration.test_slack_clicks import asking
from tests.integration.workspace import (
    CHANNEL,
    FakePosts,
    Place,
    a_place,
    app,
    app_of,
    place,
    slack,
)
from tests.patience import SECONDS

__all__ = ["app", "place", "slack"]


async def both(app: Place) -> list[Ephemeral]:
    """What whoever asks for a run is told: at once, and when the run has begun, or was refused."""
    await app.slack.until(lambda: len(app.slack.ephemerals) >= 2)
    return app.slack.ephemerals[:2]


# commands


async def test_whoever_asks_for_a_run_is_told_at_once_and_again_when_it_claims_its_ring(app: Place) -> None:
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3 config=spring")
    looking, answer = await both(app)
    assert "Looking at backend-3" in looking.text
    assert f"Run {app.run} claims ring main and looks at everything on it" in answer.text
    (request,) = app.service.requests
    assert (request.requester, request.channel, request.text) == (REQUESTER, CHANNEL, "backend-3 config=spring")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("help", "what apt offers"),
        ("plan backend-3 restart=yes", "Nothing was changed"),
        ("plan", "Which backend"),
        ("status", "Open runs"),
        ("list", "All runs"),
        ("abort", "Which run"),
        ("abort <!channel>", "Which run"),
        ("abort nothing", "There is no run nothing"),
        ("repost nothing", "There is no run nothing"),
    ],
)
async def test_every_command_is_answered_to_its_sender_alone(app: Place, text: str, answer: str) -> None:
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", text)
    told = await app.slack.until(lambda: app.slack.ephemerals)
    assert answer in told[0].text + str(told[0].blocks)
    assert {one.user for one in told} == {REQUESTER}
    assert app.slack.messages == []


async def test_a_command_that_the_bot_does_not_know_is_answered_too(app: Place) -> None:
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-downgrade", "backend-3 restart=yes")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "does not know /dovecot-downgrade" in answer.text
    assert app.service.requests == []


async def test_whoever_may_not_is_told_why_and_nothing_happens(app: Place) -> None:
    app.slack.add_user("U0GUEST", name="guest", is_restricted=True)
    app.slack.add_channel("C0OTHER", name="random")
    for user, channel in (("U0DAVE", CHANNEL), ("U0GUEST", CHANNEL), (REQUESTER, "C0OTHER")):
        await app.slack.command(user, channel, "/dovecot-upgrade", "backend-3 restart=yes")
    told = await app.slack.until(lambda: len(app.slack.ephemerals) == 3 and app.slack.ephemerals)
    assert isinstance(told, list)
    said = {(one.user, one.channel): one.text for one in told}
    assert "not among those who may ask" in said["U0DAVE", CHANNEL]
    assert "guests" in said["U0GUEST", CHANNEL]
    assert "not one of the channels" in said[REQUESTER, "C0OTHER"]
    assert app.service.requests == []


async def test_an_answer_whose_response_url_fails_is_whispered_instead(app: Place) -> None:
    app.slack.fault(Fault(method="response_url", what="error", error="used_url"))
    app.slack.fault(Fault(method="response_url", what="status_500"))
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")
    await app.slack.until(lambda: any(one.via == "chat.postEphemeral" for one in app.slack.ephemerals))


async def test_an_error_of_the_bots_own_is_told_with_a_reference_that_is_in_the_log(
    app: Place, caplog: pytest.LogCaptureFixture
) -> None:
    app.service.fails = ZeroDivisionError("a defect")
    with caplog.at_level(logging.ERROR):
        await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3 restart=yes")
        _, answer = await both(app)
    reference = next(record.args[0] for record in caplog.records if isinstance(record.args, tuple) and record.args)
    assert f"error {reference}" in answer.text
    assert "a defect" not in answer.text


async def test_what_somebody_typed_calls_nobody_in_the_answer(app: Place) -> None:
    app.service.fails = Refused("'<!channel>' is not the name of a backend; run r1 is <@U0BOB>'s.")
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3 <!channel>")
    _, answer = await both(app)
    assert "<!channel>" not in str(answer.blocks) + answer.text
    assert "<@U0BOB>" in str(answer.blocks)


async def test_an_envelope_that_comes_twice_acts_once(app: Place) -> None:
    app.slack.send_envelopes_twice = True
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3 restart=yes")
    await both(app)
    app.slack.send_envelopes_twice = False
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "plan backend-3 restart=yes")
    await app.slack.until(lambda: len(app.service.requests) >= 2)
    assert [request.text for request in app.service.requests] == ["backend-3 restart=yes", "backend-3 restart=yes"]
    assert len([one for one in app.slack.ephemerals if "looks at everything" in one.text]) == 1


async def test_the_repeat_of_a_form_is_answered_as_the_form_was(app: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack sends an envelope again whose acknowledgement was lost: an empty one would close the form as taken."""
    asked = await asking(app)
    await app.slack.click(THIRD, asked, "not_now")
    (view,) = await app.slack.until(lambda: app.slack.views)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    answers: list[dict[str, Any]] = []
    answered = app.slack._sockets._answered

    def lost_once(frame: dict[str, Any]) -> None:
        """The first acknowledgement went down with its socket."""
        answers.append(frame)
        if len(answers) > 1:
            answered(frame)

    # Frames of a socket are Slack's own, and no fault of the local one loses a single one of them.
    monkeypatch.setattr(app.slack._sockets, "_answered", lost_once)
    app.slack.send_envelopes_twice = True
    reply = await app.slack.submit(THIRD, view, {"reason": {"reason": "it can wait"}})
    assert answers[0] == answers[1]
    assert "closed: @bob was first" in reply.errors["reason"]
    assert view.shown


async def test_a_click_that_was_acknowledged_and_not_done_is_told_where_the_bot_is_stopped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack shows no error to whoever clicked: they would believe that they approved."""
    monkeypatch.setattr(inbound_answers, "_FIRST_ANSWER_WITHIN", SECONDS)
    monkeypatch.setattr(inbound_answers, "_ONE_WAY_WITHIN", SECONDS)
    app = app_of(place)
    await app.start()
    await place.slack.until(lambda: place.slack.sockets)
    asked = await asking(place)
    place.service.journal_answers.clear()
    await place.slack.click(SECOND, asked, "approve")
    await app.close()
    (told,) = place.slack.ephemerals
    assert told.user == SECOND
    assert "The bot was stopped while it was at this. It may or may not have been done" in told.text


async def test_the_bot_listens_again_after_slack_renewed_its_socket(app: Place) -> None:
    await app.slack.close_sockets()
    await app.slack.until(lambda: app.slack.sockets)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")
    await app.slack.until(lambda: app.slack.ephemerals)


# signing in


@pytest.mark.parametrize(
    ("bot_token", "app_token", "what"),
    [
        ("xoxb-secret", APP_TOKEN, "bot token: invalid_auth"),
        (BOT_TOKEN, "xapp-secret", "app-level token: invalid_auth"),
    ],
)
async def test_tokens_that_cannot_be_used_are_said_at_the_start_and_never_shown(
    place: Place, bot_token: str, app_token: str, what: str
) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(Misconfigured) as caught:
            client = await stack.enter_async_context(web_client(token=bot_token, api_url=place.slack.api_url))
            app = SlackApp(
                client=client, app_token=app_token, service=place.service, people=place.people, threads=place.thread
            )
            await app.start()
    assert what in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_slack_that_hangs_at_the_start_is_waited_for_once_and_believed(place: Place) -> None:
    """Users of a stopped backend wait meanwhile: seconds, and not as long as a call may take, for each token."""
    place.slack.fault(Fault(method="auth.test", what="hang", times=None))
    assert await asyncio.wait_for(sign_in(place.client, APP_TOKEN), SECONDS) is None
    assert [call.method for call in place.slack.calls] == ["auth.test"]


async def test_an_address_of_the_socket_that_is_old_by_the_time_it_is_used_is_asked_for_anew(place: Place) -> None:
    """It is asked for before the runs are taken up, and used after; Slack takes no click until the socket is there."""
    address = await sign_in(place.client, APP_TOKEN)
    place.slack.tickets.clear()
    bolt = AsyncApp(name="bolt", signing_secret="", token=BOT_TOKEN)
    socket = Socket(app=bolt, client=place.client, app_token=APP_TOKEN, ping_every=timedelta(seconds=0.1))
    await socket.open(address)
    await place.slack.until(lambda: place.slack.sockets)
    await socket.close()


async def test_a_socket_over_which_nothing_comes_though_slack_answers_is_given_up(slack: LocalSlack) -> None:
    """A socket can look connected and be dead; only being started anew helps then."""
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        app = app_of(place, silence=timedelta(seconds=0.4))
        await app.start()
        assert "though Slack answers" in await asyncio.wait_for(app.failed, SECONDS)
        await app.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="auth.test", what="error", error="token_revoked", times=None),
        Fault(method="auth.test", what="rate_limited", retry_after=3600, times=None),
    ],
)
async def test_a_socket_that_is_dead_is_given_up_whatever_slack_answers(place: Place, fault: Fault) -> None:
    """Also what refuses is an answer: the bot is started anew, and calls people there for what is wrong."""
    app = app_of(place, silence=timedelta(seconds=0.2))
    await app.sign_in()
    place.slack.fault(fault)
    await app.listen()
    said = "token_revoked" if fault.what == "error" else "ratelimited"
    assert f"though Slack answers: it says `{said}`" in await asyncio.wait_for(app.failed, SECONDS)
    await app.close()


async def test_a_slack_that_fails_by_itself_is_away_and_the_log_says_what_it_says(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(place, silence=timedelta(seconds=0.2))
    await app.sign_in()
    place.slack.fault(Fault(method="auth.test", what="error", error="internal_error", times=None))
    await app.listen()
    await place.slack.until(lambda: sum(call.method == "auth.test" for call in place.slack.calls) > 2)
    assert not app.failed.done()
    assert "Slack is away: it says `internal_error`" in caplog.text
    await app.close()


async def test_slack_being_away_is_no_reason_to_end_the_bot(slack: LocalSlack) -> None:
    """Runs that are under way must not be cut off because Slack has a bad night."""
    slack.away()
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        app = app_of(place, silence=timedelta(seconds=0.2))
        await app.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(app.failed), 1)
        await app.close()
