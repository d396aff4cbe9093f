"""Import a network: read it, give it its structure back, and prove that the spec is the network."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from archspec._cached import cached_property
from archspec.backends.build import check_size
from archspec.backends.extras import need, reason
from archspec.backends.module import build_module
from archspec.backends.numerics import evaluating
from archspec.backends.state import unwrapped
from archspec.backends.verify import Check, Verification
from archspec.backends.weights import save_weights
from archspec.errors import Diagnostic, SpecError, UsageError, printable
from archspec.files import readable, write_text
from archspec.importing.calls import Missing, Program
from archspec.importing.failures import not_exported, not_onnx
from archspec.importing.onnx_proof import full_state, prove_onnx
from archspec.importing.proof import Reference, loaded, prove
from archspec.importing.recover import recover
from archspec.importing.sources import OnnxFile, TorchModel, open_source, plain_name
from archspec.importing.torch_program import read_exported, read_module
from archspec.network import InputShapes, Network

TOLERATED = ("order",)
"""Checks that may fail: of the order of the keys nothing depends but loading by position."""


@dataclass(frozen=True)
class Options:
    """How to import: what `from_torch`, `from_onnx` and the command line share.

    `partial` takes a network that a spec cannot express as a whole, as a sketch. `flat` leaves out blocks and repeats.
    `outputs` says whether numbers are compared. `progress` is told each check, and whatever else there is to say.
    """

    partial: bool = False
    flat: bool = False
    outputs: bool = True
    progress: Callable[[Check | str], None] | None = None

    def tell(self, what: Check | str) -> None:
        """Tell something as it happens."""
        if self.progress:
            self.progress(what)


@dataclass(frozen=True)
class Imported:
    """A network that was imported: its spec, and the proof that it is the same."""

    name: str
    text: str
    """The spec."""
    proof: Verification
    """The checks that the spec was put to."""
    missing: tuple[Missing, ...] = ()
    """What a spec cannot express; then the text is a sketch."""
    flat: bool = False
    """Whether the text is one step a layer, because it was asked for or because the proof of the short form failed."""
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False)
    """The source's state_dict; empty where the source has no numbers."""

    @property
    def proved(self) -> bool:
        """Whether the spec is the network: nothing is missing, and no check failed on which that depends."""
        return not self.missing and all(check.passed or check.name in TOLERATED for check in self.proof.checks)

    @cached_property
    def network(self) -> Network:
        """The spec, loaded. Raises: SpecError, of a sketch that does not load."""
        return loaded(self.text)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the spec to a file.

        Raises:
            UsageError: The file exists, and `force` is not given.
            SpecError: It cannot be written.
        """
        write_text(path, self.text, force)

    def save_weights(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the source's weights as safetensors, with the spec in the header.

        Raises:
            UsageError: The source has no numbers, or the file exists.
            SpecError: It cannot be written.
        """
        if not self.weights:
            raise UsageError(f"{self.name} has no weights", "it was made on the meta device")
        graph = self.network.graph
        check_size(graph, "cpu")
        with torch.device("meta"):
            module = build_module(graph)
        module = module.to_empty(device="cpu")
        module.load_state_dict(full_state(graph, self.weights), assign=True)
        save_weights(module, path, self.network, force=force)

    def __str__(self) -> str:
        return self.text


def from_torch(
    module: nn.Module,
    example_inputs: torch.Tensor | Sequence[torch.Tensor],
    *,
    name: str | None = None,
    partial: bool = False,
    flat: bool = False,
    outputs: bool = True,
) -> Imported:
    """Import a network from a torch module.

    The module is run in evaluation mode, on tensors without numbers, and exported with `torch.export`. It stays as it
    is.

    Args:
        module: The network, on any device, `meta` included.
        example_inputs: What its forward takes: a tensor or several in order, batch first.
        name: What the network is called; by default what its class is called.
        partial: Whether to return a sketch of a network that a spec cannot express as a whole.
        flat: Whether to leave out blocks, params and repeats.
        outputs: Whether to compare the outputs of both networks, which runs them on the CPU.

    Returns:
        The spec and its proof. `proved` tells whether all checks passed that count.

    Raises:
        SpecError: A spec cannot express the network: each finding is an op, with its place in the source.
        UsageError: The module does not run on these inputs, or torch.export does not take it.
    """
    module = unwrapped(module)
    given: tuple[Any, ...] = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else tuple(example_inputs)
    if not given or not all(isinstance(each, torch.Tensor) and each.ndim > 0 for each in given):
        raise UsageError("example_inputs: expected a tensor, or several, batch first")
    # torch.export takes a batch of 1 for a size that happens to be 1.
    inputs = tuple(torch.cat([each, each]) if len(each) == 1 else each for each in given)
    on_meta = any(value.is_meta for value in module.parameters())
    known = plain_name(name or type(module).__name__)
    with evaluating(module):
        return import_torch(
            TorchModel(known, module, inputs, has_weights=not on_meta), Options(partial, flat, outputs and not on_meta)
        )


def from_onnx(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    partial: bool = False,
    flat: bool = False,
    outputs: bool = True,
) -> Imported:
    """Import a network from an ONNX file. No code of the file's runs; the outputs are compared with onnxruntime's.

    Args:
        path: The file.
        name: What the network is called; by default what the file is called.
        partial: As of `from_torch`.
        flat: As of `from_torch`.
        outputs: As of `from_torch`.

    Raises:
        SpecError: The file cannot be read, or a spec cannot express the network.
        UsageError: onnx is not installed.
    """
    stem = os.path.splitext(os.path.basename(path))[0]
    return import_onnx(OnnxFile(plain_name(name or stem), os.fspath(path)), Options(partial, flat, outputs))


def import_source(
    source: str,
    options: Options,
    *,
    input: InputShapes | None = None,
    kwargs: Mapping[str, Any] | None = None,
    weights: bool = False,
    name: str | None = None,
) -> Imported:
    """Import what the command line names. Arguments and errors: as of `open_source` and `from_torch`."""
    found = open_source(source, input=input, kwargs=kwargs, weights=weights, name=name)
    return import_onnx(found, options) if isinstance(found, OnnxFile) else import_torch(found, options)


def import_torch(model: TorchModel, options: Options) -> Imported:
    """Import a network in torch. Errors: as of `from_torch`."""
    model, reference, program = _read(model)
    program.reference = program.reference or model.reference

    def prove_it(text: str) -> Verification:
        return prove(text, reference, outputs=options.outputs, progress=options.tell)

    state = model.module.state_dict() if model.has_weights else {}
    return _written(program, prove_it, options, state)


def import_onnx(file: OnnxFile, options: Options) -> Imported:
    """Import a network in an ONNX file. Errors: as of `from_onnx`."""
    need("onnx")
    from archspec.importing.onnx_program import read_onnx

    path = readable(file.path)
    try:
        program, weights = read_onnx(path, name=file.name)
    except SpecError:
        raise
    except Exception as error:  # onnx's errors have no common class
        raise not_onnx(file.path, error) from error

    def prove_it(text: str) -> Verification:
        return prove_onnx(text, file.path, weights, name=file.name, outputs=options.outputs, progress=options.tell)

    return _written(program, prove_it, options, weights)


def _read(model: TorchModel) -> tuple[TorchModel, Reference, Program]:
    """Run a network and read it as a program: on the meta device, and if it computes with numbers there, on the CPU."""
    try:
        reference = Reference(model)
        return model, reference, _program(model)
    except SpecError:
        if model.remake is None:
            raise
    module = model.remake()
    inputs = tuple(torch.zeros(each.shape) for each in model.inputs)
    model = replace(model, module=module, inputs=inputs, remake=None)
    return model, Reference(model), _program(model)


def _program(model: TorchModel) -> Program:
    try:
        with _quiet():
            if model.program is not None:
                return read_exported(model.program, model.name)
            return read_module(model.module, model.inputs, name=model.name)
    except SpecError:
        raise
    except Exception as error:  # torch.export passes on whatever the network raises
        raise not_exported(model.name, error, model.inputs) from error


def _sketch(program: Program) -> Program:
    """Return a program whose loose ends are outputs: what only something reads that a spec cannot express."""
    read = {id(value) for call in program.calls for value in [*call.reads, *call.named.values()]}
    read |= {id(value) for value in program.outputs.values()}
    ends = [
        call.results[0] for call in program.calls if call.results and not any(id(each) in read for each in call.results)
    ]
    return replace(program, outputs={**program.outputs, **{f"end_{place}": end for place, end in enumerate(ends, 1)}})


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch.export: on a failure, which its error tells of, it prints the whole graph as well."""
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _written(
    program: Program,
    prove_it: Callable[[str], Verification],
    options: Options,
    weights: Mapping[str, torch.Tensor],
) -> Imported:
    """Write a program as a spec and prove it: with its structure, and if that proof fails, flat."""
    missing = tuple(program.missing)
    if missing and not options.partial:
        help = "--partial, or partial=True, makes a sketch of the rest"
        raise SpecError(
            [
                *(Diagnostic("import", str(each)) for each in missing[:-1]),
                Diagnostic("import", str(missing[-1]), help=help),
            ]
        )
    if missing:
        program = _sketch(program)
    head = "".join(f"# {line}\n" for line in ["A sketch. Missing:", *(f"  {printable(str(each))}" for each in missing)])
    head = head if missing else ""
    found = None
    if not options.flat:
        try:
            text = head + recover(program)
        except Exception as error:  # a rewrite that is too bold must not keep the network from being imported
            options.tell(f"the structure was not recovered ({type(error).__name__}: {reason(error)}): one step a layer")
        else:
            found = Imported(program.name, text, prove_it(text), missing, weights=weights)
            if found.proved or missing:
                return found
            options.tell("this proof failed: one step a layer instead, without blocks and repeats")
    text = head + recover(program, flat=True)
    flat = Imported(program.name, text, prove_it(text), missing, flat=True, weights=weights)
    return flat if found is None or _failures(flat) < _failures(found) else found


def _failures(imported: Imported) -> int:
    return sum(not check.passed for check in imported.proof.checks)
