"""The HTTP side of the local Slack: the Web API, uploads and `response_url`s, and how calls of them go wrong.

It reads a request, lets the method answer, and writes the answer. It knows nothing of sockets or of the bot.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aiohttp import web

from bot.practice.slack import forms, posting, reading
from bot.practice.slack.context import ApiContext, Args, Fault, SlackError, refuse
from bot.practice.slack.workspace import Call, Json
from bot.practice.values import Faults

BOT_TOKEN, APP_TOKEN = "xoxb-practice", "xapp-practice"
"""They open nothing but this."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the Web API, the scopes of which it needs one, and whether it wants the app-level token."""

    run: Callable[[ApiContext, Args], Json]
    scopes: tuple[str, ...] = ()
    app_level: bool = False


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "auth.test": Method(run=reading.auth_test),
        "apps.connections.open": Method(run=reading.connections_open, app_level=True),
        "chat.postMessage": Method(run=posting.chat_post_message, scopes=("chat:write",)),
        "chat.update": Method(run=posting.chat_update, scopes=("chat:write",)),
        "chat.postEphemeral": Method(run=posting.chat_post_ephemeral, scopes=("chat:write",)),
        "chat.getPermalink": Method(run=reading.chat_get_permalink),
        "conversations.info": Method(run=reading.conversations_info, scopes=("channels:read", "groups:read")),
        "conversations.replies": Method(
            run=reading.conversations_replies, scopes=("channels:history", "groups:history")
        ),
        "conversations.history": Method(
            run=reading.conversations_history, scopes=("channels:history", "groups:history")
        ),
        "users.info": Method(run=reading.users_info, scopes=("users:read",)),
        "usergroups.users.list": Method(run=reading.usergroups_users_list, scopes=("usergroups:read",)),
        "views.open": Method(run=forms.views_open),
        "views.update": Method(run=forms.views_update),
        "files.getUploadURLExternal": Method(run=forms.get_upload_url, scopes=("files:write",)),
        "files.completeUploadExternal": Method(run=forms.complete_upload, scopes=("files:write",)),
    }
)


class Api:
    """Answers HTTP requests for the workspace."""

    def __init__(self, *, context: ApiContext, faults: Faults[Fault]) -> None:
        """Answer those who show one of the two tokens."""
        self._context = context
        self._faults = faults
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let go of the calls that hang: their connections drop."""
        self._released.set()
        self._released = asyncio.Event()

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return what is to be served."""
        return [
            web.route("*", "/api/{method}", self._call),
            web.post("/upload/v1/{file}", self._upload),
            web.post("/actions/{team}/{hook}", self._hook),
        ]

    async def _call(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        headers = {"X-OAuth-Scopes": ",".join(sorted(self._context.scopes))}
        if name in METHODS:
            headers["X-Accepted-OAuth-Scopes"] = ",".join(METHODS[name].scopes)

        def answer(values: Json, token: str | None) -> web.Response:
            return web.json_response({"ok": True} | self._run(name, values, token))

        response = await self._served(request, name, answer)
        response.headers.update(headers)
        return response

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        def answer(values: Json, _token: str | None) -> web.Response:
            hook = self._context.hooks.get(request.match_info["hook"]) or refuse("no_service")
            return web.json_response({"ok": True} | posting.respond(self._context, hook, Args(values=values)))

        return await self._served(request, "response_url", answer)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        def answer(values: Json, _token: str | None) -> web.Response:
            upload = self._context.uploads.get(request.match_info["file"]) or refuse("file_not_found")
            if len(values["content"]) != upload.length:
                refuse("length_mismatch")
            upload.content = values["content"]
            return web.Response(text=f"OK - {upload.length}")

        return await self._served(request, "upload", answer)

    async def _served(
        self, request: web.Request, name: str, answer: Callable[[Json, str | None], web.Response]
    ) -> web.StreamResponse:
        """Read the request, have it answered or go wrong, and write down what became of it."""
        values = {"content": await request.read()} if name == "upload" else await _values(request)
        token = _token(request, values)
        fault = self._faults.strike(lambda one: one.hits(name))
        if fault is not None and fault.what != "drop_after_accept":
            self._note(name, values, fault.what)
            return await self._go_wrong(request, fault)
        status = "ok"
        try:
            if values.get("not_json"):
                refuse("invalid_json")
            response = answer(values, token)
        except SlackError as error:
            status = error.name
            response = _refusal(name, error)
        self._note(name, values, fault.what if fault else status)
        return _drop(request) if fault else response

    def _run(self, name: str, values: Json, token: str | None) -> Json:
        method = METHODS.get(name)
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        if not token:
            refuse("not_authed")
        if token not in (BOT_TOKEN, APP_TOKEN):
            refuse("invalid_auth")
        if (token == APP_TOKEN) != method.app_level:
            refuse("not_allowed_token_type")
        if method.scopes:
            self._context.needs(*method.scopes)
        return method.run(self._context, Args(values=values))

    def _note(self, name: str, values: Json, status: str) -> None:
        self._context.calls.append(
            Call(at=self._context.now(), method=name, arguments=MappingProxyType(values), status=status)
        )
        self._context.changed.set()

    async def _go_wrong(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        match fault.what:
            case "status_500":
                return web.Response(status=500, text="<h1>Server Error</h1>", content_type="text/html")
            case "rate_limited":
                headers = {"Retry-After": str(fault.retry_after)}
                return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
            case "error":
                return web.json_response({"ok": False, "error": fault.error})
            case "hang":
                await self._released.wait()
                return _drop(request)
            case _:
                return _drop(request)


def _refusal(name: str, error: SlackError) -> web.Response:
    """The Web API refuses with status 200; uploads and hooks do it with the status."""
    answer = {"ok": False, "error": error.name, **error.more}
    if name == "upload":
        return web.Response(status=400, text=error.name)
    if name == "response_url":
        gone = error.name in ("no_service", "expired_url", "used_url")
        return web.json_response(answer, status=404 if gone else 400)
    return web.json_response(answer)


def _drop(request: web.Request) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere


def _token(request: web.Request, values: Json) -> str | None:
    """Take the token out of the header, or of the arguments, where it must not be kept."""
    named = values.pop("token", None)
    header = request.headers.get("Authorization", "")
    return header.removeprefix("Bearer ") if header else named


async def _values(request: web.Request) -> Json:
    """Read the arguments, from the address and the body, whichever way they were sent."""
    values: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body: Any = json.loads(await request.text() or "{}")
        except ValueError:
            body = None
        return values | (body if isinstance(body, dict) else {"not_json": True})
    return values | dict(await request.post())
