"""The methods of the local Slack that look: who somebody is, what a channel holds.

Each takes the context and the arguments, and returns the answer or refuses. They know nothing of HTTP or of
the bot.
"""

import base64
from collections.abc import Iterable

from bot.practice.slack.context import ApiContext, Args, refuse
from bot.practice.slack.workspace import Channel, Json, Message, User, message_body


def auth_test(context: ApiContext, _args: Args) -> Json:
    """Answer `auth.test`."""
    return {
        "url": f"https://{context.team_domain}.slack.com/",
        "team": context.team_domain,
        "user": context.bot_name,
        "team_id": context.team_id,
        "user_id": context.bot_user,
        "bot_id": context.bot_id,
    }


def connections_open(context: ApiContext, _args: Args) -> Json:
    """Answer `apps.connections.open`: a URL that connects once."""
    ticket = context.next_id("ticket")
    context.tickets.add(ticket)
    return {"url": f"ws://{context.address}/link/?ticket={ticket}&app_id={context.app_id}"}


def users_info(context: ApiContext, args: Args) -> Json:
    """Answer `users.info`."""
    return {"user": _user_body(context, context.user(args.text("user")))}


def _user_body(context: ApiContext, user: User) -> Json:
    body: Json = {
        "id": user.id,
        "team_id": "T0ELSEWHERE" if user.is_stranger else context.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "profile": {"real_name": user.name, "display_name": user.name, "team": context.team_id},
        "is_bot": user.is_bot,
        "is_app_user": user.is_app_user,
    }
    if user.is_stranger:
        body["is_stranger"] = True  # Slack sends it when it is so, and never says false
    if not user.deleted:
        # A deleted user's answer lacks these, which trips who reads them without a default.
        body |= {
            "real_name": user.name,
            "is_restricted": user.is_restricted,
            "is_ultra_restricted": user.is_ultra_restricted,
        }
    return body


def usergroups_users_list(context: ApiContext, args: Args) -> Json:
    """Answer `usergroups.users.list`."""
    group = context.usergroups.get(args.text("usergroup"))
    if group is None:
        refuse("no_such_subteam")
    return {"users": group}


def conversations_info(context: ApiContext, args: Args) -> Json:
    """Answer `conversations.info`."""
    channel = context.readable(args.text("channel"), "read")
    body = {
        "id": channel.id,
        "name": channel.name,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "is_member": channel.bot,
    }
    return {"channel": body}


def conversations_replies(context: ApiContext, args: Args) -> Json:
    """Answer `conversations.replies`: oldest first, the root first of all."""
    channel = _history_of(context, args)
    ts = args.text("ts")
    message = context.message(channel.id, ts)
    if message is None:
        refuse("thread_not_found")
    within = [message] if message.thread_ts else context.thread(channel.id, ts)
    return _page(context, args, _between(args, within), otherwise=1000)


def conversations_history(context: ApiContext, args: Args) -> Json:
    """Answer `conversations.history`: newest first, without replies unless they were broadcast."""
    channel = _history_of(context, args)
    shown = [
        m for m in reversed(context.messages) if m.channel == channel.id and (m.thread_ts is None or m.reply_broadcast)
    ]
    return _page(context, args, _between(args, shown), otherwise=100)


def _history_of(context: ApiContext, args: Args) -> Channel:
    channel = context.readable(args.text("channel"), "history")
    if not channel.bot:
        refuse("not_in_channel")
    return channel


def _between(args: Args, messages: Iterable[Message]) -> list[Message]:
    oldest, latest = args.maybe("oldest") or "0", args.maybe("latest")
    edge = args.flag("inclusive")

    def inside(message: Message) -> bool:
        after = message.ts > oldest or (edge and message.ts == oldest)
        before = latest is None or message.ts < latest or (edge and message.ts == latest)
        return after and before

    return [message for message in messages if inside(message)]


def _page(context: ApiContext, args: Args, messages: list[Message], *, otherwise: int) -> Json:
    limit = max(1, args.number("limit", otherwise))
    start = 0
    if cursor := args.maybe("cursor"):
        try:
            start = int(base64.b64decode(cursor, validate=True).removeprefix(b"from:"))
        except ValueError:
            refuse("invalid_cursor")
    metadata = args.flag("include_all_metadata")
    shown = [message_body(context, m, metadata=metadata) for m in messages[start : start + limit]]
    more = start + limit < len(messages)
    answer: Json = {"messages": shown, "has_more": more}
    if more:
        following = base64.b64encode(f"from:{start + limit}".encode()).decode()
        answer["response_metadata"] = {"next_cursor": following}
    return answer


def chat_get_permalink(context: ApiContext, args: Args) -> Json:
    """Answer `chat.getPermalink`."""
    channel, ts = context.channel(args.text("channel")), args.text("message_ts")
    message = context.message(channel.id, ts)
    if message is None:
        refuse("message_not_found")
    link = f"https://{context.team_domain}.slack.com/archives/{channel.id}/p{ts.replace('.', '')}"
    if message.thread_ts:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}
