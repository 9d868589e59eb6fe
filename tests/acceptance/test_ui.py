"""What a person sees in Dagster's UI, in a real headless browser.

With `SCIZOR_SCREENSHOTS=<folder>` the pages are kept as pictures (`make screenshots` does that for the README).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from scizor_dagster.api.webserver import Webserver
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


def shown_of(chrome: Chrome, address: str, asset: str, session: str, *sentences: str) -> str:
    """The text of an asset's session, with a picture of it."""
    chrome.get(f"{address}/assets/main/{asset}?view=partitions&partition={session}")
    text = wait_for(chrome, "Metadata", "currency", "USD", *sentences)
    keep(chrome, asset)
    return text


def opened(chrome: Chrome, asset: str, entry: str, *sentences: str) -> str:
    """The text of an entry that the UI shows in a window of its own, with a picture of it; the window is closed."""
    row = f"//tr[.//*[text()='{entry}']]//*[contains(text(), '[Show Markdown]')]"
    chrome.find_element(By.XPATH, row).click()
    text = wait_for(chrome, "Copy", *sentences)
    keep(chrome, f"{asset}-{entry}")
    chrome.find_element(By.XPATH, "//button[.//*[text()='Close'] or text()='Close']").click()
    WebDriverWait(chrome, WAIT_SECONDS).until(lambda page: not page.find_elements(By.XPATH, "//*[text()='Copy']"))
    return text


def test_the_executions_of_a_session_say_what_became_of_each_order_and_what_caused_it(
    pages: tuple[str, Chrome], demo: Demo
) -> None:
    address, chrome = pages
    session = rebalanced(demo)
    shown_of(chrome, address, "executions", session, "caused_by", "counts")
    orders = opened(chrome, "executions", "orders", "average_price", "filled", "reason")
    assert not re.search(r"\d\.\d{10}", orders.partition("average_price")[2]), (
        "an average with more digits than any price has"
    )
    opened(chrome, "executions", "caused_by", "signals/demo_momentum.csv", "contribution")


def test_the_reconciliation_of_a_session_shows_orders_positions_and_its_money(
    pages: tuple[str, Chrome], demo: Demo
) -> None:
    address, chrome = pages
    shown = shown_of(chrome, address, "reconciliations", rebalanced(demo), "order_results", "breaks")
    assert re.search(r"equity \d{2,3},\d{3}\.\d\d USD, cash", shown)
    opened(chrome, "reconciliations", "order_results", "planned_qty", "slippage_bps")
    opened(chrome, "reconciliations", "positions", "broker_qty", "market_value")


def test_the_performance_of_a_session_shows_its_figures_its_curve_and_its_page(
    pages: tuple[str, Chrome], demo: Demo
) -> None:
    address, chrome = pages
    session = rebalanced(demo)
    shown = shown_of(chrome, address, "performance", session, "equity_curve", "cumulative_return", "report")
    assert re.search(r"equity +\d{2,3},\d{3}\.\d\d USD", shown)
    assert f"reports/main/{session}.html" in shown
    opened(chrome, "performance", "profit_by_instrument", "unrealised")
    opened(chrome, "performance", "costs", "arrival_price")
    row = "//tr[.//*[text()='equity_curve']]//*[contains(text(), '[Show Markdown]')]"
    chrome.find_element(By.XPATH, row).click()
    wait_for(chrome, "Copy")
    picture = chrome.find_element(By.XPATH, "//img[@alt='equity curve']")
    assert int(picture.get_property("naturalWidth") or 0) > 400
    keep(chrome, "performance-equity_curve")


@pytest.mark.parametrize(("name", "width"), [("phone", 390), ("desk", 1280)])
def test_the_page_of_a_session_is_whole_on_a_phone_and_on_a_desk(demo: Demo, name: str, width: int) -> None:
    require_chromium()
    with browser(width, 900) as chrome:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chrome.get((demo.home / "reports" / "main" / f"{rebalanced(demo)}.html").as_uri())
        asked = "return [document.documentElement.scrollWidth, performance.getEntriesByType('resource').length]"
        wide, resources = chrome.execute_script(asked)  # type: ignore[no-untyped-call]
        assert (wide <= width, resources) == (True, 0)
        for sentence in ("Verdict", "Orders of the plan in USD", "Positions at the end in USD", "Equity and drawdown"):
            assert sentence in text_of(chrome)
        height = chrome.execute_script("return document.documentElement.scrollHeight")  # type: ignore[no-untyped-call]
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size | {"height": height})
        keep(chrome, f"session-{name}")


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


def test_the_services_hand_a_run_to_the_webserver_and_have_it_ended(demo: Demo, project_root: Path) -> None:
    with webserver(demo.home, project_root / "config" / "config.yaml", project_root, writable=True) as address:
        asked = Webserver(address, demo.home / "dagster")
        # It answers, and there is no daemon that would begin what is queued.
        assert not asked.takes_runs()
        run_id = asked.submit("maintain", {}, {"scizor/actor": "ada"})
        asked.end(run_id)
    with DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    assert (run.status.value, run.tags["scizor/actor"]) == ("CANCELED", "ada")
