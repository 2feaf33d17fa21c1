"""Sites in a real browser against the Python runtime: arrays of every step, pictures, edits, files."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.demo import BUNDLE, FACE
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.methods import METHODS
from hyperstyle_deploy.runtime.serving.web.onnxruntime_web import CHECKSUMS
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.browser import WAIT, WEBGPU, launched, move, opened, shown_picture, upload
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle
from hyperstyle_deploy.tests.unit.cpp.conftest import ALL_FORMS as FORMS
from hyperstyle_deploy.tests.unit.runtime.web.conftest import hosted, site_of

#: Of codes, images and reconstructions, after every step.
TOLERANCE = 1e-4
DONE = "body[data-state=done]"

#: Every step of a photo's inversion, as arrays. The model may be another site's, beside the one whose page runs it.
STEPS = """async ([photo, device, beside, count]) => {
  const [{ Backend }, { refine }, { encoderInput, readPhoto }, { kept }] = await Promise.all(
    ["backend", "loop", "images", "inversion"].map((name) => import(`./page/${name}.js`)));
  const { bundles: [entry] } = await (await fetch(`${beside}site.json`)).json();
  const { bundles: [own] } = await (await fetch("site.json")).json();
  const files = entry.files.map((file) => ({ ...file, path: beside + file.path }));
  const moved = { ...entry, files, folder: beside + entry.folder, runtime: own.runtime };
  const backend = await Backend.load(moved, device, () => {}, new AbortController().signal);
  const { manifest, method } = backend;
  const { channels, input_height, input_width } = manifest.image;
  const seen = encoderInput(await readPhoto(new Blob([Uint8Array.from(photo)])), manifest.image);
  const input = backend.array(seen, [1, channels, input_height, input_width]);
  const list = (data) => Array.from(data);
  const steps = [];
  for await (const step of refine(backend, method, input, count ?? manifest.method.default_steps)) {
    const arrays = Object.entries(kept(manifest, step.state, step.index));
    steps.push({
      arrays: arrays.map(([name, { data, shape }]) => [name, list(data), shape]),
      image: list(step.image.data),
      reconstruction: list(step.reconstruction.data),
      l2: step.l2,
    });
  }
  await backend.close();
  return { seen: list(seen), steps };
}"""


@pytest.fixture(scope="module")
def session() -> Session:
    return load(BUNDLE, backend="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def site(runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bundle."""
    return site_of(BUNDLE, runtime, tmp_path_factory.mktemp("web") / "site", FACE.read_bytes()).path


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with hosted(site) as found:
        yield found


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, which loads nothing from elsewhere."""
    shown = opened(browser, address)
    shown.wait_for_selector("#sliders input")
    shown.asked = []
    shown.on("request", lambda request: shown.asked.append(request.url))
    yield shown
    assert not shown.complaints
    assert not [url for url in shown.asked if not url.startswith((address, f"blob:{address}"))]
    shown.close()


def seen(page: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown_picture(page))).convert("RGB"))


def check_steps(
    page: Any,
    session: Session,
    photo: bytes,
    device: str = "wasm",
    beside: str = "",
    most: float = TOLERANCE,
    steps: int | None = None,
) -> None:
    """Hold every step in the browser against the session's."""
    found = page.evaluate(STEPS, [list(photo), device, beside, steps])
    batch = session.prepare([Image.open(io.BytesIO(photo))])
    assert np.array_equal(np.asarray(found["seen"], np.float32), batch.ravel())
    expected = list(session.refine(batch, steps))
    assert len(found["steps"]) == len(expected)
    for ours, theirs in zip(expected, found["steps"], strict=True):
        arrays = {name: np.reshape(data, shape) for name, data, shape in theirs["arrays"]}
        assert arrays.keys() == ours.arrays(0).keys()
        for name, array in ours.arrays(0).items():
            np.testing.assert_allclose(arrays[name], array, rtol=0, atol=most, err_msg=f"{name} {ours.index}")
        for name in ("image", "reconstruction"):
            np.testing.assert_allclose(theirs[name], getattr(ours, name).ravel(), rtol=0, atol=most, err_msg=name)
        if ours.l2 is None:
            assert theirs["l2"] is None
        else:
            assert theirs["l2"] == pytest.approx(ours.l2[0], abs=most / 10)


def check_gradient(browser: Any, device: str, bundle: Path, runtime: dict[str, bytes], folder: Path) -> None:
    """Hold ten of Adam's steps against the session's."""
    with hosted(site_of(bundle, runtime, folder / "site").path) as address:
        page = opened(browser, address)
        check_steps(page, load(bundle, backend="onnxruntime"), FACE.read_bytes(), device, steps=10)
        page.close()


def test_every_step_is_pythons(page: Any, session: Session) -> None:
    """On the trained model, with WebAssembly's threads."""
    assert page.evaluate("crossOriginIsolated")
    check_steps(page, session, FACE.read_bytes())


@pytest.mark.exhaustive
def test_every_step_is_pythons_on_webgpu(address: str, session: Session) -> None:
    """Computed by SwiftShader: no GPU, but every shader."""
    with launched(*WEBGPU) as browser:
        page = opened(browser, address)
        page.set_default_timeout(10 * WAIT)
        assert page.evaluate("navigator.gpu.requestAdapter().then((adapter) => adapter !== null)")
        check_steps(page, session, FACE.read_bytes(), "webgpu")


@pytest.mark.exhaustive
def test_a_gradient_is_pythons_on_webgpu(runtime: dict[str, bytes], in_domain: Path, tmp_path: Path) -> None:
    with launched(*WEBGPU) as browser:
        check_gradient(browser, "webgpu", in_domain, runtime, tmp_path)


@pytest.mark.exhaustive
def test_16_bits_are_rounded_as_in_python(
    browser: Any, runtime: dict[str, bytes], tinies: Callable[..., Path], tmp_path: Path
) -> None:
    bundle = tinies("hyperstyle", "float16")
    with hosted(site_of(bundle, runtime, tmp_path / "site").path) as address:
        page = opened(browser, address)
        check_steps(page, load(bundle, backend="onnxruntime"), FACE.read_bytes(), most=2e-2)
        assert not page.complaints
        page.close()


@pytest.fixture(scope="module")
def forms(
    browser: Any, site: Path, toys: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The page of the demo's site, and beside that a site for every form of a method, without a runtime of its own."""
    folder = tmp_path_factory.mktemp("forms")
    (folder / "demo").symlink_to(site)
    for form, (method, options) in FORMS.items():
        site_of(toys(method, **options), dict.fromkeys(CHECKSUMS, b""), folder / form)
    with hosted(folder, headers=False) as address:
        page = opened(browser, f"{address}demo/")
        yield page
        assert not page.complaints
        page.close()


@pytest.mark.parametrize("form", FORMS)
def test_every_method_is_pythons(form: str, forms: Any, toys: Callable[..., Path]) -> None:
    method, options = FORMS[form]
    session = load(toys(method, **options), backend="onnxruntime")
    check_steps(forms, session, FACE.read_bytes(), beside=f"../{form}/")


def test_a_gradient_is_pythons(browser: Any, runtime: dict[str, bytes], in_domain: Path, tmp_path: Path) -> None:
    """IDInvert's, of a StyleGAN1, an encoder and a VGG16."""
    check_gradient(browser, "wasm", in_domain, runtime, tmp_path)


def test_the_page_has_every_method(forms: Any) -> None:
    names = forms.evaluate("import('./page/methods.js').then(({ METHODS }) => Object.keys(METHODS))")
    assert names == list(METHODS)


def photos() -> dict[str, bytes]:
    """Photos that are larger than the network's size, of it, smaller; turned by EXIF data; of a palette, grey."""
    noise = np.random.default_rng(3).integers(0, 256, (150, 211, 4), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    made = {
        "large": (Image.fromarray(noise[..., :3].copy()), {}),
        "same": (Image.fromarray(noise[:64, :64, :3].copy()), {}),
        "small": (Image.fromarray(noise[:31, :20, :3].copy()), {}),
        "turned": (Image.fromarray(noise[..., :3].copy()), {"exif": turned}),
        "palette": (Image.fromarray(noise[..., :3].copy()).quantize(64), {}),
        "grey": (Image.fromarray(noise[..., 0].copy()), {}),
    }
    files = {}
    for name, (picture, options) in made.items():
        stream = io.BytesIO()
        picture.save(stream, "PNG", **options)
        files[name] = stream.getvalue()
    return files


def test_photos_are_read_and_shrunk_as_python_does(page: Any, session: Session) -> None:
    script = """async (photos) => {
      const { encoderInput, readPhoto } = await import("./page/images.js");
      const image = { kind: "photo", channels: 3, input_width: 64, input_height: 64 };
      const read = (photo) => readPhoto(new Blob([Uint8Array.from(photo)]));
      return Promise.all(photos.map(async (photo) => Array.from(encoderInput(await read(photo), image))));
    }"""
    files = photos()
    found = page.evaluate(script, [list(content) for content in files.values()])
    for (name, content), each in zip(files.items(), found, strict=True):
        expected = session.prepare([Image.open(io.BytesIO(content))])
        assert np.array_equal(np.asarray(each, np.float32), expected.ravel()), name


def test_transparency_is_laid_over_white_and_jpeg_read_within_a_few_levels(page: Any, session: Session) -> None:
    """Canvases keep transparent pixels multiplied by their opacity; JPEG decoders round differently."""
    face, streams = Image.open(FACE).convert("RGB"), [io.BytesIO(), io.BytesIO()]
    face.putalpha(Image.linear_gradient("L").resize(face.size))
    face.save(streams[0], "PNG")
    face.convert("RGB").save(streams[1], "JPEG", quality=90)
    script = """async (photo) => {
      const { encoderInput, readPhoto } = await import("./page/images.js");
      const image = { kind: "photo", channels: 3, input_width: 64, input_height: 64 };
      return Array.from(encoderInput(await readPhoto(new Blob([Uint8Array.from(photo)])), image));
    }"""
    for stream in streams:
        found = page.evaluate(script, list(stream.getvalue()))
        expected = session.prepare([Image.open(stream)])
        np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=2 * 2 / 255 + 1e-6)


def test_the_page_says_what_it_loads_and_works(page: Any, session: Session, tmp_path: Path) -> None:
    """Photo, steps, sliders, mixing, film, files; nothing of the model or what runs it is loaded before the photo."""
    expected = session.invert(FACE)
    assert "loads 19.0 MB: 4.7 MB the model, 14.3 MB what runs it" in page.inner_text("#loads")
    assert "threads" in page.inner_text("#facts")
    assert not [url for url in page.asked if "/model/" in url or "/runtime/" in url]
    page.click("#example")
    page.wait_for_selector(DONE)
    assert page.locator("#film img").count() == session.manifest.default_steps + 2
    assert f"{expected.l2[-1]:.4f}" in page.inner_text("#status")
    assert differ(seen(page), expected.image) <= 1

    with page.expect_download() as download:
        page.click("#save-inversion")
    assert download.value.suggested_filename == "example.inversion"
    download.value.save_as(tmp_path / "example.inversion")
    kept = Inversion.load(tmp_path / "example.inversion")
    session.check(kept)
    assert kept.to_bytes() == (tmp_path / "example.inversion").read_bytes()
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(kept.arrays[name], array, rtol=0, atol=TOLERANCE)

    move(page, "smile", 2)
    move(page, "pose", -1.5)
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    with page.expect_download() as download:
        page.click("#save-image")
    download.value.save_as(tmp_path / "edited.png")
    edited = np.asarray(Image.open(tmp_path / "edited.png").convert("RGB"))
    assert differ(edited, session.edit(expected, {"smile": 2, "pose": -1.5})[0]) <= 1

    with page.expect_download() as download:
        page.click("#save-film")
    download.value.save_as(tmp_path / "film.webp")
    with Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size) == (62, (64, 64))
        frames = [(film.seek(at), np.asarray(film.convert("RGB")))[1] for at in (0, 31)]
        assert film.info["duration"] == 42
    assert np.abs(frames[0].astype(int) - expected.image).mean() < 4
    assert np.abs(frames[1].astype(int) - edited).mean() < 4

    page.click("#reset")
    page.set_input_files("#other", {"name": "you.png", "mimeType": "image/png", "buffer": photos()["same"]})
    page.wait_for_selector("input[data-name='@you']")
    page.wait_for_function("() => document.getElementById('after').textContent === 'Edited'")
    you = session.invert(Image.open(io.BytesIO(photos()["same"])))
    assert differ(seen(page), session.edit(expected, {Mix(you, (0, len(you.codes))): 0.5})[0]) <= 1


def differ(left: np.ndarray, right: np.ndarray) -> int:
    """Grey levels."""
    return int(np.abs(left.astype(int) - right).max())


def test_a_component_moves_to_its_coordinate(browser: Any, runtime: dict[str, bytes], tmp_path: Path) -> None:
    """GANSpace's kind, which reads the codes that it moves."""
    bundle = write_toy_bundle(tmp_path / "toy.bundle").path
    session = load(bundle, backend="onnxruntime")
    draw = np.random.default_rng(4)
    vector, mean = draw.standard_normal((2, 1, WIDTH)).astype(np.float32)
    parts = (vector, (1, STYLES - 1), (-20.0, 20.0), session.manifest.model, mean, np.full(1, 0.3, np.float32))
    Directions(bundle, session.manifest).add([Direction("colour", *parts)])
    script = """async (codes) => {
      const { Backend } = await import("./page/backend.js");
      const { editedCodes } = await import("./page/edits.js");
      const { bundles: [entry] } = await (await fetch("site.json")).json();
      const { directions } = await Backend.load(entry, "wasm", () => {}, new AbortController().signal);
      return Array.from(editedCodes(Float32Array.from(codes), { colour: 7.5 }, directions));
    }"""
    inversion = session.invert(Image.open(FACE))
    with hosted(site_of(bundle, runtime, tmp_path / "site").path) as address:
        page = opened(browser, address)
        found = page.evaluate(script, inversion.codes.ravel().tolist())
        page.close()
    expected = session.edited_codes(inversion, {"colour": 7.5})
    np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=1e-6)


def test_a_host_without_headers_serves_it_with_one_thread(browser: Any, site: Path, session: Session) -> None:
    with hosted(site, headers=False) as address:
        page = opened(browser, f"{address}?on=wasm")
        page.click("#example")
        page.wait_for_selector(DONE)
        assert "WebAssembly, 1 thread" in page.inner_text("#facts")
        assert differ(seen(page), session.invert(FACE).image) <= 1
        assert not page.complaints
        page.close()


def test_what_is_wrong_is_said_and_tried_again(page: Any, site: Path) -> None:
    upload(page, b"no picture", "photo.png")
    page.wait_for_function(
        "() => document.querySelector('#trouble p').textContent.includes('photo.png cannot be read')"
    )
    page.route("**/model/hypernet.safetensors", lambda route: route.fulfill(body=b"x" * 1072080))
    page.click("#example")
    page.wait_for_function(
        "() => document.querySelector('#trouble p').textContent.includes('is not the file that was')"
    )
    assert page.is_visible("#drop")
    page.unroute("**/model/hypernet.safetensors")
    page.click("#example")
    page.wait_for_selector(DONE)


def test_loading_and_inverting_can_be_cancelled(page: Any) -> None:
    page.route("**/model/hypernet.onnx", lambda route: None)  # it never comes
    page.click("#example")
    page.wait_for_function("() => document.getElementById('status').textContent.startsWith('Loading the model')")
    page.click("#cancel")
    page.wait_for_selector("body[data-state=empty]")
    page.unroute("**/model/hypernet.onnx")
    # Escape is pressed when the first step is seen: the others come faster than a test can look.
    page.evaluate("""() => new MutationObserver((_, observer) => {
      if (document.querySelectorAll("#film img").length < 3) return;
      observer.disconnect();
      window.escaped = document.body.dataset.state;
      dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    }).observe(document.getElementById("film"), { childList: true, subtree: true })""")
    page.click("#example")
    page.wait_for_function("() => window.escaped")
    assert page.evaluate("window.escaped") == "working"
    page.wait_for_selector("body[data-state=empty]")
    page.wait_for_timeout(500)
    assert page.inner_text("#trouble p") == ""
    assert page.is_visible("#drop")
    page.click("#example")
    page.wait_for_selector(DONE)
    # The picture that was to be shown in that moment was let go before the browser had read it.
    page.complaints[:] = [text for text in page.complaints if "ERR_FILE_NOT_FOUND" not in text]


def test_a_script_that_is_missing_is_said(browser: Any, address: str) -> None:
    """Scripts of the worker are fetched as the page begins, before there is a photo whose inversion could fail."""
    page = browser.new_context().new_page()
    page.set_default_timeout(WAIT)
    page.context.route("**/page/people.js", lambda route: route.fulfill(status=404))
    page.goto(address)
    page.wait_for_selector("#sliders input")
    page.wait_for_timeout(1000)
    page.click("#example")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "cannot be loaded" in page.inner_text("#trouble p")
    page.context.unroute("**/page/people.js")
    page.click("#example")
    page.wait_for_selector(DONE)
    page.context.close()
