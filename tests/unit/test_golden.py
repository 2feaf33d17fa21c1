"""The authors' own numbers: from a PNG through exported graphs to codes, offsets and images of every step."""

import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.seeded import published_sizes, write_checkpoints
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.quality.tolerance import TOLERANCE
from hyperstyle_deploy.runtime.refinement.loop import Step
from hyperstyle_deploy.runtime.session import Session, load

DATA = Path(__file__).parents[1] / "data"
LIMIT = TOLERANCE["float32"]
Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Golden:
    """A configuration that the authors' code was run on, and for how many steps."""

    tag: str
    size: int
    steps: int
    method: str = "hyperstyle"
    dataset_type: str = "ffhq"
    separable: bool = False

    @property
    def photo(self) -> Path:
        return DATA / f"{'cars' if self.dataset_type == 'cars' else 'faces'}.png"

    @property
    def first(self) -> int:
        """The step whose picture the golden file calls 0: those that refine have one before."""
        return min(self.steps, 1)

    def write_checkpoints(self, folder: Path) -> tuple[Path, ...]:
        """The seeded checkpoints that it was computed with."""
        options = {"separable": True} if self.separable else {}
        return write_checkpoints(
            folder, self.method, published_sizes(self.size), dataset_type=self.dataset_type, **options
        )


FACES256 = Golden("faces256", 256, 3)
CARS512 = Golden("cars512", 512, 3, dataset_type="cars")
SEPARABLE256 = Golden("separable256", 256, 2, separable=True)
FACES1024 = Golden("faces1024", 1024, 3)
PSP256 = Golden("psp256", 256, 0, "psp")
E4E256 = Golden("e4e256", 256, 0, "e4e")
RESTYLE256 = Golden("restyle_e4e256", 256, 3, "restyle-e4e")
OTHERS = (CARS512, SEPARABLE256, FACES1024, PSP256, E4E256, RESTYLE256)


@pytest.fixture(scope="module", params=OTHERS, ids=lambda golden: golden.tag)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Golden, Path]]:
    golden = request.param
    folder = tmp_path_factory.mktemp(golden.tag)
    export(golden.write_checkpoints(folder), folder / "bundle")
    yield golden, folder / "bundle"
    shutil.rmtree(folder)


def test_faces256_matches_the_authors_code(faces256: Session, record_property: Record) -> None:
    check(FACES256, faces256, record_property)


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", available())
def test_configuration_matches_the_authors_code(
    exported: tuple[Golden, Path], backend: str, record_property: Record
) -> None:
    golden, bundle = exported
    check(golden, load(bundle, backend=backend), record_property)


def check(golden: Golden, session: Session, record: Record, limit: float = LIMIT) -> None:
    """Every step within the limit; the largest differences go into the test report (`--junitxml`)."""
    expected = np.load(DATA / f"{golden.tag}.npz")
    found = [
        difference
        for step in session.refine(session.prepare([golden.photo]), golden.steps)
        for difference in differences(golden, session, step, expected)
    ]
    for kind in ("codes", "image", "offset"):
        values = [value for what, value in found if what.startswith(kind)]
        if values:
            record(f"{golden.tag} {session.backend} {kind}", f"{max(values):.1e}")
    outside = [f"{what}: {value:.2e}" for what, value in found if not value <= limit]
    assert not outside, outside


def differences(
    golden: Golden, session: Session, step: Step, expected: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, float]]:
    """What of a step was compared, and by how much it differs at most."""
    yield from picture_differences(golden, step.index, step.codes[0], step.image[0], expected)
    if golden.method != "hyperstyle":
        return
    if step.index == 0:
        yield "image, first", largest(pooled(step.reconstruction[0]), expected["y_hat0_pool64"])
        yield "image, first, crop", largest(step.reconstruction[0][:, 64:128, 64:128], expected["y_hat0_crop64"])
        return
    index = step.index - golden.first
    offsets = session.weight_offsets(session.inversion(step, 0, np.zeros(step.index + 1)))
    assert set(offsets) == {int(key.split("_")[1]) for key in expected if key.startswith(f"delta{index}_")}
    for layer, offset in offsets.items():
        draw = np.random.Generator(np.random.PCG64(zlib.crc32(f"{golden.tag}.delta.{layer}".encode())))
        sample = np.sort(draw.choice(offset.size, 64, replace=False))
        yield f"offset {layer}", largest(offset.ravel()[sample], expected[f"delta{index}_{layer}"])
        stats = np.array([offset.mean(), offset.std(), np.abs(offset).max()])
        yield f"offset {layer}, statistics", largest(stats, expected[f"delta{index}_{layer}_stats"])


def picture_differences(
    golden: Golden, step: int, codes: np.ndarray, image: np.ndarray, expected: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, float]]:
    """What of a step's codes and picture was compared, and by how much it differs at most."""
    if golden.method == "hyperstyle":
        yield "codes", largest(codes, expected["codes"])
    if step < golden.first:
        if "average_image_pool64" in expected:
            yield "image, average", largest(pooled(image), expected["average_image_pool64"])
        return
    index = step - golden.first
    if golden.method != "hyperstyle":
        yield f"codes {step}", largest(codes, expected[f"codes{index}"])
    yield f"image {step}", largest(pooled(image), expected[f"image{index}_pool64"])
    yield f"image {step}, crop", largest(central(image), expected[f"image{index}_crop64"])


def largest(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape
    return float(np.abs(got - want).max())


def pooled(image: np.ndarray) -> np.ndarray:
    """Average pooling of [3, H, W] to [3, 64, 64]; cells are whole pixels at every size tested."""
    channels, height, width = image.shape
    return image.reshape(channels, 64, height // 64, 64, width // 64).mean((2, 4))


def central(image: np.ndarray) -> np.ndarray:
    top, left = (image.shape[1] - 64) // 2, (image.shape[2] - 64) // 2
    return image[:, top : top + 64, left : left + 64]
