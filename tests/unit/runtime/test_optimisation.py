"""Projection on graphs whose descent is written down here, in every backend; and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hyperstyle_deploy.errors import ArrayError, BackendError, BundleError, InversionError, OptimisationError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.backends.adam import BLOCK, adam
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.methods.optimisation import adam_rates
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import SIZE
from hyperstyle_deploy.tests.toy_bundle import ToyBundle, write_toy_bundle

Toys = Callable[..., Path]
STEPS = 40


def opened(toys: Toys, backend: str = "onnxruntime", method: str = "e4e", **settings: Any) -> Session:
    bundle = toys(method, gradients=("projection",))
    return load(bundle, backend=backend, method="projection", settings=Settings(**settings))


def photos(count: int = 1) -> np.ndarray:
    draw = np.random.default_rng(3)
    return np.float32(0.4) * draw.standard_normal((count, 3, SIZE, SIZE)).clip(-2, 2).astype(np.float32)


def descended(session: Session, photo: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Codes, noises and the first loss of every state by plain NumPy: the schedule, Adam and the bowl, in float64."""
    method, constants = session._backend.method, session._backend.constants
    values = [constants["average_w"].astype(np.float64), method.given(0, steps)["noises"].astype(np.float64)]
    weights = [constants[f"loss_weight.projection.{term}"].astype(np.float64) for term in ("mse", "noise")]
    moments = [[np.zeros_like(value), np.zeros_like(value)] for value in values]
    losses = []
    for index in range(steps + 1):
        given = method.given(index, steps)
        centre = photo.mean() + given["perturbation"].mean() + given["shared"].mean()
        gradients = [weight * (value - centre) for value, weight in zip(values, weights, strict=True)]
        losses.append(float(np.square(values[0] - centre).mean()))
        if index == steps:
            return values[0][0], values[1][0], losses
        t = index / steps
        rate = 0.1 * (0.5 - 0.5 * np.cos(np.pi * min(1, (1 - t) / 0.25))) * min(1, t / 0.05)
        for place, gradient in enumerate(gradients):
            first, second = moments[place]
            first[:] = 0.9 * first + 0.1 * gradient
            second[:] = 0.999 * second + 0.001 * gradient**2
            direction = first / (1 - 0.9 ** (index + 1)) / (np.sqrt(second / (1 - 0.999 ** (index + 1))) + 1e-8)
            values[place] = values[place] - rate * direction
        values[1] -= values[1].mean()
    raise AssertionError


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("space", ["w", "w+"])
def test_projection_descends_as_written_down(toys: Toys, backend: str, space: str) -> None:
    session, photo = opened(toys, backend, space=space, seed=5), photos()
    steps = list(session.refine(photo, STEPS))
    codes, noises, losses = descended(session, photo, STEPS)
    np.testing.assert_allclose([step.losses(0)["mse"] for step in steps], losses, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(steps[-1].arrays(0)["codes"], codes, atol=1e-4)
    np.testing.assert_allclose(steps[-1].arrays(0)["noises"], noises, atol=1e-4)
    assert losses[-1] < 0.1 * losses[0]


def test_earlier_states_stay_as_they_were_and_a_batch_is_its_photos(toys: Toys) -> None:
    session, pair = opened(toys), photos(2)
    copies, steps = [], []
    for step in session.refine(pair, 5):
        steps.append(step)
        copies.append(step.codes.copy())
    assert not [name for name, _ in steps[-1]._state if name.startswith(("gradient.", "first.", "second."))]
    for step, copy in zip(steps, copies, strict=True):
        np.testing.assert_array_equal(step.codes, copy)
    for photo in (0, 1):
        *_, alone = session.refine(pair[photo : photo + 1], 5)
        np.testing.assert_allclose(steps[-1].codes[photo], alone.codes[0], atol=1e-6)
        np.testing.assert_allclose(steps[-1].arrays(photo)["noises"], alone.arrays(0)["noises"], atol=1e-6)


def test_a_seed_says_what_is_drawn(toys: Toys) -> None:
    def codes(seed: int) -> np.ndarray:
        *_, last = opened(toys, seed=seed).refine(photos(), 3)
        return last.arrays(0)["noises"]

    np.testing.assert_array_equal(codes(1), codes(1))
    assert np.abs(codes(1) - codes(2)).max() > 0.1


def test_rows_share_a_perturbation_in_w_alone(toys: Toys) -> None:
    shared, free = (opened(toys, space=space)._backend.method.given(1, 10) for space in ("w", "w+"))
    assert np.ptp(shared["perturbation"], axis=1).max() == 0
    assert np.ptp(free["perturbation"], axis=1).min() > 0
    assert (shared["shared"][0], free["shared"][0]) == (1, 0)
    assert np.abs(opened(toys)._backend.method.given(10, 10)["perturbation"]).max() == 0  # no step is left


def test_an_inversion_keeps_codes_and_noises_and_is_drawn_again(toys: Toys, tmp_path: Path) -> None:
    session = opened(toys, method="hyperstyle")
    found = session.invert(np.zeros((SIZE, SIZE, 3), np.uint8), steps=4)
    assert (found.method, found.steps, len(found.l2), set(found.arrays)) == ("projection", 4, 5, {"codes", "noises"})
    found.save(tmp_path / "a.inversion")
    loaded = Inversion.load(tmp_path / "a.inversion")
    np.testing.assert_array_equal(session.synthesize(loaded)[0], found.image)
    other = dataclasses.replace(loaded, arrays={**loaded.arrays, "noises": loaded.arrays["noises"] + 5})
    assert np.abs(session.synthesize(other)[0].astype(int) - found.image).max() > 0  # the noises are the photo's own
    with pytest.raises(InversionError, match=r"another method. Got: projection.*loaded with the method projection"):
        load(toys("hyperstyle", gradients=("projection",))).synthesize(loaded)


def test_a_bundle_with_gradient_graphs_runs_its_own_method_as_before(toys: Toys) -> None:
    own, with_gradients = (load(toys("hyperstyle", **more)) for more in ({}, {"gradients": ("projection",)}))
    photo = photos()
    *_, one = own.refine(photo, 2)
    *_, other = with_gradients.refine(photo, 2)
    np.testing.assert_array_equal(one.image, other.image)


def test_adam_is_pytorchs_formula_whatever_the_size() -> None:
    draw = np.random.default_rng(0)
    size = BLOCK + 7
    value = draw.standard_normal((1, size), np.float32)
    exact, moments = value.astype(np.float64), (np.zeros_like(value), np.zeros_like(value))
    first, second = np.zeros((1, size)), np.zeros((1, size))
    for update in (1, 2, 3):
        gradient = draw.standard_normal((1, size), np.float32)
        before = value.copy()
        after = adam(value, gradient, moments, adam_rates(0.01, update))
        np.testing.assert_array_equal(value, before)
        value = after
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.astype(np.float64) ** 2
        root = np.sqrt(second) / np.sqrt(1 - 0.999**update) + 1e-8
        exact = exact - 0.01 / (1 - 0.9**update) * first / root
    np.testing.assert_allclose(value, exact, atol=1e-6)


#: A loss that a black photo's comes below within 20 steps.
LOW = {"projection": 0.3, "idinvert": 1.3}


def broken(folder: Path, change: Callable[[onnx.ModelProto], None], method: str = "projection") -> ToyBundle:
    """A bundle whose gradient graph is changed."""
    base, gradients = ("idinvert", ()) if method == "idinvert" else ("e4e", (method,))
    bundle = write_toy_bundle(folder / "broken.toy", base, gradients=gradients)
    model = bundle.graph(f"{method}_gradient")
    change(model)
    bundle.replace(f"{method}_gradient.onnx", model.SerializeToString())
    return bundle


def with_root(output: str, limit: float) -> Callable[[onnx.ModelProto], None]:
    """Make an output NaN as soon as the first loss is below a limit: a root of what is negative then."""

    def change(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if output in node.output)
        node.output[list(node.output).index(output)] = "whole"
        model.graph.initializer.append(numpy_helper.from_array(np.array([limit], np.float32), "limit"))
        model.graph.node.extend(
            [
                onnx.helper.make_node("Sub", ["loss.mse" if output != "loss.mse" else "whole", "limit"], ["above"]),
                onnx.helper.make_node("Sqrt", ["above"], ["rooted"]),
                onnx.helper.make_node("Sub", ["rooted", "rooted"], ["nothing"]),
                onnx.helper.make_node("Add", ["whole", "nothing"], [output]),
            ]
        )

    return change


def running_away(output: str, limit: float) -> Callable[[onnx.ModelProto], None]:
    """The same, and until then what is drawn gets less and less like the photo, though the loss falls."""

    def change(model: onnx.ModelProto) -> None:
        with_root(output, limit)(model)
        node = next(node for node in model.graph.node if "reconstruction" in node.output)
        node.output[list(node.output).index("reconstruction")] = "drawn"
        model.graph.node.append(onnx.helper.make_node("Neg", ["drawn"], ["reconstruction"]))

    return change


@pytest.mark.parametrize(
    ("output", "told"), [("loss.mse", "mse is not finite"), ("norms", "the gradient of codes is not finite")]
)
@pytest.mark.parametrize("method", LOW)
def test_what_is_not_finite_stops_a_photo_and_keeps_its_best_state(
    tmp_path: Path, output: str, told: str, method: str
) -> None:
    bundle = broken(tmp_path, with_root(output, LOW[method]), method).path
    session = load(bundle, backend="onnxruntime", method=method)
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    inversions = session.invert([photo, photo], steps=STEPS)
    for found in inversions:
        assert 0 < found.steps < STEPS
        assert len(found.l2) == found.steps + 1
        last = found.steps + (output == "loss.mse")  # without a loss the state before is the result
        assert found.source["result.stopped"] == f"step {last}: {told}"
        assert np.isfinite(found.codes).all()


@pytest.mark.parametrize("output", ["loss.mse", "norms"])
def test_a_photo_that_ran_away_gets_back_its_best_state(tmp_path: Path, output: str) -> None:
    bundle = broken(tmp_path, running_away(output, LOW["projection"])).path
    session = load(bundle, backend="onnxruntime", method="projection")
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    errors = [step.l2[0] for step in session.refine(session.prepare([photo]), STEPS) if step.l2 is not None]
    found = session.invert(photo, steps=STEPS)
    stopped = int(found.source["result.stopped"].removeprefix("step ").partition(":")[0])
    best = errors.count(min(errors)) - 1  # the first step of the schedule moves nothing
    assert best < stopped - 1
    assert (found.steps, found.l2) == (best, tuple(errors[: best + 1]))


def test_a_loss_that_is_not_finite_at_the_start_is_an_error(tmp_path: Path) -> None:
    session = load(broken(tmp_path, with_root("loss.mse", 1e9)).path, backend="onnxruntime", method="projection")
    with pytest.raises(OptimisationError, match=r"cannot start. Got: step 0: mse is not finite"):
        session.invert(np.zeros((SIZE, SIZE, 3), np.uint8), steps=2)


@pytest.mark.skipif("openvino" not in available(), reason="no OpenVINO")
def test_openvinos_gradients_are_held_against_onnx_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperstyle_deploy.runtime.backends.openvino import OpenVinoBackend

    bundle = write_toy_bundle(tmp_path / "toy", "e4e", gradients=("projection",)).path
    load(bundle, backend="openvino", method="projection")
    plain = OpenVinoBackend.outputs

    def wrong(self: OpenVinoBackend, graph: str, inputs: Any) -> Any:
        outputs = plain(self, graph, inputs)
        return [1.01 * outputs[0], *outputs[1:]] if graph == "projection_gradient" else outputs

    monkeypatch.setattr(OpenVinoBackend, "outputs", wrong)
    with pytest.raises(BackendError, match=r"computes projection_gradient wrongly. Got: gradient.codes is off"):
        load(bundle, backend="openvino", method="projection")
    load(bundle, backend="openvino")  # its own method has no gradients
    with pytest.raises(BackendError, match=r"projection computes in float32. Got: precision hint bf16"):
        load(bundle, backend="openvino", method="projection", precision_hint="bf16")


def test_what_cannot_be_optimised_is_refused(toys: Toys) -> None:
    with pytest.raises(BundleError, match=r"no gradient graphs for projection.*Export .* again with --gradients proj"):
        load(toys("e4e"), method="projection")
    with pytest.raises(ArrayError, match=r"does not run this method. Got: pti2. Expected: e4e or one of projection"):
        load(toys("e4e"), method="pti2")
    with pytest.raises(ArrayError, match="e4e has no settings"):
        load(toys("e4e"), settings=Settings())
    with pytest.raises(ArrayError, match=r"loss has no LPIPS to stop by. Got: mse, noise"):
        opened(toys, until_lpips=0.1)
    with pytest.raises(ArrayError, match=r"steps is out of range. Got: 1001"):
        opened(toys).invert(np.zeros((SIZE, SIZE, 3), np.uint8), steps=1001)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seed": -1}, "seed is out of range"),
        ({"rate": 0.0}, "rate is out of range. Got: 0.0. Expected: 1e-07 to 10"),
        ({"rate": float("nan")}, "rate is out of range"),
        ({"space": "z"}, "Unknown space of codes. Got: z. Expected: w or w+"),
        ({"until_lpips": -0.1}, "until_lpips is out of range"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ArrayError) as error:
        Settings(**settings)
    assert told in str(error.value)
