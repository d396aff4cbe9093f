"""The contract of the ops: each one does what torch does, counts what torch counts, and refuses what torch refuses."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from op_samples import SAMPLES, Bad, Good

import archspec
from archspec.errors import CODES, Complaint
from archspec.ops import FAMILIES, OPS
from archspec.ops.base import Call, Op
from archspec.ops.fields import REQUIRED, Float, Int, arg
from archspec.ops.given_weights import TakesWeights
from archspec.report.op_reference import example
from archspec.schema import SCOPES, STEP_KEYS
from archspec.shapes import Lead, Shape

torch = pytest.importorskip("torch")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_calls import execute  # noqa: E402

from archspec.backends import layers  # noqa: E402

BATCH = 2
GOOD = [pytest.param(OPS[op], use, id=f"{op}-{n}") for op in OPS for n, use in enumerate(SAMPLES[op].good)]
BAD = [pytest.param(OPS[op], use, id=f"{op}-{n}") for op in OPS for n, use in enumerate(SAMPLES[op].bad)]


def on_device(
    device: str, calls: tuple[Call, ...], inputs: tuple[Shape, ...], leads: tuple[Lead, ...] = ()
) -> tuple[Any, list[Any]]:
    """The same for inputs of these shapes. `meta` computes nothing, and leaves out some checks."""
    leads = leads or (Lead.BATCH,) * len(inputs)
    with torch.device(device):
        batches = {Lead.BATCH: (BATCH,), Lead.ONE: (1,), Lead.NONE: ()}
        tensors = [torch.empty(*batches[lead], *shape) for lead, shape in zip(leads, inputs, strict=True)]
        if calls[0].target.startswith("["):
            tensors[1] = torch.zeros(inputs[1], dtype=torch.int64)
        return execute(calls, tensors)


def shapes(named: Any) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in named}


# The table.


def test_every_op_has_samples() -> None:
    assert set(SAMPLES) == set(OPS)
    assert all(samples.good and samples.bad for samples in SAMPLES.values())


@pytest.mark.parametrize("op", OPS)
def test_samples_cover_the_op(op: str) -> None:
    """Each argument is set to something, each rank occurs, and what is required is left out once."""
    cls, samples = OPS[op], SAMPLES[op]
    assert {name for use in samples.good for name in use.arguments} == set(cls.fields)
    read = [use.inputs[:1] if issubclass(cls, TakesWeights) else use.inputs for use in samples.good]
    assert {len(shape) - 1 for shapes in read for shape in shapes} == set(cls.ranks)
    missing = {f"missing argument `{name}`" for name, field in cls.fields.items() if field.default is REQUIRED}
    assert all(any(text in use.message for use in samples.bad) for text in missing)


def test_table() -> None:
    assert list(OPS) == [op.op for family in FAMILIES.values() for op in family]
    assert len(OPS) == sum(map(len, FAMILIES.values()))
    for name, cls in OPS.items():
        assert cls.op == name
        assert not cls.__subclasses__(), f"{name} is final"
        first = inspect.getdoc(cls).splitlines()[0]  # what `archspec ops` and editors show
        assert first.endswith(").")
        assert len(first) < 120
        assert cls.torch.split("*")[0].rpartition(".")[2] in first or not cls.torch.startswith("nn."), first
        if cls.flops is not Op.flops:
            assert cls.work_doc, f"{name} says in words what its FLOPs are"
        for field in cls.fields.values():
            assert field.doc
            Draft7Validator.check_schema(field.kind.schema())


def claimed_twice(ops: dict[str, type[Op]]) -> list[str]:
    """Words that two ops, or two arguments of one op, claim as another name of theirs; and those that are taken."""
    words = [*ops, *SCOPES, *(word for op in ops.values() for word in op.also_called)]
    found = [word for word, count in Counter(words).items() if count > 1]
    for name, op in ops.items():
        words = [*op.fields, *STEP_KEYS, *(word for field in op.fields.values() for word in field.also_called)]
        found += [f"{name}: {word}" for word, count in Counter(words).items() if count > 1]
    return found


def test_other_names() -> None:
    assert claimed_twice(OPS) == []
    for op in OPS.values():
        words = [*op.also_called, *(word for field in op.fields.values() for word in field.also_called)]
        assert all(re.fullmatch("[a-z][a-z0-9_]*", word) for word in words), words
        assert op.also_called, f"nobody calls {op.op} anything else?"


def test_a_name_that_is_claimed_twice_is_found() -> None:
    class Twice(Op):
        op = "twice"
        torch = "nn.Identity"
        also_called = ("swish", "inline", "conv")
        one: int = arg(Int(), "an argument", 1, also_called=("x", "two", "when"))
        two: int = arg(Int(), "another", 2, also_called=("x",))

    assert claimed_twice({**OPS, "twice": Twice}) == [
        *("conv", "inline", "swish"),
        *("twice: two", "twice: when", "twice: x"),
    ]


@pytest.mark.parametrize(
    ("word", "op"),
    [
        *(("swish", "silu"), ("transpose", "permute"), ("resize", "upsample"), ("interpolate", "upsample")),
        *(("dense", "linear"), ("fc", "linear"), ("bn", "batch_norm"), ("mul", "multiply"), ("cat", "concat")),
        *(("deconv", "conv_transpose"), ("gap", "global_avg_pool"), ("conv2d", "conv"), ("view", "reshape")),
        *(("stochastic_depth", "drop_path"), ("dropout2d", "spatial_dropout"), ("maxpool", "max_pool")),
    ],
)
def test_what_people_call_it(word: str, op: str) -> None:
    assert [name for name, cls in OPS.items() if word in cls.also_called] == [op]


@pytest.mark.parametrize(
    ("op", "word", "field"),
    [
        *(("conv", "out_channels", "filters"), ("conv", "kernel_size", "kernel"), ("conv", "step", "stride")),
        *(("dropout", "p", "rate"), ("dropout", "prob", "rate"), ("linear", "out_features", "units")),
        *(("batch_norm", "epsilon", "eps"), ("upsample", "scale_factor", "scale"), ("softmax", "dim", "axis")),
        *(
            ("pad", "padding_mode", "mode"),
            ("max_pool", "kernel_size", "kernel"),
            ("group_norm", "num_groups", "groups"),
        ),
    ],
)
def test_what_people_call_an_argument(op: str, word: str, field: str) -> None:
    assert [name for name, each in OPS[op].fields.items() if word in each.also_called] == [field]


@pytest.mark.parametrize("op", OPS)
def test_the_sample_step_is_right(op: str) -> None:
    """What the reference shows can be loaded, for an input of one of the op's ranks."""
    sizes = [64, 14, 14, 14]
    found = []
    free = "- parameter: {name: table, shape: [4, 1]}\n- buffer: {name: index, values: [0]}\n"
    around = {
        "gather": (free, "- multiply: [before, gather]\n"),
        "parameter": ("", "- multiply: gamma\n"),
        "buffer": ("", "- multiply: grid\n"),
    }
    before, after = around.get(op, ("", ""))
    for rank in OPS[op].ranks or (2,):
        names = OPS[op].operand_names if OPS[op].reads_several() and OPS[op].arity else ("before",)
        steps = "\n".join(f"- identity: {{name: {name}, from: input}}" for name in names)
        text = f"input: {sizes[: rank + 1]}\nlayers:\n{steps}\n{before}{example(OPS[op])}\n{after}"
        try:
            found.append(archspec.loads(text).graph.nodes[-1 - bool(after)].op.op)
        except archspec.SpecError as error:
            assert error.diagnostics[0].code == "shape"  # noqa: PT017 - the order of a permute fits one rank only
    assert set(found) == {op}


# Uses that are right.


@pytest.mark.parametrize(("cls", "use"), GOOD)
def test_agrees_with_torch(cls: type[Op], use: Good) -> None:
    op = cls(use.inputs, use.arguments, leads=use.leads)
    counter = FlopCounterMode(display=False)
    with counter:
        result, modules = on_device("meta", op.calls(), use.inputs, use.leads)
    assert tuple(result.shape) == ({Lead.BATCH: (BATCH,), Lead.ONE: (1,)}.get(op.lead, ()) + op.output)
    assert on_device("cpu", op.calls(), use.inputs, use.leads)[0].shape == result.shape
    if not use.inputs:
        assert result.shape == sum([*op.weights().values(), *op.buffers().values()], ())
        assert (op.params, op.buffer_elements) == ((result.numel(), 0) if op.weights() else (0, result.numel()))
        return
    stateful = [module for module in modules if module.state_dict()]
    assert len(stateful) <= 1
    module = stateful[0] if stateful else torch.nn.Identity()
    assert shapes(module.named_parameters()) == op.weights()
    assert shapes(module.named_buffers()) == op.buffers()
    assert op.params == sum(parameter.numel() for parameter in module.parameters())
    assert op.buffer_elements == sum(buffer.numel() for buffer in module.buffers())
    assert counter.get_total_flops() == BATCH * 2 * op.macs()
    assert bool(op.macs()) == op.weighted or not op.weights()
    assert op.flops() >= 2 * op.macs()


@pytest.mark.parametrize(("cls", "use"), GOOD)
def test_canonical_arguments(cls: type[Op], use: Good) -> None:
    """`args()` is JSON data that means the same op, and what goes in and comes out fits the schema."""
    op = cls(use.inputs, use.arguments, leads=use.leads)
    again = cls(use.inputs, json.loads(json.dumps(op.args())), leads=use.leads)
    assert again == op
    assert hash(again) == hash(op)
    assert (again.output, again.calls(), again.flops()) == (op.output, op.calls(), op.flops())
    for arguments in (op.args(), use.arguments):
        for name, value in arguments.items():
            if value is not None:
                Draft7Validator(cls.fields[name].kind.schema()).validate(value)
    assert op.summary().isprintable()
    assert len(op.summary()) < 60
    assert repr(op).startswith(f"{cls.op}(")


# Uses that are wrong.


@pytest.mark.parametrize(("cls", "use"), BAD)
def test_refuses(cls: type[Op], use: Bad) -> None:
    with pytest.raises(Complaint) as caught:
        cls(use.inputs, use.arguments, leads=use.leads)
    error = caught.value
    assert error.code == use.code
    assert error.code in CODES
    assert use.message in error.message
    assert error.message.startswith(cls.op)
    assert error.argument in {None, "from", *cls.fields}
    wrong = json.dumps(use.arguments.get(error.argument))
    if error.code == "type" and ".0" not in wrong:  # JSON Schema takes 3.0 for an integer
        assert not Draft7Validator(cls.fields[error.argument].kind.schema()).is_valid(json.loads(wrong))


@pytest.mark.parametrize(("cls", "use"), [case for case in BAD if case.values[1].torch])
def test_torch_refuses_as_well(cls: type[Op], use: Bad) -> None:
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        on_device("cpu", (use.torch,), use.inputs)


def test_an_applied_op_does_not_change() -> None:
    op = OPS["relu"](((8,),), {})
    with pytest.raises(AttributeError, match="set already"):
        op.output = (9,)
    assert op != OPS["relu"](((9,),), {})
    assert op != OPS["tanh"](((8,),), {})


def test_operands_have_names() -> None:
    with pytest.raises(Complaint, match=r"^add: operands differ: 64x56x56 \(bn2\) and 128x28x28 \(input\)$"):
        OPS["add"](((64, 56, 56), (128, 28, 28)), {}, ("bn2", "input"))
    with pytest.raises(
        Complaint, match=r"^multiply: operands differ in more than axes of size 1: 12x9x8 \(conv\) and 6x1x1 \(gate\)$"
    ):
        OPS["multiply"](((6, 1, 1), (12, 9, 8)), {}, ("gate", "conv"))


# Any window.


def per_axis(rank: int, low: int, high: int) -> st.SearchStrategy[Any]:
    number = st.integers(low, high)
    return number | st.lists(number, min_size=rank, max_size=rank)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Shape, dict[str, Any]]:
    """An input of 1 to 3 spatial axes and the arguments of a window, many of which do not fit."""
    rank = draw(st.integers(1, 3))
    shape = (draw(st.sampled_from([1, 4, 6])), *draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank)))
    arguments = {
        "kernel": draw(per_axis(rank, 1, 5)),
        "stride": draw(per_axis(rank, 1, 4)),
        "padding": draw(per_axis(rank, 0, 3)),
        "dilation": draw(per_axis(rank, 1, 3)),
        "output_padding": draw(per_axis(rank, 0, 3)),
        "filters": draw(st.integers(1, 6)),
        "groups": draw(st.integers(1, 3)),
        "ceil_mode": draw(st.booleans()),
        "count_include_pad": draw(st.booleans()),
    }
    return shape, arguments


def torch_call(name: str, shape: Shape, given: dict[str, Any]) -> Call:
    """The torch module for the same words, written without the op."""
    rank, same = len(shape) - 1, ["stride", "padding"]
    arguments = {"kernel_size": given["kernel"]}
    if name in ("conv", "conv_transpose"):
        arguments |= {"in_channels": shape[0], "out_channels": given["filters"]}
        same += ["dilation", "groups"] + ["output_padding"] * (name == "conv_transpose")
    else:
        same += ["ceil_mode", "dilation" if name == "max_pool" else "count_include_pad"]
    for word in same:
        arguments[word] = given[word]
    return Call(OPS[name].torch.replace("*", str(rank)), arguments)


WINDOW_OPS = ["conv", "conv_transpose", "max_pool", "avg_pool"]


@pytest.mark.parametrize("name", WINDOW_OPS)
@settings(max_examples=300, deadline=None)
@given(case=windows())
def test_windows_agree_with_torch(name: str, case: tuple[Shape, dict[str, Any]]) -> None:
    """Both take it, and the output shape is the same; or both refuse it. An empty output is a refusal."""
    shape, arguments = case
    try:
        result, _ = on_device("cpu", (torch_call(name, shape, arguments),), (shape,))
        expected = tuple(result.shape[1:]) if result.numel() else None
    except (RuntimeError, ValueError):
        expected = None
    try:
        found = OPS[name]((shape,), arguments).output
    except Complaint:
        found = None
    assert found == expected


@pytest.mark.parametrize("name", [*WINDOW_OPS, "depthwise_conv"])
@settings(max_examples=200, deadline=None)
@given(case=windows(), data=st.data())
def test_uneven_windows_run(name: str, case: tuple[Shape, dict[str, Any]], data: st.DataObject) -> None:
    """Words and pairs as padding, which torch does not have: what the op takes, its calls can do."""
    shape, arguments = case
    rank = len(shape) - 1
    pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=rank, max_size=rank)
    arguments["padding"] = data.draw(st.sampled_from(["half", "same"]) | pairs)
    try:
        op = OPS[name]((shape,), arguments)
    except Complaint:
        return
    assert tuple(on_device("meta", op.calls(), (shape,))[0].shape) == (BATCH, *op.output)
    if arguments["padding"] == "same" and not arguments["ceil_mode"]:
        strides = arguments["stride"] if isinstance(arguments["stride"], list) else [arguments["stride"]] * rank
        assert op.output[1:] == tuple(-(-size // stride) for size, stride in zip(shape[1:], strides, strict=True))


# What meta tensors cannot show: the numbers.


def run(name: str, *inputs: Any, **arguments: Any) -> Any:
    return execute(OPS[name](tuple(tuple(x.shape[1:]) for x in inputs), arguments).calls(), list(inputs))[0]


def ramp(*shape: int) -> Any:
    return torch.arange(1.0, 1 + BATCH * torch.Size(shape).numel()).view(BATCH, *shape)


def test_layout_values() -> None:
    x = ramp(4, 5, 6)
    assert torch.equal(run("crop", x, amount=[[1, 0], [2, 3]]), x[:, :, 1:, 2:3])
    assert torch.equal(run("slice", x, start=-3, stop=-1, axis="height"), x[:, :, -3:-1])
    assert torch.equal(run("slice", x, start=1), x[:, 1:])
    assert torch.equal(run("permute", x, order=[2, 0, 1]), x.permute(0, 3, 1, 2))
    assert torch.equal(run("reshape", x, shape=[2, -1]), x.reshape(BATCH, 2, 60))
    assert torch.equal(run("concat", x, x[..., :1], axis="width"), torch.cat([x, x[..., :1]], 3))
    padded = run("pad", x, padding=[[1, 0], [0, 2]], value=7)
    assert torch.equal(padded[:, :, 1:, :-2], x)
    assert (padded[:, :, 0] == 7).all()
    assert (padded[..., -2:] == 7).all()


def test_layer_norm_values() -> None:
    x = torch.randn(BATCH, 7, 3, 4)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(run("layer_norm", x), expected, atol=1e-5)


def test_uneven_pooling_values() -> None:
    below_zero = -ramp(3, 4, 6)
    same = run("max_pool", below_zero, kernel=3, stride=2, padding="same")
    assert torch.equal(same, below_zero[:, :, ::2, ::2])  # the padding is below every number
    mean = run("avg_pool", torch.ones(BATCH, 3, 4, 4), kernel=3, stride=2, padding="same")
    assert torch.allclose(mean[0, 0], torch.tensor([[9.0, 6.0], [6.0, 4.0]]) / 9)  # its zeros count, at the end only


def test_drop_path() -> None:
    x = torch.ones(64, 3, 2)
    layer = layers.DropPath(0.25)
    torch.manual_seed(0)
    dropped = layer(x)
    torch.manual_seed(0)
    mask = torch.empty(64, 1, 1).bernoulli_(0.75).div_(0.75)
    assert torch.equal(dropped, x * mask)
    assert {round(value, 4) for value in dropped[:, 0, 0].tolist()} == {0.0, 1.3333}
    assert layer.eval()(x) is x
    assert layers.DropPath(0.0)(x) is x
    assert str(layer) == "DropPath(rate=0.25)"


def test_scale() -> None:
    layer = layers.Scale(3, init=0.5)
    assert layer.weight.requires_grad
    for shape in ((3,), (3, 2), (3, 2, 2), (3, 2, 2, 2)):
        assert torch.equal(layer(torch.ones(BATCH, *shape)), torch.full((BATCH, *shape), 0.5))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert layer(torch.ones(BATCH, 3, 2, 2))[:, :, 0, 0].tolist() == [[1.0, 2.0, 3.0]] * BATCH
    assert str(layer) == "Scale(3, init=0.5)"


# Figures counted by hand, and what tables show.

IMAGE = (4, 6, 6)


@pytest.mark.parametrize(
    ("name", "inputs", "arguments", "flops"),
    [
        ("conv", [IMAGE], {"filters": 2, "kernel": 3}, 2 * 2 * 4 * 4 * 4 * 9),
        ("linear", [(5,)], {"units": 3}, 2 * 5 * 3),
        ("batch_norm", [IMAGE], {}, 2 * 144),
        ("layer_norm", [IMAGE], {}, 7 * 144),
        ("instance_norm", [IMAGE], {}, 5 * 144),
        ("local_response_norm", [IMAGE], {"size": 3}, 8 * 144),
        ("relu", [IMAGE], {}, 144),
        ("softmax", [(10,)], {}, 50),
        ("max_pool", [IMAGE], {"kernel": 2}, 4 * 3 * 3 * 4),
        ("global_avg_pool", [IMAGE], {}, 144),
        ("adaptive_avg_pool", [IMAGE], {"size": 4}, 4 * 8 * 8),  # windows of 2 taps, two of which overlap
        ("add", [IMAGE] * 3, {}, 2 * 144),
        ("multiply", [(4, 1, 1), IMAGE], {}, 144),
        ("concat", [IMAGE, IMAGE], {}, 0),
        ("flatten", [IMAGE], {}, 0),
        ("upsample", [IMAGE], {"scale": 2}, 0),
        ("upsample", [IMAGE], {"scale": 2, "mode": "linear"}, 8 * 4 * 144),
        ("scale", [IMAGE], {}, 144),
        ("dropout", [IMAGE], {}, 0),
        ("identity", [IMAGE], {}, 0),
    ],
)
def test_flops(name: str, inputs: list[Shape], arguments: dict[str, Any], flops: int) -> None:
    assert OPS[name](tuple(inputs), arguments).flops() == flops


@pytest.mark.parametrize(
    ("name", "arguments", "summary"),
    [
        ("conv", {"filters": 8, "kernel": 3, "stride": 2, "groups": 2}, "3x3/2, 8, 2 groups"),
        ("depthwise_conv", {"kernel": [1, 3], "dilation": [1, 2], "multiplier": 2}, "1x3 d1x2, x2"),
        ("linear", {"units": 1000}, "1000"),
        ("batch_norm", {}, ""),
        ("batch_norm", {"eps": 1e-3, "affine": False}, "eps=0.001, affine=false"),
        ("group_norm", {"groups": 2}, "2 groups"),
        ("relu", {}, ""),
        ("leaky_relu", {"negative_slope": 0.2}, "negative_slope=0.2"),
        ("softmax", {"axis": "height"}, "axis=height"),
        ("max_pool", {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True}, "3x3/2, padding 1, ceil"),
        ("avg_pool", {"kernel": 2, "stride": 1, "padding": "same"}, "2x2, padding 0+1"),
        ("global_avg_pool", {}, ""),
        ("adaptive_avg_pool", {"size": [7, 1]}, "7x1"),
        ("pad", {"padding": [[0, 1], 2], "mode": "reflect"}, "0+1x2, reflect"),
        ("crop", {"amount": 1}, "1"),
        ("slice", {"start": -2, "axis": "width"}, "4:6, axis=width"),
        ("upsample", {"scale": 2}, "x2"),
        ("dropout", {"rate": 0.2}, "p=0.2"),
        ("drop_path", {"rate": 0.2}, "p=0.2"),
        ("scale", {"init": 1e-6}, "init=1e-06"),
    ],
)
def test_summary(name: str, arguments: dict[str, Any], summary: str) -> None:
    assert OPS[name]((IMAGE,), arguments).summary() == summary


def test_the_schema_of_a_number_has_its_bounds() -> None:
    """What the schema lets through is refused later, without the place of the number."""
    assert Float(0, 1).schema() == {"type": "number", "minimum": 0, "maximum": 1}
    assert Float(0, 1, open_minimum=True, open_maximum=True).schema() == {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
    }
    assert Float().schema() == {"type": "number"}


def test_the_schema_of_padding_counts_the_axes() -> None:
    schema = OPS["conv"].fields["padding"].kind.schema()
    validator = Draft7Validator(schema)
    assert [validator.is_valid([1] * count) for count in range(5)] == [False, True, True, True, False]
    assert [validator.is_valid([[1] * count]) for count in range(4)] == [False, False, True, False]


@pytest.mark.parametrize(
    ("right", "help"), [((5, 4), "swap the last two axes of the second: `permute: [1, 0]`"), ((5, 7), None)]
)
def test_matmul_advises_a_transpose_where_it_helps(right: Shape, help: str | None) -> None:
    with pytest.raises(Complaint, match="is not the one before the last of") as caught:
        OPS["matmul"]((((3, 4)), right), {})
    assert caught.value.help == help


@pytest.mark.parametrize(
    ("op", "argument", "words"),
    [
        ("gelu", "approximate", ("approximation", "tanh")),
        ("buffer", "values", ("data", "fill")),
        ("buffer", "persistent", ("saved",)),
        ("parameter", "shape", ("size", "dims")),
        ("attention", "dropout", ("p", "attn_drop")),
    ],
)
def test_arguments_have_other_names_elsewhere(op: str, argument: str, words: tuple[str, ...]) -> None:
    assert {*words} <= {*OPS[op].fields[argument].also_called}


def test_free_tensors_are_drawn_in_a_colour_of_their_own() -> None:
    others = {OPS[op].color for op in OPS if OPS[op].arity != 0}
    assert "" in others
    assert OPS["parameter"].color == OPS["buffer"].color not in others


def test_a_bias_of_attention_is_one_more_operation_for_each_pair() -> None:
    """6 for scaling and softmax, 7 with a bias, as the reference of the ops says."""
    shapes: tuple[Shape, ...] = ((5, 8), (5, 8), (5, 8))
    plain = OPS["attention"](shapes, {"heads": 2})
    assert plain.flops() == 2 * plain.macs() + 6 * 2 * 5 * 5
    biased = OPS["attention"]((*shapes, (2, 5, 5)), {"heads": 2, "bias": "table"})
    assert biased.flops() == plain.flops() + 2 * 5 * 5
