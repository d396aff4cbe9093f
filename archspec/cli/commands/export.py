"""`archspec export`."""

from __future__ import annotations

import click

from archspec.cli.common import load_network, network_options, spec_argument
from archspec.header import ENDING


@click.command()
@spec_argument
@network_options
@click.option("--onnx", metavar="FILE", required=True, help="The ONNX file to write.")
@click.option(
    "--weights",
    metavar="FILE",
    help="Weights as safetensors; without them those of SPEC where it is such a file, else drawn anew.",
)
@click.option("--dynamic-batch", is_flag=True, help="Leave the batch open instead of fixing it to 1.")
@click.option("--opset", type=int, metavar="N", help="Version of ONNX's operators; default: that of torch's exporter.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(
    spec: str,
    input: tuple[str, ...],
    set_: tuple[str, ...],
    onnx: str,
    weights: str | None,
    dynamic_batch: bool,
    opset: int | None,
    force: bool,
) -> None:
    """Export a network to ONNX, as it runs when it is not training.

    The file is run in onnxruntime, where that is installed, and must compute what the torch module computes. More than
    1 GiB of weights go into a second file beside it, FILE.data.

    \b
    archspec export resnet18 --onnx resnet18.onnx --weights resnet18.safetensors --dynamic-batch
    archspec export mine.safetensors --onnx mine.onnx --opset 18
    """
    from archspec.backends.extras import need

    network = load_network(spec, input, set_)
    need("torch", "onnx", "onnxscript")
    from archspec.backends.onnx import export_onnx

    if weights is None and spec.endswith(ENDING):
        weights = spec
    click.echo(export_onnx(network, onnx, weights, dynamic_batch, opset=opset, force=force))
