"""Closed forms of constants that a spec had better not spell out: index tables, grids of coordinates, window masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isqrt, prod
from typing import Any

import torch

from archspec.importing.calls import Value
from archspec.importing.layouts import View, plain
from archspec.importing.values import Code

Write = Callable[[str, dict[str, Any], Sequence[Value | int], Sequence[int], str], Value]
"""Adds a call of an op with arguments and operands, whose result has a shape, under a name; returns the result."""

SPELLED_OUT = 200
"""How many numbers a spec may spell out where there is a shorter way."""

MAX_TEXT = 1000 - len("${}")
"""How many characters an expression may have."""

_NAMES = "abcdefgh"
_OUTER = "ijklmnop"
_LISTS = "qrstuvwx"


def closed_form(numbers: torch.Tensor) -> str | None:
    """Return the text of an expression whose value is a tensor, exactly; None if none is known."""
    if not numbers.numel() or not numbers.dim():
        return None
    for recogniser in (_steps, _runs, _tables, _grid):
        text = recogniser(numbers)
        if text is not None and len(text) <= MAX_TEXT:
            return text
    return None


# Sums of steps.


def _steps(numbers: torch.Tensor) -> str | None:
    """Return integers as a sum of multiples of counters, each axis cut into as many counters as it takes.

    So it finds ranges, repeated and tiled ones, `i // n` and `i % n`, and how two tokens of a window lie to each other.
    """
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype is torch.bool:
        return None
    left = numbers
    counters: list[list[tuple[int, int]]] = []  # of each axis, from the last: how far each counts, and its step
    for at in range(numbers.dim() - 1, -1, -1):
        line = left.select(at + 1, 0) if at + 1 < left.dim() else left
        found = _counters(line[(0,) * at].tolist())
        counters.append(found)
        left = line
    if max(len(counters), *map(len, counters)) > len(_NAMES):
        return None
    counters = [own[::-1] for own in reversed(counters)]
    flat = [entry for own in counters for entry in own]
    value = torch.full((1,), int(numbers.flatten()[0]), dtype=torch.int64)
    for size, step in flat:
        value = (value[:, None] + step * torch.arange(size)).flatten()
    if not torch.equal(value.reshape(numbers.shape), numbers.to(torch.int64)):
        return None
    start = int(numbers.flatten()[0])
    if len(counters) == 1 and len(flat) > 2:
        groups = [flat[: len(flat) // 2], flat[len(flat) // 2 :]]
    else:
        groups = counters
    terms, loops = [], []
    lists: dict[str, str] = {}
    for own, name in zip(groups, _OUTER, strict=False):
        step, source = _loop(own)
        terms.append((step, name))
        if source.startswith("["):  # made once, not once for each entry of the list around it
            source = lists.setdefault(source, _LISTS[len(lists)])
        loops.append(f"for {name} in {source}")
    once = " ".join(f"for {name} in [{source}]" for source, name in lists.items())
    text = _sum([(step, name) for step, name in terms if step], start)
    if groups is not counters:
        return f"[{text} {' '.join([once, *loops]).strip()}]"
    for loop in reversed(loops):
        text = f"[{text} {loop}]"
    return f"[{text} {once}][0]" if once else text


def _loop(counters: Sequence[tuple[int, int]]) -> tuple[int, str]:
    """Return a factor, and the list whose entries times the factor are the sums of counters."""
    if len(counters) == 1:
        return counters[0][1], f"range({counters[0][0]})"
    sign = -1 if all(step <= 0 for _, step in counters) else 1
    terms = [(sign * step, name) for (_, step), name in zip(counters, _NAMES, strict=False) if step]
    loops = " ".join(f"for {name} in range({size})" for (size, _), name in zip(counters, _NAMES, strict=False))
    return sign, f"[{_sum(terms, 0)} {loops}]"


def _counters(line: Sequence[int]) -> list[tuple[int, int]]:
    """Return the counters that a line of numbers is made of, innermost first, if it is; some of them otherwise."""
    found = []
    while len(line) > 1:
        step = line[1] - line[0]
        run = next((at for at, value in enumerate(line) if value != line[0] + step * at), len(line))
        size = max((n for n in range(2, run + 1) if len(line) % n == 0), default=len(line))
        found.append((size, step))
        line = line[::size]
    return found or [(1, 0)]


def _sum(terms: Sequence[tuple[int, str]], start: int) -> str:
    text = ""
    for step, name in sorted(terms, key=lambda term: term[0] < 0):
        product = name if abs(step) == 1 else f"{abs(step)} * {name}"
        text += (" - " if step < 0 else " + ") + product
    if start or not text:
        text += f" {'-' if start < 0 else '+'} {abs(start)}"
    return text[3:] if text.startswith(" + ") else f"-{text[3:]}"


def _runs(numbers: torch.Tensor) -> str | None:
    """Return a line of numbers as runs of equal ones."""
    if numbers.dim() != 1 or numbers.dtype is torch.bool:
        return None
    values, counts = torch.unique_consecutive(numbers, return_counts=True)
    runs = zip(values.numpy(), counts.tolist(), strict=True)
    return " + ".join(f"[{value}] * {length}" if length > 1 else f"[{value}]" for value, length in runs)


# Sums and products of tables.


def _tables(numbers: torch.Tensor) -> str | None:
    """Return a tensor of two or three axes as the sum or the product of a table for each of them."""
    if numbers.dim() not in (2, 3) or numbers.dtype is torch.bool:
        return None
    exact = numbers.to(torch.float64)
    pivot = torch.unravel_index(exact.abs().argmax(), exact.shape)
    height = exact[pivot]
    lines = [
        exact[tuple(slice(None) if each == at else place for each, place in enumerate(pivot))]
        for at in range(exact.dim())
    ]
    sums = [lines[0], *(line - height for line in lines[1:])]
    products = [lines[0], *(line / height for line in lines[1:])]
    for sign, tables in ((" + ", sums), (" * ", products)):
        shared = [table.to(numbers.dtype) for table in tables]
        value = shared[0].to(torch.float64)
        for table in shared[1:]:
            value = value[..., None] + table if sign == " + " else value[..., None] * table
        if torch.equal(value.to(numbers.dtype), numbers):
            text = sign.join(_NAMES[: len(shared)])
            for name, table in reversed(list(zip(_NAMES, shared, strict=False))):
                text = f"[{text} for {name} in {_literal(table)}]"
            return text
    return None


def _grid(numbers: torch.Tensor) -> str | None:
    """Return a tensor whose last axis holds the coordinates of a place along the others."""
    rank = numbers.dim() - 1
    if rank not in (2, 3) or numbers.shape[-1] != rank or numbers.dtype is torch.bool:
        return None
    tables = []
    for at in range(rank):
        own = numbers[..., at]
        table = own[tuple(slice(None) if each == at else 0 for each in range(rank))]
        spread = table.reshape([-1 if each == at else 1 for each in range(rank)]).expand(own.shape)
        if not torch.equal(spread, own):
            return None
        tables.append(table)
    text = f"[{', '.join(_NAMES[:rank])}]"
    for name, table in reversed(list(zip(_NAMES, tables, strict=False))):
        text = f"[{text} for {name} in {_literal(table)}]"
    return text


def _literal(table: torch.Tensor) -> str:
    """Return a list of numbers, each in as few digits as its type needs."""
    return f"[{', '.join(str(number) for number in table.numpy())}]"


# Grids in which each channel tells of the row or of the column.


def emit_grid(write: Write, numbers: torch.Tensor) -> View | None:
    """Write an encoding of positions by a table for the rows and one for the columns, as sines of them are.

    Args:
        write: Adds a call.
        numbers: `[tokens, channels]` of a grid of tokens, or `[channels, height, width]`; axes of size 1 may stand in
            front. Each channel depends on the row alone, or on the column.

    Returns:
        The encoding in the shape of the source, or None if the numbers are none of this kind.
    """
    shape = tuple(numbers.shape)
    own = numbers.reshape([size for at, size in enumerate(shape) if size > 1 or any(n > 1 for n in shape[:at])])
    if not numbers.is_floating_point() or own.dim() not in (2, 3):
        return None
    if own.dim() == 3:
        found = _channels_by_place(own.permute(1, 2, 0))
        sizes = [(own.shape[1], own.shape[2])]
    else:
        tokens = own.shape[0]
        grids = [(high, tokens // high) for high in _divisors(tokens) if 1 < high < tokens]
        sizes = [size for size in grids if _channels_by_place(own.reshape(*size, -1)) is not None][:1]
        found = _channels_by_place(own.reshape(*sizes[0], -1)) if sizes else None
    if found is None:
        return None
    (height, width), last = sizes[0], own.dim() == 2
    image = own.reshape(height, width, -1) if last else own.permute(1, 2, 0)

    def laid_out(part: torch.Tensor) -> list[Any]:
        return shortest(part if last else part.permute(2, 0, 1))

    whole = [height, width, 1] if last else [1, height, width]
    zeros = write("buffer", {"values": 0.0, "shape": whole, "persistent": False}, [], whole, "everywhere")
    parts = []
    for word, start, stop in found:
        part = image[:, :1, start:stop] if word == "rows" else image[:1, :, start:stop]
        size = list(part.shape) if last else [part.shape[2], *part.shape[:2]]
        table = write("buffer", {"values": laid_out(part), "persistent": False}, [], size, "")
        full = [height, width, stop - start] if last else [stop - start, height, width]
        parts.append(write("add", {"broadcast": True}, [table, zeros], full, ""))
    value = parts[0]
    full = list(image.shape) if last else list(own.shape)
    if len(parts) > 1:
        value = write("concat", {"axis": "last" if last else "channels"}, parts, full, "")
    batched = shape[0] == 1
    wanted = list(shape[1:] if batched else shape)
    if wanted != full:
        value = write("reshape", {"shape": wanted}, [value], wanted, "")
    return plain(value, shape, 0 if batched else None, 1)


def _channels_by_place(image: torch.Tensor) -> list[tuple[str, int, int]] | None:
    """Return the runs of channels of `[height, width, channels]` that depend on `rows` or on `columns`, and where."""
    rows = (image == image[:, :1]).all(0).all(0)
    columns = (image == image[:1]).all(0).all(0)
    if not bool((rows | columns).all()):
        return None
    words = ["rows" if row else "columns" for row in rows.tolist()]
    starts = [at for at, word in enumerate(words) if not at or word != words[at - 1]]
    return [(words[start], start, stop) for start, stop in zip(starts, [*starts[1:], len(words)], strict=True)]


def shortest(numbers: torch.Tensor) -> list[Any]:
    """Return numbers as nested lists, each in as few digits as its type needs."""
    if numbers.dtype is not torch.float32:
        return list(numbers.tolist())
    if numbers.dim() > 1:
        return [shortest(row) for row in numbers]
    return [float(str(number)) for number in numbers.numpy()]


# Masks of shifted windows.


def emit_mask(write: Write, numbers: torch.Tensor) -> View | None:
    """Write a mask that keeps apart the regions within windows, as ops on a label for each row and each column.

    Args:
        write: Adds a call.
        numbers: For each window and each pair of its tokens: 0 within a region, some other number across; axes of size
            1 may stand in front and between.

    Returns:
        The mask in the shape of the source, or None if the numbers are not a mask of this kind.
    """
    shape = tuple(numbers.shape)
    if len(shape) < 3 or shape[-1] != shape[-2] or not numbers.is_floating_point():
        return None
    windows, tokens = prod(shape[:-2]), shape[-1]
    if tokens < 2 or sum(size > 1 for size in shape[:-2]) > 1:
        return None
    mask = numbers.reshape(windows, tokens, tokens)
    across = float(numbers.flatten()[numbers.flatten().abs().argmax()])
    if across == 0 or not bool(((mask == 0) | (mask == across)).all()):
        return None
    found = next((each for each in _grids(windows, tokens) if _keeps_apart(mask, across, *each)), None)
    if found is None:
        return None
    return _emit(write, shape, across, *found, *_boundaries(mask, *found))


def _grids(windows: int, tokens: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield how many windows there may be down and across, and their height and width; squares first."""
    for high in _divisors(tokens):
        for down in _divisors(windows):
            yield down, windows // down, high, tokens // high


def _divisors(number: int) -> list[int]:
    root = isqrt(number)
    return sorted((n for n in range(1, number + 1) if number % n == 0), key=lambda n: (abs(n - root), n))


def _boundaries(mask: torch.Tensor, down: int, over: int, high: int, wide: int) -> tuple[list[int], list[int]]:
    """Return the rows and the columns at which another region starts within a window."""
    pairs = mask.reshape(down, over, high, wide, high, wide)
    rows = [
        window * high + at for window in range(down) for at in range(1, high) if pairs[window, 0, at, 0, at - 1, 0] != 0
    ]
    columns = [
        window * wide + at for window in range(over) for at in range(1, wide) if pairs[0, window, 0, at, 0, at - 1] != 0
    ]
    return rows, columns


def _keeps_apart(mask: torch.Tensor, across: float, down: int, over: int, high: int, wide: int) -> bool:
    """Return whether regions of rows and columns give the mask."""
    rows, columns = _boundaries(mask, down, over, high, wide)
    row_labels = (len(columns) + 1) * _regions(down * high, rows)
    column_labels = _regions(over * wide, columns)
    labels = row_labels[:, None] + column_labels
    cut = labels.reshape(down, high, over, wide).permute(0, 2, 1, 3).reshape(down * over, high * wide)
    return torch.equal((cut[:, :, None] != cut[:, None, :]).to(mask.dtype) * across, mask)


def _regions(size: int, starts: Sequence[int]) -> torch.Tensor:
    """Return the number of the region that each place is in, from 1."""
    return torch.stack([(torch.arange(size) >= at).long() for at in (0, *starts)]).sum(0)


def _emit(
    write: Write,
    shape: tuple[int, ...],
    across: float,
    down: int,
    over: int,
    high: int,
    wide: int,
    rows: Sequence[int],
    columns: Sequence[int],
) -> View:
    batched = shape[0] == 1
    own = list(shape[1:] if batched else shape)
    height, width = down * high, over * wide

    def step(op: str, arguments: dict[str, Any], reads: Sequence[Any], size: Sequence[int], name: str = "") -> Value:
        return write(op, arguments, reads, size, name)

    def buffer(name: str, text: str, size: Sequence[int]) -> Value:
        return step("buffer", {"values": Code(text), "persistent": False}, [], size, name)

    row = buffer("rows", f"[[[{_label(rows, len(columns) + 1)}]] for i in range({height})]", [height, 1, 1])
    column = buffer("columns", f"[[{_label(columns, 1)}] for i in range({width})]", [width, 1])
    regions = step("add", {"broadcast": True}, [row, column], [height, width, 1], "regions")
    window = {"size": high if high == wide else [high, wide], "channels_at": "last"}
    cut = step("window_partition", window, [regions], [down * over, high * wide, 1])
    queries = step("reshape", {"shape": [*own[:-1], 1]}, [cut], [*own[:-1], 1], "queries")
    rank = len(own)
    order = [*range(rank - 2), rank - 1, rank - 2]
    keys = step("permute", {"order": order}, [queries], [*own[:-2], 1, own[-1]], "keys")
    apart = step("subtract", {"broadcast": True}, [queries, keys], own)
    apart = step("clamp", {"max": 1}, [step("abs", {}, [apart], own)], own)
    factor = int(across) if across == int(across) else across
    return plain(step("multiply", {}, [apart, factor], own), shape, 0 if batched else None, 1)


def _label(boundaries: Sequence[int], factor: int) -> str:
    """Return the expression of the label of place `i`: it grows by a factor at each boundary."""
    return " + ".join(f"{float(factor)} * (i >= {at})" for at in boundaries) or "0.0 * i"
