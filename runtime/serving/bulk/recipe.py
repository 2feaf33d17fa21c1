"""What a ledger's photos all have in common: the model, how they are inverted, and which results are written."""

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ....errors import BatchError
from ..batch import Outputs

INVERSION, IMAGE, STRIP, THUMBNAIL = KINDS = ("inversion", "image", "strip", "thumbnail")
#: The photo's stem in the names of its results: what every file system takes, and no longer than this.
_ODD, _LONGEST = re.compile(r"[^A-Za-z0-9._-]|^\."), 40
IDENTITY_BYTES = 10
#: What settings are called on the command line, where that is another name.
_OPTIONS = {
    "model": "the model",
    "precision_hint": "--precision-hint",
    "until_gain": "--until-gain",
    "kinds": "--write",
    "thumbnail": "--thumbnail-size",
    "folder": "the output folder",
}


@dataclass(frozen=True)
class Entry:
    """A photo of the ledger: ``path`` is absolute, in the file system's own bytes."""

    number: int
    path: bytes
    identity: bytes

    @property
    def photo(self) -> Path:
        """Where the photo is."""
        return Path(os.fsdecode(self.path))

    @property
    def name(self) -> str:
        """What its results are called: its stem, and the identity, which no other photo has."""
        stem, _ = os.path.splitext(os.path.basename(os.fsdecode(self.path)))
        return f"{_ODD.sub('_', stem)[:_LONGEST]}-{self.identity.hex()}"


def identity_of(path: bytes) -> bytes:
    """The first 80 bits of the SHA-256 of a photo's path: of 100 million photos, two agree once in 2e8 batches."""
    return hashlib.sha256(path).digest()[:IDENTITY_BYTES]


@dataclass(frozen=True)
class Recipe:
    """The settings that decide what results are, byte for byte; kept in the ledger, the same for all of its photos.

    Attributes:
        model: ``Manifest.model``.
        backend, precision_hint, threads: as ``load`` takes them, the backend by its name. (Threads share the sums of a
            product among them in ONNX Runtime: another number of them can change the last bits.)
        steps, until_gain: as ``Session.invert`` takes them.
        kinds: what is written of a photo, of ``KINDS``.
        thumbnail: longer side of thumbnails in pixels.
        shard: hexadecimal digits of a photo's identity that name the subfolder of its results; 0 for none.
        folder: where results go, relative to the ledger's own folder.
        generator: the further generator of the bundle that draws; None for the bundle's own.
    """

    model: str
    backend: str
    precision_hint: str | None
    threads: int | None
    steps: int
    until_gain: float | None
    kinds: tuple[str, ...]
    thumbnail: int
    shard: int
    folder: str
    generator: str | None = None

    def to_json(self) -> str:
        """As the ledger keeps it."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """As the ledger keeps it.

        Raises:
            BatchError: it is no recipe.
        """
        try:
            document: dict[str, Any] = json.loads(text)
            recipe = cls(**{**document, "kinds": tuple(document["kinds"])})
            recipe.outputs(Path(recipe.folder), Entry(0, b"", bytes(IDENTITY_BYTES)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BatchError("The ledger's settings cannot be read", got=error) from error
        return recipe

    def check_kinds(self) -> None:
        """See that there is something to write.

        Raises:
            BatchError: nothing, or kinds of results that nobody knows.
        """
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise BatchError("Unknown results", got=", ".join(self.kinds) or "none", expected=", ".join(KINDS))

    def check(self, ledgers: "Recipe") -> None:
        """See that a run has the settings of the ledger.

        Raises:
            BatchError: it has others.
        """
        ours, theirs = self._deciding(), ledgers._deciding()
        if other := [name for name in ours if ours[name] != theirs[name]]:
            raise BatchError(
                "The ledger has photos of other settings",
                got=", ".join(f"{name} {ours[name]}" for name in other),
                expected=", ".join(f"{name} {theirs[name]}" for name in other),
                hint="Give the settings that the batch began with, or another output folder.",
            )

    def _deciding(self) -> dict[str, object]:
        """What results depend on, by the options of `batch run`: no order of kinds, no size where nothing has it."""
        settings = {_OPTIONS.get(name, f"--{name}"): value for name, value in dataclasses.asdict(self).items()}
        settings["--write"] = ",".join(kind for kind in KINDS if kind in self.kinds)
        if THUMBNAIL not in self.kinds:
            del settings["--thumbnail-size"]
        return {name: "left out" if value is None else value for name, value in settings.items()}

    def outputs(self, root: Path, entry: Entry) -> Outputs:
        """What to write of a photo, below ``root``; what is there is written again."""
        return Outputs(
            folder=root / self._shard_of(entry),
            steps=self.steps,
            strips=STRIP in self.kinds,
            overwrite=True,
            until_gain=self.until_gain,
            images=IMAGE in self.kinds,
            inversions=INVERSION in self.kinds,
            thumbnail=self.thumbnail if THUMBNAIL in self.kinds else 0,
        )

    def files(self, root: "str | os.PathLike[str]", entry: Entry) -> tuple[str, ...]:
        """The results of a photo that is done, below ``root``; made to be called a million times."""
        start = os.path.join(root, self._shard_of(entry), entry.name)
        return tuple(start + suffix for suffix in self._suffixes)

    @cached_property
    def _suffixes(self) -> tuple[str, ...]:
        """What a photo's results add to its name, in the order in which they are written."""
        files = self.outputs(Path(), Entry(0, b"", b"")).files("", self.steps)
        return tuple(file.name for file in files)

    def _shard_of(self, entry: Entry) -> str:
        return entry.identity.hex()[: self.shard]
