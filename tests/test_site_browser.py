"""The site in a browser, from the disk: search finds, nothing is too wide on a phone, no errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_report_browser import CHROMIUM, DRIVER, browser

By = pytest.importorskip("selenium.webdriver.common.by").By
pytest.importorskip("mkdocstrings")
ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.external,
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and its driver"),
]

__all__ = ["browser"]  # the fixture

#: Elements of a page's text that reach beyond its right edge, and that no parent scrolls. The page
#: itself cuts them off, which is no better.
TOO_WIDE = """
const edge = document.documentElement.clientWidth + 1;
const rolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
const scrolled = (e) => e && (rolls(e) || scrolled(e.parentElement));
const wide = (e) => e.getBoundingClientRect().right > edge && !scrolled(e);
return [...document.querySelectorAll(".md-content *")].filter(wide).map((e) => e.outerHTML);
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # links are test_site.py's
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def errors(browser: Any) -> list[str]:
    return [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]


def test_search_finds_a_page(browser: Any, site: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get((site / "samplers.html").as_uri())
    field = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
    field.click()
    field.send_keys("range not reached")
    found = ".md-search-result__item h2"
    WebDriverWait(browser, 60).until(lambda _: browser.find_elements(By.CSS_SELECTOR, found))
    first = browser.find_element(By.CSS_SELECTOR, found)
    assert first.text == "My range was not reached. Why?"
    assert errors(browser) == []


@pytest.mark.parametrize("page", ["index", "samplers", "how-to", "tutorials/table", "api"])
def test_nothing_is_too_wide_on_a_phone(browser: Any, site: Path, page: str) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get((site / f"{page}.html").as_uri())
    assert browser.execute_script(TOO_WIDE) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    # the check sees what is too wide
    browser.execute_script("document.querySelector('.md-content h1').style.width = '900px'")
    assert len(browser.execute_script(TOO_WIDE)) == 1
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert errors(browser) == []
