"""The page as somebody meets it who knows nothing of it: odd files, narrow screens, keys, a service that goes away."""

import base64
import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.browser import WAIT, launched, move, opened, upload
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Running, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_page import DONE, seen

pytestmark = pytest.mark.exhaustive

#: Drops two files at once, one after the other; the first one takes longer to read.
DROP_BOTH = """(photos) => {
  for (const [at, photo] of photos.entries()) {
    const bytes = Uint8Array.from(atob(photo), (c) => c.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], `photo-${at}.png`, { type: "image/png" }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


def file_of(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.id"))


def trouble(page: Any) -> str:
    return str(page.inner_text("#trouble p"))


def pressed(page: Any) -> str:
    return str(page.inner_text("#film [aria-pressed=true]"))


def test_a_kind_that_the_service_does_not_take_is_handed_on_as_png(page: Any, session: Session) -> None:
    flat = Image.open(io.BytesIO(picture(3))).quantize(32)
    upload(page, file_of(flat, "GIF"), "me.gif", "image/gif")
    page.wait_for_selector(DONE)
    assert np.array_equal(seen(page), session.invert(flat.convert("RGB")).image)


def test_a_photo_of_too_many_pixels_is_shrunk(page: Any) -> None:
    """It has the model's shape, so nothing would be cut from it."""
    upload(page, file_of(Image.new("RGB", (6400, 6400), "teal"), "PNG"))
    page.wait_for_selector(f"{DONE}, #trouble:not([hidden])")
    assert page.is_hidden("#trouble")
    assert page.eval_on_selector("#photo", "(photo) => photo.decode().then(() => photo.naturalWidth)") == 2048


def test_the_last_photo_is_shown_whichever_is_read_first(page: Any) -> None:
    slow = file_of(Image.new("RGB", (7500, 5000), "teal"), "PNG")
    page.evaluate(DROP_BOTH, [base64.b64encode(photo).decode() for photo in (slow, picture(3))])
    page.wait_for_selector(DONE)
    page.wait_for_timeout(2000)
    assert page.get_attribute("body", "data-state") == "done"
    with page.expect_download() as download:
        page.click("#save-inversion")
    assert download.value.suggested_filename == "photo-1.inversion"


def test_what_is_not_seen_is_not_reached_with_keys(page: Any) -> None:
    page.click("#example")
    page.wait_for_selector(DONE)
    for part in ("#drop", "#choose", "#cropper", "#cancel"):
        assert page.is_hidden(part), part
    page.focus("#another")
    page.keyboard.press("Tab")
    assert focused(page) == "cut"


def test_keys_go_on_at_the_stage(page: Any) -> None:
    """Where the button that was pressed is gone."""
    upload(page, picture(2, (80, 160)))
    page.wait_for_selector("body[data-state=crop]")
    assert focused(page) == "cropper"
    page.focus("#go")
    page.keyboard.press("Enter")
    page.wait_for_selector(DONE)
    assert focused(page) == "cut"
    page.focus("#another")
    page.keyboard.press("Enter")
    assert focused(page) == "drop"
    page.keyboard.press("Tab")
    assert focused(page) == "choose"


def test_keys_of_the_browser_stay_its_own(page: Any) -> None:
    upload(page, picture(2, (80, 160)))
    page.wait_for_selector("body[data-state=crop]")
    script = """(cropper) => [["+", "ctrlKey"], ["-", "metaKey"], ["ArrowLeft", "altKey"]].map(([key, held]) =>
      cropper.dispatchEvent(new KeyboardEvent("keydown", { key, [held]: true, bubbles: true, cancelable: true })))"""
    assert page.eval_on_selector("#cropper", script) == [True, True, True]
    assert float(page.input_value("#zoom")) == 1


def test_the_film_says_what_is_in_the_stage(page: Any, session: Session) -> None:
    """An edit is one of the last step, and a slider's number is not said twice to those who hear the page."""
    page.click("#example")
    page.wait_for_selector(DONE)
    status = page.inner_text("#status")
    page.click("#film li:nth-child(2) button")
    assert pressed(page) == "Start"
    move(page, "smile", 2)
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    assert pressed(page) == f"Step {session.manifest.default_steps}"
    assert page.locator("#sliders").get_by_role("status").count() == 0
    page.set_input_files("#other", {"name": "you.png", "mimeType": "image/png", "buffer": picture(5)})
    page.wait_for_selector("input[data-name='@you']")
    page.wait_for_function("() => !document.getElementById('mix').disabled")
    assert page.inner_text("#status") == status


def test_trouble_that_is_over_is_said_no_more(page: Any) -> None:
    page.click("#example")
    page.wait_for_selector(DONE)
    page.route("**/v1/edit", lambda route: route.abort())
    move(page, "smile", 2)
    page.wait_for_selector("#trouble:not([hidden])")
    assert "does not answer" in trouble(page)
    page.unroute("**/v1/edit")
    move(page, "smile", 1)
    page.wait_for_selector("#trouble", state="hidden")
    page.complaints.clear()  # the browser's own, of the request


def test_a_page_without_an_answer_says_so(browser: Any, found: Running) -> None:
    page = browser.new_page()
    page.set_default_timeout(WAIT)
    page.route("**/v1/bundles", lambda route: route.abort())
    page.goto(str(found.client.base_url))
    page.wait_for_selector("#trouble:not([hidden])")
    upload(page, picture(3))
    page.wait_for_function("() => document.querySelector('#trouble p').textContent.includes('any model')")
    page.close()


def test_another_token_is_asked_for(browser: Any, session: Session) -> None:
    """What is no token at all is not taken; a wrong one is said to be wrong."""
    settings = Settings(token="an-open-secret-of-a-test")
    with running(Service({"toy": lambda: session}, settings)) as found:
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(str(found.client.base_url))
        page.fill("#token", "пароль")
        page.click("#ask button")
        assert page.is_visible("#ask")
        page.fill("#token", "a-guess-that-is-wrong")
        page.click("#ask button")
        page.wait_for_function("() => document.querySelector('#ask p').textContent.includes('another token')")
        assert page.input_value("#token") == ""
        page.fill("#token", settings.token)
        page.click("#ask button")
        page.wait_for_selector("#sliders input")
        page.close()


def test_a_narrow_screen_has_it_all(browser: Any, found: Running) -> None:
    """320 pixels: what WCAG asks for, a small phone or a window at four times its size."""
    page = opened(browser, str(found.client.base_url))
    page.set_viewport_size({"width": 320, "height": 640})
    page.wait_for_selector("#sliders input")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    parts = ("#drop svg", "#drop strong", "#choose", "#camera", "#example")
    boxes = [page.locator(part).bounding_box() for part in parts]
    for above, below in pairwise(boxes):
        assert above["y"] + above["height"] <= below["y"], "they lie on each other"
    page.click("#example")
    page.wait_for_selector(DONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.close()
