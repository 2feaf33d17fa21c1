"""What requests bring: photos, inversions, edits and options."""

import base64
import binascii
import math
from typing import Any

from PIL import Image
from starlette.requests import Request

from ...alignment import Aligned, FaceFinder, align_face
from ...alignment.ffhq import cut, square_at
from ...alignment.given import GivenBox, GivenLandmarks
from ...alignment.landmarks import checked_landmarks
from ...bundle.inversion import Inversion
from ...editing.change import Mix
from ...manifest import strict_json
from ...session import Session
from ..alignments import check_takes_faces
from ..live.served import Served
from .refusals import RefusedError
from .service import Service

#: People that one request mixes in.
_MOST_MIXES = 4


def session_of(served: Served, generator: object) -> Session:
    """A bundle's session: its own for None, or that of the further generator of this name.

    Raises:
        RefusedError: 404, it is not served with such a generator.
    """
    if generator is None:
        return served.session
    if not isinstance(generator, str) or generator not in served.further:
        expected = ", ".join(served.further) or "none but its own"
        raise RefusedError(404, f"{served.name} has no such generator", got=str(generator)[:40], expected=expected)
    return served.further[generator]


def asks_for_alignment(request: Request) -> bool:
    """Whether the options say where the face is, or that it is to be found."""
    return any(name in request.query_params for name in ("quad", "box", "landmarks", "face"))


def aligned(service: Service, served: Served, request: Request, photo: Image.Image) -> Aligned:
    """The face of a photo: in `quad` or `box`, at `landmarks`, or that of number `face` among those the service finds.

    Raises:
        AlignmentError: there is no face, what says where it is is not understood, or the model takes no faces.
        RefusedError: nothing says where it is, and the service has no detector.
    """
    options, face = request.query_params, whole_number(request, "face", 1, 100)
    manifest = served.session.manifest
    check_takes_faces(manifest)
    finder: FaceFinder
    if "quad" in options:
        size = manifest.face_side
        return cut(photo, square_at(_json(options["quad"].encode(), "quad"), photo.size, size), size)
    if "landmarks" in options:
        points = checked_landmarks(_json(options["landmarks"].encode(), "landmarks"), "The landmarks")
        finder = GivenLandmarks({"": [points]}, "landmarks")
    elif "box" in options:
        edges = [number(text, "box") for text in options["box"].split(",")]
        finder = GivenBox(edges)
    elif service.finder is not None:
        finder = service.finder
    else:
        raise RefusedError(400, "It is not said where the face is", expected="box=X0,Y0,X1,Y1 or landmarks=[[x,y],...]")
    return align_face(finder, photo, "the photo", manifest.face_side, face or 1)


def inversion_of(session: Session, text: Any) -> Inversion:
    """An inversion of a bundle in base64.

    Raises:
        InversionError: it is none, or of another model, method or generator.
        RefusedError: it is no base64.
    """
    try:
        content = base64.b64decode(text if isinstance(text, str) else "!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, "The inversion is no base64", expected="what /v1/invert answers") from error
    inversion = Inversion.from_bytes(content)
    session.check(inversion)
    return inversion


def mixes_of(served: Served, session: Session, value: Any) -> dict[str, Mix]:
    """Other people to mix in, by the names that edits call them: `{"inversion": base64, "rows": [first, end]}` each.

    Raises:
        InversionError, RefusedError: an inversion is none, or of another model.
        DirectionError: a name is a direction's, or rows are not those of the codes.
    """
    if not isinstance(value, dict) or len(value) > _MOST_MIXES:
        raise RefusedError(400, "mixes are none", expected=f"an object of at most {_MOST_MIXES}")
    styles = served.session.manifest.generator.styles
    mixes = {}
    for name, given in value.items():
        if name in served.directions or not isinstance(given, dict) or not set(given) <= {"inversion", "rows"}:
            raise RefusedError(400, f"{name[:40]} is no mix", expected='a name of its own, {"inversion", "rows"}')
        rows = given.get("rows", [0, styles])
        if not isinstance(rows, list) or len(rows) != 2 or not all(type(row) is int for row in rows):
            raise RefusedError(400, f"{name[:40]} has no rows", expected="[first, end]")
        mixes[name] = Mix(inversion_of(session, given.get("inversion")), (rows[0], rows[1]), name)
        mixes[name].check(served.session.manifest)
    return mixes


def document_of(content: bytes, fields: tuple[str, ...]) -> dict[str, Any]:
    """A body's JSON object, which has no other fields than these.

    Raises:
        RefusedError: it is none, or has others.
    """
    document = _json(content, "The body")
    if not isinstance(document, dict) or not set(document) <= set(fields):
        got = ", ".join(document)[:200] if isinstance(document, dict) else type(document).__name__
        raise RefusedError(400, "The body is no request", got=got, expected=f"an object with {', '.join(fields)}")
    return document


def whole_number(request: Request, name: str, low: int, high: int) -> int | None:
    """An option that is a whole number; None where it is left out.

    Raises:
        RefusedError: it is none, or out of range.
    """
    text = request.query_params.get(name)
    return None if not text else option_of(text, name, low, high)


def option_of(text: str, name: str, low: int, high: int) -> int:
    """A whole number in decimal digits.

    Raises:
        RefusedError: it is none, or out of range.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
        raise RefusedError(400, f"{name} is no number in range", got=text[:40], expected=f"{low} to {high}")
    return int(text)


def number(text: str, name: str) -> float:
    """A finite number.

    Raises:
        RefusedError: it is none.
    """
    try:
        value = float(text[:40])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RefusedError(400, f"{name} is no number", got=text[:40])
    return value


def _json(content: bytes, name: str) -> Any:
    try:
        return strict_json.parse(content)
    except ValueError as error:
        raise RefusedError(400, f"{name} is no JSON", got=str(error)[:200]) from error
