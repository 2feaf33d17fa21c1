"""`export-triton`: a repository that is whole or not there, and configurations that Triton's own protobuf reads."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.bundle.reader import Bundle, read_manifest
from hyperstyle_deploy.runtime.serving.live.tensors import output_specs
from hyperstyle_deploy.runtime.serving.triton.config import Model, config_of
from hyperstyle_deploy.tests.unit.runtime.test_adaptation import PIXAR, TOONIFY
from hyperstyle_deploy.tests.unit.test_session import FORMS


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["export-triton", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def parsed(text: str) -> Any:
    """By the protobuf that Triton itself is built from: unknown fields and wrong types are errors."""
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")
    from google.protobuf import text_format

    return text_format.Parse(text, triton.model_config_pb2.ModelConfig())


@pytest.mark.parametrize("form", FORMS)
def test_tritons_protobuf_reads_the_configuration_of_every_method(toys: Callable[..., Path], form: str) -> None:
    method, options = FORMS[form]
    manifest = read_manifest(toys(method, **options))
    config = parsed(config_of(manifest, Model("toy")))
    assert (config.name, config.backend, config.max_batch_size) == ("toy", "python", 1)
    assert [(each.name, list(each.dims), each.optional) for each in config.input] == [
        ("file", [1], True),
        ("pixels", [-1, -1, 3], True),
    ]
    specs = output_specs(manifest)
    assert [(each.name, tuple(each.dims)) for each in config.output] == [(spec.name, spec.shape) for spec in specs]
    kinds = {"UINT8": 2, "FP32": 11, "FP64": 12}  # by model_config.proto
    assert [each.data_type for each in config.output] == [kinds[spec.datatype] for spec in specs]
    ((_, warmup),) = config.model_warmup[0].inputs.items()
    assert list(warmup.dims) == [manifest.image.input_height, manifest.image.input_width, 3]


def test_what_is_asked_for_is_in_the_configuration(toys: Callable[..., Path], tmp_path: Path) -> None:
    how = ("--batch", 3, "--batch-wait", 5, "--waiting", 7, "--deadline", 2, "--instances", 2, "--threads", 4)
    assert run(toys(), "-o", tmp_path, "--name", "a", "--runtime", "onnxruntime", *how).exit_code == 0
    config = parsed((tmp_path / "a" / "config.pbtxt").read_text())
    queue = config.dynamic_batching.default_queue_policy
    assert (config.max_batch_size, config.dynamic_batching.max_queue_delay_microseconds) == (3, 5000)
    assert (queue.max_queue_size, queue.default_timeout_microseconds) == (7, 2_000_000)
    told = {name: parameter.string_value for name, parameter in config.parameters.items()}
    assert told == {"backend": "onnxruntime", "threads": "4"}
    (group,) = config.instance_group
    assert (group.count, group.Kind.Name(group.kind), list(group.gpus)) == (2, "KIND_CPU", [])

    where = ("--runtime", "tensorrt", "--device", 1, "--trust-engines")
    assert run(toys(), "-o", tmp_path, "--name", "b", "--backend", "cpp", *where).exit_code == 0
    config = parsed((tmp_path / "b" / "config.pbtxt").read_text())
    assert (config.backend, config.max_batch_size) == ("hyperstyle", 4)
    told = {name: parameter.string_value for name, parameter in config.parameters.items()}
    assert told == {"backend": "tensorrt", "trust_engines": "True"}
    (group,) = config.instance_group
    assert (group.Kind.Name(group.kind), list(group.gpus)) == ("KIND_GPU", [1])


@pytest.mark.parametrize("backend", ["python", "cpp"])
def test_a_model_may_draw_with_a_further_generator(toys: Callable[..., Path], tmp_path: Path, backend: str) -> None:
    bundle = shutil.copytree(toys(generators=(TOONIFY, PIXAR)), tmp_path / "faces.bundle")
    repository = tmp_path / "repository"
    how = ("-o", repository, "--backend", backend, "--runtime", "onnxruntime")
    assert run(bundle, *how, "--generator", "toonify").exit_code == 0
    assert run(bundle, *how, "--generator", "pixar", "--name", "films").exit_code == 0
    for name, generator in (("faces-toonify", "toonify"), ("films", "pixar")):
        config = parsed((repository / name / "config.pbtxt").read_text())
        assert config.name == name
        assert config.parameters["generator"].string_value == generator
    result = run(bundle, *how, "--generator", "anime")
    assert (result.exit_code, "Got: toonify, pixar" in result.stderr) == (2, True)
    assert len(list(repository.iterdir())) == 2


def test_the_repository_has_the_bundle_and_what_runs_it(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle, repository = toys(), tmp_path / "new" / "repository"
    result = run(bundle, "-o", repository, "--name", "toy")
    assert result.exit_code == 0
    assert str(repository / "toy") in result.stdout
    assert run(bundle, "-o", repository, "--name", "fast", "--backend", "cpp").exit_code == 0
    copy = Bundle.open(repository / "toy" / "1" / "model.bundle")
    assert copy.manifest == read_manifest(bundle)
    assert {path.name for path in (repository / "toy").iterdir()} == {"config.pbtxt", "1"}
    assert {path.name for path in (repository / "toy" / "1").iterdir()} == {"model.bundle", "model.py"}
    assert {path.name for path in (repository / "fast" / "1").iterdir()} == {"model.bundle"}
    config = parsed((repository / "fast" / "config.pbtxt").read_text())
    assert config.parameters["backend"].string_value == "onnxruntime"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "../up"), "That is no name for a model"),
        (("--name", ""), "That is no name for a model"),
        (("--runtime", "tensorflow"), "Unknown backend"),
        (("--backend", "cpp", "--runtime", "openvino"), "Unknown backend"),
        (("--backend", "cpp", "--precision-hint", "bf16"), "takes no precision hint"),
        (("--device", "1"), "auto runs on the CPU"),
        (("--runtime", "openvino", "--trust-engines"), "openvino runs on the CPU"),
        (("--name", "taken"), "The repository has such a model"),
        (("--generator", "toonify"), "The bundle has no generator toonify"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    toys: Callable[..., Path], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "taken").mkdir()
    named = () if "--name" in arguments else ("--name", "toy")
    result = run(toys(), "-o", tmp_path, *named, *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_damaged_bundles_and_places_inside_them_are_refused(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle = tmp_path / "toy.bundle"
    shutil.copytree(toys(), bundle)
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in bundle.rglob("*") if path.is_file()}
    result = run(bundle, "-o", bundle / "repository")
    assert (result.exit_code, "inside the bundle" in result.stderr) == (2, True)
    assert before == {path: hashlib.sha256(path.read_bytes()).digest() for path in bundle.rglob("*") if path.is_file()}
    with (bundle / "encoder.onnx").open("ab") as graph:
        graph.write(b"more")
    result = run(bundle, "-o", tmp_path / "repository")
    assert (result.exit_code, "encoder.onnx" in result.stderr) == (2, True)
    assert not (tmp_path / "repository").exists()


def test_links_in_a_bundles_folder_bring_nothing_along(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle, secret = tmp_path / "toy.bundle", tmp_path / "secret"
    shutil.copytree(toys(), bundle)
    secret.write_text("secret")
    (bundle / "directions").mkdir(exist_ok=True)
    (bundle / "directions" / "note.txt").symlink_to(secret)
    assert run(bundle, "-o", tmp_path / "repository").exit_code == 0
    copied = list((tmp_path / "repository").rglob("note.txt"))
    assert [path.is_symlink() for path in copied] == [True]
