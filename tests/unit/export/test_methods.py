"""Checkpoints of every method: recognised, read as their options say, refused with what to do instead."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import Checkpoint, read_checkpoint
from hyperstyle_deploy.export.methods import hyperstyle
from hyperstyle_deploy.export.methods.inversion import load_inversion, read_layout
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES, Choices
from hyperstyle_deploy.export.methods.recognition import ENCODERS, method_of
from hyperstyle_deploy.export.published_loop import reconstruction
from hyperstyle_deploy.export.seeded import TINY, write_checkpoints
from hyperstyle_deploy.export.stages.synthesis import Reconstruction
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec, MethodSpec
from hyperstyle_deploy.tests.unit.export.conftest import Read, Written

ONE_FILE = ("psp", "e4e", "restyle-psp", "restyle-e4e")


def with_options(checkpoint: Checkpoint, *without: str, **changed: Any) -> Checkpoint:
    """A copy with other options."""
    options = {name: value for name, value in checkpoint.opts.items() if name not in without}
    return replace(checkpoint, opts={**options, **changed})


# Which file is which


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_every_encoder_is_recognised_and_loaded(read: Read, encoder: Any) -> None:
    if encoder.method == "w-encoder":
        (_, checkpoint) = read("hyperstyle")
        assert method_of(with_options(checkpoint, encoder_type="WEncoder")) == "w-encoder"
        return
    (checkpoint,) = read(encoder.method, encoder_type=encoder.name)
    model = load_inversion(checkpoint, NO_CHOICES)
    steps = 5 if encoder.method.startswith("restyle") else 0
    assert model.method == MethodSpec(encoder.method, steps, 0)
    assert model.image == ImageSpec("photo", 3, 64, 64, (0, 64))
    assert [role for role, _ in model.checkpoints] == [encoder.method]
    assert (model.average is None) == (steps > 0)
    assert model.hypernet is None
    assert model.loop is None


def test_pyramid_encoders_that_see_two_pictures_are_restyles(read: Read) -> None:
    (pair,) = read("restyle-psp", encoder_type="GradualStyleEncoder")
    assert method_of(pair) == "restyle-psp"
    (one,) = read("psp")
    assert method_of(one) == "psp"
    (maps,) = read("psp", labels=6)
    assert method_of(maps) == "psp"


def test_a_w_encoders_file_may_carry_the_hypernetworks_options(read: Read) -> None:
    _, w_encoder = read("hyperstyle")
    assert w_encoder.opts["encoder_type"] == "SharedWeightsHyperNetResNet"
    assert method_of(w_encoder) == "w-encoder"


def test_an_encoder_of_an_unknown_class_is_refused_with_those_known(read: Read) -> None:
    (checkpoint,) = read("e4e")
    for name in ("Encoder5Editing", None, 7):
        with pytest.raises(CheckpointError, match=r"unknown class.*Encoder4Editing"):
            method_of(with_options(checkpoint, encoder_type=name))
    (flattened,) = read("psp", encoder_type="BackboneEncoderUsingLastLayerIntoWPlus")
    with pytest.raises(CheckpointError, match="unknown class"):
        method_of(with_options(flattened, "encoder_type"))


@pytest.mark.parametrize("names", [[], ["decoder.x"], ["hypernetwork"], ["g_ema.x"]])
def test_a_file_without_encoder_and_hypernetwork_is_no_checkpoint_of_a_method(names: list[str]) -> None:
    file = Checkpoint(Path("a.pt"), dict.fromkeys(names, torch.zeros(1)), {}, None)
    with pytest.raises(CheckpointError, match=r"not a checkpoint of a method.*encoder\.\* or hypernet\.\*"):
        method_of(file)


# Files that belong together


def test_hyperstyle_needs_its_encoders_file(written: Written) -> None:
    with pytest.raises(CheckpointError, match=r"is a HyperStyle checkpoint\..*second file: .*--w-encoder"):
        read_checkpoints(written("hyperstyle")[:1])


def test_a_w_encoder_alone_or_in_front_is_told_where_it_belongs(written: Written) -> None:
    checkpoint, w_encoder = written("hyperstyle")
    for files in ([w_encoder], [w_encoder, checkpoint]):
        with pytest.raises(CheckpointError, match=r"is a W-encoder's file.*export HYPERSTYLE\.pt --w-encoder"):
            read_checkpoints(files)


@pytest.mark.parametrize("method", ONE_FILE)
def test_other_methods_take_no_second_file(written: Written, method: str) -> None:
    (checkpoint,) = written(method)
    with pytest.raises(CheckpointError, match=f"own encoder: hyperstyle-deploy export {checkpoint} -o BUNDLE"):
        read_checkpoints([checkpoint, written("hyperstyle")[1]])


def test_a_hyperstyle_checkpoint_is_no_encoder(written: Written, tmp_path: Path) -> None:
    checkpoint, _ = written("hyperstyle")
    other = tmp_path / "copy.pt"
    other.write_bytes(checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match=r"copy\.pt is a HyperStyle checkpoint.*an encoder's file behind"):
        read_checkpoints([checkpoint, other])


def test_one_file_given_twice_is_one_line(written: Written, tmp_path: Path) -> None:
    checkpoint, _ = written("hyperstyle")
    link = tmp_path / "link.pt"
    link.symlink_to(checkpoint)
    for second in (checkpoint, link):
        with pytest.raises(CheckpointError, match="is given twice") as caught:
            read_checkpoints([checkpoint, second])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ONE_FILE)
def test_hyperstyle_takes_codes_from_any_encoder(read: Read, method: str) -> None:
    files = (read("hyperstyle")[0], *read(method, prefix="other/"))
    model = load_model(files, NO_CHOICES)
    loops = method.startswith("restyle")
    assert model.method == MethodSpec("hyperstyle", 5, 5 if loops else 0)
    assert [role for role, _ in model.checkpoints] == ["hyperstyle", "encoder"]
    own = files[1].latent_avg
    assert own is not None
    assert not torch.equal(model.latent_avg, own)
    if model.loop is not None:
        assert loops
        assert model.average is None
        assert torch.equal(model.loop.latent_avg, own)
        assert not torch.equal(model.loop.generator.conv1.conv.weight, model.generator.conv1.conv.weight)
    else:
        assert model.average is not None
        assert torch.equal(model.average, own)


def test_a_w_encoders_codes_are_relative_to_hyperstyles_average(read: Read) -> None:
    checkpoint, w_encoder = read("hyperstyle")
    other = replace(w_encoder, latent_avg=torch.full((10, 32), 9.0))
    model = load_model((checkpoint, other), NO_CHOICES)
    assert [role for role, _ in model.checkpoints] == ["hyperstyle", "w-encoder"]
    assert model.average is model.latent_avg
    assert torch.equal(model.latent_avg, checkpoint.latent_avg)


def test_encoder_steps_are_for_restyle_in_front_of_hyperstyle(read: Read) -> None:
    checkpoint, w_encoder = read("hyperstyle")
    (restyle,) = read("restyle-e4e", prefix="other/")
    assert load_model((checkpoint, restyle), Choices(encoder_steps=3)).method.encoder_steps == 3
    for steps in (0, -1, 1001):
        with pytest.raises(CheckpointError, match=f"Got: {steps}. Expected: 1 to 1000"):
            load_model((checkpoint, restyle), Choices(encoder_steps=steps))
    with pytest.raises(CheckpointError, match="no steps of its own"):
        load_model((checkpoint, w_encoder), Choices(encoder_steps=3))
    with pytest.raises(CheckpointError, match="takes no encoder steps"):
        load_model((restyle,), Choices(encoder_steps=3))


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (("e4e", {"dataset_type": "cars"}), "of cars"),
        (("psp", {"labels": 1}), "a sketch"),
        (("psp", {"labels": 4}), "a labels"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(read: Read, encoder: tuple[str, Mapping[str, Any]], told: str) -> None:
    method, options = encoder
    files = (read("hyperstyle")[0], *read(method, **options))
    with pytest.raises(CheckpointError, match=f"does not fit.*{told}.*Expected: 10 codes of 32 numbers"):
        load_model(files, NO_CHOICES)


# Options of HyperStyle


@pytest.mark.parametrize(
    ("listed", "tuned"),
    [("", range(14)), ("0", [0]), ("5,3,3, 1", [1, 3, 5]), ("13,20,25,1000", [13]), ("12,14,15", [12])],
    ids=["all", "one", "unordered and doubled", "past the end", "some past the end"],
)
def test_layers_to_tune(read: Read, listed: str, tuned: range | list[int]) -> None:
    checkpoint = with_options(read("hyperstyle", layers_to_tune="")[0], layers_to_tune=listed)
    layout = hyperstyle.read_layout(checkpoint)
    assert [layer.index for layer in layout.layers if layer.tuned] == list(tuned)


def test_layers_are_told_as_channel_and_full(read: Read) -> None:
    for separable, kind in ((False, "channel"), (True, "full")):
        layers = hyperstyle.read_layout(read("hyperstyle", layers_to_tune="", separable=separable)[0]).layers
        assert {layer.offset for layer in layers if layer.index in (0, 2, 3, 5, 6)} == {"full"}
        assert {layer.offset for layer in layers if layer.index in (8, 9, 11, 12)} == {kind}
        assert {layer.offset for layer in layers if layer.kernel == 1} == {"channel"}


@pytest.mark.parametrize("listed", ["x", "1;2", "1,,2", ",", "1.5", "all", " ", "1,2,", "9" * 5000])
def test_layers_to_tune_that_are_no_comma_list_are_refused(read: Read, listed: str) -> None:
    with pytest.raises(CheckpointError, match=r"layers_to_tune is not supported.*comma list") as caught:
        hyperstyle.read_layout(with_options(read("hyperstyle")[0], layers_to_tune=listed))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("listed", ["14", "25,26", "-1", "99"])
def test_layers_to_tune_of_which_none_is_left_are_refused(read: Read, listed: str) -> None:
    with pytest.raises(CheckpointError, match=r"layers_to_tune is not supported.*at least one of 0 to 13"):
        hyperstyle.read_layout(with_options(read("hyperstyle")[0], layers_to_tune=listed))


def test_a_tuned_layer_without_a_block_is_named(read: Read) -> None:
    checkpoint, w_encoder = read("hyperstyle")
    with pytest.raises(
        CheckpointError, match=r"1 problems:\n  missing every tensor of hypernet\.refinement_blocks\.1\."
    ):
        load_model((with_options(checkpoint, layers_to_tune="0,1,2,3,5,6,8,9,11,12"), w_encoder), NO_CHOICES)


def test_a_block_of_a_layer_that_is_not_tuned_is_unexpected(read: Read) -> None:
    checkpoint, w_encoder = read("hyperstyle")
    with pytest.raises(CheckpointError, match=r"unexpected hypernet\.refinement_blocks\.12\.convs\.0\.weight"):
        load_model((with_options(checkpoint, layers_to_tune="0,2,3,5,6,8,9,11"), w_encoder), NO_CHOICES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder_type", "WEncoder"),
        ("encoder_type", "sharedweightshypernetresnet"),
        ("output_size", 16),
        ("output_size", 2048),
        ("output_size", 96),
        ("output_size", -1024),
        ("input_nc", 3),
        ("input_nc", 0),
    ],
)
def test_an_unsupported_value_is_named_with_those_supported(read: Read, name: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"the option {name} is not supported\. Got: {value}\. Expected: "):
        hyperstyle.read_layout(with_options(read("hyperstyle")[0], **{name: value}))


@pytest.mark.parametrize("name", ["input_nc", "dataset_type", "output_size"])
def test_an_option_may_be_missing(read: Read, name: str) -> None:
    checkpoint, w_encoder = read("hyperstyle")
    model = load_model((with_options(checkpoint, name), w_encoder), NO_CHOICES)
    assert model.generator.shape == TINY.generator
    assert model.domain == ("unknown" if name == "dataset_type" else "faces")


@pytest.mark.parametrize("value", [True, 64.0, ["text"], {"a": 1}, torch.zeros(3), torch.tensor(6), b"text"])
@pytest.mark.parametrize("name", ["encoder_type", "output_size", "input_nc", "layers_to_tune"])
def test_an_option_of_the_wrong_type_is_refused(read: Read, name: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"the option {name} is not supported. Got: a {type(value).__name__}"):
        hyperstyle.read_layout(with_options(read("hyperstyle")[0], **{name: value}))


# Options of the others


def test_old_files_do_not_say_how_large_they_draw(read: Read) -> None:
    (checkpoint,) = read("psp")
    old = with_options(checkpoint, "output_size", "learn_in_w", "label_nc", "input_nc", "start_from_latent_avg")
    assert load_inversion(old, NO_CHOICES).generator.shape == TINY.generator


def test_a_size_that_the_tensors_do_not_have_is_a_flaw(read: Read) -> None:
    (checkpoint,) = read("psp")
    with pytest.raises(CheckpointError, match=r"missing decoder\.to_rgbs\.4\.conv\.weight"):
        load_inversion(with_options(checkpoint, output_size=128), NO_CHOICES)
    with pytest.raises(CheckpointError, match=r"unexpected decoder\.to_rgbs\.3\.conv\.weight"):
        load_inversion(with_options(checkpoint, output_size=32), NO_CHOICES)


@pytest.mark.parametrize(("labels", "kind", "channels"), [(0, "photo", 3), (1, "sketch", 1), (19, "labels", 19)])
def test_psp_looks_at_photos_sketches_and_label_maps(read: Read, labels: int, kind: str, channels: int) -> None:
    (checkpoint,) = read("psp", labels=labels)
    for file in (checkpoint, with_options(checkpoint, "label_nc")):
        image = load_inversion(file, NO_CHOICES).image
        assert (image.kind, image.channels) == (kind, channels)


def test_labels_that_the_encoder_does_not_take_are_a_flaw(read: Read) -> None:
    (checkpoint,) = read("psp", labels=5)
    with pytest.raises(CheckpointError, match=r"misshapen encoder\.input_layer\.0\.weight: got \[16, 5, 3, 3\], exp"):
        load_inversion(with_options(checkpoint, label_nc=4), NO_CHOICES)
    for labels in (-1, 257):
        with pytest.raises(CheckpointError, match=r"label_nc is not supported.*0 to 256"):
            load_inversion(with_options(checkpoint, label_nc=labels), NO_CHOICES)


def test_three_labels_are_no_photo(read: Read) -> None:
    (checkpoint,) = read("psp", labels=3)
    assert load_inversion(checkpoint, NO_CHOICES).image.kind == "labels"


@pytest.mark.parametrize("method", ["psp", "e4e"])
def test_codes_that_start_from_zero(read: Read, method: str) -> None:
    """Then the average code is not added, though the bundle has it."""
    (checkpoint,) = read(method)
    model = load_inversion(with_options(checkpoint, start_from_latent_avg=False), NO_CHOICES)
    assert model.average is not None
    assert not model.average.any()
    assert torch.equal(model.latent_avg, checkpoint.latent_avg)


@pytest.mark.parametrize("method", ["psp", "e4e", "restyle-psp", "restyle-e4e"])
def test_a_missing_average_is_the_mean_of_mapped_latents_and_told(read: Read, method: str) -> None:
    (checkpoint,) = read(method)
    model = load_inversion(replace(checkpoint, latent_avg=None), NO_CHOICES)
    assert "10000 mapped latents" in model.provenance["latent_avg"]
    assert model.average is (None if method.startswith("restyle") else model.latent_avg)
    assert torch.equal(model.latent_avg, model.latent_avg[:1].expand(10, 32))
    assert load_inversion(checkpoint, NO_CHOICES).provenance == {}


def test_hyperstyle_needs_the_average_that_it_was_trained_with(read: Read) -> None:
    checkpoint, w_encoder = read("hyperstyle")
    with pytest.raises(CheckpointError, match="has no latent_avg"):
        load_model((replace(checkpoint, latent_avg=None), w_encoder), NO_CHOICES)


def test_one_average_for_all_styles(read: Read) -> None:
    """What pSp saves where it learned in W."""
    (checkpoint,) = read("psp")
    row = torch.arange(32.0)[None]
    model = load_inversion(with_options(replace(checkpoint, latent_avg=row), learn_in_w=True), NO_CHOICES)
    assert model.average is not None
    assert torch.equal(model.average, row.expand(10, 32))


def test_cars_drop_the_rows_that_their_generator_does_not_take(read: Read) -> None:
    (checkpoint,) = read("e4e", dataset_type="cars")
    block = {name: tensor for name, tensor in checkpoint.state.items() if name.startswith("encoder.styles.9.")}
    assert checkpoint.latent_avg is not None
    longer = replace(
        checkpoint,
        state={
            **checkpoint.state,
            **{name.replace("styles.9", f"styles.{row}"): tensor for name, tensor in block.items() for row in (10, 11)},
        },
        latent_avg=torch.cat([checkpoint.latent_avg, torch.ones(2, 32)]),
    )
    assert read_layout(longer).surplus == 2
    photo = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        wanted, got = (load_inversion(file, NO_CHOICES) for file in (checkpoint, longer))
        assert torch.equal(got.encoder(photo), wanted.encoder(photo))
    assert torch.equal(got.latent_avg, wanted.latent_avg)
    with pytest.raises(CheckpointError, match=r"unexpected encoder\.styles\.10\.convs\.0\.weight"):
        load_inversion(with_options(longer, dataset_type="ffhq_encode"), NO_CHOICES)


# Sizes


def image(files: tuple[Checkpoint, ...], side: int | None = None) -> ImageSpec:
    return load_model(files, Choices(input_size=side)).image


def test_cars_are_wide_and_others_square(read: Read) -> None:
    assert image(read("e4e", dataset_type="cars")) == ImageSpec("photo", 3, 48, 64, (8, 56))
    assert image(read("hyperstyle", dataset_type="cars")) == ImageSpec("photo", 3, 48, 64, (8, 56))
    assert image(read("e4e")) == ImageSpec("photo", 3, 64, 64, (0, 64))


def test_style_blocks_say_what_they_were_made_for(read: Read) -> None:
    """Two halvings behind a trunk of 16 pixels a feature; the drawing is as large, and a larger input is refused."""
    for files in (read("psp"), read("restyle-psp"), read("hyperstyle")):
        assert image(files).input_width == 64
        assert image(files, 50).input_width == 50
        for side in (31, 65, 128):
            with pytest.raises(CheckpointError, match=f"this input size. Got: {side}. Expected: 32 to 64"):
                image(files, side)


def test_encoders_that_pool_take_any_size(read: Read) -> None:
    files = read("psp", encoder_type="BackboneEncoderUsingLastLayerIntoW")
    assert image(files).input_width == 64
    assert image(files, 33).input_width == 33
    assert image(files, 256).input_width == 256
    for side in (31, 1025):
        with pytest.raises(CheckpointError, match="Expected: 32 to 1024"):
            image(files, side)


@pytest.mark.parametrize("method", ["psp", "restyle-e4e", "hyperstyle"])
def test_an_encoder_may_look_at_larger_pictures_than_are_drawn(method: str, tmp_path: Path) -> None:
    """As the authors' code has it, where every encoder looks at 256 pixels: a reconstruction's pixels are repeated."""
    sizes = replace(TINY, generator=replace(TINY.generator, channels=TINY.generator.channels[:-1]))
    model = load_model(tuple(map(read_checkpoint, write_checkpoints(tmp_path, method, sizes))), NO_CHOICES)
    assert model.image == ImageSpec("photo", 3, 64, 64, (0, 32))
    drawing = torch.rand(1, 3, 32, 32)
    wanted = drawing.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(reconstruction(drawing, model.image), wanted)
    torch.testing.assert_close(Reconstruction(32, model.image)(drawing), wanted)


def test_a_checkpoint_may_say_its_size(read: Read) -> None:
    (checkpoint,) = read("psp")
    told = (with_options(checkpoint, input_size=40),)
    assert image(told).input_width == 40
    assert image(told, 48).input_width == 48
    with pytest.raises(CheckpointError, match=r"option input_size is not supported\. Got: 20"):
        image((with_options(checkpoint, input_size=20),))


def test_cars_need_whole_rows(read: Read) -> None:
    files = read("e4e", dataset_type="cars")
    assert image(files, 48) == ImageSpec("photo", 3, 36, 48, (8, 56))
    for side in (40, 50, 63):
        with pytest.raises(CheckpointError, match="a multiple of 8 from 48 on"):
            image(files, side)
