"""The authors' own domain adaptation: ReStyle's codes and HyperStyle's offsets, drawn by a fine-tuned generator."""

import shutil
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.methods.model import Choices, FineTuned
from hyperstyle_deploy.export.seeded import published_sizes, write_checkpoints, write_generator
from hyperstyle_deploy.runtime.backends import Options, open_backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.test_golden import DATA, LIMIT, central, largest, pooled

TAG = "domain_adaptation256"
#: Steps of ReStyle's encoder, and of HyperStyle: the authors' two runs.
RUNS = ((1, 1), (2, 2))


def export_adapted(folder: Path) -> Path:
    """The golden run's checkpoints as a bundle in a folder: minutes, gigabytes."""
    sizes = published_sizes(256)
    paths = write_checkpoints(folder, "hyperstyle", sizes)
    (encoder,) = write_checkpoints(folder, "restyle-e4e", sizes, prefix="restyle/")
    soften(encoder)
    generator = write_generator(folder / "finetuned.pt", sizes)
    choices = Choices(fine_tuned=FineTuned({"toonify": generator}, encoder))
    return export(paths, folder / "bundle", choices=choices).path


@pytest.fixture(scope="module")
def adapted_bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp(TAG)
    yield export_adapted(folder)
    shutil.rmtree(folder)


def soften(checkpoint: Path) -> None:
    """The last layers of the golden run's encoder are a fifth of other seeded ones, so that codes stay codes."""
    content = torch.load(checkpoint, weights_only=True)
    for name in [n for n in content["state_dict"] if n.startswith("encoder.styles.") and ".linear." in n]:
        content["state_dict"][name] *= torch.tensor(0.2)
    torch.save(content, checkpoint)


def opened(path: Path, encoder_steps: int) -> Session:
    """The bundle with other steps of its ReStyle encoder than it was exported with."""
    bundle = Bundle.open(path, generator="toonify")
    generators = tuple(replace(spec, encoder_steps=encoder_steps) for spec in bundle.manifest.generators)
    bundle = replace(bundle, manifest=replace(bundle.manifest, generators=generators))
    return Session(open_backend("onnxruntime", bundle, Options()))


@pytest.mark.exhaustive
@pytest.mark.parametrize("run", range(len(RUNS)))
def test_the_authors_domain_adaptation(adapted_bundle: Path, run: int) -> None:
    golden, (encoder_steps, steps) = np.load(DATA / f"{TAG}.npz"), RUNS[run]
    session = opened(adapted_bundle, encoder_steps)
    inversion = session.invert(DATA / f"{TAG}.png", steps=steps)
    (last,) = [step for step in session.refine(session.prepare([DATA / f"{TAG}.png"]), steps) if step.index == steps]
    image = session.person(inversion).image()[0]
    found = {
        "codes": largest(inversion.codes, golden[f"codes{encoder_steps - 1}"]),
        "HyperStyle's own": largest(pooled(last.reconstruction[0]), golden[f"hyper_image{steps - 1}_pool64"]),
        "image": largest(pooled(image), golden[f"image{run}_pool64"]),
        "crop": largest(central(image), golden[f"image{run}_crop64"]),
    }
    offsets = session.weight_offsets(inversion)
    assert set(offsets) == {14, 15, 17, 18}
    for layer, offset in offsets.items():
        draw = np.random.Generator(np.random.PCG64(zlib.crc32(f"{TAG}.delta.{layer}".encode())))
        sample = np.sort(draw.choice(offset.size, 64, replace=False))
        found[f"offset {layer}"] = largest(offset.ravel()[sample], golden[f"delta{run}_{layer}"])
    assert not {what: value for what, value in found.items() if not value <= LIMIT}
