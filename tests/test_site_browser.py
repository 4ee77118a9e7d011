"""The site's own style in a real browser: a drawing is read on a phone, and makes no page wider."""

import shutil
from pathlib import Path

import pytest

import keras_blocks

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="needs Chromium and its driver, which are absent: apt-get install chromium chromium-driver",
    ),
]

STYLE = Path(__file__).parents[1] / "docs" / "site.css"
PAGE = """<!doctype html><meta name=viewport content="width=device-width"><style>
.md-typeset img {{ max-width: 100%; height: auto; }} .md-typeset__table {{ overflow-x: auto; }} {style}</style>
<body class="md-typeset"><p><img src="wide.svg"></p><p><a href="wide.svg"><img src="wide.svg"></a></p>
<div class="md-typeset__table"><table><tr><td><img src="wide.svg"></td><td>2</td></tr></table></div>
<div class="gallery"><div><p><a href="wide.svg"><img src="wide.svg"></a></p></div></div>"""
"""As the theme has it: images that shrink, and tables in boxes that move."""

SIZES = """return [document.documentElement.scrollWidth,
    [...document.images].map(one => [one.naturalWidth, Math.round(one.getBoundingClientRect().width)])]"""


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):  # root has no sandbox
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    browser.set_page_load_timeout(60)
    yield browser
    browser.quit()


@pytest.mark.parametrize(("width", "whole"), [(390, 4), (1400, 3)])
def test_a_wide_drawing_is_as_large_as_its_text_needs(browser, tmp_path, width, whole):
    """On a wide page the gallery's are small: each leads to the drawing itself."""
    filters = (320, 384, 384, 448, 384, 192)
    keras_blocks.draw(keras_blocks.InceptionC(filters), (8, 8, 1280)).save(tmp_path / "wide.svg")
    (tmp_path / "page.html").write_text(PAGE.format(style=STYLE.read_text()))
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get((tmp_path / "page.html").as_uri())
    page, images = browser.execute_script(SIZES)
    assert page <= width and len(images) == 4
    assert images[0][0] > 800 and [drawn for natural, drawn in images[:whole]] == [images[0][0]] * whole
