"""How many examples hypothesis tries: see tests/examples.py.

A test whose examples are costly takes a part of them: `settings().max_examples // 5`.
"""

from __future__ import annotations

from hypothesis import settings

from tests.examples import MANY

settings.register_profile("few", max_examples=10)
settings.register_profile("many", max_examples=100)
settings.load_profile("many" if MANY else "few")
