"""A change that arrives late, for real: it is in a buffer when the network breaks, its sender gone when that heals."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.core.hosts.fence import LATE
from tests.integration.wire import Outcome, Scene, begin, missing
from tests.lab.fixtures import skip_because, skip_without_lab

SCENES = {
    "short": Scene(fenced=False, cut=2),
    "short-fenced": Scene(fenced=True, cut=2),
    "long": Scene(fenced=False, cut=9),
    "long-endless": Scene(fenced=False, cut=9, endless=True),
}


async def test_a_change_that_outlives_its_sender_is_refused_by_its_host_or_given_up_by_the_kernel(
    tmp_path: Path,
) -> None:
    """Without them it runs, behind everybody's back: each is shown beside what happens without it."""
    skip_without_lab()
    skip_because(missing())
    played = await asyncio.gather(*(begin(tmp_path / name, scene) for name, scene in SCENES.items()))
    ended: dict[str, Outcome] = dict(zip(SCENES, played, strict=True))
    assert {outcome.told.partition(":")[0] for outcome in played} == {"MayHaveRun"}
    # For seconds the kernel brings what the bot has given up; only the host can refuse it.
    assert (ended["short"].arrived, ended["short"].ran) == (0, True)
    assert (ended["short-fenced"].arrived, ended["short-fenced"].ran) == (LATE, False)
    # After that it does not, where it was told to be impatient.
    assert (ended["long-endless"].arrived, ended["long-endless"].ran) == (0, True)
    assert (ended["long"].waiting, ended["long"].arrived, ended["long"].ran) == (0, None, False)
