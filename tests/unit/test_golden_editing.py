"""The authors' own edits: InterFaceGAN's directions on faces, GANSpace's components on cars, as they draw them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.export.directions import read_values
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.importing import Wanted, directions_from
from hyperstyle_deploy.runtime.manifest.manifest import Manifest
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import small_manifest
from hyperstyle_deploy.tests.unit.test_golden import CARS512, DATA, LIMIT, central, largest, pooled

STEPS = 2
FACTORS = {"m5": -5, "p5": 5}
#: Name -> the component, its rows, and the coordinate that they are moved to.
CAR_EDITS = {
    "pose_1": (0, (0, 5), 2),
    "pose_2": (0, (0, 5), -2),
    "cube": (16, (3, 6), 25),
    "color": (22, (9, 11), -8),
    "grass": (41, (9, 11), -18),
}
Edits = dict[str, dict[Direction, float]]


def published_manifest(styles: int) -> Manifest:
    """A manifest whose codes are of the published width."""
    manifest = small_manifest("psp")
    return replace(manifest, generator=replace(manifest.generator, styles=styles, width=512))


def imported(session: Session, file: str, wanted: Wanted) -> Direction:
    path = DATA / "directions" / file
    (direction,) = directions_from(read_values(path), path, session.manifest, wanted)
    return direction


def check(session: Session, photo: Path, tag: str, edits: Edits) -> None:
    """Codes and pictures within the limit, all drawn in one batch."""
    golden = np.load(DATA / f"{tag}.npz")
    inversion = session.invert(photo, steps=STEPS)
    codes = session.edited_codes(inversion, list(edits.values()))
    images = session.person(inversion).image(codes)
    found = {}
    for name, code, image in zip(edits, codes, images, strict=True):
        found[f"{name} codes"] = largest(code, golden["codes" if name == "inversion" else f"{name}_codes"])
        found[f"{name} image"] = largest(pooled(image), golden[f"{name}_pool64"])
        found[f"{name} crop"] = largest(central(image)[:, 16:48, 16:48], golden[f"{name}_crop32"])
    outside = {what: value for what, value in found.items() if not value <= LIMIT}
    assert not outside
    assert {key.rsplit("_", 1)[0] for key in golden} == {*edits, "codes"}


@pytest.mark.exhaustive
def test_the_authors_face_edits(faces256_bundle: Path) -> None:
    session = load(faces256_bundle, backend="onnxruntime")
    directions = {name: imported(session, f"{name}.pt", Wanted()) for name in ("age", "pose", "smile")}
    assert {direction.rows for direction in directions.values()} == {(0, 14)}
    edits: Edits = {
        f"{name}_{suffix}": {direction: factor}
        for name, direction in directions.items()
        for suffix, factor in FACTORS.items()
    }
    check(session, DATA / "faces.png", "editing_faces256", {"inversion": {}, **edits})


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("cars512")
    yield load(CARS512.export(folder), backend="onnxruntime")
    shutil.rmtree(folder)


@pytest.mark.exhaustive
def test_the_authors_car_edits(cars: Session) -> None:
    edits: Edits = {
        name: {imported(cars, "cars_pca.pt", Wanted(name, rows, None, component)): strength}
        for name, (component, rows, strength) in CAR_EDITS.items()
    }
    check(cars, CARS512.photo, "editing_cars512", {"inversion": {}, **edits})


def test_the_authors_formulas_give_their_codes() -> None:
    """The same without a network: from the golden codes of the inversions."""
    for tag, styles in (("editing_faces256", 14), ("editing_cars512", 16)):
        golden = np.load(DATA / f"{tag}.npz")
        manifest = published_manifest(styles)
        if styles == 16:
            values = read_values(DATA / "directions" / "cars_pca.pt")
            wanted = {name: Wanted(name, rows, None, component) for name, (component, rows, _) in CAR_EDITS.items()}
            path = DATA / "directions" / "cars_pca.pt"
            edits = [
                (name, directions_from(values, path, manifest, wanted[name])[0], strength)
                for name, (_, _, strength) in CAR_EDITS.items()
            ]
        else:
            edits = []
            for name in ("age", "pose", "smile"):
                path = DATA / "directions" / f"{name}.pt"
                direction = directions_from(read_values(path), path, manifest, Wanted())[0]
                edits += [(f"{name}_{suffix}", direction, factor) for suffix, factor in FACTORS.items()]
        for name, direction, strength in edits:
            codes = golden["codes"] + direction.delta(golden["codes"], strength)
            assert largest(codes, golden[f"{name}_codes"]) <= 2e-6, name
