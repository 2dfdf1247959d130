"""The methods of the local Slack that deal with files and with modals.

Each takes the context and the arguments, and returns the answer or refuses. They know nothing of HTTP or of
the bot.
"""

from typing import Any

from bot.practice.slack import limits
from bot.practice.slack.context import ApiContext, Args, Upload, refuse
from bot.practice.slack.posting import clickable, with_ids
from bot.practice.slack.workspace import Json, Message, SharedFile, View


def get_upload_url(context: ApiContext, args: Args) -> Json:
    """Answer `files.getUploadURLExternal`."""
    name, length = args.text("filename"), args.number("length", 0)
    if not length:
        refuse("invalid_arguments", "must be more than 0 [json-pointer:/length]")
    upload = Upload(id=context.next_id("F"), name=name, length=length)
    context.uploads[upload.id] = upload
    return {"upload_url": f"http://{context.address}/upload/v1/{upload.id}", "file_id": upload.id}


def complete_upload(context: ApiContext, args: Args) -> Json:
    """Answer `files.completeUploadExternal`: the files are shared, in a channel or a thread if one is named."""
    wanted = args.structure("files", "invalid_arguments")
    if not isinstance(wanted, list) or not wanted:
        refuse("invalid_arguments", "missing required field: files")
    channel = args.maybe("channel_id") or args.maybe("channels")
    thread_ts = args.maybe("thread_ts")
    if channel is not None:
        context.writable(channel)
        if thread_ts is not None and context.message(channel, thread_ts) is None:
            refuse("thread_not_found")
    uploads = [_sent(context, item) for item in wanted]
    shared = tuple(
        SharedFile(
            id=upload.id,
            name=upload.name,
            title=title,
            content=upload.content or b"",
            channel=channel,
            thread_ts=thread_ts,
        )
        for upload, title in uploads
    )
    _share(context, shared, args.maybe("initial_comment") or "")
    return {"files": [{"id": f.id, "title": f.title, "name": f.name} for f in shared]}


def _sent(context: ApiContext, item: Any) -> tuple[Upload, str]:
    upload = context.uploads.get(str(item.get("id"))) if isinstance(item, dict) else None
    if upload is None or upload.content is None:
        refuse("file_not_found")
    return upload, str(item.get("title") or upload.name)


def _share(context: ApiContext, shared: tuple[SharedFile, ...], comment: str) -> None:
    for file in shared:
        del context.uploads[file.id]
    context.files.extend(shared)
    channel = shared[0].channel
    if channel is not None:
        message = Message(
            channel=channel,
            ts=context.next_ts(),
            thread_ts=shared[0].thread_ts,
            user=context.bot_user,
            bot_id=context.bot_id,
            text=comment,
            files=shared,
        )
        context.messages.append(message)


def views_open(context: ApiContext, args: Args) -> Json:
    """Answer `views.open`."""
    body = _modal(context, args)
    user = context.use_trigger(args.text("trigger_id"))
    view = View(id=context.next_id("V"), user=user, body=body, hash=context.next_id("hash"))
    context.views.append(view)
    return {"view": view_body(context, view)}


def views_update(context: ApiContext, args: Args) -> Json:
    """Answer `views.update`; only what is still shown can be updated."""
    body, asked = _modal(context, args), args.text("view_id")
    view = next((one for one in context.views if one.shown and one.id == asked), None) or refuse("not_found")
    if args.maybe("hash") not in (None, view.hash):
        refuse("hash_conflict")
    view.body, view.hash = body, context.next_id("hash")
    return {"view": view_body(context, view)}


def _modal(context: ApiContext, args: Args) -> Json:
    body = args.structure("view", "invalid_arguments")
    if limits.view_too_large(body):
        refuse("view_too_large")
    if found := limits.modal_problems(body):
        refuse("invalid_arguments", *found)
    return {**body, "blocks": with_ids(context, body["blocks"])}


def view_body(context: ApiContext, view: View, values: Json | None = None) -> Json:
    """Return a modal as Slack writes it; `values` are what was filled in."""
    return {
        "private_metadata": "",
        "callback_id": "",
        **view.body,
        "id": view.id,
        "team_id": context.team_id,
        "app_id": context.app_id,
        "hash": view.hash,
        "state": {"values": values or {}},
    }


def filled(view: View, given: dict[str, dict[str, Any]], *, whole: bool = True) -> Json:
    """Return the state of a modal that was filled in with these values, by block id and action id.

    Raises LookupError for a value that has no place in it, and, where it is to be `whole`, ValueError for a place that
    must be filled in and is not: the client would not let it be sent. An option is given by its value.
    """
    left = {(block_id, action_id) for block_id, actions in given.items() for action_id in actions}
    values: Json = {}
    for block in view.body["blocks"]:
        for element in clickable(block) if block["type"] == "input" else []:
            block_id, action_id = str(block.get("block_id")), str(element.get("action_id"))
            state = _state(element, given.get(block_id, {}).get(action_id))
            if whole and not (state.get("value") or state.get("selected_option") or block.get("optional")):
                raise ValueError(f"{block_id}/{action_id} has to be filled in")
            left.discard((block_id, action_id))
            values.setdefault(block_id, {})[action_id] = {"type": element["type"], **state}
    if left:
        raise LookupError(f"the modal has no {sorted(left)}")
    return values


def _state(element: Json, value: Any) -> Json:
    """What was typed, or the option of this value that was chosen; raises LookupError where there is none."""
    if element["type"] == "plain_text_input":
        return {"value": value or element.get("initial_value") or None}
    groups = element.get("option_groups") or [element]
    options = {option["value"]: option for group in groups for option in group["options"]}
    return {"selected_option": options[value] if value else element.get("initial_option")}
