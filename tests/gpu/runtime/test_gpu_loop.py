"""The whole loop on a GPU: replays, what is copied, memory, threads, batches, edits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.images import mean_squared_error, to_uint8
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock
from hyperstyle_deploy.runtime.quality.tolerance import GPU_TOLERANCE
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.gpu.runtime.conftest import Rig

LIMIT = GPU_TOLERANCE["float32"]
#: Between two runs of the same engines on the same photo. A guess until it was measured.
SAME = 1e-5
INVERSIONS = 200
#: Less than the offset codes alone would take if they stayed behind each time, at 27 KB.
FLAT_BYTES = 4 << 20
Photos = list[NDArray[np.uint8]]


def same(ours: Inversion, want: Inversion, limit: float = SAME) -> None:
    np.testing.assert_allclose(ours.codes, want.codes, rtol=limit, atol=limit)
    np.testing.assert_allclose(ours.offset_codes, want.offset_codes, rtol=limit, atol=limit)
    np.testing.assert_allclose(ours.l2, want.l2, rtol=10 * limit)
    same_picture(ours.image, want.image)
    assert (ours.steps, ours.model) == (want.steps, want.model)


def same_picture(ours: NDArray[np.uint8], want: NDArray[np.uint8]) -> None:
    assert ours.shape == want.shape
    assert np.abs(ours.astype(int) - want.astype(int)).max() <= 1


def test_an_inversion_is_the_cpus(rig: Rig, photos: Photos) -> None:
    same(rig.gpu.invert(photos[0], steps=2), rig.host.invert(photos[0], steps=2), LIMIT)


def test_a_replay_is_what_plain_launches_give(rig: Rig, photos: Photos) -> None:
    """What the loop replays where the backend can record, against the same work launched graph by graph."""
    rig.gpu.invert(photos[1], steps=2)  # recorded with another photo
    for photo in photos:
        batch = rig.gpu.prepare([photo])
        steps = list(refine(StageClock(rig.backend), batch, 2))
        replayed, last = rig.gpu.invert(photo, steps=2), steps[-1]
        np.testing.assert_allclose(replayed.codes, last.codes[0], rtol=SAME, atol=SAME)
        np.testing.assert_allclose(replayed.offset_codes, last.offset_codes[0], rtol=SAME, atol=SAME)
        same_picture(replayed.image, to_uint8(last.image)[0])
        errors = [mean_squared_error(batch, step.reconstruction)[0] for step in steps]
        np.testing.assert_allclose(replayed.l2, errors, rtol=10 * SAME)
    assert bool(rig.backend._recordings) == rig.backend.records == (rig.gpu.backend != "onnxruntime-cuda")


def test_nothing_comes_to_the_host_inside_the_loop(rig: Rig, photos: Photos) -> None:
    """Of what this project copies; the engines have no place on the host to copy to."""
    device, batch = rig.backend._device, rig.gpu.prepare(photos[:1])
    for _ in range(2):  # recorded, then replayed
        before = device.downloads
        rig.gpu.invert(photos[0], steps=3)
        # an error a step, codes, offset codes, pixels
        assert device.downloads - before == 4 + 1 + 1 + 1
    before = device.downloads
    steps = list(rig.gpu.refine(batch, 3))
    assert device.downloads == before
    assert steps[-1].image.shape == (1, 3, 64, 64)
    assert device.downloads == before + 1


def test_memory_is_flat(rig: Rig, photos: Photos) -> None:
    """Free memory as the driver has it, of the whole GPU: nothing else should run there."""

    def inversions(count: int) -> None:
        for index in range(count):
            rig.gpu.invert(photos[index % 2], steps=2)
            *_, last = rig.gpu.refine(rig.gpu.prepare(photos[:1]), 1)
            assert np.isfinite(last.image).all()

    inversions(10)
    before = free_memory(rig)
    inversions(INVERSIONS)
    assert before - free_memory(rig) <= FLAT_BYTES


def free_memory(rig: Rig) -> int:
    from cuda.bindings import driver

    with rig.backend._device.active():
        _, free, _ = driver.cuMemGetInfo()
    return free


@pytest.fixture(params=["two sessions", "one session"])
def sessions(request: pytest.FixtureRequest, rig: Rig) -> list[Session]:
    other = rig.gpu if request.param == "one session" else load(rig.bundle, backend=rig.gpu.backend)
    return [rig.gpu, other]


def test_two_threads_get_the_serial_answers(sessions: list[Session], photos: Photos) -> None:
    serial = [session.invert(photo, steps=2) for session, photo in zip(sessions, photos, strict=True)]
    assert not np.allclose(serial[0].offset_codes, serial[1].offset_codes, atol=1e-3)
    with ThreadPoolExecutor(2) as threads:
        work = [
            threads.submit(lambda s=session, p=photo: [s.invert(p, steps=2) for _ in range(10)])
            for session, photo in zip(sessions, photos, strict=True)
        ]
        for job, want in zip(work, serial, strict=True):
            inversions = job.result(timeout=300)
            assert len(inversions) == 10
            for inversion in inversions:
                same(inversion, want)


def test_a_batch_gives_what_single_photos_give(rig: Rig, photos: Photos) -> None:
    together = rig.gpu.invert(photos, steps=2)
    for photo, inversion in zip(photos, together, strict=True):
        same(inversion, rig.gpu.invert(photo, steps=2), LIMIT)
    assert not np.allclose(together[0].offset_codes, together[1].offset_codes, atol=1e-3)


def test_edits_run_as_a_batch_and_are_the_cpus(rig: Rig, photos: Photos) -> None:
    inversion = rig.host.invert(photos[0], steps=2)
    edits = np.stack([inversion.codes + strength for strength in (0.0, 0.3, -0.3)]).astype(np.float32)
    pictures = rig.gpu.synthesize(inversion, edits)
    same_picture(pictures, rig.host.synthesize(inversion, edits))
    same_picture(pictures[0], rig.gpu.synthesize(inversion)[0])
    assert np.abs(pictures[1].astype(int) - pictures[0].astype(int)).max() > 1


def test_offsets_are_the_cpus(rig: Rig, photos: Photos) -> None:
    inversion = rig.host.invert(photos[0], steps=2)
    ours, want = rig.gpu.weight_offsets(inversion), rig.host.weight_offsets(inversion)
    assert ours.keys() == want.keys()
    for layer, offset in want.items():
        np.testing.assert_allclose(ours[layer], offset, rtol=0, atol=LIMIT * np.abs(offset).max())
