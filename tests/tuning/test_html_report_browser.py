"""The report in a real browser: its figures are drawn, and what can be clicked does what it says."""

import dataclasses
import shutil
import time

import pytest
from test_html_report import ACCURACY, RESULT, TWO, trial

from keras_blocks.tuning.report.html_report import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs Chromium and its driver, which are absent: apt-get install chromium chromium-driver",
)

HACK = (
    "</script><img src=x onerror='window.hacked=1'><script>window.hacked=1</script><b onclick='window.hacked=1'>b</b>"
)


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",  # root has none
        "--disable-dev-shm-usage",
        "--enable-unsafe-swiftshader",  # WebGL without a graphics card, for the parallel coordinates
        "--force-prefers-reduced-motion",  # no smooth scrolling
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(20)
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def trials():
    done = [trial(number, 0.5 + 0.03 * ((7 * number) % 11), latency=0.001 * (1 + number)) for number in range(11)]
    done = [one if number % 4 else trial(number, 0.4, macs=90_000 + number) for number, one in enumerate(done)]
    rest = [trial(11, error="OutOfMemory"), trial(12, status="pruned", curves={"val_accuracy": [0.2]}, epochs=1)]
    return [
        *(dataclasses.replace(one, objectives=(one.val_accuracy, one.macs)) for one in done),
        *rest,
        trial(13, status="running"),
    ]


def opened(browser, path):
    browser.get(path.as_uri())
    wait(browser, "return document.documentElement.dataset.drawn === 'true'")


def wait(browser, script, seconds=20):
    until = time.monotonic() + seconds
    while not browser.execute_script(script):
        assert time.monotonic() < until, f"waited in vain for: {script}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def page(browser, trials, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    opened(browser, write_report(trials, TWO, path, title="A search", notes={"seed": 0}, result=RESULT))
    return browser


def find(page, selector):
    from selenium.webdriver.common.by import By

    return page.find_element(By.CSS_SELECTOR, selector)


def click(page, selector):
    element = find(page, selector)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def rows(page):
    """Numbers of the trials whose rows are shown, in their order."""
    return page.execute_script(
        "return [...document.querySelectorAll('#trials-table tbody tr')].filter(row => row.offsetParent)"
        ".map(row => Number(row.id.slice(6)))"
    )


def test_a_walk_through_the_page(page, trials):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    # Everything is drawn, nothing is loaded and nothing complains.
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
    sizes = page.execute_script(
        "return [...document.querySelectorAll('.plot')].filter(div => !div.closest('[hidden]'))"
        ".map(div => [div.id, div.querySelector('.main-svg').getBoundingClientRect().width])"
    )
    assert {name for name, _ in sizes} == {
        "history-0",
        "trade-off-macs",
        "trade-off-params",
        "trade-off-latency",
        "training-loss",
        "training-accuracy",
        "parallel",
        "curves-0",
    }
    assert all(width > 250 for _, width in sizes)
    assert "WebGL is not supported" not in find(page, "#parallel").text
    assert (
        "cloud"
        not in page.execute_script(
            "return [...document.querySelectorAll('.modebar-btn')].map(one => one.dataset.title).join()"
        ).lower()
    )

    # A click on a legend's entry hides its trace.
    shown = "return document.getElementById('history-0').data.map(trace => [trace.name, trace.visible ?? true])"
    assert dict(page.execute_script(shown))["completed"] is True
    click(page, "#history-0 .legend .traces:nth-child(2) .legendtoggle")
    wait(page, f"{shown.replace('return ', 'return (')}).some(([name, state]) => state === 'legendonly')")
    assert dict(page.execute_script(shown))["completed"] == "legendonly"
    click(page, "#history-0 .legend .traces:nth-child(2) .legendtoggle")
    wait(page, f"{shown.replace('return ', 'return (')}).every(([name, state]) => state === true)")

    # A click on a trial shows its row.
    point = find(page, "#history-0 .scatterlayer .trace:nth-child(2) .points path:nth-child(4)")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(page).move_to_element(point).pause(0.2).click().perform()
    wait(page, "return document.querySelector('tr.pointed') !== null")
    assert find(page, "tr.pointed").get_attribute("id") == "trial-3"

    # Tabs, by mouse and by keys; a hidden figure is drawn when its tab is chosen.
    click(page, "#curves-tab-1")
    wait(page, "return document.querySelector('#curves-1 .main-svg') !== null")
    assert not find(page, "#curves-panel-0").is_displayed()
    assert find(page, "#curves-panel-1").is_displayed()
    find(page, "#curves-tab-1").send_keys(Keys.ARROW_LEFT)
    assert find(page, "#curves-panel-0").is_displayed()
    assert find(page, "#curves-tab-0").get_attribute("aria-selected") == "true"
    assert page.switch_to.active_element.get_attribute("id") == "curves-tab-0"

    # Sorting: those without a value come last, whichever way.
    assert rows(page) == list(range(14))
    place = page.execute_script(
        "return [...document.querySelectorAll('#trials-table thead th')]"
        ".findIndex(head => head.textContent === 'validation accuracy')"
    )
    button = f"#trials-table thead th:nth-child({place + 1}) button"
    accuracy = {one.number: one.val_accuracy for one in trials if one.completed}
    for way, sign in (("ascending", 1), ("descending", -1)):
        click(page, button)
        assert find(page, f"#trials-table thead th:nth-child({place + 1})").get_attribute("aria-sort") == way
        found = rows(page)
        assert [accuracy[number] for number in found[:11]] == sorted(accuracy.values(), key=lambda value: sign * value)
        assert set(found[11:]) == {11, 12, 13}

    # Filters.
    click(page, ".chips input[value=completed]")
    assert set(rows(page)) == {11, 12, 13}
    assert find(page, "#trials-count").text == "3 of 14 shown"
    find(page, "#trials-search").send_keys("outofmemory")
    assert rows(page) == [11]
    assert find(page, "#trials-count").text == "1 of 14 shown"


def test_dark_narrow_and_printed(page):
    background = "return getComputedStyle(document.querySelector('#history-0 .main-svg')).backgroundColor"
    light = page.execute_script(background)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    wait(page, f"{background} !== '{light}'")
    text = page.execute_script("return document.querySelector('#history-0').layout.font.color")
    assert text == page.execute_script("return getComputedStyle(document.documentElement).getPropertyValue('--text')")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 480, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    # plotly fits one figure after the other to the page
    wait(page, "return document.querySelector('#history-0 .main-svg').getBoundingClientRect().width < 480")
    wait(page, "return document.documentElement.scrollWidth <= 480")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert page.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBERi")  # %PDF-


def test_hostile_names_run_nothing(browser, tmp_path):
    bad = {"metaparameters": {HACK: HACK}, "hyperparameters": {HACK: HACK}, "architecture": HACK}
    trials = [
        trial(0, 0.5, values={HACK: HACK}, curves={HACK: [1.0, 2.0]}, **bad),
        trial(1, 0.6, values={HACK: "other"}, **bad),
        trial(2, error=HACK),
    ]
    opened(browser, write_report(trials, ACCURACY, tmp_path / "bad.html", title=HACK, notes={HACK: HACK}))
    assert HACK in find(browser, "h1").text
    assert browser.execute_script("return window.hacked === undefined && document.images.length === 0")
