"""Further generators on the page of a service, in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.tests.browser import launched, move, upload
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import at, loader, picture, running, with_direction
from hyperstyle_deploy.tests.unit.runtime.serving.test_generators import PIXAR, TOONIFY
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct
from hyperstyle_deploy.tests.unit.runtime.serving.test_page import DONE, seen

pytestmark = pytest.mark.exhaustive

EDITED = "() => document.body.dataset.state === 'done' && document.getElementById('after').textContent === 'Edited'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "toy.bundle"
    return with_direction(write_toy_bundle(path, generators=(TOONIFY, PIXAR)))


@pytest.fixture
def page(browser: Any, bundle: Path, toys: Callable[..., Path]) -> Iterator[Any]:
    """Of two bundles, of which one has further generators."""
    loaders = {"toy": loader(bundle), "plain": loader(toys())}
    with running(Service(loaders, Settings(), generators=("toonify", "pixar"))) as found:
        shown = at(browser, found)
        yield shown
        assert not shown.complaints
        shown.close()


def test_the_chosen_one_draws_whoever_is_shown_with_the_same_edit(page: Any, bundle: Path) -> None:
    sessions = {name: loader(bundle)(generator=name or None) for name in ("", "toonify", "pixar")}
    people = {name: direct(session, picture(7)) for name, session in sessions.items()}
    offered = page.eval_on_selector_all("#generator option", "(all) => all.map((option) => option.value)")
    assert (offered, page.is_visible("#generator")) == (["", "toonify", "pixar"], True)
    upload(page, picture(7))
    page.wait_for_selector(DONE)
    assert np.array_equal(seen(page), people[""].image)
    move(page, "smile", 3)
    page.wait_for_function(EDITED)
    drawn = []
    for name in ("toonify", "pixar", ""):
        with page.expect_response(lambda answer: "/v1/edit" in answer.url):
            page.select_option("#generator", name)
        page.wait_for_function(EDITED)
        drawn.append(seen(page))
        assert np.array_equal(drawn[-1], sessions[name].edit(people[name], {"smile": 3})[0])
    assert len({each.tobytes() for each in drawn}) == 3


def test_it_is_chosen_before_the_photo_and_saved_with_it(page: Any, bundle: Path, tmp_path: Path) -> None:
    session = loader(bundle)(generator="toonify")
    page.select_option("#generator", "toonify")
    upload(page, picture(8))
    page.wait_for_selector(DONE)
    expected = direct(session, picture(8))
    assert np.array_equal(seen(page), expected.image)
    with page.expect_download() as download:
        page.click("#save-inversion")
    download.value.save_as(tmp_path / "me.inversion")
    assert (tmp_path / "me.inversion").read_bytes() == expected.to_bytes()
    # Another person is inverted for it, too: one of the bundle's own generator could not be mixed in.
    page.set_input_files("#other", {"name": "you.png", "mimeType": "image/png", "buffer": picture(9)})
    page.wait_for_selector("input[data-name='@you']")
    page.wait_for_function(EDITED)
    assert page.is_hidden("#trouble")
    # A change in the middle of an inversion begins again, with who was to be mixed in left out.
    with page.expect_response(lambda answer: "generator=pixar" in answer.url):
        page.select_option("#generator", "pixar")
        page.select_option("#generator", "toonify")
        page.select_option("#generator", "pixar")
    page.wait_for_selector(DONE)
    assert page.locator("input[data-name='@you']").count() == 0
    assert np.array_equal(seen(page), direct(loader(bundle)(generator="pixar"), picture(8)).image)


def test_a_bundle_without_further_generators_offers_none(page: Any) -> None:
    page.select_option("#generator", "toonify")
    page.select_option("#bundle", "plain")
    assert page.is_hidden("#generator")
    with page.expect_response(lambda answer: "/v1/invert" in answer.url) as asked:
        upload(page, picture(7))
    assert "generator" not in asked.value.url
    page.wait_for_selector(DONE)
