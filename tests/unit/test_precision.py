"""FP16 and bfloat16 bundles through the loop, against float32: PSNR at every step, and nothing near overflow.

A CPU computes 16-bit graphs in float32, so each is run twice: as users run it there, and with every result rounded to
16 bits (``export.rounded``), where an overflow is Inf as on a GPU.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES, Model
from hyperstyle_deploy.export.precision import BFLOAT16, FLOAT16
from hyperstyle_deploy.export.published_loop import refine
from hyperstyle_deploy.export.rounded import RoundedBackend
from hyperstyle_deploy.export.seeded import TINY, published_sizes, write_checkpoints
from hyperstyle_deploy.export.stages.scales import PEAK as ACTIVATION_PEAK
from hyperstyle_deploy.export.stages.scales import activation_scales
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.images import to_uint8
from hyperstyle_deploy.runtime.quality.tolerance import LEAST_PSNR, PEAK, psnr
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.runtime.test_device_backend import Rig

DATA = Path(__file__).parents[1] / "data"
STEPS = 3
#: A quarter of the largest FP16 number: room for the partial sums of a GPU that accumulates in FP16.
FP16_LIMIT = 65504 / 4
Record = Callable[[str, object], None]
Images = list[np.ndarray]


@pytest.fixture(scope="module")
def float16_bundle(tiny_checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(tiny_checkpoints, tmp_path_factory.mktemp("float16") / "bundle", precision="float16")


@pytest.fixture(scope="module")
def float32_images(tiny_bundle: Path) -> Images:
    return images(load(tiny_bundle, backend="onnxruntime"), DATA / "faces.png")


def images(session: Session, photo: Path) -> Images:
    """The image after every step, the encoder's inversion first; nothing on the way is Inf or NaN."""
    found = []
    for step in session.refine(session.prepare([photo]), STEPS):
        for array in (step.image, step.reconstruction, step.codes, step.offset_codes):
            assert np.isfinite(array).all()
            assert array.dtype == np.float32
        found.append(step.image)
    offsets = session.weight_offsets(session.inversion(step, 0, ()))
    assert all(np.isfinite(offset).all() for offset in offsets.values())
    return found


def check(got: Images, want: Images, precision: str, what: str, record: Record) -> None:
    found = [psnr(left, right) for left, right in zip(got, want, strict=True)]
    record(f"{what} {precision} PSNR by step", " ".join(f"{value:.1f}" for value in found))
    assert all(value >= LEAST_PSNR[precision] for value in found), found


def rounded(bundle: Bundle) -> tuple[Session, RoundedBackend]:
    backend = RoundedBackend(bundle, watch=True)
    return Session(backend), backend


@pytest.mark.parametrize("backend", available())
def test_a_float16_bundle_inverts_as_the_float32_one(
    backend: str, float16_bundle: Bundle, float32_images: Images, record_property: Record
) -> None:
    session = load(float16_bundle.path, backend=backend)
    assert session.precision == "float16"
    check(images(session, DATA / "faces.png"), float32_images, "float16", backend, record_property)


def test_rounded_to_float16_it_does_too_and_nothing_comes_near_overflow(
    float16_bundle: Bundle, float32_images: Images, record_property: Record
) -> None:
    session, backend = rounded(float16_bundle)
    check(images(session, DATA / "faces.png"), float32_images, "float16", "rounded", record_property)
    check_peaks(backend, record_property)


def test_the_loop_on_a_device_runs_a_float16_bundle(
    float16_bundle: Bundle, float32_images: Images, cpu_library: KernelLibrary, record_property: Record
) -> None:
    """On the stand-in for a device, recorded and replayed: tuned weights and offsets are 16 bits wide in its memory."""
    rig = Rig(float16_bundle, cpu_library, recordable=True)
    inversion = rig.session.invert(DATA / "faces.png", steps=STEPS)
    want = to_uint8(float32_images[-1])[0]
    value = psnr(inversion.image.astype(np.float32), want.astype(np.float32), 255.0)
    record_property("on the stand-in for a device, 8 bits", f"{value:.1f} dB")
    assert value >= LEAST_PSNR["float16"]
    assert (rig.device.recorded, rig.device.replays) == (2, STEPS + 1)


def check_peaks(backend: RoundedBackend, record: Record) -> None:
    """Every 16-bit tensor of every graph that ran is finite and far from FP16's end."""
    assert {"encoder", "hypernet", "weights", "offsets", "synthesis_one"} <= set(backend.graphs)
    for stage, graph in backend.graphs.items():
        name, peak = max(graph.peaks.items(), key=lambda item: np.nan_to_num(item[1], nan=np.inf))
        record(f"largest in {stage}", f"{name} {peak:.4g}")
        assert peak < FP16_LIMIT, (stage, name, peak)
    assert sum(len(graph.peaks) for graph in backend.graphs.values()) > 200  # so they were really watched


@pytest.mark.parametrize("factor", [30.0, -30.0, 1e-3])
def test_codes_of_any_size_draw_the_same_image(
    factor: float, float16_bundle: Bundle, tiny_bundle: Path, record_property: Record
) -> None:
    """W+ codes times 30 and nearly none, for one and for two at once; PSNR over the range of the float32 image."""
    generate = np.random.default_rng(0)
    average = float16_bundle.constants()["latent_avg"]
    codes = np.float32(factor) * (average + generate.standard_normal((2, *average.shape[1:]), np.float32))
    plain = open_backend("onnxruntime", Bundle.open(tiny_bundle), Options())
    narrow = RoundedBackend(float16_bundle, watch=True)
    for count in (1, 2):
        graph = "synthesis_one" if count == 1 else "synthesis"
        want, got = (backend.run(graph, {"codes": codes[:count]})["image"] for backend in (plain, narrow))
        value = psnr(got, want, max(PEAK, float(np.ptp(want))))
        record_property(f"codes x {factor}, {count} at once", f"{value:.1f} dB, image within {np.abs(want).max():.3g}")
        assert value >= LEAST_PSNR["float16"]
    for graph in narrow.graphs.values():
        assert max(graph.peaks.values()) < FP16_LIMIT


def test_a_float16_bundle_is_half_as_large_and_keeps_its_ends_in_float32(
    float16_bundle: Bundle, tiny_bundle: Path
) -> None:
    sizes = [
        sum(file.bytes for file in bundle.manifest.files.values())
        for bundle in (float16_bundle, Bundle.open(tiny_bundle))
    ]
    assert 0.45 < sizes[0] / sizes[1] < 0.7  # graphs and what stays float32 weigh more in a tiny model
    manifest = float16_bundle.manifest
    assert manifest.precision == "float16"
    for graph in manifest.graphs.values():
        for tensor in (*graph.inputs, *graph.outputs):
            narrow = tensor.name.startswith(("weight.", "noise.", "offset."))
            assert tensor.dtype == ("float16" if narrow else "float32"), tensor
    for name, array in float16_bundle.constants().items():
        assert array.dtype == (np.float16 if name.startswith(("weight.", "noise.")) else np.float32), name


def test_the_command_line_says_the_precision(float16_bundle: Bundle, tiny_checkpoints: tuple[Path, Path]) -> None:
    checkpoint, encoder = map(str, tiny_checkpoints)
    bundle = str(float16_bundle.path)
    assert "float16" in CliRunner().invoke(main, ["inspect", bundle]).stdout
    options = ["--against", checkpoint, "--w-encoder", encoder, "--steps", "1", "--backend", "onnxruntime"]
    result = CliRunner().invoke(main, ["verify", bundle, *options])
    assert result.exit_code == 0, result.output
    assert "float16" in result.stdout
    assert result.stdout.count(" within\n") == 2


def test_offsets_of_a_float16_bundle_are_float32_on_the_host(float16_bundle: Bundle, tiny_bundle: Path) -> None:
    narrow, plain = load(float16_bundle.path, "onnxruntime"), load(tiny_bundle, "onnxruntime")
    inversion = narrow.invert(DATA / "faces.png", steps=1)
    offsets, wanted = narrow.weight_offsets(inversion), plain.weight_offsets(inversion)
    for layer, want in wanted.items():
        assert offsets[layer].dtype == np.float32
        assert np.abs(offsets[layer] - want).max() < 2e-3 * np.abs(want).max()
    edits = np.stack([inversion.codes, inversion.codes + np.float32(0.3)])
    pictures = [session.synthesize(inversion, edits).astype(int) for session in (narrow, plain)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 3


#: Factors that leave a checkpoint's function as it is, but for W+ codes 30 times as large: FP16 cannot hold its
#: activations, codes and hidden matrices, nor batch norms and kernels apart, nor what makes up for them.
HOSTILE = tuple(
    (re.compile(pattern), factor)
    for pattern, factor in (
        (r"decoder\.input\.input|decoder\..*(noise\.weight|activate\.bias)", 1e4),
        (r"decoder\.to_rgb.*\.conv\.weight", 1e3),
        (r"decoder\.to_rgb.*modulation\.weight", 1e-7 / 30),
        (r"decoder\.to_rgb.*modulation\.bias", 1e-7),
        (r"decoder\.conv.*modulation\..*", 30.0),
        (r"latent_avg|encoder\.linear\..*", 30.0),
        (r"(?!decoder).*(conv[12]|(downsample|shortcut_layer|input_layer)\.0|res_layer\.3)\.weight", 1e3),
        (r".*(bn[12]|(downsample|shortcut_layer|input_layer)\.1|res_layer\.4)\.running_mean", 1e3),
        (r".*(bn[12]|(downsample|shortcut_layer|input_layer)\.1|res_layer\.4)\.running_var", 1e6),
        (r"hypernet\..*\d\.linear\..*|hypernet\..*\.last_conv\..*", 1e3),
        (r"hypernet\..*(output\.\d|make_kernel_in|make_kernel_out)\.weight", 1e-3),
        (r"hypernet\..*w1", 1e-6),
        (r"hypernet\..*w2", 1e3),
        (r"hypernet\..*b2", 1e6),
    )
)


def write_hostile(source: Path, target: Path) -> None:
    """Scale a checkpoint's tensors by ``HOSTILE``, and each channel of the demodulated kernels by 1e-5 to 1e5, or 0."""
    content = torch.load(source, weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    convs = [re.fullmatch(r"(hypernet\.refinement_blocks\.\d+\.convs)\.(\d+)\.weight", name) for name in state]
    last = {match[1]: f"{match[1]}.{match[2]}." for match in convs if match}
    scaled: dict[int, torch.Tensor] = {}
    for name, tensor in state.items():
        # The shared hypernetwork's tensors stand under several names.
        if tensor.data_ptr() not in scaled:
            block = name.rpartition(".convs.")[0]
            ends = f"{block}.linear.weight" not in state and last.get(f"{block}.convs", "-") in name
            by = factor(f"{block}.last_conv." if ends else name, tensor)
            scaled[tensor.data_ptr()] = tensor * by if tensor.is_floating_point() else tensor
        state[name] = scaled[tensor.data_ptr()]
    content["latent_avg"] = content["latent_avg"] * factor("latent_avg", content["latent_avg"])
    torch.save(content, target)


def factor(name: str, tensor: torch.Tensor) -> float | torch.Tensor:
    if re.fullmatch(r"decoder\.conv.*\.conv\.weight", name):
        channels = 10 ** (torch.rand(tensor.shape[1], generator=torch.Generator().manual_seed(len(name))) * 10 - 5)
        channels[7] = 0
        return channels[None, :, None, None, None]
    return next((factor for pattern, factor in HOSTILE if pattern.fullmatch(name)), 1.0)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, Bundle]]:
    """A hostile checkpoint with shared, separable, channel-wise and toRGB offsets, and its float16 bundle."""
    folder = tmp_path_factory.mktemp("hostile")
    seeded = write_checkpoints(
        folder, sizes=TINY, dataset_type="cars", separable=True, layers_to_tune="0,1,2,5,8,9,10,11,13"
    )
    for path in seeded:
        write_hostile(path, path)
    model = load_model(read_checkpoints(seeded), NO_CHOICES)
    yield model, export(seeded, folder / "bundle", precision="float16")
    shutil.rmtree(folder)


@pytest.mark.exhaustive
def test_a_hostile_checkpoint_inverts_in_float16(hostile: tuple[Model, Bundle], record_property: Record) -> None:
    model, bundle = hostile
    scales = activation_scales(model.generator, model.layers, model.latent_avg, FLOAT16)
    assert max(scales.outputs.values()) * ACTIVATION_PEAK > 65504  # as it is, FP16 could not hold this model
    session, backend = rounded(bundle)
    found = images(session, DATA / "cars.png")
    wanted = [step.image for step in refine(model, session.prepare([DATA / "cars.png"]), STEPS)]
    assert 0.1 < np.abs(wanted[-1]).max() < 10
    check(found, wanted, "float16", "hostile", record_property)
    check_peaks(backend, record_property)


@pytest.mark.exhaustive
def test_a_bfloat16_bundle_computes_the_loop(tmp_path: Path, record_property: Record) -> None:
    paths = write_checkpoints(tmp_path, sizes=TINY, layers_to_tune="0,1,2,11,12")
    bundle = export(paths, tmp_path / "bundle", precision="bfloat16")
    model = load_model(read_checkpoints(paths), NO_CHOICES)
    assert {graph.opset for graph in bundle.manifest.graphs.values()} == {BFLOAT16.opset}
    assert bundle.constants()["weight.conv1"].dtype == np.uint16
    session, _ = rounded(bundle)
    wanted = [step.image for step in refine(model, session.prepare([DATA / "faces.png"]), STEPS)]
    check(images(session, DATA / "faces.png"), wanted, "bfloat16", "rounded", record_property)
    shutil.rmtree(tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("size", "dataset_type", "separable"),
    [(512, "cars", False), (256, "ffhq", True), (256, "ffhq", False), (1024, "ffhq", False)],
    ids=["cars512", "separable256", "faces256", "faces1024"],
)
def test_other_configurations_in_float16(
    size: int, dataset_type: str, separable: bool, tmp_path: Path, record_property: Record
) -> None:
    paths = write_checkpoints(tmp_path, sizes=published_sizes(size), dataset_type=dataset_type, separable=separable)
    bundle = export(paths, tmp_path / "bundle", precision="float16")
    photo = DATA / ("cars.png" if "cars" in dataset_type else "faces.png")
    session, backend = rounded(bundle)
    model = load_model(read_checkpoints(paths), NO_CHOICES)
    wanted = [step.image for step in refine(model, session.prepare([photo]), STEPS)]
    del model
    for name, opened in (("rounded", session), ("onnxruntime", load(bundle.path, "onnxruntime"))):
        check(images(opened, photo), wanted, "float16", f"{name} {size}", record_property)
    check_peaks(backend, record_property)
    shutil.rmtree(tmp_path)
