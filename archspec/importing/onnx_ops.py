"""Which op of torch each op of ONNX is: one rule an op, in `NODES`.

A rule gets the reader, the inputs of the node (items; tensors for constants; None for what is left out) and its
attributes, and returns what `reader.run` makes of the op of torch.
"""

from __future__ import annotations

from typing import Any

import torch

from archspec.importing.aten.common import image
from archspec.importing.layouts import CannotExpressError, View
from archspec.importing.rules import Rule, registering
from archspec.shapes import same_padding

NODES: dict[str, Rule] = {}
"""The rule of each op of ONNX, by its type."""

node = registering(NODES)

ARRANGING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Ops that leave the numbers as they are."""


def _ints(value: Any) -> list[int]:
    return [int(each) for each in value]


def _constant(value: Any, what: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise CannotExpressError(f"{what} that is computed")
    return value


def _get(inputs: list[Any], at: int) -> Any:
    return inputs[at] if at < len(inputs) else None


# Layers with weights.


def _weights(reader: Any, path: str, *tensors: Any) -> list[Any]:
    """Return the weight and the bias of the layer at a path, each None if there is none."""
    named = zip(("weight", "bias"), tensors, strict=False)
    return [None if each is None else reader.weight(each, f"{path}.{name}") for name, each in named]


@node("Conv")
def _conv(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    weight = _constant(inputs[1], "a weight")
    bias = _get(inputs, 2)
    path = reader.layer(1, 2)
    rank = weight.ndim - 2
    x, pads = _padded(reader, inputs[0], attributes, list(weight.shape[2:]))
    weights = _weights(reader, path, weight, bias)
    stride, dilation = _ints(attributes.get("strides", [1] * rank)), _ints(attributes.get("dilations", [1] * rank))
    return reader.run(f"conv{rank}d", x, *weights, stride, pads, dilation, attributes.get("group", 1))


def _padded(reader: Any, x: Any, attributes: dict[str, Any], kernel: list[int], value: float = 0.0) -> tuple[Any, Any]:
    """Return what a layer reads and its padding; where the sides differ, a `pad` before it."""
    rank = len(kernel)
    pads = _ints(attributes.get("pads", [0] * (2 * rank)))
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        stride, dilation = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
        sizes = x.fake.shape[2:]
        pairs = [same_padding(*each) for each in zip(sizes, kernel, stride, dilation, strict=True)]
        small, large = map(list, zip(*pairs, strict=True))
        pads = [*small, *large] if auto == "SAME_UPPER" else [*large, *small]
    before, after = pads[:rank], pads[rank:]
    if before == after:
        return x, before
    sides = [side for pair in zip(before[::-1], after[::-1], strict=True) for side in pair]
    return reader.run("constant_pad_nd", x, sides, value), [0] * rank


@node("ConvTranspose")
def _conv_transpose(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    weight = _constant(inputs[1], "a weight")
    bias = _get(inputs, 2)
    path = reader.layer(1, 2)
    rank = weight.ndim - 2
    pads = _ints(attributes.get("pads", [0] * (2 * rank)))
    if pads[:rank] != pads[rank:] or "output_shape" in attributes:
        raise CannotExpressError("a transposed convolution whose sides differ")
    return reader.run(
        {1: "conv_transpose1d", 2: "conv_transpose2d", 3: "conv_transpose3d"}[rank],
        inputs[0],
        *_weights(reader, path, weight, bias),
        _ints(attributes.get("strides", [1] * rank)),
        pads[:rank],
        _ints(attributes.get("output_padding", [0] * rank)),
        attributes.get("group", 1),
        _ints(attributes.get("dilations", [1] * rank)),
    )


@node("Gemm")
def _gemm(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        raise CannotExpressError("a product with factors")
    weight = _constant(inputs[1], "a weight")
    path = reader.layer(1, 2)
    return _linear(reader, path, inputs[0], weight if attributes.get("transB", 0) else weight.T, _get(inputs, 2))


def _linear(reader: Any, path: str, x: Any, weight: torch.Tensor, bias: Any) -> Any:
    return reader.run("linear", x, *_weights(reader, path, weight.contiguous(), bias))


@node("MatMul")
def _matmul(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    weight = inputs[1]
    if isinstance(weight, torch.Tensor) and weight.ndim == 2:
        name, bias = reader.added_bias(weight.shape[1])
        return _linear(reader, reader.layer(1, also=name), inputs[0], weight.T, bias)
    attended = _attention(reader)
    return attended or reader.run("matmul", *(reader.tensor(at) for at in (0, 1)))


def _attention(reader: Any) -> Any:
    """Return the attention that the node ends: softmax(queries * keys * scale + mask) * values."""
    softmax = reader.makers.get(reader.at.input[0])
    if softmax is None or softmax.op_type != "Softmax" or isinstance(reader.item(reader.at.input[1]), torch.Tensor):
        return None
    if reader.attributes(softmax).get("axis", -1) not in (-1, reader.item(softmax.input[0]).fake.ndim - 1):
        return None
    product, scale, mask = *_unscaled(reader, softmax.input[0]), ""
    maker = reader.makers.get(product)
    if maker is not None and maker.op_type == "Add":
        first, second = maker.input
        product, mask = (first, second) if _is_product(reader, first) else (second, first)
        product, scale = _unscaled(reader, product)
        maker = reader.makers.get(product)
    if maker is None or maker.op_type != "MatMul":
        return None
    queries, of_queries = _unscaled(reader, maker.input[0])
    keys, of_keys = _unscaled(reader, maker.input[1])
    q, k, v = (reader.item(name) for name in (queries, keys, reader.at.input[1]))
    if any(isinstance(each, torch.Tensor) or each.fake.ndim < 3 for each in (q, k, v)):
        return None
    scale *= of_queries * of_keys
    default = q.fake.shape[-1] ** -0.5
    causal = bool(mask) and isinstance(reader.item(mask), torch.Tensor) and _is_causal(reader.item(mask))
    added = reader.operand(mask) if mask and not causal else None
    arguments = [q, reader.run("transpose", k, -2, -1), v, added, 0.0, causal]
    return reader.run(
        "scaled_dot_product_attention", *arguments, scale=None if abs(scale / default - 1) < 1e-6 else _short(scale)
    )


def _unscaled(reader: Any, name: str) -> tuple[str, float]:
    """Return the value that another one is a multiple of, and the factor."""
    scale = 1.0
    while (maker := reader.makers.get(name)) is not None and maker.op_type in ("Mul", "Div"):
        number = _only_number(reader, maker)
        computed = [each for each in maker.input if not isinstance(reader.item(each), torch.Tensor)]
        if number is None or len(computed) != 1 or maker.op_type == "Div" and computed[0] != maker.input[0]:
            break
        name, scale = computed[0], scale * number if maker.op_type == "Mul" else scale / number
    return name, scale


def _is_product(reader: Any, name: str) -> bool:
    maker = reader.makers.get(_unscaled(reader, name)[0])
    return maker is not None and maker.op_type == "MatMul"


def _is_causal(mask: torch.Tensor) -> bool:
    """Return whether a mask hides what comes later, and nothing else."""
    rows, columns = mask.shape[-2:] if mask.ndim > 1 else (0, 0)
    if mask.numel() != rows * columns or mask.dtype != torch.float32:
        return False
    return torch.equal(mask.reshape(rows, columns), torch.full((rows, columns), float("-inf")).triu(1))


@node("BatchNormalization")
def _batch_norm(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    path = reader.layer(1, 2, 3)
    names = ("weight", "bias", "running_mean", "running_var")
    weights = [
        reader.weight(_constant(inputs[at], "a statistic"), f"{path}.{name}") for at, name in enumerate(names, start=1)
    ]
    momentum = round(1 - attributes.get("momentum", 0.9), 6)
    return reader.run("batch_norm", inputs[0], *weights, False, momentum, _float(attributes, "epsilon", 1e-5), False)


def _float(attributes: dict[str, Any], name: str, default: float) -> float:
    """Return a number of single precision in its shortest form."""
    return float(f"{attributes.get(name, default):.7g}")


@node("LayerNormalization")
def _layer_norm(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    x = inputs[0]
    axis = attributes.get("axis", -1) % x.fake.ndim
    path = reader.layer(1, 2)
    weights = _weights(reader, path, _get(inputs, 1), _get(inputs, 2))
    return reader.run("layer_norm", x, list(x.fake.shape[axis:]), *weights, _float(attributes, "epsilon", 1e-5))


@node("InstanceNormalization")
def _instance_norm(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    path = reader.layer(1, 2)
    weights = _weights(reader, path, inputs[1], inputs[2])
    eps = _float(attributes, "epsilon", 1e-5)
    return reader.run("instance_norm", inputs[0], *weights, None, None, True, 0.1, eps, False)


@node("PRelu")
def _prelu(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    slope = _constant(inputs[1], "a slope").flatten()
    return reader.run("prelu", inputs[0], *_weights(reader, reader.layer(1), slope))


# Element by element.

for _name, _op in {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "HardSwish": "hardswish",
    "Mish": "mish",
    "Selu": "selu",
    "Softplus": "softplus",
    "Neg": "neg",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Sin": "sin",
    "Cos": "cos",
    "Reciprocal": "reciprocal",
}.items():
    NODES[_name] = lambda reader, inputs, _, op=_op: reader.run(op, inputs[0])


@node("Identity", "Cast", "CastLike")
def _same(_reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    return inputs[0]


@node("Dropout")
def _dropout(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    given = _get(inputs, 1)
    rate = float(given) if given is not None else _float(attributes, "ratio", 0.5)
    return [reader.run("dropout", inputs[0], round(rate, 6), False), None]


@node("Clip")
def _clip(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    low, high = (None if _get(inputs, at) is None else float(_constant(inputs[at], "a bound")) for at in (1, 2))
    if (low, high) == (0.0, 6.0):
        return reader.run("hardtanh", inputs[0], 0.0, 6.0)
    return reader.run("clamp", inputs[0], low, high)


@node("HardSigmoid")
def _hardsigmoid(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return reader.run("hardsigmoid", inputs[0])
    scaled = reader.run("add", reader.run("mul", inputs[0], _short(alpha)), _short(beta))
    return reader.run("clamp", scaled, 0.0, 1.0)


def _short(value: float) -> float:
    return float(f"{value:.7g}")


@node("LeakyRelu")
def _leaky_relu(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    return reader.run("leaky_relu", inputs[0], _float(attributes, "alpha", 0.01))


@node("Elu")
def _elu(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    return reader.run("elu", inputs[0], _float(attributes, "alpha", 1.0))


@node("Gelu")
def _gelu(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    return reader.run("gelu", inputs[0], approximate=attributes.get("approximate", b"none").decode())


@node("Softmax", "LogSoftmax")
def _softmax(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    op = "softmax" if reader.at.op_type == "Softmax" else "log_softmax"
    return reader.run(op, inputs[0], attributes.get("axis", -1))


@node("Add", "Sub", "Mul", "Div")
def _arithmetic(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    op = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}[reader.at.op_type]
    if reader.at.output[0] in reader.joined:
        return next(each for each in inputs if not isinstance(each, torch.Tensor))
    normed = _response_norm(reader) if op == "div" else None
    if normed is not None:
        return normed
    left, right = (reader.tensor(at) for at in (0, 1))
    for x, gate in ((left, right), (right, left)):
        if op == "mul" and _is_sigmoid_of(gate, x):
            return reader.run("silu", x)
    return reader.run(op, *(_number(each) for each in (left, right)))


def _is_sigmoid_of(gate: Any, x: Any) -> bool:
    """Return whether a value is the sigmoid of another, laid out alike: their product is SiLU."""
    if not isinstance(gate.value, View) or not isinstance(x.value, View):
        return False
    call = gate.value.value.call
    if call is None or call.op != "sigmoid" or call.reads[0] is not x.value.value:
        return False
    return gate.value.arrangement() == x.value.arrangement()


def _number(item: Any) -> Any:
    value = item.value
    return _short(float(value)) if isinstance(value, torch.Tensor) and value.numel() == 1 else item


def _response_norm(reader: Any) -> Any:
    """Return the norm that torch's exporters take apart: x / (k + alpha * mean of the squares near by) ** beta."""
    source, name = reader.at.input
    steps = []
    while True:
        step = reader.makers.get(name)
        if step is None:
            return None
        steps.append(step)
        computed = {each for each in step.input if each and not isinstance(reader.item(each), torch.Tensor)}
        if computed == {source}:
            break
        if len(computed) != 1:
            return None
        name = computed.pop()
    told = [step for step in steps if step.op_type not in ARRANGING]
    if [step.op_type for step in told] not in (
        ["Pow", "Add", "Mul", "AveragePool", "Pad", "Mul"],
        ["Pow", "Add", "Mul", "AveragePool", "Pad", "Pow"],
    ):
        return None
    power, add, factor, pool, pad, square = told
    beta, k, alpha = (_only_number(reader, step) for step in (power, add, factor))
    size, *rest = _ints(reader.attributes(pool)["kernel_shape"])
    pads = _ints(reader.item(pad.input[1]).tolist())
    half = len(pads) // 2
    wanted = [0] * len(pads)
    wanted[2], wanted[half + 2] = size // 2, (size - 1) // 2
    squared = square.op_type == "Mul" or _only_number(reader, square) == 2
    shape = reader.item(pad.input[0]).fake.shape
    channels = reader.item(source).fake.shape[1]
    if None in (beta, k, alpha) or any(each != 1 for each in rest) or pads != wanted or not squared:
        return None
    if shape[1:3] != (1, channels):
        return None
    reader.forgive(steps)
    view = reader.view(reader.item(source))
    arguments = {"size": size, "alpha": alpha, "beta": beta, "k": k}
    return reader.wrap(
        reader.item(source).fake, view.on(reader.emit("local_response_norm", arguments, view.value, view.value.shape))
    )


def _only_number(reader: Any, step: Any) -> float | None:
    """Return the number that a step has besides the value that it reads; None if there is none."""
    constants = [reader.item(each) for each in step.input if isinstance(reader.item(each), torch.Tensor)]
    return _short(float(constants[0])) if len(constants) == 1 and constants[0].numel() == 1 else None


@node("LRN")
def _lrn(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    view = image(reader, inputs[0])
    names = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, k = (_float(attributes, name, default) for name, default in names.items())
    arguments = {"size": attributes["size"], "alpha": alpha, "beta": beta, "k": k}
    return reader.wrap(
        inputs[0].fake, view.on(reader.emit("local_response_norm", arguments, view.value, view.value.shape))
    )


@node("Pow")
def _pow(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    exponent = float(_constant(inputs[1], "an exponent"))
    return reader.run("pow", inputs[0], int(exponent) if exponent.is_integer() else exponent)


@node("Max", "Min")
def _extreme(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    if len(inputs) != 2:
        raise CannotExpressError("an extreme of other than two")
    op = "maximum" if reader.at.op_type == "Max" else "minimum"
    return reader.run(op, *(reader.tensor(at) for at in (0, 1)))


# Pooling and sizes.


def _window(attributes: dict[str, Any]) -> tuple[int, list[int], list[int]]:
    kernel = _ints(attributes["kernel_shape"])
    return len(kernel), kernel, _ints(attributes.get("strides", [1] * len(kernel)))


@node("MaxPool")
def _max_pool(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    rank, kernel, stride = _window(attributes)
    x, pads = _padded(reader, inputs[0], attributes, kernel, float("-inf"))
    dilation = _ints(attributes.get("dilations", [1] * rank))
    return reader.run(f"max_pool{rank}d", x, kernel, stride, pads, dilation, bool(attributes.get("ceil_mode", 0)))


@node("AveragePool")
def _avg_pool(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    rank, kernel, stride = _window(attributes)
    x, pads = _padded(reader, inputs[0], attributes, kernel)
    count = bool(attributes.get("count_include_pad", 0)) or not any(pads)
    return reader.run(f"avg_pool{rank}d", x, kernel, stride, pads, bool(attributes.get("ceil_mode", 0)), count)


@node("GlobalAveragePool", "GlobalMaxPool")
def _global(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    rank = inputs[0].fake.ndim - 2
    word = "avg" if reader.at.op_type == "GlobalAveragePool" else "max"
    found = reader.run(f"adaptive_{word}_pool{rank}d", inputs[0], [1] * rank)
    return found[0] if isinstance(found, list) else found


@node("ReduceMean", "ReduceSum", "ReduceMax")
def _reduce(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    axes = attributes.get("axes", None if _get(inputs, 1) is None else inputs[1].tolist())
    if axes is None:
        raise CannotExpressError("a reduction of everything")
    op = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax"}[reader.at.op_type]
    return reader.run(op, inputs[0], _ints(axes), bool(attributes.get("keepdims", 1)))


@node("Resize")
def _resize(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    x = inputs[0]
    mode = attributes.get("mode", b"nearest").decode()
    where = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    scales, sizes = _get(inputs, 2), _get(inputs, 3)
    out = (
        _ints(sizes.tolist())[2:]
        if sizes is not None and sizes.numel()
        else [int(s * f) for s, f in zip(x.fake.shape[2:], scales.tolist()[2:], strict=True)]
    )
    if len(out) != 2 or mode not in ("nearest", "linear", "cubic"):
        raise CannotExpressError(f"a resize of {len(out)} axes, {mode}")
    if mode == "nearest":
        return reader.run("upsample_nearest2d", x, out)
    op = "upsample_bilinear2d" if mode == "linear" else "upsample_bicubic2d"
    return reader.run(op, x, out, where == "align_corners")


# Arranging.


@node("Reshape")
def _reshape(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    own = inputs[0].fake.shape
    given = _ints(_constant(inputs[1], "a shape").tolist())
    shape = [own[at] if size == 0 and at < len(own) else size for at, size in enumerate(given)]
    return reader.run("reshape", inputs[0], shape)


@node("Flatten")
def _flatten(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    shape = inputs[0].fake.shape
    axis = attributes.get("axis", 1) % (len(shape) + 1)
    front = 1
    for size in shape[:axis]:
        front *= size
    return reader.run("reshape", inputs[0], [front, -1])


@node("Transpose")
def _transpose(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    rank = inputs[0].fake.ndim
    return reader.run("permute", inputs[0], _ints(attributes.get("perm", range(rank)[::-1])))


def _axes(inputs: list[Any], attributes: dict[str, Any]) -> list[int]:
    if "axes" in attributes:
        return _ints(attributes["axes"])
    return _ints(_constant(inputs[1], "axes").tolist())


@node("Unsqueeze")
def _unsqueeze(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    found = inputs[0]
    axes = _axes(inputs, attributes)
    rank = found.fake.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        found = reader.run("unsqueeze", found, axis)
    return found


@node("Squeeze")
def _squeeze(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    found = inputs[0]
    for axis in sorted((axis % found.fake.ndim for axis in _axes(inputs, attributes)), reverse=True):
        found = reader.run("squeeze", found, axis)
    return found


@node("Expand")
def _expand(reader: Any, inputs: list[Any], _: dict[str, Any]) -> Any:
    x = reader.tensor(0)
    sizes = _ints(_constant(inputs[1], "a shape").tolist())
    rank = max(x.fake.ndim, len(sizes))
    own, wanted = ([1] * (rank - len(each)) + list(each) for each in (x.fake.shape, sizes))
    return reader.run("expand", x, [max(pair) for pair in zip(own, wanted, strict=True)])


@node("Concat")
def _concat(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    return reader.run("cat", [reader.tensor(at) for at in range(len(inputs))], attributes["axis"])


@node("Split")
def _split(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    x, axis = inputs[0], attributes.get("axis", 0)
    sizes = attributes.get("split", None if _get(inputs, 1) is None else inputs[1].tolist())
    if sizes is None:
        sizes = [x.fake.shape[axis] // len(reader.at.output)] * len(reader.at.output)
    return reader.run("split_with_sizes", x, _ints(sizes), axis)


@node("Slice")
def _slice(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    del attributes
    found = inputs[0]
    starts, ends = (_ints(_constant(inputs[at], "a bound").tolist()) for at in (1, 2))
    axes = range(len(starts)) if _get(inputs, 3) is None else _ints(inputs[3].tolist())
    steps = [1] * len(starts) if _get(inputs, 4) is None else _ints(inputs[4].tolist())
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        found = reader.run("slice", found, axis, start, end, step)
    return found


@node("Gather")
def _gather(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    x, index = inputs[0], _constant(inputs[1], "an index")
    axis = attributes.get("axis", 0) % x.fake.ndim
    if not index.ndim:
        return reader.run("select", x, axis, int(index) % x.fake.shape[axis])
    shape = x.fake.shape
    if not torch.equal(index.flatten() % shape[axis], torch.arange(shape[axis])):
        raise CannotExpressError("an index of several places")
    # Each place once and in order, as an exporter writes `as_strided`.
    return reader.run("reshape", x, [*shape[:axis], *index.shape, *shape[axis + 1 :]])


@node("Pad")
def _pad(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    pads = _ints(_constant(inputs[1], "a padding").tolist())
    mode = attributes.get("mode", b"constant").decode()
    value = _get(inputs, 2)
    rank = len(pads) // 2
    if any(pads[at] or pads[at + rank] for at in (0,)):
        raise CannotExpressError("a padding of the batch")
    sides = [side for at in range(rank - 1, 0, -1) for side in (pads[at], pads[at + rank])]
    if mode == "constant":
        return reader.run("constant_pad_nd", inputs[0], sides, 0.0 if value is None else float(value))
    word = {"reflect": "reflection", "edge": "replication"}.get(mode)
    if word is None or rank != 4 or any(sides[4:]):
        raise CannotExpressError(f"a padding of mode {mode}")
    return reader.run(f"{word}_pad2d", inputs[0], sides[:4])


@node("DepthToSpace")
def _depth_to_space(reader: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    if attributes.get("mode", b"DCR").decode() != "CRD":
        raise CannotExpressError("a depth to space of mode DCR")
    return reader.run("pixel_shuffle", inputs[0], attributes["blocksize"])
