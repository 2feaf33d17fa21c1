"""The loop on a device, proved on the host: a strict fake device, ONNX Runtime for engines, the kernels for the CPU."""

import gc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime import backends
from hyperstyle_deploy.runtime.backends import Options, open_backend, resolve
from hyperstyle_deploy.runtime.backends.device import MAX_RECORDINGS, DeviceBackend
from hyperstyle_deploy.runtime.backends.onnxruntime import Sessions
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.methods.loop import invert
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.runtime.fake_device import FakeDevice, HostRunner, QueuedKernels

DATA = Path(__file__).parents[2] / "data"
PHOTO = DATA / "faces.png"
OTHER = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)


class Rig:
    """A session on a fake device, and what a test looks at."""

    def __init__(self, bundle: Bundle, sessions: Sessions, library: KernelLibrary, recordable: bool) -> None:
        self.device = FakeDevice()
        self.runner = HostRunner(bundle, self.device, sessions, recordable)
        kernels = QueuedKernels(library, self.device)
        self.backend = DeviceBackend(bundle, self.device, self.runner, kernels)  # type: ignore[arg-type]
        self.session = Session(bundle.manifest, self.backend)


@pytest.fixture(scope="module")
def host(faces256_bundle: Path) -> Session:
    return load(faces256_bundle, backend="onnxruntime")


@pytest.fixture(scope="module")
def bundle(faces256_bundle: Path) -> Bundle:
    return Bundle.open(faces256_bundle)


@pytest.fixture(scope="module")
def sessions(bundle: Bundle) -> Sessions:
    return Sessions(bundle, None, ())


@pytest.fixture
def rig(bundle: Bundle, sessions: Sessions, cpu_library: KernelLibrary) -> Rig:
    return Rig(bundle, sessions, cpu_library, recordable=True)


@pytest.fixture
def plain(bundle: Bundle, sessions: Sessions, cpu_library: KernelLibrary) -> Rig:
    return Rig(bundle, sessions, cpu_library, recordable=False)


def test_a_recording_replayed_with_another_photo_gives_that_photos_result(rig: Rig, host: Session) -> None:
    same(rig.session.invert(PHOTO, steps=1), host.invert(PHOTO, steps=1))
    same(rig.session.invert(OTHER, steps=1), host.invert(OTHER, steps=1))
    assert rig.device.replays == 2


def same(ours: object, want: object) -> None:
    np.testing.assert_allclose(ours.codes, want.codes, atol=1e-6)
    np.testing.assert_allclose(ours.offset_codes, want.offset_codes, atol=2e-5)
    np.testing.assert_allclose(ours.l2, want.l2, rtol=1e-4)
    assert np.abs(ours.image.astype(int) - want.image.astype(int)).max() <= 1
    assert (ours.steps, ours.model) == (want.steps, want.model)


def test_a_batch_of_photos_in_plain_launches_is_the_hosts(plain: Rig, host: Session) -> None:
    photos = [PHOTO, OTHER]
    for ours, want in zip(plain.session.invert(photos, steps=2), host.invert(photos, steps=2), strict=True):
        same(ours, want)
    assert plain.device.replays == 0


def test_no_stage_runs_twice_and_only_the_result_comes_down(plain: Rig) -> None:
    plain.session.invert(PHOTO, steps=2)
    assert plain.device.downloads == 1 + 1 + 3 + 1  # codes, offset codes, an error a step, pixels
    assert plain.runner.runs == ["encoder", "synthesis_one", *["hypernet", "offsets", "synthesis_one"] * 2]


def test_steps_can_be_looked_at_while_recordings_are_replayed(rig: Rig, host: Session) -> None:
    """What a recording writes lies apart from every other array."""
    batch = rig.session.prepare([PHOTO])
    rig.session.invert(PHOTO, steps=1)
    steps = rig.session.refine(batch, 1)
    first = next(steps)
    rig.session.invert(OTHER, steps=1)
    want = list(host.refine(batch, 1))
    np.testing.assert_allclose(first.image, want[0].image, atol=5e-5)
    np.testing.assert_allclose(next(steps).image, want[1].image, atol=5e-5)


def test_memory_is_flat_over_many_inversions(rig: Rig) -> None:
    rig.session.invert(PHOTO, steps=1)
    taken = rig.device.bytes
    rig.session.invert(OTHER, steps=1)
    assert rig.device.bytes == taken
    batch = rig.session.prepare([PHOTO])
    list(rig.session.refine(batch, 1))
    gc.collect()
    taken = rig.device.bytes
    list(rig.session.refine(batch, 1))
    assert rig.device.bytes == taken


def test_the_oldest_recording_goes_first(rig: Rig) -> None:
    for steps in range(MAX_RECORDINGS + 1):
        rig.backend.compute(steps, lambda photos: [photos], np.zeros((1, 3), np.float32))
    assert list(rig.backend._recordings) == list(range(1, MAX_RECORDINGS + 1))


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
    batch = rig.session.prepare([PHOTO])
    result = invert(clock.as_backend(), rig.session.manifest, batch, 1)
    np.testing.assert_allclose(result.codes[0], host.invert(PHOTO, steps=1).codes, atol=1e-6)
    spans = clock.take()
    assert [span.stage for span in spans] == ["encoder", "synthesis_one", "hypernet", "weights", "synthesis_one"]
    assert all(span.seconds > 0 for span in spans)
    assert all(first.start + first.seconds <= second.start for first, second in pairwise(spans))
    assert rig.device.replays == 0
    assert rig.backend.copy_rate() > 0
    with pytest.raises(BackendError, match="tells no times of layers"):
        rig.backend.layer_runs()


def test_an_array_of_another_shape_is_refused_before_it_is_bound(plain: Rig) -> None:
    wrong = plain.backend.upload(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(BackendError, match=r"encoder cannot take image. Got: \[1, 3, 8, 8\]"):
        plain.backend.encode(wrong)


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
