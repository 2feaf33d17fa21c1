"""Widths that are read off tensors: of every network, at sizes that differ wherever they may; one flaw is outvoted."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import Checkpoint
from hyperstyle_deploy.export.layout import encoder_shape, generator_shape, hypernet_shape, trunk_shape
from hyperstyle_deploy.export.methods import hyperstyle, inversion
from hyperstyle_deploy.export.methods.recognition import ENCODERS, EncoderClass
from hyperstyle_deploy.export.networks.encoders import build_encoder
from hyperstyle_deploy.export.networks.hypernetwork import HyperNetwork
from hyperstyle_deploy.export.networks.stylegan2 import Generator, GeneratorShape, published_channels
from hyperstyle_deploy.export.seeded import TINY
from hyperstyle_deploy.export.tensors import check_tensors
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.tests.unit.export.conftest import Read

State = Mapping[str, Tensor]


def empty(build: type[torch.nn.Module], *arguments: object) -> State:
    """The tensors that a network declares, without numbers."""
    with torch.device("meta"):
        return build(*arguments).state_dict()


@pytest.mark.parametrize(
    ("size", "multiplier", "channels"),
    [
        (32, 2, (512, 512, 512, 512)),
        (256, 2, (512, 512, 512, 512, 512, 256, 128)),
        (256, 1, (512, 512, 512, 512, 256, 128, 64)),
        (1024, 2, (512, 512, 512, 512, 512, 256, 128, 64, 32)),
    ],
)
def test_the_published_generators(size: int, multiplier: int, channels: tuple[int, ...]) -> None:
    assert published_channels(size, multiplier) == channels
    shape = GeneratorShape(channels)
    assert (shape.size, shape.styles) == (size, 2 * size.bit_length() - 4)


@pytest.mark.parametrize(
    "shape",
    [
        TINY.generator,
        GeneratorShape((9, 8, 7, 6), width=5, mapping=1, taps=2),
        GeneratorShape((2, 4, 6, 8, 3, 5, 7, 9, 1), width=3, mapping=8, taps=6),
        GeneratorShape(published_channels(64, 1)),
    ],
    ids=["tiny", "32 pixels", "1024 pixels", "half-width"],
)
def test_a_generators_widths_and_depths(shape: GeneratorShape) -> None:
    state = empty(Generator, shape)
    assert generator_shape(state, None) == generator_shape(state, shape.size) == shape


@pytest.mark.parametrize("channels", [1, 3, 6, 19])
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_an_encoders_widths_and_depths(encoder: EncoderClass, channels: int) -> None:
    shape = TINY.encoder(encoder, channels)
    with torch.device("meta"):
        state = build_encoder(shape).state_dict()
    trunk = trunk_shape(state, encoder.trunk, None)
    assert trunk == shape.trunk
    assert encoder_shape(state, encoder.head, trunk, shape.rows, shape.width, encoder.progressive) == shape


def test_a_trunk_without_channel_attention() -> None:
    trunk = replace(TINY.trunk("irse", 3), units=tuple(replace(u, squeeze=0) for u in TINY.trunk("irse", 3).units))
    shape = replace(TINY.encoder(ENCODERS["WEncoder"], 3), trunk=trunk)
    with torch.device("meta"):
        state = build_encoder(shape).state_dict()
    assert not [name for name in state if ".fc1." in name]
    assert trunk_shape(state, "irse", 3) == trunk


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("tuned", [range(14), (0, 2, 3, 8, 9), (1, 8), (13,), (5,)], ids=str)
def test_a_hypernetworks_widths_and_blocks(tuned: range | tuple[int, ...], separable: bool) -> None:
    layers = layer_table(TINY.generator.channels)
    shape = TINY.hypernet(layers, list(tuned), separable)
    assert hypernet_shape(empty(HyperNetwork, shape, layers), layers, tuned) == (shape, [])


def test_a_hypernetwork_needs_no_shared_part() -> None:
    layers = layer_table(TINY.generator.channels)
    shape = replace(TINY.hypernet(layers, [8, 9], False), hidden=0, channels=0)
    state = empty(HyperNetwork, shape, layers)
    assert not [name for name in state if "shared" in name]
    assert hypernet_shape(state, layers, [8, 9]) == (shape, [])


def test_a_shared_block_of_a_layer_of_another_shape_is_named() -> None:
    layers = layer_table(TINY.generator.channels)
    state = dict(empty(HyperNetwork, TINY.hypernet(layers, [0, 2, 3], False), layers))
    moved = {name.replace("refinement_blocks.3.", "refinement_blocks.8."): tensor for name, tensor in state.items()}
    _, problems = hypernet_shape(moved, layers, [0, 2, 8])
    assert problems == [
        "misplaced hypernet.refinement_blocks.8: the shared hypernetwork gives [28, 28, 3, 3], the layer has "
        "[20, 28, 3, 3]"
    ]


def flaws(state: State) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """One tensor of each kind taken away, and given another shape: what is to be said, its name, the state."""
    kinds = {re.sub(r"\d+", "N", name): name for name in sorted(state)}
    for name in kinds.values():
        if name.endswith("num_batches_tracked"):
            continue
        yield "missing", name, {other: tensor for other, tensor in state.items() if other != name}
        longer = torch.zeros((*(side + 1 for side in state[name].shape),), device="meta")
        yield "misshapen", name, {**state, name: longer}


def check(checkpoint: Checkpoint) -> None:
    """Compare a file's shapes with the networks that they describe."""
    if any(name.startswith("hypernet.") for name in checkpoint.state):
        layout = hyperstyle.read_layout(checkpoint)
        generator, hypernet = hyperstyle.networks(layout)
        parts: dict[str, torch.nn.Module] = {"hypernet": hypernet, "decoder": generator}
        check_tensors(checkpoint, parts, layout.problems, finite=False)
        return
    shapes = inversion.read_layout(checkpoint)
    generator, encoder = inversion.networks(shapes)
    check_tensors(checkpoint, {"encoder": encoder, "decoder": generator}, finite=False)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("hyperstyle", {}),
        ("hyperstyle", {"separable": True, "layers_to_tune": ""}),
        ("psp", {}),
        ("psp", {"encoder_type": "BackboneEncoderUsingLastLayerIntoWPlus"}),
        ("e4e", {}),
        ("restyle-psp", {"encoder_type": "ResNetBackboneEncoder"}),
    ],
    ids=str,
)
def test_a_flaw_in_any_tensor_is_named(read: Read, method: str, options: dict[str, object]) -> None:
    """Widths are read off the very tensors that are checked: none may be taken for right because it is the measure."""
    checkpoint = read(method, **options)[0]
    check(checkpoint)
    unnamed = []
    for what, name, state in flaws(checkpoint.state):
        with pytest.raises(CheckpointError) as caught:
            check(replace(checkpoint, state=state))
        if f"{what} {name}" not in str(caught.value):
            unnamed.append((what, name, str(caught.value)[:300]))
    assert not unnamed
