"""The page of a service in a real browser. Skipped where there is none."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.alignment import align
from hyperstyle_deploy.runtime.alignment.ffhq import cut, square_at
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.serving.http.films import kinds
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.browser import WAIT, launched, move, shown_picture, upload
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Finder, Gated, at, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct

pytestmark = pytest.mark.exhaustive

DONE = "body[data-state=done]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


def seen(page: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown_picture(page))).convert("RGB"))


def test_a_photo_is_inverted_step_by_step_and_saved(page: Any, session: Session, tmp_path: Path) -> None:
    upload(page, picture(7))
    page.wait_for_selector(DONE)
    expected = direct(session, picture(7))
    assert page.locator("#film img").count() == session.manifest.default_steps + 2
    assert f"{expected.l2[-1]:.4f}" in page.inner_text("#status")
    assert np.array_equal(seen(page), expected.image)
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
    move(page, "smile", 3)
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
    assert Path(download.value.suggested_filename).suffix == f".{kinds()[0]}"
    film = Path(download.value.path()).read_bytes()
    if kinds()[0] == "mp4":
        assert film[4:8] == b"ftyp"
    else:
        assert Image.open(io.BytesIO(film)).n_frames == 62  # 32 there, and back
    page.click("#reset")
    assert page.is_disabled("#save-film")
    page.wait_for_function("() => document.getElementById('after').textContent === 'Inversion'")
    assert np.array_equal(seen(page), direct(session, picture(1)).image)


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
        page = at(browser, found)
        with page.expect_response(lambda answer: "face=1" in answer.url):
            upload(page, photo)
        page.click("#go")
        page.wait_for_selector(DONE)
        size = session.manifest.generator.size
        face = align(Image.open(io.BytesIO(photo)), Finder.landmarks, size)
        assert np.array_equal(seen(page), session.invert(face.picture).image)

        # It is seen where it was found, and may be moved; the service cuts it there.
        page.click("#adjust")
        page.wait_for_selector("body[data-state=crop]")
        tilt = np.degrees(np.arctan2(*np.subtract(face.crop.quad[3], face.crop.quad[0])[::-1]))
        assert float(page.input_value("#turn")) == pytest.approx(tilt, abs=1e-3)
        for key in ("ArrowLeft", "]", "]"):
            page.press("#cropper", key)
        with page.expect_response(lambda answer: "quad=" in answer.url) as asked:
            page.click("#go")
        page.wait_for_selector(DONE)
        moved = asked.value.json()["alignment"]["quad"]
        turned = np.degrees(np.arctan2(*np.subtract(moved[3], moved[0])[::-1]))
        assert turned == pytest.approx(tilt + 2, abs=1e-3)
        assert np.mean(moved, 0)[0] < np.mean(face.crop.quad, 0)[0]
        picture_of_it = Image.open(io.BytesIO(photo))
        again = cut(picture_of_it, square_at(moved, picture_of_it.size, size), size)
        assert np.array_equal(seen(page), session.invert(again.picture).image)
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
    assert np.array_equal(seen(page), session.edit(me, {mix: 0.5})[0])
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
        page = at(browser, found, "/#example")
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
