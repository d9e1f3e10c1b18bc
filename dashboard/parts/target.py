"""What to know before rows are sent, of where they go."""

from __future__ import annotations

from dashboard.parts.html import Markup
from dashboard.parts.theme import notice
from dashboard.target import WHO_LISTENS, in_words, stays_here
from flows.pipeline.definition import Definition


def here_notice(definition: Definition) -> Markup | None:
    """What to bear in mind before rows are sent to this machine."""
    if not stays_here(definition):
        return None
    return notice("info", f"Requests go to {in_words(definition)}.", WHO_LISTENS)
