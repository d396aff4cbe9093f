"""Lowering: the module has the keys, shapes and results that the graph says, and lives as any other module does."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from networks import ZOO, resized, sampled
from op_samples import SAMPLES
from random_specs import random_spec

import archspec
from archspec.errors import Source, Span
from archspec.graph import Graph, Node, Scope
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.shapes import Lead

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from archspec.backends.build import build, compile  # noqa: E402
from archspec.backends.module import build_module  # noqa: E402
from archspec.backends.numerics import compare, draw_inputs, named, prepare  # noqa: E402

REFERENCE = Path(__file__).parent / "reference"


def inputs(graph: Graph, batch: int = 2, **options: Any) -> list[Any]:
    return [torch.randn(batch, *shape, **options) for shape in graph.inputs.values()]


def values(result: Any) -> list[Any]:
    return list(result.values()) if isinstance(result, dict) else [result]


def meta(graph: Graph, **options: Any) -> Any:
    with torch.device("meta"):
        return build_module(graph, **options)


def state_shapes(module: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(key, tuple(tensor.shape)) for key, tensor in module.state_dict().items()]


def one_op(op: str, sample: int) -> Graph:
    """A network of a single step, with the free tensors that it reads; one without a batch is added to an input."""
    use = SAMPLES[op].good[sample]
    names = tuple(f"x{position}" for position in range(len(use.inputs)))
    leads = use.leads or (Lead.BATCH,) * len(names)
    made: dict[str, tuple[Op, tuple[str, ...]]] = {}
    for name, shape, lead in zip(names, use.inputs, leads, strict=True):
        if op == "gather" and name == "x1":
            made[name] = OPS["buffer"]((), {"values": torch.zeros(shape, dtype=torch.int64).tolist()}), ()
        elif lead is not Lead.BATCH:
            made[name] = OPS["parameter"]((), {"shape": shape, "batch": lead is Lead.ONE, "init": {"normal": 1}}), ()
    inputs = {name: shape for name, shape in zip(names, use.inputs, strict=True) if name not in made}
    applied = OPS[op](use.inputs, use.arguments, names, use.leads)
    made["step"] = applied, names
    if applied.lead is not Lead.BATCH:
        inputs["x"] = applied.output or (2,)  # beside a single number, which has no axes
        read = inputs["x"], applied.output
        made["sum"] = OPS["add"](read, {}, ("x", "step"), (Lead.BATCH, applied.lead)), ("x", "step")
    span, scope = Span(Source("sample"), 1, 1), Scope("network", "", None)
    nodes = tuple(Node(path, each, reads, span, scope) for path, (each, reads) in made.items())
    return Graph("sample", inputs, nodes, {"step": nodes[-1].path})


# The zoo and the ops.


@pytest.mark.parametrize("name", ZOO)
def test_keys_shapes_and_result_of_every_spec(name: str) -> None:
    graph = archspec.load(name).graph
    module = meta(graph)
    assert state_shapes(module) == list(graph.state_dict().items())
    assert type(module).__name__ == graph.name
    results = values(module(*inputs(graph, device="meta")))
    assert [tuple(value.shape[1:]) for value in results] == [graph.shape(path) for path in graph.outputs.values()]


@pytest.mark.parametrize("op", OPS)
def test_every_op_lowers(op: str) -> None:
    for sample in range(len(SAMPLES[op].good)):
        graph = one_op(op, sample)
        module = build_module(graph)
        (result,) = values(module(*inputs(graph)))
        assert tuple(result.shape[1:]) == graph.shape(graph.outputs["step"])
        assert state_shapes(module) == list(graph.state_dict().items())


@pytest.mark.parametrize("op", [op for op in OPS if op not in ("log", "sqrt")])  # whose inputs must be positive
def test_every_op_compiles(op: str) -> None:
    trial = prepare(one_op(op, len(SAMPLES[op].good) - 1))
    trial.compare(torch.compile(trial.module, backend="aot_eager", fullgraph=True)(*trial.inputs))


@pytest.mark.parametrize("name", sampled("resnext50_32x4d"))
def test_compiles_as_one_graph(name: str) -> None:
    trial = prepare(resized(name).graph)
    assert trial.blind == ()
    with torch.no_grad():
        trial.compare(torch.compile(trial.module, backend="aot_eager", fullgraph=True)(*trial.inputs))


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_v2", "efficientnet_b0", "squeezenet1_0"])
def test_learns(name: str) -> None:
    module = build(resized(name, num_classes=10))
    result = module(*inputs(resized(name).graph))
    nn.functional.cross_entropy(result, torch.tensor([1, 2])).backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
    assert any(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "vgg16", "mobilenet_v2", "googlenet_noaux", "efficientnet_b0"]
)
def test_loads_the_state_dict_of_torchvision_strictly(name: str) -> None:
    """A state_dict made from the list of keys and shapes, as torchvision's own would be."""
    shapes = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))["state_dict"]
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.zeros((), dtype=torch.int64)
        if key.endswith("num_batches_tracked")
        else torch.rand(shape, generator=generator).div_(max(1, len(shape) ** 3))
        for key, shape in shapes
    }
    # vgg16's first linear layer fixes the size of its input.
    spec, size = name.removesuffix("_noaux"), 224 if name == "vgg16" else 64
    params = {"aux_logits": False} if name == "googlenet_noaux" else {}
    module = build(archspec.load(spec, input=(3, size, size), params=params)).eval()
    module.load_state_dict(state, strict=True)
    with torch.no_grad():
        result = module(torch.randn(1, 3, size, size))
    assert result.shape == (1, 1000)
    assert result.isfinite().all()


# Structure.


def test_the_hierarchy_is_that_of_the_spec() -> None:
    module = build("resnet50", device="meta")
    assert isinstance(module.layer2, nn.Sequential)
    assert isinstance(module.layer2[0].downsample, nn.Sequential)
    assert [len(module.get_submodule(f"layer{stage}")) for stage in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert type(module.layer1[1]) is type(module.layer3[5]), "equal blocks share their class"
    assert type(module.layer1[0]) is not type(module.layer1[1]), "one of them has a downsample"
    assert isinstance(module.layer1[0].relu, nn.ReLU)
    block = module.layer3[1](torch.empty(2, 1024, 7, 7, device="meta"))
    assert block.shape == (2, 1024, 7, 7), "a block can be called by itself"


def test_no_interpreter() -> None:
    source = inspect.getsource(type(build("resnet18", device="meta").layer1[0]).forward)
    assert "conv1 = self.conv1(x)" in source
    assert "for " not in source


def test_dropout_lives_in_training_only() -> None:
    module = build("efficientnet_b0", input=(3, 32, 32))
    kinds = {type(layer).__name__ for layer in module.modules()}
    assert {"Dropout", "DropPath"} <= kinds
    x = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        module(x)
        assert not torch.equal(module(x), module(x))
        module.eval()
        assert torch.equal(module(x), module(x))


def test_several_outputs_are_a_dict() -> None:
    net = archspec.load("googlenet", input=(3, 64, 64), aux_logits=True, num_classes=5)
    result = build(net)(torch.randn(2, 3, 64, 64))
    assert list(result) == ["fc", "aux1", "aux2"]
    assert all(value.shape == (2, 5) for value in result.values())


TANGLED = """
name: tangled
input: {self: [4, 8, 8], torch: [4, 8, 8], getattr: [4, 8, 8], inf: [4, 8, 8]}
blocks:
  two:
    inputs: [a, b]
    layers:
      - add: [a, b]
      - conv: {name: code, filters: 4, kernel: 3, padding: same, stride: 2}
layers:
  - add: {name: s, from: [self, torch, getattr, inf]}
  - max_pool: {kernel: 2, stride: 1, padding: same, name: graph}
  - sequential:
      name: meta
      layers:
        - conv: {filters: 4, name: a-b}
        - relu: {name: pop}
  - sequential:
      name: deep
      layers:
        - conv: {filters: 4, name: x}
        - relu: {name: torch}
        - crop: {amount: [[0, 0], [0, 0]], name: cut}
        - two: {name: code, from: [cut, x]}
  - concat: {from: [deep.torch, meta]}
  - multiply: [meta, deep.torch, s, s]
outputs: {the.first: meta, deep: deep, m: multiply, i: self, c: concat}
"""


def test_names_that_python_torch_and_fx_use_themselves() -> None:
    """Inputs and steps named as the generated code's own words, and values that leave a scope in the middle."""
    net = archspec.loads(TANGLED)
    module, given = build(net), inputs(net.graph)
    result = module(*given)
    assert list(result) == list(net.graph.outputs)
    for name, path in net.graph.outputs.items():
        assert tuple(result[name].shape[1:]) == net.graph.shape(path)
    x1, x2, x3, x4 = given
    s = x1 + x2 + x3 + x4
    pooled = module.graph(nn.functional.pad(s, (0, 1, 0, 1), value=float("-inf")))
    first = module.meta(pooled)
    x = module.deep.x(first)
    expected = {
        "the.first": first,
        "deep": module.deep.code.code(nn.functional.pad(x.relu() + x, (0, 1, 0, 1))),
        "m": first * x.relu() * s * s,
        "i": x1,
        "c": torch.cat([x.relu(), first], 1),
    }
    assert all(torch.equal(result[name], expected[name]) for name in expected)
    again = pickle.loads(pickle.dumps(module))(*given)
    assert all(torch.equal(result[name], again[name]) for name in result)


def test_argument_names_are_the_inputs() -> None:
    module = build("lenet5")
    x = torch.randn(1, 1, 28, 28)
    assert torch.equal(module(input=x), module(x))
    assert list(inspect.signature(module.forward).parameters) == ["input"]


def test_a_step_may_have_the_name_of_what_a_module_keeps() -> None:
    words = ("plan", "left_out", "steps", "arguments", "names", "graph", "code", "inplace", "module")
    text = "input: [4]\nlayers:\n" + "".join(f"  - linear: {{name: {word}, units: 4}}\n" for word in words)
    module = build(archspec.loads(text))
    assert [name for name, _ in module.named_children()] == list(words)
    assert module(torch.rand(2, 4)).shape == (2, 4)


def test_a_chain_of_ten_thousand_steps() -> None:
    module = build(archspec.loads("name: chain\ninput: [4]\nlayers:\n  - relu: {repeat: 10000}\n"))
    assert len(module._modules) == 10_000
    assert torch.equal(module(torch.tensor([[-1.0, 0, 1, 2]])), torch.tensor([[0.0, 0, 1, 2]]))


def test_scopes_within_scopes() -> None:
    lines = ["name: deep", "input: [4]", "layers:"]
    for level in range(30):
        lines += [f"{'  ' * 2 * level}  - sequential:", f"{'  ' * 2 * level}      layers:"]
    text = "\n".join([*lines, f"{'  ' * 2 * 30}  - linear: 4"])
    module = build(archspec.loads(text))
    assert module(torch.randn(1, 4)).shape == (1, 4)
    assert len(list(module.modules())) == 32


def test_an_input_that_is_the_output() -> None:
    module = build(archspec.loads("name: nothing\ninput: [4]\nlayers: [{relu: {when: false}}]\n"))
    x = torch.randn(2, 4)
    assert module(x) is x


# Features.


@functools.cache
def resnet() -> Any:
    torch.manual_seed(0)
    return build("resnet18", input=(3, 64, 64)).eval()


def test_features() -> None:
    names = ["layer4", "layer2", "layer3.0.relu"]
    module = build("resnet18", input=(3, 64, 64), features=names).eval()
    assert not [key for key in module.state_dict() if key.startswith("fc")], "what is not needed is left out"
    module.load_state_dict({key: value for key, value in resnet().state_dict().items() if not key.startswith("fc")})
    seen: dict[str, Any] = {}
    hooks = [
        resnet().get_submodule(name).register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
        for name in names
    ]
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = module(x)
        resnet()(x)
    for hook in hooks:
        hook.remove()
    assert list(found) == names
    assert all(torch.equal(found[name], seen[name]) for name in names)


def test_features_leave_out_what_they_do_not_need() -> None:
    module = build("resnet18", features=["layer2"], device="meta")
    assert {key.split(".")[0] for key in module.state_dict()} == {"conv1", "bn1", "layer1", "layer2"}
    partly = build("resnet18", features=["layer2.1.conv1"], device="meta")
    assert "layer2.1.conv2.weight" not in partly.state_dict()
    assert list(partly(torch.empty(1, 3, 64, 64, device="meta"))) == ["layer2.1.conv1"]


def test_every_value_can_be_a_feature() -> None:
    graph = archspec.load("googlenet").graph
    paths = [node.path for node in graph.nodes]
    found = meta(graph, features=paths)(torch.empty(1, 3, 224, 224, device="meta"))
    assert {path: tuple(value.shape[1:]) for path, value in found.items()} == {
        node.path: node.shape for node in graph.nodes
    }


def test_an_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(archspec.UsageError, match=r"resnet18 has no step `layer5`(.|\n)*did you mean `layer"):
        build("resnet18", features=["layer5"])
    with pytest.raises(archspec.UsageError, match="expected the name of a step, got none"):
        build("resnet18", features=[])


# As anybody's module.


def test_pickle_and_deepcopy() -> None:
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = resnet()(x)
        for other in (pickle.loads(pickle.dumps(resnet())), copy.deepcopy(resnet())):
            assert type(other) is type(resnet())
            assert not other.training
            assert torch.equal(other(x), expected)
            other.conv1.weight.zero_()
        assert torch.equal(resnet()(x), expected), "the copies share nothing"


def test_pickle_in_another_process(tmp_path: Path) -> None:
    x = torch.randn(1, 1, 28, 28)
    module = build("lenet5").eval()
    torch.save((module, x, module(x)), tmp_path / "module.pt")
    load = f"torch.load({str(tmp_path / 'module.pt')!r}, weights_only=False)"
    code = f"import torch; module, x, y = {load}; assert torch.equal(module(x), y)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes_and_memory_formats(dtype: str) -> None:
    module = build("mobilenet_v2", input=(3, 32, 32), dtype=dtype, memory_format="channels_last").eval()
    weight = module.features[0][0].weight
    assert weight.dtype is getattr(torch, dtype)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    result = module(torch.randn(1, 3, 32, 32, dtype=weight.dtype).to(memory_format=torch.channels_last))
    assert result.dtype is weight.dtype
    assert result.isfinite().all()
    assert module.state_dict()["features.0.1.num_batches_tracked"].dtype is torch.int64


def test_volumes_have_channels_last_too() -> None:
    net = archspec.loads("name: volume\ninput: [2, 8, 8, 8]\nlayers: [{conv: {filters: 4, kernel: 3}}]\n")
    weight = build(net, memory_format="channels_last").conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_exports() -> None:
    net = archspec.load("googlenet", input=(3, 64, 64), aux_logits=True)
    trial = prepare(net.graph)
    assert trial.blind == ()
    program = torch.export.export(trial.module, trial.inputs, dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert set(program.state_dict) == set(trial.module.state_dict())
    for batch in (2, 5):
        inputs = draw_inputs(net.graph, batch, torch.Generator().manual_seed(batch))
        outputs = net.graph.evaluation.outputs
        expected = named(trial.module(*inputs), outputs)
        compare(expected, named(program.module()(*inputs), outputs), trial.tolerances)


GLOO = """
import sys, torch, torch.distributed as dist
from torch import nn
from archspec.backends.build import build
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(rank)  # DistributedDataParallel gives both the weights of the first
module = build("notes_residual_block", input=(64, 8, 8))
model = nn.parallel.DistributedDataParallel(module)
torch.manual_seed(7)
x = torch.randn(4, 64, 8, 8)
model(x[rank::2]).square().mean().backward()
grads = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
both = [torch.empty_like(grads) for _ in range(2)]
dist.all_gather(both, grads)
assert torch.equal(*both) and grads.abs().sum() > 0
dist.destroy_process_group()
"""


def test_two_gloo_processes(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", GLOO, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)


# In place.


def copy_of(module: Any, graph: Graph, **options: Any) -> Any:
    """The same network with the same weights, built with these options."""
    found = build_module(graph, **options)
    found.load_state_dict(module.state_dict())
    return found


def gradients(module: Any, given: list[Any]) -> dict[str, Any]:
    """What a step of training computes: results, gradients by weights and inputs, statistics."""
    torch.manual_seed(1)
    leaves = [x.clone().requires_grad_() for x in given]
    results = values(module(*leaves))
    trained = [result.square().sum() for result in results if result.requires_grad]  # not of integers, say
    if trained:
        torch.autograd.backward(trained)
    found = {f"result {place}": result.detach().clone() for place, result in enumerate(results)}
    found |= {f"input {place}": leaf.grad for place, leaf in enumerate(leaves)}
    return found | dict(module.state_dict()) | {name: p.grad for name, p in module.named_parameters() if name}


def check_in_place(graph: Graph, **options: Any) -> None:
    """In place or not, a network computes the same bits, forward and backward, and leaves what it is given alone."""
    module = build_module(graph, **options)
    plain = copy_of(module, graph, inplace=False, **options)
    given = inputs(graph)
    before = [x.clone() for x in given]
    for training in (True, False):
        ours, theirs = (gradients(each.train(training), given) for each in (module, plain))
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            same = ours[name] is value if value is None else torch.equal(ours[name].nan_to_num(), value.nan_to_num())
            assert same, f"{name}, training: {training}"
    assert all(map(torch.equal, given, before))


def applied(op: str, sample: int, after: str = "relu") -> Graph:
    """An op, and an activation that alone reads its result."""
    graph = one_op(op, sample)
    relu = OPS[after]((graph.node("step").shape,), {}, ("step",))
    node = Node("after", relu, ("step",), Span(Source("sample"), 1, 1), graph.nodes[0].scope)
    return Graph("sample", graph.inputs, (*graph.nodes, node), {"after": "after"})


@pytest.mark.parametrize("op", [name for name, op in OPS.items() if op.overwritable])
def test_what_may_be_overwritten(op: str) -> None:
    for sample in range(len(SAMPLES[op].good)):
        for after in ("relu", "hardswish"):
            graph = applied(op, sample, after)
            assert build_module(graph).after.inplace
            check_in_place(graph)


def test_every_activation_that_can_overwrites() -> None:
    """Torch's own modules say which can. Those that round gradients otherwise do not, nor where torch refuses to."""
    found: dict[str, set[bool]] = {}
    for op in OPS:
        for sample in range(len(SAMPLES[op].good)):
            graph = one_op(op, sample)
            node = graph.node("step")
            (call, *_) = node.op.calls()
            takes = (
                call.target.startswith("nn.")
                and "inplace" in inspect.signature(getattr(nn, call.target[3:]).__init__).parameters
            )
            assert takes or not node.op.overwrites()
            if takes and "dropout" not in op:
                found.setdefault(op, set()).add(node.op.overwrites())
            if node.op.overwrites() and len(node.op.inputs) == 1:
                square = OPS["multiply"]((node.op.input, node.op.input), {}, ("x0", "x0"))
                first = Node("first", square, ("x0", "x0"), node.span, node.scope)
                last = Node("step", node.op, ("first",), node.span, node.scope)
                check_in_place(Graph("sample", graph.inputs, (first, last), {"step": "step"}))
    assert {op for op, answers in found.items() if True not in answers} == {"elu", "selu"}
    assert {op for op, answers in found.items() if False in answers} <= {"elu", "selu", "leaky_relu"}
    assert not OPS["leaky_relu"](((3,),), {"negative_slope": -0.1}).overwrites()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0", "googlenet"])
def test_in_place_over_the_zoo(name: str) -> None:
    check_in_place(resized(name, 32).graph)


def test_all_of_mobilenet_is_in_place_as_torchvisions_is() -> None:
    activations = [layer for layer in build("mobilenet_v2", device="meta").modules() if isinstance(layer, nn.ReLU6)]
    assert [layer.inplace for layer in activations] == [True] * 35
    assert not any(
        getattr(layer, "inplace", False) for layer in build("mobilenet_v2", device="meta", inplace=False).modules()
    )


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 80, 20)], ids=str)
def test_in_place_over_random_networks(seeds: range) -> None:
    """Every value of them can be a feature, and no module writes over its arguments."""
    for seed in seeds:
        graph = archspec.loads(random_spec(seed)).graph
        check_in_place(graph)
        paths = [node.path for node in graph.nodes]
        check_in_place(graph, features=paths[:: max(1, len(paths) // 5)])
        module = build_module(graph)
        for name, part in module.named_modules():
            if not name or not list(part.children()):
                continue

            def compare(part: Any, arguments: Any, result: Any, where: str = f"seed {seed}, {name}") -> None:
                copies = part.arguments.pop()
                assert all(map(torch.equal, arguments, copies)), f"{where}: wrote over what it was given"

            part.__dict__["arguments"] = []
            part.register_forward_pre_hook(lambda part, given: part.arguments.append([x.clone() for x in given]))
            part.register_forward_hook(compare)
        with torch.no_grad():
            module(*inputs(graph))


PRE_ACTIVATION = """
input: [4, 8, 8]
blocks:
  unit:
    layers:
      - relu
      - conv: {filters: 4, kernel: 3, padding: 1}
      - batch_norm
      - relu: {name: kept}
      - add: input
layers:
  - conv: {filters: 4}
  - unit
  - unit
  - relu: {name: last}
outputs: {sum: unit_2, last: last, kept: unit.batch_norm}
"""


def test_what_is_read_elsewhere_is_not_overwritten() -> None:
    """By a second step, by the caller, or outside the scope, where a hook or a call of the block by itself sees it."""
    module = build(archspec.loads(PRE_ACTIVATION))
    inplace = {name: layer.inplace for name, layer in module.named_modules() if isinstance(layer, nn.ReLU)}
    assert inplace == {
        "unit.relu": False,  # what the block was given
        "unit.kept": False,  # `unit.batch_norm` is an output
        "unit_2.relu": False,
        "unit_2.kept": True,
        "last": False,  # `unit_2` is an output
    }
    x = torch.randn(2, 4, 8, 8)
    before = x.clone()
    module.unit(x)
    assert torch.equal(x, before)


# Initialisation.


def test_initialised_as_torch_does() -> None:
    torch.manual_seed(3)
    module = build("lenet5")
    torch.manual_seed(3)
    assert torch.equal(module.c1.weight, nn.Conv2d(1, 6, 5, padding=2).weight)
    norm = build("resnet18", device="cpu").bn1
    assert torch.equal(norm.weight, torch.ones(64))
    assert torch.equal(norm.running_var, torch.ones(64))


# What `build` is asked for, and what it cannot do.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "the device gpu cannot be used"),
        ({"device": "cuda:99"}, "the device cuda:99 cannot be used"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"dtype": "float23"}, "did you mean `float32`"),
        ({"memory_format": "channels_first"}, "unknown memory_format 'channels_first'"),
        ({"compile": "fast"}, "unknown mode of compile 'fast'"),
        ({"freeze": True}, "freeze: only a compiled network can be frozen"),
        ({"init": "xavier"}, "unknown init 'xavier'"),
        ({"num_class": 3}, "did you mean `num_classes`"),
    ],
)
def test_wrong_calls(options: dict[str, Any], message: str) -> None:
    with pytest.raises(archspec.UsageError, match=message):
        build("lenet5", **options)


def test_a_loaded_network_has_its_params() -> None:
    net = archspec.load("lenet5", num_classes=4)
    assert build(net)(torch.randn(1, 1, 28, 28)).shape == (1, 4)
    with pytest.raises(archspec.UsageError, match="a loaded network has its params"):
        build(net, num_classes=5)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("[linear: 9000000000000000000]", "2\\*\\*63 bytes or more"),
        ("[linear: 900000000000000]", "the weights take"),
        ("[reshape: [8, 1], {upsample: 1000000000000000}]", "its output takes"),
        ("[reshape: [8, 1], {upsample: 4000000000000000000}]", "2\\*\\*63 bytes or more"),
    ],
)
def test_too_large_for_torch_or_the_memory(layers: str, message: str) -> None:
    net = archspec.loads(f"name: large\ninput: [8]\nlayers: {layers}\n")
    with pytest.raises(archspec.SpecError, match=message) as caught:
        build(net)
    (finding,) = caught.value.diagnostics
    assert finding.code == "limit"
    assert (finding.span.line, finding.span.source.name) == (3, "<spec>")


def test_meta_has_no_memory_to_exceed() -> None:
    net = archspec.loads("name: large\ninput: [8]\nlayers: [linear: 900000000000000]\n")
    assert build(net, device="meta")(torch.empty(1, 8, device="meta")).shape == (1, 900_000_000_000_000)


def test_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import archspec\nfrom archspec.backends.build import build\n"
        "try: build('lenet5')\n"
        "except archspec.UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "this needs torch, which is not installed" in done.stdout, done.stderr
    assert "pip install 'archspec-nn[torch]'" in done.stdout


# Compiled.

# torch's own code on the way to inductor.
OWN_WARNINGS = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


@OWN_WARNINGS
def test_compile_falls_back_to_eager_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import compile_fx

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")

    monkeypatch.setattr(compile_fx, "compile_fx", fails)
    module = compile("lenet5", device="cpu").eval()
    x = torch.randn(2, 1, 28, 28)
    with pytest.warns(
        RuntimeWarning, match=r"not compiled, runs eagerly: .*No working C\+\+ compiler found \("
    ) as caught:
        result = module(x)
    assert len(caught) == 1
    assert torch.equal(result, copy.deepcopy(module)(x))
    assert list(module.state_dict()) == list(archspec.load("lenet5").graph.state_dict())


@OWN_WARNINGS
def test_more_compiled_variants_than_torch_takes_of_one_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile gives up on a piece of code after 8 variants; each network here has its own."""
    from torch._inductor import compile_fx

    monkeypatch.setattr(compile_fx, "compile_fx", lambda module, inputs, **_: module.forward)
    for classes in range(2, 12):
        assert compile("lenet5", device="cpu", num_classes=classes)(torch.randn(1, 1, 28, 28)).shape == (1, classes)


SMALL = "input: [1, 8, 8]\nlayers: [conv: {filters: 4, kernel: 3}, batch_norm, relu, flatten, linear: 3]"


@OWN_WARNINGS
@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_weights_are_no_inputs_of_the_graph(freeze: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import compile_fx, config

    seen: list[Any] = []

    def compiled(module: Any, inputs: Any, **options: Any) -> Any:
        seen.append((len(inputs), config.freezing, torch.is_grad_enabled()))
        return module.forward

    monkeypatch.setattr(compile_fx, "compile_fx", compiled)
    net = archspec.loads(SMALL)
    weights = len(net.graph.state_dict()) - 1  # the counter of batch norm is not read in evaluation
    compile(net, device="cpu", freeze=freeze).eval()(torch.rand(2, 1, 8, 8))
    assert seen == [(1, True, False) if freeze else (1 + weights, False, True)]
    assert not config.freezing


@OWN_WARNINGS
def test_a_frozen_network_is_for_inference() -> None:
    net = archspec.loads(SMALL)
    module = compile(net, device="cpu", freeze=True)
    assert not module.training
    plain = build(net).eval()
    module.load_state_dict(plain.state_dict())
    x = torch.rand(2, 1, 8, 8)
    result = module(x)
    torch.testing.assert_close(result, plain(x).detach())
    assert not result.requires_grad
    with pytest.raises(archspec.UsageError, match="a frozen network computes no gradients"):
        module(x.clone().requires_grad_())
    with torch.no_grad():
        module(x.clone().requires_grad_())
    module.train()
    with pytest.raises(archspec.UsageError, match="this network is frozen for inference: its weights are constants"):
        module(x)
    module.eval()(x)
    module.load_state_dict(build(net).state_dict())
    with pytest.raises(archspec.UsageError, match="the weights of this frozen network have changed since its first"):
        module(x)
    torch.testing.assert_close(copy.deepcopy(module)(x), module._call_impl(x))
