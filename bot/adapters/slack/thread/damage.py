"""Damaged runs in Slack: what is posted of them in the channel, outside of their threads.

The text comes from core/decisions/damage.py; nothing of it stands in the journal, whose facts are what is damaged.
"""

from __future__ import annotations

from bot.adapters.slack.messages.blocks import Message, MessageBuilder
from bot.adapters.slack.messages.markup import inline, prose
from bot.adapters.slack.messages.text import who
from bot.core.decisions.damage import Damaged, claimed_words, damage_in_words
from bot.core.text.dates import stamp


def damaged(found: Damaged, *, approvers: str, link: str) -> Message:
    """The message to the channel: of a damaged run, or of one that somebody has just released."""
    return _released(found) if found.release else _found(found, approvers=approvers, link=link)


def _found(found: Damaged, *, approvers: str, link: str) -> Message:
    builder = MessageBuilder(
        f"{approvers} Run {inline(found.run)} is damaged, and claims {prose(claimed_words(found))}."
    )
    builder.paragraph(
        f":rotating_light: {approvers} *A run's facts are damaged*" + (f" · <{link}|its thread>" if link else "")
    )
    for line in damage_in_words(found).split("\n"):
        builder.paragraph(prose(line, spans=True))
    return builder.message()


def _released(found: Damaged) -> Message:
    release = found.release
    assert release is not None
    text = (
        f"{who(release.by)} released run {inline(found.run)}, which is damaged: {prose(claimed_words(found))} is free."
    )
    builder = MessageBuilder(text)
    builder.paragraph(f":unlock: {text}")
    builder.quote("*Reason given*", release.reason)
    builder.note(f"{stamp(release.at)}. It is in the journal, beside the facts of the run.")
    return builder.message()


def beside_an_answer(found: Damaged) -> Message:
    """The message to one person besides the answer to what they typed."""
    builder = MessageBuilder(
        f"Run {inline(found.run)} {'was released' if found.release and not found.flaw else 'is damaged'}."
    )
    for line in damage_in_words(found).split("\n"):
        builder.paragraph(prose(line, people=None, spans=True))
    return builder.message()
