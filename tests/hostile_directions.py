"""Direction files from strangers: one list of what every runtime must refuse, Python's and C++'s."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from hyperstyle_deploy.runtime.editing.direction import FORMAT, FORMAT_VERSION, Direction
from hyperstyle_deploy.tests.hostile_inversions import HostileFile, with_header

WIDTH = 8
#: What stands in the metadata, and what the error matches.
TEXTS = (
    ({"format": "hyperstyle-deploy inversion"}, "not a direction of this version"),
    ({"version": "2"}, rf"not a direction of this version\..*Expected: {FORMAT} {FORMAT_VERSION}"),
    ({"kind": "vector"}, r"is damaged\. Got: kind 'vector'"),
    ({"kind": ""}, "is damaged"),
    ({"sha256": "0" * 64}, "is damaged"),
    ({"first_row": "-1"}, "no first_row"),
    ({"end_row": "1.5"}, "no end_row"),
    ({"end_row": "9" * 5000}, "no end_row"),
    ({"least_strength": "nan"}, "no least_strength"),
    ({"greatest_strength": "5 "}, "no greatest_strength"),
    ({"greatest_strength": "1e400"}, "no greatest_strength|no range of strengths"),
    ({"greatest_strength": "-9"}, "no range of strengths"),
    ({"end_row": "0"}, "moves no rows"),
    ({"name": "a/b"}, "No direction can have this name"),
    ({"name": ""}, "No direction can have this name"),
)


def sound_direction(folder: Path) -> bytes:
    """A sound file of a component: every array that there can be."""
    draw = np.random.default_rng(0)
    vector, mean = (draw.standard_normal((1, WIDTH), np.float32) for _ in range(2))
    direction = Direction("hair", vector, (2, 5), (-2.5, 1e-7), "a" * 64, mean, np.ones(1, np.float32), {"file": "ü"})
    direction.save(folder / "sound")
    return (folder / "sound").read_bytes()


def hostile_directions(folder: Path) -> Iterator[HostileFile]:
    """Everything that can be wrong with one; ``folder`` is for what is written meanwhile."""
    sound = sound_direction(folder)
    for text, match in TEXTS:
        content = with_header(sound, lambda header, text=text: header["__metadata__"].update(text))
        yield HostileFile(str(text), content, match)
    for kept in (0, 8, 100, -1):
        yield HostileFile(f"first {kept}", sound[:kept], "Cannot read the direction", own_words=False)
    flipped = bytearray(sound)
    flipped[-1] ^= 1
    yield HostileFile("a bit flipped", bytes(flipped), "is damaged")
    yield HostileFile("html", b"<!DOCTYPE html><html></html>", "Cannot read the direction", own_words=False)
    yield HostileFile("other safetensors", save({"vector": np.ones((1, WIDTH), np.float32)}), "not a direction of this")
    for shape in ([WIDTH], [2, WIDTH // 2], [1, 1, WIDTH]):
        content = with_header(sound, lambda header, shape=shape: header["vector"].update(shape=shape))
        yield HostileFile(f"vector {shape}", content, "vector is wrong|mean is wrong")
    whole = with_header(sound, lambda header: header["mean"].update(dtype="I32"))
    yield HostileFile("whole numbers", whole, "mean is wrong")
