"""The site of the documentation: it builds without a warning, needs nothing from elsewhere, and a browser shows it."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from docs.making import codes, handbook, http
from tests.browser import browser, require_chromium
from tests.docs.blocks import ROOT

WAIT_SECONDS = 40
# Building the site is the set-up of the first test.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it: any warning is an error."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
    assert config.strict
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


class _Loaded(HTMLParser):
    """Addresses that a page loads by itself: scripts, styles, pictures, frames; a link to click is none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        name = {"link": "href"}.get(tag, "src")
        if tag in ("link", "script", "img", "iframe", "source") and known.get("rel") != "canonical" and known.get(name):
            self.found.append(str(known[name]))


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        loaded = _Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert [address for address in loaded.found if urlsplit(address).netloc] == [], page
    for style in (site / "assets").rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import ['\"]?https?:", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("index.html", ("executions", "historical_chunks")),
        ("architecture/index.html", ("planning", "paper_exchange", "main/executions")),
        ("architecture/orders.html", ("commit: the verdict", "submit, once", "partially_filled", "<strong>unknown")),
        ("handbook/index.html", ("Findings of the watchdog", "Rules of weight files")),
        ("handbook/alerts.html", ('id="not_admitted"', 'id="daemon_silent"')),
        ("handbook/all-codes.html", ("wash_trade", "execution_reversed")),
        ("reference/config-keys.html", ("max_leverage", "portfolios.&lt;name&gt;.capital", "${APCA_API_KEY_ID}")),
        ("reference/manifest-keys.html", ("strategies[].guards", "max_turnover")),
        ("reference/lake.html", ("target_attribution", "at least 0")),
        ("reference/ledger.html", ("client_order_id", "exact decimal")),
        ("reference/http.html", ("POST /api/orders", "http-objects.html#ordertoplace")),
        ("reference/http-objects.html", ("OrderToPlace", "open orders counted; 0 closes")),
        ("reference/python-brokers.html", ("OutcomeUnknown", "visible_after")),
        ("reference/python-backtests.html", ("run_backtest", "history_of_frame")),
    ],
)  # fmt: skip
def test_a_page_that_is_made_from_the_code_holds_what_the_code_has(
    site: Path, page: str, words: tuple[str, ...]
) -> None:
    text = (site / page).read_text(encoding="utf-8")
    assert [word for word in words if word not in text] == []
    assert "<!-- run" not in text


def test_what_every_route_may_refuse_is_said_once_and_what_only_one_refuses_at_that_one() -> None:
    refused = {"content": {"application/problem+json": {}}}
    answers = {"409": {"description": "Conflict", **refused}, "412": {"description": "Precondition Failed", **refused}}
    one = {"summary": "One", "responses": {"204": {"description": "Successful Response"}, "409": answers["409"]}}
    page = http.markdown({"paths": {"/one": {"get": one}, "/two": {"get": {"responses": answers}}}})
    assert page.count("409 Conflict") == 1
    assert page.index("409") < page.index("GET /one") < page.index("Answers **204**") < page.index("GET /two")
    assert page.index("GET /two") < page.index("Answers **412**: Precondition Failed")


def test_a_code_without_an_entry_and_an_entry_without_a_code_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    known = codes.FAMILIES["locks"]()
    monkeypatch.setitem(codes.FAMILIES, "locks", lambda: [*known, "another"])
    with pytest.raises(ValueError, match=r"lacks \['another'\]"):
        handbook.family("locks")
    monkeypatch.setitem(codes.FAMILIES, "locks", lambda: known[1:])
    with pytest.raises(ValueError, match=rf"has \['{known[0]}'\] too many"):
        handbook.family("locks")


def test_codes_are_found_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "ROOT", tmp_path)
    text = 'NAME = "two"\nFound("one")\nFound(NAME)\nFound("three" if x else "four")\nFound(x)\nOther(kind="five")\n'
    (tmp_path / "module.py").write_text(text)
    assert codes.literals("*.py", {"Found": 0, "Other": "kind"}) == ["one", "two", "three", "four", "five"]


def test_every_environment_variable_that_the_code_reads_is_documented() -> None:
    said = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    read = re.compile(r"""environ(?:ment)?(?:\.get\(|\[)"([A-Z][A-Z0-9_]+)\"""")
    found = {name for path in _sources() for name in read.findall(path.read_text(encoding="utf-8"))}
    assert {"SCIZOR_HOME", "DATABASE_URL", "MAX_WORKERS"} <= found
    of_others = {"DAGSTER_HOME", "PYTHONPATH", "XDG_CACHE_HOME"}
    assert sorted(name for name in found - of_others if f"`{name}`" not in said) == []


def test_every_page_that_a_message_or_the_readme_names_exists() -> None:
    texts = [
        *_sources(),
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / ".env.example",
        ROOT / "config" / "config.yaml",
    ]
    named = {name for path in texts for name in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def _sources() -> list[Path]:
    return [path for top in ("scizor_dagster", "assets", "resources", "jobs") for path in (ROOT / top).rglob("*.py")]


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    require_chromium()
    with browser(1400, 1000) as found:
        yield found


def show(chrome: Chrome, site: Path, page: str, name: str = "", width: int = 1400) -> str:
    """Open a page from the disk; its text. Nothing may be wider than the screen, nor come from another place."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chrome.get((site / page).as_uri())
    WebDriverWait(chrome, WAIT_SECONDS).until(lambda shown: shown.find_elements(By.CSS_SELECTOR, "article h1"))
    asked = "return [document.documentElement.scrollWidth, performance.getEntriesByType('resource').map(x => x.name)]"
    wide, resources = chrome.execute_script(asked)  # type: ignore[no-untyped-call]
    assert wide <= width, f"{page} is {wide} wide on a screen of {width}"
    assert [item for item in resources if not item.startswith("file:")] == []
    keep(chrome, name)
    return str(chrome.find_element(By.TAG_NAME, "article").text)


def keep(chrome: Chrome, name: str) -> None:
    folder = os.environ.get("SCIZOR_SCREENSHOTS")
    if folder and name:
        chrome.save_screenshot(str(Path(folder) / f"docs-{name}.png"))


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("index.html", "Never twice"),
        ("tutorial.html", "Prices"),
        ("handbook/alerts.html", "not_admitted"),
        ("reference/config-keys.html", "max_leverage"),
        ("architecture/orders.html", "The way of one order"),
    ],
)
def test_a_page_from_the_disk_is_whole_on_a_desk_and_on_a_phone(
    site: Path, chrome: Chrome, page: str, sentence: str, width: int
) -> None:
    assert sentence in show(chrome, site, page, f"{page.replace('/', '-').removesuffix('.html')}-{width}", width)


@pytest.mark.browser
def test_the_search_finds_a_code_without_a_server(site: Path, chrome: Chrome) -> None:
    show(chrome, site, "index.html")
    field = chrome.find_element(By.CSS_SELECTOR, "input.md-search__input")
    field.click()
    field.send_keys("second_reconciliation_missing")
    found = WebDriverWait(chrome, WAIT_SECONDS).until(
        lambda shown: shown.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
    )
    keep(chrome, "search")
    assert any("handbook/" in str(link.get_attribute("href")) for link in found)
    field.send_keys(Keys.ESCAPE)


@pytest.mark.browser
def test_a_drawing_is_as_wide_as_its_text(site: Path, chrome: Chrome) -> None:
    show(chrome, site, "architecture/index.html", "architecture-index-1400")
    boxes = chrome.execute_script(
        "return [...document.querySelectorAll('.drawing g.box')].map(box => ["
        "box.querySelector('text').textContent, box.querySelector('text').getBBox().width, "
        "box.querySelector('rect').getBBox().width])"
    )  # type: ignore[no-untyped-call]
    assert len(boxes) > 25
    assert [name for name, text, box in boxes if text > box - 6] == []
