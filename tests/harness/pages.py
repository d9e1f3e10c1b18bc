"""Pages drawn headless, and what stands on them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

from dashboard import connections
from flows.settings import Settings
from tests.harness.browser import ROOT
from tests.harness.prefect_at import prefect_at


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings that the pages read, with a data folder of the test's own and no Prefect."""
    monkeypatch.setenv("ROWRELAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWRELAY_REDIS_URL", redis_url)
    with prefect_at():
        yield connections.settings()


def show(name: str, **query: str) -> AppTest:
    """A page, run once."""
    page = undrawn(name)
    for key, value in query.items():
        page.query_params[key] = value
    return page.run()


def undrawn(name: str) -> AppTest:
    """A page that has not run yet."""
    page = AppTest.from_file(str(ROOT / "dashboard" / "pages" / f"{name}.py"), default_timeout=90)
    page._bidi_component_manager = _components()
    return page


@lru_cache(maxsize=1)
def _components() -> BidiComponentManager:
    """One for all pages, as in the dashboard: to look through what is installed takes longer than to draw a page."""
    return BidiComponentManager()


def text(page: AppTest) -> str:
    """Everything that a page says as HTML, without the style sheet."""
    return " ".join(str(block.proto.body) for block in page.main if block.type == "html") + " ".join(
        str(each.value) for kind in ("text", "caption", "header") for each in getattr(page, kind)
    ) + " ".join(_html(page.main))  # fmt: skip


def _html(block: object) -> Iterator[str]:
    for child in getattr(block, "children", {}).values():
        if getattr(child, "type", "") == "html":
            yield str(child.proto.body)
        yield from _html(child)
