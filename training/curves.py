"""Attribute curves: what moving along a bundle's directions changes, in the terms that faces are drawn from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..export.checkpoint import read_checkpoint
from ..runtime.bundle.files import atomic_file
from ..runtime.editing.direction import Direction
from ..runtime.images import network_input
from ..runtime.session import Session
from .generator import Codes
from .model import DIRECTIONS
from .networks import Widths, new_encoder
from .parameters import HELD_OUT, PARAMETERS, sample
from .pictures import draw

#: Strengths of a direction, from the least to the greatest that look well; 0 is among them.
COUNT = 9
PEOPLE = 24


class Reader:
    """Reads the 28 parameters off pictures: the nearest ones to the codes that the model's own W-encoder finds."""

    def __init__(self, w_encoder: Path) -> None:
        checkpoint, widths = read_checkpoint(w_encoder), Widths()
        self._encoder, self._codes = new_encoder(widths), Codes(widths.style)
        self._encoder.load_state_dict(checkpoint.part("encoder"))
        self._encoder.eval()

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> NDArray[np.float64]:
        """Parameters [B, 28] of pictures [B, 3, side, side] float32 in [-1, 1]."""
        codes = self._encoder(pictures)[:, 0] + self._codes.centre
        return self._codes.parameters_of(codes).double().numpy()


def curves(session: Session, read: Reader, people: int = PEOPLE, steps: int | None = None) -> dict[str, Any]:
    """The mean change of every parameter over each direction's strengths, against the inversion itself.

    Held-out faces without extras are inverted; their edits are drawn with their own weights and read.

    Returns:
        JSON values: by direction its ``strengths`` and, by parameter, ``changes`` as many (a parameter goes from 0 to
        1); ``own`` is the parameter that the direction is named for, None of others. ``reading_error`` is the mean
        absolute error of reading drawings whose parameters are known.
    """
    side = session.manifest.image.input_width
    parameters, _ = sample(range(HELD_OUT, HELD_OUT + people))
    drawn = draw(parameters, side)
    pixels = ((drawn.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    persons = session.invert([Image.fromarray(face) for face in pixels], steps)
    error = np.abs(read(drawn) - parameters.double().numpy()).mean(0)
    named = {name: parameter for parameter, name in DIRECTIONS.items()}
    found = {}
    for direction in session.directions.all():
        strengths = np.linspace(*direction.strengths, COUNT)
        changes = np.mean([_changes(session, read, person, direction, strengths) for person in persons], 0)
        found[direction.name] = {
            "own": named.get(direction.name),
            "strengths": strengths.round(4).tolist(),
            "changes": dict(zip(PARAMETERS, changes.T.round(4).tolist(), strict=True)),
        }
    return {
        "people": people,
        "first_seed": HELD_OUT,
        "steps": persons[0].steps,
        "reading_error": dict(zip(PARAMETERS, error.round(4).tolist(), strict=True)),
        "directions": found,
    }


def _changes(
    session: Session, read: Reader, person: Any, direction: Direction, strengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of one person, [strengths, 28]."""
    pictures = session.edit(person, [{}, *({direction: float(strength)} for strength in strengths)])
    side = session.manifest.image.input_width
    found = read(torch.from_numpy(network_input([Image.fromarray(picture) for picture in pictures], side, side)))
    return found[1:] - found[0]


def write_curves(document: Mapping[str, Any], target: Path) -> None:
    """Write `curves.json`, and `curves.png`: a panel a direction, its own parameter and the others that change most."""
    target.mkdir(parents=True, exist_ok=True)
    with atomic_file(target / "curves.json") as partial:
        partial.write_text(json.dumps(document) + "\n")
    from matplotlib.figure import Figure

    directions = document["directions"]
    rows = -(-len(directions) // 4)
    figure = Figure(figsize=(13, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, 4, sharey=True, squeeze=False).flatten()
    for panel, (name, curve) in zip(panels, directions.items(), strict=False):
        order = sorted(curve["changes"], key=lambda parameter: -np.ptp(curve["changes"][parameter]))
        for parameter in order:
            own, most = parameter == curve["own"], order.index(parameter) < 3
            style: dict[str, Any] = {"linewidth": 2.5} if own else {"linewidth": 1.2 if most else 0.5}
            if not own and not most:
                style["color"] = "lightgrey"
            label = parameter if own or most else None
            panel.plot(curve["strengths"], curve["changes"][parameter], label=label, **style)
        panel.set_title(name)
        panel.legend(fontsize="x-small", loc="upper left")
        panel.axhline(0, color="grey", linewidth=0.5)
    for panel in panels[len(directions) :]:
        panel.axis("off")
    figure.suptitle(f"Change of the drawing's parameters along each direction, mean of {document['people']} people")
    with atomic_file(target / "curves.png") as partial:
        figure.savefig(partial, dpi=80, format="png")
