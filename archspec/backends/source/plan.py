"""From a graph to classes: one for each block, what differs between its uses as arguments.

The structure comes from the steps of the spec, the values from the elaborated graph. Where the uses of a block differ
in ways that one class cannot say, it becomes several. `build.py` and `forward.py` write down what stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archspec.backends.source.context import MISSING, CannotPlan, ClassContext
from archspec.backends.source.expressions import literal, same
from archspec.backends.source.frame import Frame
from archspec.backends.source.items import ClassPlan, Val, needed, used_names
from archspec.backends.source.naming import Names, class_name
from archspec.backends.source.steps import StepPlanner
from archspec.backends.source.structure import (
    Tree,
    all_steps,
    common_shape,
    environment_of,
    everything_in,
    flat,
    name_of,
    positional,
    structure,
)
from archspec.expressions import Environment
from archspec.graph import Graph, Scope
from archspec.program.steps import BlockProgram, Step


class Planner(StepPlanner):
    """Makes the classes of one network. `graphs` are the network, and the same with other values of what is kept:
    params of the spec that are to be arguments of the network's class."""

    def __init__(self, graphs: Sequence[Graph], steps: list[Step], description: str, kept: Sequence[str]) -> None:
        self.graphs, self.steps, self.kept = graphs, steps, kept
        self.tree = Tree(graphs)
        self.owner = {}
        self.classes: list[ClassPlan] = []
        self.class_of: dict[int, ClassPlan] = {}
        self.names = Names(frozenset({"DropPath", "Scale", "F"}))
        self.top_name = self.names.unique(class_name(graphs[0].name, description))

    # The network.

    def run(self) -> ClassPlan:
        """Plan the network's class, which is the last of `classes`."""
        graph = self.graphs[0]
        environments = [environment_of(root) for root in self.tree.roots]
        plan = ClassPlan(self.top_name, ClassContext(environments, frozenset(self.kept)))
        plan.input_names = list(graph.inputs)
        rows = range(len(self.tree.roots))
        for name, shape in graph.inputs.items():
            plan.inputs.append(Val(dict.fromkeys(rows, name), label=name, shape=shape))
        self.owner = dict(enumerate(self.tree.roots))
        frame = Frame(plan.context, rows, list(plan.inputs), plan.inputs[0], chain=False)
        plan.items = self.steps_of(self.steps, {row: root.items for row, root in enumerate(self.tree.roots)}, frame)
        outputs = {name: frame.find(rows, [other.outputs[name] for other in self.graphs]) for name in graph.outputs}
        plan.results = list(outputs.values())
        plan.outputs = outputs if len(outputs) > 1 else None
        self._finish(plan)
        for variable in plan.arguments.values():
            variable.default = variable.values[0]
        self.classes = [*needed(plan, self.classes), plan]
        self.names.taken.update(name for made in self.classes for name in made.context.kinds)
        for made in self.classes[:-1]:
            made.name = self.names.unique(made.name)
        return plan

    # Classes.

    def block_class(self, scope: Scope) -> ClassPlan:
        """The class of a block; made for all uses of the block at the first one."""
        if id(scope) not in self.class_of:
            definition = scope.definition
            assert isinstance(definition, BlockProgram)
            scopes = self.tree.blocks[id(definition)]
            self.make_classes(scopes, definition.steps, definition.name, list(definition.inputs))
        return self.class_of[id(scope)]

    def make_classes(
        self, scopes: list[Scope], steps: list[Step], name: str, inputs: list[str], unroll: bool = False
    ) -> None:
        """One class for these scopes, or several where they are too different.

        First all of them together, then those of one structure, in the end those that are wholly alike.
        """
        level: list[list[Scope]] = [scopes]
        for signature in (None, structure, everything_in):
            pending, level = level, []
            for some in pending:
                split: dict[Any, list[Scope]] = {}
                for scope in some:
                    split.setdefault(signature(scope) if signature else 0, []).append(scope)
                for part in split.values():
                    try:
                        self._class(part, steps, name, inputs, unroll)
                    except CannotPlan:
                        level.append(part)
            if not level:
                return
        raise CannotPlan

    def _class(self, scopes: list[Scope], steps: list[Step], name: str, inputs: list[str], unroll: bool) -> None:
        """One class for these scopes; CannotPlan where it cannot be one."""
        reads = [
            self.tree.externals(scope) if unroll or scope.kind != "block" else self.tree.placed[id(scope)].reads
            for scope in scopes
        ]
        if len({len(paths) for paths in reads}) != 1:
            raise CannotPlan
        first: CannotPlan | None = None
        for chain in self._modes(scopes, steps, unroll):
            try:
                plan = self._plan_class(scopes, steps, inputs, reads, unroll, chain)
                break
            except CannotPlan as error:
                first = error
        else:
            raise first or CannotPlan
        plan.name = class_name(name)
        for scope in scopes:
            self.class_of[id(scope)] = plan
        self.classes.append(plan)

    def _modes(self, scopes: list[Scope], steps: list[Step], unroll: bool) -> tuple[bool, ...]:
        """Whether to plan a chain (a subclass of nn.Sequential), and what to try next."""
        inside = [placed for scope in scopes for placed in flat(scope.items)]
        numbers = any(name_of(placed).isdecimal() for placed in inside)
        repeats = any(step.repeat is not None and step.siblings for step in all_steps(steps))
        if unroll:
            return (False,)
        return (True, False) if numbers or repeats else (False, True)

    def _plan_class(
        self,
        scopes: list[Scope],
        steps: list[Step],
        inputs: list[str],
        reads: list[tuple[str, ...]],
        unroll: bool,
        chain: bool,
    ) -> ClassPlan:
        """One attempt at a class. `inputs` are their names in the spec, `reads` what each scope is given as these."""
        context = ClassContext([environment_of(scope) for scope in scopes])
        plan = ClassPlan("", context, chain=chain, row_of={id(scope): row for row, scope in enumerate(scopes)})
        rows = range(len(scopes))
        self._add_inputs(plan, scopes, inputs, reads)
        plan.named = chain and not all(positional(scope.items) for scope in scopes)
        relative = [[path[len(scope.path) + 1 :] for path in self.tree.exposed.get(id(scope), ())] for scope in scopes]
        plan.exposed = list(dict.fromkeys(path for paths in relative for path in paths))
        if chain and (len(plan.inputs) != 1 or plan.exposed):
            raise CannotPlan
        frame = Frame(context, rows, list(plan.inputs), plan.inputs[0], chain=chain, named=plan.named)
        saved, self.owner = self.owner, dict(enumerate(scopes))
        try:
            placed = {row: scope.items for row, scope in enumerate(scopes)}
            plan.items = self.unrolled_all(placed, frame) if unroll else self.steps_of(steps, placed, frame)
        finally:
            self.owner = saved
        result = frame.find(rows, [self.tree.placed[id(scope)].result for scope in scopes])
        if chain and result is not frame.previous:
            raise CannotPlan
        plan.results = [result]
        for path in plan.exposed:
            plan.results.append(frame.find(rows, [f"{scope.path}.{path}" for scope in scopes]))
        self._finish(plan)
        return plan

    def _add_inputs(self, plan: ClassPlan, scopes: list[Scope], names: list[str], reads: list[tuple[str, ...]]) -> None:
        """The inputs of a class; where the scopes differ in the channels of one, these are an argument."""
        count = len(reads[0])
        numbered = ["x"] if count == 1 else [f"x{k + 1}" for k in range(count)]
        plan.input_names = names if len(names) == count else numbered
        rows = range(len(scopes))
        for k, name in enumerate(plan.input_names):
            shapes = [self.tree.shape(scope, reads[row][k]) for row, scope in enumerate(scopes)]
            val = Val({row: reads[row][k] for row in rows}, label="x", shape=common_shape(shapes))
            channels = [shape[0] for shape in shapes]
            if all(size == channels[0] for size in channels):
                val.channels = [literal(channels[0])]
            else:
                label = f"{name}_channels" if count > 1 else "in_channels"
                val.channels = [plan.context.add_argument(label, f" {k}", rows, channels)]
            plan.inputs.append(val)

    def _finish(self, plan: ClassPlan) -> None:
        """Leave out arguments that nothing uses, give the others their defaults, and put them in order."""
        used = used_names(plan.items)
        for printed, variable in plan.context.arguments.items():
            if printed in used:
                variable.values = variable.fill()
                plan.arguments[printed] = variable
                plan.origin[printed] = plan.context.origins[printed]
        definition = next((owner.definition for owner in self._owners(plan)), None)
        declared: list[str] = []
        if isinstance(definition, BlockProgram):
            declared = list(definition.params)
            _set_defaults(plan, definition)

        def place(printed: str) -> tuple[bool, int]:
            origin = plan.origin[printed]
            if plan.name == self.top_name:
                return False, self.kept.index(origin)
            order = -1 if origin.startswith(" ") else declared.index(origin) if origin in declared else len(declared)
            return plan.arguments[printed].default is not MISSING, order

        plan.arguments = {printed: plan.arguments[printed] for printed in sorted(plan.arguments, key=place)}

    def _owners(self, plan: ClassPlan) -> Iterator[Scope]:
        """The uses of a block that a class is made for."""
        for scopes in self.tree.blocks.values():
            for scope in scopes:
                if id(scope) in plan.row_of:
                    yield scope


def _set_defaults(plan: ClassPlan, definition: BlockProgram) -> None:
    """The spec's own defaults, where a use of the block has that value."""
    for printed, variable in plan.arguments.items():
        default = definition.params.get(plan.origin[printed])
        if default is not None and default.constant:
            value = default.evaluate(Environment({}))
            if any(same(value, other) for other in variable.values):
                variable.default = value
