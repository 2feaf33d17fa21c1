"""Options, average code and tensors of HyperStyle's files: what is accepted, and that all that is wrong is named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import Checkpoint
from hyperstyle_deploy.export.hyperstyle import average_code, check_tensors, is_hyperstyle, read_config
from hyperstyle_deploy.runtime.manifest.layers import layer_count
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec

PUBLISHED = {
    "encoder_type": "SharedWeightsHyperNetResNet",
    "output_size": 1024,
    "input_nc": 6,
    "layers_to_tune": "0,2,3,5,6,8,9,11,12,14,15,17,18,20,21,23,24",
    "dataset_type": "ffhq_hypernet",
}
TO_RGB = (1, 4, 7, 10, 13, 16, 19, 22, 25)


def checkpoint(
    options: Mapping[Any, Any] | None = None,
    state: Mapping[str, Tensor] | None = None,
    latent_avg: Tensor | None = None,
    **changed: Any,
) -> Checkpoint:
    """A checkpoint as if read from a file; ``changed`` options replace the published ones."""
    options = PUBLISHED | changed if options is None else options
    state = {"hypernet.conv1.weight": torch.zeros(1), "decoder.x": torch.zeros(1)} if state is None else state
    return Checkpoint(Path("hyperstyle.pt"), "0" * 64, state, options, latent_avg)


# Options


@pytest.mark.parametrize(
    ("kind", "separable"), [("SharedWeightsHyperNetResNet", False), ("SharedWeightsHyperNetResNetSeparable", True)]
)
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_both_hypernetworks_at_every_size(size: int, kind: str, separable: bool) -> None:
    config = read_config(checkpoint(output_size=size, encoder_type=kind))
    assert (config.size, config.separable) == (size, separable)
    count = layer_count(size)
    assert [layer.index for layer in config.layers] == list(range(count))
    assert [layer.index for layer in config.layers if layer.offset == "none"] == [i for i in TO_RGB if i < count]
    kinds = {layer.offset for layer in config.layers if layer.index > 12} - {"none"}
    assert kinds == {"separable" if separable else "channel"}


@pytest.mark.parametrize(
    ("option", "tuned"),
    [
        ("", range(20)),
        ("0", [0]),
        ("5,3,3, 1", [1, 3, 5]),
        ("19,20,25,1000", [19]),
        (",".join(map(str, range(26))), range(20)),
    ],
    ids=["all", "one", "unordered and doubled", "past the end", "a list for 1024"],
)
def test_layers_to_tune(option: str, tuned: list[int]) -> None:
    config = read_config(checkpoint(output_size=256, layers_to_tune=option))
    assert [layer.index for layer in config.layers if layer.tuned] == list(tuned)


@pytest.mark.parametrize("option", ["x", "1;2", "1,,2", ",", "1.5", "all", " ", "1,2,", "9" * 5000])
def test_layers_to_tune_that_are_no_comma_list_are_refused(option: str) -> None:
    with pytest.raises(CheckpointError, match=r"layers_to_tune is not supported.*comma list") as caught:
        read_config(checkpoint(layers_to_tune=option))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("option", ["20", "25,26", "-1", "99"])
def test_layers_to_tune_of_which_none_is_left_are_refused(option: str) -> None:
    with pytest.raises(CheckpointError, match=r"layers_to_tune is not supported.*at least one of 0 to 19"):
        read_config(checkpoint(output_size=256, layers_to_tune=option))


@pytest.mark.parametrize(
    ("dataset_type", "domain"),
    [
        ("ffhq_hypernet", "faces"),
        ("celeba_hq", "faces"),
        ("cars_hypernet", "cars"),
        ("afhq_wild_hypernet", "wild"),
        ("toonify_hypernet", "toonify"),
        ("bedrooms", "bedrooms"),
        ("", "unknown"),
    ],
)
def test_the_data_say_the_domain(dataset_type: str, domain: str) -> None:
    config = read_config(checkpoint(dataset_type=dataset_type))
    assert (config.domain, config.cars) == (domain, domain == "cars")


@pytest.mark.parametrize(("size", "rows"), [(256, (32, 224)), (512, (64, 448)), (1024, (128, 896))])
def test_cars_are_wide_and_others_square(size: int, rows: tuple[int, int]) -> None:
    cars = read_config(checkpoint(output_size=size, dataset_type="cars_hypernet")).image
    assert cars == ImageSpec(size, 192, 256, rows)
    assert cars.height / size == cars.input_height / cars.input_width == 0.75
    assert read_config(checkpoint(output_size=size)).image == ImageSpec(size, 256, 256, (0, size))


@pytest.mark.parametrize("name", ["input_nc", "layers_to_tune", "dataset_type"])
def test_an_option_with_a_default_may_be_missing(name: str) -> None:
    config = read_config(checkpoint({key: value for key, value in PUBLISHED.items() if key != name}))
    assert config.size == 1024
    assert all(layer.tuned for layer in config.layers) == (name == "layers_to_tune")
    assert config.domain == ("unknown" if name == "dataset_type" else "faces")


@pytest.mark.parametrize("name", ["encoder_type", "output_size"])
def test_a_missing_option_is_named_among_those_there(name: str) -> None:
    options: dict[Any, Any] = {key: value for key, value in PUBLISHED.items() if key != name}
    with pytest.raises(CheckpointError, match=f"lacks the option {name}") as caught:
        read_config(checkpoint(options | {7: "a key that is no text"}))
    assert all(str(other) in str(caught.value) for other in options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder_type", "WEncoder"),
        ("encoder_type", "sharedweightshypernetresnet"),
        ("output_size", 128),
        ("output_size", 2048),
        ("output_size", 0),
        ("output_size", -1024),
        ("input_nc", 3),
        ("input_nc", 0),
    ],
)
def test_an_unsupported_value_is_named_with_those_supported(name: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"the option {name} is not supported\. Got: {value}\. Expected: "):
        read_config(checkpoint(**{name: value}))


@pytest.mark.parametrize("value", [True, 1024.0, ["text"], {"a": 1}, (1, 2), torch.zeros(3), torch.tensor(6), b"text"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_an_option_of_the_wrong_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"the option {name} is not supported. Got: a {type(value).__name__}"):
        read_config(checkpoint(**{name: value}))


@pytest.mark.parametrize("name", ["encoder_type", "output_size", "layers_to_tune"])
def test_a_number_for_a_text_and_a_text_for_a_number(name: str) -> None:
    wrong: Any = "1024" if name == "output_size" else 1024
    with pytest.raises(CheckpointError, match=f"the option {name} is not supported"):
        read_config(checkpoint(**{name: wrong}))


# Which file is which


def test_the_w_encoders_file_in_the_wrong_place_is_recognised() -> None:
    w_encoder = checkpoint(state={"encoder.input_layer.0.weight": torch.zeros(1), "decoder.x": torch.zeros(1)})
    assert not is_hyperstyle(w_encoder)
    with pytest.raises(CheckpointError, match="pass it with --w-encoder") as caught:
        read_config(w_encoder)
    assert "['decoder', 'encoder']" in str(caught.value)


@pytest.mark.parametrize("state", [{}, {"decoder.x": torch.zeros(1)}, {"hypernetwork": torch.zeros(1)}])
def test_another_method_is_refused_without_that_hint(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="not a HyperStyle checkpoint") as caught:
        read_config(checkpoint(state=state))
    assert "--w-encoder" not in str(caught.value)


# Average code


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(512,), (1, 512), (18, 512)])
def test_the_average_code_has_a_row_per_style(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    average = torch.arange(torch.Size(shape).numel()).reshape(shape).remainder(251).to(dtype)
    code = average_code(checkpoint(latent_avg=average), 18)
    assert (code.dtype, tuple(code.shape), code.is_contiguous()) == (torch.float32, (18, 512), True)
    torch.testing.assert_close(code, average.float().broadcast_to(18, 512), rtol=0, atol=0)


@pytest.mark.parametrize(
    "shape", [(), (0,), (511,), (18, 511), (14, 512), (2, 512), (18, 512, 1), (1, 18, 512), (512, 1)]
)
def test_an_average_code_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match="unusable latent_avg") as caught:
        average_code(checkpoint(latent_avg=torch.zeros(shape)), 18)
    assert str(list(shape)) in str(caught.value)
    assert "[512], [1, 512] or [18, 512]" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_average_code_that_is_not_finite_is_refused(value: float) -> None:
    average = torch.zeros(18, 512)
    average[17, 511] = value
    with pytest.raises(CheckpointError, match="not finite"):
        average_code(checkpoint(latent_avg=average), 18)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_an_average_code_that_is_no_float_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(CheckpointError, match=f"{dtype}"):
        average_code(checkpoint(latent_avg=torch.zeros(512, dtype=dtype)), 18)


def test_a_missing_average_code_is_said_to_be_missing() -> None:
    with pytest.raises(CheckpointError, match="has no latent_avg"):
        average_code(checkpoint(latent_avg=None), 18)


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
