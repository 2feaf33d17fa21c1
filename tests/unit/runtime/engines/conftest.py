"""Fixtures of the tests of engine files: a bundle with engines that no library could load, recorded and sealed."""

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import pytest

from hyperstyle_deploy.runtime.backends.engines.keys import graph_digest, profiles
from hyperstyle_deploy.runtime.backends.engines.loading import Machine
from hyperstyle_deploy.runtime.backends.engines.record import (
    Engine,
    Flags,
    Recipe,
    Record,
    engines_folder,
    write_record,
)
from hyperstyle_deploy.runtime.backends.engines.trust import own_key, seal
from hyperstyle_deploy.runtime.backends.gpu import Gpu
from hyperstyle_deploy.runtime.bundle.reader import Bundle

if TYPE_CHECKING:
    from ..conftest import SmallBundle

ADA = Gpu("NVIDIA GeForce RTX 4090", 89)


@dataclasses.dataclass
class EngineBundle:
    """A small bundle that engines can be put into without a library."""

    bundle: Bundle

    def recipe(self, stage: str = "encoder", target: str = "tensorrt-rtx", **changes: object) -> Recipe:
        """What an engine of a stage would be built from, here and now."""
        manifest = self.bundle.manifest
        recipe = Recipe(
            stage=stage,
            target=target,
            graph=graph_digest(self.bundle, stage),
            precision=manifest.precision,
            tool="0.1.0",
            library="1.7.1.116" if target == "tensorrt-rtx" else "11.4.0.106",
            platform=Machine("", "", ADA).platform,
            gpu="" if target == "tensorrt-rtx" else ADA.name,
            compute_capabilities=(89, 120) if target == "tensorrt-rtx" else (89,),
            batch=(1, 1, 4),
            profiles=profiles(manifest.graphs[stage], {"batch": (1, 1, 4)}),
            flags=Flags(),
        )
        return dataclasses.replace(recipe, **changes)

    def engine(self, recipe: Recipe, content: bytes = b"an engine") -> Engine:
        """Write the file and the record of an engine, as a build by this user would."""
        folder = engines_folder(self.bundle.path, recipe.target)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{recipe.stage}-00000000.engine"
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        engine = Engine(recipe, recipe.key, name, len(content), digest, 1.5, "2026-11-22T12:00:00+00:00", "")
        engine = dataclasses.replace(engine, seal=seal(engine, own_key()))
        write_record(self.bundle.path, Record(recipe.target, {recipe.stage: engine}))
        return engine

    def machine(self, recipe: Recipe, **changes: object) -> Machine:
        """A machine that the recipe's engine fits."""
        return dataclasses.replace(Machine(recipe.target, recipe.library, ADA), **changes)


@pytest.fixture
def engines(small_bundle: "SmallBundle") -> EngineBundle:
    return EngineBundle(Bundle.open(small_bundle.path))
