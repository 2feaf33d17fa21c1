"""The sides of the benchmarks: the authors' formulation in PyTorch, our runtime, and the work that a stage takes."""

from collections import defaultdict, deque
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
from torch.utils.flop_counter import FlopCounterMode

from hyperstyle_deploy import Bundle, Session
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.graphs import build_graphs
from hyperstyle_deploy.export.methods.loading import load_model as load_networks
from hyperstyle_deploy.export.methods.loading import read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES, Model
from hyperstyle_deploy.export.networks.encoders import Encoder
from hyperstyle_deploy.export.networks.hypernetwork import HyperNetwork
from hyperstyle_deploy.export.networks.stylegan2 import Generator
from hyperstyle_deploy.export.published_loop import reconstruction
from hyperstyle_deploy.export.seeded import published_sizes, write_checkpoints
from hyperstyle_deploy.kernels.traffic import BYTES
from hyperstyle_deploy.runtime.backends import Options, open_backend
from hyperstyle_deploy.runtime.backends.wrapper import Wrapper
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec
from hyperstyle_deploy.runtime.methods.base import BATCH, Arrays
from hyperstyle_deploy.runtime.refinement.loop import refine

#: What is timed, by the names of the loop's graphs; a method has those that it runs.
STAGES = ("encoder", "hypernet", "weights", "synthesis_one")
#: Graphs that run once a photo; the others run once a batch.
PER_PHOTO = ("weights", "synthesis_one")


class Side(Protocol):
    """One way to compute an inversion: its stages by name, each on inputs that it holds, and the whole of it."""

    name: str
    stages: Mapping[str, Callable[[], object]]

    def invert(self, steps: int) -> NDArray[np.float32]:
        """The images, [B, 3, size, size] float32."""

    def pictures(self, steps: int) -> NDArray[np.uint8]:
        """What a user waits for, from the photos on the host to [B, size, size, 3] on the host."""


class AuthorsEncoder(nn.Module):
    """Codes [B, styles, width], the average code added if the encoder gives differences to it."""

    def __init__(self, encoder: Encoder, average: Tensor | None) -> None:
        super().__init__()
        self.encoder, self.average = encoder, average

    def forward(self, pictures: Tensor) -> Tensor:
        codes = self.encoder(pictures)
        return codes if self.average is None else codes + self.average


class AuthorsHypernet(nn.Module):
    """Offsets of one step: nine calls of the shared hypernetwork, channel-wise offsets repeated over the 3x3 kernel.

    The published network returns a view of the latter; the authors' ``repeat`` writes them out.
    """

    def __init__(self, hypernet: HyperNetwork) -> None:
        super().__init__()
        self.hypernet = hypernet

    def forward(self, pictures: Tensor) -> dict[int, Tensor]:
        return {index: offset.contiguous() for index, offset in self.hypernet(pictures).items()}


class AuthorsGenerator(nn.Module):
    """Image and reconstruction, with weights that carry style, offsets and demodulation."""

    def __init__(self, generator: Generator, image: ImageSpec) -> None:
        super().__init__()
        self.generator, self.image = generator, image

    def forward(self, codes: Tensor, offsets: dict[int, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        drawn = self.generator(codes, offsets)
        return drawn, reconstruction(drawn, self.image)


class TorchSide:
    """The authors' formulation in PyTorch, eager or with each of its networks under ``torch.compile``.

    The model's networks move to ``device`` and stay there.
    """

    def __init__(
        self, name: str, model: Model, batch: NDArray[np.float32], compiled: bool, device: str = "cpu"
    ) -> None:
        self.name, self._refines = name, model.hypernet is not None or model.average is None

        def network(module: nn.Module) -> Any:
            return torch.compile(module.to(device)) if compiled else module.to(device)

        average = None if model.average is None else model.average.to(device)
        self._encoder = network(AuthorsEncoder(model.encoder, average))
        self._generator = network(AuthorsGenerator(model.generator, model.image))
        self._hypernet = None if model.hypernet is None else network(AuthorsHypernet(model.hypernet))
        self._average = model.latent_avg.to(device)
        self._host = torch.from_numpy(batch)
        self._photo = self._host.to(device)
        # The whole loop once, two steps, so that every graph is compiled before a stage is timed.
        self.invert(steps=2)
        with torch.inference_mode():
            # A tensor of inference's own, as the loop's are: for another kind the generator would be compiled again.
            codes = self._average.expand(len(batch), -1, -1).clone()
            _, drawn = self._generator(codes)
            pair = torch.cat([self._photo, drawn], 1)
            self._looked_at = pair if average is None else self._photo
            offsets = None if self._hypernet is None else self._hypernet(pair)
        self.stages = {
            "encoder": torch.inference_mode()(lambda: self._encoder(self._looked_at)),
            "synthesis_one": torch.inference_mode()(lambda: self._generator(codes, offsets)),
        }
        if self._hypernet is not None:
            self.stages["hypernet"] = torch.inference_mode()(lambda: self._hypernet(pair))

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
        """The authors' loop: a start, then ``steps`` times codes or offsets summed and an image drawn."""
        looks_back = self._refines and self._hypernet is None
        start = self._average.expand(len(self._photo), -1, -1).contiguous()
        codes = start if looks_back else self._encoder(self._photo)
        image, drawn = self._generator(codes)
        offsets: dict[int, Tensor] = {}
        for step in range(steps if self._refines else 0):
            pair = torch.cat([self._photo, drawn], 1)
            if looks_back:
                codes = codes + self._encoder(pair)
                image, drawn = self._generator(codes)
                continue
            new = self._hypernet(pair)
            offsets = {index: offsets[index] + offset for index, offset in new.items()} if step else new
            image, drawn = self._generator(codes, offsets)
        return image


class LastInputs(Wrapper):
    """Keeps what each graph was given last: of those that run once a photo, for every photo."""

    def __init__(self, inner: Any, photos: int) -> None:
        super().__init__(inner)
        self._photos = photos
        self.given: dict[str, deque[Arrays]] = defaultdict(deque)

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        kept = self.given[graph]
        kept.append(inputs)
        while len(kept) > (self._photos if graph in PER_PHOTO else 1):
            kept.popleft()
        return super().run(graph, inputs)


class RuntimeSide:
    """Our runtime in one backend."""

    def __init__(self, name: str, bundle: Bundle, options: Options, batch: NDArray[np.float32]) -> None:
        self.name = name
        self._backend = backend = open_backend(name, bundle, options)
        self._session, self._batch = Session(backend), batch
        noting = LastInputs(backend, len(batch))
        for _ in refine(noting, batch, 1 if backend.method.refines else 0):
            pass
        self.stages = {
            graph: lambda graph=graph, given=tuple(given): [backend.run(graph, inputs) for inputs in given]
            for graph, given in noting.given.items()
        }

    def invert(self, steps: int) -> NDArray[np.float32]:
        """``Session.refine``, the last images brought to the host."""
        *_, last = self._session.refine(self._batch, steps)
        return last.image

    def pictures(self, steps: int) -> NDArray[np.uint8]:
        """The work of ``Session.invert``, from its prepared photos to its images."""
        *_, last = self._session.refine(self._batch, steps)
        return np.stack([last.pixels(photo) for photo in range(len(self._batch))])


@dataclass(frozen=True)
class Work:
    """What one run of a stage must do at least: its FLOPs, and the bytes it must read and write once."""

    flops: int
    bytes: int


def stage_work(model: Model, bundle: Bundle) -> dict[str, Work]:
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


def checkpoint_files(work: Path, method: str) -> tuple[Path, ...]:
    """The files of a method's seeded checkpoints, in the order of `export`."""
    names = ("hyperstyle", "w_encoder") if method == "hyperstyle" else (method.replace("-", "_"),)
    return tuple(work / f"{name}.pt" for name in names)


def prepare(
    work: Path, bundle: Path | None, size: int, precision: str = "float32", method: str = "hyperstyle"
) -> tuple[Bundle, tuple[Path, ...]]:
    """The bundle and its checkpoints, made where they are missing.

    Args:
        work: an existing folder that holds or gets the checkpoints and, without ``bundle``, `bundle` (or
            `bundle-<precision>`).
        bundle: a bundle of those checkpoints.
        size: 256, 512 or 1024.
        precision: of a bundle that is made: "float32", "float16" or "bfloat16".
        method: as bundles call it.

    Raises:
        HyperStyleDeployError: a file cannot be read or written, or a bundle is not valid.
        ValueError: the bundle has another size or method, or crops its image.
    """
    checkpoints = checkpoint_files(work, method)
    if not all(path.exists() for path in checkpoints):
        progress(f"writing seeded checkpoints of {method} at {size}")
        write_checkpoints(work, method, published_sizes(size))
    path = bundle or work / ("bundle" if precision == "float32" else f"bundle-{precision}")
    if not path.exists():
        export(checkpoints, path, report=lambda doing, _: progress(f"export: {doing}"), precision=precision)
    opened = Bundle.open(path)
    manifest = opened.manifest
    if (manifest.method.name, manifest.generator.size, manifest.image.height) != (method, size, size):
        raise ValueError(f"{path} is not a bundle of {method} and square photos at {size}")
    return opened, checkpoints


def load_model(checkpoints: tuple[Path, ...], bundle: Bundle) -> Model:
    """The PyTorch networks that the bundle was exported from.

    Raises:
        HyperStyleDeployError: a file cannot be read.
        ValueError: the bundle comes from other checkpoints.
    """
    files = read_checkpoints(checkpoints)
    if [entry.sha256 for entry in bundle.manifest.checkpoints] != [file.sha256 for file in files]:
        raise ValueError(f"{bundle.path} was not exported from the checkpoints beside it")
    model = load_networks(files, NO_CHOICES)
    # The reader maps the files; PyTorch users have their weights in memory, in large pages where the system gives them.
    for network in (model.encoder, model.hypernet, model.generator):
        for tensor in () if network is None else (*network.parameters(), *network.buffers()):
            tensor.data = tensor.data.clone()
    return model
