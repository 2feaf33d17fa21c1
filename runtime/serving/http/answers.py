"""Answers: pictures as files, inversions, and a photo's steps as they come."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...bundle.inversion import Inversion
from ...images import PNG
from ..live.served import Served
from ..live.work import Inverting
from .errand import too_late
from .refusals import told
from .service import Service, tell

#: How pictures may be asked for, and how Pillow writes them.
FORMATS: dict[str, dict[str, Any]] = {
    "png": PNG,
    "jpeg": {"format": "JPEG", "quality": 88},
    "webp": {"format": "WEBP", "quality": 85, "method": 2},
}
#: Pixels of a width up to which a JPEG file would save nothing, and be seen.
_SMALL = 256
#: Seconds between signs of life while a photo waits.
_ALIVE = 10.0


def encoded(picture: NDArray[np.uint8], kind: str = "png") -> bytes:
    """A picture [height, width, 3] as a file."""
    stream = BytesIO()
    Image.fromarray(picture).save(stream, **FORMATS[kind])
    return stream.getvalue()


def text_of(content: bytes) -> str:
    """Bytes as JSON can have them."""
    return base64.b64encode(content).decode()


def inversion_document(served: Served, inversion: Inversion) -> dict[str, Any]:
    """A photo's result."""
    assert inversion.image is not None
    return {
        "bundle": served.name,
        "steps": inversion.steps,
        "l2": list(inversion.l2),
        "image": text_of(encoded(inversion.image)),
        "inversion": text_of(inversion.to_bytes()),
    }


def events(service: Service, served: Served, work: Inverting) -> AsyncIterator[bytes]:
    """Have a photo inverted, and tell of it in server-sent events: `step` after every step, then `done` or `error`.

    Whoever stops reading them, leaves the work.

    Raises:
        FullError, ClosingError: it is not taken.
    """
    loop, seen = asyncio.get_running_loop(), asyncio.Queue[Any]()

    def watch(index: int, l2: float | None, picture: NDArray[np.uint8]) -> None:
        # At once, however slowly somebody reads: a hundred pictures of 1024 pixels are 300 MB, their files a tenth.
        kind = "png" if picture.shape[1] <= _SMALL else "jpeg"
        preview = service.beside("encoding", partial(encoded, picture, kind))
        tell(loop, seen.put_nowait, (index, l2, kind, preview))

    work.watch = watch
    work.future.add_done_callback(lambda _: tell(loop, seen.put_nowait, None))
    served.worker.submit(work)
    return _events(service, served, work, seen)


async def _events(
    service: Service, served: Served, work: Inverting, seen: "asyncio.Queue[Any]"
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    until = loop.time() + service.settings.deadline
    try:
        while True:
            try:
                step = await asyncio.wait_for(seen.get(), min(_ALIVE, max(0.0, until - loop.time())))
            except asyncio.TimeoutError:
                if loop.time() >= until:
                    raise too_late(service.settings.deadline) from None
                yield b": waiting\n\n"
                continue
            if step is None:
                break
            index, l2, kind, preview = step
            shown = {"image": text_of(await asyncio.wrap_future(preview)), "type": f"image/{kind}"}
            yield event("step", {"step": index, "steps": work.steps, "l2": l2, **shown})
        inversion = work.future.result()
        yield event("done", await service.timed("encoding", lambda: inversion_document(served, inversion)))
    except Exception as error:  # noqa: BLE001 - whatever it is, who listens is told
        yield error_event(error, served.name)
    finally:
        work.leave()


def error_event(error: Exception, place: str) -> bytes:
    """The last event where something went wrong; ``place`` is for the log."""
    message, kind = told(error, place)
    return event("error", {"error": message, "kind": kind})


def event(name: str, document: Any) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(document, allow_nan=False)}\n\n".encode()
