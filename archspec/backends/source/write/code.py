"""Expressions and torch calls as code to lay out."""

from __future__ import annotations

import ast

from archspec.backends.source.plan.ir import CallPlan, Free, Leaf, Reuse, Statement
from archspec.backends.source.trees import binary, equal, equal_sums, name, names_in, text
from archspec.backends.source.write.layout import Brackets, Comprehension, Doc, Named, Text
from archspec.ops.torch_api import FUNCTIONS, IDENTITY, REQUIRED, SIGNATURES


def expression(tree: ast.expr) -> Doc:
    """Return an expression to lay out."""
    match tree:
        case ast.Tuple() if len(tree.elts) > 1:
            return Brackets("(", [expression(item) for item in tree.elts], ")")
        case ast.List() if tree.elts:
            return Brackets("[", [expression(item) for item in tree.elts], "]", tall=len(tree.elts) > 1)
        case ast.Dict() if tree.keys:
            pairs = zip(tree.keys, tree.values, strict=True)
            items = [Named(f"{text(key)}: ", expression(value)) for key, value in pairs if key is not None]
            return Brackets("{", items, "}", tall=True)
        case ast.ListComp(elt=element, generators=loops) if not any(loop.ifs for loop in loops):
            first, *more = [f"for {text(loop.target)} in {text(loop.iter)}" for loop in loops]
            return Brackets("[", [Comprehension(expression(element), first, more=tuple(more))], "]")
    return Text(text(tree))


def loop_source(code: str) -> Doc:
    """Return what a loop runs over with the colon behind it, calls such as `enumerate(zip(...))` to break apart."""
    return _call(ast.parse(code, mode="eval").body, code, ":")


def _call(tree: ast.expr, code: str, tail: str) -> Doc:
    if not isinstance(tree, ast.Call):
        return Text(f"{ast.get_source_segment(code, tree)}{tail}")
    keywords = [Named(f"{each.arg}=", _call(each.value, code, "")) for each in tree.keywords]
    items = [*(_call(each, code, "") for each in tree.args), *keywords]
    return Brackets(f"{ast.get_source_segment(code, tree.func)}(", items, f"){tail}")


def call_arguments(target: str, arguments: dict[str, ast.expr], after_inputs: bool = False) -> list[Doc]:
    """Return the arguments of a torch call, without those at torch's default. A function's stand `after_inputs`.

    What is required is given by place, and so is a constructor's first argument; from the first gap on, all by name.
    An argument with a well-known place is given by place too, if it is an expression.
    """
    found: list[Doc] = []
    by_place = True
    signature, call = SIGNATURES[target], CallPlan(target, arguments)
    for key, default in signature.parameters.items():
        tree = arguments.get(key)
        if tree is None or call.is_default(key) and key not in signature.always:
            by_place = False
            continue
        first = not found and not after_inputs
        known = key in signature.by_place and not isinstance(tree, ast.Constant)
        by_place = by_place and key not in signature.by_name and (default is REQUIRED or first or known)
        code = expression(_shortest(target, key, tree))
        found.append(code if by_place else Named(f"{key}=", code))
    return found


def _shortest(target: str, key: str, tree: ast.expr) -> ast.expr:
    """Return a padding that is the same on all sides as its one number, as torch's padding modules take it."""
    if key == "padding" and isinstance(tree, ast.Tuple) and len(tree.elts) in (2, 4, 6) and "Pad" in target:
        if all(equal(item, tree.elts[0]) for item in tree.elts):
            return tree.elts[0]
    return tree


def tensor(free: Free) -> Doc:
    """Return the code that makes a free tensor."""
    doc: Doc | None = None
    for call in free.calls:
        short = call.target.removeprefix("torch.")
        size = call.arguments.get("size")
        if short in ("empty", "ones", "zeros") and isinstance(size, ast.Tuple):
            doc = Brackets(f"{call.target}(", [expression(item) for item in size.elts])
        else:
            inputs = [] if doc is None else [doc]
            arguments = {key: _listed(tree) if key == "data" else tree for key, tree in call.arguments.items()}
            doc = Brackets(f"{call.target}(", [*inputs, *call_arguments(call.target, arguments, bool(inputs))])
    assert doc is not None
    return Brackets("nn.Parameter(", [doc]) if free.trained else doc


def _listed(tree: ast.expr) -> ast.expr:
    """Return nested tuples as nested lists."""
    return ast.List([_listed(item) for item in tree.elts], ast.Load()) if isinstance(tree, ast.Tuple) else tree


def slice_bounds(leaf: Leaf, call: CallPlan) -> dict[str, ast.expr]:
    """Return where the slice of a `torch.narrow` starts and stops, without what is the end of the axis anyway."""
    start, length, dim = (call.arguments[key] for key in ("start", "length", "dim"))
    stop = binary(start, ast.Add(), length)
    if isinstance(start, ast.Constant) and isinstance(length, ast.Constant):
        stop = ast.Constant(ast.literal_eval(start) + ast.literal_eval(length))
    read, axis = leaf.reads[0], max(ast.literal_eval(dim) - 1, -1)
    sizes = [tree for tree in (read.sizes[axis:] if axis < 0 else read.sizes[axis : axis + 1]) if tree is not None]
    sizes += [ast.Constant(read.shape[axis])] if read.shape is not None else []
    found = {"start": start, "stop": stop}
    if isinstance(start, ast.Constant) and start.value == 0:
        del found["start"]
    if any(equal_sums(stop, size) for size in sizes):
        del found["stop"]
    return found


def is_function(statement: Statement) -> bool:
    """Return whether `forward` calls a function for a statement, and `__init__` knows nothing of it."""
    if not isinstance(statement, Leaf):
        return isinstance(statement, Reuse)
    call = statement.module()
    if call is None:
        return True
    constant = not any(names_in(tree) for tree in call.arguments.values())
    plain = call.target in FUNCTIONS or call.target == IDENTITY
    return not statement.explicit and statement.op.functional and plain and constant


def module_of(call: CallPlan) -> CallPlan | None:
    """Return the module that does what a function does; None if there is none."""
    match call.target:
        case "torch.permute":
            return CallPlan("Permute", call.arguments)
        case "torch.flatten":
            return CallPlan("nn.Flatten", {})
        case "F.pad":
            return _pad_module(call)
    return call if call.makes_module else None


def _pad_module(call: CallPlan) -> CallPlan:
    pad = call.arguments["pad"]
    rank = len(pad.elts) // 2 if isinstance(pad, ast.Tuple) else 2
    value = call.arguments.get("value")
    if value is None:
        return CallPlan(f"nn.ZeroPad{rank}d", {"padding": pad})
    return CallPlan(f"nn.ConstantPad{rank}d", {"padding": pad, "value": value})


def attribute(text_: str) -> ast.expr:
    """Return `self.name`."""
    return ast.Attribute(name("self"), text_, ast.Load())
