"""`archspec export`."""

from __future__ import annotations

import click

from archspec.cli.common import complete_file, load_network, network_options, spec_argument
from archspec.cli.streams import emit
from archspec.header import ENDING


@click.command()
@spec_argument
@network_options
@click.option("--onnx", metavar="FILE", required=True, shell_complete=complete_file, help="The ONNX file to write.")
@click.option(
    "--weights",
    metavar="FILE",
    shell_complete=complete_file,
    help="Weights as safetensors; by default those of SPEC if it is such a file, and random ones otherwise.",
)
@click.option("--dynamic-batch", is_flag=True, help="Leave the batch size open instead of fixing it to 1.")
@click.option(
    "--opset", type=int, metavar="N", help="Version of ONNX's operators; by default that of torch's exporter."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
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
    """Write a network as an ONNX file, in evaluation mode.

    If onnxruntime is installed, it runs the file, which must compute what the torch module computes. Weights of more
    than 1 GiB go into a second file beside it, FILE.data.

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
    emit(str(export_onnx(network, onnx, weights, dynamic_batch, opset=opset, force=force)))
