"""The authors' optimisations at 256 through C++: within what Python is held to, and bit for bit what Python finds.

In the published layout with seeded weights: minutes and gigabytes, so with the exhaustive tests alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.methods.tuning import Tuning
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.cpp.conftest import LONGEST, Probe
from hyperstyle_deploy.tests.unit.cpp.test_optimisation import check_states, read_states
from hyperstyle_deploy.tests.unit.golden_graphs import GraphsBundle
from hyperstyle_deploy.tests.unit.golden_optimisation import (
    DATA,
    Given,
    check_projection,
    check_tuning,
    pivot,
    projection_draws,
    tuning_draws,
    tuning_steps,
)
from hyperstyle_deploy.tests.unit.test_golden_idinvert import STEPS, errors_of, outside

pytestmark = pytest.mark.exhaustive
FACE = DATA / "faces.png"
Golden: TypeAlias = Callable[[str], GraphsBundle]


@pytest.fixture
def probe(release: Path) -> Probe:
    return Probe(release / "probe", LONGEST)


def given_session(bundle: Path, method: str, settings: Settings, given: Given) -> Session:
    """Python's, on the same draws."""
    session = load(bundle, backend="onnxruntime", threads=2, method=method, settings=settings)
    session._backend.method.draws = given.draws  # type: ignore[attr-defined]
    return session


@pytest.mark.parametrize("variant", ["w", "wplus"])
def test_a_projection_is_the_authors(probe: Probe, golden: Golden, tmp_path: Path, variant: str) -> None:
    projected = golden("projection").write()
    space, weights = ("w", {}) if variant == "w" else ("w+", {"mse": 1.0})
    session = load(projected, backend="onnxruntime", method="projection")
    generator = session.manifest.generator
    sides = [layer.resolution for layer in generator.layers if layer.demodulated]
    given = projection_draws(variant, sides, generator.styles, generator.width)
    told = [f"{term}={weight}" for term, weight in weights.items()]
    states = read_states(probe, session, FACE, tmp_path, 5, space, given.write(tmp_path / "draws"), told)
    check_projection(states, variant, sides)
    own = given_session(projected, "projection", Settings(space=space, loss=weights), given)
    check_states(states, own, FACE)


@pytest.mark.parametrize("variant", ["alex", "locality"])
def test_a_tuning_is_the_authors(probe: Probe, golden: Golden, tmp_path: Path, variant: str) -> None:
    tuned = golden("alex").write()
    generator = read_manifest(tuned).generator
    given, codes = tuning_draws(generator.width), pivot(generator.styles, generator.width)
    # With a pivot nothing asks for the encoder, which this bundle has in name only.
    session = load(tuned, backend="onnxruntime", method="pti", settings=Settings(pivot=codes))
    method = session._backend.method
    assert isinstance(method, Tuning)
    folder = given.write(tmp_path / "draws")
    (folder / "pivot.0").write_bytes(codes.tobytes())
    locality = variant == "locality"
    form = "held locally" if locality else "w+"
    states = read_states(probe, session, FACE, tmp_path, tuning_steps(variant), form, folder)
    check_tuning(states, variant, method.tensors)
    check_states(states, given_session(tuned, "pti", Settings(pivot=codes, locality=locality), given), FACE)


def test_idinvert_is_the_authors(probe: Probe, in_domain256: Path, tmp_path: Path) -> None:
    session = load(in_domain256, backend="onnxruntime", threads=2)
    states = read_states(probe, session, DATA / "idinvert.png", tmp_path, STEPS)
    assert not outside(errors_of(states, dict(np.load(DATA / "idinvert256.npz"))))
    check_states(states, session, DATA / "idinvert.png")
