"""`load`, `analyze` and `check`, and the `Network` that a spec describes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archspec.analysis.cost import cost
from archspec.analysis.lint import lint
from archspec.document import Document, load_document, parse_document
from archspec.elaborate import Elaboration, InputShape, elaborate
from archspec.errors import Diagnostic, SpecError, UsageError, brief
from archspec.graph import Graph
from archspec.report.analyze import Report

if TYPE_CHECKING:
    from archspec.analysis.receptive import Field

InputShapes = InputShape | Mapping[str, InputShape]


class Network:
    """A network with its params set: the graph, and what can be asked of it.

    SpecError, with every finding, where the spec is wrong; its `partial` holds the network as far as it is sound.
    """

    def __init__(
        self, document: Document, params: Mapping[str, Any] | None = None, input: InputShapes | None = None
    ) -> None:
        self._elaborate(document, params, input)
        if self.elaboration.diagnostics:
            raise SpecError(self.elaboration.diagnostics, partial=self)

    def _elaborate(self, document: Document, params: Mapping[str, Any] | None, input: InputShapes | None) -> None:
        result = elaborate(document, params, input)
        self.document = document
        self.elaboration: Elaboration = result
        self.graph: Graph = result.graph
        self.params: dict[str, Any] = result.params
        self.overrides: dict[str, Any] = dict(params or {})
        self.own_inputs = input is None
        self.overridden = bool(params) or not self.own_inputs
        self._input = input

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep what the network follows from. It is elaborated again, which takes milliseconds, and needs no files."""
        return _elaborated, (type(self), self.document, self.overrides, self._input)

    @property
    def name(self) -> str:
        """The network's name."""
        return self.document.name

    @property
    def description(self) -> str:
        """What the spec says it is; empty where it says nothing."""
        return self.document.text("description") or ""

    @property
    def reference(self) -> str:
        """Where the network comes from; empty where the spec does not say."""
        return self.document.text("reference") or ""

    def analyze(self, batch: int = 1, dtype: str = "float32", training: bool = False) -> Report:
        """Return shapes, parameters, MACs, FLOPs and bytes of every layer, for `batch` samples of `dtype`.

        With `training`, what only outputs for training need is counted too.
        """
        found = self.elaboration
        diagnostics = found.diagnostics or (*found.warnings, *lint(self.graph, batch))
        return Report(**vars(cost(self.graph, batch, dtype, diagnostics, training)))

    def receptive_fields(self) -> dict[str, tuple[Field, ...]]:
        """Return the receptive field of every layer with spatial axes, by its path: one for each axis."""
        from archspec.analysis.receptive import receptive_fields  # needed here only

        return receptive_fields(self.graph)

    def check(self) -> tuple[Diagnostic, ...]:
        """Return warnings, and which figures of `expect` differ (those of the spec as written, no param overridden)."""
        from archspec.analysis.expectations import check_expectations  # needed here only

        expected = [] if self.overridden else check_expectations(self.document.expect, cost(self.graph))
        return (*expected, *self.elaboration.warnings, *lint(self.graph))

    def _repr_html_(self) -> str:
        return self.analyze()._repr_html_()

    def __repr__(self) -> str:
        totals = cost(self.graph).totals
        return f"Network({self.name!r}, {totals.layers} layers, {totals.params:,} params, {totals.macs:,} MACs)"


def _elaborated(
    kind: type[Network], document: Document, params: Mapping[str, Any], input: InputShapes | None
) -> Network:
    """Return the network of a document, one with mistakes too."""
    network = kind.__new__(kind)
    network._elaborate(document, params, input)
    return network


def together(params: object, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params of a call: those of its mapping, and those that were given by name.

    Raises:
        UsageError: One is given both ways, or `params` is not a mapping.
    """
    if params is None:
        return dict(named)
    if not isinstance(params, Mapping):
        help = "a param called `params` is given as `params={'params': ...}`"
        raise UsageError(f"params: expected a mapping of names to values, got {brief(params)}", help)
    twice = [name for name in params if name in named]
    if twice:
        raise UsageError(f"param `{twice[0]}` is given twice", "give it by name, or in `params`")
    return {**params, **named}


def load(
    spec: str | os.PathLike[str],
    /,
    *,
    input: InputShapes | None = None,
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> Network:
    """Load the network that a spec describes.

    Args:
        spec: A path, a name of the zoo, or a file of `save_weights`.
        input: Replaces the input shape; of several inputs, a mapping of their names to shapes.
        params: Override params of the spec. A mapping takes any name.
        named: The same by name, `load("resnet18", num_classes=10)`, where the name is not that of an argument.

    Raises:
        SpecError: The spec is wrong.
        UsageError: An override is.
    """
    return Network(load_document(os.fsdecode(spec)), together(params, named), input)


def loads(
    text: str,
    /,
    *,
    name: str = "<spec>",
    input: InputShapes | None = None,
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> Network:
    """Load a network as `load` does, from the text of a spec. `name` is what messages call it."""
    return Network(parse_document(text, name), together(params, named), input)


def analyze(
    spec: str | os.PathLike[str],
    /,
    *,
    input: InputShapes | None = None,
    batch: int = 1,
    dtype: str = "float32",
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> Report:
    """Return shapes, parameters, MACs, FLOPs and bytes of the network that a spec describes, loaded as by `load`."""
    return load(spec, input=input, params=together(params, named)).analyze(batch, dtype)


def check(
    spec: str | os.PathLike[str],
    /,
    *,
    input: InputShapes | None = None,
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> tuple[Diagnostic, ...]:
    """Return everything that is wrong with a spec, its `expect` included, and warnings; nothing is raised for it.

    `expect` speaks of the spec as written, so it is not compared where `input` or params are given, as in `load`.

    Raises:
        UsageError: An override is wrong.
    """
    try:
        return load(spec, input=input, params=together(params, named)).check()
    except UsageError:
        raise
    except SpecError as error:
        return error.diagnostics
