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
from archspec.program.steps import BlockProgram, CallStep, ChoiceStep, ScopeStep, Step
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
    found = _Writer(elaboration.program).spec(elaboration.program)
    if not own_inputs:
        found["input"] = _input(elaboration)
    for name in overrides:
        found["params"][name] = _literal(elaboration.params[name])
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


def _called(program: Program) -> list[BlockProgram]:
    """Return the blocks that the network can call, whatever its params are."""
    found: dict[int, BlockProgram] = {}
    waiting = list(program.steps)
    while waiting:
        step = waiting.pop()
        if isinstance(step, ScopeStep):
            waiting += step.steps
        for each in _callable(step):
            if id(each.block) not in found:
                found[id(each.block)] = each
                waiting += each.steps
    return list(found.values())


def _callable(step: Step) -> Iterable[BlockProgram]:
    """Return the blocks that a step calls, or may choose."""
    if isinstance(step, ChoiceStep):
        return step.blocks
    return [step.block] if isinstance(step, CallStep) and step.block is not None else []


def _reached(program: Program) -> dict[int, Block]:
    """Return the same blocks as they stand in their files, by their identity."""
    return {id(called.block): called.block for called in _called(program)}


def _defaults(library: Library) -> Plain:
    return {op: {name: yaml.plain() for name, yaml in arguments.items()} for op, arguments in library.defaults.items()}


def _init(library: Library) -> Plain:
    return {op: yaml.plain() for op, yaml in library.init.items()}


class _Writer:
    """Writes specs with the libraries and the networks behind them, each as often as it is included or called."""

    def __init__(self, program: Program) -> None:
        self.reached = _reached(program)
        self.networks = {id(block.block): block.network for block in _called(program) if block.network is not None}
        self.entries: dict[int, Plain] = {}
        self.specs: dict[int, Plain] = {}
        self.sizes: dict[int, int] = {}

    def spec(self, program: Program) -> Plain:
        """Return a spec as it was written, but for `expect`, which needs no other. Raises: as `entry`."""
        document = program.document
        found: Plain = {key: document.keys[key].plain() for key in ("archspec",) if key in document.keys}
        found["name"] = document.name
        found |= {key: text for key in ("description", "reference") if (text := document.text(key)) is not None}
        found["input"] = document.keys["input"].plain()
        found["params"] = {name: yaml.plain() for name, yaml in document.params.items()}
        found["defaults"] = _defaults(document.library)
        found["init"] = _init(document.library)
        found["include"] = self.include(document.library)
        found["blocks"] = self.blocks(document.library)
        found |= {key: document.keys[key].plain() for key in ("register", "layers", "outputs") if key in document.keys}
        return found

    def network(self, program: Program) -> Plain:
        """Return a spec as the value of `network`. Raises: as `entry`."""
        key = id(program)
        if key not in self.specs:
            found = self.spec(program)
            _drop_unmentioned(found, program.params)
            self.specs[key] = {name: value for name, value in found.items() if value or name not in _OPTIONAL}
            self.sizes[key] = len(json.dumps(self.specs[key]))
        return self.specs[key]

    def blocks(self, library: Library) -> Plain:
        """Return the blocks that belong to a library itself. Raises: as `entry`."""
        found: Plain = {}
        size = 0
        for name, each in library.blocks.items():
            if each.library is library and id(each) in self.reached:
                found[name] = each.yaml.plain()
                network = self.networks.get(id(each))
                if network is not None:
                    found[name]["network"] = self.network(network)
                    size += self.sizes[id(network)]
                    _check_size(size)
        return found

    def include(self, library: Library) -> list[Plain]:
        """Return the libraries that stand behind a document's own, as entries of `include`.

        An entry brings only what the document sees: where it defines a block that an included one hides, or the other
        way round, the hidden one is still there for the blocks of its own library.
        """
        entries = []
        for other in self.outermost(library):
            brought = self.brought(other)
            seen = [name for name, each in brought.items() if library.blocks.get(name) is each]
            only = {} if len(seen) == len(brought) else {"only": seen}
            entries.append(only | self.entry(other))
        return entries

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
            own = {"defaults": _defaults(library), "init": _init(library), "blocks": self.blocks(library)}
            size = len(json.dumps(own)) + sum(self.sizes[id(other)] for other in others)
            _check_size(size)
            self.sizes[id(library)] = size
            self.entries[id(library)] = found | {key: value for key, value in own.items() if value}
        return self.entries[id(library)]


def _check_size(size: int) -> None:
    """Check how large a part of a bundle is: what shares others may double at every level. Raises: SpecError."""
    if size > MAX_BYTES:
        raise SpecError(Diagnostic("limit", "what the spec includes is larger than 1 MiB in one text"))


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
        # A network sees nothing of the spec around it.
        yield from _names([each.get("params"), each.get("init"), each.get("layers")])


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
            waiting += [key for key in here if "$" in key]  # a step that is chosen


# The text.


_OPTIONAL = ("params", "defaults", "init", "include", "blocks", "expect")


def _text(spec: Plain) -> str:
    lines: list[str] = []
    for key, value in spec.items():
        if key in _OPTIONAL and not value:
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
