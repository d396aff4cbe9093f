"""ONNX: what onnxruntime computes from the file is what the module computes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import archspec

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnx_ir = pytest.importorskip("onnx_ir")
onnxruntime = pytest.importorskip("onnxruntime")

import archspec.backends.onnx as backend  # noqa: E402
from archspec.backends.build import build  # noqa: E402
from archspec.backends.numerics import compare, draw_inputs, named, prepare  # noqa: E402
from archspec.backends.onnx import export_onnx  # noqa: E402
from archspec.backends.weights import save_weights  # noqa: E402

pytestmark = pytest.mark.xdist_group("onnx")  # the exporter takes seconds to import

TWO = """
name: two
input: {image: [3, 8, 8], more: [5]}
layers:
  - conv: {name: conv, filters: 5, kernel: 3, padding: same, stride: 2, from: image}
  - batch_norm
  - global_avg_pool
  - flatten
  - add: {name: sum, from: [flatten, more]}
  - dropout: {name: drop}
  - concat: {name: cat, from: [drop, more]}
outputs: {first: sum, second: cat}
"""


def run(path: Path, inputs: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(None, {k: v.numpy() for k, v in inputs.items()})]


@pytest.mark.parametrize("dynamic", [False, True], ids=["one sample", "any batch"])
def test_several_inputs_and_outputs(dynamic: bool, tmp_path: Path) -> None:
    net = archspec.loads(TWO)
    trial = prepare(net.graph)
    assert trial.blind == ()
    module = trial.module.train()
    export_onnx(net, tmp_path / "two.onnx", module, dynamic)
    assert module.training, "left as it was"
    proto = onnx.load(tmp_path / "two.onnx")
    assert [value.name for value in proto.graph.input] == ["image", "more"]
    assert [value.name for value in proto.graph.output] == ["first", "second"]
    dimensions = {value.type.tensor_type.shape.dim[0].dim_param for value in (*proto.graph.input, *proto.graph.output)}
    assert dimensions == ({"batch"} if dynamic else {""})
    assert [entry.name for entry in tmp_path.iterdir()] == ["two.onnx"], "one file holds it all"
    module.eval()
    for batch in (1, 3) if dynamic else (1,):
        image, more = draw_inputs(net.graph, batch, torch.Generator().manual_seed(batch))
        found = run(tmp_path / "two.onnx", {"image": image, "more": more})
        compare(module(image, more), named(found, net.graph.outputs), trial.tolerances)


def test_a_network_with_its_weights(tmp_path: Path) -> None:
    net = archspec.load("mobilenet_v1_025", input=(3, 32, 32), num_classes=10)
    trial = prepare(net.graph)
    assert trial.blind == ()
    save_weights(trial.module, tmp_path / "weights.safetensors", net)
    export_onnx(net, tmp_path / "net.onnx", tmp_path / "weights.safetensors")
    trial.compare(torch.cat([run(tmp_path / "net.onnx", {"input": x[None]})[0] for x in trial.inputs[0]]))


# What is checked.

CHAIN = """
name: chain
input: [3, 8, 8]
layers:
  - conv: {name: first, filters: 4, kernel: 3, padding: 1}
  - relu
  - conv: {name: second, filters: 4, kernel: 3, stride: 2, padding: 1}
  - sigmoid
  - flatten
  - linear: {name: fc, units: 5}
"""


def scaled_up(program: Any) -> None:
    """Another weight."""
    weights = program.model.graph.initializers["first.weight"]
    weights.const_value = onnx_ir.tensor(weights.const_value.numpy() * 1.1)


def moved(program: Any) -> None:
    """The window of a convolution begins elsewhere."""
    *_, conv = [node for node in program.model.graph if node.op_type == "Conv"]
    conv.attributes["pads"] = onnx_ir.AttrInt64s("pads", [0, 0, 2, 2])


def other_step(program: Any) -> None:
    """Another function takes the place of one."""
    (step,) = [node for node in program.model.graph if node.op_type == "Sigmoid"]
    step.op_type = "HardSigmoid"


@pytest.mark.parametrize(("fault", "visible"), [(scaled_up, True), (moved, False), (other_step, True)])
def test_a_file_that_computes_something_else_is_not_written(
    fault: Callable[[Any], None], visible: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = archspec.loads(CHAIN)
    module = build(net)
    with torch.no_grad():
        if not visible:
            for parameter in (module.first.weight, module.second.weight, module.fc.weight):
                parameter.mul_(1e-3)
    export_onnx(net, tmp_path / "right.onnx", module)
    exported = backend._exported

    def wrong(*arguments: Any) -> Any:
        program = exported(*arguments)
        fault(program)
        return program

    monkeypatch.setattr(backend, "_exported", wrong)
    with pytest.raises(archspec.UsageError, match=r"the file of chain computes something else: `fc` is off by \S+ of"):
        export_onnx(net, tmp_path / "wrong.onnx", module)
    assert [entry.name for entry in tmp_path.iterdir()] == ["right.onnx"]
    if not visible:  # the file itself does not show it
        monkeypatch.setattr(backend, "prepare", lambda *args, **options: replace(prepare(*args, **options), blind=()))
        export_onnx(net, tmp_path / "wrong.onnx", module)


def test_where_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = archspec.loads(CHAIN)
    half = build(net, dtype="bfloat16")
    with pytest.raises(archspec.UsageError, match=r"the ONNX file of chain is not valid with opset 20: .*bfloat16"):
        export_onnx(net, tmp_path / "half.onnx", half, opset=20)
    done = export_onnx(net, tmp_path / "half.onnx", half, opset=22)
    assert (done.deviation, done.remark) == (None, "not run: onnxruntime has no bfloat16 on the CPU")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = export_onnx(net, path := tmp_path / "net.onnx")
    assert str(done) == f"{path}: opset {done.opset}, not run: onnxruntime is not installed"
    assert done.deviation is None


# The file.


def test_opsets(tmp_path: Path) -> None:
    net = archspec.loads(CHAIN)
    done = export_onnx(net, tmp_path / "net.onnx", opset=19)
    assert done.opset == 19
    assert [entry.version for entry in onnx.load(tmp_path / "net.onnx").opset_import if not entry.domain] == [19]
    for opset in (99, 3):
        with pytest.raises(archspec.UsageError, match=f"torch cannot export chain with opset {opset}\n"):
            export_onnx(net, tmp_path / "other.onnx", opset=opset)


def test_files_are_alike_and_say_nothing_of_the_machine(tmp_path: Path) -> None:
    net = archspec.loads(CHAIN)
    files = [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    for path in files:
        before = torch.get_rng_state()
        export_onnx(net, path)
        assert torch.equal(torch.get_rng_state(), before), "torch's random state is the caller's"
        torch.rand(1)
    one, two = (path.read_bytes() for path in files)
    assert one == two
    for folder in (torch.__file__, archspec.__file__, __file__):
        assert str(Path(folder).parent).encode() not in one
    proto = onnx.load(files[0])
    keys = {entry.key for node in proto.graph.node for entry in node.metadata_props}
    assert keys == {"namespace"}


def test_every_module_keeps_its_mode(tmp_path: Path) -> None:
    net = archspec.loads(TWO)
    module = build(net).train()
    module.batch_norm.eval()  # as one freezes it
    export_onnx(net, tmp_path / "net.onnx", module)
    assert {name: part.training for name, part in module.named_children()} == {
        name: name != "batch_norm" for name, _ in module.named_children()
    }


class Failing(torch.nn.Module):
    """A module that cannot be run."""

    def forward(self, x: Any) -> Any:
        raise RuntimeError("some step failed\nand a report of it")


def test_nothing_is_written_where_it_fails(tmp_path: Path) -> None:
    net = archspec.load("lenet5")
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(archspec.UsageError, match="exists"):
        export_onnx(net, path)
    save_weights(build("lenet5", num_classes=3), tmp_path / "other.safetensors")
    with pytest.raises(archspec.SpecError, match="of another shape"):
        export_onnx(net, path, tmp_path / "other.safetensors", force=True)
    with pytest.raises(archspec.UsageError, match="torch cannot export lenet5: some step failed"):
        export_onnx(net, path, failing := Failing(), force=True)
    assert failing.training, "left as it was"
    assert path.read_text() == "mine"
    assert {entry.name for entry in tmp_path.iterdir()} == {"net.onnx", "other.safetensors"}


def test_large_weights_go_into_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.backends.onnx.SIZE_LIMIT", 1000)
    net = archspec.load("lenet5")
    trial = prepare(net.graph)
    module = trial.module
    path, data = tmp_path / "net.onnx", tmp_path / "net.onnx.data"
    data.write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr("archspec.backends.onnx._exported", lambda *_: pytest.fail("asked after the work"))
        with pytest.raises(archspec.UsageError, match=r"net\.onnx\.data exists"):
            export_onnx(net, path, module)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx.data"]
    export_onnx(net, path, module, force=True)
    assert path.stat().st_size < 50_000 < 4 * 61_000 < data.stat().st_size
    (moved := tmp_path / "elsewhere").mkdir()
    for file in (path, data):
        file.rename(moved / file.name)
    trial.compare(torch.cat([run(moved / "net.onnx", {"input": x[None]})[0] for x in trial.inputs[0]]))
    assert not list(tmp_path.glob("*.onnx*"))


def test_too_large_for_the_memory(tmp_path: Path) -> None:
    net = archspec.loads("name: large\ninput: [8]\nlayers: [linear: 900000000000000]\n")
    with pytest.raises(archspec.SpecError, match=r"error\[limit\]: linear: the weights take"):
        export_onnx(net, tmp_path / "large.onnx")
    assert not list(tmp_path.iterdir())
