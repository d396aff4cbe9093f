"""Receptive fields: known figures, and what gradients of a real run say on random networks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import ceil, floor
from typing import Any
from unittest import mock

import pytest
from op_samples import SAMPLES, Good

import archspec
from archspec.analysis.receptive import receptive_fields
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.report.bundle import bundle_spec
from archspec.shapes import elements

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402, N812 its usual name
from torch_calls import execute  # noqa: E402


@pytest.mark.parametrize(
    ("network", "size"),
    [("vgg16", 212), ("mobilenet_v1", 315), ("resnet50", 427)],
)
def test_published_figures(network: str, size: int) -> None:
    """Those of Araujo et al., before the pooling of everything; ResNet-50 as torchvision has it."""
    assert _largest(archspec.load(network)) == (size, 32)


def test_resnet50_as_it_was_published() -> None:
    """Where the first convolution of a block has the stride, not the 3x3 one, the field is larger."""
    network = archspec.load("resnet50")
    text = bundle_spec(network.elaboration, {})
    for old, new in (
        ('conv1, filters: "${filters * width}"', 'conv1, filters: "${filters * width}", stride: $stride'),
        ("kernel: 3, stride: $stride,", "kernel: 3,"),
    ):
        assert old in text
        text = text.replace(old, new)
    assert _largest(archspec.loads(text)) == (483, 32)


def _largest(network: archspec.Network) -> tuple[int | None, float]:
    fields = [fields[0] for fields in receptive_fields(network.graph).values()]
    last = [field for field in fields if field.size is not None][-1]
    return last.size, last.stride


def test_what_pools_everything_depends_on_everything() -> None:
    fields = receptive_fields(archspec.load("seresnet50").graph)
    after = [fields[path][0].size for path in fields if path.startswith("layer1.0")]
    assert after[-1] is None


class _Random:
    """A random network on one axis or two: windows, branches, and images of other sizes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0

    def text(self) -> str:
        rank = self.random.choice([1, 2])
        shape = [2, *[64] * rank]
        return f"input: {shape}\nlayers:\n" + "".join(f"  - {step}\n" for step in self.steps(rank))

    def name(self) -> str:
        self.number += 1
        return f"s{self.number}"

    def window(self, before: str, stride: int = 1, exact: bool = False) -> tuple[str, str]:
        name, kernel, dilation = self.name(), self.random.choice([1, 2, 3, 5]), self.random.choice([1, 1, 2])
        if exact or self.random.random() < 0.7:
            kernel = kernel | 1 if exact else kernel
            padding = "half" if exact else self.random.choice(["half", "same", 1])
            arguments = f"kernel: {kernel}, dilation: {dilation}, padding: {padding}, stride: {stride}"
            return f"conv: {{name: {name}, from: {before}, filters: 2, {arguments}}}", name
        return f"avg_pool: {{name: {name}, from: {before}, kernel: {kernel}, stride: {stride}}}", name

    def steps(self, rank: int) -> Iterator[str]:
        step, last = self.window("input", self.random.choice([1, 2]))
        yield step
        for _ in range(self.random.randint(2, 5)):
            kind = self.random.choice(["window", "branch", "larger", "cut", "skip"])
            if kind == "window":
                step, last = self.window(last, self.random.choice([1, 1, 2, 3]))
                yield step
            elif kind == "branch":
                stride = self.random.choice([1, 2])
                left, a = self.window(last, stride, exact=True)
                right, b = self.window(last, stride, exact=True)
                merged = self.name()
                yield left
                yield right
                yield f"concat: {{name: {merged}, from: [{a}, {b}]}}"
                last = self.name()
                yield f"conv: {{name: {last}, from: {merged}, filters: 2}}"
            elif kind == "larger":
                up = self.name()
                mode = self.random.choice(["nearest", "linear"])
                yield f"upsample: {{name: {up}, from: {last}, scale: {self.random.choice([2, 3])}, mode: {mode}}}"
                last = up
            elif kind == "cut":
                cut = self.name()
                yield f"crop: {{name: {cut}, from: {last}, amount: [{', '.join(['[1, 0]'] * rank)}]}}"
                last = cut
            else:
                step, inner = self.window(last, 1, exact=True)
                merged = self.name()
                yield step
                yield f"add: {{name: {merged}, from: [{inner}, {last}]}}"
                last = merged


def _measured(network: archspec.Network, path: str) -> list[int]:
    """Return over how many places of the input the gradients of places in the middle spread, at most, axis by axis."""
    module = archspec.build(network, features=[path]).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_().add_(0.1)
    shape = next(iter(network.graph.inputs.values()))
    spread = [0] * (len(shape) - 1)
    x = torch.ones(1, *shape, requires_grad=True)
    found: Any = module(x)[path]
    middle = [size // 2 for size in found.shape[2:]]
    for shift in range(min(6, min(middle) + 1)):
        place = tuple(at - shift for at in middle)
        (gradient,) = torch.autograd.grad(found[(0, 0, *place)], x, retain_graph=True)
        for axis, places in enumerate(gradient[0].sum(0).nonzero().T):
            spread[axis] = max(spread[axis], int(places.max() - places.min()) + 1)
    return spread


@pytest.mark.parametrize("seed", range(30))
def test_the_gradients_spread_as_far(seed: int) -> None:
    text = _Random(seed).text()
    network = archspec.loads(text, input=None)
    path = network.graph.nodes[-1].path
    fields = receptive_fields(network.graph)[path]
    size = max(field.size or 0 for field in fields)
    larger = archspec.loads(text, input=(2, *[3 * size + 64] * len(fields)))
    with mock.patch.object(F, "relu", lambda x: x):
        assert [field.size for field in fields] == _measured(larger, path), text


MIRRORS = ("reflect", "replicate", "circular")
"""Modes of `pad` that read places inside at the border, which receptive fields leave out."""
SPATIAL = [
    pytest.param(OPS[op], use, id=f"{op}-{number}")
    for op in OPS
    for number, use in enumerate(SAMPLES[op].good)
    if use.inputs and len(use.inputs[0]) > 1 and not use.leads and use.arguments.get("mode") not in MIRRORS
]


@pytest.mark.parametrize(("cls", "use"), SPATIAL)
def test_what_an_op_reads(cls: type[Op], use: Good) -> None:
    """Gradients reach the places that `reach` tells of, and no others."""
    torch.manual_seed(0)
    op = cls(use.inputs, use.arguments)
    tensors = [(torch.rand(1, *shape) + 0.5).requires_grad_() for shape in use.inputs]

    def prepare(module: torch.nn.Module) -> None:
        for parameter in module.eval().parameters():
            parameter.data.abs_().add_(0.1)

    found, _ = execute(op.calls(), tensors, prepare)
    reach = op.reach()
    if found.ndim != tensors[0].ndim:
        assert reach is None
        return
    local = True
    for place in {tuple(at * (size - 1) // 4 for size in found.shape[2:]) for at in range(5)}:
        (gradient,) = torch.autograd.grad(found[(0, slice(None), *place)].sum(), tensors[0], retain_graph=True)
        places = (gradient[0] != 0).any(0).nonzero()
        local &= found.shape[2:] == tensors[0].shape[2:] and places.tolist() == [list(place)]
        if reach is None or op.local and op.output[1:] != use.inputs[0][1:]:  # stretched
            continue
        for axis, at in enumerate(place):
            low, high = ceil(at * reach[axis].step + reach[axis].low), floor(at * reach[axis].step + reach[axis].high)
            seen = sorted(set(places[:, axis].tolist()))
            assert all(low <= each <= high for each in seen)
            if seen and cls.op in WINDOWS and 0 <= low <= high < tensors[0].shape[axis + 2]:
                assert (seen[0], seen[-1]) == (low, high)
    assert reach is not None or not local or elements(op.output[1:]) == 1


WINDOWS = {"conv", "depthwise_conv", "avg_pool", "adaptive_avg_pool", "pad", "crop", "slice", "pixel_shuffle"}
"""Ops whose gradients reach both ends of what they read."""
