"""The page in a real browser: it works, and whatever a row says does nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradstore
from tests.report.conftest import ATTACK

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)


MAP = "const map = plots.find((plot) => plot.toolbar.tools.length);"
POINTS = "const points = map.document.get_model_by_name('points').data;"


class Browser:
    """Chromium with one report open."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def js(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def until(self, condition: str, *arguments: object) -> Any:
        """Wait until a JavaScript expression is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 120, 0.1).until(
            lambda _: self.js(f"return {condition}", *arguments)
        )

    def part(self, name: str) -> Any:
        return self.driver.find_element("css selector", f"[data-part={name}]")

    def set(self, name: str, value: str) -> None:
        """Choose an option, or type into the search box."""
        self.js(
            "const field = document.querySelector(`[data-part=${arguments[0]}]`); field.value = arguments[1];"
            "for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true}));",
            name,
            value,
        )

    def click(self, selector: str) -> None:
        """Find and click in one step: a list that is drawn anew in between would leave a stale element."""
        self.js("document.querySelector(arguments[0]).click()", selector)

    def found(self) -> list[str]:
        """Ids of the rows in the list."""
        names: list[str] = self.js(
            "return [...document.querySelectorAll('[data-part=list] .name')].map((name) => name.textContent)"
        )
        return names

    def opened(self) -> str:
        """Id of the row that is open."""
        return str(self.js("return document.querySelector('[data-part=detail] h3')?.textContent ?? ''"))

    def colour(self, selector: str) -> str:
        code = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
        return str(self.js(code, selector))

    def resize(self, width: int, *, dark: bool) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@pytest.fixture(scope="module")
def opened(shown_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary, program = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or program is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    page = tmp_path_factory.mktemp("page") / "report.html"
    gradstore.report(shown_store, page)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tempfile.mkdtemp()
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(program))
    try:
        driver.get(page.as_uri())
        browser = Browser(driver)
        browser.until("!document.getElementById('explorer').hasAttribute('aria-busy')")
        yield browser
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def browser(opened: Browser) -> Browser:
    """The open page without filters."""
    opened.resize(1280, dark=False)
    opened.part("clear").click()
    return opened


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Browser) -> None:
    browser.js("document.querySelectorAll('.chart').forEach((chart) => chart.scrollIntoView())")
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    asked = [
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent" and each["params"]["documentURL"].startswith("file:")
    ]
    assert [url.split(":")[0] for url in asked if not url.startswith(("data:", "blob:"))] == ["file"]
    problems = [
        entry for entry in browser.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
    assert problems == []


def test_rows_that_attack_are_shown_as_text_and_do_nothing(browser: Browser) -> None:
    browser.set("query", "window.hacked")
    browser.until("document.querySelectorAll('[data-part=list] button').length === 1")
    browser.click("[data-part=list] button")
    said = browser.js("return document.querySelector('[data-part=detail] .turn p').textContent")
    assert said == ATTACK
    assert browser.js("return [window.hacked ?? null, document.images.length]") == [None, 0]
    assert browser.js("return document.querySelectorAll('[data-part=detail] script').length") == 0


def test_search_and_filters_narrow_the_list_and_clear_widens_it(browser: Browser) -> None:
    assert browser.part("count").text == "98 of 98 rows"
    browser.set("query", "PLUS row-3")
    browser.until("document.querySelector('[data-part=count]').textContent.startsWith('11 ')")
    assert set(browser.found()) == {f"row-{i}" for i in (3, *range(30, 40))}
    browser.set("query", "")
    browser.set("state", "chosen")
    browser.until("document.querySelector('[data-part=count]').textContent.startsWith('12 ')")
    browser.set("order", "rank")
    first = browser.found()[0]
    browser.click("[data-part=list] button")
    assert browser.opened() == first
    assert "chosen as number 1 of 12" in browser.part("detail").text
    browser.set("state", "invalid")
    browser.until("document.querySelector('[data-part=count]').textContent.startsWith('1 ')")
    assert browser.found() == ["row-7"]
    browser.set("query", "no such words")
    browser.until("!document.querySelector('[data-part=none]').hidden")
    browser.part("clear").click()
    assert browser.part("count").text == "98 of 98 rows"


def test_a_click_on_the_map_opens_the_row_and_its_neighbours_open_theirs(
    browser: Browser, shown_store: Path
) -> None:
    from selenium.webdriver import ActionChains

    place = browser.driver.find_element("id", "map-chart")
    browser.js("arguments[0].scrollIntoView({block: 'center'})", place)
    x, y = browser.js(  # the point farthest from any other
        f"{MAP} {POINTS} const [xs, ys] = [[...points.x], [...points.y]];"
        "const box = arguments[0].getBoundingClientRect(), {x_range: x, y_range: y} = map;"
        "const lonely = xs.map((_, i) => Math.min(...xs.map((_, j) => i === j ? 9 :"
        "  Math.hypot(xs[i] - xs[j], ys[i] - ys[j]))));"
        "const i = lonely.indexOf(Math.max(...lonely));"
        "return [(xs[i] - x.start) / (x.end - x.start) * box.width - box.width / 2,"
        "        box.height / 2 - (ys[i] - y.start) / (y.end - y.start) * box.height]",
        place,
    )
    before = browser.opened()
    ActionChains(browser.driver).move_to_element_with_offset(place, round(x), round(y)).perform()
    told = browser.js("return document.querySelector('.tip:not([hidden]) strong').textContent")
    ActionChains(browser.driver).click().perform()
    browser.until(
        "(document.querySelector('[data-part=detail] h3')?.textContent ?? '') !== arguments[0]", before
    )
    name = browser.opened()
    assert told == name
    graph = gradstore.load_graph(shown_store)
    dataset = browser.js(
        "return document.querySelector('[data-part=detail] .about').textContent.split(' · ')[0]"
    )
    nearest = graph.neighbours_of(name, dataset)
    cosines = browser.js(
        "return [...document.querySelectorAll('[data-part=detail] .cosine')].map((cosine) => cosine.textContent)"
    )
    against = graph.conflicts_of(name, dataset)
    assert cosines[-len(nearest) - len(against) :] == [f"{link.cosine:.3f}" for link in (*nearest, *against)]
    button = browser.driver.find_elements("css selector", "[data-part=detail] ul.rows:last-of-type .row")[0]
    browser.js("arguments[0].click()", button)
    assert browser.opened() != name
    browser.js("document.querySelector('[data-part=detail] header button').click()")
    assert browser.opened() == name


def test_everything_can_be_reached_by_keyboard(browser: Browser) -> None:
    from selenium.webdriver import Keys

    browser.part("query").send_keys("row-4", Keys.TAB)
    browser.until("document.querySelector('[data-part=count]').textContent.startsWith('11 ')")
    browser.js("document.querySelector('[data-part=list] button').focus()")
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.opened() == browser.found()[0]
    assert browser.js("return document.activeElement.dataset.part") == "detail"
    place = browser.driver.find_element("id", "map-chart")
    span = f"{MAP} return [map.x_range.start, map.x_range.end]"
    before = browser.js(span)
    place.send_keys(Keys.ARROW_RIGHT)
    moved = browser.js(span)
    assert moved[0] > before[0]
    assert moved[1] - moved[0] == pytest.approx(before[1] - before[0])
    place.send_keys("+")
    closer = browser.js(span)
    assert closer[1] - closer[0] < before[1] - before[0]
    place.send_keys("0")
    assert browser.js(span) == pytest.approx([-0.03, 1.03])


def test_colours_of_the_map_are_those_of_its_legend(browser: Browser) -> None:
    for by in ("source", "set", "chosen", "score"):
        browser.set("colour", by)
        legend = browser.js(
            "return [...document.querySelectorAll('.swatch')].map((each) => each.style.background)"
        )
        drawn = browser.js(
            f"{MAP} {POINTS} const probe = document.createElement('i');"
            "const written = (colour) => { probe.style.background = colour; return probe.style.background };"
            "return [...new Set([...points.color])].map(written)"
        )
        assert len(drawn) > 1
        assert set(drawn) <= {*legend, "rgb(153, 153, 153)"}


def test_the_readers_scheme_and_width_are_respected(browser: Browser) -> None:
    label = "return plots[0].below[0].axis_label_text_color"
    light = browser.colour("body"), browser.js(label)
    browser.resize(390, dark=True)
    browser.until("getComputedStyle(document.body).backgroundColor !== arguments[0]", light[0])
    browser.until(
        "JSON.stringify(plots[0].below[0].axis_label_text_color) !== JSON.stringify(arguments[0])", light[1]
    )
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")
    browser.resize(1280, dark=False)
    browser.until("getComputedStyle(document.body).backgroundColor === arguments[0]", light[0])
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")
