"""A spec, understood: what `archspec.load` gives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archspec.analysis.cost import cost
from archspec.analysis.lint import lint
from archspec.document import Document, load_document, parse_document
from archspec.elaborate import Elaboration, InputShape, elaborate
from archspec.errors import Diagnostic, SpecError
from archspec.graph import Graph
from archspec.report.costs import Report

InputShapes = InputShape | Mapping[str, InputShape]


class Network:
    """A network with its params set: the graph, and what can be asked of it.

    SpecError, with every finding, where the spec is wrong; its `partial` holds the network as far as it is sound.
    """

    def __init__(
        self, document: Document, params: Mapping[str, Any] | None = None, input: InputShapes | None = None
    ) -> None:
        result = elaborate(document, params, input)
        self.document = document
        self.elaboration: Elaboration = result
        self.graph: Graph = result.graph
        self.params: dict[str, Any] = result.params
        self.overrides: dict[str, Any] = dict(params or {})
        self.overridden = bool(params) or input is not None
        if result.diagnostics:
            raise SpecError(result.diagnostics, partial=self)

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

    def analyze(self, batch: int = 1, dtype: str = "float32") -> Report:
        """Shapes, parameters, MACs, FLOPs and bytes of every layer, for `batch` samples of `dtype`."""
        found = self.elaboration
        diagnostics = found.diagnostics or (*found.warnings, *lint(self.graph, batch))
        return Report(**vars(cost(self.graph, batch, dtype, diagnostics)))

    def check(self) -> tuple[Diagnostic, ...]:
        """Warnings, and what does not hold of `expect` (which speaks of the spec as written, params not overridden)."""
        from archspec.analysis.expectations import check_expectations  # needed here only

        expected = [] if self.overridden else check_expectations(self.document.expect, cost(self.graph))
        return (*expected, *self.elaboration.warnings, *lint(self.graph))

    def _repr_html_(self) -> str:
        return self.analyze()._repr_html_()

    def __repr__(self) -> str:
        totals = cost(self.graph).totals
        return f"Network({self.name!r}, {totals.layers} layers, {totals.params:,} params, {totals.macs:,} MACs)"


def load(spec: str | os.PathLike[str], *, input: InputShapes | None = None, **params: Any) -> Network:
    """The network that a spec describes: a path, or a name of the zoo; or that of a file of `save_weights`.

    `input` replaces the input shape, `params` override those of the spec. SpecError where the spec is wrong,
    UsageError where an override is.
    """
    return Network(load_document(os.fsdecode(spec)), params, input)


def loads(text: str, *, name: str = "<spec>", input: InputShapes | None = None, **params: Any) -> Network:
    """As `load`, from the text of a spec. `name` is what messages call it."""
    return Network(parse_document(text, name), params, input)


def analyze(
    spec: str | os.PathLike[str],
    *,
    input: InputShapes | None = None,
    batch: int = 1,
    dtype: str = "float32",
    **params: Any,
) -> Report:
    """Shapes, parameters, MACs, FLOPs and bytes of the network that a spec describes (see `load`)."""
    return load(spec, input=input, **params).analyze(batch, dtype)


def check(spec: str | os.PathLike[str]) -> tuple[Diagnostic, ...]:
    """Everything that is wrong with a spec, its `expect` included, and warnings; nothing is raised for it."""
    try:
        return load(spec).check()
    except SpecError as error:
        return error.diagnostics
