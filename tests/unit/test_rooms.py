"""The rooms' order, and that nothing goes in circles: imports are read from the sources, those inside functions too."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Lower first: a room imports those before it and itself. docs/architecture.md says what each holds.
ROOMS = ("errors", "install_hint", "kernels", "runtime", "calibration", "export", "demo", "cli")
RUNTIME = (
    *("manifest", "methods", "bundle", "images", "photos", "editing", "backends", "alignment", "refinement"),
    *("drawing", "session", "inspection", "quality", "profiling", "serving", "reports"),
)
#: Where PyTorch may be imported.
TORCH_ROOMS = {"export", "training"}
#: Results of PyTorch's are compared below the CLI, which knows both sides; LPIPS is PyTorch's own.
MAY_ASK_FOR_TORCH = {"runtime.quality.lpips"}


@cache
def modules() -> dict[str, Path]:
    """Dotted names below the package, and their files."""
    rooms = [path for path in ROOT.iterdir() if (path / "__init__.py").exists() and path.name != "tests"]
    files = [file for room in rooms for file in room.rglob("*.py")]
    files += [ROOT / f"{name}.py" for name in ("errors", "install_hint", "demo")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(name: str) -> Iterator[str]:
    """Modules of the package that a module imports when it runs: not what only type checkers read."""
    file = modules()[name]
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in _running(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = ".".join([*base, *((node.module or "").split("."))]).strip(".")
            if target in modules():
                yield target
            yield from (each for alias in node.names if (each := f"{target}.{alias.name}".strip(".")) in modules())


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _running(child)


def room_of(name: str) -> tuple[int, int]:
    """Where a module stands in the order: its room, and in the runtime the room there."""
    top, *rest = name.split(".")
    if top != "runtime" or not rest:
        return (ROOMS.index(top) if top in ROOMS else len(ROOMS), 0)
    return ROOMS.index(top), RUNTIME.index(rest[0])


def test_a_room_imports_none_above_it() -> None:
    wrong = [
        f"{name} imports {other}" for name in modules() for other in imports(name) if room_of(other) > room_of(name)
    ]
    assert not wrong


def test_every_room_of_the_runtime_has_its_place() -> None:
    there = {
        path.stem for path in (ROOT / "runtime").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__"} == set(RUNTIME)


def test_every_room_is_packaged() -> None:
    listed = set(re.findall(r'^    "(hyperstyle_deploy[\w.]*)",$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    pages = {name.replace("/", ".") for name, file in modules().items() if file.name == "__init__.py"}
    assert listed == {"hyperstyle_deploy", *(f"hyperstyle_deploy.{name}" for name in pages)}


def test_no_modules_import_each_other_in_a_circle() -> None:
    open_now: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        if name in open_now:
            pytest.fail(" -> ".join([*open_now[open_now.index(name) :], name]))
        if name in done:
            return
        open_now.append(name)
        for other in sorted(set(imports(name)) - {name}):
            # A package's own page may name its modules, which are found through it.
            if not name.startswith(f"{other}."):
                visit(other)
        open_now.pop()
        done.add(name)

    for name in modules():
        visit(name)


def test_pytorch_is_imported_where_it_belongs() -> None:
    wrong = []
    for name, file in modules().items():
        if name.split(".")[0] in TORCH_ROOMS or name in MAY_ASK_FOR_TORCH:
            continue
        for node in _running(ast.parse(file.read_text())):
            named = node.names if isinstance(node, ast.Import) else []
            if any(alias.name.split(".")[0] == "torch" for alias in named) or (
                isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch" and not node.level
            ):
                wrong.append(name)
    assert not wrong


def test_sessions_of_onnx_runtime_are_opened_in_one_place() -> None:
    opened = [
        name
        for name, file in modules().items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("InferenceSession")
    ]
    assert opened == ["runtime.backends.onnx_session"]


def test_no_width_of_published_models_stands_in_the_runtime() -> None:
    """512 numbers a style, 256 pixels and 18 styles are facts of bundles."""
    found = [
        f"{name}: {node.value}"
        for name, file in modules().items()
        if name.startswith(
            ("runtime.manifest", "runtime.methods", "runtime.bundle", "runtime.refinement", "runtime.session")
        )
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in (512, 256, 18, 192) and type(node.value) is int
    ]
    assert not found
