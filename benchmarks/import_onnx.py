"""Export networks of torchvision or of the zoo with torch's ONNX exporter, import the files again, and prove each.

    python benchmarks/import_onnx.py resnet18 torchvision:mobilenet_v2 [--dynamo]

A name alone is a network of the zoo, exported from the module that archspec builds. Without names it takes the networks
of `ZOO` and `TORCHVISION`. Weights are random, those of norms and biases too. `proved` means that the outputs are those
of onnxruntime, and the MACs those that torch's FlopCounterMode counts in the module.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch import nn

import archspec
from archspec.errors import SpecError, UsageError
from archspec.importing.proof import Reference
from archspec.importing.sources import TorchModel

ZOO = ("lenet5", "alexnet", "vgg16", "googlenet", "resnet50", "mobilenet_v1", "mobilenet_v2", "efficientnet_b0")
TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50",
    "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "vgg11_bn", "vit_b_16", "wide_resnet50_2",
)  # fmt: skip

STRUCTURED = "blocks and repeats"


def module_of(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a network as a module in evaluation mode, and the shape of its input."""
    library, _, called = name.rpartition(":")
    if not library:
        network = archspec.load(called)
        return archspec.build(network).eval(), next(iter(network.graph.inputs.values()))
    from rivals import torchvision

    torchvision()
    from torchvision import models

    size = 299 if called == "inception_v3" else 224
    options = {"init_weights": False, "aux_logits": False} if called in ("googlenet", "inception_v3") else {}
    return models.get_model(called, weights=None, **options).eval(), (3, size, size)


def spread(module: nn.Module) -> None:
    """Draw the tensors that hold one number, as new norms and biases do.

    Training never leaves such tensors, and an exporter merges equal ones and leaves zeros out.
    """
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and tensor.numel() > 1 and tensor.min() == tensor.max():
                tensor.add_(0.2 * torch.rand_like(tensor))


def imported(path: str, macs: int) -> tuple[str, int, float, str]:
    """Import a file of a network that has so many MACs.

    Returns:
        Whether it was proved, the lines of the spec, the seconds that it took, and what structure the spec has or why
        it failed.
    """
    start = time.perf_counter()
    try:
        found = archspec.from_onnx(path)
    except (SpecError, UsageError) as error:
        return "failed", 0, time.perf_counter() - start, str(error).splitlines()[0][:140]
    seconds = time.perf_counter() - start
    lines = found.text.count("\n")
    if not found.proved:
        check = next(check for check in found.proof.checks if not check.passed)
        return "failed", lines, seconds, f"{check.name}: {check.detail}"[:140]
    if (own := found.network.analyze().totals.macs) != macs:
        return "failed", lines, seconds, f"{own:,} MACs instead of {macs:,}"
    has = [word for word, key in (("blocks", "blocks:"), ("repeats", "repeat:")) if key in found.text]
    return "proved", lines, seconds, " and ".join(has) or "one step a layer"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--dynamo", action="store_true", help="torch's newer exporter")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # a fused kernel that FlopCounterMode does not count
    names = given.names or [*ZOO, *(f"torchvision:{name}" for name in TORCHVISION)]
    rows = []
    for name in names:
        torch.manual_seed(0)
        module, shape = module_of(name)
        spread(module)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / f"{name.replace(':', '_')}.onnx")
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                torch.onnx.export(module, (torch.randn(1, *shape),), path, dynamo=given.dynamo)
            macs = Reference(TorchModel("module", module, (torch.zeros(1, *shape),))).macs
            rows.append(imported(path, macs))
        state, lines, seconds, note = rows[-1]
        print(f"{name:32} {state:7} {lines or '':>5} {seconds:6.1f} s  {note}", flush=True)
    proved = sum(state == "proved" for state, *_ in rows)
    structured = sum(state == "proved" and note == STRUCTURED for state, _, _, note in rows)
    print(f"\n{proved} of {len(names)} proved, {structured} with {STRUCTURED}")
    return 0 if proved == len(names) else 1


if __name__ == "__main__":
    raise SystemExit(main())
