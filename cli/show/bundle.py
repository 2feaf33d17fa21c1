"""A checkpoint, a bundle and its engines as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table

from .text import OUT, add_row, right, show_next, size

if TYPE_CHECKING:
    from ...export.engines.builder import Built
    from ...export.inspection import Description
    from ...runtime.backends.engines.overview import EngineState
    from ...runtime.inspection import Found
    from ...runtime.manifest.manifest import Manifest


def show_checkpoint(description: "Description") -> None:
    """Print what `inspect` found in a checkpoint."""
    networks = description.networks
    codes = None if networks.styles is None else f"{networks.styles} styles of {networks.width}"
    facts = {
        "method": description.method,
        "domain": description.domain,
        "encoder": networks.encoder,
        "input": networks.input,
        "size": networks.size,
        "codes": codes,
        "channels": ", ".join(map(str, networks.channels)) or None,
        "hypernetwork": networks.hypernetwork,
        "tuned layers": ", ".join(map(str, networks.tuned_layers)) or None,
        "latent_avg": description.latent_avg,
        "sha256": description.sha256,
    }
    OUT.print(f"{description.file}  {size(description.bytes)}")
    for name, value in facts.items():
        if value is not None:
            OUT.print(f"  {name:14s} {value}")
    table = Table("part", *(right(name) for name in ("tensors", "parameters", "size")))
    for part in description.parts:
        add_row(table, part.name, str(part.tensors), f"{part.parameters:,}", size(part.bytes))
    OUT.print(table)
    OUT.print("options: " + ", ".join(f"{name}={value}" for name, value in description.options.items()))
    for need in description.needs:
        OUT.print(f"needs: {need}")
    if description.export:
        OUT.print(f"export with: {description.export}")


def show_found(found: "Found") -> None:
    """Print what a file is that is neither checkpoint nor bundle."""
    OUT.print(f"{found.file}  {found.kind}, {size(found.bytes)}")
    for name, value in found.facts.items():
        if isinstance(value, dict) and value:
            OUT.print(f"  {name}")
            for key, each in value.items():
                OUT.print(f"    {key}: {each}")
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            OUT.print(f"  {name}")
            for tensor in value:
                OUT.print(f"    {tensor['name']}  {tensor['dtype']} {list(tensor['shape'])}")
        elif value not in (None, [], {}):
            OUT.print(f"  {name:12s} {value}")


def show_bundle(path: Path, manifest: "Manifest") -> None:
    """Print what a bundle holds."""
    image, generator = manifest.image, manifest.generator
    OUT.print(f"{path}  {size(sum(file.bytes for file in manifest.files.values()))}")
    channels = "" if image.comparable else f" {image.kind} of {image.channels} channel{'s' * (image.channels > 1)}"
    tuned = f", {len(manifest.tuned)} tuned layers" if manifest.tuned else ""
    OUT.print(
        f"  {manifest.method.name}, {manifest.domain}: {image.input_width}x{image.input_height}{channels} in, "
        f"{generator.size}x{image.height} out, {generator.styles} styles of {generator.width}, {manifest.arithmetic}"
        f"{tuned}, {manifest.default_steps} steps by default"
    )
    for further in manifest.generators:
        layers = f"offsets of {len(further.offsets)} layers" if further.offsets else "no offsets"
        OUT.print(f"  --generator {further.name}: another generator, with {layers}")
    for checkpoint in manifest.checkpoints:
        OUT.print(f"  {checkpoint.role}: {checkpoint.file} (sha256 {checkpoint.sha256[:12]})")
    if manifest.licence:
        OUT.print(f"  licence of the weights: {manifest.licence}")
    table = Table("file", right("size"), "sha256")
    for name, file in manifest.files.items():
        add_row(table, name, size(file.bytes), file.sha256[:12])
    OUT.print(table)


def show_engines(states: "Sequence[EngineState]") -> None:
    """Print the engines that a bundle has, and under them what is wrong with some."""
    if not states:
        return
    folded = [Column(name, overflow="fold") for name in ("with", "for")]
    table = Table("engine", *folded, "batch", right("size"), "")
    for state in states:
        if state.engine is not None:
            recipe = state.engine.recipe
            batch = ":".join(map(str, recipe.batch)) if recipe.batch else ""
            verdict = "not usable" if state.problem else "ready"
            gpus = recipe.gpu or ",".join(map(str, recipe.compute_capabilities))
            library = f"{recipe.target} {recipe.library}"
            add_row(table, recipe.stage, library, gpus, batch, size(state.engine.bytes), verdict)
    if table.rows:
        OUT.print(table)
    for state in states:
        if state.problem:
            OUT.print(state.problem)


def show_built(folder: Path, built: "Sequence[Built]") -> None:
    """Print what became of each engine, and the builder's warnings."""
    table = Table("engine", "", right("size"), right("seconds"), "file")
    for one in built:
        engine = one.engine
        verdict, seconds = ("reused", "") if one.reused else ("built", f"{engine.seconds:.1f}")
        add_row(table, engine.recipe.stage, verdict, size(engine.bytes), seconds, engine.file)
    OUT.print(table)
    for one in built:
        for warning in one.warnings:
            OUT.print(f"warning ({one.engine.recipe.stage}): {warning}")
    OUT.print(f"Engines are in {folder}")
    show_next("invert", folder.parent.parent, "PHOTO", "-o", "results", "--backend", folder.name)
