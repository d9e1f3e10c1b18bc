"""Why something that a person or a program asks for is not done, where there is no other error for it."""

from __future__ import annotations

from flows.errors import RowrelayError


class NotPossible(RowrelayError):
    """The run is not in a state in which that can be done."""


class DeliveredSince(RowrelayError):
    """A later run has delivered some of the rows that would be sent."""


class NotFound(RowrelayError):
    """There is no such thing."""
