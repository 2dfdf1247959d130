"""The form that the bare slash command opens, of large sites: within what Slack takes, and what it lacks is said."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.adapters.slack.inbound.request_form import request_form
from bot.core.plans.procedure import Need
from bot.engine.offering import Offer, Offered
from bot.engine.planning import Request
from bot.practice.slack.limits import MOST_VIEW, modal_problems


def request(text: str = "") -> Request:
    return Request(command="/dovecot-upgrade", text=text, requester="U0ALICE", team="T0", channel="C0OPS")


def offer(rings: int = 1, backends: int = 3, *, configs: Sequence[str] = (), suffix: str = "") -> Offer:
    table = {
        f"r{ring}{suffix}": tuple(
            Offered(backend=f"r{ring}-b{at}{suffix}", state="up, vhosts 100, 1234 users") for at in range(backends)
        )
        for ring in range(rings)
    }
    return Offer(rings=table, configs=configs, takes=(Need.PACKAGES, Need.CONFIG), requires=())


def offered(view: dict[str, Any], action: str) -> list[str]:
    """What can be chosen in a menu of the form."""
    menus = (block["element"] for block in view["blocks"] if block.get("element", {}).get("action_id") == action)
    return [
        option["value"]
        for menu in menus
        for group in menu.get("option_groups") or [menu]
        for option in group["options"]
    ]


def not_shown(view: dict[str, Any]) -> list[str]:
    return re.findall(r"Not shown: [^\"]+", json.dumps(view))


@pytest.mark.parametrize(("rings", "backends"), [(1, 1_000), (100, 8), (3, 700), (101, 1)])
def test_every_backend_of_a_large_site_can_be_chosen_in_a_form_that_slack_takes(rings: int, backends: int) -> None:
    of = offer(rings, backends, configs=[f"review-{at}" for at in range(98)])
    forms = [request_form(request(), of, ring=ring) for ring in (offered(request_form(request(), of), "ring") or [""])]
    assert [problem for form in forms[:3] for problem in modal_problems(form)] == []
    found = [name for form in forms for name in offered(form, "backend")]
    assert found == [one.backend for ring in of.rings.values() for one in ring]
    assert not_shown(forms[0]) == []


def test_the_backend_that_was_chosen_stays_chosen_and_its_ring_shown() -> None:
    form = request_form(request("r29-b7 packages=keep"), offer(30, 200), ["A run would bring …"])
    chosen = [block["element"].get("initial_option", {}).get("value") for block in form["blocks"] if "element" in block]
    assert chosen[:2] == ["r29", "r29-b7"]


def test_a_menu_that_slack_takes_only_in_part_says_what_it_lacks_and_how_that_is_typed() -> None:
    """No site has so many, and none is to find a form that Slack refuses."""
    of = offer(1_000, 1, configs=[f"{at}".rjust(80, "a") for at in range(110)], suffix="x" * 50)
    of = replace(of, rings={**of.rings, **offer(1, 2_000, suffix="x" * 50).rings})
    form = request_form(request(), of, ["•" * 3000])
    assert modal_problems(form) == []
    assert len(json.dumps(form)) > MOST_VIEW // 2, "what there is room for is shown"
    rings, backends = 1_000 - len(offered(form, "ring")), 2_000 - len(offered(form, "backend"))
    ring = next(iter(of.rings))
    assert not_shown(form) == [
        f"Not shown: {rings} rings. They are typed: `/dovecot-upgrade BACKEND`",
        f"Not shown: {backends} backends of ring {ring}. They are typed: `/dovecot-upgrade BACKEND`",
        "Not shown: 12 older configurations. They are typed: `/dovecot-upgrade BACKEND config=NAME`",
    ]
    assert offered(form, "config")[2] == f"={of.configs[0]}", "the newest first"
