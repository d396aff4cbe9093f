"""ONNX: what onnxruntime computes from the file is what the module computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archspec

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

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


class Failing(torch.nn.Module):
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
