"""The sides of the benchmarks: the authors' formulation in PyTorch, our runtime, and the work that a stage takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from measure import progress
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hyperstyle_deploy import Bundle, Session
from hyperstyle_deploy.export.checkpoint import read_checkpoint
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.graphs import BATCH, build_graphs
from hyperstyle_deploy.export.hyperstyle import HyperStyle, load_hyperstyle
from hyperstyle_deploy.export.networks.hypernetwork import HyperNetwork
from hyperstyle_deploy.export.networks.irse import WEncoder
from hyperstyle_deploy.export.networks.stylegan2 import Generator
from hyperstyle_deploy.export.seeded import write_checkpoints
from hyperstyle_deploy.kernels.traffic import BYTES
from hyperstyle_deploy.runtime.backends import Options, open_backend
from hyperstyle_deploy.runtime.refinement.loop import invert

STAGES = ("encoder", "hypernet", "weights", "synthesis")
#: The networks' input, and the size of the reconstruction they look at.
INPUT_SIZE = 256


class Side(Protocol):
    """One way to compute an inversion: its stages by name, each on inputs that it holds, and the whole of it."""

    name: str
    stages: Mapping[str, Callable[[], object]]

    def invert(self, steps: int) -> NDArray[np.float32]:
        """The refined images, [B, 3, size, size] float32."""

    def pictures(self, steps: int) -> NDArray[np.uint8]:
        """What a user waits for, from the photos on the host to [B, size, size, 3] on the host."""


class AuthorsEncoder(nn.Module):
    """Codes [B, n_styles, 512] of photos: the W-encoder's code repeated, plus the average code."""

    def __init__(self, encoder: WEncoder, latent_avg: Tensor) -> None:
        super().__init__()
        self.encoder, self.latent_avg = encoder, latent_avg

    def forward(self, photo: Tensor) -> Tensor:
        return self.encoder(photo)[:, None] + self.latent_avg


class AuthorsHypernet(nn.Module):
    """Offsets of one step: nine calls of the shared hypernetwork, channel-wise offsets repeated over the 3x3 kernel.

    The published network returns a view of the latter; the authors' ``repeat`` writes them out.
    """

    def __init__(self, hypernet: HyperNetwork) -> None:
        super().__init__()
        self.hypernet = hypernet

    def forward(self, photo: Tensor, reconstruction: Tensor) -> dict[int, Tensor]:
        offsets = self.hypernet(torch.cat([photo, reconstruction], 1))
        return {index: offset.contiguous() for index, offset in offsets.items()}


class AuthorsGenerator(nn.Module):
    """Image and reconstruction, with weights that carry style, offsets and demodulation."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, codes: Tensor, offsets: dict[int, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        image = self.generator(codes, offsets)
        return image, F.adaptive_avg_pool2d(image, INPUT_SIZE)


class TorchSide:
    """The authors' formulation in PyTorch, eager or with each of its three networks under ``torch.compile``.

    The model's networks move to ``device`` and stay there.
    """

    def __init__(
        self, name: str, model: HyperStyle, batch: NDArray[np.float32], compiled: bool, device: str = "cpu"
    ) -> None:
        self.name = name
        networks: list[Any] = [
            AuthorsEncoder(model.encoder, model.latent_avg.to(device)).to(device),
            AuthorsHypernet(model.hypernet).to(device),
            AuthorsGenerator(model.generator).to(device),
        ]
        self._encoder, self._hypernet, self._generator = map(torch.compile, networks) if compiled else networks
        self._host = torch.from_numpy(batch)
        self._photo = self._host.to(device)
        # The whole loop once, two steps, so that every graph is compiled before a stage is timed.
        self.invert(steps=2)
        with torch.inference_mode():
            self._codes = self._encoder(self._photo)
            _, self._reconstruction = self._generator(self._codes)
            self._offsets = self._hypernet(self._photo, self._reconstruction)
        self.stages = {"encoder": self._encode, "hypernet": self._predict, "synthesis": self._synthesize}

    @torch.inference_mode()
    def _encode(self) -> object:
        return self._encoder(self._photo)

    @torch.inference_mode()
    def _predict(self) -> object:
        return self._hypernet(self._photo, self._reconstruction)

    @torch.inference_mode()
    def _synthesize(self) -> object:
        return self._generator(self._codes, self._offsets)

    @torch.inference_mode()
    def invert(self, steps: int) -> NDArray[np.float32]:
        """The images of the authors' loop, brought to the host."""
        return self._draw(steps).cpu().numpy()

    @torch.inference_mode()
    def pictures(self, steps: int) -> NDArray[np.uint8]:
        """The photos to the device, the authors' loop, and its images as 8 bits on the host."""
        self._photo.copy_(self._host)
        colours = ((self._draw(steps) + 1) / 2).clamp(0, 1) * 255
        return colours.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _draw(self, steps: int) -> Tensor:
        """The authors' loop: the encoder's inversion, then ``steps`` times offsets summed and an image drawn."""
        codes = self._encoder(self._photo)
        image, reconstruction = self._generator(codes)
        offsets: dict[int, Tensor] = {}
        for step in range(steps):
            new = self._hypernet(self._photo, reconstruction)
            offsets = {index: offsets[index] + offset for index, offset in new.items()} if step else new
            image, reconstruction = self._generator(codes, offsets)
        return image


class RuntimeSide:
    """Our runtime in one backend."""

    def __init__(self, name: str, bundle: Bundle, options: Options, batch: NDArray[np.float32]) -> None:
        self.name = name
        self._backend = backend = open_backend(name, bundle, options)
        self._session, self._batch = Session(bundle.manifest, backend), batch

        def rows(array: Any) -> list[Any]:
            return [backend.row(array, index) for index in range(len(batch))]

        # As in the loop, weights are tuned and images drawn a photo at a time.
        photo = backend.upload(batch)
        codes = backend.encode(photo)
        first = [backend.synthesize(code, backend.untuned)[1] for code in rows(codes)]
        reconstruction = backend.concatenate(first)
        each_offsets = rows(backend.predict(photo, reconstruction))
        drawn = [(code, backend.tune(offsets, 1)) for code, offsets in zip(rows(codes), each_offsets, strict=True)]
        self.stages = {
            "encoder": lambda: backend.encode(photo),
            "hypernet": lambda: backend.predict(photo, reconstruction),
            "weights": lambda: [backend.tune(offsets, 1) for offsets in each_offsets],
            # Tuning again may overwrite these weights, with the same values.
            "synthesis": lambda: [backend.synthesize(code, weights) for code, weights in drawn],
        }
        self.stages["synthesis"]()

    def invert(self, steps: int) -> NDArray[np.float32]:
        """``Session.refine``, the last images brought to the host."""
        *_, last = self._session.refine(self._batch, steps)
        return last.image

    def pictures(self, steps: int) -> NDArray[np.uint8]:
        """The work of ``Session.invert``, from its prepared photos to its images."""
        return invert(self._backend, self._session.manifest, self._batch, steps).pixels


@dataclass(frozen=True)
class Work:
    """What one run of a stage must do at least: its FLOPs, and the bytes it must read and write once."""

    flops: int
    bytes: int


def stage_work(model: HyperStyle, bundle: Bundle) -> dict[str, Work]:
    """The work of our stages for one photo.

    FLOPs are two per multiply-accumulate of every convolution and matrix product, counted by PyTorch on the stages that
    are exported; elementwise operations count as none. Bytes are the constants of the stage's ONNX graph, its inputs
    and its outputs, each once; what a stage writes and reads again inside counts as none.
    """
    work = {}
    with torch.no_grad():
        for graph in build_graphs(model):
            if graph.name in STAGES:
                args = [_one(arg, axes) for arg, axes in zip(graph.args, graph.free_axes, strict=True)]
                work[graph.name] = Work(_flops(lambda g=graph, a=args: g.module(*a)), stage_bytes(bundle, graph.name))
    return work


def authors_flops(side: TorchSide) -> dict[str, int]:
    """FLOPs of the authors' stages, counted in the same way; ``side`` must be eager."""
    return {stage: _flops(call) for stage, call in side.stages.items()}


def _flops(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _one(arg: Any, axes: Any) -> Any:
    """The first row of a sample argument with a free batch; stages are traced on two."""
    return arg[:1] if isinstance(axes, dict) and axes.get(0) == BATCH else arg


def stage_bytes(bundle: Bundle, stage: str, batch: int = 1) -> int:
    """Bytes of a stage's constants, inputs and outputs, each once; a free axis is ``batch`` long."""
    spec = bundle.manifest.graphs[stage]
    total = 0
    for tensor in (*spec.inputs, *spec.outputs):
        shape = [batch if isinstance(axis, str) else axis for axis in tensor.shape]
        total += int(np.prod(shape)) * BYTES[tensor.dtype]
    for constant in onnx.load(bundle.graph(stage), load_external_data=False).graph.initializer:
        itemsize = onnx.helper.tensor_dtype_to_np_dtype(constant.data_type).itemsize
        total += int(np.prod(constant.dims)) * itemsize
    return total


def prepare(work: Path, bundle: Path | None, size: int, precision: str = "float32") -> tuple[Bundle, tuple[Path, Path]]:
    """The bundle and the checkpoint pair, made where they are missing.

    Args:
        work: an existing folder that holds or gets `hyperstyle.pt`, `w_encoder.pt` and, without ``bundle``, `bundle`
            (or `bundle-<precision>`).
        bundle: a bundle of that checkpoint pair.
        size: 256, 512 or 1024.
        precision: of a bundle that is made: "float32", "float16" or "bfloat16".

    Raises:
        HyperStyleDeployError: a file cannot be read or written, or a bundle is not valid.
        ValueError: the bundle has another size, crops its image or has the separable hypernetwork.
    """
    checkpoints = (work / "hyperstyle.pt", work / "w_encoder.pt")
    if not all(path.exists() for path in checkpoints):
        progress(f"writing a seeded checkpoint of size {size}")
        write_checkpoints(work, size)
    path = bundle or work / ("bundle" if precision == "float32" else f"bundle-{precision}")
    if not path.exists():
        export(*checkpoints, path, report=lambda doing: progress(f"export: {doing}"), precision=precision)
    opened = Bundle.open(path)
    image = opened.manifest.image
    if (image.size, image.height, image.input_height) != (size, size, INPUT_SIZE) or opened.manifest.separable:
        raise ValueError(f"{path} is not a bundle of square photos at {size} with the shared hypernetwork")
    return opened, checkpoints


def load_model(checkpoints: tuple[Path, Path], bundle: Bundle) -> HyperStyle:
    """The PyTorch networks that the bundle was exported from.

    Raises:
        HyperStyleDeployError: a file cannot be read.
        ValueError: the bundle comes from another checkpoint.
    """
    hyperstyle, w_encoder = map(read_checkpoint, checkpoints)
    recorded = [bundle.manifest.provenance[kind]["sha256"] for kind in ("checkpoint", "w_encoder")]
    if recorded != [hyperstyle.sha256, w_encoder.sha256]:
        raise ValueError(f"{bundle.path} was not exported from the checkpoints beside it")
    model = load_hyperstyle(hyperstyle, w_encoder)
    # The reader maps the files; PyTorch users have their weights in memory, in large pages where the system gives them.
    for network in (model.encoder, model.hypernet, model.generator):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data = tensor.data.clone()
    return model
