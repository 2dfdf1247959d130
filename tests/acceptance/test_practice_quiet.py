"""A quiet ring, on the practice ring and the local Slack: nobody ever logs in, and the run ends all the same."""

from __future__ import annotations

from pathlib import Path

from bot.practice.scene import SECOND, THIRD
from tests.acceptance.practice import CHECKOUT, at_gate, ended, staged, usual, wording


def impatient(tmp_path: Path) -> Path:
    """The shipped procedures, which wait for users for three seconds."""
    folder = tmp_path / "procedures"
    folder.mkdir()
    for path in (CHECKOUT / "procedures").glob("*.yaml"):
        (folder / path.name).write_text(path.read_text().replace("within: 2m", "within: 3s"))
    return folder


async def test_on_a_quiet_ring_the_run_ends_and_its_thread_says_that_nobody_came(tmp_path: Path) -> None:
    """People read there that the backend is back, and that it has no users yet."""
    async with staged(users=0, settings={"procedures": str(impatient(tmp_path))}) as (ring, scene):
        await scene.ask("backend-3 restart=yes")
        for gate, user in (("flush", SECOND), ("restore", THIRD)):
            await scene.slack.click(user, await at_gate(scene, gate), "approve")
        assert await ended(scene) == "done"
        assert usual(ring)
        thread = [wording(message) for message in scene.thread]
        assert any("in vain, for 3 s: director-1: users is 0" in text for text in thread)
        assert "→ 0 (director-1: 0, director-2: 0)" in thread[-1]
