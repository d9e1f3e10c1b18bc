"""Who did what, for the log: what is gone can keep no record of it itself."""

from __future__ import annotations

import logging

from dashboard.words import visible

logger = logging.getLogger(__name__)


def note(what: str, *given: object) -> None:
    """One line of the log, whatever is in what was given."""
    logger.info(what, *(visible(" ".join(str(each).split())) for each in given))
