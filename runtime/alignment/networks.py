"""Networks that look at pictures of faces, from ONNX files that the user gives: what all kinds have in common."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import AlignmentError, BackendError, BundleError, HyperStyleDeployError
from ..bundle.files import open_plain
from ..bundle.onnx_scan import scan_graph

#: Of a network's file; the published ones have 0.4 to 2.5 MB.
MAX_BYTES = 64 << 20
#: What BlazeFace, FaceMesh and ArcFace have besides the operators of bundles.
_OPERATORS = ("Pad", "Resize", "Dropout")


class PictureNetwork:
    """A graph from one RGB picture to float32 arrays, in ONNX Runtime.

    Args:
        path: its file, of at most ``most_bytes``.
        threads: CPU threads of a run.
        error: what is raised where the file is not such a graph.

    Attributes:
        side: pixels of the side of the square picture that it looks at.
        outputs: the shapes of what it gives, without the batch and other axes of length 1.
        source: the file's SHA-256.

    Raises:
        AlignmentError: or ``error``: the file cannot be read, is too large, is not ONNX, names other files or has
            strange operators, or the graph looks at something else.
        BackendError: ONNX Runtime cannot load it.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        threads: int | None = None,
        most_bytes: int = MAX_BYTES,
        error: type[HyperStyleDeployError] = AlignmentError,
    ) -> None:
        from ..backends.onnx_session import open_session, session_options

        content, self._error = _content(Path(path), most_bytes, error), error
        self._session = open_session(content, session_options(threads), name=str(path))
        self._path, self.source = path, sha256(content).hexdigest()
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
        self._channels_first = shape[1:2] == (3,)
        sides = shape[2:] if self._channels_first else shape[1:3]
        is_square = len(shape) == 4 and sides[0] == sides[1] and isinstance(sides[0], int) and 3 in (shape[1], shape[3])
        if not is_square or any(tensor.type != "tensor(float)" for tensor in (*inputs, *outputs)):
            got = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in inputs)
            expected = "one picture, tensor(float) [1, 3, S, S] or [1, S, S, 3]"
            raise error(f"{path} is no network of pictures", got=got, expected=expected)
        self.side = int(sides[0])
        # An axis of free length, such as a batch's, has 1 here.
        self.outputs = [tuple(n for n in tensor.shape if isinstance(n, int) and n != 1) for tensor in outputs]

    def run(self, picture: Image.Image, low: float) -> list[NDArray[np.float32]]:
        """What the network makes of an RGB picture of its size, its values brought to ``low`` ... 1.

        Returns:
            Its outputs, shaped as ``outputs`` says.

        Raises:
            BackendError: ONNX Runtime cannot run it, or its outputs are shaped otherwise.
        """
        values = np.asarray(picture, np.float32) / np.float32(255) * np.float32(1 - low) + np.float32(low)
        batch = (values.transpose(2, 0, 1) if self._channels_first else values)[None]
        name = self._session.get_inputs()[0].name
        try:
            results = self._session.run(None, {name: np.ascontiguousarray(batch)})
            return [np.asarray(result).reshape(shape) for result, shape in zip(results, self.outputs, strict=True)]
        except Exception as error:  # the C++ library's types have no common base but this
            raise BackendError(f"ONNX Runtime cannot run {self._path}", got=str(error)[:400]) from error

    def refuse(self, expected: str) -> HyperStyleDeployError:
        """The error of a network whose outputs are not those of a kind that is known."""
        got = f"pictures of {self.side} pixels to outputs of {', '.join(map(str, self.outputs))}"
        return self._error(f"{self._path} has another layout", got=got, expected=expected)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logistic function, of scores that are cut off where it is 0 or 1 anyway."""
    return np.reciprocal(1 + np.exp(-np.clip(values, -60, 60)))


def only(places: Sequence[int]) -> int:
    """The one place in a list; -1 where there are none, or several."""
    return places[0] if len(places) == 1 else -1


def _content(path: Path, most_bytes: int, refusal: type[HyperStyleDeployError]) -> bytes:
    try:
        with open_plain(path) as stream:
            content = stream.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refusal(f"Cannot read {path}", got=reason, expected="an ONNX file") from error
    if len(content) > most_bytes:
        raise refusal(f"{path} is too large", got=f"more than {most_bytes} bytes", expected="a smaller ONNX file")
    try:
        outside = scan_graph(content, also=_OPERATORS)
    except BundleError as error:
        raise refusal(f"{path} is no network that can be used", got=error) from error
    if outside:
        got = f"values in {', '.join(sorted(outside))[:200]}"
        raise refusal(f"{path} is not one file", got=got, expected="an ONNX file that holds all its values")
    return content
