"""Weights in files: what fits is loaded, what does not is reported, and the model then stays as it was."""

from __future__ import annotations

import json
import os
import pickle
import struct
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

from archspec.backends.build import build  # noqa: E402
from archspec.backends.weights import (  # noqa: E402
    Mismatch,
    WeightsError,
    check_weights,
    load_weights,
    save_weights,
)

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
    assert "#" not in metadata["spec"], "nothing of the files that it came from"
    assert archspec.load(saved[0]).graph.to_json() == network().graph.to_json()
    assert load_weights(build(archspec.load(saved[0])), saved[0]).fits
    assert check_weights(model(), saved[0], "by-position").fits, "in the network's order, not that of the names"


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
    long = archspec.loads("name: long\ninput: [8]\nlayers: [relu: {repeat: 40000}]\n")
    with pytest.raises(archspec.UsageError, match="the spec of long is larger than 1 MiB"):
        save_weights(nn.Identity(), tmp_path / "x.safetensors", long)
    assert not list(tmp_path.iterdir())


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
    (cut_short, "no whole safetensors file"),
    (cut_in_the_header, "no whole safetensors file"),
    (cut_to_nothing, "no whole safetensors file"),
    (huge_header, "no whole safetensors file"),
    (offsets_beyond_the_file, "no whole safetensors file"),
    (not_json, "no whole safetensors file"),
    (pickled, "no whole safetensors file"),
    (a_folder, "is no plain file"),
    (a_fifo, "is no plain file"),
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
    with pytest.raises(archspec.UsageError, match="is no name"):
        load_weights(target, path, lambda key: 7)  # type: ignore[arg-type,return-value]
    with pytest.raises(archspec.UsageError, match="no way to map names"):
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


def test_a_torch_file_only_when_asked_for(tmp_path: Path) -> None:
    source = model()
    torch.save(source.state_dict(), tmp_path / "x.pt")
    with pytest.raises(archspec.SpecError, match=r'no whole safetensors file(.|\n)*format="torch"'):
        load_weights(model(), tmp_path / "x.pt")
    target = model()
    assert load_weights(target, tmp_path / "x.pt", format="torch").fits
    assert same(copied(target), copied(source))
    torch.save({"epoch": 3, "state_dict": source.state_dict()}, tmp_path / "checkpoint.pt")
    assert load_weights(model(), tmp_path / "checkpoint.pt", format="torch").fits
    with pytest.raises(archspec.UsageError, match="'pickle' is no format"):
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
    with pytest.raises(archspec.SpecError, match="no state_dict of tensors alone"):
        load_weights(model(), path, format="torch")
    assert not Trap.sprung.exists()


def test_torch_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    for content in ([1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)):
        torch.save(content, path)
        with pytest.raises(archspec.SpecError, match="holds no state_dict"):
            load_weights(model(), path, format="torch")
    torch.save(model().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(archspec.SpecError, match="no state_dict of tensors alone"):
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
