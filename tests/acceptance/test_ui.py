"""What a person sees in Dagster's UI, in a real headless browser.

With `SCIZOR_SCREENSHOTS=<folder>` the pages are kept as pictures (`make screenshots` does that for the README).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.acceptance.conftest import Demo
from tests.browser import browser, require_chromium, webserver

WAIT_SECONDS = 45
ASSETS = (
    "symbols",
    "corporate_actions",
    "daily_prices",
    "historical_chunks",
    "prices",
    "demo_momentum",
    "target_weights",
    "planned_orders",
    "executions",
    "reconciliations",
    "performance",
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(demo: Demo, project_root: Path) -> Iterator[tuple[str, Chrome]]:
    require_chromium()
    config = project_root / "config" / "config.yaml"
    with webserver(demo.home, config, project_root) as address, browser(1900, 1000) as chrome:
        yield address, chrome


def text_of(chrome: Chrome) -> str:
    return str(chrome.find_element(By.TAG_NAME, "body").text)


def wait_for(chrome: Chrome, *sentences: str) -> str:
    """The page's text, once it holds every one of `sentences`."""
    WebDriverWait(chrome, WAIT_SECONDS).until(
        lambda page: all(sentence in text_of(page) for sentence in sentences), f"waiting for {sentences}"
    )
    return text_of(chrome)


def keep(chrome: Chrome, name: str) -> None:
    folder = os.environ.get("SCIZOR_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        chrome.save_screenshot(str(Path(folder) / f"{name}.png"))


def rebalanced(demo: Demo) -> str:
    return [row["session"] for row in demo.result["sessions"] if row["orders"]][-1]


def test_the_asset_graph_shows_every_stage_from_symbols_to_performance(pages: tuple[str, Chrome]) -> None:
    address, chrome = pages
    chrome.get(f"{address}/assets/main/performance?view=lineage&lineageScope=upstream&lineageDepth=5")
    wait_for(chrome, "market_us", "portfolio_main", *ASSETS)
    keep(chrome, "asset-graph")


def test_a_materialization_of_planned_orders_shows_its_order_table(pages: tuple[str, Chrome], demo: Demo) -> None:
    address, chrome = pages
    session = rebalanced(demo)
    chrome.get(f"{address}/assets/main/planned_orders?view=partitions&partition={session}")
    wait_for(chrome, "order_count", "SYNTHETIC, raw", "[Show Markdown]")
    chrome.find_elements(By.XPATH, "//*[contains(text(), '[Show Markdown]')]")[0].click()
    shown = wait_for(chrome, "client_order_id", "notional")
    assert f"SCZ_{session.replace('-', '')}_1_" in shown
    keep(chrome, "planned-orders")


def test_the_check_results_of_a_session_are_shown_as_succeeded(pages: tuple[str, Chrome]) -> None:
    address, chrome = pages
    chrome.get(f"{address}/assets/main/reconciliations?view=checks")
    shown = wait_for(chrome, "no_unexplained_breaks", "rows_match_schema", "Succeeded")
    assert "Failed" not in shown


def test_no_dialog_stands_before_the_first_page(pages: tuple[str, Chrome]) -> None:
    address, chrome = pages
    chrome.get(f"{address}/jobs")
    shown = wait_for(chrome, "rebalance", "collect_daily", "collect_history", "follow_orders")
    assert "Join the Dagster community" not in shown


def test_the_data_quality_of_a_market_is_a_page_with_its_heat_map(pages: tuple[str, Chrome]) -> None:
    address, chrome = pages
    chrome.get(f"{address}/assets/us/prices?view=events")
    wait_for(chrome, "quality", "[Show Markdown]")
    row = "//tr[.//*[text()='quality']]//*[contains(text(), '[Show Markdown]')]"
    chrome.find_element(By.XPATH, row).click()
    wait_for(chrome, "Data quality of us", "every_symbol_has_a_bar_or_a_reason", "Worst offenders")
    picture = chrome.find_element(By.XPATH, "//img[@alt='coverage']")
    assert int(picture.get_property("naturalWidth") or 0) > 400
    keep(chrome, "data-quality")
