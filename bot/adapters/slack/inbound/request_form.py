"""The form that the bare slash command opens: what a run is asked for with, and what would be typed for the same. Pure.

Its submit is the request that typing makes; it knows nothing that the command line does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bot.adapters.slack.inbound.answers import Asker
from bot.adapters.slack.messages.blocks import Json, plain, section
from bot.adapters.slack.messages.markup import prose
from bot.core.plans.procedure import Need
from bot.core.plans.proposal import KEEP, as_typed
from bot.engine.offering import Offer
from bot.engine.planning import Request

NAME = "request"
BACKEND, PACKAGES, CONFIG, REASON, TICKET = "backend", "packages", "config", "reason", "ticket"
_USUAL, _RESTART = "usual", "restart"
_MOST = 100
"""Options of a menu, or of a group of one."""


def loading(request: Request) -> Json:
    """What is shown at once, as Slack waits three seconds for a view."""
    return _view(request, (section("Looking at the rings …"),))


def request_form(request: Request, offer: Offer, found: Sequence[str] = ()) -> Json:
    """The form; `found`: what was read of the backend that was chosen in it, a line each."""
    asked: list[Json] = [_input(BACKEND, "Backend", _backends(offer)) | {"dispatch_action": True}]
    asked += [section("\n".join(prose(line, None) for line in found))] if found else []
    if Need.PACKAGES in offer.takes:
        asked.append(_input(PACKAGES, "Packages", _packages()))
    if Need.CONFIG in offer.takes:
        asked.append(_input(CONFIG, "Configuration", _configs(offer.configs)))
    for name, label, most in ((REASON, "Reason", 300), (TICKET, "Ticket", 80)):
        box = {"type": "plain_text_input", "action_id": name, "max_length": most}
        asked.append(_input(name, label, box, optional=name not in offer.requires))
    return _view(request, asked) | {"submit": plain("Ask for it", 24)}


def chosen(backend: str, lines: Sequence[str]) -> tuple[str, ...]:
    """What a run would bring the backend that was chosen, as the form says it."""
    return (f"A run would bring {backend}, as usual:", *(f"• {line}" for line in lines))


def _view(request: Request, blocks: Sequence[Json]) -> Json:
    hidden = {"command": request.command, "team": request.team, "channel": request.channel}
    return {
        "type": "modal",
        "callback_id": NAME,
        "title": plain(request.command, 24),
        "close": plain("Cancel", 24),
        "private_metadata": json.dumps(hidden),
        "blocks": list(blocks),
    }


def _input(name: str, label: str, element: Json, *, optional: bool = False) -> Json:
    block = {"type": "input", "block_id": name, "label": plain(label, 200), "element": element}
    return block | ({"optional": True} if optional else {})


def _option(label: str, value: str) -> Json:
    return {"text": plain(label, 75), "value": value}


def _backends(offer: Offer) -> Json:
    """By their rings; a group holds so many, and of a larger ring there are several."""
    groups = []
    for ring, backends in offer.rings.items():
        options = [_option(f"{one.backend} · {one.state}", one.backend) for one in backends]
        for at in range(0, len(options), _MOST):
            groups.append({"label": plain(f"Ring {ring}", 75), "options": options[at : at + _MOST]})
    return {"type": "static_select", "action_id": BACKEND, "option_groups": groups[:_MOST]}


def _packages() -> Json:
    options = [
        _option("Upgrade them to what apt offers", _USUAL),
        _option("Keep them", KEEP),
        _option("Keep all, and only restart with a clean metacache", _RESTART),
    ]
    return {"type": "radio_buttons", "action_id": PACKAGES, "options": options, "initial_option": options[0]}


def _configs(names: Sequence[str]) -> Json:
    options = [_option("The one that is proposed for the ring", _USUAL), _option("Keep it as it is", KEEP)]
    options += [_option(name, f"={name}") for name in names[: _MOST - len(options)]]
    return {"type": "static_select", "action_id": CONFIG, "options": options, "initial_option": options[0]}


def request_of(view: Json, user: str) -> Request:
    """The request that typing would make of what the form holds now."""
    hidden = json.loads(view.get("private_metadata") or "{}")
    held = view.get("state", {}).get("values", {})
    packages, config = _picked(held, PACKAGES), _picked(held, CONFIG).removeprefix("=")
    options = [_picked(held, BACKEND)]
    if packages == _RESTART:
        options.append("restart=yes")
    options += [f"packages={KEEP}"] if packages == KEEP else []
    # One that is chosen beside a restart is refused, as where it is typed; to keep what is there is what that does.
    unsaid = {"", _USUAL} | ({KEEP} if packages == _RESTART else set())
    options += [f"config={config}"] if config not in unsaid else []
    options += [as_typed(name, str(_of(held, name).get("value") or "")) for name in (REASON, TICKET)]
    return Request(
        command=str(hidden.get("command")),
        text=" ".join(option for option in options if option),
        requester=user,
        team=str(hidden.get("team") or ""),
        channel=str(hidden.get("channel")),
    )


def asker_of(request: Request) -> Asker:
    """Whom to answer, where the form is gone."""
    return Asker(user=request.requester, channel=request.channel)


def _of(held: Mapping[str, Json], name: str) -> Json:
    return held.get(name, {}).get(name) or {}


def _picked(held: Mapping[str, Json], name: str) -> str:
    return str((_of(held, name).get("selected_option") or {}).get("value") or "")
