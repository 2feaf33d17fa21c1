"""The build: the real fat binary, made by nvcc without a GPU, and what goes wrong without nvcc or with spills."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hyperstyle_deploy.errors import KernelError, OutputError
from hyperstyle_deploy.kernels import build as building
from hyperstyle_deploy.kernels import resources, toolchain
from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.kernels.resources import Usage
from hyperstyle_deploy.tests.kernel_cases import layer

KERNELS = Path(__file__).parents[3] / "kernels"
MODULATIONS = {part: name for part, name in resources.KERNELS.items() if part.startswith("modulate")}
FUNCTIONS = {
    "hyperstyle_add",
    "hyperstyle_modulate",
    "hyperstyle_modulate_abi",
    "hyperstyle_modulate_check",
    "hyperstyle_modulate_error",
    "hyperstyle_pixels",
    "hyperstyle_squared_error",
}


def nvcc_here() -> Path | None:
    try:
        return toolchain.find_nvcc()
    except KernelError:
        return None


needs_nvcc = pytest.mark.skipif(nvcc_here() is None, reason="no nvcc to compile the kernel with")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Usage]]:
    target = tmp_path_factory.mktemp("built") / "new" / "libhyperstyle_modulate.so"
    return target, building.build(target)


def sass(library: Path, architecture: int) -> dict[str, str]:
    """Machine code by kernel, where cuobjdump is installed (CUDA's toolkit has it, its compiler's wheel does not)."""
    if shutil.which("cuobjdump") is None:
        pytest.skip("no cuobjdump to read machine code with")
    command = ["cuobjdump", "-sass", "-arch", f"sm_{architecture}", str(library)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    functions = re.split(r"^\s*Function : ", text, flags=re.MULTILINE)[1:]
    return {function.split("\n", 1)[0].strip(): function for function in functions}


def loaded_vectors(kernel: str) -> int:
    """Of a thread, on each of the two paths: three of base, and as many of offsets, or twice that if they are wider."""
    (name,) = (name for part, name in MODULATIONS.items() if part in kernel)
    return 3 + (6 if "offsets" in name else 3)


@needs_nvcc
def test_every_architecture_has_every_kernel_and_none_spills(built: tuple[Path, list[Usage]]) -> None:
    target, usages = built
    assert len(usages) == len(resources.KERNELS) * len(toolchain.ARCHITECTURES)
    assert {usage.architecture for usage in usages} == {75, 80, 86, 89, 90, 100, 120}
    assert all(usage.stack == usage.spills == 0 for usage in usages)
    assert all(0 < usage.registers <= 80 and usage.shared < 20 << 10 for usage in usages)
    assert resources.code_in(target) == ({75, 80, 86, 89, 90, 100, 120}, {100})
    assert list(target.parent.iterdir()) == [target]  # nothing of the build is left


@needs_nvcc
def test_cuobjdump_agrees_about_the_contents(built: tuple[Path, list[Usage]]) -> None:
    if shutil.which("cuobjdump") is None:
        pytest.skip("no cuobjdump to read the library with")
    for option, expected in (("--list-elf", {75, 80, 86, 89, 90, 100, 120}), ("--list-ptx", {100})):
        command = ["cuobjdump", option, str(built[0])]
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert {int(number) for number in re.findall(r"sm_(\d+)", text)} == expected


@needs_nvcc
def test_only_the_interface_is_exported(built: tuple[Path, list[Usage]]) -> None:
    if shutil.which("nm") is None:
        pytest.skip("no nm to list symbols with")
    command = ["nm", "-D", "--defined-only", str(built[0])]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert {line.split()[-1] for line in lines} == FUNCTIONS


@needs_nvcc
def test_it_loads_and_checks_tables_without_a_gpu(built: tuple[Path, list[Usage]]) -> None:
    library = KernelLibrary(built[0])
    good = LayerArrays(layer(8, 4), base=0x10000, weight=0x20000, offset=0x30000, energy=0x40000)
    library.modulation([good], "bfloat16", "float32")
    with pytest.raises(KernelError, match="element's size"):
        library.modulation([LayerArrays(layer(8, 4), base=0x10001, weight=0x20000, offset=0x30000)], "float16")


@needs_nvcc
def test_a_launch_without_a_device_is_a_clear_error(built: tuple[Path, list[Usage]]) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU here: tests/gpu launches the kernel")
    good = LayerArrays(layer(8, 4), base=0x10000, weight=0x20000, offset=0x30000, energy=0x40000)
    modulation = KernelLibrary(built[0]).modulation([good], "float32")
    with pytest.raises(KernelError, match=r"not launched: .*(driver|device).*CUDA error \d+.*current CUDA device"):
        modulation.launch()


@needs_nvcc
def test_global_memory_is_read_and_written_in_vectors(tmp_path: Path) -> None:
    """In PTX: the vectors of base and offsets are streaming 16-byte loads, those of the weights 16-byte stores."""
    target = tmp_path / "modulate.ptx"
    source = str(toolchain.SOURCE)
    command = [str(toolchain.find_nvcc()), "-std=c++17", "-O3", "-arch=sm_90", "-ptx", "-o", str(target), source]
    subprocess.run(command, check=True, timeout=900)
    kernels = [text for text in target.read_text().split(".entry ")[1:] if "modulateI" in text.split("(")[0]]
    assert len(kernels) == len(MODULATIONS)
    for text in kernels:
        assert len(re.findall(r"ld\.global\.cs\.v4", text)) == 2 * loaded_vectors(text.split("(")[0])
        assert len(re.findall(r"st\.global\.v4", text)) == 2 * 3
        assert ".local" not in text


@needs_nvcc
@pytest.mark.parametrize("architecture", [80, 90])
def test_machine_code_keeps_the_vectors_and_all_loads_come_first(
    built: tuple[Path, list[Usage]], architecture: int
) -> None:
    functions = sass(built[0], architecture)
    assert len(functions) == len(resources.KERNELS)
    for name, text in functions.items():
        assert not re.search(r"\b(LDL|STL)\b", text), name
        if "modulateI" not in name:
            continue
        wide = [match[1] for match in re.finditer(r"\b(LDG|STG)\.\S*128\b", text)]
        assert wide == 2 * (["LDG"] * loaded_vectors(name) + ["STG"] * 3), name


@needs_nvcc
def test_a_kernel_that_spills_is_no_library(tmp_path: Path) -> None:
    for source in (*KERNELS.glob("*.*h"), *KERNELS.glob("*.cu")):
        shutil.copy(source, tmp_path)
    header = tmp_path / "modulate.cuh"
    text = header.read_text()
    header.write_text(re.sub(r"constexpr int kBlocks = \d+", "constexpr int kBlocks = 10", text))
    assert header.read_text() != text
    target = tmp_path / "library.so"
    with pytest.raises(KernelError, match=r"run out of registers.*sm_90: \d+ bytes of stack.*no spills"):
        building.build(target, architectures=[90], source=tmp_path / "library.cu")
    assert not target.exists()


@needs_nvcc
def test_source_that_does_not_compile_shows_the_compilers_words(tmp_path: Path) -> None:
    (tmp_path / "wrong.cu").write_text("int broken = undeclared_name;")
    with pytest.raises(KernelError, match=r"(?s)does not compile: .*-gencode.*undeclared_name"):
        building.build(tmp_path / "library.so", architectures=[90], source=tmp_path / "wrong.cu")


@needs_nvcc
def test_cmake_makes_the_same_library(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    options = ["-DCMAKE_CUDA_ARCHITECTURES=90-real", f"-DCMAKE_CUDA_COMPILER={toolchain.find_nvcc()}"]
    for command in (
        ["cmake", "-S", str(KERNELS), "-B", str(tmp_path / "made"), "-DCMAKE_BUILD_TYPE=Release", *options],
        ["cmake", "--build", str(tmp_path / "made")],
        ["cmake", "--install", str(tmp_path / "made"), "--prefix", str(tmp_path / "installed")],
    ):
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stdout + result.stderr
    headers = {path.name for path in (tmp_path / "installed" / "include").iterdir()}
    assert headers == {"modulate.h", "arithmetic.h"}
    (library,) = (tmp_path / "installed").rglob("libhyperstyle_modulate.so")
    KernelLibrary(library)
    assert resources.code_in(library)[0] == {90}


def executable(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without nvcc."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(toolchain, "_in_toolkits", lambda: [])
    monkeypatch.setattr(toolchain, "_in_wheels", lambda: [])
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.mark.usefixtures("nowhere")
def test_without_a_compiler_the_error_says_what_to_install() -> None:
    with pytest.raises(KernelError, match=r"no CUDA compiler.*nvcc 12\.8 or later.*pip install nvidia-cuda-nvcc"):
        building.build()


@pytest.mark.usefixtures("nowhere")
def test_the_command_reports_errors_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert building.main([]) == 2
    assert capsys.readouterr().err.startswith("KernelError: There is no CUDA compiler")


def test_compilers_that_do_not_do(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"no executable .*missing"):
        toolchain.find_nvcc(tmp_path / "missing")
    with pytest.raises(KernelError, match=r"too old.*Got: .*old 12\.6.*12\.8 or later"):
        toolchain.find_nvcc(executable(tmp_path / "old", "Cuda compilation tools, release 12.6, V12.6.20"))
    with pytest.raises(KernelError, match=r"does not tell its release.*gcc"):
        toolchain.find_nvcc(executable(tmp_path / "other", "gcc 14"))


def test_where_compilers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Cuda compilation tools, release 13.1, V13.1.0"
    wheel = executable(tmp_path / "site" / "nvidia" / "cu13" / "bin" / "nvcc", text)
    home = executable(tmp_path / "home" / "bin" / "nvcc", text)
    path = executable(tmp_path / "path" / "nvcc", text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert wheel in toolchain._in_wheels()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert toolchain._in_toolkits()[0] == home
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=":")
    assert toolchain.find_nvcc() == path


@pytest.mark.parametrize("architectures", [[], [90, 70]])
def test_unknown_architectures(architectures: list[int]) -> None:
    with pytest.raises(KernelError, match=r"Unknown architectures.*some of \[75, 80"):
        building.build(architectures=architectures)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nvcc = executable(tmp_path / "nvcc", "release 13.0")
    with pytest.raises(OutputError, match=r"Cannot write .*--output"):
        building.build(tmp_path / "file" / "library.so", nvcc=nvcc)


REPORT = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN10hyperstyle8modulateI6__halfS1_EEvNS_5TableE' for 'sm_90'
ptxas info    : Function properties for _ZN10hyperstyle8modulateI6__halfS1_EEvNS_5TableE
    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used 48 registers, used 1 barriers, 19712 bytes smem
ptxas info    : Compile time = 1.0 ms
"""


def test_the_report_is_parsed_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "KERNELS", {"6__halfS1_": "float16"})
    good = resources.parse(REPORT.format(stack=0, stores=0, loads=0))
    assert good == [Usage("float16", 90, 48, 19712, 0, 0)]
    resources.check(good, [90])
    assert resources.table(good).splitlines()[1].split() == ["float16", "sm_90", "48", "19712", "0", "0"]
    for numbers in ({"stack": 8, "stores": 0, "loads": 0}, {"stack": 0, "stores": 4, "loads": 8}):
        with pytest.raises(KernelError, match="run out of registers"):
            resources.check(resources.parse(REPORT.format(**numbers)), [90])
    with pytest.raises(KernelError, match="float16 for sm_80"):
        resources.check(good, [80, 90])
    with pytest.raises(KernelError, match="does not report"):
        resources.parse(REPORT.format(stack=0, stores=0, loads=0).replace("Used 48 registers", ""))


def test_a_file_without_code_has_none(tmp_path: Path) -> None:
    (tmp_path / "library.so").write_bytes(b"\x7fELF" + bytes(100) + b"\x50\xed\x55\xba\x01\x00\x10\x00" + b"\xff" * 8)
    assert resources.code_in(tmp_path / "library.so") == (set(), set())
