"""The methods of the local Slack that write messages, and the answers to a `response_url`.

Each takes the context and the arguments, and returns the answer or refuses. They know nothing of HTTP or of
the bot.
"""

import copy
import re
from dataclasses import dataclass

from bot.practice.slack import limits
from bot.practice.slack.context import ApiContext, Args, Hook, refuse
from bot.practice.slack.workspace import Edit, Ephemeral, Json, Message, Workspace, message_body

HOOK_LIVES = 30 * 60.0
"""Seconds in which a `response_url` is answered."""

HOOK_USES = 5

MOST_METADATA = 16_000
"""Characters of a message's metadata, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a message is to say; None is what the call did not mention."""

    text: str | None
    blocks: list[Json] | None


def read_content(workspace: Workspace, args: Args, *, needed: bool = True) -> Content:
    """Read and check what a message is to say, or refuse; `needed`: something has to be shown."""
    blocks = args.structure("blocks", "invalid_blocks_format")
    if blocks is not None:
        if not isinstance(blocks, list):
            refuse("invalid_blocks_format")
        if limits.too_long(blocks):
            refuse("msg_blocks_too_long")
        if found := limits.problems(blocks):
            refuse("invalid_blocks", *found)
        blocks = with_ids(workspace, blocks)
    text = args.maybe("text")
    if needed and not (text or blocks):
        refuse("no_text")
    return Content(text=text, blocks=blocks)


def with_ids(workspace: Workspace, blocks: list[Json]) -> list[Json]:
    """Give blocks and what can be clicked in them the ids that Slack makes up where the app gave none."""
    made = copy.deepcopy(blocks)
    for block in made:
        block.setdefault("block_id", workspace.next_id("B"))
        for element in clickable(block):
            element.setdefault("action_id", workspace.next_id("a"))
    return made


def clickable(block: Json) -> list[Json]:
    """Return the elements of a block that a person can act on; of a menu each of its options, with its value."""
    match block.get("type"):
        case "actions":
            return [one for element in block["elements"] for one in _acts(element)]
        case "input":
            return [block["element"]]
        case _:
            return []


def _acts(element: Json) -> list[Json]:
    if element["type"] != "overflow":
        return [element]
    return [element | {"selected_option": option, "value": option["value"]} for option in element["options"]]


def _metadata(args: Args) -> Json | None:
    metadata = args.structure("metadata", "invalid_metadata_format")
    if metadata in (None, {}):
        return None if metadata is None else {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_type"), str):
        refuse("invalid_metadata_format")
    if not isinstance(metadata.get("event_payload"), dict):
        refuse("invalid_metadata_format")
    if len(str(metadata)) > MOST_METADATA:
        refuse("metadata_too_large")
    return metadata


def _thread(context: ApiContext, channel: str, thread_ts: str | None) -> str | None:
    """Check where a reply goes; real Slack is laxer, but what it takes in silence is a mistake all the same."""
    if thread_ts is None:
        return None
    if not re.fullmatch(r"\d+\.\d{6}", thread_ts):
        refuse("invalid_thread_ts")
    root = context.message(channel, thread_ts)
    if root is None:
        refuse("thread_not_found")
    if root.thread_ts:
        refuse("cannot_reply_to_message")
    return thread_ts


def chat_post_message(context: ApiContext, args: Args) -> Json:
    """Answer `chat.postMessage`."""
    channel = context.writable(args.text("channel"))
    content = read_content(context, args)
    message = Message(
        channel=channel.id,
        ts=context.next_ts(),
        thread_ts=_thread(context, channel.id, args.maybe("thread_ts")),
        user=context.bot_user,
        bot_id=context.bot_id,
        text=(content.text or "")[: limits.MOST_TEXT_POSTED],
        blocks=content.blocks or [],
        metadata=_metadata(args) or None,
        reply_broadcast=args.flag("reply_broadcast"),
    )
    context.messages.append(message)
    return {"channel": channel.id, "ts": message.ts, "message": message_body(context, message, metadata=True)}


def chat_update(context: ApiContext, args: Args) -> Json:
    """Answer `chat.update`."""
    channel = context.writable(args.text("channel"))
    message = context.message(channel.id, args.text("ts"))
    if message is None:
        refuse("message_not_found")
    if message.bot_id != context.bot_id:
        refuse("cant_update_message")
    content = read_content(context, args, needed=False)
    if len(content.text or "") > limits.MOST_TEXT_UPDATED:
        refuse("msg_too_long")
    if content.text is None and content.blocks is None:
        refuse("no_text")
    metadata = _metadata(args)
    edit(context, message, content)
    if metadata is not None:
        message.metadata = metadata or None
    message.reply_broadcast |= args.flag("reply_broadcast")
    return {
        "channel": channel.id,
        "ts": message.ts,
        "text": message.text,
        "message": message_body(context, message, metadata=True),
    }


def edit(workspace: Workspace, message: Message, content: Content) -> None:
    """Change a message in place, and keep what it was. Text without blocks takes the blocks away."""
    message.edits.append(Edit(at=workspace.now(), text=message.text, blocks=message.blocks))
    if content.text is not None:
        message.text = content.text
    if content.blocks is not None or content.text is not None:
        message.blocks = content.blocks or []


def chat_post_ephemeral(context: ApiContext, args: Args) -> Json:
    """Answer `chat.postEphemeral`."""
    channel = context.writable(args.text("channel"))
    user = args.text("user")
    if user not in context.users:
        refuse("user_not_in_channel")
    content = read_content(context, args)
    shown = post_ephemeral(
        context, user, channel.id, content, via="chat.postEphemeral", thread_ts=args.maybe("thread_ts")
    )
    return {"message_ts": shown.ts}


def post_ephemeral(
    workspace: Workspace, user: str, channel: str, content: Content, *, via: str, thread_ts: str | None = None
) -> Ephemeral:
    """Show something to one user alone."""
    shown = Ephemeral(
        channel=channel,
        user=user,
        ts=workspace.next_ts(),
        text=content.text or "",
        blocks=content.blocks or [],
        via=via,
        thread_ts=thread_ts,
    )
    workspace.ephemerals.append(shown)
    return shown


def respond(context: ApiContext, hook: Hook, args: Args) -> Json:
    """Answer what was sent to a `response_url`: a new message, or another text for the one it belongs to."""
    if context.clock() - hook.at > HOOK_LIVES:
        refuse("expired_url")
    if hook.used >= HOOK_USES:
        refuse("used_url")
    content = read_content(context, args)
    hook.used += 1
    if isinstance(hook.message, Message) and _replaces(args):
        edit(context, hook.message, content)
    else:
        post_ephemeral(context, hook.user, hook.channel, content, via="response_url", thread_ts=args.maybe("thread_ts"))
    return {}


def _replaces(args: Args) -> bool:
    """Unless told otherwise, the answer to a click takes the place of what was clicked."""
    if args.maybe("replace_original") is None:
        return args.maybe("response_type") is None
    return args.flag("replace_original")
