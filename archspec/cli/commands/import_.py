"""`archspec import`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from archspec.cli.common import complete_file, output_options, parse_input
from archspec.cli.streams import emit, print_error
from archspec.errors import Source, SpecError, UsageError, printable
from archspec.files import check_target
from archspec.network import InputShapes


@click.command()
@click.argument("source", shell_complete=complete_file)
@click.option(
    "--input",
    multiple=True,
    metavar="SHAPE",
    help="The input shape without the batch, 3x320x320, or NAME=3x320x320 for each argument of forward. By default "
    "what is known of the network, else 3x224x224.",
)
@click.option("--kwargs", metavar="YAML", help="Arguments of the callable, as YAML or JSON: '{num_classes: 10}'.")
@click.option("--name", help="What the network is called; by default what the source calls it.")
@click.option("--flat", is_flag=True, help="One step a layer: leave out blocks, params and repeats.")
@click.option("--partial", is_flag=True, help="Write a sketch if a spec cannot express all of the network.")
@click.option("--no-run", is_flag=True, help="Do not compare outputs, which runs both networks on the CPU.")
@click.option(
    "--weights",
    metavar="OUT",
    shell_complete=complete_file,
    help="Also write the source's weights, as safetensors. Of torchvision and timm these are the pretrained ones, "
    "which are downloaded.",
)
@output_options
def command(
    source: str,
    input: tuple[str, ...],
    kwargs: str | None,
    name: str | None,
    flat: bool,
    partial: bool,
    no_run: bool,
    weights: str | None,
    output: str | None,
    force: bool,
) -> int:
    """Write a network that you have as a spec, and prove that it is the same network.

    SOURCE is a network of a library (torchvision:resnet50, timm:convnext_tiny), a callable that makes one
    (package.module:callable, net.py:callable), a program of torch.export (net.pt2) or an ONNX file (net.onnx).

    A network in Python is made by running its code: name only code that you trust. Files are read as data, and those
    that hold pickles are refused.

    The proof goes to standard error. Where it fails, or a spec cannot express all of the network, nothing is written,
    and the exit status is 1.

    \b
    archspec import torchvision:resnet50 -o resnet50.yaml
    archspec import timm:convnext_tiny --kwargs '{num_classes: 10}' --weights convnext.safetensors
    archspec import mine.py:Net --input 3x64x64
    archspec import mine.onnx -o mine.yaml
    """
    from archspec.backends.extras import need

    for target in (output, weights):
        if target is not None:
            check_target(target, force)
    shapes, arguments = _shapes(input), _kwargs(kwargs)
    need("torch", *(["safetensors"] if weights else []))
    from archspec.importing.imported import Options, import_source

    options = Options(partial, flat, not no_run, lambda what: print_error(printable(str(what))))
    found = import_source(source, options, input=shapes, kwargs=arguments, weights=weights is not None, name=name)
    for each in found.missing:
        print_error(printable(f"missing: {each}"))
    if not found.proved and not partial:
        print_error("nothing is written: the spec is not the network; --partial writes it nevertheless")
        return 1
    emit(found.text, output, force, "code")
    if weights is not None:
        found.save_weights(weights, force=force)
    return 0 if found.proved else 1


def _shapes(inputs: Iterable[str]) -> InputShapes | None:
    texts = list(inputs)
    if len(texts) > 1 and any("=" not in text for text in texts):
        raise UsageError("--input: several inputs are given by name", "--input NAME=3x224x224 for each")
    return parse_input(texts)


def _kwargs(text: str | None) -> dict[str, Any]:
    """Return the mapping of `--kwargs`."""
    from archspec.syntax import parse_value

    if text is None:
        return {}
    try:
        found = parse_value(Source("--kwargs", text))
    except SpecError as error:
        raise UsageError(f"--kwargs: {error.diagnostics[0].message}") from None
    if not isinstance(found, dict):
        raise UsageError(f"--kwargs: expected a mapping, got {text[:60]!r}", "--kwargs '{num_classes: 10}'")
    return found
