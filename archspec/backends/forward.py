"""Plans of forwards, and the modules that torch.fx makes of them: straight-line code, no interpreter."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, ClassVar

import torch
from torch import fx, nn
from torch.nn import functional

from archspec.ops.torch_api import OPERATORS, numbers_of

# Words that the code which fx writes uses itself: an argument of forward must not hide them.
TAKEN = frozenset({"self", "torch", "getattr", "device", "inf", "nan", "NoneType", "fx_pytree", "pytree", "operator"})


@dataclass(frozen=True)
class Step:
    """One line of a forward.

    `target` is a child's name if `arguments` is None, else a function, or `attribute` for a tensor of the module.
    `reads` are the numbers of values: first the inputs are numbered, then the steps.
    """

    name: str
    target: str
    reads: tuple[int, ...]
    arguments: tuple[tuple[str, Any], ...] | None = None
    listed: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    """Keywords that a child is given."""
    size_of: int | None = None
    """The number of a value whose spatial axes are the argument `size` of a function."""
    unread: frozenset[int] = frozenset()
    """The positions of reads that a child does without in evaluation: it is given None there."""


@dataclass(frozen=True)
class Plan:
    """The forward of a scope as plain data.

    It returns one value as it is, several as a tuple, or as a dict if `names` gives their names. `evaluated` are the
    positions of those among them that evaluation needs, where it does not need all: the others are None then, and left
    out of a dict; a single one that is left of a dict is returned as it is.
    """

    class_name: str
    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    returns: tuple[int, ...]
    names: tuple[str, ...] | None = None
    evaluated: tuple[int, ...] | None = None
    pruned: bool = False
    """Whether steps may be left out that nothing reads: of a module that is built for some features."""


class Lowered(nn.Module):
    """A module whose forward came from a plan. Its classes are made as they are needed, so it is pickled by its plan.

    Its attributes have names that no step can have.
    """

    __plan__: ClassVar[Plan]
    __left_out__: frozenset[str] = frozenset()
    """Keys of the network's state_dict for which this module, built for some features of it, has no place."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self).__plan__,), self.__getstate__()  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1024)
def class_of(plan: Plan) -> type[Lowered]:
    """Return the class of the modules with this plan."""
    return new_class(plan)


def new_class(plan: Plan) -> type[Lowered]:
    """Return a class of its own for a plan."""
    namespace = {"__plan__": plan, "forward": _forward(plan), "__module__": __name__, "__doc__": "Lowered from a spec."}
    if plan.evaluated is not None:
        namespace["__in_training__"] = namespace["forward"]
        namespace["__in_evaluation__"] = _forward(plan, plan.evaluated)
        inputs = ", ".join(plan.inputs)
        code = (
            f"def forward(self, {inputs}):\n"
            f"    return self.__in_training__({inputs}) if self.training else self.__in_evaluation__({inputs})\n"
        )
        made: dict[str, Any] = {}
        exec(code, made)  # noqa: S102 fx writes the others so; the names are checked
        namespace["forward"] = made["forward"]
    return type(plan.class_name, (Lowered,), namespace)


def _blank(plan: Plan) -> Lowered:
    """Return an instance without state, for unpickling to fill."""
    made = class_of(plan)
    return made.__new__(made)


def _forward(plan: Plan, evaluated: tuple[int, ...] | None = None) -> Callable[..., Any]:
    """Return the function that a plan describes, as fx writes it. It reads children as attributes of `self`.

    With `evaluated`, it is that of evaluation, which needs these of the results only.
    """
    graph = fx.Graph()
    values = [graph.placeholder(name) for name in plan.inputs]
    for step in plan.steps:
        reads = [values[number] for number in step.reads]
        name = "value" if step.name in TAKEN else step.name
        if step.arguments is None:
            unread = step.unread if evaluated is not None else ()
            given = tuple(None if place in unread else read for place, read in enumerate(reads))
            values.append(graph.create_node("call_module", step.target, given, dict(step.options), name))
        else:
            like = None if step.size_of is None else values[step.size_of]
            values.append(_function_node(graph, step, reads, name, like))
    results = [values[number] for number in plan.returns]
    if plan.names is not None and evaluated is not None and len(evaluated) == 1:
        graph.output(results[evaluated[0]])
    elif plan.names is not None:
        named = dict(zip(plan.names, results, strict=True))
        graph.output({plan.names[place]: results[place] for place in evaluated} if evaluated else named)
    elif evaluated is not None:
        graph.output(tuple(result if place in evaluated else None for place, result in enumerate(results)))
    else:
        graph.output(results[0] if len(results) == 1 else tuple(results))
    for node in reversed(graph.nodes) if plan.pruned or evaluated is not None else ():
        if node.op not in ("placeholder", "output") and not node.users:
            graph.erase_node(node)
    # An empty GraphModule is the public way to the compiled code. The modules are not its own: it has attributes
    # (`code`, `graph`, `meta`) whose names a step may bear.
    holder = fx.GraphModule(nn.Module(), fx.Graph())
    holder.graph = graph
    return type(holder).forward


def _function_node(
    graph: fx.Graph, step: Step, reads: list[fx.Node], name: str, like: fx.Node | None = None
) -> fx.Node:
    arguments: dict[str, Any] = dict(step.arguments or ())
    if step.target == "attribute":
        return graph.create_node("get_attr", arguments["name"], (), {}, name)
    if step.target == "expand":
        size = graph.create_node("call_method", "size", (reads[1], 0), {}, "batch")
        return graph.create_node("call_method", "expand", (reads[0], size, *[-1] * arguments["axes"]), {}, name)
    if like is not None:
        shape = graph.create_node("call_function", getattr, (like, "shape"), {})
        arguments = {
            "size": graph.create_node("call_function", operator.getitem, (shape, slice(2, None)), {}),
            **arguments,
        }
    if step.target == "item":
        return graph.create_node("call_function", operator.getitem, (reads[0], arguments["position"]), {}, name)
    if step.target in OPERATORS:
        if axes := step.target.count(":"):
            reads = [reads[0], (*[slice(None)] * axes, reads[1])]  # type: ignore[list-item]
        between = OPERATORS[step.target]
        operands: list[Any] = list(reads)
        for place, number in numbers_of(arguments):
            operands.insert(place, number)
        found: fx.Node = reduce(lambda a, b: graph.create_node("call_function", between, (a, b), {}, name), operands)
        return found
    family, _, word = step.target.rpartition(".")
    function = getattr(functional if family == "F" else torch, word)
    return graph.create_node("call_function", function, (reads,) if step.listed else tuple(reads), arguments, name)
