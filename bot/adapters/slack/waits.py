"""Clients that wait less than the bot's one where Slack limits a call (429): for what people or posts wait behind.

Slack often says 30 seconds, and the bot's one client obeys that three times: right for the record, too long for these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.web.async_client import AsyncWebClient

_LIMITED_FOR = 3.0
"""Seconds, as Slack says them, that somebody is kept waiting once because it limits a call."""

_ANSWERED_WITHIN = 10.0
"""Seconds that somebody waits for one answer of Slack."""


def impatient(client: AsyncWebClient) -> AsyncWebClient:
    """The same client for what somebody waits for: limited for more than 3 s, or unanswered for 10, a call fails."""
    return _Impatient(**_like(client), retry_handlers=[_Briefly(max_retry_count=1)])


def unwaiting(client: AsyncWebClient) -> AsyncWebClient:
    """The same client for what can be done later: a call that Slack limits fails at once."""
    return AsyncWebClient(**_like(client), retry_handlers=[])


def limited_for(error: BaseException) -> float:
    """Seconds that Slack wants to be left alone after this error; 0 where it says nothing of it."""
    headers = getattr(error.response, "headers", None) if isinstance(error, SlackApiError) else None
    return _seconds(headers) if headers else 0.0


def _like(client: AsyncWebClient) -> dict[str, Any]:
    return {
        "token": client.token,
        "base_url": client.base_url,
        "session": client.session,
        "proxy": client.proxy,
        "ssl": client.ssl,
    }


class _Impatient(AsyncWebClient):
    async def api_call(self, api_method: str, **more: Any) -> Any:
        async with asyncio.timeout(_ANSWERED_WITHIN):
            return await super().api_call(api_method, **more)


class _Briefly(AsyncRateLimitErrorRetryHandler):
    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        limited = await super()._can_retry_async(state=state, request=request, response=response, error=error)
        return limited and response is not None and _seconds(response.headers) <= _LIMITED_FOR


def _seconds(headers: Mapping[str, Any]) -> float:
    """What `Retry-After` says, in whole seconds; the SDK's retries have each header as a list."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    first = str(said[0] if isinstance(said, list) else said)
    return float(first) if first.isdecimal() else 0.0
