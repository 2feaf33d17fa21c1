"""A contact sheet: pictures in rows, each with a line of text below it."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: Larger pictures are shown at the second height; smaller ones at the first or more, so that captions have room.
MIN_HEIGHT, MAX_HEIGHT = 128, 256
_PAPER, _INK = (255, 255, 255), (32, 32, 32)

#: A picture [height, width, 3] uint8, and what stands below it.
Captioned: TypeAlias = tuple[NDArray[np.uint8], str]


def contact_sheet(rows: Sequence[Sequence[Captioned]]) -> Image.Image:
    """Pictures of one size as a sheet; rows may differ in length."""
    height, width = rows[0][0][0].shape[:2]
    scale = max(min(1.0, MAX_HEIGHT / height), -(-MIN_HEIGHT // height))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    text = max(9, height // 14)
    line = text * 3 // 2
    sheet = Image.new("RGB", (width * max(map(len, rows)), (height + line) * len(rows)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(text)
    for row, cells in enumerate(rows):
        top = row * (height + line)
        for column, (picture, caption) in enumerate(cells):
            shown = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(shown, (column * width, top))
            place = (column * width + width // 2, top + height + line // 2)
            draw.text(place, caption, fill=_INK, font=font, anchor="mm")
    return sheet
