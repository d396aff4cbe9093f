"""The names of generated code and their values, once for each place in the network that the code makes.

A class is written once for all uses of a block, the body of a loop once for all its copies. Each of these is a *use*,
known by its number. An expression may stand in the code if it gives the right value in every use, so whatever is
printed has been tried. What cannot be expressed becomes an argument of the class, or a column of the table that the
loop runs over.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from archspec.backends.source import trees
from archspec.backends.source.identifiers import numbered, value_name
from archspec.backends.source.trees import Unprintable, all_same, literal, same, value_of
from archspec.errors import Complaint
from archspec.expressions import Environment, UnknownShape

MISSING: Any = object()
"""The value of a name in a use that does not need it."""

Candidate = Callable[[], "ast.expr | None"]


class CannotPlan(Exception):
    """The uses cannot share one piece of code, for the reason given: they are split, or copies written out."""


class Open(Exception):
    """A value of the network's class depends on params that cannot stay its arguments; `networks` tell which."""

    def __init__(self, networks: frozenset[int]) -> None:
        super().__init__(networks)
        self.networks = networks


class Binding:
    """A name of generated code and its value in every use. `default` is that of an argument."""

    __slots__ = ("name", "values", "default")

    def __init__(self, name: str, values: list[Any], default: Any = MISSING) -> None:
        self.name, self.values, self.default = name, values, default

    def filled(self) -> list[Any]:
        """Return the values, with the most frequent one where none is needed."""
        if not any(value is MISSING for value in self.values):
            return self.values
        known = [value for value in self.values if value is not MISSING]
        usual = max(known, key=lambda value: sum(same(value, other) for other in known), default=None)
        return [usual if value is MISSING else value for value in self.values]


class Bindings:
    """The names of one class or of one loop's body. Abstract.

    `environments` are what the spec's expressions see, by use. In all methods, `active` are the uses in question, and
    `values` has one value for each of them.
    """

    parent: Bindings | None = None

    def __init__(self, environments: Sequence[Environment]) -> None:
        self.environments = list(environments)
        self.uses = len(self.environments)
        self.by_name: dict[str, Binding] = {}
        self.by_spec: dict[str, Binding] = {}

    # Names.

    @property
    def of_class(self) -> ClassBindings:
        """The names of the class that the code is in."""
        raise NotImplementedError

    def parameter(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return a new name for values that nothing else expresses."""
        raise NotImplementedError

    def bind(self, spec_name: str, printed: str, active: Iterable[int], values: Iterable[Any]) -> Binding:
        """Give a name of the code its values from here on."""
        found = [MISSING] * self.uses
        for use, value in zip(active, values, strict=True):
            found[use] = value
        binding = Binding(printed, found)
        self.by_name[printed] = binding
        if spec_name:
            self.by_spec[spec_name] = binding
        return binding

    def lookup(self, name: str, use: int) -> Any:
        """Return the value of a name of the code. Raises: Unprintable if it has none in that use."""
        found = self.by_name.get(name)
        if found is None or found.values[use] is MISSING:
            raise Unprintable
        return found.values[use]

    def known(self, spec_name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """Return the name of the code for a name of the spec, if it has these values, or none in these uses yet."""
        binding = self.by_spec.get(spec_name)
        if binding is None or self.by_name.get(binding.name) is not binding:
            return None
        for use, value in zip(active, values, strict=True):
            if binding.values[use] is not MISSING and not same(binding.values[use], value):
                return None
        for use, value in zip(active, values, strict=True):
            binding.values[use] = value
        return trees.name(binding.name)

    def symbol(self, spec_name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return the code for a name of the spec. Raises: Unprintable if its values cannot stand in code."""
        raise NotImplementedError

    # Expressions.

    def holds(self, tree: ast.expr, active: Sequence[int], values: Sequence[Any]) -> bool:
        """Return whether an expression is printable and right in every use."""
        try:
            if len(trees.text(tree)) > trees.WIDEST:
                return False
            for use, value in zip(active, values, strict=True):
                if not _fits(plain(value_of(tree, lambda name, use=use: self.lookup(name, use))), value):  # type: ignore[misc]
                    return False
        except Unprintable:
            return False
        return True

    def express(
        self, active: Sequence[int], values: Sequence[Any], candidates: Iterable[Candidate], name: str
    ) -> ast.expr:
        """Return the code for a value: a literal if it is the same in every use, else the first candidate that holds.

        If none does, the code says how the value follows from names that are there, or else gets a new name.
        """
        values = [plain(value) for value in values]
        constant = all_same(values)
        if constant and len(active) == self.uses:
            return literal(values[0])
        found = self.expressed(active, values, candidates)
        if found is not None:
            return found
        if constant:
            return literal(values[0])
        return self.derived(active, values) or self.parameter(name, active, values)

    def expressed(
        self, active: Sequence[int], values: Sequence[Any], candidates: Iterable[Candidate]
    ) -> ast.expr | None:
        """Return the first candidate that holds."""
        for candidate in candidates:
            try:
                tree = candidate()
            except Unprintable:
                continue
            if tree is not None and self.holds(tree, active, values):
                return tree
        return None

    def derived(self, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """Return how whole numbers follow from a name that is there: itself, a multiple of it, or a part of it."""
        if any(type(value) is not int for value in values) or len(set(values)) < 2:
            return None
        return self._formed(active, values, (_itself, _multiple, _part))

    def named(self, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """Return the name that has these whole numbers, if there is one and they differ."""
        if any(type(value) is not int for value in values) or len(set(values)) < 2:
            return None
        return self._formed(active, values, (_itself,))

    def _formed(
        self, active: Sequence[int], values: Sequence[Any], forms: Sequence[Callable[[str, int, int], ast.expr | None]]
    ) -> ast.expr | None:
        names = [name for name in self.visible() if self._is_number(name, active)]
        for form in forms:
            for name in names if form is _itself else [name for name in names if name not in self.of_class.axes]:
                tree = form(name, self.lookup(name, active[0]), values[0])
                if tree is not None and self.holds(tree, active, values):
                    return tree
        return None

    def _is_number(self, name: str, active: Sequence[int]) -> bool:
        try:
            return all(type(self.lookup(name, use)) is int for use in active)
        except Unprintable:
            return False

    def visible(self) -> Iterator[str]:
        """Yield every name of the code in sight, the nearest first."""
        here: Bindings | None = self
        while here is not None:
            yield from here.by_name
            here = here.parent


def _itself(name: str, base: int, value: int) -> ast.expr | None:
    return trees.name(name) if base == value else None


def _multiple(name: str, base: int, value: int) -> ast.expr | None:
    if base < 2 or value % base or not 2 <= value // base <= 8:
        return None
    return ast.BinOp(ast.Constant(value // base), ast.Mult(), trees.name(name))


def _part(name: str, base: int, value: int) -> ast.expr | None:
    if value < 1 or not 2 <= base // value <= 64:
        return None
    return ast.BinOp(trees.name(name), ast.FloorDiv(), ast.Constant(base // value))


class ClassBindings(Bindings):
    """The names in `__init__` of a class; what it cannot express becomes an argument.

    `networks` are the numbers of the networks that the uses stand for, where the class is the network's own: such a
    class has only `kept` params as arguments, which are those of the spec. A block's class, with None, may have any.
    """

    def __init__(self, environments: Sequence[Environment], kept: Mapping[str, Sequence[Any]] | None = None) -> None:
        super().__init__(environments)
        self.kept = kept
        self.kinds: dict[str, str] = {}  # what each name of the class is, those of its loops included
        self.arguments: dict[str, Binding] = {}
        self.statements: dict[tuple[int, str], Any] = {}  # what made a node or a scope, by its network and path
        self.axes: set[str] = set()  # arguments that are axes of inputs, of which nothing else is a multiple or a part
        self.origins: dict[str, str] = {}  # the spec's name of an argument, where it has one
        self.tables: dict[
            str, Any
        ] = {}  # lists and mappings of the spec that the code names, by their name in the code

    @property
    def of_class(self) -> ClassBindings:
        """The names of the class that the code is in: these."""
        return self

    def free_name(self, name: str, kind: str) -> str:
        """Return a name for something of a kind; what follows each other may share one, but arguments never do."""
        if name in (self.kept or ()):  # a param of the spec, by which callers know it
            self.kinds[name] = kind
            return name

        def taken(printed: str) -> bool:
            return self.kinds.get(printed, kind) != kind or (kind in ("argument", "table") and printed in self.kinds)

        printed = numbered(value_name(name), taken)
        self.kinds[printed] = kind
        return printed

    def add_argument(self, name: str, origin: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return a new argument; `origin` is its name in the spec, if it has one."""
        printed = self.free_name(name, "argument")
        self.origins[printed] = origin
        self.arguments[printed] = self.bind(origin, printed, active, values)
        return trees.name(printed)

    def parameter(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return a new argument for values. Raises: Open if the network's class may not have it, CannotPlan."""
        if self.kept is not None:
            wanted = [self.kept[name][use] for use in active] if name in self.kept else None
            if wanted is None or not same(wanted, list(values)):
                raise Open(
                    frozenset(use for use, value in zip(active, values, strict=True) if not same(value, values[0]))
                )
        known = self.known(name, active, values)
        if known is not None:
            return known
        try:
            for value in values:
                literal(value)
        except Unprintable:
            raise CannotPlan(f"{name} has values that cannot stand in code") from None
        return self.add_argument(name, name if name not in self.by_spec else "", active, values)

    def symbol(self, spec_name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return an argument or a table of that name. Raises: Unprintable if its values cannot be either."""
        known = self.known(spec_name, active, values)
        if known is not None:
            return known
        if any(isinstance(value, list | tuple | dict) for value in values):
            return self._table(spec_name, active, values)
        if not all(isinstance(value, int | float | str | bool) for value in values):
            raise Unprintable
        if len({isinstance(value, str) for value in values}) > 1:  # `half` here, a number there
            raise Unprintable
        size = self._equal_size(spec_name)
        if size is not None:
            return size
        tree = self.parameter(spec_name, active, values)
        binding = self.by_spec.get(spec_name)
        if binding is not None:  # it may have a value in uses that do not need it
            for use, environment in enumerate(self.environments):
                if binding.values[use] is MISSING:
                    binding.values[use] = value_in(environment, spec_name)
        return tree

    def _equal_size(self, spec_name: str) -> ast.expr | None:
        """Return the argument for a size of an input that a name of the spec equals in every use, if it varies."""
        values = [value_in(environment, spec_name) for environment in self.environments]
        if self.kept is not None or any(type(value) is not int for value in values) or all_same(values):
            return None
        sizes = [name for name in self.arguments if is_size(name)]
        return next((trees.name(name) for name in sizes if same(self.arguments[name].values, values)), None)

    def _table(self, spec_name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return the name of a list or mapping of the spec: local if all uses have the same, else an argument."""
        if not all_same(values):
            if self.kept is not None or not all(map(_is_list_of_numbers, values)):
                raise Unprintable
            return self.parameter(spec_name, active, [tuple(value) for value in values])
        printed = self.free_name(spec_name, "table")
        self.bind(spec_name, printed, range(self.uses), [values[0]] * self.uses)
        self.tables[printed] = values[0]
        return trees.name(printed)


def is_size(argument: str) -> bool:
    """Return whether an argument is called like a size of what a class reads."""
    return argument == "in_features" or argument.endswith("_channels")


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) in (int, float) for item in value)


class LoopBindings(Bindings):
    """The names in the body of a loop; `parent_uses` says of each of its uses in which use of `parent` it runs.

    What it cannot express becomes a column of the table that the loop runs over.
    """

    def __init__(
        self, parent: LoopBindings | ClassBindings, parent_uses: Sequence[int], environments: Sequence[Environment]
    ) -> None:
        super().__init__(environments)
        self.parent: LoopBindings | ClassBindings = parent
        self.parent_uses = list(parent_uses)
        self.columns: list[Binding] = []

    @property
    def of_class(self) -> ClassBindings:
        """The names of the class that the loop is in."""
        return self.parent.of_class

    def free_name(self, name: str, kind: str) -> str:
        """Return a name that the code around the loop does not have: one would hide the other."""
        for candidate in (name, *("ijk" if name == "index" else ())):
            if not self._is_around(value_name(candidate)):
                return self.of_class.free_name(candidate, kind)
        return self.of_class.free_name(numbered(value_name(name), self._is_around), kind)

    def _is_around(self, name: str) -> bool:
        here: Bindings | None = self
        while isinstance(here, LoopBindings):
            if name in here.by_name:
                return True
            here = here.parent
        return False

    def lookup(self, name: str, use: int) -> Any:
        """Return the value of a name of the loop, or of the code around it."""
        if name in self.by_name:
            return super().lookup(name, use)
        return self.parent.lookup(name, self.parent_uses[use])

    def derived(self, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """Return how whole numbers follow from a name that is there, or double or halve from copy to copy."""
        return super().derived(active, values) or self._doubled(active, values)

    def _doubled(self, active: Sequence[int], values: Sequence[Any]) -> ast.expr | None:
        """Return `64 * 2**index` or `56 // 2**index`, if that gives three numbers or more."""
        index = self.by_spec.get("index")
        if index is None or any(type(value) is not int or value < 1 for value in values) or len(set(values)) < 3:
            return None
        numbers = [index.values[use] for use in active]
        power = ast.BinOp(ast.Constant(2), ast.Pow(), trees.name(index.name))
        for op, start in (
            (ast.Mult(), values[0] >> numbers[0]),
            (ast.FloorDiv(), max(value << number for value, number in zip(values, numbers, strict=True))),
        ):
            tree = ast.BinOp(ast.Constant(start), op, power)
            if self.holds(tree, active, values):
                return tree
        return None

    def projected(self, active: Sequence[int], values: Sequence[Any]) -> tuple[list[int], list[Any]] | None:
        """Return uses and values of the parent, if the values do not differ between the copies."""
        found: dict[int, Any] = {}
        for use, value in zip(active, values, strict=True):
            if not same(found.setdefault(self.parent_uses[use], value), value):
                return None
        return list(found), list(found.values())

    def symbol(self, spec_name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return a symbol of the code around the loop, if the copies do not differ in it; else a column."""
        known = self.known(spec_name, active, values)
        if known is not None:
            return known
        outer = self.projected(active, values)
        if outer is not None:
            tree = self.parent.symbol(spec_name, *outer)
            if self.holds(tree, active, [plain(value) for value in values]):
                return tree
        if not all(isinstance(value, int | float | str | bool) for value in values):
            raise Unprintable
        return self.parameter(spec_name, active, values)

    def parameter(self, name: str, active: Sequence[int], values: Sequence[Any]) -> ast.expr:
        """Return a parameter of the code around the loop, if the copies do not differ in it; else a column."""
        for value in values:
            literal(value)
        outer = self.projected(active, values)
        if outer is not None:
            tree = self.parent.express(*outer, [], name)
            if self.holds(tree, active, values):
                return tree
        known = self.known(name, active, values)
        if known is not None:
            return known
        printed = self.free_name(name, loop_kind(values))
        self.columns.append(self.bind(name if name not in self.by_spec else "", printed, active, values))
        return trees.name(printed)


def loop_kind(values: Sequence[Any]) -> str:
    """Return the kind of a loop's variable: loops that follow each other may share a name for values of one type."""
    return f"loop over {type(values[0]).__name__ if values else 'nothing'}"


def value_in(environment: Environment, spec_name: str) -> Any:
    """Return the value of a name of the spec, if it has one that can be an argument; else MISSING."""
    try:
        value = environment.lookup(spec_name)
    except (Complaint, UnknownShape):
        return MISSING
    return value if isinstance(value, int | float | str | bool) else MISSING


def _fits(found: Any, wanted: Any) -> bool:
    """Return whether torch takes one for the other: an integer stands for a float."""
    return same(found, wanted) or (type(found) is int and type(wanted) is float and found == wanted)


def plain(value: Any) -> Any:
    """Return a value with lists as tuples, as torch calls have them; symbolic numbers as plain ones."""
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value
