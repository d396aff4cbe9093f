"""Generated source: the same network as the graph says, bit for bit, in code that a person would have written."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import VARIANTS, sampled
from random_specs import random_spec

import archspec
from archspec.backends.source import generate, generate_source
from archspec.backends.source.strings import quoted
from archspec.backends.source.write import file
from archspec.network import Network, load, loads

torch = pytest.importorskip("torch")
from torch import fx  # noqa: E402
from torch_calls import execute  # noqa: E402

from archspec.backends.numerics import named, prepare  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from source_quality import RULES  # noqa: E402

ZOO = archspec.list_specs()
GOLDEN = ("lenet5", "alexnet", "vgg16", "resnet18", "resnet50", "googlenet", "mobilenet_v2", "efficientnet_b0")
SMALL = {
    "alexnet": 67,
    "googlenet": 64,
    "googlenet_paper": 64,
    "inception_v3": 299,
    "nin": 67,
    "squeezenet1_0": 67,
    **dict.fromkeys(("maxvit_t", "swin_t"), 224),
    "alexnet_torchvision": 67,
}
"""Input sizes at which the networks still have an output, and compute quickly."""
SEEDS = 40
TESTS = Path(__file__).parent
FIXTURES = {path.stem: path for path in sorted((TESTS / "fixtures/plans").glob("*.yaml"))}
UNSEEN = {f"unseen_{path.stem}": path for path in sorted((TESTS / "specs/unseen").glob("*.yaml"))}


@cache
def rendered(name: str) -> tuple[Network, str]:
    network = load(name)
    return network, generate_source(network)


def module_class(text: str) -> type[Any]:
    """The network's class, which is the last of the file."""
    found: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, "generated.py", "exec"), found)
    made: type[Any] = found[class_names(text)[-1]]
    return made


def class_names(text: str) -> list[str]:
    """The names of a file's classes."""
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]


def shapes(module: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def outputs_of(network: Network, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Compute the outputs of a graph, node by node, with the weights of `state`."""
    values = dict(inputs)
    batch = len(next(iter(inputs.values())))
    for node in network.graph.evaluation.nodes:
        if node.is_free:
            values[node.path] = state[node.path] if node.path in state else execute(node.op.calls(), [])[0]
            continue

        def load(module: Any, path: str = node.weights_of or node.path) -> None:
            own = {key: state[f"{path}.{key}"] for key in module.state_dict()}
            module.load_state_dict(own, assign=True)
            module.eval()

        with torch.device("meta"):
            shapes_ = node.op.inputs
            reads = [fitted(node.op.fits(n), values[path], batch, shapes_[n]) for n, path in enumerate(node.inputs)]
            values[node.path], _ = execute(node.op.calls(), reads, load)
    return {name: values[path] for name, path in network.graph.evaluation.outputs.items()}


def fitted(fit: str, value: Any, batch: int, shape: tuple[int, ...]) -> Any:
    """A free tensor of this shape as an op reads it that needs a batch."""
    if not fit:
        return value
    return torch.cat([value.reshape(1, *shape)] * (batch if fit == "expand" else 1))


@pytest.fixture(autouse=True)
def no_fast_path() -> Iterator[None]:
    """Torch has a faster `nn.MultiheadAttention`, with other bits, which it never takes within `torch.device`."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(before)


def check(network: Network, text: str) -> None:
    """The module of a rendered file has the keys and shapes of the graph, and computes the same bits."""
    passing = any(not node.op.persistent for node in network.graph.nodes)  # buffers that no state_dict brings
    with torch.device("cpu" if passing else "meta"):
        module = module_class(text)().eval()
    assert list(shapes(module).items()) == list(network.graph.state_dict().items())
    trial = prepare(network.graph)
    module.load_state_dict(trial.module.state_dict(), assign=True)
    inputs = dict(zip(network.graph.inputs, trial.inputs, strict=True))
    with torch.no_grad():
        wanted = outputs_of(network, module.state_dict(keep_vars=True), inputs)
        found = named(module(*trial.inputs), wanted)
    for name in wanted:
        assert found[name].shape == wanted[name].shape
        assert torch.equal(found[name].nan_to_num(7.0), wanted[name].nan_to_num(7.0))
        assert torch.equal(trial.outputs[name].nan_to_num(7.0), wanted[name].nan_to_num(7.0)), "of the module"


def check_arguments(text: str, again: Callable[..., Network]) -> None:
    """With other arguments, the class is the network with other params."""
    made = module_class(text)
    given_: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(made.__init__).parameters.items())[1:]:
        if parameter.default is parameter.empty:
            continue
        given_[name] = parameter.default + 16 if isinstance(parameter.default, int) else parameter.default / 2
    with torch.device("meta"):
        module = made(**given_)
    other = again(**given_)
    assert shapes(module) == other.graph.state_dict()
    rates = [node.op.rate for node in other.graph.nodes if node.op.op == "dropout" and node.weights_of is None]
    assert sorted(rates) == sorted(m.p for m in module.modules() if isinstance(m, torch.nn.Dropout))


# The zoo.


@pytest.mark.parametrize("name", ZOO)
def test_keys_and_shapes(name: str) -> None:
    """The keys of the state_dict, their order, and the shapes are those of the graph."""
    network, text = rendered(name)
    with torch.device("meta"):
        module = module_class(text)()
        outputs = module.eval()(*(torch.empty(1, *shape) for shape in network.graph.inputs.values()))
    assert list(shapes(module).items()) == list(network.graph.state_dict().items())
    wanted = network.graph.evaluation.outputs.values()
    found = [tuple(tensor.shape[1:]) for tensor in ([outputs] if len(wanted) == 1 else outputs.values())]
    assert found == [network.graph.shape(path) for path in wanted]
    check_arguments(text, lambda **params: load(name, **params))


@pytest.mark.parametrize("name", sampled("efficientnet_b5", "regnet_x_400mf", "resnext50_32x4d", "vgg16_bn"))
def test_same_bits(name: str) -> None:
    torch.manual_seed(0)
    network = load(name)
    size = SMALL.get(name, 32)
    small = {key: (shape[0], *(min(size, axis) for axis in shape[1:])) for key, shape in network.graph.inputs.items()}
    if name.startswith("lenet"):
        small = network.graph.inputs
    network = load(name, input=small, **({"num_classes": 10} if "num_classes" in network.params else {}))
    check(network, generate_source(network))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"source/{name}.py", rendered(name)[1])


def test_a_deeper_network_is_hardly_longer() -> None:
    assert len(rendered("resnet152")[1].splitlines()) <= len(rendered("resnet50")[1].splitlines()) + 5


def test_deterministic() -> None:
    code = "import archspec.backends.source as s; print(s.generate('efficientnet_b0'), s.generate('googlenet'), end='')"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout == f"{rendered('efficientnet_b0')[1]} {rendered('googlenet')[1]}"


def test_no_torch_is_imported() -> None:
    code = "import sys, archspec.backends.source as s; s.generate('resnet18'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_ruff(tmp_path: Path) -> None:
    """Clean as rendered, by ruff's own settings and by the rules of benchmarks/source_quality.py."""
    for name in ZOO:
        (tmp_path / f"{name}.py").write_text(rendered(name)[1], encoding="utf-8")
    for name, path in {**FIXTURES, **UNSEEN}.items():
        (tmp_path / f"{name}.py").write_text(generate_source(load(path)), encoding="utf-8")
    for seed in range(2 * SEEDS):
        text = generate_source(random_network(seed))
        if "\n        )[0]" not in text:  # ruff breaks the line within the brackets of `[0]`, which nobody would
            (tmp_path / f"random_{seed}.py").write_text(text, encoding="utf-8")
    _ruff(tmp_path)


def _ruff(folder: Path) -> None:
    """Neither complains; that `F` is no lower-case name only those rules say that `source_quality.py` asks for."""
    pytest.importorskip("ruff")
    for command in (["check", "--ignore", "RUF100"], ["check", "--select", RULES], ["format", "--check", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(folder)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


# Features of the language.


@pytest.mark.parametrize("name", FIXTURES)
def test_features(name: str) -> None:
    torch.manual_seed(0)
    network = load(FIXTURES[name])
    check(network, generate_source(network))


# The ecosystem: TorchScript and fx.

NAMED_BY_ROUND = (
    *("dense_blocks", "loop_over_a_list", "loop_over_mappings", "names_no_modules"),
    *("unseen_wavenet", "wavenet"),
)
"""Networks of which `forward` finds modules by names that it works out, `getattr(self, f"layer{index}")`.

The names are keys of the state_dict. TorchScript takes literals only: `getattr's second argument must be a string`.
"""
SCRIPTED = {name: name for name in ZOO if name not in VARIANTS} | UNSEEN | FIXTURES


@pytest.mark.parametrize("name", SCRIPTED)
def test_scripts_and_traces(name: str, tmp_path: Path) -> None:
    """`torch.jit.script` and `fx.symbolic_trace` take generated files, in training and in evaluation."""
    path = tmp_path / f"{name}.py"
    network = load(SCRIPTED[name])
    path.write_text(generate_source(network), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"generated_{name}", path)  # TorchScript reads the file
    assert spec is not None
    assert spec.loader is not None
    generated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generated)
    with torch.device("meta"):
        module = getattr(generated, class_names(path.read_text(encoding="utf-8"))[-1])()
    for training in (True, False):
        graph = fx.symbolic_trace(module.train(training)).graph
        called = {node.target for node in graph.nodes if node.op == "call_module"}
        stateful = {key.rpartition(".")[0] for key in module.state_dict()}
        called |= {node.target.rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
        # torch's attention holds a layer of its own, which it does not call
        reached = {owner for owner in stateful if owner in called or owner.rpartition(".")[0] in called}
        evaluated = {node.path for node in network.graph.evaluation.nodes}
        left_out = {owner for owner in stateful - reached if owner not in evaluated}
        assert stateful == reached | (set() if training else left_out)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch advises to export instead
            if name in NAMED_BY_ROUND:
                with pytest.raises(RuntimeError, match="getattr's second argument must be a string"):
                    torch.jit.script(module)
                return
            if network.graph.training:  # TorchScript has one type for what a forward returns
                with pytest.raises(RuntimeError):
                    torch.jit.script(module)
                return
            scripted = shapes(torch.jit.script(module))
            kept = {name for name in scripted.keys() - shapes(module).keys() if name in dict(module.named_buffers())}
            assert {key: shape for key, shape in scripted.items() if key not in kept} == shapes(module)


def test_a_default_sees_the_params_of_the_document() -> None:
    """Even where a block has another value of that name, with which the op would be other calls."""
    network = loads("""
        input: [4, 8, 8]
        params: {p: 1}
        defaults: {conv: {kernel: 3, padding: $p}}
        blocks:
          unit:
            params: {p: }
            layers: [{conv: "${p[0][1]}"}]
        layers:
          - unit: [[0, 6], [0, 1]]
          - unit: [[0, 8], [0, 1]]
    """)
    assert [node.op.output for node in network.graph.nodes] == [(6, 8, 8), (8, 8, 8)]
    check(network, generate_source(network))


# Networks of any size.


def work(text: str) -> int:
    """How many functions of ours are called to generate the source of a spec."""
    network, calls = loads(text), 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and "archspec" in frame.f_code.co_filename

    sys.setprofile(count)
    try:
        source = generate_source(network)
    finally:
        sys.setprofile(None)
    assert len(source) > len(text)
    return calls


def convs(count: int) -> str:
    layers = "".join(f"- conv: {{name: c{number}, filters: {4 + number % 3}}}\n" for number in range(count))
    return f"input: [4, 8, 8]\nlayers:\n{layers}"


def blocks(count: int) -> str:
    uses = "".join(f"- unit: {{name: u{number}, filters: {4 + number % 5}}}\n" for number in range(count))
    unit = "blocks: {unit: {params: {filters: }, layers: [{conv: $filters}, relu]}}"
    return f"input: [4, 8, 8]\n{unit}\nlayers:\n{uses}"


@pytest.mark.parametrize("spec", [convs, blocks])
def test_work_grows_with_the_network(spec: Callable[[int], str]) -> None:
    """Eight times the steps are at most 8.5 times the work."""
    count = 1000 if spec is convs else 250
    assert work(spec(8 * count)) <= 8.5 * work(spec(count))


@pytest.mark.parametrize("op", ["add", "concat"])
def test_thousands_of_operands(op: str) -> None:
    """No recursion over operands, whether they are many steps or one step often."""
    steps = "".join(f"- relu: {{name: r{number}, from: input}}\n" for number in range(1500))
    names = ", ".join(f"r{number}, input" for number in range(1500))
    network = loads(f"input: [1, 2, 2]\nlayers:\n{steps}- {op}: [{names}]\n")
    text = generate_source(network)
    made = module_class(text)().eval()
    x = torch.rand(1, 1, 2, 2)
    wanted = outputs_of(network, {}, {"input": x})
    assert torch.equal(made(x), next(iter(wanted.values())))


# Random networks.


@cache
def random_network(seed: int) -> Network:
    """The random network of that seed."""
    return loads(random_spec(seed))


@pytest.mark.parametrize("block", range(6))
def test_random_networks(block: int) -> None:
    torch.manual_seed(block)
    for seed in range(SEEDS * block, SEEDS * (block + 1)):
        network = random_network(seed)
        text = generate_source(network)
        try:
            check(network, text)
            check_arguments(text, lambda seed=seed, **params: loads(random_spec(seed), **params))
        except Exception as error:
            raise AssertionError(f"seed {seed}:\n{random_spec(seed)}\n{text}") from error


# Text of a spec.

PLAIN = """\
name: net
description: DESCRIPTION
reference: REFERENCE
input: [3, 8, 8]
layers: [{conv: {name: conv, filters: 4}}]
outputs: {first: conv, second: conv}
"""


def with_text(description: str, reference: str) -> str:
    text = PLAIN.replace("DESCRIPTION", json.dumps(description))
    return text.replace("REFERENCE", json.dumps(reference))


def skeleton(text: str) -> str:
    """The syntax tree without its literals."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


HOSTILE = [
    '"""\nimport os\n"""',
    'end"""',
    'ends with a quote "',
    "ends with a backslash \\",
    '\\"""\nraise SystemExit',
    "# coding: utf-7\n+AAo-import os",
    "a\rb\x0bc\x0cd\x85e\u2028f",
    "{{ 7 * 7 }} {% for x in y %} {# #}",
    "\u202eevil\u202c \u200b",
    "'''; import os; '''",
    "\\N{BULLET} \\x41 \\u0041",
    "ResNet)(: pass  # class",
    "x" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(text: str, tmp_path: Path) -> None:
    plain = generate_source(loads(with_text("d", "r")))
    source = generate_source(loads(with_text(text, text)))
    assert skeleton(source) == skeleton(plain)
    (tmp_path / "hostile.py").write_text(source, encoding="utf-8")
    _ruff(tmp_path)
    outputs = module_class(source)()(torch.zeros(1, 3, 8, 8))
    assert list(outputs) == ["first", "second"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_text_is_only_ever_a_literal(description: str, reference: str) -> None:
    try:
        network = loads(with_text(description, reference))
    except archspec.SpecError:
        return
    plain = generate_source(loads(with_text("d", "r" if network.reference else "")))
    assert skeleton(generate_source(network)) == skeleton(plain)


@given(st.text() | st.text("\\\\\"'\n{}"))
def test_a_literal_is_its_text(text: str) -> None:
    assert quoted(text).isprintable()
    assert ast.literal_eval(quoted(text)) == text


def test_text_in_expressions() -> None:
    """Text that a step compares with is a value, never code."""
    network = loads(
        """
        input: [3, 8, 8]
        blocks:
          b:
            params: {mode: }
            layers:
              - relu: {when: "${mode == 'a'}"}
              - sigmoid: {when: "${mode == '\\"); x = (\\"'}"}
        layers:
          - b: {mode: a}
          - b: {mode: '"); x = ("'}
        """
    )
    text = generate_source(network)
    held = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert '"); x = ("' in held
    assert skeleton(text) == skeleton(text.replace("x = (", "y"))
    check(network, text)


# Templates, and the rest of the face.


def test_own_template(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{{ class_name }}: {{ classes | map(attribute='name') | join(' ') }}\n", encoding="utf-8")
    assert generate("lenet5", template=str(path)) == "LeNet5: LeNet5\n"
    assert generate(load("resnet18"), template=str(path)) == "ResNet18: Residual ResNet18\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% for %}", "jinja:1: Expected"),
        ("\n{{ 1 / 0 }}", "jinja:2: ZeroDivisionError: division by zero"),
        ("{% include 'other' %}", "no loader"),
        ("{{ classes.pop(99) }}", "jinja:1: IndexError"),
        (None, "No such file"),
    ],
)
def test_faulty_template(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(archspec.UsageError, match=message):
        generate("lenet5", template=str(path))


def test_template_that_is_no_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jinja"
    os.mkfifo(path)  # reading it would wait for ever
    for each in (path, tmp_path):
        with pytest.raises(archspec.UsageError, match="is not a regular file"):
            generate("lenet5", template=str(each))


def test_the_names_of_a_template_are_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README of the templates lists what a template is given, and our own asks for nothing else."""
    given_: dict[str, Any] = {}
    monkeypatch.setattr(file, "_rendered", lambda variables, template: given_.update(variables) or "")
    generate("lenet5")
    folder = TESTS.parent / "templates"
    rows = re.findall(r"^\| (`.*?) \|", (folder / "README.md").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == given_.keys()
    parsed = jinja2.Environment().parse(  # noqa: S701 - nothing is rendered
        (folder / "module.py.jinja").read_text(encoding="utf-8")
    )
    assert jinja2.meta.find_undeclared_variables(parsed) <= given_.keys()
    parts = re.search(r"`classes` \| .*", (folder / "README.md").read_text(encoding="utf-8"))
    assert parts is not None
    assert {name for name in given_["classes"][0] if f"`{name}`" in parts[0]} == given_["classes"][0].keys()


def test_params() -> None:
    assert "num_classes: int = 7" in generate("lenet5", num_classes=7)
    with pytest.raises(archspec.UsageError, match="loaded already"):
        generate(load("lenet5"), num_classes=7)
