"""A file's tensors and average code: what is accepted, and that all that is wrong is named."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import Checkpoint
from hyperstyle_deploy.export.networks.stylegan2 import Generator, GeneratorShape
from hyperstyle_deploy.export.tensors import MAPPED_LATENTS, average_code, check_tensors, fill, mapped_average


def checkpoint(state: Mapping[str, Tensor] | None = None, latent_avg: Tensor | None = None) -> Checkpoint:
    """A checkpoint as if read from a file."""
    state = {"hypernet.conv1.weight": torch.zeros(1), "decoder.x": torch.zeros(1)} if state is None else state
    return Checkpoint(Path("hyperstyle.pt"), state, {}, latent_avg)


# Average code


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(512,), (1, 512), (18, 512)])
def test_the_average_code_has_a_row_per_style(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    average = torch.arange(torch.Size(shape).numel()).reshape(shape).remainder(251).to(dtype)
    code = average_code(checkpoint(latent_avg=average), 18, 512)
    assert (code.dtype, tuple(code.shape), code.is_contiguous()) == (torch.float32, (18, 512), True)
    torch.testing.assert_close(code, average.float().broadcast_to(18, 512), rtol=0, atol=0)


@pytest.mark.parametrize(
    "shape", [(), (0,), (511,), (18, 511), (14, 512), (2, 512), (18, 512, 1), (1, 18, 512), (512, 1)]
)
def test_an_average_code_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match="unusable latent_avg") as caught:
        average_code(checkpoint(latent_avg=torch.zeros(shape)), 18, 512)
    assert str(list(shape)) in str(caught.value)
    assert "[512], [1, 512] or [18, 512]" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_average_code_that_is_not_finite_is_refused(value: float) -> None:
    average = torch.zeros(18, 512)
    average[17, 511] = value
    with pytest.raises(CheckpointError, match="not finite"):
        average_code(checkpoint(latent_avg=average), 18, 512)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_an_average_code_that_is_no_float_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(CheckpointError, match=f"{dtype}"):
        average_code(checkpoint(latent_avg=torch.zeros(512, dtype=dtype)), 18, 512)


def test_a_missing_average_code_is_said_to_be_missing() -> None:
    with pytest.raises(CheckpointError, match="has no latent_avg"):
        average_code(checkpoint(latent_avg=None), 18, 512)


def test_rows_that_the_generator_does_not_take_are_dropped() -> None:
    average = torch.arange(18.0)[:, None].expand(18, 4)
    assert average_code(checkpoint(latent_avg=average), 16, 4, surplus=2)[:, 0].tolist() == list(range(16))
    with pytest.raises(CheckpointError, match="unusable latent_avg"):
        average_code(checkpoint(latent_avg=average), 16, 4)


def test_a_single_row_is_repeated_though_the_file_has_rows_to_drop() -> None:
    average = torch.arange(4.0)[None]
    assert torch.equal(average_code(checkpoint(latent_avg=average), 16, 4, surplus=2), average.expand(16, 4))


def test_the_mean_of_mapped_latents_is_seeded_and_told() -> None:
    shape = GeneratorShape((2, 2, 2, 2), width=6, mapping=2)
    generator = Generator(shape)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    average, made = mapped_average(generator)
    assert average.shape == (8, 6)
    assert torch.equal(average, average[:1].expand(8, 6))
    assert torch.equal(average, mapped_average(generator)[0])
    assert str(MAPPED_LATENTS) in made
    # As near to another sample's mean as 10,000 latents allow, and not the image of the mean latent.
    latents = torch.randn(MAPPED_LATENTS, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        mapped = generator.style(latents)
    limit = 5 * float(mapped.std()) / MAPPED_LATENTS**0.5 * 2**0.5
    torch.testing.assert_close(average[0], mapped.mean(0), rtol=0, atol=limit)


# Tensors


class Shared(nn.Module):
    """Two blocks that repeat the tensors of one module, as HyperStyle's refinement blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.shared_weight_hypernet = nn.ParameterDict({"w1": torch.zeros(2, 3), "b1": torch.zeros(3)})
        self.blocks = nn.ModuleList([nn.ModuleDict({"hypernet": self.shared_weight_hypernet}) for _ in range(2)])


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def state_of(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor.clone() for name, tensor in network.state_dict().items()}


def test_the_networks_own_tensors_fit(network: nn.Sequential) -> None:
    check_tensors(checkpoint(state=state_of(network, "encoder")), {"encoder": network})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_another_precision_fit(network: nn.Sequential, dtype: torch.dtype) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in state_of(network, "encoder").items()}
    check_tensors(checkpoint(state=state), {"encoder": network})


def test_old_files_without_batch_counters_fit(network: nn.Sequential) -> None:
    state = state_of(network, "encoder")
    del state["encoder.1.num_batches_tracked"]
    check_tensors(checkpoint(state=state), {"encoder": network})


def test_tensors_of_other_parts_are_none_of_its_business(network: nn.Sequential) -> None:
    state = state_of(network, "encoder") | {"decoder.x": torch.tensor(float("nan")), "encoders.x": torch.zeros(1)}
    check_tensors(checkpoint(state=state), {"encoder": network})


def test_everything_wrong_is_named_in_one_error(network: nn.Sequential) -> None:
    state = state_of(network, "encoder") | state_of(nn.Linear(2, 2), "decoder")
    del state["encoder.0.bias"], state["decoder.weight"]
    state |= {
        "encoder.surprise": torch.zeros(1),
        "decoder.extra.weight": torch.zeros(1),
        "encoder.0.weight": torch.zeros(3, 2, 3),
        "encoder.1.weight": torch.full((3,), float("nan")),
        "encoder.1.running_mean": torch.tensor([0, 1, float("inf")]),
        "encoder.1.running_var": torch.ones(3, dtype=torch.int64),
        "encoder.1.num_batches_tracked": torch.tensor(0.5),
    }
    with pytest.raises(CheckpointError) as caught:
        check_tensors(checkpoint(state=state), {"encoder": network, "decoder": nn.Linear(2, 2)})
    problems = str(caught.value).partition("Got: 9 problems:\n")[2].rstrip(".").splitlines()
    assert sorted(problem.strip() for problem in problems) == [
        "misshapen encoder.0.weight: got [3, 2, 3], expected [3, 2, 3, 3]",
        "missing decoder.weight",
        "missing encoder.0.bias",
        "not finite encoder.1.running_mean",
        "not finite encoder.1.weight",
        "of the wrong type encoder.1.num_batches_tracked: got torch.float32, expected torch.int64",
        "of the wrong type encoder.1.running_var: got torch.int64, expected torch.float32",
        "unexpected decoder.extra.weight",
        "unexpected encoder.surprise",
    ]


def test_a_file_without_any_of_the_tensors_names_them_all(network: nn.Sequential) -> None:
    with pytest.raises(CheckpointError, match="6 problems") as caught:
        check_tensors(checkpoint(), {"encoder": network})
    counted = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    assert all(f"missing encoder.{name}" in str(caught.value) for name in counted)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_that_are_no_usual_floats_are_refused(network: nn.Sequential, dtype: torch.dtype) -> None:
    state = state_of(network, "encoder")
    state["encoder.0.weight"] = torch.zeros(3, 2, 3, 3).to(dtype)
    with pytest.raises(
        CheckpointError, match=f"of the wrong type encoder.0.weight: got {dtype}, expected torch.float32"
    ):
        check_tensors(checkpoint(state=state), {"encoder": network})


def test_a_float64_too_large_for_float32_is_not_finite(network: nn.Sequential) -> None:
    state = state_of(network, "encoder")
    state["encoder.0.bias"] = torch.tensor([0, 1e300, 0], dtype=torch.float64)
    with pytest.raises(CheckpointError, match=r"not finite encoder\.0\.bias"):
        check_tensors(checkpoint(state=state), {"encoder": network})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("position", [0, 53])
def test_one_value_that_is_not_finite_is_found(network: nn.Sequential, value: float, position: int) -> None:
    state = state_of(network, "encoder")
    state["encoder.0.weight"].view(-1)[position] = value
    with pytest.raises(CheckpointError, match=r"1 problems:\n  not finite encoder\.0\.weight"):
        check_tensors(checkpoint(state=state), {"encoder": network})


def test_large_values_are_finite(network: nn.Sequential) -> None:
    state = state_of(network, "encoder")
    state["encoder.0.weight"] = torch.full((3, 2, 3, 3), torch.finfo(torch.float32).max)
    check_tensors(checkpoint(state=state), {"encoder": network})


@pytest.mark.parametrize("copied", [False, True], ids=["one tensor", "equal copies"])
def test_shared_tensors_may_be_one_or_equal_copies(copied: bool) -> None:
    module = Shared()
    state = {f"hypernet.{n}": t.clone() if copied else t for n, t in module.state_dict().items()}
    check_tensors(checkpoint(state=state), {"hypernet": module})


@pytest.mark.parametrize(
    "copy",
    [torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.float16), torch.tensor([[0, 0, 0], [0, 0, 1e-30]])],
    ids=["other", "other precision", "one value"],
)
def test_a_shared_tensor_with_an_unequal_copy_is_refused(copy: Tensor) -> None:
    module = Shared()
    state = {f"hypernet.{name}": tensor for name, tensor in module.state_dict().items()}
    state["hypernet.blocks.1.hypernet.w1"] = copy
    with pytest.raises(
        CheckpointError, match=r"1 problems:\n  hypernet\.blocks\.1\.hypernet\.w1 differs from the shared"
    ):
        check_tensors(checkpoint(state=state), {"hypernet": module})


def test_a_tensors_name_cannot_disturb_the_terminal(network: nn.Sequential) -> None:
    state = state_of(network, "encoder") | {"encoder.\x1b[2J\x07\udcff": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="unexpected") as caught:
        check_tensors(checkpoint(state=state), {"encoder": network})
    assert str(caught.value).replace("\n", "").isprintable()


def test_what_is_to_be_ignored_is_not_unexpected(network: nn.Sequential) -> None:
    state = state_of(network, "encoder") | {"encoder.styles.16.x": torch.zeros(1), "encoder.styles.1.x": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"1 problems:\n  unexpected encoder\.styles\.1\.x"):
        check_tensors(checkpoint(state=state), {"encoder": network}, ignored=("encoder.styles.16.",))


def test_problems_found_before_are_named_first(network: nn.Sequential) -> None:
    state = state_of(network, "encoder") | {"encoder.surprise": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"2 problems:\n  earlier\n  unexpected encoder\.surprise"):
        check_tensors(checkpoint(state=state), {"encoder": network}, ["earlier"])


def test_shapes_can_be_checked_without_reading_a_number(network: nn.Sequential) -> None:
    state = {name: tensor.to("meta") for name, tensor in state_of(network, "encoder").items()}
    check_tensors(checkpoint(state=state), {"encoder": network}, finite=False)
    del state["encoder.0.bias"]
    with pytest.raises(CheckpointError, match=r"missing encoder\.0\.bias"):
        check_tensors(checkpoint(state=state), {"encoder": network}, finite=False)


def test_networks_are_filled_with_the_files_own_memory_as_float32() -> None:
    with torch.device("meta"):
        network = nn.Linear(2, 3)
    state = {"encoder.weight": torch.randn(3, 2), "encoder.bias": torch.randn(3, dtype=torch.float64)}
    fill(checkpoint(state=state), {"encoder": network})
    assert network.weight.data_ptr() == state["encoder.weight"].data_ptr()
    assert network.bias.dtype is torch.float32
    assert not network.training
    assert not network.weight.requires_grad
