"""PTI on graphs whose descent is written down here: where it starts, what it moves, when it stops, what it keeps."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import ArrayError, BundleError, InversionError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.pivot import read_pivot
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.methods.tuning import tuned_tensors
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import SIZE, STYLES, WIDTH, small_manifest

Toys = Callable[..., Path]
PHOTO = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def opened(toys: Toys, base: str, backend: str = "onnxruntime", settings: Settings | None = None) -> Session:
    return load(toys(base, gradients=("pti",)), backend=backend, method="pti", settings=settings)


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("base", ["e4e", "restyle-psp", "hyperstyle"])
def test_tuning_starts_where_the_bundles_own_method_ends(toys: Toys, base: str, backend: str) -> None:
    session = opened(toys, base, backend)
    own = load(toys(base, gradients=("pti",)), backend=backend)
    *_, last = own.refine(own.prepare([PHOTO]))
    steps = list(session.refine(session.prepare([PHOTO]), 3))
    for step in steps:
        np.testing.assert_allclose(step.codes, last.codes, atol=1e-5)
    start = steps[0].arrays(0)["differences"]
    if base == "hyperstyle":
        np.testing.assert_allclose(start, last.offset_codes.mean() * 5, rtol=1e-4)
    else:
        assert np.abs(start).max() == 0


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("locality", [False, True])
def test_adam_moves_every_number_and_no_code(toys: Toys, backend: str, locality: bool) -> None:
    """By plain NumPy: a bowl around the mean of photo and codes; every number is alike, so that one stands for all."""
    bundle = toys("e4e", gradients=("pti", "pti-locality"))
    session = load(bundle, backend=backend, method="pti", settings=Settings(rate=0.01, locality=locality))
    photo, constants = session.prepare([PHOTO]), session._backend.constants
    steps = list(session.refine(photo, 60))
    centre = photo.mean() + steps[0].codes.mean()
    weight, held = (float(constants[f"loss_weight.pti.{term}"][0]) for term in ("mse", "locality"))
    value = first = second = 0.0
    for update, step in enumerate(steps, 1):
        found, losses = step.arrays(0)["differences"], step.losses(0)
        np.testing.assert_allclose(found, value, atol=1e-5)
        np.testing.assert_allclose(losses["mse"], (value - centre) ** 2, rtol=1e-3, atol=1e-6)
        assert losses.get("locality", value**2) == pytest.approx(value**2, rel=1e-3, abs=1e-6)
        gradient = weight * (value - centre) + locality * held * value
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        value -= 0.01 * first / (1 - 0.9**update) / (np.sqrt(second / (1 - 0.999**update)) + 1e-8)
    assert ("locality" in steps[-1].losses(0)) == locality
    assert locality or steps[-1].losses(0)["mse"] < 0.5 * steps[0].losses(0)["mse"]
    np.testing.assert_array_equal(steps[-1].codes, steps[0].codes)


def test_a_pivot_that_is_given_stays(toys: Toys) -> None:
    pivot = np.random.default_rng(1).standard_normal((STYLES, WIDTH)).astype(np.float32)
    found = opened(toys, "hyperstyle", settings=Settings(pivot=pivot)).invert(PHOTO, steps=2)
    np.testing.assert_array_equal(found.codes, pivot)
    assert found.method == "pti"
    assert 0 < np.abs(found.arrays["differences"]).max() <= 2.1 * 3e-4
    with pytest.raises(ArrayError, match=r"pivot does not fit. Got: \[1, 8\]. Expected: finite codes \[8, 8\]"):
        opened(toys, "e4e", settings=Settings(pivot=pivot[:1]))


def test_a_pivot_comes_from_a_file_of_codes(toys: Toys, tmp_path: Path) -> None:
    manifest = opened(toys, "e4e").manifest
    codes = np.random.default_rng(1).standard_normal((STYLES, WIDTH)).astype(np.float32)
    Inversion({"codes": codes}, 3, "projection", manifest.model).save(tmp_path / "a.inversion")
    np.save(tmp_path / "one.npy", codes[None].astype(np.float64))
    np.save(tmp_path / "w.npy", codes[:1])
    for name, expected in (("a.inversion", codes), ("one.npy", codes), ("w.npy", np.repeat(codes[:1], STYLES, 0))):
        found = read_pivot(tmp_path / name, manifest)
        np.testing.assert_array_equal(found.codes, expected, strict=True)


def test_the_time_of_a_pivot_counts_where_it_is_known(toys: Toys, tmp_path: Path) -> None:
    """Seconds are of all that was done for a photo; around a pivot PTI does not begin with the bundle's method."""
    from click.testing import CliRunner

    from hyperstyle_deploy.cli import main

    bundle = toys("e4e", gradients=("pti",))
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    codes = np.zeros((STYLES, WIDTH), np.float32)
    pivot = Inversion({"codes": codes}, 3, "projection", load(bundle, backend="onnxruntime").manifest.model)
    pivot.save(tmp_path / "untimed.inversion")
    pivot.noted(1000.0).save(tmp_path / "timed.inversion")
    np.save(tmp_path / "codes.npy", codes)
    for name, least in (("timed.inversion", 1000.0), ("untimed.inversion", None), ("codes.npy", None)):
        out = tmp_path / name.partition(".")[0]
        command = ["invert", bundle, tmp_path / "a.png", "-o", out, "--backend", "onnxruntime", "--no-strip"]
        command += ["--method", "pti", "--steps", "1", "--pivot", tmp_path / name]
        result = CliRunner().invoke(main, list(map(str, command)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found = Inversion.load(out / "a.inversion")
        assert found.begun_with is None
        assert (found.seconds is None) == (least is None)
        assert (found.seconds or 0) >= (least or 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            np.zeros((STYLES, WIDTH + 1), np.float32),
            r"does not fit. Got: float32 \[8, 9\]. Expected: finite codes \[8, 8\]",
        ),
        (np.full((STYLES, WIDTH), np.nan, np.float32), "does not fit"),
        (np.zeros((STYLES, WIDTH), np.int64), "holds no numbers"),
        (np.array([{}]), "Cannot read the pivot .*allow_pickle"),
        (np.zeros(1 << 18, np.float32), "Cannot read the pivot .*more than 1048576 bytes"),
        (None, "Cannot read the pivot .*No such file"),
    ],
)
def test_a_file_that_is_no_pivot_is_refused(toys: Toys, tmp_path: Path, content: np.ndarray | None, said: str) -> None:
    if content is not None:
        np.save(tmp_path / "a.npy", content)
    with pytest.raises(InversionError, match=said):
        read_pivot(tmp_path / "a.npy", opened(toys, "e4e").manifest)


def test_the_command_tunes_around_a_projection(toys: Toys, tmp_path: Path) -> None:
    """Two commands: a projection, and PTI around what it found."""
    from click.testing import CliRunner

    from hyperstyle_deploy.cli import main

    for name in ("a", "b"):
        Image.fromarray(PHOTO).save(tmp_path / f"{name}.png")
    bundle = toys("hyperstyle", gradients=("projection", "pti"))

    def command(method: str, *more: object) -> list[str]:
        words = ["invert", bundle, tmp_path / "a.png", "-o", tmp_path / method, "--backend", "onnxruntime"]
        return [*map(str, words), "--method", method, "--steps", "3", *map(str, more)]

    pivot = tmp_path / "projection" / "a.inversion"
    for words in (command("projection"), command("pti", "--pivot", pivot)):
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    found, projected = Inversion.load(tmp_path / "pti" / "a.inversion"), Inversion.load(pivot)
    np.testing.assert_array_equal(found.codes, projected.codes)
    assert found.method == "pti"
    refused = CliRunner().invoke(main, command("projection", "--pivot", pivot))
    assert (refused.exit_code, "--pivot: for --method pti" in refused.stderr) == (2, True)
    refused = CliRunner().invoke(main, [*command("pti", "--pivot", pivot), str(tmp_path / "b.png")])
    assert (refused.exit_code, "A pivot belongs to one photo. Got: 2 photos" in refused.stderr) == (2, True)


def test_a_photo_stops_once_its_lpips_is_low(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(toys, "e4e", settings=Settings(rate=0.05))
    method = session._backend.method
    assert not method.enough({"mse": 0.0})  # without LPIPS nothing stops early
    assert method.enough({"lpips": 0.06})
    assert not method.enough({"lpips": 0.061})
    losses = [step.losses(0)["mse"] for step in session.refine(session.prepare([PHOTO]), 10)]
    monkeypatch.setattr(method, "enough", lambda now: now["mse"] <= losses[4])
    found = session.invert(PHOTO, steps=10)
    assert found.steps == next(index for index, loss in enumerate(losses) if loss <= losses[4])


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
def test_differences_are_stored_in_few_bits_and_the_loss_is_told(toys: Toys, stored: str, tmp_path: Path) -> None:
    session = opened(toys, "hyperstyle", settings=Settings(rate=0.01))
    found = session.invert(PHOTO, steps=3)
    found.save(tmp_path / "a.inversion", stored)
    loaded = Inversion.load(tmp_path / "a.inversion")
    exact, kept = found.arrays["differences"], loaded.arrays["differences"]
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(loaded.codes, found.codes)
    limit = {"float32": 0.0, "float16": 2.0**-11, "int8": 0.51 / 127}[stored]
    assert np.abs(kept - exact).max() <= limit * np.abs(exact).max()
    size = {"float32": 4, "float16": 2, "int8": 1}[stored]
    assert (tmp_path / "a.inversion").stat().st_size < size * 1.05 * exact.size + 4 * found.codes.size + 1200
    assert session.synthesize(loaded).shape == (1, SIZE, SIZE, 3)


def test_what_is_tuned_is_all_of_synthesis(toys: Toys) -> None:
    tensors = tuned_tensors(small_manifest("e4e").layers, WIDTH)
    # The constant, five tensors a convolution, four a toRGB; 32 pixels have 7 and 4 of these.
    assert len(tensors) == 1 + 5 * 7 + 4 * 4
    assert tensors["convs.0.conv.weight"] == (1, 8, 8, 3, 3)
    session = opened(toys, "e4e")
    assert session._backend.method.gradient_tensors() == tuple(tensors)
    with pytest.raises(BundleError, match=r"no gradient graphs for pti.*again with --gradients pti"):
        load(toys("e4e", gradients=("projection",)), method="pti")


def test_the_command_writes_strips_of_few_pictures_and_tells_what_storing_cost(toys: Toys, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from hyperstyle_deploy.cli import main

    (tmp_path / "photos").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "photos" / "a.png")
    bundle, out = toys("hyperstyle", gradients=("pti",)), tmp_path / "out"
    command = ["invert", str(bundle), str(tmp_path / "photos"), "-o", str(out), "--backend", "onnxruntime"]
    command += ["--method", "pti", "--steps", "60", "--rate", "0.01", "--store", "int8"]
    for status in ("done", "skipped"):
        result = CliRunner().invoke(main, [*command, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        assert (document["method"], document["photos"][0]["status"]) == ("pti", status)
    found = Inversion.load(out / "a.inversion")
    assert found.source["stored"] == "int8"
    assert (found.begun_with, 0 < (found.seconds or 0) < 600) == ("hyperstyle", True)
    assert float(found.source["result.psnr"]) > 30
    # The photo, steps 0, 5, ... 60.
    assert Image.open(out / "a.strip.png").size == (14 * SIZE, SIZE)
    other = CliRunner().invoke(main, [*command[:-2], "--store", "float16", "--json"], catch_exceptions=False)
    assert json.loads(other.stdout)["photos"][0]["status"] == "done"
    refused = CliRunner().invoke(main, [*command, "--rate", "100"])
    assert (refused.exit_code, "rate is out of range" in refused.stderr) == (2, True)
    refused = CliRunner().invoke(main, [*command[:7], "--seed", "1"])
    assert (refused.exit_code, "for an optimisation, named with --method" in refused.stderr) == (2, True)


def test_locality_draws_another_latent_every_step_and_needs_its_graph(toys: Toys) -> None:
    bundle = toys("e4e", gradients=("pti", "pti-locality"))
    method = load(bundle, backend="onnxruntime", method="pti", settings=Settings(locality=True))._backend.method
    latents = [method.given(index, 20)["latent"] for index in (0, 1)]
    assert np.abs(latents[0] - latents[1]).max() > 0.1
    with pytest.raises(BundleError, match=r"no graph for PTI's locality.*--gradients pti-locality, too"):
        opened(toys, "e4e", settings=Settings(locality=True))
