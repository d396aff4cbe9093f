"""Import: what a source names, the proof and what it catches, what is written, and that it can be edited."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import imported_networks
import pytest
from imported_constructs import CONSTRUCTS
from imported_idioms import IDIOMS
from imported_networks import SMALL, Decides, Inexpressible, Net, OtherKernels, Small

import archspec
from archspec.errors import SpecError, UsageError

torch = pytest.importorskip("torch")

from archspec.importing import imported  # noqa: E402
from archspec.importing.proof import Reference, prove  # noqa: E402
from archspec.importing.sources import TorchModel, open_source  # noqa: E402

HERE = Path(__file__).parent
CHECKS = ["spec", "keys", "order", "params", "macs", "outputs"]
SHAPE = (3, 16, 16)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command_line: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in an empty folder from which the test's networks can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    return command_line


def has(library: str) -> bool:
    from archspec.importing.sources import LIBRARIES

    try:
        LIBRARIES[library]()
    except UsageError:
        return False
    return True


def small(network: type[torch.nn.Module] = Small) -> Reference:
    return Reference(TorchModel("Small", network().eval(), (torch.zeros(2, *SHAPE),)))


# The proof.


def test_the_proof_of_a_right_spec_passes() -> None:
    proof = prove(SMALL, small())
    assert [check.name for check in proof.checks] == CHECKS
    assert proof.passed, str(proof)
    assert "the same bits" in proof.checks[-1].detail


LEFT = "  - conv: {name: left, from: relu, filters: 4}\n"
RIGHT = "  - conv: {name: right, from: relu, filters: 4, kernel: 3, padding: 1}\n"

FAULTS = {
    "stride": ("stride: 2, ", "stride: 1, ", {"macs", "outputs"}),
    "eps": ("{name: norm}", "{name: norm, eps: 0.001}", {"outputs"}),
    "the order of a concat": ("[left, right]", "[right, left]", {"outputs"}),
    "a key": ("name: stem", "name: steam", {"keys"}),
    "a shape": ("name: left, from: relu, filters: 4", "name: left, from: relu, filters: 4, groups: 2", {"keys"}),
    "the order of the keys": (
        f"{LEFT}{RIGHT}",
        f"{RIGHT}{LEFT}",
        {"order"},
    ),
    "a buffer for a parameter": ("parameter: {", "buffer: {values: 1.0, ", {"params"}),
    "an activation": ("relu: {name: relu}", "gelu: {name: relu}", {"outputs"}),
    "a pooling": ("global_avg_pool", "global_max_pool", {"outputs"}),
    "what is read": ("name: right, from: relu", "name: right, from: norm", {"outputs"}),
    "a word": ("kernel: 3", "kernal: 3", {"spec"}),
    "outputs": ("input: [3, 16, 16]\n", "input: [3, 16, 16]\noutputs: [head, both]\n", {"outputs"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_check_and_no_other(fault: str) -> None:
    before, after, expected = FAULTS[fault]
    assert before in SMALL
    proof = prove(SMALL.replace(before, after), small())
    assert {check.name for check in proof.checks if not check.passed} == expected, str(proof)


def test_kernels_that_round_otherwise_are_compared_in_float64() -> None:
    proof = prove(SMALL, small(OtherKernels))
    assert proof.passed, str(proof)
    assert re.search(r"off by \S+ of their norm in float32, by \S+ in float64", proof.checks[-1].detail)
    wrong = prove(SMALL.replace("{name: norm}", "{name: norm, eps: 0.000011}"), small(OtherKernels))
    assert not wrong.checks[-1].passed


def test_the_proof_without_numbers() -> None:
    proof = prove(SMALL.replace("relu: {", "gelu: {"), small(), outputs=False)
    assert proof.passed
    assert "numbers were not compared" in proof.checks[-1].detail


def test_a_network_on_the_meta_device_is_made_again_for_its_numbers() -> None:
    with torch.device("meta"):
        module = Small().eval()
    model = TorchModel("Small", module, (torch.zeros(2, *SHAPE, device="meta"),), remake=lambda: Small().eval())
    assert "the same bits" in prove(SMALL, Reference(model)).checks[-1].detail


# Python.


def test_from_torch() -> None:
    module = Net()
    module.bn1.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [each.training for each in module.modules()]
    found = archspec.from_torch(module, torch.rand(1, *SHAPE))
    assert found.proved, str(found.proof)
    assert found.name == found.network.name == "Net"
    assert str(found) == found.text
    assert [each.training for each in module.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert list(found.network.graph.state_dict()) == list(before)


@pytest.mark.parametrize("network", CONSTRUCTS, ids=lambda network: network.__name__)
def test_a_construct_is_understood(network: Any) -> None:
    torch.manual_seed(0)
    found = archspec.from_torch(network(), torch.randn(2, 3, 16, 16))
    assert found.proved, f"{found.proof}\n{found.text}"


@pytest.mark.parametrize(("network", "shape", "has", "lacks"), IDIOMS, ids=[idiom[0].__name__ for idiom in IDIOMS])
def test_an_idiom_is_the_op_that_it_is(network: Any, shape: tuple[int, ...], has: str, lacks: str) -> None:
    torch.manual_seed(0)
    found = archspec.from_torch(network(), torch.randn(shape))
    assert found.proved, f"{found.proof}\n{found.text}"
    assert re.search(has, found.text), found.text
    assert not re.search(lacks, found.text), found.text


def test_blocks_and_repeats_are_recovered() -> None:
    found = archspec.from_torch(Net(depth=4), torch.rand(2, *SHAPE))
    text = found.text
    assert not found.flat
    assert text.count("residual:") >= 3, text
    assert "repeat:" in text
    assert "when:" in text
    assert len(text.splitlines()) < 40, text


def test_a_flat_spec() -> None:
    found = archspec.from_torch(Net(), torch.rand(2, *SHAPE), flat=True, name="flat one")
    assert found.proved, str(found.proof)
    assert found.flat
    assert found.name == "flat_one"
    assert "blocks:" not in found.text


def test_the_weights_of_the_source(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    module = Net().eval()
    found = archspec.from_torch(module, torch.rand(2, *SHAPE))
    found.save_weights(tmp_path / "net.safetensors")
    found.save(tmp_path / "net.yaml")
    model = archspec.build(archspec.load(tmp_path / "net.safetensors")).eval()
    assert archspec.load_weights(model, tmp_path / "net.safetensors").fits
    given = torch.rand(2, *SHAPE)
    with torch.no_grad():
        assert torch.equal(model(given), module(given))
    assert (tmp_path / "net.yaml").read_text() == found.text
    with pytest.raises(UsageError, match="exists"):
        found.save(tmp_path / "net.yaml")


def test_a_module_on_the_meta_device_has_no_weights(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = Net()
    found = archspec.from_torch(module, torch.zeros(2, *SHAPE, device="meta"))
    assert found.proved, str(found.proof)
    assert "numbers were not compared" in found.proof.checks[-1].detail
    with pytest.raises(UsageError, match="has no weights"):
        found.save_weights(tmp_path / "net.safetensors")


@pytest.mark.parametrize("wrong", [(), ("text",), (torch.tensor(1.0),)], ids=["none", "text", "no batch"])
def test_example_inputs_are_tensors(wrong: Any) -> None:
    with pytest.raises(UsageError, match="example_inputs"):
        archspec.from_torch(Net(), wrong)


# A proof that fails.


def test_a_structure_that_is_wrong_gives_way_to_the_flat_form(run: Run) -> None:
    recover = imported.recover

    def wrong(program: Any, *, flat: bool = False) -> str:
        text = recover(program, flat=flat)
        return text if flat else text.replace("relu", "gelu")

    with mock.patch.object(imported, "recover", wrong):
        status, out, err = run("import", "imported_networks:Net", "--input", "3x16x16")
    assert status == 0
    assert "blocks:" not in out
    assert "FAIL  outputs" in err
    assert "one step a layer instead" in err
    assert archspec.loads(out).graph.state_dict()


def test_a_structure_that_cannot_be_recovered_gives_way_too(run: Run) -> None:
    recover = imported.recover

    def failing(program: Any, *, flat: bool = False) -> str:
        if not flat:
            raise IndexError("too bold")
        return recover(program, flat=flat)

    with mock.patch.object(imported, "recover", failing):
        status, out, err = run("import", "imported_networks:Net", "--input", "3x16x16")
    assert status == 0
    assert "blocks:" not in out
    assert "the structure was not recovered (IndexError: too bold)" in err


def test_nothing_is_written_where_the_proof_fails(run: Run) -> None:
    recover = imported.recover

    def wrong(program: Any, *, flat: bool = False) -> str:
        return recover(program, flat=flat).replace("relu", "gelu")

    with mock.patch.object(imported, "recover", wrong):
        status, out, err = run("import", "imported_networks:Net", "--input", "3x16x16", "-o", "net.yaml")
        assert (status, out) == (1, "")
        assert "nothing is written" in err
        assert not Path("net.yaml").exists()
        status, out, err = run("import", "imported_networks:Net", "--input", "3x16x16", "-o", "net.yaml", "--partial")
    assert status == 1
    assert "gelu" in Path("net.yaml").read_text()


def test_what_a_spec_cannot_express_is_told_op_by_op(run: Run) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.from_torch(Inexpressible(), torch.rand(2, *SHAPE))
    assert {finding.code for finding in caught.value.diagnostics} == {"import"}
    call = ("import", "imported_networks:Inexpressible", "--input", "3x16x16", "-o", "net.yaml")
    status, out, err = run(*call)
    assert (status, out) == (1, "")
    assert "fft" in err
    assert "imported_networks.py:" in err
    assert not Path("net.yaml").exists()
    status, out, err = run(*call, "--partial")
    assert status == 1
    assert "missing: " in err
    assert "conv" in Path("net.yaml").read_text()


# The command line.


def test_import_prints_the_spec_and_tells_the_proof(run: Run) -> None:
    status, out, err = run(
        "import", "imported_networks:Net", "--input", "3x16x16", "--kwargs", "{classes: 7, depth: 2}"
    )
    assert status == 0
    network = archspec.loads(out)
    assert [network.graph.shape(path) for path in network.graph.outputs.values()] == [(7,)]
    assert [line.split()[:2] for line in err.splitlines()] == [["ok", name] for name in CHECKS]


def test_import_writes_files(run: Run) -> None:
    pytest.importorskip("safetensors")
    call = ("import", "imported_networks:Net", "--input", "3x16x16", "-o", "net.yaml", "--weights", "net.safetensors")
    status, out, _ = run(*call, "--name", "mine")
    assert (status, out) == (0, "")
    assert archspec.load("net.yaml").name == "mine"
    assert archspec.load("net.safetensors").graph.structural_hash() == archspec.load("net.yaml").graph.structural_hash()
    status, _, err = run(*call)
    assert status == 2
    assert "net.yaml exists" in err


def test_a_file_of_python(run: Run) -> None:
    Path("mine.py").write_text((HERE / "imported_networks.py").read_text(encoding="utf-8"), encoding="utf-8")
    sys.modules.pop("mine", None)
    status, out, err = run("import", "mine.py:Small", "--input", "3x16x16", "--no-run")
    assert status == 0, err
    assert archspec.loads(out).name == "Small"
    assert "numbers were not compared" in err


def test_a_network_that_computes_when_it_is_made(run: Run) -> None:
    status, out, err = run("import", "imported_networks:NeedsNumbers", "--input", "3x16x16")
    assert status == 0, err
    assert "conv" in out


WRONG: dict[str, tuple[list[str], str]] = {
    "no source": (["nonsense"], "nonsense is not a source of a network\n   = help: "),
    "no module": (["no_such_package.nets:make"], "there is no module 'no_such_package'"),
    "no callable": (["imported_networks:Smal"], "imported_networks has no 'Smal'\n   = help: did you mean `Small`"),
    "no network": (["imported_networks:a_number"], "is not a network: it gives a int"),
    "it raises": (["imported_networks:fails"], "cannot be made: ValueError: no such variant ("),
    "an argument": (["imported_networks:Small", "--kwargs", "{clases: 3}"], "unexpected keyword argument 'clases'"),
    "kwargs": (["imported_networks:Small", "--kwargs", "3"], "--kwargs: expected a mapping"),
    "a shape": (["imported_networks:Small", "--input", "4x16x16"], "Small does not run on the input 4x16x16: "),
    "no shape": (["imported_networks:Small", "--input", "big"], "--input: expected a shape"),
    "an input": (["imported_networks:Small", "--input", "y=3x16x16"], "no such input\n   = help: it has `x`"),
    "a decision": (["imported_networks:Decides", "--input", "3x16x16"], "`if x.sum() > 0:`"),
    "a pickle": (["net.pth"], "net.pth: a file of this kind is a pickle, which runs code"),
    "a spec": (["net.yaml"], "it is a spec already"),
    "weights": (["net.safetensors"], "it holds weights and no network"),
    "a file of Python": (["nothing.py:make"], "nothing.py: no such file"),
    "options of a file": (["net.onnx", "--input", "3x16x16"], "--input: net.onnx says itself what goes into it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_source_gets_a_sentence(run: Run, case: str) -> None:
    arguments, message = WRONG[case]
    status, out, err = run("import", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("error[usage]: ")


def test_a_decision_is_told_with_its_line(run: Run) -> None:
    _, _, err = run("import", "imported_networks:Decides", "--input", "3x16x16")
    line = next(
        at for at, text in enumerate((HERE / "imported_networks.py").read_text().splitlines(), 1) if "x.sum()" in text
    )
    assert f"imported_networks.py:{line}: `if x.sum() > 0:`" in err
    with pytest.raises(UsageError, match="takes decisions by the values in tensors"):
        archspec.from_torch(Decides(), torch.rand(2, *SHAPE))


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_library_that_is_not_installed(library: str, run: Run) -> None:
    with mock.patch.dict(sys.modules, {library: None}):
        status, _, err = run("import", f"{library}:resnet50")
    assert status == 2
    assert f"{library} is not installed\n   = help: pip install {library}" in err


@pytest.mark.parametrize(
    ("source", "near"), [("torchvision:resnt50", "resnet50"), ("timm:convnext_tinny", "convnext_tiny")]
)
def test_an_unknown_network_of_a_library(run: Run, source: str, near: str) -> None:
    if not has(source.partition(":")[0]):
        pytest.skip("the library is not installed")
    status, _, err = run("import", source)
    assert status == 2
    assert f"did you mean `{near}`" in err
    assert f"`torchvision:{near}`" in run("import", near)[2] or near != "resnet50"


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ("torchvision:resnet18", (3, 224, 224)),
        ("torchvision:inception_v3", (3, 299, 299)),
        ("torchvision:vit_h_14", (3, 224, 224)),
        ("torchvision:r3d_18", (3, 16, 112, 112)),
        ("timm:convnext_tiny", (3, 224, 224)),
        ("timm:tf_efficientnet_b3", (3, 300, 300)),
    ],
)
def test_the_input_of_a_library_s_network_is_known(source: str, shape: tuple[int, ...]) -> None:
    if not has(source.partition(":")[0]):
        pytest.skip("the library is not installed")
    model = open_source(source)
    assert isinstance(model, TorchModel)
    assert [tuple(each.shape[1:]) for each in model.inputs] == [shape]
    assert all(value.is_meta for value in model.module.parameters())
    assert model.name == source.partition(":")[2]


def test_a_network_of_torchvision(run: Run) -> None:
    if not has("torchvision"):
        pytest.skip("torchvision is not installed")
    status, out, err = run("import", "torchvision:resnet18", "--input", "3x64x64")
    assert status == 0, err
    ours = archspec.load("resnet18", input=(3, 64, 64))
    assert archspec.loads(out).graph.state_dict() == ours.graph.state_dict()
    assert "reference: torchvision" in out
    assert [line.split()[:2] for line in err.splitlines()] == [["ok", name] for name in CHECKS]


# Exported programs.


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.rand(1, *SHAPE),)), path)
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None) -> None:
    """Change files within an archive, and add some."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**files, **(more or {})}.items():
            archive.writestr(f"{root}/{name}", change(name, data))


def test_an_exported_program(run: Run, exported: Path) -> None:
    pytest.importorskip("safetensors")
    status, out, err = run("import", str(exported), "--weights", "net.safetensors")
    assert status == 0, err
    assert "the same bits" in err
    assert archspec.loads(out).graph.state_dict() == archspec.load("net.safetensors").graph.state_dict()
    assert set(archspec.loads(out).graph.state_dict()) == set(Net().state_dict())


REFUSED: dict[str, tuple[Callable[[str, bytes], bytes], dict[str, bytes], str]] = {
    "a pickled weight": (
        lambda name, data: (
            data.replace(b'"use_pickle": false', b'"use_pickle": true', 1) if "weights_config" in name else data
        ),
        {},
        "holds a pickle",
    ),
    "pickled weights": (
        lambda name, data: data,
        {"data/weights/model.pt": b""},
        "holds a pickle (data/weights/model.pt)",
    ),
    "compiled code": (lambda name, data: data, {"data/aotinductor/model/a.so": b""}, "holds compiled code"),
    "a function that is no op": (
        lambda name, data: (
            data.replace(b"torch.ops.aten.relu.default", b"torch.os.system", 1) if name.startswith("models/") else data
        ),
        {},
        "calls 'torch.os.system', which is not an op of ATen",
    ),
    "an expression": (
        lambda name, data: (
            data.replace(b'"as_int": 16', b'"as_expr": {"expr_str": "print(1)", "hint": null}', 1)
            if name.startswith("models/")
            else data
        ),
        {},
        "computes sizes from others",
    ),
    "a name": (
        lambda name, data: (
            data.replace(b'"name": "relu"', b'"name": "relu; print(1)"') if name.startswith("models/") else data
        ),
        {},
        "is not a name",
    ),
    "guards": (
        lambda name, data: (
            json.dumps(json.loads(data) | {"guards_code": ["print(1)"]}).encode()
            if name.startswith("models/")
            else data
        ),
        {},
        "holds conditions on its inputs as code",
    ),
    "pickled inputs": (
        lambda name, data: b"cos\nsystem\n(S'true'\ntR." if "sample_inputs" in name else data,
        {},
        "holds a pickle (data/sample_inputs/model.pt)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_program_that_would_run_code_is_refused(run: Run, exported: Path, case: str) -> None:
    change, more, message = REFUSED[case]
    rewritten(exported, change, more)
    with mock.patch.object(torch.export, "load", side_effect=AssertionError("torch has loaded it")):
        status, out, err = run("import", str(exported))
    assert (status, out) == (2, ""), err
    assert message in err


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"x" * 1000], ids=["empty", "cut", "other"])
def test_a_file_that_is_no_program(run: Run, data: bytes) -> None:
    Path("net.pt2").write_bytes(data)
    status, out, err = run("import", "net.pt2")
    assert (status, out) == (1, "")
    assert "error[file]: net.pt2 is not a file of torch.export.save, or is damaged: " in err


def test_an_archive_of_something_else(run: Run) -> None:
    data = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, data)
    Path("net.pt2").write_bytes(data.getvalue())
    assert "net.pt2 is not a file of torch.export.save" in run("import", "net.pt2")[2]
    assert "net.pt2: no such file" in run("import", "nothing.pt2")[2].replace("nothing", "net")


# ONNX.


ONNX_CHECKS = ["spec", "keys", "params", "outputs"]


@pytest.fixture
def onnx_file(tmp_path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """An ONNX file of the small network, and its weights."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from archspec.backends.numerics import prepare

    network = archspec.loads(SMALL)
    module = prepare(network.graph).module
    archspec.export_onnx(network, tmp_path / "net.onnx", module)
    return str(tmp_path / "net.onnx"), {key: value for key, value in module.state_dict().items() if value.ndim}


def test_the_proof_of_an_onnx_file(onnx_file: tuple[str, dict[str, torch.Tensor]]) -> None:
    from archspec.importing.onnx_proof import prove_onnx

    proof = prove_onnx(SMALL, *onnx_file, name="net")
    assert [check.name for check in proof.checks] == ONNX_CHECKS
    assert proof.passed, str(proof)
    assert re.search(r"onnxruntime \S+ is off by \S+ of their norm", proof.checks[-1].detail)
    assert prove_onnx(SMALL, *onnx_file, name="net", outputs=False).passed


@pytest.mark.parametrize("fault", ["eps", "the order of a concat", "a key", "a shape", "an activation", "a word"])
def test_a_fault_fails_its_check_of_an_onnx_file(fault: str, onnx_file: tuple[str, dict[str, torch.Tensor]]) -> None:
    from archspec.importing.onnx_proof import prove_onnx

    before, after, expected = FAULTS[fault]
    proof = prove_onnx(SMALL.replace(before, after), *onnx_file, name="net")
    assert {check.name for check in proof.checks if not check.passed} == expected, str(proof)


@pytest.mark.parametrize("data", [b"", b"x" * 1000], ids=["empty", "other"])
def test_a_file_that_is_no_onnx(run: Run, data: bytes) -> None:
    pytest.importorskip("onnx")
    Path("net.onnx").write_bytes(data)
    status, out, err = run("import", "net.onnx")
    assert status in (1, 2)
    assert out == ""
    assert err.startswith("error[")
    assert "net.onnx" in err
    status, _, err = run("import", "nothing.onnx")
    assert status == 1
    assert "error[file]: nothing.onnx: no such file or directory" in err


# Editing.


def edited(text: str, pattern: str, new: str) -> str:
    """Return a spec with one place of it changed, as a person would."""
    found, count = re.subn(pattern, new, text, count=1)
    assert count == 1, f"{pattern} is not in\n{text}"
    return found


def test_an_imported_spec_is_edited() -> None:
    text = archspec.from_torch(Net(), torch.rand(2, *SHAPE)).text
    classes = archspec.loads(text, num_classes=7)
    assert [classes.graph.shape(path) for path in classes.graph.outputs.values()] == [(7,)]
    deeper = archspec.loads(edited(text, r"depths: \[3, 3, 3\]", "depths: [3, 5, 3]"))
    assert "layer2.4.conv1.weight" in deeper.graph.state_dict()
    wider = archspec.loads(edited(text, r"filters: 32", "filters: 48"))
    assert wider.graph.state_dict()["layer2.0.conv1.weight"] == (48, 16, 3, 3)
    for network in (classes, deeper, wider):
        with torch.no_grad():
            assert archspec.build(network).eval()(torch.rand(1, *SHAPE)).shape[0] == 1
        assert archspec.generate(network)


DEEPER = r"depths: \[(\d+)", "depths: [5"
EDITS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "resnet18": (DEEPER, (r"filters: 512", "filters: 384")),
    "resnext50_32x4d": (DEEPER, (r"filters: 1024", "filters: 768")),
    "densenet121": ((r"depth: 24", "depth: 32"), (r"filters: 64", "filters: 48")),
    "mobilenet_v2": (DEEPER, (r"filters: 96\b", "filters: 112")),
    "mnasnet1_0": (DEEPER, (r"filters: 192", "filters: 160")),
    "efficientnet_b0": (DEEPER, (r"filters: 112", "filters: 128")),
    "regnet_y_400mf": (DEEPER, (r"filters: 208", "filters: 256")),
    "shufflenet_v2_x1_0": (DEEPER, (r"conv: 1024", "conv: 512")),
    "squeezenet1_1": (DEEPER, (r"filters: 48", "filters: 40")),
    "swin_t": ((r"repeat: 6", "repeat: 8"), (r"filters: 96", "filters: 64")),
    "vgg16": ((r"( +- conv: 512\n +- relu\n)", r"\1\1"), (r"conv: 128", "conv: 96")),
}
"""Of each network the edits that make it deeper, and wider or narrower: what is looked for and what takes its place."""


@pytest.mark.parametrize("name", EDITS)
def test_an_imported_spec_of_torchvision_is_edited(name: str) -> None:
    if not has("torchvision"):
        pytest.skip("torchvision is not installed")
    found = imported.import_source(f"torchvision:{name}", imported.Options(outputs=False))
    assert found.proved, str(found.proof)
    before = found.network.graph.state_dict()
    classes = archspec.loads(found.text, num_classes=7)
    assert [classes.graph.shape(path) for path in classes.graph.outputs.values()] == [(7,)]
    deeper, wider = (archspec.loads(edited(found.text, *edit)) for edit in EDITS[name])
    assert len(deeper.graph.state_dict()) > len(before)
    assert len(wider.graph.state_dict()) == len(before)
    assert wider.graph.state_dict() != before
    for network in (classes, deeper, wider):
        shape = next(iter(network.graph.inputs.values()))
        with torch.device("meta"):
            assert archspec.build(network).eval()(torch.zeros(2, *shape)).shape[0] == 2


@pytest.mark.parametrize(("name", "most"), [("swin_b", 90), ("swin_v2_t", 120), ("maxvit_t", 155)])
def test_a_network_of_windows_is_short(name: str, most: int) -> None:
    if not has("torchvision"):
        pytest.skip("torchvision is not installed")
    found = imported.import_source(f"torchvision:{name}", imported.Options(outputs=False))
    assert found.proved, str(found.proof)
    assert len(found.text.splitlines()) <= most, found.text
    assert found.text.count("attention: {from:") == 1


def test_the_sources_of_the_tests_are_those_of_the_tests() -> None:
    assert Path(imported_networks.__file__).parent == HERE
