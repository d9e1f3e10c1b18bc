"""A new user with a file from abroad: from the drop to the last row, in few clicks and fewer decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from deployments.standin import Knobs
from tests.harness.browser import open_browser, patient, settle
from tests.harness.dashboard_site import SECONDS, Site, site
from tests.harness.foreign import DEFINITION, ROWS, WRONG, foreign_file

MOST_CLICKS, MOST_DECISIONS = 12, 5


@dataclass
class Person:
    """Somebody who clicks. A decision: to look at what is shown, and say yes, or something else."""

    clicks: int = 0
    decisions: int = 0

    def click(self, what: Locator, *, decides: bool = False) -> None:
        """One click."""
        what.click()
        self.clicks += 1
        self.decisions += decides

    def enter(self, text: str, into: Locator) -> None:
        """A click into a field, and typing."""
        into.click()
        into.fill(text)
        self.clicks += 1


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "orders.yaml").write_text(DEFINITION)
    with site(folder, ROWRELAY_PIPELINES=str(folder / "orders.yaml")) as made:
        yield made


@pytest.fixture
def page() -> Iterator[Page]:
    expect.set_options(timeout=SECONDS * 1000)
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
        page.set_default_timeout(SECONDS * 1000)
        patient(page)
        yield page


def test_a_file_in_cp1251_with_foreign_headers_and_a_thousand_wrong_cells_goes_out_whole(
    here: Site, page: Page
) -> None:
    here.api.knobs = Knobs(requests=None, ban_after=None, tag="title")
    person = Person()
    here.board.open(page, "/")
    person.click(page.get_by_role("combobox", name="Pipeline"))
    person.click(page.get_by_role("option", name="orders"))
    settle(page)

    page.locator("input[type=file]").set_input_files(
        {"name": "Заказы.csv", "mimeType": "text/csv", "buffer": foreign_file()}
    )
    person.clicks += 1  # the drop
    expect(page.get_by_role("heading", name="How does it read right?")).to_be_visible()
    person.click(page.get_by_role("button", name="Read it as Cyrillic (Windows-1251), cp1251"), decides=True)

    expect(page.get_by_role("heading", name="Which column is which?")).to_be_visible()
    for column, name in {"country": "Страна", "ordered": "Дата заказа", "amount": "Сумма"}.items():
        expect(page.get_by_role("combobox", name=f"Column of the file for {column}")).to_have_value(name)
    person.click(page.get_by_role("button", name="Check with these columns"), decides=True)

    expect(page.get_by_role("button", name=f"Send {ROWS - 5 * WRONG} good rows")).to_be_visible()
    person.click(page.get_by_role("button", name=f"Take these: {4 * WRONG} cells"), decides=True)
    expect(page.get_by_text(f"{4 * WRONG} rows are ready to send now.")).to_be_visible()
    person.enter("DE", page.get_by_label("What group 1 becomes"))
    person.click(page.get_by_role("button", name="Apply"), decides=True)
    assert here.tags == []  # nothing was sent yet
    person.click(page.get_by_role("button", name=f"Send {ROWS:,} rows"), decides=True)

    page.wait_for_url("**/run?id=*")
    run = page.url.split("id=")[1].split("&")[0]
    found = here.shown(run, "finished")
    assert found["counts"]["done"] == ROWS
    assert sorted(here.tags) == [f"{100_000 + row}" for row in range(1, ROWS + 1)]
    assert person.clicks <= MOST_CLICKS
    assert person.decisions <= MOST_DECISIONS
