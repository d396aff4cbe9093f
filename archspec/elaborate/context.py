"""What the steps of one elaboration share: the nodes made so far, the limits, the findings; and how steps are applied.

The other files of this folder call `Context.run` and `Context.apply` where steps stand within a step, and so need not
know `elaborator.py`, which calls them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, MutableMapping
from typing import Any, NoReturn

from archspec.elaborate.findings import ScopedFindings
from archspec.elaborate.limits import MAX_NODES, Limits, TooLarge
from archspec.elaborate.memo import Entry
from archspec.elaborate.namespace import Maker, Namespace, Ref
from archspec.errors import Complaint, Span
from archspec.expressions import Environment
from archspec.graph import Applied, Node, Scope
from archspec.ops.base import Op
from archspec.program import Program
from archspec.program.steps import Step
from archspec.shapes import Shape


class Application:
    """One application of a step, which reads `reads`.

    `home` is where its name goes, `namespace` where names are looked up, `environment` what its expressions see. `copy`
    is `(position, count)` where it is a copy of a repeat.
    """

    __slots__ = ("home", "namespace", "environment", "reads", "copy")

    def __init__(
        self,
        home: Namespace,
        namespace: Namespace,
        environment: Environment,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None = None,
    ) -> None:
        self.home, self.namespace, self.environment, self.reads, self.copy = home, namespace, environment, reads, copy


class Context(ABC):
    """The state of one elaboration."""

    def __init__(self, program: Program, params: Environment, findings: ScopedFindings, trace: bool) -> None:
        self.program, self.params, self.findings, self.trace = program, params, findings, trace
        self.nothing = Environment({})
        self.has_uses = program.has_uses
        self.nodes: list[Node] = []
        self.limits = Limits(params.budget)
        self.memo: MutableMapping[Any, Entry] = {}
        self.inputs: Mapping[str, Shape | None] = {}
        self.free: dict[str, Op] = {}
        """The free tensors by their paths, but for those of scopes that were copied."""
        self.free_ops: dict[tuple[Any, ...], Op] = {}
        """The free tensors by what they depend on."""
        self.failures: Counter[Step] = Counter()
        """How often a step has been found wrong: after `MAX_FAILURES` times it is not applied again."""

    @abstractmethod
    def run(self, steps: list[Step], namespace: Namespace, environment: Environment, previous: Ref) -> Ref:
        """Apply steps in turn, the first to `previous`. Return the value of the last."""

    @abstractmethod
    def apply(self, step: Step, application: Application) -> Ref:
        """Apply a step once."""

    def remember(
        self,
        name: str,
        step: Step,
        environment: Environment,
        arguments: Mapping[str, Any],
        home: Namespace,
        first: int,
        origin: str = "",
    ) -> None:
        """Keep how a step was applied, if the spec has a `use` that may ask for it."""
        if self.has_uses:
            home.makers[name] = Maker(step, environment, arguments, origin or name, first, len(self.nodes))


def too_large(findings: ScopedFindings, span: Span, scope: Scope) -> NoReturn:
    """Complain of a network beyond the limit, and end."""
    findings.complain(
        Complaint("limit", f"the network has more than {MAX_NODES:,} layers and scopes", span=span), scope
    )
    raise TooLarge


def keep_trace(scope: Scope, step: Step, made: Node | Scope | None, application: Application, result: Ref) -> None:
    """Keep what became of a step, in a traced scope."""
    reads = made.inputs if isinstance(made, Node) else tuple(ref.path for ref in application.reads)
    first, *more = [part.path for part in result.parts or (result,)]
    environment, copy = application.environment, application.copy
    scope.items.append(Applied(step.origin, made, reads, first, environment, copy, tuple(more)))


def place_of_copy(step: Step, path: str, application: Application) -> Scope:
    """Return the scope to name in a finding about a step: that around it, or the copy that it is."""
    scope = application.home.scope
    return Scope(step.label, path, scope, copy=application.copy, span=step.span) if application.copy else scope
