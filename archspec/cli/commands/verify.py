"""`archspec verify`."""

from __future__ import annotations

import click

from archspec.backends.build import COMPILERS
from archspec.cli.common import load_network, network_options, specs_argument
from archspec.cli.streams import emit, to_json
from archspec.errors import printable


@click.command()
@specs_argument
@network_options
@click.option(
    "--compiler",
    type=click.Choice(COMPILERS),
    default="aot_eager",
    show_default=True,
    help="What compiles the network for the check `compiled`; none leaves that out.",
)
@click.option("--format", "format_", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(specs: tuple[str, ...], input: tuple[str, ...], set_: tuple[str, ...], compiler: str, format_: str) -> int:
    """Check that graph, analysis, torch module, generated source and compiled network agree.

    The exit status is 1 if a check fails. A smaller --input makes large networks quicker to check.

    \b
    archspec verify resnet18
    archspec verify efficientnet_b7 --input 3x96x96 --compiler inductor
    """
    from archspec.backends.extras import need

    networks = [load_network(spec, input, set_) for spec in specs]
    need("torch")
    from archspec.backends.verify import Check, verify

    results = []
    for network in networks:

        def show(check: Check, name: str = network.name) -> None:
            emit(printable(f"{name}: {check}" if len(specs) > 1 else str(check)))

        results.append(verify(network, compiler=compiler, progress=show if format_ == "text" else None))
    if format_ == "json":
        data = [result.to_dict() for result in results]
        emit(to_json(data[0] if len(specs) == 1 else data), form="json")
    return 0 if all(result.passed for result in results) else 1
