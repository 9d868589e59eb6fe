"""The page as a person sees it, in a real headless browser: on a phone and on a desk, in the light, the dark, on paper.

With `SCIZOR_SCREENSHOTS=<folder>` the pages are kept as pictures.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from scizor_dagster.analytics.report.page import page_of, render
from tests.analytics.report.samples import ATTACK, QUIET, broken, hostile, measured
from tests.browser import browser, require_chromium

pytestmark = pytest.mark.browser
YOUNG = {f"of {count}": replace(QUIET, measured=measured(count)) for count in (1, 2, 3, 5)}
PAGES = {"quiet": QUIET, "broken": broken(), "hostile": hostile()}
WIDTHS = {"phone": 390, "desk": 1280}


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    require_chromium()
    with browser(1280, 900) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name, facts in (PAGES | YOUNG).items():
        (made / f"{name}.html").write_text(render(page_of(facts)), encoding="utf-8")
    return made


def look(chrome: Chrome, path: Path, width: int) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chrome.get(path.as_uri())


def asked(chrome: Chrome, question: str) -> Any:
    return chrome.execute_script(f"return {question}")  # type: ignore[no-untyped-call]


def keep(chrome: Chrome, name: str, width: int) -> None:
    folder = os.environ.get("SCIZOR_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        height = asked(chrome, "document.documentElement.scrollHeight")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chrome.save_screenshot(str(Path(folder) / f"report-{name}.png"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_the_page_fits_its_width_asks_for_nothing_and_complains_of_nothing(
    chrome: Chrome, folder: Path, name: str, width: str
) -> None:
    look(chrome, folder / f"{name}.html", WIDTHS[width])
    assert asked(chrome, "document.documentElement.scrollWidth") <= WIDTHS[width]
    assert asked(chrome, "performance.getEntriesByType('resource').length") == 0
    assert chrome.get_log("browser") == []  # type: ignore[no-untyped-call]
    shown = chrome.find_element(By.TAG_NAME, "body").text
    for text in ("Verdict", "What was decided", "What is broken", "What was paid", "Provenance", "Equity and drawdown"):
        assert text in shown
    boxes = chrome.find_elements(By.CLASS_NAME, "box")
    assert boxes
    assert all(box.rect["width"] <= WIDTHS[width] for box in boxes)
    keep(chrome, f"{name}-{width}", WIDTHS[width])


def test_what_needs_a_person_is_on_the_first_screen_of_a_phone(chrome: Chrome, folder: Path) -> None:
    look(chrome, folder / "broken.html", 390)
    first = chrome.find_element(By.CSS_SELECTOR, "#verdict .said")
    assert "breaks" in first.text
    assert first.rect["y"] + first.rect["height"] < 844
    commands = [item.text for item in chrome.find_elements(By.CSS_SELECTOR, "#verdict pre")]
    assert "scizor risk accept-break 1f0c22ab93d0 --reason TEXT" in commands


def test_a_wide_table_is_scrolled_on_a_phone_under_the_name_of_its_row(chrome: Chrome, folder: Path) -> None:
    look(chrome, folder / "quiet.html", 390)
    wide = "[...document.querySelectorAll('.box')].find(box => box.scrollWidth > box.clientWidth + 60)"
    where = "const first = box.querySelector('td'), edge = box.getBoundingClientRect().left;"
    moved = f"(() => {{ const box = {wide}; {where} box.scrollLeft = 60;"
    assert asked(chrome, f"{moved} return first.getBoundingClientRect().left - edge; }})()") <= 1
    assert asked(chrome, f"{moved} return box.scrollLeft; }})()") == 60
    pairs = "[...document.querySelectorAll('.pairs')].map(one => one.parentElement)"
    assert asked(chrome, f"{pairs}.length") >= 2
    assert asked(chrome, f"{pairs}.every(box => box.scrollWidth <= box.clientWidth)")


@pytest.mark.parametrize("name", ["broken", *YOUNG])
def test_no_text_of_a_chart_is_cut_off_or_lies_on_another_one(chrome: Chrome, folder: Path, name: str) -> None:
    for width in WIDTHS.values():
        look(chrome, folder / f"{name}.html", width)
        boxes = "const all = [...svg.querySelectorAll('text')].map(one => one.getBoundingClientRect())"
        outside = "all.some(one => one.left < edge.left || one.right > edge.right || one.bottom > edge.bottom)"
        upon = (
            "all.some((one, at) => all.slice(at + 1).some(two => one.left < two.right && two.left < one.right "
            "&& one.top < two.bottom && two.top < one.bottom))"
        )
        judged = f"const edge = svg.getBoundingClientRect(); {boxes}; return [all.length, {outside}, {upon}]"
        found = asked(chrome, f"[...document.querySelectorAll('figure svg')].map(svg => {{ {judged} }})")
        assert len(found) == (2 if name == "broken" else 1)
        for count, is_outside, is_upon in found:
            assert (count > 5, is_outside, is_upon) == (True, False, False)


def test_an_attack_in_a_name_is_read_and_not_run(chrome: Chrome, folder: Path) -> None:
    look(chrome, folder / "hostile.html", 1280)
    assert ATTACK in chrome.find_element(By.TAG_NAME, "h1").text
    assert asked(chrome, "document.scripts.length + document.images.length") == 0


def test_the_page_is_dark_where_the_reader_wants_it_dark(chrome: Chrome, folder: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        look(chrome, folder / "broken.html", 1280)
        line = "document.querySelector('#earned svg path[style*=\"--line\"]')"
        colours[scheme] = (
            asked(chrome, "getComputedStyle(document.body).backgroundColor"),
            asked(chrome, "getComputedStyle(document.querySelector('#earned svg text')).fill"),
            asked(chrome, f"getComputedStyle({line}).stroke"),
        )
        keep(chrome, f"broken-{scheme}", 1280)
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert colours["light"] == ("rgb(255, 255, 255)", "rgb(27, 31, 36)", "rgb(36, 86, 166)")
    assert colours["dark"] == ("rgb(20, 23, 27)", "rgb(230, 233, 237)", "rgb(127, 176, 255)")


def test_no_table_is_cut_off_on_paper(chrome: Chrome, folder: Path) -> None:
    look(chrome, folder / "broken.html", 1000)
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    found = asked(chrome, "[...document.querySelectorAll('.box')].map(box => getComputedStyle(box).overflowX)")
    widest = asked(chrome, "Math.max(...[...document.querySelectorAll('table')].map(one => one.scrollWidth))")
    keep(chrome, "broken-print", 1000)
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert set(found) == {"visible"}
    assert widest <= 1000
