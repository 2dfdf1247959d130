"""The form that the bare slash command opens: what a run is asked for with, and what would be typed for the same. Pure.

Its submit is the request that typing makes; it knows nothing that the command line does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate

from bot.adapters.slack.inbound.answers import Asker
from bot.adapters.slack.messages.blocks import Json, plain, section
from bot.adapters.slack.messages.markup import escape, prose
from bot.core.plans.procedure import Need
from bot.core.plans.proposal import KEEP, as_typed
from bot.engine.offering import Offer
from bot.engine.planning import Request

NAME = "request"
RING, BACKEND = "ring", "backend"
PACKAGES, CONFIG, REASON, TICKET = "packages", "config", "reason", "ticket"
_USUAL, _RESTART = "usual", "restart"
_MOST = 100
"""Options of a menu, or of a group of one, and groups of a menu."""
_CONFIGS = _MOST - 2
_ROOM, _RINGS = 200_000, 80_000
"""Characters of JSON for the menu of backends, with that of rings, which has so many: Slack takes 250 KB of a view."""


def loading(request: Request) -> Json:
    """What is shown at once, as Slack waits three seconds for a view."""
    return _view(request, (section("Looking at the rings …"),))


def no_form(request: Request) -> Json:
    """What is typed instead, where Slack did not take the form."""
    typed = escape(request.command)
    words = f"Slack did not take the form. Type `{typed} BACKEND`, or `{typed} help` for all that can stand behind it."
    return _view(request, (section(words),))


def request_form(request: Request, offer: Offer, found: Sequence[str] = (), ring: str = "") -> Json:
    """The form; `found`: what was read of the backend that was chosen in it, a line each.

    Where Slack would not take all backends in one menu, a menu of rings stands before it, and it has those of one:
    of `ring`, else of the chosen backend's, else of the first.
    """
    asked = _backends(request, offer, ring)
    asked += [section("\n".join(prose(line, None) for line in found))] if found else []
    if Need.PACKAGES in offer.takes:
        asked.append(_input(PACKAGES, "Packages", _packages()))
    if Need.CONFIG in offer.takes:
        asked.append(_input(CONFIG, "Configuration", _configs(offer.configs[:_CONFIGS])))
        asked += _not_shown(len(offer.configs) - _CONFIGS, "older configurations", request, "BACKEND config=NAME")
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


def _backends(request: Request, offer: Offer, ring: str) -> list[Json]:
    options = {
        of: [_option(f"{one.backend} · {one.state}", one.backend) for one in all_] for of, all_ in offer.rings.items()
    }
    backend = request.text.partition(" ")[0]
    menu = _menu(BACKEND, {f"Ring {of}": all_ for of, all_ in options.items()}, backend)
    if len(menu["option_groups"]) <= _MOST and len(json.dumps(menu)) <= _ROOM:
        return [_input(BACKEND, "Backend", menu) | {"dispatch_action": True}]
    named = {one.backend: of for of, all_ in offer.rings.items() for one in all_}
    ring = ring if ring in options else named.get(backend, next(iter(options)))
    rings = _fitting([_option(of, of) for of in options], _RINGS)
    those = _fitting(options[ring], _ROOM - len(json.dumps(rings)))
    # Slack keeps what was chosen in a block: with blocks of its own, each ring begins as it is shown.
    menus = [
        _input(f"{RING}-{ring}", "Ring", _menu(RING, {"Rings": rings}, ring)),
        _input(f"{BACKEND}-{ring}", "Backend", _menu(BACKEND, {f"Ring {ring}": those}, backend)),
    ]
    return [
        *(one | {"dispatch_action": True} for one in menus),
        *_not_shown(len(options) - len(rings), "rings", request, "BACKEND"),
        *_not_shown(len(options[ring]) - len(those), f"backends of ring {escape(ring)}", request, "BACKEND"),
    ]


def _menu(name: str, options: Mapping[str, Sequence[Json]], chosen: str) -> Json:
    """By their labels; a group holds so many, and of what is more there are several."""
    groups = [
        {"label": plain(label, 75), "options": options[label][at : at + _MOST]}
        for label in options
        for at in range(0, len(options[label]), _MOST)
    ]
    initial = next((one for all_ in options.values() for one in all_ if one["value"] == chosen), None)
    menu: Json = {"type": "static_select", "action_id": name, "option_groups": groups}
    return menu | ({"initial_option": initial} if initial else {})


def _fitting(options: Sequence[Json], room: int) -> Sequence[Json]:
    """The first of them, as many as there is room for."""
    sizes = accumulate(len(json.dumps(option)) + 2 for option in options)
    return options[: sum(1 for size in sizes if size <= room)]


def _not_shown(count: int, what: str, request: Request, typed: str) -> list[Json]:
    """A line, where a menu does not have all."""
    if count <= 0:
        return []
    return [section(f"Not shown: {count} {what}. They are typed: `{escape(request.command)} {typed}`")]


def _packages() -> Json:
    options = [
        _option("Upgrade them to what apt offers", _USUAL),
        _option("Keep them", KEEP),
        _option("Keep all, and only restart with a clean metacache", _RESTART),
    ]
    return {"type": "radio_buttons", "action_id": PACKAGES, "options": options, "initial_option": options[0]}


def _configs(names: Sequence[str]) -> Json:
    options = [_option("The one that is proposed for the ring", _USUAL), _option("Keep it as it is", KEEP)]
    options += [_option(name, f"={name}") for name in names]
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


def backend_block(view: Json) -> str:
    """Where the form as it is shown now asks for the backend."""
    asks = (block for block in view["blocks"] if block.get("element", {}).get("action_id") == BACKEND)
    return str(next(asks)["block_id"])


def ring_chosen(action: Json) -> str:
    """The ring, where it was one that was chosen in the form."""
    return str(action["selected_option"]["value"]) if action.get("action_id") == RING else ""


def asker_of(request: Request) -> Asker:
    """Whom to answer, where the form is gone."""
    return Asker(user=request.requester, channel=request.channel)


def _of(held: Mapping[str, Json], name: str) -> Json:
    return next((block[name] for block in held.values() if block.get(name)), {})


def _picked(held: Mapping[str, Json], name: str) -> str:
    return str((_of(held, name).get("selected_option") or {}).get("value") or "")
