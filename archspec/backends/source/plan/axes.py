"""What to call the axes of a value that a class or a loop reads."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.shapes import SPATIAL_AXES, Shape


def axis_names(stem: str, shapes: Sequence[Shape]) -> list[str]:
    """Return what to call the axes of a value that a class reads, by its shapes: those of an image, or features last.

    >>> axis_names("in", [(64, 56, 56), (128, 28, 28)]), axis_names("in", [(56, 56, 96), (28, 28, 192)])
    (['in_channels', 'height', 'width'], ['height', 'width', 'in_features'])
    """
    rank = len(shapes[0]) - 1
    if rank == 2 and not all(shape[1] == shape[2] for shape in shapes):
        square = all(shape[0] == shape[1] for shape in shapes)
        return ["height", "width", f"{stem}_features"] if square else ["windows", "tokens", f"{stem}_features"]
    if rank == 1:
        return ["tokens", f"{stem}_features"]
    return [f"{stem}_channels", *SPATIAL_AXES.get(rank, [f"size{axis}" for axis in range(1, rank + 1)])]
