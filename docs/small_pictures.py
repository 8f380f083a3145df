"""Pictures small enough for a repository: few colours, and as many dots as fit into so many bytes."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, PngImagePlugin

DPI = (110, 100, 90, 80, 70, 60, 50, 40)
EXTREME, FREQUENT, GREYS = 40, 40, 8


def palette(picture: Any) -> Any:
    """The colours furthest apart (lines), those of large areas (bands), and greys (letters and frames)."""
    own = picture.quantize(EXTREME, Image.Quantize.MAXCOVERAGE).getpalette()[: 3 * EXTREME]
    own += picture.quantize(FREQUENT, Image.Quantize.MEDIANCUT).getpalette()[: 3 * FREQUENT]
    greys = [round(255 * k / (GREYS - 1)) for k in range(GREYS) for _ in range(3)]
    of = Image.new("P", (1, 1))
    of.putpalette(own + greys)
    return of


def small_png(figure: Any, limit: int, about: str = "") -> bytes:
    """A matplotlib figure as PNG of at most ``limit`` bytes, with a description in it.

    Raises
    ------
    ValueError
        where the coarsest one is larger
    """
    for dpi in DPI:
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi)
        picture = Image.open(drawn).convert("RGB")
        few = picture.quantize(palette=palette(picture), dither=Image.Dither.NONE)
        told = PngImagePlugin.PngInfo()
        if about:
            told.add_itxt("Description", about)
        small = io.BytesIO()
        few.save(small, format="png", optimize=True, pnginfo=told)
        if small.tell() <= limit:
            return small.getvalue()
    raise ValueError(
        f"a picture of {small.tell()} bytes at {DPI[-1]} dots an inch: {limit} allowed"
    )


def description(path: Any) -> str:
    """What a picture says of itself."""
    with Image.open(path) as picture:
        return str(picture.info.get("Description", ""))
