"""What Slack sends an app when a person does something, and what comes back: commands, clicks and forms.

Pure but for the ids that it hands out. It knows nothing of sockets or of the bot.
"""

from dataclasses import dataclass

from bot.practice.slack.context import ApiContext
from bot.practice.slack.forms import view_body
from bot.practice.slack.posting import clickable
from bot.practice.slack.workspace import Edit, Ephemeral, Json, Message, User, View, message_body


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How the app acknowledged: `payload` is empty where it only said that it has heard."""

    payload: Json
    response_url: str | None = None

    @property
    def text(self) -> str:
        """The text it answered with at once."""
        return str(self.payload.get("text") or "")

    @property
    def blocks(self) -> list[Json]:
        """The blocks it answered with at once."""
        return list(self.payload.get("blocks") or [])

    @property
    def errors(self) -> dict[str, str]:
        """What it found wrong in a form, by block id."""
        return dict(self.payload.get("errors") or {})


def command(context: ApiContext, user: User, channel: str, name: str, text: str) -> Json:
    """Return a `slash_commands` payload."""
    held = context.channels[channel]
    return {
        "team_id": context.team_id,
        "channel_id": channel,
        "channel_name": "privategroup" if held.is_private else held.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": name,
        "text": text,
        "response_url": context.new_hook(user.id, channel),
        "trigger_id": context.new_trigger(user.id),
    }


def _by(context: ApiContext, user: User, kind: str) -> Json:
    return {
        "type": kind,
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": context.team_id},
        "team": {"id": context.team_id, "domain": context.team_domain},
        "trigger_id": context.new_trigger(user.id),
    }


def click(context: ApiContext, user: User, message: Message | Ephemeral, *, block: Json, element: Json) -> Json:
    """Return a `block_actions` payload for a button of a message; only real messages come along with it."""
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel,
        "is_ephemeral": isinstance(message, Ephemeral),
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    payload = _by(context, user, "block_actions") | {
        "container": container,
        "channel": {"id": message.channel, "name": context.channels[message.channel].name},
        "state": {"values": {}},
        "response_url": context.new_hook(user.id, message.channel, message),
        "actions": [_action(context, block, element)],
    }
    if isinstance(message, Message):
        payload["message"] = message_body(context, message)
    return payload


def _action(context: ApiContext, block: Json, element: Json) -> Json:
    fields = ("selected_option",) if element["type"] == "overflow" else ("text", "value", "style", "confirm")
    named = {name: element[name] for name in fields if name in element}
    return named | {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "action_ts": context.next_ts(),
    }


def submission(context: ApiContext, user: User, view: View, values: Json) -> Json:
    """Return a `view_submission` payload for a modal that was filled in."""
    return _by(context, user, "view_submission") | {
        "view": view_body(context, view, values),
        "response_urls": [],
    }


def name_of(element: Json) -> str:
    """Return the action id of a button, or the first word of the value of a menu's option."""
    if "selected_option" in element:
        return str(element["value"]).partition(":")[0]
    return str(element.get("action_id"))


def choice(context: ApiContext, user: User, view: View, element: Json, values: Json) -> Json:
    """Return a `block_actions` payload for a choice in a modal that says so at once."""
    block_id, action_id = element["block_id"], element["action_id"]
    state = values[block_id][action_id]
    return _by(context, user, "block_actions") | {
        "container": {"type": "view", "view_id": view.id},
        "view": view_body(context, view, values),
        "actions": [{**state, "action_id": action_id, "block_id": block_id, "action_ts": context.next_ts()}],
    }


def to_click(message: Message | Ephemeral, action_id: str, value: str | None, *, stale: bool) -> tuple[Json, Json]:
    """Return the block and the button with this action id, and this value where one is given.

    An option of a menu is found by the menu's action id and its value, or by the first word of its value alone.

    `stale` looks at what the message was before its edits, as somebody does whose screen is behind; the
    latest first. Raises LookupError, which says what there is, when it is not there.
    """
    old: list[Edit] = message.edits if stale and isinstance(message, Message) else []
    versions = [edit.blocks for edit in reversed(old)] if stale else [message.blocks]
    seen = []
    for blocks in versions:
        for block in blocks:
            for element in clickable(block):
                named = {element.get("action_id"), name_of(element)}
                if action_id in named and value in {None, element.get("value")}:
                    return block, element
                seen.append(f"{element.get('action_id')}={element.get('value')}")
    raise LookupError(
        f"nothing to click as {action_id}={value} in {message.text[:80]!r}; there is: {seen or 'nothing'}"
    )
