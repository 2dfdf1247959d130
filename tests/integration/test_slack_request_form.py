"""The form that the bare slash command opens: it makes the request that typing makes, or says in itself why not."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.plans.proposal import read_request
from bot.engine.offering import Offer
from bot.engine.planning import Request
from bot.errors import Refused
from bot.practice.slack.context import Fault
from bot.practice.slack.workspace import View
from tests.build import REQUESTER, SECOND
from tests.integration.workspace import CHANNEL, Place, app, place, slack

__all__ = ["app", "place", "slack"]

SAID = 'the "November" update, as it\'s due'


async def opened(app: Place, user: str = REQUESTER) -> View:
    """The form once it has its content."""
    await app.slack.command(user, CHANNEL, "/dovecot-upgrade")
    (view,) = await app.slack.until(lambda: app.slack.views)
    await app.slack.until(lambda: "submit" in view.body)
    return view


async def test_it_shows_how_every_backend_stands_and_its_submit_is_what_would_be_typed(app: Place) -> None:
    view = await opened(app)
    blocks = str(view.body["blocks"])
    assert "backend-3 · up, vhosts 100, 6 users" in blocks
    assert "b-199 · up" in blocks, "two hundred backends have a place"
    given = {
        "backend": {"backend": "backend-3"},
        "packages": {"packages": "keep"},
        "config": {"config": "=review-2026-11"},
        "reason": {"reason": SAID},
    }
    assert not (await app.slack.submit(REQUESTER, view, given)).errors
    (request,) = await app.slack.until(lambda: app.service.requests)
    assert (request.command, request.requester, request.channel) == ("/dovecot-upgrade", REQUESTER, CHANNEL)
    asked = read_request(request.text)
    assert (asked.backend, asked.config, asked.keeps_packages, asked.reason) == (
        "backend-3",
        "review-2026-11",
        True,
        SAID,
    )
    (told,) = await app.slack.until(lambda: [one for one in app.slack.ephemerals if "claims ring main" in one.text])
    assert told.user == REQUESTER


@pytest.mark.parametrize(
    ("given", "text"),
    [({}, "backend-3"), ({"packages": {"packages": "restart"}}, "backend-3 restart=yes")],
)
async def test_what_is_left_as_it_is_is_not_typed(app: Place, given: dict[str, dict[str, str]], text: str) -> None:
    view = await opened(app)
    await app.slack.submit(REQUESTER, view, {"backend": {"backend": "backend-3"}, **given})
    (request,) = await app.slack.until(lambda: app.service.requests)
    assert request.text == text


async def test_the_backend_that_is_chosen_says_old_and_new_versions_and_files_or_why_there_are_none(app: Place) -> None:
    view = await opened(app)
    await app.slack.choose(REQUESTER, view, "backend", "backend-3")
    await app.slack.until(lambda: "dovecot-core and 2 more: deb12u6 → deb12u7" in str(view.body))
    assert "files changed 1" in str(view.body)
    await app.slack.choose(REQUESTER, view, "backend", "backend-1")
    await app.slack.until(lambda: "Nothing would change on backend-1" in str(view.body))


async def test_a_request_that_is_refused_says_so_in_the_form(app: Place) -> None:
    app.service.requires = ("reason",)
    view = await opened(app)
    app.service.fails = Refused(f"Ring main is claimed by run r7, asked for by <@{SECOND}>.")
    given = {"backend": {"backend": "backend-3"}, "reason": {"reason": "a fix"}}
    with pytest.raises(ValueError, match="reason/reason has to be filled in"):
        await app.slack.submit(REQUESTER, view, {"backend": {"backend": "backend-3"}})
    reply = await app.slack.submit(REQUESTER, view, given)
    assert reply.errors == {"backend": "Ring main is claimed by run r7, asked for by @bob."}
    assert view.shown


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="views.open", what="error", error="expired_trigger_id"),
        Fault(method="views.update", what="status_500"),
    ],
)
async def test_where_slack_opens_no_form_it_is_said_how_it_is_typed(app: Place, fault: Fault) -> None:
    app.slack.fault(fault)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade")
    (told,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "How this bot is asked for runs" in told.text
    assert all("Type `/dovecot-upgrade BACKEND`" in str(view.body) for view in app.slack.views)


async def test_where_slack_takes_not_all_backends_those_of_a_ring_are_chosen_one_ring_after_another(app: Place) -> None:
    app.service.more = {f"ring-{ring}": tuple(f"r{ring}-b-{at}" for at in range(200)) for ring in range(30)}
    view = await opened(app)
    await app.slack.choose(REQUESTER, view, "backend-main", "backend-3")
    await app.slack.until(lambda: "would bring backend-3" in str(view.body))
    await app.slack.choose(REQUESTER, view, "ring-main", "ring-29")
    await app.slack.until(lambda: "r29-b-199" in str(view.body))
    assert "backend-3" not in str(view.body), "what was chosen in one ring is not asked for in another"
    app.service.fails = Refused("Ring ring-29 is claimed by run r7.")
    given = {"backend-ring-29": {"backend": "r29-b-199"}}
    assert (await app.slack.submit(REQUESTER, view, given)).errors == {"backend-ring-29": str(app.service.fails)}
    assert [request.text for request in app.service.requests] == ["r29-b-199"]


async def test_a_ring_whose_backends_slack_did_not_show_is_said(app: Place) -> None:
    app.service.more = {f"ring-{ring}": tuple(f"r{ring}-b-{at}" for at in range(200)) for ring in range(30)}
    view = await opened(app)
    app.slack.fault(Fault(method="views.update", what="status_500"))
    await app.slack.choose(REQUESTER, view, "ring-main", "ring-29")
    (told,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "did not show the backends of ring ring-29" in told.text


async def test_whoever_may_not_ask_is_shown_no_form(app: Place) -> None:
    await app.slack.command("U0DAVE", CHANNEL, "/dovecot-upgrade")
    (told,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "How this bot is asked for runs" in told.text
    assert app.slack.views == []


async def test_it_does_not_show_under_one_backend_what_another_one_would_get(app: Place) -> None:
    """Somebody chooses one, and then another before the first was read."""
    view = await opened(app)
    brings, read = app.service.brings, {name: asyncio.Event() for name in app.service.backends}
    done: list[str] = []

    async def slow(request: Request) -> tuple[str, ...]:
        await read[request.text].wait()
        done.append(request.text)
        return await brings(request)

    app.service.brings = slow  # type: ignore[method-assign]
    for name in ("backend-3", "backend-1"):
        await app.slack.choose(REQUESTER, view, "backend", name)
    read["backend-3"].set()
    await app.slack.until(lambda: done == ["backend-3"])
    read["backend-1"].set()
    await app.slack.until(lambda: "Nothing would change on backend-1" in str(view.body["blocks"]))
    assert "would bring backend-3" not in str(view.body["blocks"])


async def test_what_the_backend_chosen_last_would_get_comes_also_where_another_answer_came_after_its_choice(
    app: Place,
) -> None:
    """Slack takes no update of a form as it was before that answer."""
    view = await opened(app)
    before, brings, read = view.hash, app.service.brings, asyncio.Event()
    await app.slack.choose(REQUESTER, view, "backend", "backend-3")
    await app.slack.until(lambda: "would bring backend-3" in str(view.body["blocks"]))

    async def slow(request: Request) -> tuple[str, ...]:
        await read.wait()
        return await brings(request)

    app.service.brings = slow  # type: ignore[method-assign]
    view.hash, now = before, view.hash  # somebody chooses in what they still see
    await app.slack.choose(REQUESTER, view, "backend", "backend-1")
    view.hash = now
    read.set()
    await app.slack.until(lambda: "Nothing would change on backend-1" in str(view.body["blocks"]))


async def test_an_answer_is_dropped_where_another_backend_is_chosen_as_the_rings_are_read_for_it(app: Place) -> None:
    view = await opened(app)
    offer, reading, read = app.service.offer, asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Offer:
        if not reading.is_set():
            reading.set()
            await read.wait()
        return await offer(request)

    app.service.offer = slow  # type: ignore[method-assign]
    await app.slack.choose(REQUESTER, view, "backend", "backend-3")
    await app.slack.until(reading.is_set)
    await app.slack.choose(REQUESTER, view, "backend", "backend-1")
    await app.slack.until(lambda: "Nothing would change on backend-1" in str(view.body["blocks"]))
    shown = view.hash
    read.set()
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")  # whatever was begun before it goes on
    await app.slack.until(lambda: app.slack.ephemerals)
    assert view.hash == shown


async def test_a_configuration_that_is_chosen_beside_a_restart_is_refused_as_where_it_is_typed(app: Place) -> None:
    """It was dropped in silence, and users would have been disturbed for a restart that changes nothing."""
    view = await opened(app)
    given = {
        "backend": {"backend": "backend-3"},
        "packages": {"packages": "restart"},
        "config": {"config": "=review-2026-11"},
    }
    await app.slack.submit(REQUESTER, view, given)
    (request,) = await app.slack.until(lambda: app.service.requests)
    with pytest.raises(Refused, match="restart=yes changes neither"):
        read_request(request.text)


async def test_a_form_that_slack_took_and_whose_answer_was_lost_stays_a_form(app: Place) -> None:
    """Somebody may be filling it in."""
    app.slack.fault(Fault(method="views.update", what="drop_after_accept"))
    view = await opened(app)
    await app.slack.until(lambda: app.slack.ephemerals)
    assert "submit" in view.body
