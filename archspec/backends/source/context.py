"""Where generated code runs: the values that its names have, once for each place in the network that it makes.

A class is written once for all uses of a block, a loop's body once for all its copies. Such a use or copy is a *row*.
An expression may stand in the code if it gives the right value in every row: so whatever is printed has been tried.
What cannot be expressed becomes an argument of the class, or a column of the table that the loop runs over.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from archspec.backends.source import expressions
from archspec.backends.source.expressions import Unprintable, literal, same, value_of
from archspec.backends.source.naming import numbered, value_name
from archspec.errors import Complaint
from archspec.expressions import Environment, UnknownShape
from archspec.ops import symbolic

MISSING: Any = object()
"""The value of a name in a row that does not use it."""

Candidate = Callable[[], ast.expr | None]


def known(trees: Iterable[ast.expr]) -> list[Candidate]:
    """Candidates that are at hand."""
    return [partial(_itself, tree) for tree in trees]


def _itself(tree: ast.expr) -> ast.expr:
    return tree


class CannotPlan(Exception):
    """The steps at hand cannot be planned in this way: in one piece for all these rows, or as a chain.

    Whoever planned them so tries the next way.
    """


class NotKept(Exception):
    """A param of the spec cannot stay an argument of the network's class."""


class Variable:
    """A name of generated code and its value in every row of its context."""

    __slots__ = ("printed", "values", "default")

    def __init__(self, printed: str, values: list[Any]) -> None:
        self.printed, self.values = printed, values
        self.default: Any = MISSING

    def fill(self) -> list[Any]:
        """The values, with the most frequent one where none is needed."""
        if not any(value is MISSING for value in self.values):
            return self.values
        known = [value for value in self.values if value is not MISSING]
        usual = max(known, key=lambda value: sum(same(value, other) for other in known), default=None)
        return [usual if value is MISSING else value for value in self.values]


class Context:
    """One class, or the body of one loop. Abstract; `rows` is how often its code runs in the network.

    In its methods, `active` are the rows at hand, and `values` has one value for each of them.
    """

    def __init__(self, environments: Sequence[Environment]) -> None:
        self.environments = list(environments)
        self.rows = len(environments)
        self.variables: dict[str, Variable] = {}  # by the name in the spec
        self.printed: dict[str, Variable] = {}  # by the name in the code: what it holds at this point of it
        self.parent: LoopContext | ClassContext | None = None

    def lookup(self, name: str, row: int) -> Any:
        """The value of a name of the code; Unprintable where it has none in that row."""
        found = self.printed.get(name)
        if found is None or found.values[row] is MISSING:
            raise Unprintable
        return found.values[row]

    def parameter(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """A name for values that nothing else expresses."""
        raise NotImplementedError

    def free_name(self, name: str, kind: str) -> str:
        """A name of the code that nothing else of another kind has in this class."""
        raise NotImplementedError

    def bind(self, spec_name: str, printed: str, active: Iterable[int], values: Iterable[Any]) -> Variable:
        """Give a name its values from here on."""
        filled = [MISSING] * self.rows
        for row, value in zip(active, values, strict=True):
            filled[row] = value
        variable = Variable(printed, filled)
        self.printed[printed] = variable
        if spec_name:
            self.variables[spec_name] = variable
        return variable

    def snapshot(self) -> tuple[dict[str, Variable], dict[str, Variable]]:
        """What its names hold at this point, to come back to."""
        return dict(self.variables), dict(self.printed)

    def restore(self, state: tuple[dict[str, Variable], dict[str, Variable]]) -> None:
        """Forget what was bound since `state` was taken."""
        self.variables, self.printed = dict(state[0]), dict(state[1])

    def alias(self, spec_name: str, printed: str) -> None:
        """Another name in the spec for what the code has already."""
        context: Context | None = self
        while context is not None:
            if printed in context.printed:
                variable = context.printed[printed]
                if context is self:
                    self.variables[spec_name] = variable
                else:
                    assert isinstance(self, LoopContext)
                    values = [self.lookup(printed, row) for row in range(self.rows)]
                    self.variables[spec_name] = self.printed[printed] = Variable(printed, values)
                return
            context = context.parent

    def _known(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """A name of the spec that the code has already, if it has these values; where it had none it has them now."""
        variable = self.variables.get(name)
        if variable is None or self.printed.get(variable.printed) is not variable:
            return None
        for row, value in zip(active, values, strict=True):
            if variable.values[row] is not MISSING and not same(variable.values[row], value):
                return None
        for row, value in zip(active, values, strict=True):
            variable.values[row] = value
        return symbolic.name(variable.printed)

    def symbol(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """A name of the spec whose values differ, as code."""
        return self._known(name, active, values) or self.parameter(name, active, values)

    # Expressions.

    def holds(self, tree: ast.expr, active: Sequence[int], values: Sequence[Any]) -> bool:
        """Whether an expression is printable, and right in every row."""
        try:
            if len(expressions.text(tree)) > expressions.WIDEST:
                return False
            return all(
                _fits(plain(value_of(tree, lambda name, row=row: self.lookup(name, row))), value)  # type: ignore[misc]
                for row, value in zip(active, values, strict=True)
            )
        except Unprintable:
            return False

    def express(
        self, active: Sequence[int], values: Sequence[Any], candidates: Iterable[Candidate], name: str
    ) -> ast.expr:
        """Code for a value: a literal where it is the same in every row, else the first candidate that holds."""
        values = [plain(value) for value in values]
        found = self.constant(active, values)
        if found is not None:
            return found
        for candidate in candidates:
            try:
                tree = candidate()
            except Unprintable:
                continue
            if tree is not None and self.holds(tree, active, values):
                return tree
        constant = all(same(value, values[0]) for value in values)
        return literal(values[0]) if constant else self.parameter(name, active, values)

    def constant(self, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """Return the literal of a value that is the same in every row, None where it is not."""
        if len(active) == self.rows and all(same(value, values[0]) for value in values):
            return literal(plain(values[0]))
        return None


class ClassContext(Context):
    """The `__init__` of a class; what it cannot express becomes an argument.

    `kept` are the arguments that the network's class may have; a block's class, with None, may have any.
    """

    def __init__(self, environments: Sequence[Environment], kept: frozenset[str] | None = None) -> None:
        super().__init__(environments)
        self.kept = kept
        self.kinds: dict[str, str] = {}  # what each name of the class is, loops included
        self.arguments: dict[str, Variable] = {}
        self.origins: dict[str, str] = {}  # of the arguments: see `add_argument`

    def restore(self, state: tuple[dict[str, Variable], dict[str, Variable]]) -> None:
        """As for any context, but arguments stay; those that nothing uses in the end are left out."""
        super().restore(state)
        for printed, variable in self.arguments.items():
            self.printed[printed] = variable
            if self.origins[printed]:
                self.variables.setdefault(self.origins[printed], variable)

    def add_argument(self, name: str, origin: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """A new argument. `origin` is its name in the spec, if it has one; for the channels of an input, a space and
        the input's number."""
        printed = self.free_name(name, "argument")
        self.origins[printed] = origin
        self.arguments[printed] = self.bind(origin, printed, active, values)
        return symbolic.name(printed)

    def free_name(self, name: str, kind: str) -> str:
        """Names of one kind may be the same, as those of loops that follow each other; but for arguments."""

        def taken(printed: str) -> bool:
            return self.kinds.get(printed, kind) != kind or (kind == "argument" and printed in self.kinds)

        printed = numbered(value_name(name), taken)
        self.kinds[printed] = kind
        return printed

    def parameter(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """An argument; NotKept where the network's class may not have it."""
        if self.kept is not None:
            wanted = [value_or_missing(self.environments[row], name) for row in active] if name in self.kept else []
            if not same(wanted, list(values)):
                raise NotKept(name)
        known = self._known(name, active, values)
        if known is not None:
            return known
        try:
            for value in values:
                literal(value)
        except Unprintable:
            raise CannotPlan from None
        return self.add_argument(name, name if name not in self.variables else "", active, values)

    def symbol(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """An argument of that name; Unprintable where its values cannot be one."""
        known = self._known(name, active, values)
        if known is not None:
            return known
        if not all(isinstance(value, int | float | str | bool) for value in values):
            raise Unprintable
        tree = self.parameter(name, active, values)
        variable = self.variables.get(name)
        if variable is not None:  # it may have a value in rows that do not need it
            for row, environment in enumerate(self.environments):
                if variable.values[row] is MISSING:
                    variable.values[row] = value_or_missing(environment, name)
        return tree


def value_or_missing(environment: Environment, name: str) -> Any:
    """The value of a name, where it has one that can be an argument."""
    try:
        value = environment.lookup(name)
    except (Complaint, UnknownShape):
        return MISSING
    return value if isinstance(value, int | float | str | bool) else MISSING


class LoopContext(Context):
    """The body of a loop over copies; `parent_rows` says of each of its rows in which row of `parent` it runs.

    What it cannot express becomes a column of the table that the loop runs over.
    """

    def __init__(
        self, parent: LoopContext | ClassContext, parent_rows: Sequence[int], environments: Sequence[Environment]
    ) -> None:
        super().__init__(environments)
        self.parent, self.parent_rows = parent, list(parent_rows)
        self.columns: list[Variable] = []
        self.assigned_inside: set[str] = set()  # by loops within this one

    def lookup(self, name: str, row: int) -> Any:
        """The value of a name of the loop, or of the code around it."""
        if name in self.printed:
            return super().lookup(name, row)
        assert self.parent is not None
        return self.parent.lookup(name, self.parent_rows[row])

    def free_name(self, name: str, kind: str) -> str:
        """A name that neither the code around the loop nor a loop within it has: one would overwrite the other."""
        assert self.parent is not None
        base, number = value_name(name), 1
        own, *around = self.enclosing()
        while True:
            printed = self.parent.free_name(base if number == 1 else f"{base}_{number}", kind)
            if printed not in self.assigned_inside and not any(printed in other.printed for other in (own, *around)):
                for context in around:
                    if isinstance(context, LoopContext):
                        context.assigned_inside.add(printed)
                return printed
            number += 1

    def enclosing(self) -> Iterator[Context]:
        """This context and those around it."""
        context: Context | None = self
        while context is not None:
            yield context
            context = context.parent

    def projected(self, active: Sequence[int], values: Sequence[Any]) -> tuple[list[int], list[Any]] | None:
        """Rows and values of the parent, where the values do not differ between the copies."""
        found: dict[int, Any] = {}
        for row, value in zip(active, values, strict=True):
            if not same(found.setdefault(self.parent_rows[row], value), value):
                return None
        return list(found), list(found.values())

    def symbol(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """A symbol of the code around the loop, where the copies do not differ in it; else a column."""
        known = self._known(name, active, values)
        if known is not None:
            return known
        outer = self.projected(active, values)
        if outer is not None:
            assert self.parent is not None
            tree = self.parent.symbol(name, *outer)
            if self.holds(tree, active, values):
                return tree
        return self.parameter(name, active, values)

    def parameter(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """A parameter of the code around the loop, where the copies do not differ in it; else a column."""
        for value in values:
            literal(value)
        outer = self.projected(active, values)
        if outer is not None:
            assert self.parent is not None
            tree = self.parent.express(*outer, [], name)
            if self.holds(tree, active, values):
                return tree
        known = self._known(name, active, values)
        if known is not None:
            return known
        printed = self.free_name(name, "loop")
        variable = self.bind(name if name not in self.variables else "", printed, active, values)
        self.columns.append(variable)
        return symbolic.name(printed)


def _fits(found: Any, wanted: Any) -> bool:
    """Whether torch takes one for the other: an integer stands for a float."""
    return same(found, wanted) or (type(found) is int and type(wanted) is float and found == wanted)


def plain(value: Any) -> Any:
    """Lists as tuples, as `Call` has them."""
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    return value
