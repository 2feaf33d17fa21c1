"""The page in a real browser: Chromium without a window, driven by Playwright. Skipped where either is missing."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.alignment import align
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Finder, Gated, Running, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct

pytestmark = pytest.mark.exhaustive
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WAIT = 60_000
DONE = "body[data-state=done]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def found(session: Session) -> Iterator[Running]:
    with running(Service({"toy": lambda: session}, Settings(), example=picture(1))) as service:
        yield service


def opened(browser: Any, found: Running, path: str = "/") -> Any:
    """The page, which may say nothing wrong to its console."""
    page = browser.new_page()
    page.set_default_timeout(WAIT)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.goto(f"{found.client.base_url}{path}")
    page.wait_for_selector("#sliders input")
    return page


@pytest.fixture
def page(browser: Any, found: Running) -> Iterator[Any]:
    shown = opened(browser, found)
    yield shown
    assert not shown.complaints
    shown.close()


def upload(page: Any, content: bytes, name: str = "me.png", kind: str = "image/png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def move(page: Any, value: float) -> None:
    """Move the slider as a hand does."""
    script = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }"
    page.eval_on_selector("input[data-name=smile]", script, value)


def shown_picture(page: Any) -> np.ndarray:
    """What the stage shows of the result, at its own size."""
    script = """async (image) => {
      await image.decode();
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      canvas.getContext('2d').drawImage(image, 0, 0);
      const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
      return Array.from(bytes);
    }"""
    return np.asarray(Image.open(io.BytesIO(bytes(page.eval_on_selector("#result", script)))).convert("RGB"))


def test_a_photo_is_inverted_step_by_step_and_saved(page: Any, session: Session, tmp_path: Path) -> None:
    upload(page, picture(7))
    page.wait_for_selector(DONE)
    expected = direct(session, picture(7))
    assert page.locator("#film img").count() == session.manifest.default_steps + 2
    assert f"{expected.l2[-1]:.4f}" in page.inner_text("#status")
    assert np.array_equal(shown_picture(page), expected.image)
    with page.expect_download() as download:
        page.click("#save-inversion")
    assert download.value.suggested_filename == "me.inversion"
    download.value.save_as(tmp_path / "me.inversion")
    assert Inversion.load(tmp_path / "me.inversion").to_bytes() == expected.to_bytes()
    page.click("#film li:nth-child(2) button")
    assert page.inner_text("#after") == "Start"


def test_sliders_answer_and_the_newest_wins(page: Any, session: Session, tmp_path: Path) -> None:
    page.click("#example")
    page.wait_for_selector(DONE)
    requests: list[str] = []
    page.on("request", lambda request: "/v1/edit" in request.url and requests.append(request.post_data))
    script = """(input) => { for (let value = -3; value <= 3; value += 0.03) {
      input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); } }"""
    page.eval_on_selector("input[data-name=smile]", script)
    move(page, 3)
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    page.wait_for_timeout(1000)
    assert '"smile":3' in requests[-1]
    assert len(requests) < 20, "every value in between was drawn"
    expected = session.edit(direct(session, picture(1)), {"smile": 3})[0]
    with page.expect_download() as download:
        page.click("#save-image")
    assert download.value.suggested_filename == "example.smile=3.0.png"
    download.value.save_as(tmp_path / "edited.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "edited.png")), expected)
    with page.expect_download() as download:
        page.click("#save-film")
    assert Path(download.value.suggested_filename).suffix in (".mp4", ".webp")
    page.click("#reset")
    assert page.is_disabled("#save-film")
    page.wait_for_function("() => document.getElementById('after').textContent === 'Inversion'")
    assert np.array_equal(shown_picture(page), direct(session, picture(1)).image)


def test_photos_of_other_shapes_are_cropped_with_keys(page: Any) -> None:
    upload(page, picture(2, (80, 160), "JPEG"), "wide.jpg", "image/jpeg")
    page.wait_for_selector("body[data-state=crop]")
    for key in ("ArrowRight", "+", "+", "ArrowUp"):
        page.press("#cropper", key)
    assert float(page.input_value("#zoom")) == pytest.approx(1.05**2, abs=0.02)
    page.click("#go")
    page.wait_for_selector(DONE)
    page.press("#cut", "ArrowLeft")
    assert page.evaluate("getComputedStyle(document.getElementById('compare')).getPropertyValue('--cut')") != "50%"


def test_the_face_is_found(browser: Any, session: Session, tmp_path: Path) -> None:
    photo = picture(6, (90, 130))
    with running(Service({"toy": lambda: session}, Settings(), Finder())) as found:
        page = opened(browser, found)
        upload(page, photo)
        page.click("#find")
        page.wait_for_selector(DONE)
        face = align(Image.open(io.BytesIO(photo)), Finder.landmarks, session.manifest.generator.size)
        assert np.array_equal(shown_picture(page), session.invert(face.picture).image)
        assert not page.complaints
        page.close()


def test_two_people_are_mixed(page: Any, session: Session) -> None:
    page.click("#example")
    page.wait_for_selector(DONE)
    wide = picture(5, (40, 60))
    page.set_input_files("#other", {"name": "you.png", "mimeType": "image/png", "buffer": wide})
    page.wait_for_selector("input[data-name='@you']")
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    middle = Image.open(io.BytesIO(wide)).crop((10, 0, 50, 40))
    me, you = direct(session, picture(1)), session.invert(middle)
    mix = Mix(you, (0, len(you.codes)))
    assert np.array_equal(shown_picture(page), session.edit(me, {mix: 0.5})[0])
    page.click("#another")
    assert page.locator("input[data-name='@you']").count() == 0


def test_what_is_wrong_is_said(page: Any) -> None:
    upload(page, b"no picture", "letter.txt", "text/plain")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "letter.txt is no picture" in page.inner_text("#trouble")
    upload(page, b"no picture either", "photo.png")
    page.wait_for_function(
        "() => document.querySelector('#trouble p').textContent.includes('photo.png cannot be read')"
    )
    page.click("#trouble button")
    assert page.is_hidden("#trouble")


def test_an_inversion_can_be_cancelled(browser: Any, gated: Gated) -> None:
    with running(Service({"toy": lambda: gated}, Settings(), example=picture(1))) as found:
        page = opened(browser, found, "/#example")
        found.wait_until(lambda: gated.begun == [1])
        gated.gate.release()
        page.wait_for_function("() => document.querySelectorAll('#film img').length === 2")
        page.click("#cancel")
        page.wait_for_selector("body[data-state=empty]")
        page.wait_for_timeout(500)
        gated.gate.release()
        found.wait_until(lambda: found.service.bundles["toy"].worker.running == 0)
        assert gated.steps == 2
        assert page.is_hidden("#trouble")
        assert not page.complaints
        page.close()


def test_the_token_is_asked_for_once(browser: Any, session: Session) -> None:
    settings = Settings(token="an-open-secret-of-a-test")
    with running(Service({"toy": lambda: session}, settings)) as found:
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(str(found.client.base_url))
        page.fill("#token", settings.token)
        page.click("#ask button")
        page.wait_for_selector("#sliders input")
        page.reload()
        page.wait_for_selector("#sliders input")
        page.close()
