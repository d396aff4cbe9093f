"""Weights in files: what fits is loaded, what does not is reported, and the model then stays as it was."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archspec

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
from safetensors import SafetensorError, safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils.parametrizations import weight_norm  # noqa: E402
from torch.nn.utils.parametrize import register_parametrization  # noqa: E402
from torch.optim.swa_utils import AveragedModel  # noqa: E402

from archspec.backends.build import build  # noqa: E402
from archspec.backends.weights import (  # noqa: E402
    Mismatch,
    WeightsError,
    check_weights,
    load_weights,
    same_numbers,
    save_weights,
)
from archspec.report.bundle import bundle_spec  # noqa: E402
from archspec.report.spec import show_spec  # noqa: E402

SPEC = """
name: small
input: [3, 8, 8]
params: {num_classes: 4}
blocks:
  unit:
    params: {filters: }
    layers:
      - conv: {filters: $filters, kernel: 3, padding: half, bias: false}
      - batch_norm: {name: bn}
      - relu
layers:
  - unit: {name: layer, repeat: [8, 8, 16], filters: 8}
  - global_avg_pool
  - flatten
  - linear: {name: fc, units: $num_classes}
"""


def network(**params: Any) -> archspec.Network:
    return archspec.loads(SPEC, **params)


def model(**params: Any) -> Any:
    """With numbers in every tensor, so that a wrong one shows."""
    made = build(network(**params))
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.copy_(
                torch.randint(5, 99, tensor.shape) if not tensor.is_floating_point() else torch.rand(tensor.shape)
            )
    return made


def copied(module: Any) -> dict[str, Any]:
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A file, and what is in it."""
    source = model()
    save_weights(source, tmp_path / "small.safetensors", network())
    return tmp_path / "small.safetensors", copied(source)


# There and back.


def test_there_and_back(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    target = model()
    report = load_weights(target, path)
    assert same(copied(target), state)
    assert report.fits
    assert report.loaded == tuple(network().graph.state_dict())
    assert str(report) == f"written for         small\nloaded{len(state):12}"
    assert json.loads(json.dumps(report.to_dict()))["fits"] is True


def test_the_file_knows_its_network(saved: tuple[Path, dict[str, Any]]) -> None:
    with safe_open(saved[0], "pt") as file:
        metadata = file.metadata()
    assert {key: metadata[key] for key in ("name", "archspec", "structural_hash")} == {
        "name": "small",
        "archspec": archspec.__version__,
        "structural_hash": network().graph.structural_hash(),
    }
    assert metadata["spec"] == bundle_spec(network().elaboration, {})
    assert archspec.load(saved[0]).graph.to_json() == network().graph.to_json()
    assert load_weights(build(archspec.load(saved[0])), saved[0]).fits
    assert check_weights(model(), saved[0], "by-position").fits, "in the network's order, not that of the names"


@pytest.mark.parametrize(
    ("spec", "options"),
    [("mobilenet_v1_025", {"num_classes": 10, "input": (3, 32, 32)}), ("notes_residual_block", {"input": (64, 8, 8)})],
)
def test_the_file_has_the_spec_as_it_was_written(spec: str, options: dict[str, Any], tmp_path: Path) -> None:
    """With its blocks, so that the file gives the module and the source that the spec gives; overrides included."""
    net = archspec.load(spec, **options)
    path = tmp_path / "x.safetensors"
    save_weights(module := build(net), path, net)
    again = build(path)
    assert [(name, type(part).__name__) for name, part in again.named_modules()] == [
        (name, type(part).__name__) for name, part in module.named_modules()
    ]
    assert archspec.generate(path) == archspec.generate(net)
    messages = [[finding.message for finding in each.check()] for each in (net, archspec.load(path))]
    assert messages[0] == messages[1]


def test_blocks_come_back_as_their_class(saved: tuple[Path, dict[str, Any]]) -> None:
    assert type(build(saved[0]).layer[0]).__name__ == "unit"


def test_files_of_older_versions_hold_the_unrolled_spec(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    save_file(state, path, {"name": "small", "spec": show_spec(network().elaboration)})
    again = archspec.load(path)
    assert again.graph.to_json() == network().graph.to_json()
    assert load_weights(build(again), path, "by-position").fits


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """Safetensors writes the metadata in another order each time."""
    source, files = model(), [tmp_path / f"{number}.safetensors" for number in range(6)]
    for path in files:
        save_weights(source, path, network())
    assert len({path.read_bytes() for path in files}) == 1
    header, _ = header_of(files[0])
    assert list(header["__metadata__"]) == ["archspec", "format", "name", "spec", "structural_hash"]


def test_a_file_tells_whose_weights_it_holds(saved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="\n   = the file holds weights of small\n") as caught:
        load_weights(build("lenet5"), saved[0])
    assert caught.value.report.network == "small"
    assert str(caught.value.report).startswith("written for         small\nloaded           0\n")
    save_weights(model(), tmp_path / "nobodys.safetensors")
    assert check_weights(model(), tmp_path / "nobodys.safetensors").network is None


def test_a_file_must_not_claim_another_network(tmp_path: Path) -> None:
    with pytest.raises(archspec.UsageError, match="this model is not small as a whole"):
        save_weights(model(num_classes=5), tmp_path / "x.safetensors", network())
    assert not list(tmp_path.iterdir())
    save_weights(model(num_classes=5), tmp_path / "x.safetensors")


def test_a_network_that_could_not_be_loaded_again_is_not_written(tmp_path: Path) -> None:
    text = ", ".join(["x" * 3000] * 200)
    (tmp_path / "base.yaml").write_text(f"input: [8]\nparams: {{a: [{text}]}}\nlayers: [relu]\n")
    layers = 'layers: [dropout: "${len(a) - len(b)}"]'
    (tmp_path / "long.yaml").write_text(f"extends: base\nparams: {{b: [{text}]}}\n{layers}\n")
    with pytest.raises(archspec.UsageError, match="the bundle of long is larger than 1 MiB"):
        save_weights(nn.Identity(), tmp_path / "x.safetensors", archspec.load(tmp_path / "long.yaml"))
    assert not (tmp_path / "x.safetensors").exists()


def test_wrapped_models(saved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """torch.compile puts its own name before the keys; files have none of it."""
    path, state = saved
    target = model()
    wrapped = torch.compile(target, backend="eager")
    assert next(iter(wrapped.state_dict())).startswith("_orig_mod.")
    load_weights(wrapped, path)
    assert same(copied(target), state)
    save_weights(wrapped, tmp_path / "again.safetensors", network())
    load_weights(model(), tmp_path / "again.safetensors")


def test_memory_formats_and_dtypes(tmp_path: Path) -> None:
    source = model().to(torch.bfloat16).to(memory_format=torch.channels_last)
    save_weights(source, tmp_path / "x.safetensors", network())
    target = model().to(torch.bfloat16)
    assert load_weights(target, tmp_path / "x.safetensors").fits
    assert same(copied(target), copied(source))


def test_wrappers(tmp_path: Path) -> None:
    """Averages of a model, models on several devices, and those of which a part is compiled."""
    parts = model()
    parts.fc = torch.compile(parts.fc, backend="eager")
    assert "fc._orig_mod.weight" in parts.state_dict()
    averaged = AveragedModel(torch.compile(model(), backend="eager"))
    for number, wrapped in enumerate((parts, averaged, nn.DataParallel(model()))):
        path = tmp_path / f"{number}.safetensors"
        save_weights(wrapped, path, network())
        source = model()
        save_weights(source, path, network(), force=True)
        report = load_weights(wrapped, path)
        assert report.fits
        assert report.loaded == tuple(network().graph.state_dict())
        save_weights(wrapped, path, network(), force=True)
        target = model()
        assert load_weights(target, path).fits
        assert same(copied(target), copied(source))


class FullyShardedDataParallel(nn.Module):
    """Stands in for torch's, which needs an accelerator."""


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(archspec.UsageError, match=r"a FullyShardedDataParallel cannot be read(.|\n)*fully_shard"):
        save_weights(FullyShardedDataParallel(), path)
    with pytest.raises(archspec.UsageError, match="the model is on the meta device"):
        save_weights(build(network(), device="meta"), path, network())
    sparse = nn.Linear(3, 3)
    sparse.weight = nn.Parameter(sparse.weight.detach().to_sparse())
    with pytest.raises(archspec.UsageError, match=r"weight is sparse \(sparse_coo\)"):
        save_weights(sparse, path)
    assert not list(tmp_path.iterdir())


SHARDED = """
import sys, torch, torch.distributed as dist
from pathlib import Path
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
import archspec
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
net = archspec.load(folder / "net.yaml")
model = archspec.build(net)
for part in (model.layer[1], model):
    fully_shard(part, mesh=init_device_mesh("cpu", (2,)))
assert any(isinstance(tensor, DTensor) for tensor in model.state_dict().values())
whole = lambda tensor: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).clone()
full = lambda: {key: whole(tensor) for key, tensor in model.state_dict().items()}
before = full()
report = archspec.check_weights(model, folder / "wrong.safetensors")
assert [str(m) for m in report.wrong_shape] == ["fc.weight (5x8 in the file, 4x8 in the model)"], report
try:
    archspec.load_weights(model, folder / "wrong.safetensors")
    raise AssertionError("loaded")
except archspec.WeightsError:
    assert all(torch.equal(tensor, before[key]) for key, tensor in full().items())
assert archspec.load_weights(model, folder / "full.safetensors").fits
assert model.eval()(torch.rand(2, 3, 8, 8)).shape == (2, 4)
archspec.save_weights(model, folder / "again.safetensors", net)
dist.barrier()
loaded = archspec.build(net)
archspec.load_weights(loaded, folder / "full.safetensors")
assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in full().items())
dist.destroy_process_group()
"""


def test_sharded_models(tmp_path: Path) -> None:
    """Two processes with half of every tensor each (FSDP2): they read whole files, and the first one writes one."""
    (tmp_path / "net.yaml").write_text(SPEC, encoding="utf-8")
    save_weights(model(), tmp_path / "full.safetensors", network())
    state = copied(model())
    state["fc.weight"] = torch.zeros(5, 8)
    save_file(state, tmp_path / "wrong.safetensors")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARDED, str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "full.safetensors").read_bytes()


# Parametrised models.


class Doubled(nn.Module):
    """A parametrisation that cannot be undone."""

    def forward(self, x: Any) -> Any:
        return 2 * x


def test_parametrised_models(saved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """A file has what the parametrisation makes, under the plain name; what it keeps for that is set by its inverse."""
    path, state = saved
    target = model()
    weight_norm(target.layer[0].conv)
    weight_norm(target.fc)
    report = load_weights(target, path)
    assert report.fits
    assert report.parametrized == ("layer.0.conv.weight", "fc.weight")
    assert set(report.loaded) == set(state)
    assert "parametrized     2  layer.0.conv.weight, fc.weight" in str(report)
    torch.testing.assert_close(target.fc.weight, state["fc.weight"])
    assert target.fc.parametrizations.weight.original0.shape == (4, 1)
    save_weights(target, tmp_path / "plain.safetensors", network())
    again = model()
    assert load_weights(again, tmp_path / "plain.safetensors").fits
    torch.testing.assert_close(again.fc.weight, state["fc.weight"])

    torch.save(target.state_dict(), tmp_path / "own.pt")  # with what the parametrisations keep
    other = model()
    weight_norm(other.layer[0].conv)
    weight_norm(other.fc)
    report = load_weights(other, tmp_path / "own.pt", format="torch")
    assert report.fits
    assert "fc.parametrizations.weight.original1" in report.loaded
    assert same(copied(other), copied(target))


def test_a_parametrisation_that_cannot_be_undone(saved: tuple[Path, dict[str, Any]]) -> None:
    target = model()
    register_parametrization(target.fc, "weight", Doubled())
    before = copied(target)
    message = r"fc\.weight cannot be set through its parametrisation Doubled"
    with pytest.raises(archspec.UsageError, match=message):
        load_weights(target, saved[0])
    assert same(copied(target), before)


# Networks of features, and shapes that mean the same.


def test_a_whole_file_for_a_network_of_features(saved: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, state = saved
    target = build(network(), features=["layer.1"])
    report = load_weights(target, path)
    assert report.fits
    assert report.ignored == tuple(sorted(key for key in state if key.startswith(("layer.2", "fc"))))
    assert torch.equal(target.layer[1].conv.weight, state["layer.1.conv.weight"])
    assert load_weights(pickle.loads(pickle.dumps(target)), path).fits
    save_file(state | {"layer.3.conv.weight": torch.zeros(1)}, path)
    assert check_weights(target, path).unexpected == ("layer.3.conv.weight",)
    save_file({key: tensor for key, tensor in state.items() if key != "layer.1.bn.bias"}, path)
    assert check_weights(target, path).missing == ("layer.1.bn.bias",)


HEAD = """
name: head
input: [2, 3, 3]
layers:
  - sequential: {name: pre, layers: [flatten, linear: {units: 4, name: fc1}, linear: {units: 3, name: fc2}]}
"""


def test_shapes_that_mean_the_same(tmp_path: Path) -> None:
    """Timm's VGG has convolutions where torchvision's has linear layers behind a `flatten`."""
    convs = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 1))
    torch.save(convs.state_dict(), tmp_path / "timm.pt")
    target = build(archspec.loads(HEAD))
    report = load_weights(target, tmp_path / "timm.pt", {"0": "pre.fc1", "1": "pre.fc2"}, format="torch")
    assert report.fits
    assert report.reshaped == (
        Mismatch("pre.fc1.weight", "4x2x3x3", "4x18"),
        Mismatch("pre.fc2.weight", "3x4x1x1", "3x4"),
    )
    assert "reshaped         2  pre.fc1.weight (4x2x3x3 in the file, 4x18 in the model)" in str(report)
    x = torch.rand(5, 2, 3, 3)
    torch.testing.assert_close(target(x), convs(x).flatten(1))
    assert load_weights(target, tmp_path / "timm.pt", "by-position", format="torch").fits


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ((4, 2, 3, 3), (4, 18), True),
        ((4, 18), (4, 2, 3, 3), True),
        ((4, 8, 1, 1), (4, 8), True),
        ((4, 1, 3), (4, 3), True),
        ((), (1,), True),
        ((1, 4, 1, 1), (4,), True),
        ((4, 18), (18, 4), False),
        ((4, 2, 9), (4, 6, 3), False),
        ((8, 9), (4, 2, 9), False),
        ((4, 3, 2), (4, 2, 3), False),
        ((72,), (4, 18), False),
        ((4, 18), (4, 9), False),
    ],
)
def test_which_shapes_mean_the_same(left: tuple[int, ...], right: tuple[int, ...], same: bool) -> None:
    assert same_numbers(left, right) is same_numbers(right, left) is same


# Writing.


def test_writes_whole_or_not_at_all(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = saved
    before = path.read_bytes()
    with pytest.raises(archspec.UsageError, match="exists"):
        save_weights(model(), path)

    def disk_full(state: object, file: str, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patched:
        patched.setattr("safetensors.torch.save_file", disk_full)
        with pytest.raises(archspec.SpecError, match="cannot be written: I/O error: No space left"):
            save_weights(model(), path, force=True)
    assert path.read_bytes() == before
    save_weights(model(), path, force=True)
    assert path.read_bytes() != before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask(), "as any other file; safetensors makes private ones"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# What does not fit (attack_cases.md, row 46).


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path: Path, header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_in_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")


def offsets_beyond_the_file(path: Path) -> None:
    header, body = header_of(path)
    header["fc.bias"]["data_offsets"] = [0, 2**40]
    with_header(path, header, body)


def not_json(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 8) + b"\xff\xfe{{{{{{")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def missing(path: Path) -> None:
    path.unlink()


class Trap:
    """What a pickle would run."""

    sprung: Path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (lambda_free_touch, (str(self.sprung),))


def lambda_free_touch(path: str) -> None:
    Path(path).touch()


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"fc.weight": [1.0]}))


UNREADABLE = [
    (cut_short, "not a whole safetensors file"),
    (cut_in_the_header, "not a whole safetensors file"),
    (cut_to_nothing, "not a whole safetensors file"),
    (huge_header, "not a whole safetensors file"),
    (offsets_beyond_the_file, "not a whole safetensors file"),
    (not_json, "not a whole safetensors file"),
    (pickled, "not a whole safetensors file"),
    (a_folder, "is not a regular file"),
    (a_fifo, "is not a regular file"),
    (missing, "no such file"),
]


@pytest.mark.parametrize(("spoil", "message"), UNREADABLE, ids=[spoil.__name__ for spoil, _ in UNREADABLE])
def test_files_that_cannot_be_read(
    spoil: Callable[[Path], None], message: str, saved: tuple[Path, dict[str, Any]]
) -> None:
    path, _ = saved
    spoil(path)
    target = model()
    before = copied(target)
    for strict in (True, False):
        with pytest.raises(archspec.SpecError, match=message) as caught:
            load_weights(target, path, strict=strict)
        assert [finding.code for finding in caught.value.diagnostics] == ["file"]
    assert same(copied(target), before)


def reshaped(state: dict[str, Any]) -> None:
    state["fc.weight"] = torch.zeros(4, 9)


def other_dtype(state: dict[str, Any]) -> None:
    state["fc.weight"] = state["fc.weight"].half()


def counted_in_floats(state: dict[str, Any]) -> None:
    state["layer.0.bn.num_batches_tracked"] = torch.zeros(())


def key_lost(state: dict[str, Any]) -> None:
    del state["layer.1.bn.running_var"]


def key_gained(state: dict[str, Any]) -> None:
    state["layer.1.bn.sneaky"] = torch.zeros(1)


def key_misspelt(state: dict[str, Any]) -> None:
    state["fc.wieght"] = state.pop("fc.weight")


FAULTS: list[tuple[Callable[[dict[str, Any]], None], dict[str, tuple[Any, ...]], list[str]]] = [
    (reshaped, {"wrong_shape": (Mismatch("fc.weight", "4x9", "4x8"),)}, ["shape"]),
    (other_dtype, {"wrong_dtype": (Mismatch("fc.weight", "float16", "float32"),)}, ["type"]),
    (
        counted_in_floats,
        {"wrong_dtype": (Mismatch("layer.0.bn.num_batches_tracked", "float32", "int64"),)},
        ["type"],
    ),
    (key_lost, {"missing": ("layer.1.bn.running_var",)}, ["key"]),
    (key_gained, {"unexpected": ("layer.1.bn.sneaky",)}, ["key"]),
    (key_misspelt, {"missing": ("fc.weight",), "unexpected": ("fc.wieght",)}, ["key", "key"]),
]


@pytest.mark.parametrize(("spoil", "faults", "codes"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_weights_that_do_not_fit(
    spoil: Callable[[dict[str, Any]], None],
    faults: dict[str, tuple[Any, ...]],
    codes: list[str],
    saved: tuple[Path, dict[str, Any]],
) -> None:
    path, state = saved
    spoil(state)
    save_file(state, path)
    target = model()
    before = copied(target)
    with pytest.raises(WeightsError) as caught:
        load_weights(target, path)
    assert same(copied(target), before), "the model is unchanged"
    report = caught.value.report
    assert not report.fits
    assert report.loaded == ()
    found = {kind: getattr(report, kind) for kind in ("missing", "unexpected", "wrong_shape", "wrong_dtype")}
    assert found == {kind: faults.get(kind, ()) for kind in found}
    assert [finding.code for finding in caught.value.diagnostics] == codes
    assert pickle.loads(pickle.dumps(caught.value)).report == report
    assert check_weights(build(network(), device="meta"), path).fits is False

    loose = load_weights(target, path, strict=False)
    bad = {entry if isinstance(entry, str) else entry.key for entries in faults.values() for entry in entries}
    assert set(loose.loaded) == set(before) - bad
    now = copied(target)
    assert all(torch.equal(now[key], (before if key in bad else state)[key]) for key in now)


def test_everything_is_reported_at_once(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    for spoil in (reshaped, counted_in_floats, key_lost, key_gained):
        spoil(state)
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model(), path)
    assert [finding.code for finding in caught.value.diagnostics] == ["key", "key", "shape", "type"]
    assert "1 of another shape: fc.weight (4x9 in the file, 4x8 in the model)" in str(caught.value)


def test_cast_converts_between_floats_only(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    half = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    save_file(half, path)
    target = model()
    assert load_weights(target, path, cast=True).fits
    assert torch.equal(target.fc.weight, half["fc.weight"].float())
    counted_in_floats(half)
    save_file(half, path)
    with pytest.raises(WeightsError, match="num_batches_tracked"):
        load_weights(target, path, cast=True)


def test_what_is_not_finite_is_told(saved: tuple[Path, dict[str, Any]]) -> None:
    """No fault: a mask may hold -inf. But a network that diverged should not go unnoticed."""
    path, state = saved
    state["fc.bias"][0] = float("nan")
    state["fc.weight"][0] = 1e9
    save_file(state, path)
    assert check_weights(model(), path).not_finite == ("fc.bias",)
    report = load_weights(model().half(), path, cast=True)
    assert (report.fits, report.not_finite) == (True, ("fc.bias", "fc.weight"))
    assert "not finite       2  fc.bias, fc.weight" in str(report)


def test_old_files_have_no_counters(saved: tuple[Path, dict[str, Any]]) -> None:
    """As torch does, whose own old files lack them."""
    path, state = saved
    save_file({key: tensor for key, tensor in state.items() if "tracked" not in key}, path)
    target = model()
    before = int(target.layer[0].bn.num_batches_tracked)
    report = load_weights(target, path)
    assert report.fits
    assert report.kept == tuple(key for key in state if "tracked" in key)
    assert int(target.layer[0].bn.num_batches_tracked) == before


def test_a_hostile_header_is_just_text(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    for spec in ("[" * 100_000, "extends: ../../etc/passwd", "\x1b[2J", "input: [3]\nlayers: [linear: 5]"):
        save_file(state, path, {"spec": spec, "name": "\x1b[2J\nloaded  99" * 100})
        report = load_weights(model(), path)
        assert report.fits
        assert len(str(report).splitlines()) == 2
        assert "\x1b" not in str(report)
        with pytest.raises(WeightsError):
            load_weights(model(), path, "by-position")
    state["\x1b[2J"] = torch.zeros(1)
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model(), path)
    assert "\x1b" not in str(caught.value) + str(caught.value.report)


# A new head.


def test_a_new_head_is_left_out(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    target = model(num_classes=7)
    head = target.fc.weight.clone()
    with pytest.raises(WeightsError, match="2 of another shape"):
        load_weights(target, path)
    report = load_weights(target, path, leave_out=["fc"])
    assert set(report.left_out) == set(report.ignored) == {"fc.weight", "fc.bias"}
    assert torch.equal(target.fc.weight, head)
    assert torch.equal(target.layer[2].conv.weight, state["layer.2.conv.weight"])
    with pytest.raises(archspec.UsageError, match=r"the model has no `fcc`(.|\n)*did you mean `fc`"):
        load_weights(target, path, leave_out=["fcc"])


# Names.


def renamed(state: dict[str, Any]) -> dict[str, Any]:
    return {f"module.{key.replace('layer', 'stages').replace('fc', 'head')}": tensor for key, tensor in state.items()}


@pytest.mark.parametrize(
    "names",
    [
        {"module.stages": "layer", "module.head": "fc"},
        lambda key: key.removeprefix("module.").replace("stages", "layer").replace("head", "fc"),
        "by-position",
    ],
    ids=["table", "function", "by-position"],
)
def test_other_names(names: Any, saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    torch.save(renamed(state), path)
    target = model()
    report = load_weights(target, path, names, format="torch")
    assert report.fits
    assert same(copied(target), state)
    assert ("module.head.bias", "fc.bias") in report.renamed


def test_name_tables(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    save_file({f"backbone.{key}": tensor for key, tensor in state.items()} | {"extra.loss": torch.zeros(1)}, path)
    target = model()
    report = load_weights(target, path, {"backbone": "", "extra": None})
    assert report.fits
    assert report.ignored == ("extra.loss",)
    assert same(copied(target), state)
    # Names are split at dots only, and the longest of several prefixes counts.
    with pytest.raises(WeightsError):
        load_weights(target, path, {"back": "", "extra": None})
    assert load_weights(target, path, {"": "x", "backbone": "", "extra": None}).fits
    with pytest.raises(archspec.UsageError, match="both become"):
        load_weights(target, path, lambda key: "fc.weight")
    with pytest.raises(archspec.UsageError, match="expected a name for"):
        load_weights(target, path, lambda key: 7)  # type: ignore[arg-type,return-value]
    with pytest.raises(archspec.UsageError, match="unknown way to map names"):
        load_weights(target, path, "by-magic")  # type: ignore[arg-type]


def test_by_position_wants_shapes_that_agree(saved: tuple[Path, dict[str, Any]]) -> None:
    """A safetensors file keeps no order: unless the names in natural order tell the same story, nothing is loaded."""
    path, state = saved
    numbered = {f"m.{10 * place}.{key.rpartition('.')[2]}": state[key] for place, key in _places(state)}
    save_file(numbered, path)
    target = model()
    assert load_weights(target, path, "by-position").fits
    assert same(copied(target), state)

    before = copied(target)
    for change in (
        lambda key: f"m.{100 - int(key.split('.')[1])}.{key.split('.')[2]}",  # the other way round
        lambda key: key.replace("weight", "gamma"),
        lambda key: key.replace("m.0.", "m.9999."),
    ):
        save_file({change(key): tensor for key, tensor in numbered.items()}, path)
        for strict in (True, False):
            with pytest.raises(WeightsError):
                load_weights(target, path, "by-position", strict=strict)
    assert same(copied(target), before)


def test_by_position_with_a_new_head(saved: tuple[Path, dict[str, Any]]) -> None:
    path, state = saved
    torch.save(renamed(state), path)
    target = model(num_classes=9)
    report = load_weights(target, path, "by-position", format="torch", leave_out=["fc"])
    assert set(report.ignored) == {"module.head.weight", "module.head.bias"}
    assert torch.equal(target.layer[2].conv.weight, state["layer.2.conv.weight"])
    torch.save(renamed(state) | {"module.more.weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="unexpected"):
        load_weights(target, path, "by-position", format="torch", leave_out=["fc"])


def _places(state: dict[str, Any]) -> list[tuple[int, str]]:
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in state))
    return [(modules.index(key.rpartition(".")[0]), key) for key in state]


# torch files.


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_tensors_without_plain_numbers(tmp_path: Path) -> None:
    odd = {
        "on the meta device, without numbers": torch.zeros(2, device="meta"),
        "sparse (sparse_coo)": torch.eye(2).to_sparse(),
        "nested": torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
        "quantised": torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8),
    }
    path = tmp_path / "x.pt"
    for what, tensor in odd.items():
        torch.save({"fc.weight": torch.zeros(4, 8), "fc.bias": tensor}, path)
        with pytest.raises(archspec.SpecError) as caught:
            load_weights(model(), path, format="torch")
        (finding,) = caught.value.diagnostics
        assert (finding.code, finding.message) == ("type", f"{path}: fc.bias is {what}")
        assert finding.help
        assert "to_dense" in finding.help
    torch.save({f"key{number}": odd["nested"] for number in range(5)}, path)
    with pytest.raises(archspec.SpecError, match="key2 is nested, and 2 more"):
        load_weights(model(), path, format="torch")


def test_a_torch_file_only_when_asked_for(tmp_path: Path) -> None:
    source = model()
    torch.save(source.state_dict(), tmp_path / "x.pt")
    with pytest.raises(archspec.SpecError, match=r'not a whole safetensors file(.|\n)*format="torch"'):
        load_weights(model(), tmp_path / "x.pt")
    target = model()
    assert load_weights(target, tmp_path / "x.pt", format="torch").fits
    assert same(copied(target), copied(source))
    torch.save({"epoch": 3, "state_dict": source.state_dict()}, tmp_path / "checkpoint.pt")
    assert load_weights(model(), tmp_path / "checkpoint.pt", format="torch").fits
    with pytest.raises(archspec.UsageError, match="unknown format of weights 'pickle'"):
        load_weights(target, tmp_path / "x.pt", format="pickle")


def test_nothing_in_a_torch_file_runs(tmp_path: Path) -> None:
    Trap.sprung = tmp_path / "sprung"
    path = tmp_path / "x.pt"
    for trap in ({"fc.weight": Trap()}, Trap(), {"fc.weight": torch.zeros(4, 8), "more": Trap()}):
        torch.save(trap, path)
        with pytest.raises(
            archspec.SpecError, match=r"it asks to run .*lambda_free_touch, which was not run"
        ) as caught:
            load_weights(model(), path, format="torch")
        assert "weights_only" not in str(caught.value), "torch's advice is to run it"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(archspec.SpecError, match="not a state_dict of tensors alone"):
        load_weights(model(), path, format="torch")
    assert not Trap.sprung.exists()


def test_torch_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    for content in ([1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)):
        torch.save(content, path)
        with pytest.raises(archspec.SpecError, match="expected a state_dict"):
            load_weights(model(), path, format="torch")
    torch.save(model().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(archspec.SpecError, match="not a state_dict of tensors alone"):
        load_weights(model(), path, format="torch")


def test_on_meta_nothing_can_be_loaded(saved: tuple[Path, dict[str, Any]]) -> None:
    target = build(network(), device="meta")
    assert check_weights(target, saved[0]).fits
    with pytest.raises(archspec.UsageError, match="meta device"):
        load_weights(target, saved[0])


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def load() -> None:
        with pytest.raises(archspec.SpecError):
            load_weights(nn.Identity(), tmp_path / "pipe", format="torch")
        done.set()

    threading.Thread(target=load, daemon=True).start()
    assert done.wait(10)
