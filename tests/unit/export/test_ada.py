"""StyleGAN2-ADA's published pickles: read without running them, drawn as ADA's own formulas say, or refused."""

import pickle
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import read_generator
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import Choices, FineTuned
from hyperstyle_deploy.export.seeded import TINY
from hyperstyle_deploy.tests.unit.export.conftest import Written

SIDES = (4, 8, 16, 32, 64)
WIDTH = TINY.generator.width
CHANNELS = dict(zip(SIDES, TINY.generator.channels, strict=True))
#: As `upfirdn2d.setup_filter([1, 3, 3, 1])` has it.
FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def convolution(ada: Any, into: int, out: int, side: int | None, kernel: int = 3) -> nn.Module:
    """A layer of ADA's with random numbers; ``side`` is that of its noise, None of toRGB."""
    layer = ada("SynthesisLayer" if side else "ToRGBLayer", weight=torch.randn(out, into, kernel, kernel))
    layer.bias = nn.Parameter(torch.randn(out))
    layer.affine = ada("FullyConnectedLayer", weight=torch.randn(into, WIDTH), bias=torch.ones(into))
    if side:
        layer.noise_strength = nn.Parameter(torch.randn([]))
        layer.register_buffer("noise_const", torch.randn(side, side))
        layer.register_buffer("resample_filter", FILTER.clone())
    return layer


@pytest.fixture
def generator(ada: Any) -> nn.Module:
    """One of the tiny generator's widths, not seeded as anything else is."""
    torch.manual_seed(3)
    synthesis, mapping = ada("SynthesisNetwork"), ada("MappingNetwork", w_avg=torch.zeros(WIDTH))
    for index in range(TINY.generator.mapping):
        fully = ada("FullyConnectedLayer", weight=torch.randn(WIDTH, WIDTH), bias=torch.randn(WIDTH))
        mapping.add_module(f"fc{index}", fully)
    for before, side in zip((0, *SIDES), SIDES, strict=False):
        block, out = ada("SynthesisBlock", resample_filter=FILTER.clone()), CHANNELS[side]
        if before:
            block.conv0 = convolution(ada, CHANNELS[before], out, side)
        else:
            block.const = nn.Parameter(torch.randn(out, 4, 4))
        block.conv1, block.torgb = convolution(ada, out, out, side), convolution(ada, out, 3, None, kernel=1)
        synthesis.add_module(f"b{side}", block)
    made: nn.Module = ada("Generator")
    made.synthesis, made.mapping = synthesis, mapping
    return made


@pytest.fixture
def published(ada: Any, generator: nn.Module, tmp_path: Path) -> Path:
    """As `train.py` writes it: options, networks, numbers inside the one pickle."""
    content = {"training_set_kwargs": {"path": "x"}, "G": ada("Generator"), "D": ada("Discriminator")}
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(pickle.dumps({**content, "augment_pipe": None, "G_ema": generator}, protocol=3))
    return path


def modulated(x: Tensor, layer: Any, code: Tensor, up: bool = False, demodulate: bool = True) -> Tensor:
    """ADA's `modulated_conv2d`, of one sample, with `conv2d_resample` of factor 2 written out."""
    style = code @ (layer.affine.weight / WIDTH**0.5).T + layer.affine.bias
    weight = layer.weight
    if not demodulate:
        style = style / weight[0].numel() ** 0.5
    weight = weight * style[:, None, None]
    if demodulate:
        weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
    if not up:
        return functional.conv2d(x, weight, padding=weight.shape[2] // 2)
    # A transposed convolution is with the kernel as it lies, of the flipped weight: flip_weight is off for up.
    x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    taps = 4 * FILTER.expand(x.shape[1], 1, 4, 4)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1)), taps, groups=x.shape[1])


def upsampled(image: Tensor) -> Tensor:
    """`upfirdn2d.upsample2d` by 2."""
    spread = torch.zeros(1, 3, 2 * image.shape[2], 2 * image.shape[3])
    spread[:, :, ::2, ::2] = image
    return functional.conv2d(functional.pad(spread, (2, 1, 2, 1)), 4 * FILTER.expand(3, 1, 4, 4), groups=3)


def activated(x: Tensor, layer: Any) -> Tensor:
    noisy = x + layer.noise_const * layer.noise_strength
    return functional.leaky_relu(noisy + layer.bias[:, None, None], 0.2) * 2**0.5


def drawn(synthesis: Any, codes: Tensor) -> Tensor:
    """ADA's `SynthesisNetwork` of architecture "skip", with constant noise."""
    image, rows = None, iter(codes)
    for side in SIDES:
        block = getattr(synthesis, f"b{side}")
        if side == SIDES[0]:
            x = block.const[None]
        else:
            x = activated(modulated(x, block.conv0, next(rows), up=True), block.conv0)
        x = activated(modulated(x, block.conv1, next(rows)), block.conv1)
        *_, row = codes[: 2 * SIDES.index(side) + 2]
        rgb = modulated(x, block.torgb, row, demodulate=False) + block.torgb.bias[:, None, None]
        image = rgb if image is None else upsampled(image) + rgb
    return image


@torch.no_grad()
def test_it_draws_as_ada_does_and_nothing_of_it_runs(
    written: Written, generator: nn.Module, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        monkeypatch.delitem(sys.modules, name)  # where the file is read there is no StyleGAN2-ADA
    monkeypatch.chdir(tmp_path)
    model = load_model(read_checkpoints(written()), Choices(fine_tuned=FineTuned({"toonify": published})))
    assert not (tmp_path / "ran").exists()
    codes = torch.randn(1, TINY.generator.styles, WIDTH)
    found, expected = model.further[0].generator(codes), drawn(generator.synthesis, codes[0])
    torch.testing.assert_close(found, expected, atol=5e-5 * float(expected.abs().max()), rtol=0)
    code, own = torch.randn(1, WIDTH), model.further[0].generator
    mapped = code * (code.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for layer in generator.mapping.children():
        mapped = mapped @ (layer.weight * (0.01 / WIDTH**0.5)).T + layer.bias * 0.01
        mapped = functional.leaky_relu(mapped, 0.2) * 2**0.5
    torch.testing.assert_close(own.style(code), mapped, atol=1e-5, rtol=1e-4)


def test_pickles_of_every_protocol_and_numbers_of_other_types(ada: Any, generator: nn.Module, tmp_path: Path) -> None:
    generator.half()
    states = []
    for protocol in (2, 3, 4, 5):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": generator}, protocol=protocol))
        states.append(read_generator(tmp_path / "a.pkl").state)
    for state in states[1:]:
        assert set(state) == set(states[0])
        assert all(torch.equal(tensor, states[0][name]) for name, tensor in state.items())
    assert states[0]["g_ema.conv1.conv.weight"].dtype == torch.float16


class Foreign(nn.Module):
    """What no published file holds."""


def others(ada: Any) -> Iterator[tuple[Any, str]]:
    yield {}, r"no generator of StyleGAN2-ADA\. Got: keys \[\].*rosinality's names"
    yield [1], r"no generator of StyleGAN2-ADA\. Got: list"
    yield {"G_ema": {"conv1": 1}}, "no generator of StyleGAN2-ADA"
    yield {"G_ema": ada("Discriminator")}, "no generator of StyleGAN2-ADA"
    yield {"G_ema": Foreign()}, r"asks for Python code to be run\. Got: .*Foreign.*Save it again"
    third = ada("Generator")
    third.synthesis = ada("SynthesisNetwork")
    third.synthesis.L0_36_512 = ada("SynthesisLayer", weight=torch.ones(1))
    yield {"G_ema": third}, r"another architecture than StyleGAN2's\. Got: synthesis\.L0_36_512.*StyleGAN3"
    short = ada("Generator")
    short.synthesis = ada("SynthesisNetwork")
    short.synthesis.b4 = ada("SynthesisBlock", const=torch.ones(TINY.generator.channels[0], 4, 4))
    yield {"G_ema": short}, "not fine-tuned from the bundle"


def test_what_is_no_such_generator_is_refused_with_the_way_round(ada: Any, written: Written, tmp_path: Path) -> None:
    path = tmp_path / "other.pkl"
    for content, said in others(ada):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(CheckpointError, match=said):
            load_model(read_checkpoints(written()), Choices(fine_tuned=FineTuned({"toonify": path})))


def test_tensorflows_files_are_refused_with_the_way_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = types.ModuleType("dnnlib.tflib.network")
    network.Network = type("Network", (), {"__module__": "dnnlib.tflib.network"})  # type: ignore[attr-defined]
    for name in ("dnnlib", "dnnlib.tflib"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "dnnlib.tflib.network", network)
    (tmp_path / "karras.pkl").write_bytes(pickle.dumps((network.Network(), 1)))
    with pytest.raises(CheckpointError, match=r"dnnlib\.tflib\.network\.Network.*rosinality's convert_weight"):
        read_generator(tmp_path / "karras.pkl")


def test_damaged_and_hostile_pickles_are_refused(published: Path, tmp_path: Path) -> None:
    sound = published.read_bytes()
    inner = re.search(rb"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.\x80\x02M\xe9\x03\.", sound)
    assert inner is not None
    at = inner.start()
    cases = [sound[:cut] for cut in (1, 100, at + 10, len(sound) // 2, len(sound) - 1)]
    for place, new in ((at + 20, b"\xea"), (at, b"\x81"), (at + 3, b"\x0b")):
        cases.append(sound[:place] + new + sound[place + 1 :])
    # A length that nobody has the memory for, and code that nobody runs.
    cases += [b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f", b"\x80\x03B\xff\xff\xff\xffabc", b"cos\nsystem\n(S'true'\ntR."]
    for case in cases:
        (tmp_path / "bad.pkl").write_bytes(case)
        with pytest.raises(CheckpointError):
            read_generator(tmp_path / "bad.pkl")


def test_numbers_that_are_asked_for_again_and_again_are_refused(tmp_path: Path) -> None:
    """A storage of a megabyte, of which a hundred copies are asked for."""
    data = torch.zeros(1 << 18)._typed_storage().__reduce__()[1][0]

    class Load:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (data,)

    (tmp_path / "many.pkl").write_bytes(pickle.dumps([Load() for _ in range(100)], protocol=3))
    with pytest.raises(CheckpointError, match="the same numbers many times over"):
        read_generator(tmp_path / "many.pkl")
    assert (tmp_path / "many.pkl").stat().st_size < 2 << 20
