"""What a command that sends loads and starts before it can: Prefect, the flow, the stack; as much as can be at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flows.errors import StackError

if TYPE_CHECKING:
    from deployments.embedded.stack import StackAddresses
    from flows.settings import Settings


def look_for_garbage_rarely() -> None:
    """To be called before Prefect, pandas and this package load.

    Of some 570 looks in that time nearly all find little, and together they take an eighth of the processor's. What
    delivers looks through everything, and sets this anew, before it sends (`flows.delivery.engine`).
    """
    gc.set_threshold(200_000, 20, 100)


@contextmanager
def stack_in_use(settings: Settings) -> Iterator[StackAddresses]:
    """The stack. While it starts, Prefect and the flow are loaded. Raises StackError."""
    from deployments.commands.session import waiting
    from deployments.embedded import stack

    loaded_for: list[str] = []

    def meanwhile(addresses: StackAddresses) -> None:
        stack.apply(addresses, settings)
        load_flow(settings.data)
        loaded_for.append(addresses.prefect_api_url)

    with ExitStack() as exits:
        with waiting("Starting what is needed: Redis, Prefect …"):
            addresses = exits.enter_context(stack.use(settings, meanwhile=meanwhile))
        if loaded_for not in ([], [addresses.prefect_api_url]):
            raise StackError(
                "The Prefect server died as it started, and came up at another address.",
                hint="Nothing was sent. Start the command again: it finds the server now.",
            )
        yield addresses


@cache
def load_flow(data: Path) -> None:
    """Import Prefect, which reads its environment then, and the flow; what they would print goes to the log file."""
    from deployments.commands.session import log_to_file, quiet_prefect

    handler = log_to_file(data)
    import flows.deliver  # noqa: F401  (for those who import it next)

    quiet_prefect(handler)
