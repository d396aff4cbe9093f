"""What `archspec/ops/torch_api.py` says of torch's callables, held against torch itself."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest

from archspec.ops.torch_api import (
    AS_KERNEL,
    FUNCTIONS,
    IDENTITY,
    LAYERS,
    METHODS,
    OPERATORS,
    REQUIRED,
    SIGNATURES,
    Function,
    Signature,
)

torch = pytest.importorskip("torch")
from archspec.backends import layers  # noqa: E402

LEFT_OUT = {
    *("device", "dtype", "out", "return_indices", "recompute_scale_factor", "divisor_override", "padding_mode"),
    *(
        "training",
        "process_group",
        "min_value",
        "max_value",
        "_stacklevel",
        "keepdim",
        "add_bias_kv",
        "add_zero_attn",
        "enable_gqa",
    ),
}
"""Parameters of torch that no op needs, so that the table may leave them out where another one follows."""
INPUTS = {"self", "input", "tensor", "tensors", "query", "key", "attn_mask", "other", "args", "kwargs"}
Parameters = list[tuple[str, Any]]


def found(target: str) -> Any:
    """The callable that `target` names."""
    family, _, name = target.rpartition(".")
    homes = {"nn": torch.nn, "nn.init": torch.nn.init, "F": torch.nn.functional, "torch": torch, "": layers}
    return getattr(homes[family], name)


def by_inspection(function: Callable[..., Any]) -> Parameters:
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, REQUIRED if each.default is each.empty else each.default) for each in parameters]


def by_documentation(function: Any, name: str) -> list[Parameters]:
    """The signatures in the text of a built-in function, which has none to inspect: one for each form."""
    pattern = rf"^(?:\.\. function:: )?{name}(\(.*?\)) -> "
    text = inspect.getdoc(function) or ""
    headers = re.findall(pattern, text, re.M) or re.findall(pattern, text, re.M | re.S)
    return [_read(header) for header in headers]


def _read(header: str) -> Parameters:
    header = header.replace("(*size, *,", "(size, *,")  # sizes one by one, or as one
    arguments = ast.parse(f"def f{header}: ...").body[0].args  # type: ignore[attr-defined]
    names = [each.arg for each in arguments.args]
    defaults = [REQUIRED] * (len(names) - len(arguments.defaults)) + list(map(ast.literal_eval, arguments.defaults))
    return list(zip(names, defaults, strict=True))


def signatures(target: str) -> list[Parameters]:
    """Every form of a callable as torch gives it, without its inputs and what no op needs."""
    function = found(target)
    try:
        forms = [by_inspection(function)]
    except ValueError:
        forms = by_documentation(function, target.rpartition(".")[2])
    if "args" in dict(forms[0]) and target.startswith("F."):  # dispatched: the real one has another name
        forms = [by_inspection(found(f"{target}_with_indices"))]
    inputs = INPUTS | ({"value"} if "query" in dict(forms[0]) else set())
    if target.startswith("F.conv"):  # the function is given what the module owns
        inputs |= {"weight", "bias"}
    return [[(name, default) for name, default in form if name not in inputs] for form in forms]


def agrees(known: Signature, form: Parameters) -> bool:
    """Whether the table has a form's parameters in its order, with its defaults, and leaves out none before another."""
    theirs = [(name, default) for name, default in form if name in known.parameters]
    if [name for name, _ in theirs] != list(known.parameters):
        return False
    between = [name for name, _ in form[: form.index(theirs[-1]) + 1]] if theirs else []
    if set(between) - set(known.parameters) - LEFT_OUT:
        return False
    return all(_same_default(known.parameters[name], default) for name, default in theirs)


def _same_default(ours: Any, theirs: Any) -> bool:
    if ours is AS_KERNEL:
        return theirs in (None, AS_KERNEL)
    return ours is theirs or not isinstance(theirs, bool) and not isinstance(ours, bool) and ours == theirs


@pytest.mark.parametrize("target", SIGNATURES)
def test_signature(target: str) -> None:
    forms = signatures(target)
    assert any(agrees(SIGNATURES[target], form) for form in forms), (SIGNATURES[target], forms)


@pytest.mark.parametrize(
    ("known", "form"),
    [
        (Signature({"p": 0.5}), [("p", 0.1)]),
        (Signature({"p": 0.5}), [("q", 0.5)]),
        (Signature({"p": REQUIRED}), [("p", 0.5)]),
        (Signature({"p": 1}), [("p", True)]),
        (Signature({"b": 1, "a": 1}), [("a", 1), ("b", 1)]),
        (Signature({"b": 1}), [("a", 1), ("b", 1)]),
        (Signature({"stride": AS_KERNEL}), [("stride", 1)]),
    ],
)
def test_a_wrong_entry_is_found(known: Signature, form: Parameters) -> None:
    assert not agrees(known, form)


# The function form of a module.

VALUES: dict[str, Any] = {"kernel_size": 3, "output_size": 2, "size": 3, "dim": 1, "groups": 2, "upscale_factor": 2}
VALUES |= {"downscale_factor": 2, "norm_type": 2.0, "threshold": 0.1, "value": 7.0}


def run_both(module: str, form: Function) -> tuple[Any, Any]:
    """What a module and its function form give for the same input and the same arguments."""
    rank = int(module[-2]) if re.search(r"\dd$", module) else 2
    x = torch.randn(2, 4, *(8,) * rank, generator=torch.Generator().manual_seed(0))
    arguments = {
        name: VALUES[name] for name, default in SIGNATURES[module].parameters.items() if default in (REQUIRED, None)
    }
    if module == "nn.Fold":
        x, arguments = torch.randn(2, 36, 9), {"output_size": (5, 5), "kernel_size": (3, 3)}
    return found(module)(**arguments)(x), found(form.name)(x, *form.leading, **arguments)


@pytest.mark.parametrize("module", FUNCTIONS)
def test_a_function_form_does_what_the_module_does(module: str) -> None:
    """The same bits, and a parameter of the module by the same name; where its default differs, `leading` gives it."""
    form = FUNCTIONS[module]
    wanted, result = run_both(module, form)
    assert torch.equal(result, wanted)
    ours, theirs = SIGNATURES[module].parameters, SIGNATURES[form.name].parameters
    assert list(ours) == list(theirs)
    differing = [name for name in ours if not _same_default(ours[name], theirs[name])]
    assert differing == list(ours)[: len(form.leading)]
    assert form.leading == tuple(ours[name] for name in differing)


def test_a_wrong_function_form_is_found() -> None:
    for module, form in {"nn.ReLU": Function("F.silu"), "nn.Flatten": Function("torch.flatten")}.items():
        wanted, result = run_both(module, form)
        assert not torch.equal(result, wanted)


def test_what_is_no_module() -> None:
    x = torch.randn(2, 3)
    assert torch.equal(found(IDENTITY)()(x), x)
    a, b, c = torch.rand(3, 2) + 1
    for symbol, operation in OPERATORS.items():
        if symbol == "@" or symbol.startswith("["):
            continue
        assert torch.equal(reduce(operation, [a, b, c]), eval(f"a {symbol} b {symbol} c"))
    assert torch.equal(OPERATORS["@"](x, x.T), x @ x.T)
    assert torch.equal(OPERATORS["[]"](x, torch.tensor([1, 0])), x.flip(0))
    assert torch.equal(OPERATORS["[:, ]"](x, (slice(None), torch.tensor([2, 1, 0]))), x.flip(1))
    assert all(hasattr(torch.Tensor, name.removeprefix("torch.")) for name in METHODS)
    assert all(issubclass(found(name), torch.nn.Module) for name in LAYERS)


def test_no_torch_is_imported() -> None:
    code = "import sys, archspec.ops, archspec.ops.torch_api, archspec.ops.symbolic; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
