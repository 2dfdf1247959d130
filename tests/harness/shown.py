"""What the tests of what the flush approval showed have in common: requests, and what was asked, what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from bot.core.hosts.inventory import TakeDown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.practice.ring.packages import NAMES, NEW, OLD
from bot.practice.site import PACKAGES
from tests.harness.drill import TEXT, Drill, a_run
from tests.harness.play import RUN

FOLDER = f"/var/cache/dovecot-bot/{RUN}"
HOTFIX = "conf.d/99-hotfix.conf"
NEWER = "1:2.3.21-1"
ONLY_PACKAGES = f"backend-3 config=keep packages={PACKAGES}"

Happens = Callable[[Drill], None]
"""What happens on the host meanwhile."""


def a_move(text: str = TEXT) -> AbstractAsyncContextManager[Drill]:
    return a_run(text=text, take_down=TakeDown.MOVE_FIRST)


def asked(play: Drill) -> list[str]:
    return [one.step for one in play.facts(fact.ApprovalAsked) if one.gate is Gate.FLUSH]


def lapses(play: Drill) -> list[str]:
    return [one.reason for one in play.facts(fact.ApprovalLapsed)]


def evidence(play: Drill) -> str:
    """Of the last question."""
    return "\n".join(play.facts(fact.ApprovalAsked)[-1].evidence)


# what happens on the host meanwhile


def upgrades_itself(play: Drill) -> None:
    """`unattended-upgrades` brings all of Dovecot's packages to just the versions that the run wants."""
    play.backend.packages.installed |= dict.fromkeys(NAMES, NEW)


def upgrades_one(play: Drill) -> None:
    play.backend.packages.installed["dovecot-imapd"] = NEW


def is_upgraded_further(play: Drill) -> None:
    """To a version that the run would take down again."""
    play.backend.packages.installed["dovecot-core"] = NEWER


def downloads(play: Drill, version: str) -> list[str]:
    marked = version.replace(":", "%3a")
    return [path for path, _ in play.backend.disk.tree(FOLDER) if marked in path]


def loses_the_new(play: Drill) -> None:
    """Somebody's clean-up of /var/cache."""
    for path in downloads(play, NEW):
        play.backend.disk.remove(path)


def loses_the_old(play: Drill) -> None:
    for path in downloads(play, OLD):
        play.backend.disk.remove(path)


def is_disabled(play: Drill) -> None:
    play.backend.dovecot_unit.file_state = "disabled"


def is_masked(play: Drill) -> None:
    """Masked while it runs, it would be killed instead of stopped."""
    play.backend.dovecot_unit.masked = True


def hotfix(play: Drill) -> None:
    play.backend.disk.write(f"/etc/dovecot/{HOTFIX}", "mail_max_userip_connections = 5\n")


def is_locked(play: Drill) -> None:
    play.backend.packages.locked_by = "unattended-upgr"


def is_interrupted(play: Drill) -> None:
    play.backend.packages.interrupted = True


def fills(path: str) -> Happens:
    def fills_it(play: Drill) -> None:
        play.backend.packages.free[path] = 5

    fills_it.__name__ = f"fills {path}"
    return fills_it


def locks_for(seconds: int, play: Drill) -> None:
    is_locked(play)
    asyncio.get_running_loop().call_later(seconds, setattr, play.backend.packages, "locked_by", "")
