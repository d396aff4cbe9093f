"""Rules of products of matrices and of attention."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from archspec.importing.aten.common import (
    rule,
    to_shape,
    unexpanded,
)
from archspec.importing.aten.layers import linear
from archspec.importing.layouts import Axis, CannotExpressError, View, is_batch, size_of
from archspec.importing.reader import Reader


@rule("matmul", "bmm", "mm")
def _matmul(reader: Reader, a: Any, b: Any) -> View:
    assert reader.node is not None
    return _product(reader, a, b, tuple(reader.node.meta["val"].shape))


def _product(reader: Reader, a: Any, b: Any, shape: Sequence[int]) -> View:
    left, right = unexpanded(reader.view(a)), unexpanded(reader.view(b))
    if min(len(left.dims), len(right.dims)) < 2:
        raise CannotExpressError("a product of vectors")
    if not right.has_samples and not any(right.dims[:-2]):
        return _product_with_weight(reader, left, right)
    if left.batch == len(left.dims) - 2 and not right.has_samples:
        return _product_by_sample(reader, left, right)
    if _leading(left) == _leading(right):
        return _product_of_equals(reader, left, right, shape)
    return _product_of_folded(reader, left, right)


def _leading(view: View) -> list[int]:
    """Return the sizes of the axes before the last two, without the batch."""
    return [size_of(dim) for dim in view.spec_dims[:-2]]


def _product_of_equals(reader: Reader, left: View, right: View, shape: Sequence[int]) -> View:
    left, right = reader.spec(left), reader.spec(right)
    if left.value.shape[:-2] != right.value.shape[:-2]:
        raise CannotExpressError("a product whose leading axes differ")
    like = left if left.has_samples else right
    if like.batch in (len(like.dims) - 1, len(like.dims) - 2):
        raise CannotExpressError("a product over the batch")
    return reader.shaped(reader.call("matmul", {}, [left.value, right.value]), shape, like)


def _product_with_weight(reader: Reader, left: View, right: View) -> View:
    """Write a product with a matrix that no sample has a part in as the linear layer that it is."""
    weight = right.with_dims((right.dims[-1], right.dims[-2]))
    return linear(reader, left, weight.shape[0], weight)


def _product_by_sample(reader: Reader, left: View, right: View) -> View:
    """Write a product whose rows are those of all samples as one for each sample."""
    *lead, rows, deep = left.dims
    samples, own = rows[:1], rows[1:]
    moved = left.with_dims([samples, *lead, own, deep])
    found = _product(reader, moved, right, (*moved.shape[:-1], right.shape[-1]))
    batch, *behind, rest, wide = found.dims
    return found.with_dims([*behind, (*batch, *rest), wide])


def _product_of_folded(reader: Reader, left: View, right: View) -> View:
    """Write a product in which one matrix meets several: these side by side, as the rows or the columns of one."""
    rank = max(len(left.dims), len(right.dims))
    left, right = (view.with_dims([*[()] * (rank - len(view.dims)), *view.dims]) for view in (left, right))
    sizes = list(zip(left.shape, right.shape, strict=True))
    lead = range(rank - 2)
    alone = [at for at in lead if not right.has_samples and any(map(is_batch, left.dims[at])) and sizes[at][1] == 1]
    shared = [at for at in lead if at not in alone and sizes[at][0] == sizes[at][1]]
    rows = [at for at in lead if at not in (*alone, *shared) and sizes[at][1] == 1]
    columns = [at for at in lead if at not in (*alone, *shared) and sizes[at][0] == 1]
    if len(alone) + len(shared) + len(rows) + len(columns) < len(lead) or left.has_samples < right.has_samples:
        raise CannotExpressError("a product whose leading axes differ")
    before, high, wide = ([max(sizes[at]) for at in some] for some in ((*alone, *shared), rows, columns))
    a = left.permuted([*alone, *shared, *columns, *rows, rank - 2, rank - 1])
    order = [*alone, *shared, *rows, rank - 2, *columns, rank - 1]
    b = right.permuted(order)
    a = to_shape(reader, a, (*before, prod(high) * left.shape[-2], left.shape[-1]))
    b = to_shape(reader, b, (*before[len(alone) :], right.shape[-2], prod(wide) * right.shape[-1]))
    found = _product_of_equals(reader, a, b, (*a.shape[:-1], b.shape[-1]))
    found = to_shape(reader, found, (*before, *high, left.shape[-2], *wide, right.shape[-1]))
    return found.permuted([order.index(at) for at in range(rank)])


@rule("einsum")
def _einsum(reader: Reader, equation: str, operands: Sequence[Any], **_: Any) -> View:
    """Write a sum of products of two tensors as a `matmul`: letters of one are rows or columns, those of both lead."""
    inputs, _arrow, result = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != 2 or not result or "." in equation:
        raise CannotExpressError(f"the sum {equation}")
    left, right = letters
    shared = [letter for letter in left if letter in right and letter in result]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    if not summed or len({*left}) < len(left) or len({*right}) < len(right) or {*rows, *columns} - {*result}:
        raise CannotExpressError(f"the sum {equation}")
    views = [reader.view(operand) for operand in operands]
    size = {letter: views[at].shape[number] for at, word in enumerate(letters) for number, letter in enumerate(word)}
    batched = [letter for letter in rows if any(map(is_batch, views[0].dims[left.index(letter)]))]
    lead = [*batched, *shared]
    rest = [letter for letter in rows if letter not in batched]
    a = views[0].permuted([left.index(letter) for letter in (*lead, *rest, *summed)])
    b = views[1].permuted([right.index(letter) for letter in (*shared, *summed, *columns)])
    high, deep, wide = (prod(size[letter] for letter in group) for group in (rest, summed, columns))
    a = to_shape(reader, a, (*(size[letter] for letter in lead), high, deep))
    b = to_shape(reader, b, (*(size[letter] for letter in shared), deep, wide))
    found = _product(reader, a, b, (*(size[letter] for letter in lead), high, wide))
    order = [*lead, *rest, *columns]
    found = found.reshaped([size[letter] for letter in order])
    return found.permuted([order.index(letter) for letter in result])


@rule("scaled_dot_product_attention")
def _attention(
    reader: Reader,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> View:
    views = [unexpanded(reader.view(each)) for each in (q, k, v)]
    if len(views[0].dims) > 3 and views[0].shape[-3] != views[1].shape[-3]:
        if mask is not None or causal:
            raise CannotExpressError("attention with fewer heads of keys than of queries")
        return _with_fewer_keys(reader, views, {"dropout": dropout, **({} if scale is None else {"scale": scale})})
    default = views[0].shape[-1] ** -0.5
    arguments: dict[str, Any] = {"causal": causal, "dropout": dropout}
    if scale is not None and abs(scale - default) > 1e-9:
        arguments["scale"] = scale
    heads = _heads(views)
    rank = len(views[0].spec_dims) if heads is None else len(views[0].axes) + 1
    named = {} if mask is None else {"bias": _mask(reader, mask, rank)}
    if heads is None:
        views = [reader.spec(view) for view in views]
    else:
        arguments["heads"] = heads
    call = reader.call("attention", arguments, [view.value for view in views])
    call.named = named
    if heads is not None:
        first, last = views[0], views[2]
        value = call.result([*first.value.shape[:-1], last.value.shape[-1]])
        width = Axis(last.axes[-1][-1].size)
        axes = (*first.axes[:-1], (first.axes[-1][0], width))
        return View(value, axes, (*first.dims[:-1], (width,)))
    return reader.result(call, views[0])


def _with_fewer_keys(reader: Reader, views: list[View], arguments: dict[str, Any]) -> View:
    """Write attention in which several heads of queries share keys and values: these queries behind each other."""
    queries, keys = views[0].shape, views[1].shape
    if len(keys) != len(queries) or queries[-3] % keys[-3]:
        raise CannotExpressError("attention with fewer heads of keys than of queries")
    tokens = queries[-3] // keys[-3] * queries[-2]
    behind = to_shape(reader, views[0], (*queries[:-3], keys[-3], tokens, queries[-1]))
    read = [reader.spec(view) for view in (behind, *views[1:])]
    call = reader.call("attention", arguments, [view.value for view in read])
    found = reader.shaped(call, (*read[0].shape[:-1], read[2].shape[-1]), read[0])
    return to_shape(reader, found, (*queries[:-1], read[2].shape[-1]))


def _heads(views: list[View]) -> int | None:
    """Return into how many heads queries, keys and values are split, if their values hold them side by side."""
    found = set()
    for view in views:
        if len(view.axes) < 2 or len(view.axes[-1]) != 2 or len(view.dims) < 3:
            return None
        heads, width = view.axes[-1]
        if view.dims[-3] != (heads,) or view.dims[-1] != (width,) or view.dims[-2] != view.axes[-2]:
            return None
        before = tuple(dim for dim in view.dims[:-3])
        rest = View(view.value, view.axes, before).spec_dims
        if rest != view.axes[:-2]:
            return None
        found.add(heads.size)
    return found.pop() if len(found) == 1 else None


def _mask(reader: Reader, mask: Any, rank: int) -> Any:
    """Return what is added to the products, of as many axes as these have: heads behind the leading axes."""
    view = reader.spec(unexpanded(reader.view(mask)))
    shape = list(view.value.shape)
    while len(shape) > rank and shape[0] == 1:
        shape.pop(0)
    shape = [*[1] * (rank - len(shape)), *shape]
    if shape != list(view.value.shape):
        return reader.emit("reshape", {"shape": shape}, view.value, shape)
    return view.value


@rule("attention")
def _multi_head_attention(reader: Reader, q: Any, k: Any, v: Any, heads: int, dropout: float, bias: bool) -> View:
    views = [reader.spec(each) for each in (q, k, v)]
    path = reader.place()
    reads = [view.value for view in views]
    if reads[1] is reads[2]:
        reads = reads[:1] if reads[0] is reads[1] else reads[:2]
    call = reader.call(
        "multi_head_attention", {"heads": heads, "bias": bias, "dropout": dropout}, reads, path=path, fixed=True
    )
    return views[0].on(call.result(views[0].value.shape))
