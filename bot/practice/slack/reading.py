"""The methods of the local Slack that look: who somebody is, what a channel holds.

Each takes the office and the arguments, and returns the answer or refuses. They know nothing of HTTP or of
the bot.
"""

import base64
from collections.abc import Iterable

from bot.practice.slack.office import Args, Office, refuse
from bot.practice.slack.world import Channel, Json, Message, User, message_body


def auth_test(office: Office, _args: Args) -> Json:
    """Answer `auth.test`."""
    world = office.world
    return {
        "url": f"https://{world.team_domain}.slack.com/",
        "team": world.team_domain,
        "user": world.bot_name,
        "team_id": world.team_id,
        "user_id": world.bot_user,
        "bot_id": world.bot_id,
        "is_enterprise_install": False,
    }


def connections_open(office: Office, _args: Args) -> Json:
    """Answer `apps.connections.open`: a URL that connects once."""
    ticket = office.world.next_id("ticket")
    office.tickets.add(ticket)
    return {"url": f"ws://{office.address}/link/?ticket={ticket}&app_id={office.world.app_id}"}


def users_info(office: Office, args: Args) -> Json:
    """Answer `users.info`."""
    return {"user": _user_body(office, office.user(args.text("user")))}


def _user_body(office: Office, user: User) -> Json:
    body: Json = {
        "id": user.id,
        "team_id": "T0ELSEWHERE" if user.is_stranger else office.world.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "profile": {"real_name": user.name, "display_name": user.name, "team": office.world.team_id},
        "is_bot": user.is_bot,
        "is_app_user": False,
    }
    if user.is_stranger:
        body["is_stranger"] = True  # Slack sends it when it is so, and never says false
    if not user.deleted:
        # A deleted user's answer lacks these, which trips who reads them without a default.
        body |= {
            "real_name": user.name,
            "tz": user.tz,
            "is_admin": user.is_admin,
            "is_owner": False,
            "is_restricted": user.is_restricted,
            "is_ultra_restricted": user.is_ultra_restricted,
        }
    return body


def usergroups_list(office: Office, args: Args) -> Json:
    """Answer `usergroups.list`."""
    groups = [g for g in office.world.usergroups.values() if args.flag("include_disabled") or not g.disabled]
    bodies = []
    for group in groups:
        body: Json = {
            "id": group.id,
            "team_id": office.world.team_id,
            "is_usergroup": True,
            "name": group.handle,
            "handle": group.handle,
            "date_delete": int(group.disabled),
            "user_count": len(group.users),
        }
        bodies.append(body | ({"users": list(group.users)} if args.flag("include_users") else {}))
    return {"usergroups": bodies}


def usergroups_users_list(office: Office, args: Args) -> Json:
    """Answer `usergroups.users.list`."""
    group = office.world.usergroups.get(args.text("usergroup"))
    if group is None or (group.disabled and not args.flag("include_disabled")):
        refuse("no_such_subteam")
    return {"users": list(group.users)}


def conversations_info(office: Office, args: Args) -> Json:
    """Answer `conversations.info`."""
    channel = office.readable(args.text("channel"), "read")
    return {"channel": _channel_body(office, channel)}


def _channel_body(office: Office, channel: Channel) -> Json:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.is_private,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": False,
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "is_member": channel.has(office.world.bot_user),
        "context_team_id": office.world.team_id,
    }


def conversations_replies(office: Office, args: Args) -> Json:
    """Answer `conversations.replies`: oldest first, the root first of all."""
    channel = _history_of(office, args)
    ts = args.text("ts")
    message = office.world.message(channel.id, ts)
    if message is None:
        refuse("thread_not_found")
    within = [message] if message.thread_ts else office.world.thread(channel.id, ts)
    return _page(office, args, _between(args, within), otherwise=1000)


def conversations_history(office: Office, args: Args) -> Json:
    """Answer `conversations.history`: newest first, without replies unless they were broadcast."""
    channel = _history_of(office, args)
    shown = [
        m
        for m in reversed(office.world.messages)
        if m.channel == channel.id and (m.thread_ts is None or m.reply_broadcast)
    ]
    return _page(office, args, _between(args, shown), otherwise=100)


def _history_of(office: Office, args: Args) -> Channel:
    channel = office.readable(args.text("channel"), "history")
    if not channel.has(office.world.bot_user):
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


def _page(office: Office, args: Args, messages: list[Message], *, otherwise: int) -> Json:
    limit = max(1, args.number("limit", otherwise))
    start = 0
    if cursor := args.maybe("cursor"):
        try:
            start = int(base64.b64decode(cursor, validate=True).removeprefix(b"from:"))
        except ValueError:
            refuse("invalid_cursor")
    metadata = args.flag("include_all_metadata")
    shown = [message_body(office.world, m, metadata=metadata) for m in messages[start : start + limit]]
    more = start + limit < len(messages)
    answer: Json = {"messages": shown, "has_more": more}
    if more:
        following = base64.b64encode(f"from:{start + limit}".encode()).decode()
        answer["response_metadata"] = {"next_cursor": following}
    return answer


def chat_get_permalink(office: Office, args: Args) -> Json:
    """Answer `chat.getPermalink`."""
    channel, ts = office.channel(args.text("channel")), args.text("message_ts")
    message = office.world.message(channel.id, ts)
    if message is None:
        refuse("message_not_found")
    link = f"https://{office.world.team_domain}.slack.com/archives/{channel.id}/p{ts.replace('.', '')}"
    if message.thread_ts:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}
