"""What an error of a call to Slack means for what was to be posted: the one table of it."""

from __future__ import annotations

import asyncio
import re
from enum import Enum

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

ERRORS = (SlackClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""All that a call of a web client raises."""


class DeliveryFailure(Enum):
    """What is known after a call that failed."""

    NOT_TAKEN = "Slack has certainly not taken it"
    UNKNOWN = "Slack may have taken it"
    CONTENT = "Slack will never take it like this"
    NO_ROOT = "the first message of the thread is gone"
    REFUSED = "Slack does not allow it now"


_CONTENT = frozenset(
    {
        *("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"),
        *("invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_charset", "invalid_form_data"),
        *("invalid_json", "json_not_object", "invalid_attachments", "too_many_attachments", "invalid_metadata_format"),
        *("invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app", "markdown_text_conflict"),
        *("block_mismatch", "invalid_post_type", "blocked_file_type", "malformed_content", "file_not_found"),
    }
)
_OF_ITS_OWN = frozenset({"internal_error", "fatal_error"})
_NOT_TAKEN = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_UNKNOWN = frozenset({*_OF_ITS_OWN, "service_unavailable", "request_timeout", "team_added_to_org"})

_HELPS = {
    "not_in_channel": "`/invite` the bot to the channel of the thread",
    "channel_not_found": "`/invite` the bot to the channel of the thread, if it is there still",
    "is_archived": "the channel of the thread has to be unarchived",
}
"""What only people can do about it; what is to be posted is posted then."""

_NAME = re.compile(r"[a-z_]{1,60}")


def name_of(error: BaseException) -> str:
    """Slack's own name of the error, or the kind of the failure."""
    data = error.response.data if isinstance(error, SlackApiError) and hasattr(error.response, "data") else None
    named = data.get("error") if isinstance(data, dict) else None
    return str(named) if named else type(error).__name__


def in_words(error: BaseException) -> str:
    """Why Slack did not take a message, for people, and what they can do about it; no text of others."""
    name = name_of(error)
    if not isinstance(error, SlackApiError) or not _NAME.fullmatch(name):
        return "it cannot be reached"
    helps = _HELPS.get(name)
    return f"it says `{name}`" + (f", so {helps}" if helps else "")


def delivery_failure(error: BaseException) -> DeliveryFailure:
    """What this error means; whatever is not known by name is held for possible."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return DeliveryFailure.NOT_TAKEN
    if not isinstance(error, SlackApiError):
        return DeliveryFailure.UNKNOWN
    status, name = getattr(error.response, "status_code", None), name_of(error)
    if status == 429 or name in _NOT_TAKEN:
        return DeliveryFailure.NOT_TAKEN
    if name in _UNKNOWN or name == "SlackApiError":
        return DeliveryFailure.UNKNOWN
    if name == "thread_not_found":
        return DeliveryFailure.NO_ROOT
    return DeliveryFailure.CONTENT if name in _CONTENT else DeliveryFailure.REFUSED


def of_its_own(error: BaseException) -> bool:
    """Whether Slack says that it failed by itself: where it does so again and again, it may be at this very message."""
    return name_of(error) in _OF_ITS_OWN


def passes(error: BaseException) -> bool:
    """Whether the same call may go well later, with nothing done about it."""
    return delivery_failure(error) in {DeliveryFailure.NOT_TAKEN, DeliveryFailure.UNKNOWN}


def answered(error: BaseException) -> bool:
    """Whether Slack has answered, if only to refuse or to limit; not where it says that it has failed by itself."""
    return isinstance(error, SlackApiError) and delivery_failure(error) is not DeliveryFailure.UNKNOWN


def people_can_help(error: BaseException) -> bool:
    """Whether the same call may go well once somebody has done something about it."""
    return name_of(error) in _HELPS
