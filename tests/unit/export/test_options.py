"""Training options: read with their types checked, and what the data's name says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import Checkpoint
from hyperstyle_deploy.export.options import domain, option


def checkpoint(**options: Any) -> Checkpoint:
    return Checkpoint(Path("a.pt"), {}, options, None)


@pytest.mark.parametrize(
    ("dataset_type", "found"),
    [
        ("ffhq_hypernet", "faces"),
        ("ffhq_encode", "faces"),
        ("celeba_hq", "faces"),
        ("celebs_sketch_to_face", "faces"),
        ("cars_hypernet", "cars"),
        ("cars_encode", "cars"),
        ("afhq_wild_hypernet", "wild"),
        ("toonify_hypernet", "toonify"),
        ("church_encode", "church"),
        ("bedrooms", "bedrooms"),
        ("", "unknown"),
    ],
)
def test_the_data_say_the_domain(dataset_type: str, found: str) -> None:
    assert domain(checkpoint(dataset_type=dataset_type)) == found


def test_data_without_a_name_are_unknown() -> None:
    assert domain(checkpoint()) == "unknown"


@pytest.mark.parametrize("value", [True, 256.0, "256", ["text"], {"a": 1}, (1, 2), torch.zeros(3), torch.tensor(6)])
def test_an_option_of_the_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"option output_size is not supported. Got: a {type(value).__name__}"):
        option(checkpoint(output_size=value), "output_size", int)


def test_a_missing_option_is_named_among_those_there() -> None:
    with pytest.raises(CheckpointError, match=r"lacks the option output_size.*'dataset_type'"):
        option(checkpoint(dataset_type="ffhq"), "output_size", int)
    assert option(checkpoint(), "output_size", int, 1024) == 1024


def test_options_whose_names_are_no_text_can_be_told() -> None:
    odd = Checkpoint(Path("a.pt"), {}, {7: "a key that is no text"}, None)
    with pytest.raises(CheckpointError, match=r"options \['7'\]"):
        option(odd, "output_size", int)
