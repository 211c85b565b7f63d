"""``report.html`` in a browser: no errors, no requests; sorting, enlarging and the keyboard
work.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_folders import write_run

from invset.report.run_page import write_report

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.external,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="needs Chromium and its driver (on Debian: chromium, chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM or ""
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", 25)


@pytest.fixture
def page(browser: Any, folder: Path) -> Any:
    browser.get_log("performance")
    browser.get(write_report(folder).as_uri())
    return browser


def numbers(page: Any) -> list[int]:
    return page.execute_script(
        "return [...document.querySelectorAll('#grid li')].map((e) => Number(e.dataset.number))"
    )


def values(page: Any, key: str) -> list[float]:
    return page.execute_script(
        "return [...document.querySelectorAll('#grid li')].map("
        f"(e) => Number(e.getAttribute('data-{key}')))"
    )


def dialog(page: Any) -> tuple[bool, str]:
    return tuple(
        page.execute_script(
            "const d = document.querySelector('dialog'); return [d.open,"
            " d.querySelector('h2').textContent]"
        )
    )


def press(page: Any, key: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(page).send_keys(getattr(Keys, key)).perform()


def wait_for(page: Any, condition: str) -> None:
    """A browser closes a dialog first, and tells the page of it in a later turn of its loop."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 10, 0.05).until(
        lambda driver: driver.execute_script(f"return {condition}"), condition
    )


def test_it_loads_alone_and_without_errors(page: Any) -> None:
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [page.current_url]
    assert page.execute_script(
        "return [...document.images].every((i) => i.complete && (i.naturalWidth > 0 ||"
        " i.closest('dialog')))"
    )
    assert (
        page.execute_script(
            "return document.querySelector('#grid img').getBoundingClientRect().width"
        )
        == 96
    )


def test_sorting(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    assert numbers(page) == list(range(1, 26))
    select = Select(page.find_element("id", "sort"))
    for option in ("activation", "step", "distances-nearest", "distances-mean", "groups-group"):
        select.select_by_value(option)
        assert values(page, option) == sorted(values(page, option))
    page.find_element("id", "down").click()
    select.select_by_value("activation")
    assert values(page, "activation") == sorted(values(page, "activation"), reverse=True)
    assert sorted(numbers(page)) == list(range(1, 26))


def test_enlarging_with_the_keyboard(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("id", "sort")).select_by_value("activation")
    order = numbers(page)
    page.execute_script("document.querySelector('#grid .sample').focus()")
    press(page, "ENTER")
    assert dialog(page) == (True, f"Sample {order[0]}")
    press(page, "ARROW_RIGHT")
    assert dialog(page) == (True, f"Sample {order[1]}")
    press(page, "ARROW_LEFT")
    press(page, "ARROW_LEFT")
    assert dialog(page) == (True, f"Sample {order[-1]}")
    press(page, "ESCAPE")
    wait_for(page, "!document.querySelector('dialog').open")
    wait_for(
        page, f"document.activeElement.dataset.sample === '{order[-1]}'"
    )  # where one was, one is
    assert page.get_log("browser") == []


def test_enlarging_with_the_mouse_and_links_to_relatives(page: Any) -> None:
    page.find_element("css selector", "#grid [data-sample='7']").click()
    assert dialog(page) == (True, "Sample 7")
    facts = page.find_element("css selector", "dialog dl").text
    assert "before rounding to 8 bits" in facts
    assert "of parent 0" in facts
    thumb = page.find_element("css selector", "#grid [data-sample='7'] img").get_attribute("src")
    assert page.find_element("css selector", "dialog img").get_attribute("src") == thumb
    page.find_element("css selector", "dialog .links button").click()
    assert dialog(page) == (True, "Sample 1")
    page.find_element("css selector", "dialog .close").click()
    assert dialog(page)[0] is False
    page.execute_script("document.querySelector('.map .sample').click()")
    assert dialog(page)[0] is True


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light(page: Any) -> None:
    paper = {}
    for scheme in ("light", "dark"):
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        script = (
            "return [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('svg text')).fill]"
        )
        paper[scheme] = page.execute_script(script)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert paper["light"] == ["rgb(255, 255, 255)", "rgb(29, 31, 35)"]
    assert paper["dark"] == ["rgb(22, 24, 27)", "rgb(229, 230, 232)"]
