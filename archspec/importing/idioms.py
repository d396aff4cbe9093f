"""What people write in several ops of torch because it has no op for it: rewritten before the program is read.

Each function of `IDIOMS` looks at one node of the graph, and replaces it where it ends the idiom. A network that cannot
be read with these rewrites is read without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from math import prod
from typing import Any, cast

import torch
from torch import fx

from archspec.importing.stand_ins import NAMESPACE

aten = torch.ops.aten
stand_in = getattr(torch.ops, NAMESPACE)

_RESHAPES = frozenset({"view", "reshape", "_unsafe_view"})
_PRODUCTS = frozenset({"matmul", "bmm"})
_SAME = frozenset({"contiguous", "alias", "clone", "detach"})


def rewritten(graph: fx.Graph) -> fx.Graph:
    """Return a copy of a graph in which each idiom is one op, or the few that say it."""
    found = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    found.output(found.graph_copy(graph, copies))
    for node, copied in copies.items():
        if node.op == "placeholder":
            copied.name = node.name  # by which the signature knows it; a copy of `input` is called `input_1`
    for node in list(found.nodes):
        if node.op == "call_function":
            for idiom in IDIOMS:
                if idiom(node):
                    break
    return found


def _name(node: Any) -> str:
    """Return the name of a node's op, without namespace and overload; empty for what is not a call of an op."""
    schema = getattr(node.target, "_schema", None) if isinstance(node, fx.Node) else None
    return schema.name.rpartition("::")[2] if schema is not None else ""


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _is_tensor(node: Any) -> bool:
    return isinstance(node, fx.Node) and isinstance(node.meta.get("val"), torch.Tensor)


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a node by the names that the schema of its op has for them."""
    schema = cast(Any, node.target)._schema
    names = [argument.name for argument in schema.arguments]
    given = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    return {**given, **dict(zip(names, node.args, strict=False)), **node.kwargs}


def _is_overwritten(node: fx.Node) -> bool:
    """Return whether an op works on a node in place: then it matters when the node is read."""
    return any(_name(user).endswith("_") for user in node.users)


def _operand(node: fx.Node) -> fx.Node:
    return cast(fx.Node, node.args[0])


class _Writer:
    """Adds nodes in front of one, which stand in the module that it stands in."""

    def __init__(self, node: fx.Node) -> None:
        self.node = node

    def add(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a call, with the shape of its result."""
        with self.node.graph.inserting_before(self.node):
            made = self.node.graph.call_function(target, args, kwargs)
        made.meta = {key: value for key, value in self.node.meta.items() if key != "val"}
        values, named = fx.node.map_arg((args, kwargs), lambda each: each.meta["val"])
        fake = self.node.meta["val"].fake_mode
        with fake, torch.no_grad():
            made.meta["val"] = target(*values, **named)
        return made

    def reshaped(self, node: fx.Node, shape: Sequence[int]) -> fx.Node:
        """Return a node in another shape."""
        return node if _shape(node) == tuple(shape) else self.add(aten.reshape.default, node, list(shape))

    def replace(self, by: fx.Node) -> bool:
        """Replace the node, and drop what nothing reads any more."""
        self.node.replace_all_uses_with(by)
        unread = [self.node]
        while unread:
            node = unread.pop()
            if node.users or node.op != "call_function":
                continue
            operands = node.all_input_nodes
            node.graph.erase_node(node)
            # What works in place has a use that no reader shows.
            unread.extend(each for each in operands if not each.users and not _name(each).endswith("_"))
        return True


# Attention.


def attention(node: fx.Node) -> bool:
    """Rewrite `softmax(q @ k.T * scale + bias) @ v` as `scaled_dot_product_attention`.

    The products may be seen in another shape while something is added, if that takes only leading axes apart.
    """
    dropout, weights = 0.0, _factors(node, "ij,jk->ik")[0]
    while _name(weights) in (*_SAME, "dropout"):
        if _name(weights) == "dropout":
            dropout = float(_arguments(cast(fx.Node, weights))["p"])
        weights = _unless_shared(weights)
    if _name(weights) not in ("softmax", "_softmax"):
        return False
    softmax = cast(fx.Node, weights)
    if _arguments(softmax)["dim"] not in (-1, len(_shape(softmax)) - 1):
        return False
    scores = _scores(_operand(softmax))
    values = _factors(node, "ij,jk->ik")[1]
    if scores is None or not _is_tensor(values):
        return False
    write = _Writer(node)
    queries, keys = _factors(scores.product, "id,jd->ij")
    if keys is None:
        queries, keys = _factors(scores.product, "ij,jk->ik")
        keys = write.add(aten.transpose.int, keys, -2, -1)
    scale, queries = _without_factor(queries, scores.scale)
    scale, keys = _without_factor(keys, scale)
    if len({_shape(each)[:-2] for each in (queries, keys, values)}) > 1 or len(_shape(queries)) < 3:
        return False
    if any(map(_is_overwritten, (queries, keys, values, *(each for each, _ in (*scores.factors, *scores.added))))):
        return False
    lead = max(scores.shapes, key=len)[:-2]
    if any(_parts(shape[:-2], lead) is None for shape in scores.shapes):
        return False
    for factor, shape in scores.factors:
        queries = write.reshaped(queries, (*lead, *_shape(queries)[-2:]))
        queries = write.add(aten.mul.Tensor, queries, _factor_among(write, factor, shape, lead))
    reads = [write.reshaped(each, (*lead, *_shape(each)[-2:])) for each in (queries, keys, values)]
    total: fx.Node | None = None
    for bias, shape in scores.added:
        term = _among(write, bias, shape, lead)
        total = term if total is None else write.add(aten.add.Tensor, total, term)
    found = write.add(aten.scaled_dot_product_attention.default, *reads, total, dropout, False, scale=scale)
    return write.replace(write.reshaped(found, _shape(node)))


def _factors(node: Any, sum_: str) -> tuple[Any, Any]:
    """Return the two matrices, with leading axes, of a product that a node is; None for each if it is none.

    Args:
        node: The node.
        sum_: The product as `einsum` has it, without leading axes.
    """
    name = _name(node)
    if name in _PRODUCTS and sum_ == "ij,jk->ik":
        return node.args[0], node.args[1]
    if name == "einsum" and len(node.args[1]) == 2:
        equation = node.args[0].replace(" ", "")
        lead = equation.partition(",")[0][:-2]
        left, right, result = (f"{lead}{word}" for word in sum_.replace("->", ",").split(","))
        letters: dict[str, str] = {}
        same = f"{left},{right}->{result}"
        if len(same) == len(equation) and all(
            letters.setdefault(mine, theirs) == theirs for mine, theirs in zip(same, equation, strict=True)
        ):
            return tuple(node.args[1]) if len({*letters.values()}) == len(letters) else (None, None)
    return None, None


def _among(write: _Writer, node: fx.Node, shape: Sequence[int], lead: Sequence[int]) -> fx.Node:
    """Return what meets a tensor of a shape as it meets that tensor with its leading axes taken apart."""
    own = [1] * (len(shape) - len(_shape(node))) + [*_shape(node)]
    groups = _parts(shape[:-2], lead) or []
    sizes = [size for length, group in zip(own, groups, strict=False) for size in _as_group(length, group)]
    return write.reshaped(node, (*sizes, *own[-2:])) if len(sizes) + 2 > len(own) else node


def _factor_among(write: _Writer, node: fx.Node, shape: Sequence[int], lead: Sequence[int]) -> fx.Node:
    """Return the same of a factor, which may have fewer axes."""
    found = _among(write, node, shape, lead)
    own = _shape(node)
    return node if _shape(found)[-len(own) :] == own and prod(_shape(found)) == prod(own) else found


def _unless_shared(node: Any) -> Any:
    """Return what a node reads first; None where the node has other readers besides."""
    return node.args[0] if len(node.users) == 1 else None


def _as_group(length: int, group: Sequence[int]) -> Sequence[int]:
    return [1] * len(group) if length == 1 else group


def _parts(shape: Sequence[int], finer: Sequence[int]) -> list[list[int]] | None:
    """Return which sizes of a finer shape each size of a shape is taken apart into; None if it is not."""
    left = list(finer)
    found = []
    for size in shape:
        group: list[int] = []
        while left and (prod(group) < size or not group):
            group.append(left.pop(0))
        if prod(group) != size:
            return None
        found.append(group)
    return found if not left else None


@dataclass
class _Scores:
    """Scores of attention: the product of queries and keys, and what happens to it before the softmax.

    Each of `factors` and of what is `added` has with it the shape of what it meets.
    """

    product: fx.Node
    scale: float = 1.0
    factors: list[tuple[fx.Node, tuple[int, ...]]] = field(default_factory=list)
    added: list[tuple[fx.Node, tuple[int, ...]]] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)


def _scores(node: Any) -> _Scores | None:
    """Follow scores back to the product of queries and keys; None if there is none."""
    found = _Scores(node)
    while _is_tensor(node) and len(node.users) == 1:
        name, shape = _name(node), _shape(node)
        found.shapes.append(shape)
        if shape[-2:] != found.shapes[0][-2:]:
            return None
        if _is_product(node):
            found.product, found.added = node, found.added[::-1]
            return found
        scaled = found.scale != 1 or found.factors
        if _is_scaled(node):
            found.scale *= node.args[1] if name == "mul" else 1 / node.args[1]
        elif name in ("add", "mul") and all(map(_is_tensor, node.args)) and not node.kwargs:
            ahead, other = node.args if _leads_to_product(node.args[0]) else node.args[::-1]
            if _shape(ahead) != shape or not other.meta["val"].is_floating_point():
                return None
            if name == "add" and not scaled:
                found.added.append((other, shape))
            elif name == "mul" and (1, 1, *_shape(other))[-2:] == (1, 1):
                found.factors.append((other, shape))
            else:
                return None
            node = ahead
            continue
        elif name not in (*_RESHAPES, *_SAME):
            return None
        node = node.args[0]
    return None


def _is_product(node: Any) -> bool:
    return any(_factors(node, each)[0] is not None for each in ("ij,jk->ik", "id,jd->ij"))


def _is_scaled(node: fx.Node) -> bool:
    """Return whether a node multiplies or divides by a number, without rounding."""
    return _name(node) in ("mul", "div") and isinstance(node.args[1], (int, float)) and not node.kwargs


def _leads_to_product(node: Any) -> bool:
    while _name(node) in (*_RESHAPES, *_SAME, "mul", "div", "add"):
        if _name(node) in ("add", "mul") and _leads_to_product(node.args[1]):
            return True
        node = node.args[0]
    return _is_product(node)


def _without_factor(node: fx.Node, scale: float) -> tuple[float, fx.Node]:
    """Return the factor of queries that are multiplied by a number, times another one, and what is multiplied."""
    if _is_scaled(node) and len(node.users) == 1:
        number = cast(float, node.args[1])
        return scale * (number if _name(node) == "mul" else 1 / number), _operand(node)
    return scale, node


# Lengths.


def normalize(node: fx.Node) -> bool:
    """Rewrite `x / x.norm(2, dim, keepdim=True).clamp_min(eps)`, which `F.normalize` is to the exporter, as one op."""
    if _name(node) != "div" or node.kwargs or not all(map(_is_tensor, node.args)):
        return False
    x, length = cast("Sequence[fx.Node]", node.args)
    while _name(length) in ("expand", "expand_as"):
        length = _operand(length)
    if _name(length) not in ("clamp_min", "clamp") or _name(length.args[0]) != "linalg_vector_norm":
        return False
    norm, bounds = _arguments(_operand(length)), _arguments(length)
    if norm["self"] is not x or norm["ord"] != 2 or not norm["keepdim"] or len(norm["dim"] or ()) != 1:
        return False
    if bounds.get("max") is not None or not isinstance(bounds["min"], (int, float)):
        return False
    write = _Writer(node)
    return write.replace(write.add(stand_in.normalize.default, x, norm["dim"][0], float(bounds["min"])))


# Places that are taken apart.


def every_nth_joined(node: fx.Node) -> bool:
    """Rewrite the join of all `x[..., i::n, j::m, :]` along another axis as a reshape and a permutation."""
    if _name(node) != "cat" or len(cast(Any, node.args[0])) < 2:
        return False
    taken = [_strided(each) for each in cast("Sequence[Any]", node.args[0])]
    source = taken[0][0]
    steps = {dim: step for dim, (_, step) in taken[0][1].items()}
    rank = len(_shape(source))
    axis = _arguments(node)["dim"] % rank
    if not steps or len(taken) != prod(steps.values()) or axis in steps:
        return False
    if _is_overwritten(source):
        return False
    for each, places in taken:
        if each is not source or {dim: step for dim, (_, step) in places.items()} != steps:
            return False
    if any(_shape(source)[dim] % step for dim, step in steps.items()):
        return False
    starts = [{dim: start for dim, (start, _) in places.items()} for _, places in taken]
    for order in permutations(steps):
        if starts == [_digits(number, order, steps) for number in range(len(taken))]:
            break
    else:
        return False
    shape: list[int] = []
    outer, inner = {}, {}
    for dim, size in enumerate(_shape(source)):
        outer[dim] = len(shape)
        shape += [size // steps[dim], steps[dim]] if dim in steps else [size]
        inner[dim] = len(shape) - 1
    moved = [
        place
        for dim in range(rank)
        for place in ([*(inner[each] for each in order)] if dim == axis else []) + [outer[dim]]
    ]
    write = _Writer(node)
    apart = write.add(aten.permute.default, write.reshaped(source, shape), moved)
    return write.replace(write.reshaped(apart, _shape(node)))


def _strided(node: Any) -> tuple[fx.Node, dict[int, tuple[int, int]]]:
    """Return what a chain of slices takes every nth place of, and for each axis where it starts and how far it goes."""
    found: dict[int, tuple[int, int]] = {}
    while _name(node) == "slice":
        given = _arguments(node)
        dim, step = given["dim"] % len(_shape(node)), given["step"]
        size = _shape(node.args[0])[dim]
        start, end = given["start"] or 0, size if given["end"] is None else given["end"]
        if dim in found or not 0 <= start < max(step, 1) or end < size:
            break
        if step > 1:
            found[dim] = (start, step)
        node = node.args[0]
    return node, found


def _digits(number: int, order: Sequence[int], steps: dict[int, int]) -> dict[int, int]:
    """Return a number in digits, one an axis, the last of the order the fastest."""
    found = {}
    for dim in reversed(order):
        number, found[dim] = divmod(number, steps[dim])
    return found


# Windows.


def windows(node: fx.Node) -> bool:
    """Rewrite an image that is cut into windows, or put together again, as the op for it.

    Reshapes alone do not tell one window that is the whole image.
    """
    if _name(node) not in _RESHAPES:
        return False
    permute = _operand(node)
    while _name(permute) in _SAME:
        permute = _operand(permute)
    if _name(permute) != "permute" or _name(permute.args[0]) not in _RESHAPES or len(_shape(permute)) != 6:
        return False
    order = tuple(cast(Any, permute.args[1]))
    apart = _operand(permute)
    source = _operand(apart)
    write = _Writer(node)
    if order in _CUT:
        last, shape = _CUT[order], _shape(permute)
        together = _lie_together(_shape(node), shape)
        if _shape(source) == _image(shape, last) and together is not None:
            cut = write.add(stand_in.window_partition.default, source, *shape[3:5], last, together)
            return write.replace(write.reshaped(cut, _shape(node)))
    if order in _JOINED:
        last, shape = _JOINED[order], _shape(apart)
        together = _lie_together(_shape(source), shape)
        if _shape(node) == _image(shape, last) and together is not None:
            batch, down, over, high, wide, channels = shape
            lead = (batch, down * over) if together else (batch * down * over,)
            cut = write.reshaped(source, (*lead, high * wide, channels))
            sizes = (high, wide, down * high, over * wide)
            return write.replace(write.add(stand_in.window_reverse.default, cut, *sizes, last))
    return False


_CUT = {(0, 1, 3, 2, 4, 5): True, (0, 2, 4, 3, 5, 1): False}
"""How the axes of an image go into those of its windows, and whether the image has its channels last."""

_JOINED = {(0, 1, 3, 2, 4, 5): True, (0, 5, 1, 3, 2, 4): False}


def _image(shape: Sequence[int], last: bool) -> tuple[int, ...]:
    """Return the shape of the images that windows `[batch, down, over, high, wide, channels]` are cut from."""
    batch, down, over, high, wide, channels = shape
    return (batch, down * high, over * wide, channels) if last else (batch, channels, down * high, over * wide)


def _lie_together(windows: Sequence[int], shape: Sequence[int]) -> bool | None:
    """Return whether windows have an axis of their own, rather than each a place in the batch; None for neither.

    Args:
        windows: The shape of the windows, in which rows and columns may be one axis or two.
        shape: The same with all axes apart.
    """
    batch, down, over, high, wide, channels = shape
    for lead in ((batch * down * over,), (batch, down * over)):
        if tuple(windows) in ((*lead, high * wide, channels), (*lead, high, wide, channels)):
            return len(lead) == 2
    return None


IDIOMS: tuple[Callable[[fx.Node], bool], ...] = (normalize, attention, every_nth_joined, windows)
