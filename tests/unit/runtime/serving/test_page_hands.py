"""The page by every hand: camera, clipboard, dropping, fingers, keys alone; in the light and in the dark."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.browser import WAIT, launched
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Running, picture
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct
from hyperstyle_deploy.tests.unit.runtime.serving.test_page import DONE, seen

pytestmark = pytest.mark.exhaustive

#: Gives the page a file as the clipboard or a dragging hand does.
GIVE = """([kind, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "mine.png", { type: "image/png" }));
  const event = kind === "paste"
    ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """With a camera that Chromium makes up, and which pages may use."""
    with launched("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as found:
        yield found


def test_a_photo_from_the_camera(page: Any) -> None:
    page.click("#camera")
    page.wait_for_function("() => document.querySelector('#viewfinder video').videoWidth > 0")
    page.click("#viewfinder button[value='']")
    assert page.get_attribute("body", "data-state") == "empty"
    page.click("#camera")
    page.wait_for_function("() => document.querySelector('#viewfinder video').videoWidth > 0")
    page.click("#viewfinder button[value=take]")
    page.wait_for_selector("body[data-state=crop]")  # it is wider than high
    assert page.evaluate("document.querySelector('#viewfinder video').srcObject") is None
    page.click("#go")
    page.wait_for_selector(DONE)
    with page.expect_download() as download:
        page.click("#save-inversion")
    assert download.value.suggested_filename == "camera.inversion"


def test_a_camera_that_may_not_be_used_is_said(page: Any) -> None:
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('not allowed')); }")
    page.click("#camera")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "The camera cannot be used: not allowed" in page.inner_text("#trouble")


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_is_given(page: Any, session: Session, kind: str) -> None:
    if kind == "drop":
        page.evaluate(GIVE, ["dragover", base64.b64encode(picture(3)).decode()])
        assert "over" in page.get_attribute("body", "class")
    page.evaluate(GIVE, [kind, base64.b64encode(picture(3)).decode()])
    page.wait_for_selector(DONE)
    assert np.array_equal(seen(page), direct(session, picture(3)).image)
    assert "over" not in (page.get_attribute("body", "class") or "")


def test_keys_alone_are_enough(page: Any, session: Session) -> None:
    """From the example to an edit, a comparison, the next photo: with Tab, Enter and arrows."""
    page.focus("#choose")
    for name in ("camera", "example"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == name
    page.keyboard.press("Enter")
    page.wait_for_selector(DONE)
    page.focus("#cut")
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.getElementById('compare')).getPropertyValue('--cut')") == "0%"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.name") == "smile":
            break
    page.keyboard.press("End")
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    expected = session.edit(direct(session, picture(1)), {"smile": 3})[0]
    assert np.array_equal(seen(page), expected)
    page.focus("#another")
    page.keyboard.press("Space")
    page.wait_for_selector("body[data-state=empty]")


def test_fingers(browser: Any, found: Running) -> None:
    """On a phone: two fingers zoom and turn, one moves; a slider is touched; nothing is wider than the screen."""
    context = browser.new_context(
        viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(str(found.client.base_url))
    page.wait_for_selector("#sliders input")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = {"name": "wide.png", "mimeType": "image/png", "buffer": picture(2, (80, 160))}
    page.set_input_files("#file", wide)
    page.wait_for_selector("body[data-state=crop]")
    box = page.locator("#cropper").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touches = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        numbered = [{"x": x + px, "y": y + py, "id": number} for number, (px, py) in enumerate(points)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": numbered})

    touch("touchStart", (-40, 0), (40, 0))
    for share in (0.25, 0.5, 0.75, 1):
        touch("touchMove", (-40 - 40 * share, -20 * share), (40 + 40 * share, 20 * share))
    touch("touchEnd")
    assert float(page.input_value("#zoom")) == pytest.approx(np.hypot(80, 20) / 40, rel=0.1)
    assert float(page.input_value("#turn")) == pytest.approx(-np.degrees(np.arctan2(20, 80)), abs=2)
    page.tap("#go")
    page.wait_for_selector(DONE)
    one_line = "() => new Set([...document.querySelectorAll('header button')].map((each) => each.offsetTop)).size"
    assert page.evaluate(one_line) == 1, "the head takes two lines"
    shown = page.locator("#film [aria-pressed=true]").bounding_box()
    assert 0 <= shown["x"] <= 390 - shown["width"], "the step that is shown is out of sight"
    slider = page.locator("input[data-name=smile]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("button:visible").all():
        if not button.get_attribute("aria-pressed"):
            assert button.bounding_box()["height"] >= 40, "too small for a finger"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(browser: Any, found: Running, scheme: str) -> None:
    """Words stand out from what is behind them by WCAG's 4.5 to 1, in both."""
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(str(found.client.base_url))
    page.wait_for_selector("#sliders input")
    page.click("#example")
    page.wait_for_selector(DONE)
    script = """() => ["back", "card", "ink", "soft", "accent", "on-accent", "bad"].map((name) => [
      name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()])"""
    colours = {name: luminance(text) for name, text in page.evaluate(script)}
    assert (colours["back"] < 0.1) == (scheme == "dark")
    for words, behind in (("ink", "card"), ("ink", "back"), ("soft", "card"), ("soft", "back"), ("accent", "card")):
        assert contrast(colours[words], colours[behind]) >= 4.5, (words, behind)
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    assert contrast(colours["bad"], colours["card"]) >= 4.5
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"), np.float64)
    assert (np.median(shot) < 64) == (scheme == "dark")
    context.close()


def luminance(colour: str) -> float:
    """WCAG's relative luminance of #rrggbb."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(left: float, right: float) -> float:
    """WCAG's contrast ratio."""
    low, high = sorted((left, right))
    return (high + 0.05) / (low + 0.05)
