"""The costs of networks as tables and text: what `archspec analyze` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from archspec.analysis.cost import Costs, LayerCost
from archspec.report.figures import bytes_text, count_text
from archspec.report.folding import Branch, module_tree
from archspec.report.screen import BLOCKS, UNLIMITED, Screen
from archspec.report.table import Column, Table, as_html, as_text
from archspec.shapes import Shape, shape_text

if TYPE_CHECKING:
    from archspec.analysis.receptive import Field

BAR = 12
"""Characters of the bar that stands for the whole."""

SHARED = "shared"
"""What stands for the params of a layer that has those of another one."""
TRAINING = "training"
"""What stands for the bytes of a layer that evaluation skips."""

COLUMNS = (
    Column("layer"),
    Column("op"),
    Column("arguments", rank=1),
    Column("input", rank=5),
    Column("output"),
    Column("params", right=True),
    Column("buffers", right=True, rank=7),
    Column("MACs", right=True),
    Column("FLOPs", right=True, rank=4),
    Column("bytes", right=True, rank=6),
    Column("share", rank=2),
    Column("", rank=3, attached=True),
)

Extra = Mapping[str, Callable[[str], str]]
"""Columns that are asked for besides: what each says of a layer, by its path."""

SORTS: dict[str, Callable[[LayerCost], int]] = {
    "macs": lambda layer: layer.macs,
    "flops": lambda layer: layer.flops,
    "params": lambda layer: layer.params,
    "bytes": lambda layer: layer.output_bytes,
}


def share_cells(part: int, whole: int) -> tuple[str, str]:
    """Return a share of the whole in percent and as a bar; empty for nothing."""
    if not part or not whole:
        return "", ""
    full, eighths = divmod(round(part / whole * BAR * 8), 8)
    return f"{part / whole:6.1%}", BLOCKS[0] * full + (BLOCKS[8 - eighths] if eighths else "")


def layers_table(costs: Costs, depth: int | None = None, sort: str | None = None, extra: Extra | None = None) -> Table:
    """Return a row for each layer: as the tree of modules, folded below `depth` levels, or flat, the largest first."""
    extra = extra or {}
    figure = "macs" if costs.totals.macs else "flops"
    table = Table((*COLUMNS[:BEFORE_EXTRA], *(Column(name) for name in extra), *COLUMNS[BEFORE_EXTRA:]))
    if sort:
        whole = sum(map(SORTS[sort], costs.layers))
        for layer in sorted(costs.layers, key=SORTS[sort], reverse=True):
            share = share_cells(SORTS[sort](layer), whole)
            table.rows.append(_with_extra(_layer_row(layer.path, layer, share), layer.path, extra))
        return table
    whole = getattr(costs.totals, figure)
    for child in module_tree(costs).children:
        _add_branch(table, child, 0, depth, figure, whole, extra)
    return table


BEFORE_EXTRA = 5
"""How many columns stand before those that are asked for besides."""


def _with_extra(row: tuple[str, ...], path: str, extra: Extra) -> tuple[str, ...]:
    return (*row[:BEFORE_EXTRA], *(says(path) for says in extra.values()), *row[BEFORE_EXTRA:])


def _add_branch(
    table: Table, branch: Branch, level: int, depth: int | None, figure: str, whole: int, extra: Extra
) -> None:
    share = share_cells(branch.total(figure), whole)
    if branch.layer:
        row = _layer_row(f"{'  ' * level}{branch.names[0]}", branch.layer, share)
        table.rows.append(_with_extra(row, branch.layer.path, extra))
        return
    names = branch.names[0] if branch.copies == 1 else f"{branch.names[0]} … {branch.names[-1]}"
    copies = f"{branch.copies} x " if branch.copies > 1 else ""
    count = len(branch.layers)
    leaf = depth is not None and level + 1 >= depth
    figures = ("params", "buffers", "macs", "flops", "output_bytes")
    params, buffers, macs, flops, size = (branch.total(name) for name in figures)
    table.strong.add(len(table.rows))
    row = (
        f"{'  ' * level}{names}",
        branch.kind,
        f"{copies}{count} layer{'s' if count != 1 else ''}",
        shape_text(branch.input_shape),
        shape_text(branch.output_shape),
        SHARED if branch.is_shared else _figure(params),
        *map(_figure, (buffers, macs, flops)),
        TRAINING if all(layer.skipped for layer in branch.layers) else bytes_text(size),
        *(share if leaf else ("", "")),
    )
    table.rows.append(_with_extra(row, branch.last_path, extra))
    if not leaf:
        for child in branch.children:
            _add_branch(table, child, level + 1, depth, figure, whole, extra)


def field_text(fields: Sequence[Field]) -> str:
    """Return a receptive field and its stride as a window is written: `35x35/4`; `all` for the whole input."""
    if not fields:
        return ""
    sizes = ["all" if field.size is None else str(field.size) for field in fields]
    strides = ["" if field.size is None else f"{field.stride:g}" for field in fields]
    size = "all" if set(sizes) == {"all"} else "x".join(sizes)
    stride = strides[0] if len(set(strides)) == 1 else "x".join(stride or "-" for stride in strides)
    return size if stride in ("", "1") else f"{size}/{stride}"


def _figure(number: int) -> str:
    return count_text(number) if number else ""


def _layer_row(name: str, layer: LayerCost, share: tuple[str, str]) -> tuple[str, ...]:
    return (
        name,
        layer.op,
        layer.summary,
        " ".join(map(shape_text, _distinct(layer.input_shapes))),
        shape_text(layer.output_shape),
        SHARED if layer.applied.params and layer.weights_of is not None else _figure(layer.params),
        *map(_figure, (layer.buffers, layer.macs, layer.flops)),
        TRAINING if layer.skipped else bytes_text(layer.output_bytes),
        *share,
    )


def _distinct(shapes: tuple[Shape, ...]) -> list[Shape]:
    return list(dict.fromkeys(shapes))


def report_text(
    costs: Costs,
    depth: int | None = None,
    sort: str | None = None,
    screen: Screen = UNLIMITED,
    extra: Extra | None = None,
) -> str:
    """Return what `archspec analyze` prints of one network: a header, the layers, the totals."""
    table = as_text(layers_table(costs, depth, sort, extra), screen)
    totals = map(screen.fit, totals_text(costs).splitlines())
    return "\n\n".join([screen.fit(header_text(costs)), table, "\n".join(totals)])


def report_html(costs: Costs) -> str:
    """Return the same for a notebook, as the tree of modules down to the second level."""
    from html import escape  # needed here only

    head, totals = escape(header_text(costs)), escape(totals_text(costs))
    return f"<p><b>{head}</b></p>\n{as_html(layers_table(costs, 2))}\n<pre>{totals}</pre>"


def exact_table(costs: Costs, sort: str | None = None, extra: Extra | None = None) -> Table:
    """Return every layer with exact figures, for CSV and Markdown; in data-flow order, or the largest first."""
    extra = extra or {}
    columns = ("layer", "op", "arguments", "input", "output", "params", "buffers", "macs", "flops", "output_bytes")
    first = [Column(title) for title in columns[:BEFORE_EXTRA]]
    numbers = [Column(title, right=True) for title in columns[BEFORE_EXTRA:]]
    table = Table((*first, *map(Column, extra), *numbers))
    for layer in sorted(costs.layers, key=SORTS[sort], reverse=True) if sort else costs.layers:
        figures = (layer.params, layer.buffers, layer.macs, layer.flops, layer.output_bytes)
        inputs = " ".join(map(shape_text, layer.input_shapes))
        output = shape_text(layer.output_shape)
        row = (layer.path, layer.op, layer.summary, inputs, output, *map(str, figures))
        table.rows.append(_with_extra(row, layer.path, extra))
    return table


def header_text(costs: Costs) -> str:
    """Return the line over a table: the network, its input, the batch and the type of the numbers."""
    inputs = ", ".join(
        shape_text(shape) if len(costs.inputs) == 1 else f"{name} {shape_text(shape)}"
        for name, shape in costs.inputs.items()
    )
    return f"{costs.name}: input {inputs}, batch {costs.batch}, {costs.dtype}"


def totals_text(costs: Costs) -> str:
    """Return the lines under a table: the exact sums, each with its convention."""
    totals = costs.totals
    outputs = ", ".join(f"{name} {shape_text(shape)}" for name, shape in costs.outputs.items())
    rows = [
        ("output", outputs or "none", ""),
        ("layers", f"{totals.layers:,}", f"{totals.depth} weighted layers on the longest path"),
        ("params", f"{totals.params:,}", f"{bytes_text(totals.weight_bytes)}, and {totals.buffers:,} in buffers"),
        ("MACs", f"{totals.macs:,}", "multiply-accumulates of convolutions, linear layers and attention"),
        ("FLOPs", f"{totals.flops:,}", "2 x MACs + elementwise work"),
        ("memory", bytes_text(totals.peak_activation_bytes), "of activations alive at once, at most"),
    ]
    if costs.mode == "evaluation":
        skipped = [layer for layer in costs.layers if layer.skipped]
        rows.append(("skipped", f"{len(skipped):,}", "layers that run in training only; their params count"))
    elif costs.mode:
        rows.append(("mode", costs.mode, "outputs for training included"))
    label, figure = (max(len(row[column]) for row in rows[1:]) for column in (0, 1))
    return "\n".join(
        f"{name:<{label}}  {value}" if not doc else f"{name:<{label}}  {value:>{figure}}  {doc}"
        for name, value, doc in rows
    )


def comparison_table(reports: Sequence[Costs]) -> Table:
    """Return several networks side by side, a row each."""
    columns = (
        Column("network"),
        Column("input"),
        Column("layers", right=True, rank=2),
        Column("depth", right=True, rank=2),
        Column("params", right=True),
        Column("MACs", right=True),
        Column("FLOPs", right=True, rank=1),
        Column("weights", right=True, rank=3),
        Column("activations", right=True, rank=3),
        Column("MACs, relative", rank=4),
    )
    table = Table(columns)
    most = max((costs.totals.macs for costs in reports), default=0)
    for costs in reports:
        totals = costs.totals
        table.rows.append(
            (
                costs.name,
                " ".join(map(shape_text, costs.inputs.values())),
                str(totals.layers),
                str(totals.depth),
                f"{totals.params:,}",
                f"{totals.macs:,}",
                f"{totals.flops:,}",
                bytes_text(totals.weight_bytes),
                bytes_text(totals.peak_activation_bytes),
                " ".join(share_cells(totals.macs, most)).rstrip(),
            )
        )
    return table


def exact_comparison(reports: Sequence[Costs]) -> Table:
    """Return several networks side by side with exact figures, for CSV and Markdown."""
    figures = ("layers", "depth", "params", "buffers", "macs", "flops", "weight_bytes", "peak_activation_bytes")
    table = Table((Column("network"), Column("input"), *(Column(figure, right=True) for figure in figures)))
    for costs in reports:
        inputs = " ".join(map(shape_text, costs.inputs.values()))
        table.rows.append((costs.name, inputs, *(str(getattr(costs.totals, figure)) for figure in figures)))
    return table


class Report(Costs):
    """The costs of a network, with the table of `archspec analyze` as its text."""

    def __str__(self) -> str:
        """Return the table, down to the second level of scopes."""
        return report_text(self, 2)

    def __repr__(self) -> str:
        """Return the totals in a line."""
        totals = self.totals
        return f"Report({self.name!r}, {totals.layers} layers, {totals.params:,} params, {totals.macs:,} MACs)"

    def _repr_html_(self) -> str:
        return report_html(self)
