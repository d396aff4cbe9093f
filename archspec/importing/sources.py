"""What `archspec import SOURCE` names: a network of a library, a callable of the user's code, or a file of a model.

Making a network from Python runs the Python that the user named. Files are read as data: what holds a pickle is
refused.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from archspec.backends.extras import reason
from archspec.backends.numerics import BATCH
from archspec.errors import UsageError, listed
from archspec.importing.exported import load_exported
from archspec.importing.failures import not_built
from archspec.network import InputShapes
from archspec.shapes import Shape

DEFAULT_INPUT: Shape = (3, 224, 224)
VIDEO_FRAMES = 16
VIDEO_SIZE = (112, 112)

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".tar", ".th")
OTHER_FILES = {
    ".safetensors": "it holds weights and no network: name the Python that makes it, and load the weights then",
    ".yaml": "it is a spec already: archspec analyze reads it",
    ".yml": "it is a spec already: archspec analyze reads it",
    ".h5": "write it as ONNX first, with tf2onnx for instance",
    ".keras": "write it as ONNX first, with tf2onnx for instance",
    ".pb": "write it as ONNX first, with tf2onnx for instance",
    ".tflite": "write it as ONNX first, with tf2onnx for instance",
}

FORMS = "torchvision:NAME, timm:NAME, package.module:callable, file.py:callable, program.pt2 or model.onnx"


@dataclass(frozen=True)
class TorchModel:
    """A network as a torch module in evaluation mode, and the inputs to run it with, batch first.

    `remake` makes it again with numbers, for a module on the meta device. `program` is the exported program that the
    module comes from, whose batch is fixed. `has_weights` tells whether its numbers mean something.
    """

    name: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    reference: str = ""
    remake: Callable[[], nn.Module] | None = None
    program: torch.export.ExportedProgram | None = None
    has_weights: bool = False


@dataclass(frozen=True)
class OnnxFile:
    """A network in an ONNX file."""

    name: str
    path: str


def open_source(
    source: str,
    *,
    input: InputShapes | None = None,
    kwargs: Mapping[str, Any] | None = None,
    weights: bool = False,
    name: str | None = None,
) -> TorchModel | OnnxFile:
    """Find what a source names, and make it.

    Args:
        source: `torchvision:NAME`, `timm:NAME`, `package.module:callable`, `file.py:callable`, or the path of a `.pt2`
            or `.onnx` file.
        input: Shapes of the inputs without the batch, in order or by the names that `forward` has for them.
        kwargs: Arguments of the callable.
        weights: Whether the network's weights are wanted: of a library, the pretrained ones.
        name: What the network is called; by default what the source calls it.

    Raises:
        UsageError: The source names nothing that can be imported.
        SpecError: A file cannot be read.
    """
    ending = os.path.splitext(source)[1].lower()
    if ending in (".onnx", ".pt2"):
        _refuse_options(source, input, kwargs)
        stem = os.path.splitext(os.path.basename(source))[0]
        if ending == ".onnx":
            return OnnxFile(name or plain_name(stem), source)
        program, module = load_exported(source)
        inputs = _example_inputs(source, program)
        return TorchModel(name or plain_name(stem), module, inputs, program=program, has_weights=True)
    if ending in PICKLES:
        text = f"{source}: a file of this kind is a pickle, which runs code when it is read"
        raise UsageError(text, "name the Python that makes the network, or save it with torch.export.save as .pt2")
    if ending in OTHER_FILES:
        raise UsageError(f"{source} is not a file of a model that can be imported", OTHER_FILES[ending])
    owner, colon, called = source.rpartition(":")
    if not colon or not owner or not called:
        what = "is not a file of a model" if os.path.exists(source) else "is not a source of a network"
        raise UsageError(f"{source} {what}", _forms(source))
    recipe = _recipe(owner, called, dict(kwargs or {}), weights)
    return _made(source, name or plain_name(called.rpartition(".")[2]), recipe, input)


def plain_name(text: str) -> str:
    """Return a text as the name of a network: letters, digits, `_` and `-`, none of the others."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "net"


def _refuse_options(source: str, input: InputShapes | None, kwargs: Mapping[str, Any] | None) -> None:
    for option, value in (("--input", input), ("--kwargs", kwargs)):
        if value:
            raise UsageError(f"{option}: {source} says itself what goes into it", f"leave out {option}")


def _forms(source: str) -> str:
    """Return the help for a source of no known form: its name in an installed library, or the forms there are."""
    word = os.path.basename(source)
    found = [
        f"{library}:{word}"
        for library, kind in LIBRARIES.items()
        if re.fullmatch(r"\w+", word) and importlib.util.find_spec(library) and word in kind().names()
    ]
    return f"did you mean {' or '.join(f'`{each}`' for each in found)}?" if found else f"name {FORMS}"


def _example_inputs(source: str, program: torch.export.ExportedProgram) -> tuple[torch.Tensor, ...]:
    args, kwargs = program.example_inputs or ((), {})
    inputs = (*args, *kwargs.values())
    if not inputs or not all(isinstance(each, torch.Tensor) for each in inputs):
        raise UsageError(f"{source} holds no example inputs that are tensors", "export the module with tensors alone")
    return inputs


# Networks that Python makes.


class Undrawn(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives every initial weight the mean of its distribution, for modules that get other weights: drawing takes long.

    The mean ends what draws again until a number lies within bounds, as `trunc_normal_` does.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is torch.ops.aten.normal_.default:
            return args[0].fill_(args[1] if len(args) > 1 else given.get("mean", 0))
        if func is torch.ops.aten.uniform_.default:
            low = args[1] if len(args) > 1 else given.get("from", 0)
            high = args[2] if len(args) > 2 else given.get("to", 1)
            return args[0].fill_((low + high) / 2)
        return func(*args, **given)


class _Recipe(Protocol):
    """How a network is made, on torch's default device, and what is known of its inputs."""

    @property
    def reference(self) -> str:
        """Where the network comes from."""

    @property
    def has_weights(self) -> bool:
        """Whether its numbers mean something."""

    def make(self) -> object:
        """Make the network."""

    def shape(self, module: nn.Module) -> Shape:
        """Return the shape of its input, without the batch."""


def _recipe(owner: str, called: str, kwargs: dict[str, Any], weights: bool) -> _Recipe:
    if owner in LIBRARIES:
        return LIBRARIES[owner]().recipe(called, kwargs, weights)
    return _OfCallable(f"{owner}:{called}", _callable(owner, called), kwargs, weights)


def _made(source: str, name: str, recipe: _Recipe, input: InputShapes | None) -> TorchModel:
    """Make a network, on the meta device unless it has numbers to keep: weights that are wanted, or tables."""

    def make() -> nn.Module:
        try:
            made = recipe.make()
        except UsageError:
            raise
        except Exception as error:
            raise not_built(source, error) from error
        if not isinstance(made, nn.Module):
            raise UsageError(f"{source} is not a network: it gives a {type(made).__name__}", "expected an nn.Module")
        return made.eval()

    if recipe.has_weights:
        module = make()
        return TorchModel(
            name, module, example_inputs(module, input, recipe.shape(module), "cpu"), recipe.reference, has_weights=True
        )

    def remake() -> nn.Module:
        with Undrawn():  # type: ignore[no-untyped-call]
            return make()

    try:
        with torch.device("meta"):
            module = make()
    except UsageError:  # it computes with numbers when it is made
        module = remake()
    device = "meta" if all(value.is_meta for value in module.state_dict().values()) else "cpu"
    if device == "meta" and fixed_buffers(module):
        module, device = remake(), "cpu"
    inputs = example_inputs(module, input, recipe.shape(module), device)
    return TorchModel(name, module, inputs, recipe.reference, remake if device == "meta" else None)


def fixed_buffers(module: nn.Module) -> set[str]:
    """Return the names of buffers that are no statistics: tables and masks, whose numbers the network is made with."""
    return {
        f"{path}.{name}" if path else name
        for path, each in module.named_modules()
        if not isinstance(each, _BatchNorm)
        for name, _ in each.named_buffers(recurse=False)
    }


def example_inputs(module: nn.Module, input: InputShapes | None, known: Shape, device: str) -> tuple[torch.Tensor, ...]:
    """Return inputs of the shapes that were asked for, or of the one that is known; two samples each.

    Raises:
        UsageError: A name is not that of an argument of `forward`.
    """
    if input is None:
        shapes: list[Shape] = [known]
    elif isinstance(input, Mapping):
        names = list(inspect.signature(module.forward).parameters)
        for name in input:
            if name not in names:
                raise UsageError(f"--input {name}: the network has no such input", f"it has {listed(names)}")
        shapes = [tuple(input[name]) for name in names if name in input]
    else:
        shapes = [tuple(input)]
    return tuple(torch.zeros(BATCH, *shape, device=device) for shape in shapes)


@dataclass(frozen=True)
class _OfCallable:
    """A callable of the user's code."""

    source: str
    function: object
    kwargs: dict[str, Any]
    has_weights: bool

    @property
    def reference(self) -> str:
        return self.source

    def make(self) -> object:
        if isinstance(self.function, nn.Module) or not callable(self.function):
            return self.function
        return self.function(**self.kwargs)

    def shape(self, module: nn.Module) -> Shape:
        del module
        return DEFAULT_INPUT


def _callable(owner: str, called: str) -> object:
    """Return what a dotted name in a module, or in a file of Python, stands for. Runs the module."""
    source = f"{owner}:{called}"
    module = _of_file(owner) if owner.endswith(".py") else _of_path(source, owner)
    found: object = module
    for part in called.split("."):
        if not hasattr(found, part):
            near = _nearest(part, [name for name in dir(found) if not name.startswith("_")])
            raise UsageError(f"{source}: {owner} has no {part!r}", near)
        found = getattr(found, part)
    return found


def _of_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such file", "write file.py:callable")
    folder, name = os.path.split(os.path.abspath(path))
    stem = os.path.splitext(name)[0]
    spec = importlib.util.spec_from_file_location(stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a file of Python")
    module = importlib.util.module_from_spec(spec)
    _importable(folder)
    sys.modules.setdefault(stem, module)  # what pickles and dataclasses look for
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise not_built(path, error) from error
    return module


def _of_path(source: str, name: str) -> ModuleType:
    _importable(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            help = f"is its package installed, or the folder right? The libraries are {listed(list(LIBRARIES))}"
            raise UsageError(f"{source}: there is no module {error.name!r}", help) from None
        raise not_built(source, error) from error
    except Exception as error:
        raise not_built(source, error) from error


def _importable(folder: str) -> None:
    """Let a folder's modules be imported, as those of the current one with `python -m`."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _nearest(word: str, known: list[str]) -> str | None:
    """Return a help text with the names most like a misspelt one; unlike `did_you_mean`, of any number of names."""
    import difflib

    near = difflib.get_close_matches(word, known, 3, 0.6) or [name for name in known if name.startswith(word)][:3]
    return f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else None


# Libraries.


class _Library(Protocol):
    def names(self) -> list[str]:
        """Return the networks that it has."""

    def recipe(self, name: str, kwargs: dict[str, Any], weights: bool) -> _Recipe:
        """Return how to make one of them."""


def _library(name: str, load: Callable[[], ModuleType]) -> ModuleType:
    try:
        return load()
    except ModuleNotFoundError as error:
        if error.name == name:
            raise UsageError(f"{name} is not installed", f"pip install {name}") from None
        raise UsageError(f"{name} cannot be imported: {reason(error)}", f"pip install {error.name}") from error
    except Exception as error:
        text = f"{name} cannot be imported: {reason(error)}"
        raise UsageError(text, f"is this {name} made for torch {torch.__version__}?") from error


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keep from the user what a library warns its own users of: other initial weights in a release to come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Torchvision:
    def __init__(self) -> None:
        self.library = _library("torchvision", import_torchvision)
        self.models: Any = importlib.import_module("torchvision.models")

    def names(self) -> list[str]:
        return list(self.models.list_models())

    def recipe(self, name: str, kwargs: dict[str, Any], weights: bool) -> _Recipe:
        if name not in self.names():
            raise UsageError(f"torchvision has no network {name!r}", _nearest(name, self.names()))
        builder = self.models.get_model_builder(name)
        accepted = inspect.signature(builder).parameters
        given = {"weights": "DEFAULT" if weights else None}
        if "weights_backbone" in accepted:
            given["weights_backbone"] = None
        return _OfTorchvision(self, name, {**given, **kwargs})


@dataclass(frozen=True)
class _OfTorchvision:
    library: _Torchvision
    name: str
    kwargs: dict[str, Any]

    @property
    def reference(self) -> str:
        version = self.library.library.__version__.partition("+")[0]  # without the build
        return f"torchvision {version}, {self.name}"

    @property
    def has_weights(self) -> bool:
        return self.kwargs["weights"] is not None

    def make(self) -> object:
        with _unwarned():
            return self.library.models.get_model(self.name, **self.kwargs)

    def shape(self, module: nn.Module) -> Shape:
        """Return the shape that the transforms of its weights make: the smallest, where these differ."""
        models = self.library.models
        is_video = type(module).__module__.startswith("torchvision.models.video")
        channels = (3, VIDEO_FRAMES) if is_video else (3,)
        fixed = getattr(module, "image_size", None)  # of a vision transformer
        if isinstance(fixed, int):
            return (*channels, fixed, fixed)
        entries = list(models.get_model_weights(self.name))
        if self.has_weights:
            entries = [models.get_model_weights(self.name)[str(self.kwargs["weights"])]]
        sizes = [entry.transforms.keywords.get("crop_size") for entry in entries]
        sizes = [(size, size) if isinstance(size, int) else tuple(size) for size in sizes if size]
        return (*channels, *min(sizes, default=VIDEO_SIZE if is_video else DEFAULT_INPUT[1:]))


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators do not load.

    Its networks need none of them: they serve detection. Where they do not load (its wheels want CUDA, beside a build
    of torch for the CPU), their names are declared, for it registers shapes for them when it is imported.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        spec = importlib.util.find_spec("torchvision")
        if "operator torchvision::" not in str(error) or spec is None or spec.origin is None:
            raise
        _declare_operators(os.path.join(os.path.dirname(spec.origin), "_meta_registrations.py"))
        return importlib.import_module("torchvision")


def _declare_operators(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        names = set(re.findall(r'@(?:register_meta|torch\.library\.register_fake)\("(?:\w+::)?(\w+)"', file.read()))
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _DECLARED.append(library)
    for name in names:
        library.define(f"{name}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]


_DECLARED: list[torch.library.Library] = []
"""What is declared is there as long as its library is."""


class _Timm:
    def __init__(self) -> None:
        if importlib.util.find_spec("torchvision") is not None:
            _library("torchvision", import_torchvision)  # which timm imports
        self.library: Any = _library("timm", lambda: importlib.import_module("timm"))

    def names(self) -> list[str]:
        return list(self.library.list_models())

    def recipe(self, name: str, kwargs: dict[str, Any], weights: bool) -> _Recipe:
        if not self.library.is_model(name):
            raise UsageError(f"timm has no network {name!r}", _nearest(name.partition(".")[0], self.names()))
        return _OfTimm(self.library, name, {"pretrained": weights, **kwargs})


@dataclass(frozen=True)
class _OfTimm:
    library: Any
    name: str
    kwargs: dict[str, Any]

    @property
    def reference(self) -> str:
        return f"timm {self.library.__version__}, {self.name}"

    @property
    def has_weights(self) -> bool:
        return bool(self.kwargs["pretrained"])

    def make(self) -> object:
        with _unwarned():
            return self.library.create_model(self.name, **self.kwargs)

    def shape(self, module: nn.Module) -> Shape:
        known = getattr(module, "pretrained_cfg", None) or {}
        channels, *size = known.get("input_size") or DEFAULT_INPUT
        channels = self.kwargs.get("in_chans", channels)
        asked = self.kwargs.get("img_size")
        if asked is not None:
            size = [asked, asked] if isinstance(asked, int) else list(asked)
        return (channels, *size)


LIBRARIES: dict[str, Callable[[], _Library]] = {"torchvision": _Torchvision, "timm": _Timm}
