"""A spec as it was written, bundled into one text: what it extends and includes laid together, params as they were set.

Blocks, repeats, conditions and expressions stay. Blocks that nothing can call and params that nothing mentions are
left out. The text needs no other file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from archspec.document import Block, Library, parse_document
from archspec.elaborate import Elaboration, elaborate
from archspec.errors import Diagnostic, SpecError
from archspec.expressions import compile_text
from archspec.files import MAX_BYTES
from archspec.ops.initial import Draw
from archspec.program import Program
from archspec.program.steps import CallStep, ScopeStep
from archspec.report.yaml_text import block, entry
from archspec.syntax import YamlMap

Plain = dict[str, Any]


def bundle_spec(elaboration: Elaboration, overrides: Mapping[str, Any], own_inputs: bool = True) -> str:
    """Return the text of a spec that stands for the same network.

    Args:
        elaboration: The network.
        overrides: The params that were given; what they are set to takes the place of what the spec declares.
        own_inputs: Whether the shapes of the inputs are those that the spec declares.

    Raises:
        SpecError: The text would be larger or deeper than a spec may be.
    """
    document = elaboration.program.document
    reached = _reached(elaboration.program)
    found: Plain = {key: document.keys[key].plain() for key in ("archspec",) if key in document.keys}
    found["name"] = document.name
    found |= {key: text for key in ("description", "reference") if (text := document.text(key)) is not None}
    found["input"] = document.keys["input"].plain() if own_inputs else _input(elaboration)
    found["params"] = {
        name: _literal(elaboration.params[name]) if name in overrides else yaml.plain()
        for name, yaml in document.params.items()
    }
    found["defaults"] = _defaults(document.library)
    found["init"] = _init(document.library)
    found["include"] = _include(document.library, reached)
    found["blocks"] = _blocks(document.library, reached)
    found |= {key: document.keys[key].plain() for key in ("layers", "outputs") if key in document.keys}
    if own_inputs and not overrides:  # what is expected is said of the spec as it is written
        found["expect"] = {name: yaml.plain() for name, yaml in document.expect.items()}
    _drop_unmentioned(found, elaboration.program.params)
    text = _text(found)
    _prove(text, elaboration)
    return text


def _prove(text: str, elaboration: Elaboration) -> None:
    """Load a bundle and compare the network: whoever gets the text has nothing else to go by."""
    again = elaborate(parse_document(text, f"the bundle of {elaboration.graph.name}"))
    if again.diagnostics:
        raise SpecError(again.diagnostics)
    if again.graph.to_json() != elaboration.graph.to_json() or _draws(again) != _draws(elaboration):
        raise RuntimeError(f"the bundle of {elaboration.graph.name} is another network; please report this")


def _draws(elaboration: Elaboration) -> list[Mapping[str, Draw]]:
    return [node.draws for node in elaboration.graph.nodes]


def _input(elaboration: Elaboration) -> Any:
    """Return the shapes of the inputs as they are, in the form in which the spec declares them."""
    shapes = {name: list(shape) for name, shape in elaboration.graph.inputs.items()}
    named = isinstance(elaboration.program.document.keys["input"], YamlMap)
    return shapes if named else next(iter(shapes.values()))


def _literal(value: Any) -> Any:
    """Return a value as a spec writes it: a dollar that stands for itself is doubled."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return {key: _literal(item) for key, item in value.items()} if isinstance(value, dict) else value


# Blocks.


def _reached(program: Program) -> dict[int, Block]:
    """Return the blocks that the network can call, whatever its params are, by their identity."""
    found: dict[int, Block] = {}
    waiting = list(program.steps)
    while waiting:
        step = waiting.pop()
        if isinstance(step, ScopeStep):
            waiting += step.steps
        elif isinstance(step, CallStep) and step.block is not None and id(step.block.block) not in found:
            found[id(step.block.block)] = step.block.block
            waiting += step.block.steps
    return found


def _blocks(library: Library, reached: Mapping[int, Block]) -> Plain:
    """Return the blocks that belong to a library itself."""
    return {
        name: each.yaml.plain()
        for name, each in library.blocks.items()
        if each.library is library and id(each) in reached
    }


def _defaults(library: Library) -> Plain:
    return {op: {name: yaml.plain() for name, yaml in arguments.items()} for op, arguments in library.defaults.items()}


def _init(library: Library) -> Plain:
    return {op: yaml.plain() for op, yaml in library.init.items()}


def _include(library: Library, reached: Mapping[int, Block]) -> list[Plain]:
    """Return the libraries that stand behind a document's own, as entries of `include`.

    An entry brings only what the document sees: where it defines a block that an included one hides, or the other way
    round, the hidden one is still there for the blocks of its own library.
    """
    writer = _Libraries(reached)
    entries = []
    for other in writer.outermost(library):
        brought = writer.brought(other)
        seen = [name for name, each in brought.items() if library.blocks.get(name) is each]
        only = {} if len(seen) == len(brought) else {"only": seen}
        entries.append(only | writer.entry(other))
    return entries


class _Libraries:
    """Writes libraries with the libraries behind them, each as often as it is included."""

    def __init__(self, reached: Mapping[int, Block]) -> None:
        self.reached = reached
        self.entries: dict[int, Plain] = {}
        self.sizes: dict[int, int] = {}

    def brought(self, library: Library) -> dict[str, Block]:
        """Return what a library brings, its own blocks and included ones, as far as the network can call them."""
        return {name: each for name, each in library.blocks.items() if id(each) in self.reached}

    def behind(self, library: Library) -> dict[int, Library]:
        """Return the other libraries that the blocks of a library come from."""
        others = (each.library for each in self.brought(library).values())
        return {id(other): other for other in others if other is not library}

    def outermost(self, library: Library) -> list[Library]:
        """Return the libraries behind a library that do not stand behind another one of these."""
        behind = self.behind(library)
        inner = {key for other in behind.values() for key in self.behind(other)}
        return [other for key, other in behind.items() if key not in inner]

    def entry(self, library: Library) -> Plain:
        """Return a library as an entry of `include`. Raises: SpecError if it grows larger than a spec may be."""
        if id(library) not in self.entries:
            others = self.outermost(library)
            found: Plain = {"include": [self.entry(other) for other in others]} if others else {}
            own = {"defaults": _defaults(library), "init": _init(library), "blocks": _blocks(library, self.reached)}
            size = len(json.dumps(own)) + sum(self.sizes[id(other)] for other in others)
            if size > MAX_BYTES:  # libraries that share others may double at every level
                raise SpecError(Diagnostic("limit", "what the spec includes is larger than 1 MiB in one text"))
            self.sizes[id(library)] = size
            self.entries[id(library)] = found | {key: value for key, value in own.items() if value}
        return self.entries[id(library)]


# Params.


def _drop_unmentioned(spec: Plain, order: Iterable[str]) -> None:
    """Take out the params that nothing mentions: declared in the file itself, they would be errors.

    In `order`, a param comes after those that it uses.
    """
    mentioned = set(_names([*(spec[key] for key in ("input", "defaults", "init", "layers")), spec.get("outputs")]))
    mentioned.update(_block_names(spec["blocks"]))
    waiting = list(spec["include"])
    while waiting:
        library = waiting.pop()
        waiting += library.get("include", ())
        mentioned.update(_block_names(library.get("blocks", {})))
    for name in reversed(list(order)):
        if name in mentioned:
            mentioned.update(_names(spec["params"][name]))
        else:
            del spec["params"][name]


def _block_names(blocks: Plain) -> Iterator[str]:
    for each in blocks.values():
        yield from _names([each.get("params"), each.get("init"), each["layers"]])


def _names(value: Any) -> Iterator[str]:
    """Yield the names that the expressions in a value mention."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, str):
            found = compile_text(here)
            yield from () if isinstance(found, str) else found.names
        elif isinstance(here, list):
            waiting += here
        elif isinstance(here, dict):
            waiting += here.values()


# The text.


def _text(spec: Plain) -> str:
    lines: list[str] = []
    for key, value in spec.items():
        if key in ("params", "defaults", "init", "include", "blocks", "expect") and not value:
            continue
        if key in ("archspec", "name", "description", "reference"):
            lines += entry(key, value)
        elif key == "blocks":
            lines += ["", "blocks:"]
            for position, (name, each) in enumerate(value.items()):
                lines += [*([""] if position else []), *(f"  {line}" for line in entry(name, each))]
        elif key in ("params", "defaults", "init", "include"):
            lines += ["", f"{key}:", *(f"  {line}" for line in block(value))]
        else:
            lines += ["", *entry(key, value)]
    return "\n".join(lines) + "\n"
