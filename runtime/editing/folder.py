"""The directions that a bundle carries: a file each in its folder `directions`, beside the files that were exported."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import BundleError, DirectionError, OutputError
from ..bundle.files import inside
from ..manifest.manifest import Manifest
from .change import Change, Edit, NamedEdit, check_strength
from .direction import Direction, check_name

FOLDER, SUFFIX = "directions", ".safetensors"


class Directions:
    """A bundle's directions by their names. Each look is at the folder as it is now."""

    def __init__(self, bundle: Path, manifest: Manifest) -> None:
        self._bundle, self._manifest = bundle, manifest

    def names(self) -> list[str]:
        """All of them, in order."""
        folder = self._bundle / FOLDER
        try:
            return sorted(file.stem for file in folder.iterdir() if file.suffix == SUFFIX and file.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DirectionError(f"Cannot read {folder}", got=error.strerror) from error

    def read(self, name: str) -> Direction:
        """One of them.

        Raises:
            DirectionError: there is none of that name, it is damaged, or belongs to another model.
        """
        self._require(name)
        try:
            path = inside(self._bundle, f"{FOLDER}/{name}{SUFFIX}")
        except BundleError as error:
            raise DirectionError(f"Cannot read the direction {name}", got=error) from error
        direction = Direction.load(path)
        if direction.name != name:
            raise DirectionError(f"{path} holds another direction", got=direction.name, expected=name)
        direction.check(self._manifest)
        return direction

    def all(self) -> list[Direction]:
        """All of them, in the order of their names.

        Raises:
            DirectionError: one is damaged, or belongs to another model.
        """
        return [self.read(name) for name in self.names()]

    def add(self, directions: Sequence[Direction], overwrite: bool = False) -> None:
        """Keep directions of this model: all of them, or none where one cannot be kept.

        Raises:
            DirectionError: there is one of a name and ``overwrite`` is off, or two of one name; or one belongs to
                another model.
            OutputError: the bundle's folder cannot be written.
        """
        if not directions:
            return
        names = [check_name(direction.name) for direction in directions]
        taken = [] if overwrite else self.names()
        if known := [name for name in names if name in taken]:
            raise DirectionError(
                "The bundle has directions of these names",
                got=", ".join(known),
                hint="Choose another name, or pass --overwrite.",
            )
        if len(set(names)) != len(names):
            raise DirectionError("Two directions have one name", got=", ".join(names))
        for direction in directions:
            direction.check(self._manifest)
        folder = self._bundle / FOLDER
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot make the folder {folder}", got=error.strerror) from error
        for direction in directions:
            direction.save(folder / f"{direction.name}{SUFFIX}")

    def remove(self, names: Sequence[str]) -> None:
        """Take directions away, and the folder with the last one: all that are named, or none where one is unknown.

        Raises:
            DirectionError: there is none of a name.
            OutputError: one cannot be removed.
        """
        for name in names:
            self._require(name)
        folder = self._bundle / FOLDER
        for name in dict.fromkeys(names):
            try:
                (folder / f"{name}{SUFFIX}").unlink()
            except OSError as error:
                raise OutputError(f"Cannot remove the direction {name}", got=error.strerror) from error
        with suppress(OSError):  # others are in it
            folder.rmdir()

    def resolved(self, edit: NamedEdit) -> Edit:
        """An edit with the bundle's directions in the place of names, everything in it checked.

        Raises:
            DirectionError: an unknown name, a change of another model, or a strength out of range.
        """
        found: dict[Change, float] = {}
        for given, strength in edit.items():
            change = self.read(given) if isinstance(given, str) else given
            change.check(self._manifest)
            found[change] = check_strength(change.name, strength)
        return found

    def _require(self, name: str) -> None:
        there = self.names()
        if name not in there:
            raise DirectionError(
                f"The bundle has no direction {name[:80]}",
                got=", ".join(there) or "none at all",
                hint="hyperstyle-deploy directions list says more, directions import adds one.",
            )
