"""The classes of a file: one for each block, for the network, and for scopes that cannot be an `nn.Sequential`.

A class is planned for all uses of a block at once. Where they are too different for one piece of code, those of one
structure get a class of their own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from archspec.backends.source.identifiers import class_name, numbered
from archspec.backends.source.plan.axes import axis_names
from archspec.backends.source.plan.bindings import MISSING, CannotPlan, ClassBindings, is_size, value_in
from archspec.backends.source.plan.cursor import Cursor, Sight, common_shape
from archspec.backends.source.plan.ir import Branch, ClassPlan, Instance, Let, Slot, Statement, names_used, walk
from archspec.backends.source.plan.leaves import label_of
from archspec.backends.source.plan.loops import Unroll
from archspec.backends.source.plan.steps import StepPlanner, is_numbered
from archspec.backends.source.plan.unused import drop_unused
from archspec.backends.source.trees import Unprintable, all_same, literal, same
from archspec.backends.source.uses.alike import distinct, split
from archspec.backends.source.uses.elements import chain_layout, elements
from archspec.backends.source.uses.trace import (
    Trace,
    all_steps,
    environment_of,
    flat,
)
from archspec.expressions import Environment
from archspec.graph import Node, Scope
from archspec.program.steps import BlockProgram, Program, ScopeStep, Step, Value


class Planner(StepPlanner):
    """Plans the classes of a network. `kept` are the params that its class has as arguments, with their values."""

    def __init__(self, trace: Trace, program: Program, kept: Mapping[str, Sequence[Any]]) -> None:
        self.trace, self.network_steps, self.params, self.kept = trace, program.steps, program.params, kept
        self.classes: list[ClassPlan] = []
        self._class_of: dict[Scope, tuple[ClassPlan, int]] = {}
        self._spelling = ""

    def network(self, name: str) -> list[ClassPlan]:
        """Return the classes, those that a class needs before it, the network's own last.

        Raises: Open if a param that is kept cannot be an argument.
        """
        self._spelling = name
        unrolled: frozenset[Step] = frozenset()
        while True:
            known = dict(self._class_of), list(self.classes)
            try:
                plan = self._network(name, unrolled)
                break
            except Unroll as error:
                unrolled |= {error.step}
                self._class_of, self.classes = known
        return [*_needed(plan, self.classes), plan]

    def _network(self, name: str, unrolled: frozenset[Step]) -> ClassPlan:
        graph, uses = self.trace.graphs[0], range(len(self.trace.roots))
        bindings = ClassBindings([environment_of(root) for root in self.trace.roots], self.kept)
        plan = ClassPlan(name, bindings, is_network=True, input_names=list(graph.inputs))
        plan.register = graph.register.get("", ())
        sight = Sight()
        for input_name, shape in graph.inputs.items():
            sizes = tuple(map(literal, shape))
            plan.inputs.append(Slot(dict.fromkeys(uses, input_name), sizes, input_name, True, shape))
            sight.add(plan.inputs[-1])
        owners = dict(enumerate(self.trace.roots))
        cursor = Cursor(self.trace, bindings, uses, sight, plan.inputs[0], owners, unrolled=unrolled)
        plan.statements = self._derived_params(cursor)
        entries = {use: root.items for use, root in enumerate(self.trace.roots)}
        plan.statements += self.steps(self.network_steps, entries, cursor)
        for output in graph.outputs:
            plan.results.append(cursor.find(uses, [other.outputs[output] for other in self.trace.graphs]))
        plan.outputs = tuple(graph.outputs) if len(graph.outputs) > 1 else None
        plan.training = graph.training
        self._finish(plan, None)
        order = list(self.kept)
        plan.arguments = dict(sorted(plan.arguments.items(), key=lambda entry: order.index(bindings.origins[entry[0]])))
        for binding in plan.arguments.values():
            binding.default = binding.values[0]
        return plan

    def _derived_params(self, cursor: Cursor) -> list[Statement]:
        """Return local values for params that follow from those that are kept."""
        environments = {use: environment_of(root) for use, root in enumerate(self.trace.roots)}
        found: list[Statement] = []
        for name, value in self.params.items():
            values = [environments[use].lookup(name) for use in cursor.active]
            if value.constant or all_same(values) or not all(isinstance(each, int | float) for each in values):
                continue
            found += _local(name, value, values, environments, cursor)
        return found

    # Classes of scopes.

    def class_of(self, scope: Scope) -> tuple[ClassPlan, int]:
        """Return the class of a scope, and which of its uses the scope is."""
        if scope not in self._class_of:
            definition = scope.definition
            assert isinstance(definition, BlockProgram)
            uses, index = distinct(self.trace, self.trace.blocks[definition])
            self._plan(uses, definition.steps, definition.name, list(definition.inputs))
            for each, place in index.items():
                self._class_of[each] = self._class_of[uses[place]]
        return self._class_of[scope]

    def plan_scopes(self, scopes: list[Scope], step: Step) -> None:
        """Give scopes that one step made classes of their own, or one for all."""
        if all(scope in self._class_of for scope in scopes):
            return
        steps = step.steps if isinstance(step, ScopeStep) else []
        self._plan(scopes, steps, _scope_name(step, scopes[0]), [])

    def _plan(self, scopes: list[Scope], steps: list[Step], name: str, inputs: list[str]) -> None:
        """Plan one class for scopes; if they differ too much, one for those of each structure, then for equal ones."""
        last: CannotPlan | None = None
        for closely in (None, False, True):
            groups = [scopes] if closely is None else split(scopes, closely)
            try:
                planned = [(self._class(group, steps, inputs), group) for group in groups]
            except CannotPlan as error:
                last = error
                continue
            for number, (plan, group) in enumerate(planned):
                full = f"{name}_{_distinction(group, scopes)}" if number else name
                plan.name = class_name(full, self._spelling)
                self.classes.append(plan)
                for use, scope in enumerate(group):
                    self._class_of[scope] = plan, use
            return
        assert last is not None
        raise last

    def _class(self, scopes: list[Scope], steps: list[Step], inputs: list[str]) -> ClassPlan:
        """Plan a class: with a name for each axis of its inputs that varies, if it is told fewer numbers so."""
        plan = self._unrolling(scopes, steps, inputs, by_axis=False)
        definition = scopes[0].definition
        mislabelled = self._reads_features_last(plan, scopes)
        if mislabelled or _is_told_shapes(plan, definition.params if isinstance(definition, BlockProgram) else ()):
            other = self._unrolling(scopes, steps, inputs, by_axis=True)
            if _numbers_told(other) < _numbers_told(plan) + mislabelled:
                return other
        return plan

    def _reads_features_last(self, plan: ClassPlan, scopes: list[Scope]) -> bool:
        """Return whether an argument is called the channels of an input whose first axis is its height."""
        for place, _ in plan.size_arguments.values():
            paths = [self.trace.externals(scope)[place] for scope in scopes]
            shapes = [self.trace.shape(scope, path) for scope, path in zip(scopes, paths, strict=True)]
            if axis_names("in", shapes)[0] == "height":
                return True
        return False

    def _unrolling(self, scopes: list[Scope], steps: list[Step], inputs: list[str], *, by_axis: bool) -> ClassPlan:
        unrolled: frozenset[Step] = frozenset()
        while True:
            try:
                return self._attempt(scopes, steps, inputs, unrolled, by_axis=by_axis)
            except Unroll as error:
                unrolled |= {error.step}

    def _attempt(
        self, scopes: list[Scope], steps: list[Step], inputs: list[str], unrolled: frozenset[Step], *, by_axis: bool
    ) -> ClassPlan:
        """Plan a class. `inputs` are their names in the spec. Raises: CannotPlan, Unroll."""
        externals = [self.trace.externals(scope) for scope in scopes]
        if len({len(paths) for paths in externals}) != 1:
            raise CannotPlan
        plan = ClassPlan("", ClassBindings([environment_of(scope) for scope in scopes]))
        plan.base, plan.keyed, plan.cancelled = self._base(scopes, steps)
        plan.register = scopes[0].register
        self._add_inputs(plan, scopes, inputs, externals, by_axis=by_axis)
        plan.exposed = self._exposed(scopes)
        sight = Sight()
        for slot in plan.inputs:
            sight.add(slot)
        owners = dict(enumerate(scopes))
        chain = plan.base == "Sequential"
        cursor = Cursor(
            self.trace,
            plan.bindings,
            range(len(scopes)),
            sight,
            plan.inputs[0],
            owners,
            chain=chain,
            keyed=plan.keyed,
            unrolled=unrolled,
        )
        plan.statements = self._defaults(scopes, cursor)
        entries = {use: scope.items for use, scope in enumerate(scopes)}
        if scopes[0].kind == "repeat":
            step = scopes[0].step
            assert isinstance(step, Step)
            copies = {use: list(flat(items)) for use, items in entries.items()}
            if len({len(made) for made in copies.values()}) != 1:
                raise CannotPlan
            for position in range(len(copies[0])):
                plan.statements += self.single(step, {use: made[position] for use, made in copies.items()}, cursor)
        else:
            plan.statements += self.steps(steps, entries, cursor)
        if plan.base == "ModuleList" and any(isinstance(each, Branch) for each in plan.statements):
            raise CannotPlan("a list of modules has the same modules in every use")
        uses = range(len(scopes))
        plan.results = [cursor.find(uses, [self.trace.applied[scope].result for scope in scopes])]
        for path in plan.exposed:
            plan.results.append(cursor.find(uses, [f"{scope.path}.{path}" for scope in scopes]))
        ends = [self.trace.applied[scopes[0]].result, *(f"{scopes[0].path}.{path}" for path in plan.exposed)]
        plan.labels = [self._result_label(scopes[0], path) for path in ends]
        definition = scopes[0].definition
        if isinstance(definition, BlockProgram) and definition.network is not None:
            plan.stands_for = definition.network.document
        self._finish(plan, definition if isinstance(definition, BlockProgram) else None)
        return plan

    def _result_label(self, scope: Scope, path: str) -> str:
        """Return what to call a value that a class returns; that of a network is called as its feature."""
        names = [name for name, each in scope.gives.items() if each == path and name.isidentifier()]
        return names[0] if names else self.trace.label(self.trace.network[scope], path, scope)

    def _exposed(self, scopes: Sequence[Scope]) -> list[str]:
        """Return the values in scopes, by their paths within, that something outside of one of them reads."""
        found: dict[str, None] = {}
        for scope in scopes:
            found.update(dict.fromkeys(path[len(scope.path) + 1 :] for path in self.trace.exposed.get(scope, ())))
        return list(found)

    def _base(self, scopes: list[Scope], steps: list[Step]) -> tuple[str, bool, bool]:
        """Return what a class inherits from, whether its modules have names, and whether permutes cancel out."""
        layout = chain_layout(scopes) if all(map(self.trace.straight, scopes)) else None
        if layout is not None and not layout.keyed and any(_is_numbered_chain(scope) for scope in scopes):
            return "Sequential", False, layout.cancelled
        repeats = any(step.repeat is not None and step.siblings for step in all_steps(steps))
        if layout is not None and repeats and max(_length(scope) for scope in scopes) > MANY:
            return "Sequential", True, False
        if all(is_numbered(scope) and not scope.register for scope in scopes):
            return "ModuleList", False, True
        return "Module", False, True

    def _add_inputs(
        self,
        plan: ClassPlan,
        scopes: list[Scope],
        names: list[str],
        externals: list[tuple[str, ...]],
        *,
        by_axis: bool,
    ) -> None:
        """Give a class its inputs; if the scopes differ in the channels of one, these are an argument.

        So are its other axes, if `by_axis`.
        """
        count = len(externals[0])
        if len(names) != count:
            names = ["x"] if count == 1 else self._input_names(scopes[0], externals[0])
        plan.input_names = names
        uses = range(len(scopes))
        for place, name in enumerate(names):
            paths = {use: externals[use][place] for use in uses}
            shapes = [self.trace.shape(scope, paths[use]) for use, scope in enumerate(scopes)]
            slot = Slot(paths, label=name, named=True, shape=common_shape(shapes))
            if len({len(shape) for shape in shapes}) == 1:
                stem = name if count > 1 else "in"
                called = axis_names(stem, shapes) if by_axis else [f"{stem}_channels"]
                slot.sizes = tuple(
                    self._size(plan, called, place, axis, [shape[axis] for shape in shapes])
                    for axis in range(len(shapes[0]))
                )
            plan.inputs.append(slot)

    @staticmethod
    def _size(plan: ClassPlan, names: Sequence[str], place: int, axis: int, values: list[int]) -> Any:
        """Return the expression of an input's axis: a literal, an argument if `names` has it, else None."""
        if all_same(values):
            return literal(values[0])
        if axis >= len(names):
            return None
        tree = plan.bindings.named(range(len(values)), values) if axis else None
        tree = tree or (plan.bindings.derived(range(len(values)), values) if place else None)
        if tree is None:
            tree = plan.bindings.add_argument(names[axis], "", range(len(values)), values)
            plan.bindings.axes |= {tree.id} if len(names) > 1 else set()  # type: ignore[attr-defined]
            plan.size_arguments[tree.id] = place, axis  # type: ignore[attr-defined]
        return tree

    def _input_names(self, scope: Scope, externals: Sequence[str]) -> list[str]:
        """Return names for what a scope reads from outside: those of the steps that made it."""
        found: list[str] = []
        for path in externals:
            name = self.trace.label(self.trace.network[scope], path, scope)
            found.append(numbered(name if not name.isdecimal() else f"x{name}", found.__contains__))
        return found

    def _defaults(self, scopes: list[Scope], cursor: Cursor) -> list[Statement]:
        """Return local values for params of a block that no use gives, and that follow from others."""
        definition = scopes[0].definition
        if not isinstance(definition, BlockProgram):
            return []
        found: list[Statement] = []
        for name, default in definition.params.items():
            if default is None or default.constant:
                continue
            given = [name in _given(self.trace, scope) for scope in scopes]
            if all(given):
                continue
            values = [environment_of(scope).values.get(name) for scope in scopes]
            if all_same(values) or not all(isinstance(value, bool | int | float | str) for value in values):
                continue
            environments = {use: environment_of(scope) for use, scope in enumerate(scopes)}
            if any(given):
                found += _optional(name, default, values, given, environments, cursor)
            else:
                found += _local(name, default, values, environments, cursor)
        return found

    def _finish(self, plan: ClassPlan, definition: BlockProgram | None) -> None:
        """Leave out arguments that nothing uses, give the others their defaults, and put them in order."""
        bindings = plan.bindings
        drop_unused(plan)
        used = names_used(plan.statements)
        tables = [Let(target=name, value=literal(value), table=True) for name, value in bindings.tables.items()]
        plan.statements[:0] = [table for table in tables if table.target in used]
        plan.arguments = {printed: binding for printed, binding in bindings.arguments.items() if printed in used}
        for binding in plan.arguments.values():
            binding.values = binding.filled()
        if definition is None:
            return
        declared = list(definition.params)
        for printed, binding in plan.arguments.items():
            default = definition.params.get(bindings.origins[printed])
            if default is None and bindings.origins[printed] not in definition.params:
                if set(binding.values) == {False, True} and all(isinstance(value, bool) for value in binding.values):
                    binding.default = False
            if default is not None and default.constant:
                value = default.evaluate(Environment({}))
                if any(same(value, other) for other in binding.values):
                    binding.default = value

        def place(printed: str) -> tuple[bool, int]:
            origin = bindings.origins[printed]
            order = declared.index(origin) if origin in declared else len(declared)
            first = printed in plan.size_arguments or is_size(printed)
            return plan.arguments[printed].default is not MISSING, -1 if first else order

        plan.arguments = {printed: plan.arguments[printed] for printed in sorted(plan.arguments, key=place)}


MANY = 4
"""From how many copies on a chain of named modules is written as a loop."""


def _local(
    name: str, value: Value, values: list[Any], environments: Mapping[int, Environment], cursor: Cursor
) -> list[Statement]:
    """Return a local value of the code for a name of the spec; nothing if the code cannot work it out."""
    try:
        tree = cursor.translated(value, environments)
    except Unprintable:
        return []
    if tree is None or not cursor.bindings.holds(tree, cursor.active, values):
        return []
    printed = cursor.bindings.of_class.free_name(name, "let")
    cursor.bindings.bind(name, printed, cursor.active, values)
    return [Let(target=printed, value=tree)]


def _optional(
    name: str,
    value: Value,
    values: list[Any],
    given: list[bool],
    environments: Mapping[int, Environment],
    cursor: Cursor,
) -> list[Statement]:
    """Return the default of an argument that some uses leave out, and that follows from others."""
    left_out = [use for use in cursor.active if not given[use]]
    inner = cursor.narrowed(left_out)
    try:
        tree = inner.translated(value, {use: environments[use] for use in left_out})
    except Unprintable:
        return []
    if tree is None or not cursor.bindings.holds(tree, left_out, [values[use] for use in left_out]):
        return []
    bindings = cursor.bindings.of_class
    own = [each if here else None for each, here in zip(values, given, strict=True)]
    argument = bindings.add_argument(name, name, cursor.active, own)
    assert isinstance(argument, ast.Name)
    bindings.arguments[argument.id].default = None
    bindings.bind(name, argument.id, cursor.active, values)
    is_none = ast.Compare(argument, [ast.Is()], [ast.Constant(None)])
    return [Let(target=argument.id, value=ast.IfExp(is_none, tree, argument))]


def _is_told_shapes(plan: ClassPlan, declared: Collection[str]) -> bool:
    """Return whether arguments are shapes, or sizes besides those of what a class reads, that the spec does not have.

    `declared` are the params of the block.
    """
    own = [
        name
        for name in plan.arguments
        if plan.bindings.origins[name] not in declared and name not in plan.size_arguments
    ]
    given = [plan.arguments[name].values[0] for name in own]
    return any(isinstance(value, tuple) for value in given) or sum(type(value) is int for value in given) > 1


def _numbers_told(plan: ClassPlan) -> int:
    """Return how many numbers the arguments of a class have in one use."""
    given = [binding.values[0] for binding in plan.arguments.values()]
    return sum(len(value) if isinstance(value, tuple) else 1 for value in given)


def _is_numbered_chain(scope: Scope) -> bool:
    """Return whether a module of a chain has weights and a number for a name."""
    return any(element.stateful and element.name.isdecimal() for element in elements(scope.items) or ())


def _length(scope: Scope) -> int:
    return sum(1 for _ in flat(scope.items))


def _given(trace: Trace, scope: Scope) -> Mapping[str, Any]:
    """Return the arguments that the call of a block gives."""
    step = trace.applied[scope].step
    found: Mapping[str, Any] = getattr(step, "arguments", {})
    return found


def _scope_name(step: Step, scope: Scope) -> str:
    """Return a name for the class of a `sequential` or a repeat.

    That is its name; where it has none, what it does, or the name of the scope around it.
    """
    name = label_of(step)
    if name not in ("layers", "") and not name.isdecimal() and len(name) > 1:
        return name
    last = list(flat(scope.items))[-1:]
    made = last[0].made if last else None
    if isinstance(made, Node) and made.op.op == "add" and set(scope.items[0].reads[:1]) & {*made.inputs}:
        return "residual"
    around = next((each for each in scope.chain() if each is not scope and each.kind != "inline"), None)
    own = scope.path.rpartition(".")[2]
    outer = (around.block or around.path.rpartition(".")[2]) if around is not None else ""
    if outer.isdecimal() or re.fullmatch("(layers|sequential(_[0-9]+)?)?", outer):
        return f"{name}_block" if name and not name.isdecimal() and not own.isdecimal() else "block"
    if own.isdecimal() and outer.endswith("s") and len(outer) > 3:
        return outer.removesuffix("s")
    return f"{outer}_{own}" if own.isdecimal() else f"{outer}_{name}"


def _distinction(group: Sequence[Scope], scopes: Sequence[Scope]) -> str:
    """Return what tells the class of some uses of a block from that of the others: an argument, or else the place."""
    definition, others = group[0].definition, [scope for scope in scopes if scope not in group]
    for name in definition.params if isinstance(definition, BlockProgram) else ():
        values = [value_in(environment_of(scope), name) for scope in group]
        given = [value_in(environment_of(scope), name) for scope in others]
        if all_same(values) and not any(same(values[0], value) for value in given) and type(values[0]) in (bool, int):
            return f"{name}_{values[0]}" if type(values[0]) is int else name if values[0] else f"no_{name}"
    path = group[0].path
    if group[0].parent is not None and group[0].parent.kind == "repeat":
        path = group[0].parent.path
    return "_".join(path.split(".")[-2:])


def _needed(top: ClassPlan, classes: list[ClassPlan]) -> list[ClassPlan]:
    """Return the classes that a network needs, those within a class before it."""
    found: list[ClassPlan] = []

    def visit(plan: ClassPlan) -> None:
        for statement in walk(plan.statements):
            if isinstance(statement, Instance) and statement.plan is not None and statement.plan not in found:
                visit(statement.plan)
                found.append(statement.plan)

    visit(top)
    order = {id(plan): place for place, plan in enumerate(classes)}
    return sorted(found, key=lambda plan: order[id(plan)])
