"""HyperStyle's two files as one checked model: configuration, networks and average code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..runtime.manifest.layers import SIZES, Layer, layer_count, layer_table, style_count
from ..runtime.manifest.manifest import ImageSpec
from .checkpoint import Checkpoint
from .networks.hypernetwork import HyperNetwork
from .networks.irse import WEncoder
from .networks.stylegan2 import Generator

METHOD = "hyperstyle"
DEFAULT_STEPS = 5
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
HYPERNETS = {"SharedWeightsHyperNetResNet": False, "SharedWeightsHyperNetResNetSeparable": True}


@dataclass(frozen=True)
class Config:
    """What the options of a HyperStyle checkpoint say about its networks."""

    size: int
    domain: str
    separable: bool
    layers: tuple[Layer, ...]

    @property
    def cars(self) -> bool:
        """Cars are 192x256 photos; of the square result only the middle three quarters of the rows are the image."""
        return self.domain == "cars"

    @property
    def image(self) -> ImageSpec:
        """Sizes of the photo and of the result."""
        rows = (self.size // 8, self.size * 7 // 8) if self.cars else (0, self.size)
        return ImageSpec(self.size, 192 if self.cars else 256, 256, rows)


@dataclass(frozen=True)
class HyperStyle:
    """The loaded networks, in evaluation mode, float32 on the CPU; ``latent_avg`` is [n_styles, 512]."""

    config: Config
    encoder: WEncoder
    hypernet: HyperNetwork
    generator: Generator
    latent_avg: Tensor


def is_hyperstyle(checkpoint: Checkpoint) -> bool:
    """Whether the file holds a hypernetwork."""
    return any(name.startswith("hypernet.") for name in checkpoint.state)


def read_config(checkpoint: Checkpoint) -> Config:
    """Read the options that shape the networks.

    Raises:
        CheckpointError: not a HyperStyle checkpoint, or an option is missing or of an unsupported value.
    """
    if not is_hyperstyle(checkpoint):
        parts = sorted({name.split(".")[0] for name in checkpoint.state})
        hint = "This looks like the W-encoder's file: pass it with --w-encoder." if "encoder" in parts else None
        raise CheckpointError(
            f"{checkpoint.path} is not a HyperStyle checkpoint",
            got=f"a state_dict of {parts[:12]}",
            expected="hypernet.* and decoder.*",
            hint=hint,
        )
    kind, size = _option(checkpoint, "encoder_type", str), _option(checkpoint, "output_size", int)
    if kind not in HYPERNETS:
        raise _unsupported(checkpoint, "encoder_type", kind, sorted(HYPERNETS))
    if size not in SIZES:
        raise _unsupported(checkpoint, "output_size", size, SIZES)
    channels = _option(checkpoint, "input_nc", int, 6)
    if channels != 6:
        raise _unsupported(checkpoint, "input_nc", channels, "6: photo and reconstruction")
    separable = HYPERNETS[kind]
    tuned = _tuned_layers(checkpoint, _option(checkpoint, "layers_to_tune", str, ""), size)
    domain = _domain(_option(checkpoint, "dataset_type", str, ""))
    return Config(size, domain, separable, layer_table(size, tuned, separable))


def load_hyperstyle(checkpoint: Checkpoint, w_encoder: Checkpoint) -> HyperStyle:
    """Build the networks and give them the files' tensors, without copying them.

    Args:
        checkpoint: HyperStyle's file (``hypernet.*``, ``decoder.*``, ``latent_avg``).
        w_encoder: the W-encoder's file (``encoder.*``; its own ``latent_avg`` and ``decoder.*`` are not used).

    Raises:
        CheckpointError: an unsupported option; missing, unexpected, misshapen or non-finite tensors, all named at once.
    """
    config = read_config(checkpoint)
    with torch.device("meta"):
        hypernet, generator, encoder = HyperNetwork(config.layers), Generator(config.size), WEncoder()
    check_tensors(checkpoint, {"hypernet": hypernet, "decoder": generator})
    check_tensors(w_encoder, {"encoder": encoder})
    for network, state in (
        (hypernet, checkpoint.part("hypernet")),
        (generator, checkpoint.part("decoder")),
        (encoder, w_encoder.part("encoder")),
    ):
        network.load_state_dict({name: _float(t) for name, t in state.items()}, assign=True, strict=False)
        network.eval().requires_grad_(False)
    return HyperStyle(config, encoder, hypernet, generator, average_code(checkpoint, style_count(config.size)))


def check_tensors(checkpoint: Checkpoint, networks: Mapping[str, nn.Module]) -> None:
    """Compare a file with the tensors that the networks declare, under their prefixes.

    Raises:
        CheckpointError: naming every missing, unexpected, misshapen, non-finite or wrongly shared tensor.
    """
    problems: list[str] = []
    for prefix, network in networks.items():
        declared = {f"{prefix}.{name}": tensor for name, tensor in network.state_dict().items()}
        found = {f"{prefix}.{name}": tensor for name, tensor in checkpoint.part(prefix).items()}
        # A batch norm counts its batches for training only; files saved by old releases lack the counter.
        problems += [f"missing {n}" for n in declared if n not in found and not n.endswith("num_batches_tracked")]
        problems += [f"unexpected {name}" for name in found if name not in declared]
        common = [name for name in declared if name in found]
        problems += [
            f"misshapen {name}: got {list(found[name].shape)}, expected {list(declared[name].shape)}"
            for name in common
            if found[name].shape != declared[name].shape
        ]
        problems += [
            f"of the wrong type {name}: got {found[name].dtype}, expected {declared[name].dtype}"
            for name in common
            if (found[name].dtype in _FLOATS) != declared[name].is_floating_point()
        ]
        problems += [f"not finite {name}" for name in common if not _is_finite(found[name])]
        problems += _unequal_copies(found)
    if problems:
        raise CheckpointError(
            f"{checkpoint.path} does not hold the networks its options describe",
            got=f"{len(problems)} problems:\n  " + "\n  ".join(problems),
        )


def average_code(checkpoint: Checkpoint, n_styles: int) -> Tensor:
    """The average code of W as [n_styles, 512] float32, from [512], [1, 512] or [n_styles, 512].

    Raises:
        CheckpointError: there is none, or it has another shape.
    """
    average = checkpoint.latent_avg
    if average is None:
        raise CheckpointError(
            f"{checkpoint.path} has no latent_avg", hint="HyperStyle needs it: codes are relative to it."
        )
    fits = tuple(average.shape) in ((512,), (1, 512), (n_styles, 512)) and average.dtype in _FLOATS
    if not fits or not _is_finite(average):
        raise CheckpointError(
            f"{checkpoint.path} has an unusable latent_avg",
            got=f"{average.dtype} {list(average.shape)}" + (", not finite" if fits else ""),
            expected=f"finite floats [512], [1, 512] or [{n_styles}, 512]",
        )
    return _float(average).expand(n_styles, 512).contiguous()


def _option(checkpoint: Checkpoint, name: str, kind: type, default: object = None) -> Any:
    value = checkpoint.opts.get(name, default)
    if value is None:
        options = sorted(map(str, checkpoint.opts))
        raise CheckpointError(f"{checkpoint.path} lacks the option {name}", got=f"options {options[:40]}")
    if type(value) is not kind:  # bool is an int to Python; a tensor or a list may not even be comparable
        raise _unsupported(checkpoint, name, f"a {type(value).__name__}", f"a value of type {kind.__name__}")
    return value


def _unsupported(checkpoint: Checkpoint, name: str, got: object, expected: object) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.path}: the option {name} is not supported", got=str(got)[:80], expected=expected
    )


def _tuned_layers(checkpoint: Checkpoint, option: str, size: int) -> list[int]:
    """Layer indices of ``layers_to_tune``: a comma list, '' for all; past the generator's last they mean nothing."""
    if not option:
        return list(range(layer_count(size)))
    try:
        indices = [int(index) for index in option.split(",")]
    except ValueError as error:
        raise _unsupported(checkpoint, "layers_to_tune", option, "a comma list of layer indices") from error
    tuned = sorted({index for index in indices if 0 <= index < layer_count(size)})
    if not tuned:
        raise _unsupported(checkpoint, "layers_to_tune", option, f"at least one of 0 to {layer_count(size) - 1}")
    return tuned


def _domain(dataset_type: str) -> str:
    for word, domain in (("cars", "cars"), ("wild", "wild"), ("ffhq", "faces"), ("celeb", "faces")):
        if word in dataset_type:
            return domain
    return dataset_type.removesuffix("_hypernet") or "unknown"


def _float(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _is_finite(tensor: Tensor) -> bool:
    # The sum is finite unless a term is not (or float64 overflows, which weights never do): one pass, no mask.
    return tensor.dtype not in _FLOATS or bool(torch.isfinite(tensor.float().sum(dtype=torch.float64)))


def _unequal_copies(found: Mapping[str, Tensor]) -> list[str]:
    """The refinement blocks repeat the shared hypernetwork's tensors; each copy must be the one tensor."""
    problems = []
    for name, tensor in found.items():
        original = found.get(f"hypernet.shared_weight_hypernet.{name.rpartition('.')[2]}")
        if ".hypernet." not in name or original is None or original.data_ptr() == tensor.data_ptr():
            continue
        if original.dtype != tensor.dtype or not torch.equal(original, tensor):
            problems.append(f"{name} differs from the shared hypernetwork's")
    return problems
