"""A stand-in for the API that rows are sent to: answers like JSONPlaceholder, holds a limit, and can misbehave."""

from deployments.standin.api import Knobs, StandIn
from deployments.standin.server import serving

__all__ = ["Knobs", "StandIn", "serving"]
