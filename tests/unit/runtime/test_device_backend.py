"""The loop on a device, proved on the host: a strict fake device, ONNX Runtime for engines, the kernels for the CPU."""

import gc
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime import backends
from hyperstyle_deploy.runtime.backends import Options, open_backend, resolve
from hyperstyle_deploy.runtime.backends.device import MAX_RECORDINGS, DeviceBackend
from hyperstyle_deploy.runtime.backends.onnxruntime import Sessions
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.images import write_png
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.runtime.serving.batch import Outputs, invert_files
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.runtime.fake_device import FakeDevice, HostRunner, QueuedKernels

PHOTO, OTHER = (np.random.default_rng(seed).integers(0, 256, (70, 50, 3), dtype=np.uint8) for seed in (0, 1))
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "hyperstyle": ("hyperstyle", {}),
    "separable": ("hyperstyle", {"separable": True}),
    "restyle's codes": ("hyperstyle", {"encoder_steps": 2}),
    "restyle": ("restyle-e4e", {}),
    "e4e": ("e4e", {}),
}


class Rig:
    """A session on a fake device, and what a test looks at."""

    def __init__(self, bundle: Bundle, library: KernelLibrary, recordable: bool) -> None:
        self.device = FakeDevice()
        self.runner = HostRunner(bundle, self.device, Sessions(bundle, 1, ()), recordable)
        kernels = QueuedKernels(library, self.device)
        self.backend = DeviceBackend(bundle, self.device, self.runner, kernels)  # type: ignore[arg-type]
        self.session = Session(self.backend)


@pytest.fixture(scope="module")
def bundle(toys: Callable[..., Path]) -> Bundle:
    return Bundle.open(toys("hyperstyle"))


@pytest.fixture(scope="module")
def host(bundle: Bundle) -> Session:
    return load(bundle.path, backend="onnxruntime", threads=1)


@pytest.fixture
def rig(bundle: Bundle, cpu_library: KernelLibrary) -> Rig:
    return Rig(bundle, cpu_library, recordable=True)


@pytest.fixture
def plain(bundle: Bundle, cpu_library: KernelLibrary) -> Rig:
    return Rig(bundle, cpu_library, recordable=False)


def same(ours: object, want: object) -> None:
    for name, array in want.arrays.items():
        np.testing.assert_allclose(ours.arrays[name], array, atol=1e-5)
    np.testing.assert_allclose(ours.l2, want.l2, rtol=1e-4)
    assert np.abs(ours.image.astype(int) - want.image.astype(int)).max() <= 1
    assert (ours.steps, ours.model) == (want.steps, want.model)


@pytest.mark.parametrize("recordable", [True, False], ids=["recorded", "plain"])
@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=() if form == "hyperstyle" else pytest.mark.exhaustive) for form in FORMS]
)
def test_every_method_on_a_device_is_the_hosts(
    toys: Callable[..., Path], cpu_library: KernelLibrary, form: str, recordable: bool
) -> None:
    method, options = FORMS[form]
    bundle = Bundle.open(toys(method, **options))
    rig, host = Rig(bundle, cpu_library, recordable), load(bundle.path, backend="onnxruntime", threads=1)
    for photos in ([PHOTO, OTHER], [OTHER, PHOTO]):  # the second time in other places of what was recorded
        for ours, want in zip(rig.session.invert(photos), host.invert(photos), strict=True):
            same(ours, want)
    assert (rig.device.replays > 0) is recordable


def test_every_step_after_the_first_is_a_replay(rig: Rig) -> None:
    """One recording for the start, one for a step, whatever the number of steps and of batches."""
    rig.session.invert(PHOTO, steps=4)
    assert (rig.device.recorded, rig.device.replays) == (2, 5)
    rig.session.invert(OTHER, steps=7)
    assert (rig.device.recorded, rig.device.replays) == (2, 5 + 8)


def test_a_batch_run_with_strips_replays_and_downloads_one_full_image_a_photo(rig: Rig, tmp_path: Path) -> None:
    photos = []
    for number, pixels in enumerate((PHOTO, OTHER)):
        photos.append(tmp_path / f"{number}.npy.png")
        write_png(photos[-1], pixels)
    outputs = Outputs(tmp_path / "out", 3)
    assert [record.status for record in invert_files(rig.session, photos, outputs, batch=2)] == ["done", "done"]
    assert (rig.device.recorded, rig.device.replays) == (2, 4)
    image, pixels = 4 * 3 * 32 * 32, 3 * 32 * 32
    downloads = Counter(rig.device.downloaded)
    # Of each photo: its pixels once, as bytes, and a reconstruction a step; of the batch its errors a step.
    assert downloads[pixels, "uint8"] == 2
    assert downloads[image, "float32"] == 2 * 4  # reconstructions: as large as the image of this model
    assert downloads[2 * 8, "float64"] == 4


def test_photos_that_stop_early_replay_too(rig: Rig, host: Session) -> None:
    for gain in (0.0, 0.5):
        want = host.invert([PHOTO, OTHER], steps=6, until_gain=gain)
        for ours, theirs in zip(rig.session.invert([PHOTO, OTHER], steps=6, until_gain=gain), want, strict=True):
            same(ours, theirs)
    assert rig.device.recorded == 2


def test_a_run_that_is_left_in_the_middle_does_no_harm(rig: Rig, host: Session) -> None:
    for step in rig.session.refine(rig.session.prepare([OTHER]), 5):
        if step.index == 2:
            break
    same(rig.session.invert(PHOTO, steps=3), host.invert(PHOTO, steps=3))


def test_no_graph_runs_twice_and_only_the_result_comes_down(plain: Rig) -> None:
    plain.session.invert(PHOTO, steps=2)
    assert plain.device.downloads == 3 + 1 + 1 + 1  # an error a step, codes, offset codes, pixels
    assert plain.runner.runs == ["encoder", "synthesis_one", *["hypernet", "offsets", "synthesis_one"] * 2]


def test_a_step_is_a_value_that_later_replays_leave_alone(rig: Rig, host: Session) -> None:
    batch = rig.session.prepare([PHOTO])
    steps = rig.session.refine(batch, 2)
    first = next(steps)
    rig.session.invert(OTHER, steps=2)
    second = next(steps)
    rig.session.invert(OTHER, steps=2)
    want = list(host.refine(batch, 2))
    np.testing.assert_allclose(first.image, want[0].image, atol=5e-5)
    np.testing.assert_allclose(second.image, want[1].image, atol=5e-5)
    np.testing.assert_allclose(next(steps).image, want[2].image, atol=5e-5)


def test_memory_is_flat_over_many_inversions(rig: Rig) -> None:
    for _ in range(2):
        rig.session.invert(PHOTO, steps=2)
    gc.collect()
    taken = rig.device.bytes
    for _ in range(3):
        rig.session.invert(OTHER, steps=9)
        gc.collect()
    assert rig.device.bytes == taken


def test_the_oldest_recording_goes_first(rig: Rig) -> None:
    array = rig.backend.upload(np.zeros((1, 3), np.float32))
    for number in range(MAX_RECORDINGS + 1):
        rig.backend.replay(f"work {number}", lambda inputs: {"sum": rig.backend.add(inputs[0], inputs[0])}, {0: array})
    assert [name for name, _ in rig.backend._recordings] == [f"work {n}" for n in range(1, MAX_RECORDINGS + 1)]


def test_edits_and_offsets_are_the_hosts(plain: Rig, host: Session) -> None:
    inversion = host.invert(PHOTO, steps=1)
    edits = np.stack([inversion.codes, inversion.codes + 0.1])
    pictures, want = plain.session.synthesize(inversion, edits), host.synthesize(inversion, edits)
    assert np.abs(pictures.astype(int) - want.astype(int)).max() <= 1
    ours = plain.session.weight_offsets(inversion)
    for layer, offset in host.weight_offsets(inversion).items():
        np.testing.assert_allclose(ours[layer], offset, atol=1e-6)


def test_the_stage_clock_marks_plain_launches_and_changes_nothing(rig: Rig, host: Session) -> None:
    """Even where the backend could record: a recording has no marks in it."""
    clock = StageClock(rig.backend)
    steps = list(refine(clock, rig.session.prepare([PHOTO]), 1))
    np.testing.assert_allclose(steps[-1].codes[0], host.invert(PHOTO, steps=1).codes, atol=1e-6)
    spans = clock.take()
    assert [span.stage for span in spans] == ["encoder", "synthesis_one", "hypernet", "weights", "synthesis_one"]
    assert all(span.seconds > 0 for span in spans)
    assert all(first.start + first.seconds <= second.start for first, second in pairwise(spans))
    assert rig.device.replays == 0
    assert rig.backend.copy_rate() > 0
    with pytest.raises(BackendError, match="tells no times of nodes"):
        rig.backend.node_runs()


def test_an_array_of_another_shape_is_refused_before_it_is_bound(plain: Rig) -> None:
    wrong = plain.backend.upload(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(BackendError, match=r"encoder cannot take image. Got: \[1, 3, 8, 8\]"):
        plain.backend.run("encoder", {"image": wrong})
    for shape in ((3, 32, 32), (1, 1, 3, 32, 32), ()):
        with pytest.raises(BackendError, match=rf"encoder cannot take image. Got: {re.escape(str(list(shape)))}"):
            plain.backend.run("encoder", {"image": plain.backend.upload(np.zeros(shape, np.float32))})
    with pytest.raises(BackendError, match=r"encoder takes other inputs. Got: photo. Expected: image"):
        plain.backend.run("encoder", {"photo": wrong})
    with pytest.raises(BackendError, match="no graph decoder"):
        plain.backend.run("decoder", {})


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx", "onnxruntime-cuda"])
def test_a_gpu_backend_without_its_packages_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_installed", lambda module: module == "onnxruntime")
    with pytest.raises(BackendError, match=f"The backend {name} is not installed"):
        resolve(name)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("onnxruntime", Options(device=0)),
        ("openvino", Options(trust_engines=True)),
        ("onnxruntime", Options(stream=7)),
        ("tensorrt", Options(threads=2)),
        ("onnxruntime-cuda", Options(precision_hint="bf16")),
    ],
)
def test_an_option_of_the_other_kind_is_refused(name: str, options: Options, bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="Leave it out"):
        open_backend(name, bundle, options)
