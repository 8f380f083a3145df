"""Make the gallery's pictures anew: ``python docs/remake_gallery.py [--size SIZE] [--from FOLDER] [NAME ...]``.

With ``--from`` they are drawn from what ``wflow reproduce -o FOLDER`` has left there, else computed; all figures, if
none is named. Each picture tells the size it was computed at: on it, and in its description, which the page shows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from small_pictures import small_png

from wflow.figures import figures, get_figure
from wflow.figures.catalogue import Figure, Results
from wflow.results.labelled import FIGURE, Labelled, read_labelled
from wflow.tools.pictures import facts

GALLERY = Path(__file__).parent / "static" / "gallery"
LIMIT = 60_000
"""Bytes of a picture."""


def read(figure: Figure, folder: Path) -> tuple[str, Results]:
    """The numbers of a figure in a folder, and which of its sizes they are of."""
    arrays, about = read_labelled(folder / f"{figure.name}.h5", FIGURE)
    sizes = {json.dumps(figure.sized(size)): size for size in ("reduced", "published")}
    said = json.dumps(json.loads(about["size"]))
    if said not in sizes:
        raise SystemExit(f"{folder}/{figure.name}.h5 is of none of its sizes: {said}")
    results = Results({name: Labelled(np.asarray(value), ()) for name, value in arrays.items()})
    return sizes[said], results


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--size", choices=("published", "reduced"), default="published")
    parser.add_argument("--from", dest="folder", type=Path)
    asked = parser.parse_args()
    GALLERY.mkdir(exist_ok=True)
    for name in asked.names or sorted(figures()):
        figure, size = get_figure(name), asked.size
        if asked.folder:
            size, results = read(figure, asked.folder)
        else:
            results = figure.compute(**figure.sized(size))
        about = f"{size} size: {facts(figure.sized(size))}"
        picture = small_png(figure.picture(results, size), LIMIT, about)
        (GALLERY / f"{name}.png").write_bytes(picture)
        print(f"{name}: {len(picture)} bytes, {about}")


if __name__ == "__main__":
    main()
