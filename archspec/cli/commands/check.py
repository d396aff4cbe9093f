"""`archspec check`."""

from __future__ import annotations

import click

from archspec.cli.common import specs_argument
from archspec.cli.streams import emit, print_diagnostics, to_json
from archspec.errors import Diagnostic, SpecError, printable
from archspec.network import load
from archspec.report.figures import count_text


@click.command()
@specs_argument
@click.option("--format", "format_", type=click.Choice(("text", "json", "github")), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
def command(specs: tuple[str, ...], format_: str, strict: bool) -> int:
    """Report everything that is wrong with specs, all of it at once, and whether their `expect` holds.

    The exit status is 1 if anything is wrong. `--format github` annotates the lines of a pull request.

    \b
    archspec check net.yaml
    archspec check specs/*.yaml --strict
    """
    results = [(spec, *_check(spec)) for spec in specs]
    if format_ == "json":
        data = [{"spec": spec, "diagnostics": [d.to_dict() for d in found]} for spec, found, _ in results]
        emit(to_json(data), form="json")
    elif format_ == "github":
        for _, found, _ in results:
            for diagnostic in found:
                emit(_annotation(diagnostic))
    else:
        for spec, found, figures in results:
            print_diagnostics(found)
            verdict = "ok" if not found else "wrong" if _errors(found) else "warn"
            emit(f"{verdict:<5}  {printable(spec)}{figures}")
    wrong = any(found if strict else _errors(found) for _, found, _ in results)
    return 1 if wrong else 0


def _check(spec: str) -> tuple[tuple[Diagnostic, ...], str]:
    """Return what is wrong with a spec, and its figures in a few words."""
    try:
        network = load(spec)
    except SpecError as error:
        count = len(error.diagnostics)
        return error.diagnostics, f"  {count} error{'s' if count != 1 else ''}"
    totals = network.analyze().totals
    figures = f"  {totals.layers} layers, {count_text(totals.params)} params, {count_text(totals.macs)} MACs"
    return network.check(), figures


def _errors(found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    return [diagnostic for diagnostic in found if diagnostic.severity == "error"]


def _annotation(diagnostic: Diagnostic) -> str:
    """Return a finding as a workflow command of GitHub Actions."""
    place = ""
    if diagnostic.span:
        span = diagnostic.span
        place = (
            f" file={_property(span.source.name)},line={span.line},col={span.column},title=archspec {diagnostic.code}"
        )
    text = diagnostic.message + (f"\n{diagnostic.help}" if diagnostic.help else "")
    return f"::{diagnostic.severity}{place}::{_data(text)}"


def _data(text: str) -> str:
    return printable(text, keep="\r\n").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
