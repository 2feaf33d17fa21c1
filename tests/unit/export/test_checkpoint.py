"""Hostile and broken checkpoint files: each is one typed error, nothing in them runs, and none fills the memory."""

import argparse
import collections
import io
import os
import pickle
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export import checkpoint
from hyperstyle_deploy.export.checkpoint import Checkpoint, read_checkpoint
from hyperstyle_deploy.runtime.bundle.files import sha256_of
from hyperstyle_deploy.tests.peak_memory import takes_at_most

HUGE = 10**12

Write = Callable[..., Path]


def content(**changed: Any) -> dict[str, Any]:
    """A small checkpoint in the authors' layout."""
    state = {"hypernet.conv1.weight": torch.arange(48.0).reshape(2, 6, 2, 2), "decoder.count": torch.tensor(3)}
    return {"state_dict": state, "opts": {"output_size": 256}, "latent_avg": torch.ones(512), **changed}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write bytes, or anything that torch.save takes."""

    def to_file(what: Any, **options: Any) -> Path:
        path = tmp_path / "file.pt"
        if isinstance(what, bytes):
            path.write_bytes(what)
        else:
            torch.save(what, path, **options)
        return path

    return to_file


@pytest.fixture(scope="module")
def valid() -> bytes:
    stream = io.BytesIO()
    torch.save(content(), stream)
    return stream.getvalue()


# What is accepted


def test_a_checkpoint_gives_its_tensors_options_and_average_code(write: Write) -> None:
    path = write(content())
    checkpoint = read_checkpoint(path)
    assert (checkpoint.path, checkpoint.sha256) == (path, sha256_of(path))
    assert dict(checkpoint.opts) == {"output_size": 256}
    assert list(checkpoint.state) == ["hypernet.conv1.weight", "decoder.count"]
    assert checkpoint.latent_avg is not None
    torch.testing.assert_close(checkpoint.latent_avg, torch.ones(512))
    torch.testing.assert_close(checkpoint.part("hypernet"), {"conv1.weight": torch.arange(48.0).reshape(2, 6, 2, 2)})


@pytest.mark.parametrize(
    "opts",
    [
        argparse.Namespace(output_size=256),
        collections.OrderedDict(output_size=256),
        {"output_size": 256},
    ],
    ids=["namespace", "ordered", "dict"],
)
def test_options_may_be_a_dict_or_a_namespace(write: Write, opts: object) -> None:
    assert dict(read_checkpoint(write(content(opts=opts))).opts) == {"output_size": 256}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_torch_save_is_read(write: Write, protocol: int) -> None:
    opts = argparse.Namespace(name="a" * 300, raw=b"\xff\0", rate=1e-4, sizes=(1, 2, 3, 4), big=1 << 40, none=None)
    checkpoint = read_checkpoint(write(content(opts=opts), pickle_protocol=protocol))
    assert dict(checkpoint.opts) == vars(opts)
    assert list(checkpoint.state) == ["hypernet.conv1.weight", "decoder.count"]


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int8, torch.bool],
    ids=str,
)
def test_numbers_of_every_type_are_read(write: Write, dtype: torch.dtype) -> None:
    values = torch.tensor([0, 1, 1, 0, 1]).to(dtype)
    state = read_checkpoint(write(content(state_dict={"a": values, "empty": values[:0]}))).state
    assert torch.equal(state["a"], values)
    assert state["empty"].shape == (0,)


@pytest.mark.parametrize("name", ["opts", "latent_avg"])
def test_options_and_average_code_may_be_missing(write: Write, name: str) -> None:
    what = content()
    del what[name]
    checkpoint = read_checkpoint(write(what))
    assert (checkpoint.opts == {}, checkpoint.latent_avg is None) == (name == "opts", name == "latent_avg")


@pytest.mark.parametrize(
    "extra",
    [
        {1, 2},
        (1, [2.5, None]),
        1 + 2j,
        torch.device("cuda:0"),
        torch.float16,
        torch.Size([1]),
        torch.nn.Parameter(torch.ones(1)),
        Path("/experiments/1"),
    ],
    ids=lambda extra: type(extra).__name__,
)
def test_harmless_values_beside_the_weights_are_accepted(write: Write, extra: object) -> None:
    assert read_checkpoint(write(content(extra=extra))).latent_avg is not None


def test_tensors_of_one_storage_stay_one_and_views_are_kept(write: Write) -> None:
    base = torch.arange(12.0)
    state = read_checkpoint(write(content(state_dict={"a": base, "b": base, "c": base[2:8].reshape(2, 3).T}))).state
    assert state["a"].data_ptr() == state["b"].data_ptr()
    torch.testing.assert_close(state["c"], base[2:8].reshape(2, 3).T)


def test_the_prefix_of_data_parallel_is_taken_off(write: Write) -> None:
    state = content()["state_dict"]
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    assert list(read_checkpoint(write(content(state_dict=wrapped))).state) == list(state)
    part = {name.replace(".", ".module.", 1): tensor for name, tensor in state.items()}
    assert list(read_checkpoint(write(content(state_dict=part))).state) == list(state)
    both = {**state, **wrapped, "a_module.x": torch.ones(1)}
    assert list(read_checkpoint(write(content(state_dict=both))).state) == list(both)


def test_a_part_is_what_lies_below_its_prefix() -> None:
    state = {"a.b.c": torch.tensor(0), "a.d": torch.tensor(1), "ab.c": torch.tensor(2), "a": torch.tensor(3)}
    assert list(Checkpoint(Path("x"), state, {}, None).part("a")) == ["b.c", "d"]


# Files that are no checkpoints


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", b"\n \t<html>", b"<?xml version='1.0'?>"]
)
def test_a_web_page_is_recognised(write: Write, page: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"is not a checkpoint. Got: a web page.*Google Drive"):
        read_checkpoint(write(page))


@pytest.mark.parametrize(
    "what",
    [
        b"",
        b"\0",
        b"PK\3\4",
        b"PK\5\6" + bytes(18),
        bytes(4096),
        bytes(range(256)) * 64,
        b"\x93NUMPY\1\0",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["empty", "byte", "zip magic", "empty zip", "zeros", "bytes", "numpy", "png"],
)
def test_another_file_is_no_checkpoint(write: Write, what: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(write(what))


@pytest.mark.parametrize("name", [".", "missing.pt", "file.pt/below", "n" * 5000, "with\0nul", "\ud800"])
def test_a_path_without_a_file_is_an_error(write: Write, name: str) -> None:
    folder = write(b"").parent
    with pytest.raises(CheckpointError):
        read_checkpoint(folder / name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "pipe")


@pytest.mark.parametrize("names", [["weights.bin"], ["archive/version"], ["archive/data.pkl"], ["data.pkl", "version"]])
def test_a_zip_that_is_no_torch_file_is_an_error(write: Write, names: list[str]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"3\n")
    with pytest.raises(CheckpointError):
        read_checkpoint(write(stream.getvalue()))


def test_a_file_from_before_pytorch_1_6_says_so(write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"before PyTorch 1\.6"):
        read_checkpoint(write(content(), _use_new_zipfile_serialization=False))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_says_so(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "program.pt"))
    with pytest.raises(CheckpointError, match="is a TorchScript program"):
        read_checkpoint(tmp_path / "program.pt")


# Damage


def test_a_truncated_file_is_always_an_error(write: Write, valid: bytes) -> None:
    for length in [*range(0, len(valid), 29), len(valid) - 1]:
        path = write(valid[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_a_flipped_bit_is_an_error_or_a_load(write: Write, valid: bytes) -> None:
    outcomes: set[type] = set()
    for position in range(0, len(valid), 17):
        damaged = bytearray(valid)
        damaged[position] ^= 1 << position % 8
        try:
            outcomes.add(type(read_checkpoint(write(bytes(damaged)))))
        except CheckpointError:
            outcomes.add(CheckpointError)
    assert outcomes == {Checkpoint, CheckpointError}


def test_the_error_of_a_damaged_pickle_does_not_advise_an_unsafe_load(write: Write, valid: bytes) -> None:
    start = valid.index(b"\x80\x02}")
    with pytest.raises(CheckpointError, match="It is damaged: download it again") as caught:
        read_checkpoint(write(valid[: start + 2] + b"\xff" + valid[start + 3 :]))
    assert "weights_only" not in str(caught.value)


# Bombs


def repacked(valid: bytes, method: int, **replaced: bytes) -> bytes:
    """The same records in a zip of another kind; ``replaced`` by the last part of their names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(valid)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            record = replaced.get(entry.filename.rpartition("/")[2].replace(".", "_"), old.read(entry))
            new.writestr(zipfile.ZipInfo(entry.filename), record, compress_type=method, compresslevel=9)
    return stream.getvalue()


@pytest.fixture
def no_unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the file gets as far as its pickle."""
    monkeypatch.setattr(checkpoint, "read_pickle", lambda *_: pytest.fail("the pickle was read"))


@pytest.mark.usefixtures("no_unpacking")
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_checkpoint_is_refused(write: Write, valid: bytes, method: int) -> None:
    with pytest.raises(CheckpointError, match="may unpack to more than it holds"):
        read_checkpoint(write(repacked(valid, method)))


def bomb(valid: bytes) -> bytes:
    """16 KB that unpack to 16 MB."""
    return repacked(valid, zipfile.ZIP_DEFLATED, data_pkl=bytes(16 << 20))


def directory(archive: bytes) -> tuple[bytes, bytes]:
    """A zip's records and its central directory."""
    size, start = struct.unpack("<II", archive[-10:-2])
    return archive[:start], archive[start : start + size]


def as_stored(entries: bytes) -> bytes:
    """A central directory that says of every record that it is stored as it is."""
    harmless, at = bytearray(entries), 0
    while at < len(harmless):
        name, extra, comment = struct.unpack("<HHH", harmless[at + 28 : at + 34])
        struct.pack_into("<H", harmless, at + 10, zipfile.ZIP_STORED)
        harmless[at + 24 : at + 28] = harmless[at + 20 : at + 24]
        at += 46 + name + extra + comment
    return bytes(harmless)


def plain_bomb(valid: bytes) -> bytes:
    return bomb(valid)


def bomb_with_a_second_directory(valid: bytes) -> bytes:
    """The end record points to the true directory; readers that look just before it find a harmless one."""
    records, entries = directory(bomb(valid))
    return records + entries + as_stored(entries) + bomb(valid)[-22:]


def bomb_with_a_second_zip64_record(valid: bytes) -> bytes:
    """The locator points to a record of the true directory; readers that look just before it find a harmless one."""
    records, entries = directory(bomb(valid))
    count = struct.unpack("<H", bomb(valid)[-12:-10])[0]

    def record(start: int) -> bytes:
        return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(entries), start)

    head = records + entries
    body = head + record(len(records)) + as_stored(entries) + record(len(head) + 56)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(head), 1)
    return body + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


@pytest.mark.usefixtures("no_unpacking")
@pytest.mark.parametrize("make", [plain_bomb, bomb_with_a_second_directory, bomb_with_a_second_zip64_record])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    write: Write, valid: bytes, make: Callable[[bytes], bytes]
) -> None:
    path = write(make(valid))
    assert path.stat().st_size < 30_000
    with pytest.raises(CheckpointError, match="may unpack to more than it holds"):
        read_checkpoint(path)


@pytest.mark.usefixtures("no_unpacking")
def test_entries_that_overlap_are_refused(write: Write, valid: bytes) -> None:
    records, entries = directory(repacked(valid, zipfile.ZIP_STORED))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1600, 1600, 200 * len(entries), len(records), 0)
    with pytest.raises(CheckpointError, match="may unpack to more than it holds"):
        read_checkpoint(write(records + 200 * entries + end))


class Builds:
    """Pickles as a call, whatever it is."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_a_pickle_that_asks_for_a_huge_buffer_is_refused(write: Write) -> None:
    path = write(content(extra=Builds(bytearray, (1 << 40,))))
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match=r"asks for Python code to be run.*bytearray"):
        read_checkpoint(path)


def claiming(shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Builds:
    storage = torch.zeros(4)
    arguments: tuple[Any, ...] = (storage.storage(), offset, shape, stride, False, collections.OrderedDict())
    return Builds(torch._utils._rebuild_tensor_v2, arguments)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("shape", "stride"),
    [((HUGE,), (0,)), ((1000, HUGE), (0, 0)), ((2**31, 2**31), (0, 0)), ((5,), (0,)), ((2, 3), (1, 1))],
)
@pytest.mark.parametrize("place", ["state_dict", "latent_avg"])
def test_a_tensor_that_claims_more_than_its_storage_holds_is_refused(
    write: Write, place: str, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    tensor = claiming(shape, stride)
    with pytest.raises(CheckpointError, match="claims more elements than the file holds"):
        read_checkpoint(write(content(**{place: {"a": tensor} if place == "state_dict" else tensor})))


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((HUGE,), (1,), 0), ((4,), (1,), 1), ((4,), (1,), HUGE), ((4,), (1,), -1), ((-4,), (1,), 0), ((4,), (-1,), 3)],
)
def test_a_tensor_that_reaches_past_its_storage_is_refused(
    write: Write, shape: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(write(content(state_dict={"a": claiming(shape, stride, offset)})))


def twice(depth: int) -> tuple[Any, ...]:
    """A tuple that holds a tuple twice that holds a tuple twice ..."""
    value: tuple[Any, ...] = ()
    for _ in range(depth):
        value = (value, value)
    return value


def bombs_of_python() -> Iterator[Any]:
    yield pytest.param(twice(30), id="tuple of 2^30")
    yield pytest.param(Builds(torch.Tensor, (HUGE,)), id="tensor by its size")
    yield pytest.param(Builds(torch.Size, ([HUGE] * 9,)), id="size")
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep, deep]
    yield pytest.param(deep, id="list of 2^200")
    yield pytest.param((deep, deep), id="tuple of 2^200")


@pytest.mark.parametrize("value", list(bombs_of_python()))
def test_values_that_would_explode_are_neither_copied_nor_printed(write: Write, value: Any) -> None:
    for place in ("opts", "latent_avg", "state_dict"):
        path = write(content(**{place: value}))
        with takes_at_most(200_000_000), pytest.raises(CheckpointError) as caught:
            read_checkpoint(path)
        assert len(str(caught.value)) < 1000


def small_pickles_that_cost_much() -> Iterator[Any]:
    """Pickles of a few KB, written by hand, that cost other readers gigabytes or minutes."""
    doubled = b"".join(b"%c\x86q" % 0x32 + bytes([i]) for i in range(1, 31))  # DUP, TUPLE2, BINPUT
    key = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(30))  # BINGET twice, TUPLE2, BINPUT
    yield pytest.param(b"\x80\x02)q\0" + doubled + b".", id="a tuple that holds itself twice, with DUP")
    yield pytest.param(b"\x80\x02}q\xff)q\0" + key + b"K\1s.", id="such a tuple as a key")
    for codec in (b"punycode", b"idna"):
        text = b"X" + struct.pack("<I", 90_000) + b"a" * 90_000
        yield pytest.param(
            b"\x80\x02c_codecs\nencode\n" + text + b"X\x08\0\0\0" + codec.ljust(8) + b"\x86R.", id=codec.decode()
        )
    yield pytest.param(b"\x80\x02ctorch\nFloatTensor\nJ\0\xca\x9a;\x85R.", id="FloatTensor(10**9)")
    many = b"(" + b"K\1" * 200_000 + b"lq\0"
    copies = b"".join(b"ctorch\nSize\nh\0\x85R" for _ in range(2000))
    yield pytest.param(b"\x80\x02" + many + b"(" + copies + b"t.", id="a long list copied 2000 times")
    yield pytest.param(b"\x80\x02" + b"]" * 3_000_000 + b".", id="three million lists")
    yield pytest.param(
        b"\x80\x02" + b"\x8b\x00\x00\x10\x00" + b"\x7f" * (1 << 20) + b".", id="an integer of a megabyte"
    )


@pytest.mark.parametrize("pickled", list(small_pickles_that_cost_much()))
def test_a_small_pickle_costs_little(write: Write, valid: bytes, pickled: bytes) -> None:
    path = write(repacked(valid, zipfile.ZIP_STORED, data_pkl=pickled))
    started = time.process_time()
    with takes_at_most(300_000_000), pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert len(str(caught.value)) < 1000
    assert time.process_time() - started < 10


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_storage_that_is_longer_than_its_record_is_refused(write: Write) -> None:
    path = write(content())
    grown = path.read_bytes().replace(b"K\x30t", b"K\x31t")
    assert grown != path.read_bytes()
    with pytest.raises(CheckpointError, match=r"of another length than the file holds.*192 bytes.*196 bytes"):
        read_checkpoint(write(grown))


# Code


class Custom:
    """A class that no checkpoint may ask for."""


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((os.system, ("touch was-run",)), "posix.system"),
        ((os.mkdir, ("was-run",)), "posix.mkdir"),
        ((eval, ("__import__('os').mkdir('was-run')",)), "eval"),
        ((exec, ("import os; os.mkdir('was-run')",)), "exec"),
        ((getattr, ("text", "format")), "getattr"),
        ((io.open, ("was-run", "w")), "io.open"),
        ((torch.load, ("was-run",)), "torch.serialization.load"),
        ((torch.hub.load, ("a/b", "c")), "torch.hub.load"),
        ((pickle.loads, (b"",)), "pickle.loads"),
        ((Path, ("was-run",)), "pathlib"),
        ((collections.deque, ([],)), "collections.deque"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_that_would_run_code_is_refused_and_what_it_asks_for_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(content(opts=Builds(*call)))
    with pytest.raises(CheckpointError, match=f"asks for Python code to be run.*{name}"):
        read_checkpoint(path)
    assert [file.name for file in tmp_path.iterdir()] == ["file.pt"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_no_pickle_protocol_gets_around_that(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, valid: bytes, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = pickle.dumps({"state_dict": Builds(os.mkdir, ("was-run",))}, protocol)
    path = write(repacked(valid, zipfile.ZIP_STORED, data_pkl=hostile))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert [file.name for file in tmp_path.iterdir()] == ["file.pt"]


def test_an_object_of_another_class_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Custom, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Custom", Custom, raising=False)
    with pytest.raises(CheckpointError, match=r"__main__\.Custom.*argparse\.Namespace"):
        read_checkpoint(write(content(opts=Custom())))


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """The paths that Python opens, from here on."""
    seen: list[str] = []
    recording = [True]
    # A hook cannot be taken away again, only told to rest.
    sys.addaudithook(lambda event, what: seen.append(str(what[0])) if event == "open" and recording[0] else None)
    yield seen
    recording[0] = False


def test_a_path_inside_a_checkpoint_is_never_opened(write: Write, opened: list[str], tmp_path: Path) -> None:
    bait = tmp_path / "bait.pt"
    bait.write_bytes(b"not a checkpoint")
    names = ("w_encoder_checkpoint_path", "checkpoint_path", "stylegan_weights", "load_w_encoder")
    path = write(content(opts=dict.fromkeys(names, str(bait))))
    bait.read_bytes()
    assert str(bait) in opened
    opened.clear()
    checkpoint = read_checkpoint(path)
    assert checkpoint.opts["w_encoder_checkpoint_path"] == str(bait)
    assert str(path) in opened
    assert str(bait) not in opened


# Layouts


@pytest.mark.parametrize(
    "what", [None, [], torch.zeros(2), "text", 7, (content(),)], ids=lambda what: type(what).__name__
)
def test_a_file_without_a_dictionary_is_refused(write: Write, what: object) -> None:
    with pytest.raises(CheckpointError, match=f"holds no dictionary. Got: {type(what).__name__}"):
        read_checkpoint(write(what))


@pytest.mark.parametrize("state", [None, [], torch.zeros(2), "text", {7: torch.zeros(2)}])
def test_a_file_without_a_state_dict_is_refused_with_its_keys(write: Write, state: object) -> None:
    with pytest.raises(CheckpointError, match=r"has no state_dict.*'latent_avg', 'opts', 'state_dict'"):
        read_checkpoint(write(content(state_dict=state)))


def test_a_generator_by_itself_is_told_which_command_takes_it(write: Write) -> None:
    path = write({"g_ema": {"input.input": torch.ones(1)}, "latent_avg": torch.ones(3)})
    with pytest.raises(CheckpointError, match=rf"is a generator by itself.*--generator NAME={path} -o BUNDLE"):
        read_checkpoint(path)


def test_tensors_of_a_method_without_their_options_are_told_where_they_go(write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"has no state_dict.*options of their training below opts"):
        read_checkpoint(write({"encoder.x": torch.ones(1), "decoder.x": torch.ones(1)}))


def test_a_checkpoint_is_no_bare_state_dict(write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"is no state dict. Got: dicts \['opts', 'state_dict'\]"):
        checkpoint.read_state(write(content()))


def test_a_bare_state_dict_is_refused_with_its_keys(write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"has no state_dict.*'7', 'conv\.weight'"):
        read_checkpoint(write({"conv.weight": torch.zeros(2), 7: 7}))


def hostile_tensors() -> Iterator[Any]:
    for value in (None, 1.5, "text", [torch.zeros(2)], {"a": torch.zeros(2)}):
        yield pytest.param(value, type(value).__name__, id=type(value).__name__)
    yield pytest.param(torch.zeros(2, 2).to_sparse(), "sparse", id="sparse")
    yield pytest.param(torch.zeros(2, device="meta"), "meta", id="without data")


@pytest.mark.parametrize(("value", "got"), list(hostile_tensors()))
def test_what_is_no_dense_tensor_is_named(write: Write, value: Any, got: str) -> None:
    with pytest.raises(CheckpointError, match=f"decoder.x is not a dense tensor.*{got}"):
        read_checkpoint(write(content(state_dict={"decoder.x": value})))


@pytest.mark.parametrize("opts", [None, [], "text", 7, torch.zeros(2)], ids=lambda opts: type(opts).__name__)
def test_options_of_another_type_are_refused(write: Write, opts: object) -> None:
    with pytest.raises(CheckpointError, match=f"unusable opts. Got: {type(opts).__name__}"):
        read_checkpoint(write(content(opts=opts)))


@pytest.mark.parametrize("average", [[0.0] * 512, "text", 7, {"a": torch.zeros(2)}], ids=lambda a: type(a).__name__)
def test_an_average_code_of_another_type_is_refused(write: Write, average: object) -> None:
    with pytest.raises(CheckpointError, match=f"unusable latent_avg. Got: {type(average).__name__}"):
        read_checkpoint(write(content(latent_avg=average)))


@pytest.mark.parametrize(
    "average", [torch.zeros(2, 2).to_sparse(), torch.zeros(2, device="meta")], ids=["sparse", "meta"]
)
def test_an_average_code_that_is_no_dense_tensor_is_refused(write: Write, average: Tensor) -> None:
    with pytest.raises(CheckpointError, match="latent_avg is not a dense tensor"):
        read_checkpoint(write(content(latent_avg=average)))
