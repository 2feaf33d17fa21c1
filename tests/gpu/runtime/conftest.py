"""A session on each GPU backend that this machine can run, its engines built here; everything skips where it cannot."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.kernels.library import LIBRARY
from hyperstyle_deploy.runtime.backends import BACKENDS, missing
from hyperstyle_deploy.runtime.backends.device import DeviceBackend
from hyperstyle_deploy.runtime.backends.engines.loading import RTX_CAPABILITIES
from hyperstyle_deploy.runtime.backends.engines.record import MODULES
from hyperstyle_deploy.runtime.backends.gpu import Gpu, find_gpu
from hyperstyle_deploy.runtime.session import Session, load

FACES = Path(__file__).parents[2] / "data" / "faces.png"


@dataclass(frozen=True)
class Rig:
    """A bundle, a session of it on a GPU, and one on the CPU to compare with."""

    bundle: Path
    gpu: Session
    host: Session

    @property
    def backend(self) -> DeviceBackend:
        """The backend on the GPU; ``_device`` is a ``CudaDevice``, which counts downloads."""
        return self.gpu._backend


def usable() -> list[str]:
    """GPU backends whose packages are installed, without those that do not support this GPU."""
    names = [name for name, needs in BACKENDS.items() if needs.gpu and not missing(name)]
    if "onnxruntime-cuda" in names:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            names.remove("onnxruntime-cuda")  # the package for CPUs, which has the same module
    gpu = gpu_or_none()
    if gpu and gpu.compute_capability not in RTX_CAPABILITIES:
        names = [name for name in names if name != "tensorrt-rtx"]
    return names


def gpu_or_none() -> Gpu | None:
    """This machine's first GPU."""
    try:
        return find_gpu()
    except BackendError:
        return None


@pytest.fixture(scope="session", params=usable() or [None])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The tiny HyperStyle bundle on a GPU backend, float32 and no TF32."""
    gpu = gpu_or_none()
    if gpu is None:
        pytest.skip("no GPU")
    if request.param is None:
        pytest.skip("no GPU backend is installed that supports this GPU")
    if not LIBRARY.exists():
        pytest.skip("the CUDA kernel is not built: python -m hyperstyle_deploy.kernels.build")
    source = request.getfixturevalue("tiny_bundle")  # only now: exporting it takes a while
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPERSTYLE_DEPLOY_STATE", str(folder / "state"))
        patch.setenv("HYPERSTYLE_DEPLOY_CACHE", str(folder / "cache"))
        bundle = Path(shutil.copytree(source, folder / "bundle"))
        if request.param in MODULES:
            build_engines(bundle, request.param, gpu)
        yield Rig(bundle, load(bundle, backend=request.param), load(bundle, backend="onnxruntime"))


def build_engines(bundle: Path, target: str, gpu: Gpu) -> None:
    """What `hyperstyle-deploy build` does, for this GPU and batches of 1 to 4."""
    from hyperstyle_deploy.export.engines.builder import build
    from hyperstyle_deploy.export.engines.targets import Options

    build(bundle, target, options=Options((1, 1, 4), (gpu.compute_capability,) if target == "tensorrt-rtx" else ()))


@pytest.fixture(scope="session")
def photos() -> list[NDArray[np.uint8]]:
    """Two photos of odd sizes."""
    faces = Image.open(FACES).convert("RGB")
    return [np.asarray(faces.resize((301, 257))), np.asarray(faces.rotate(90).resize((199, 333)))]
