"""Blocks in typed form, but for their steps; a block that is a network is one compiled."""

from __future__ import annotations

from archspec.document import Block
from archspec.errors import Diagnostic
from archspec.names import output_name_fault, step_name_fault, value_name_fault
from archspec.ops import OPS
from archspec.program.compilation import Compilation, is_empty
from archspec.program.steps import RESERVED, BlockProgram
from archspec.schema import SCOPES, STEP_KEYS, USE
from archspec.syntax import YamlList, YamlMap, YamlScalar


def block_program(compilation: Compilation, block: Block) -> BlockProgram:
    """Return the block in typed form, made at the first call."""
    known = compilation.blocks.get(id(block))
    if known is not None:
        return known
    program = compilation.blocks[id(block)] = BlockProgram(block)
    _check_block_name(compilation, block)
    if block.is_network:
        _fill_network(compilation, program)
        return program
    params, inputs = block.yaml.get("params"), block.yaml.get("inputs")
    if isinstance(params, YamlMap):
        taken = RESERVED | {*STEP_KEYS}
        values = compilation.values(params.entries, params.keys, f"block {block.name}", taken)
        program.params = {name: None if is_empty(params.entries[name]) else value for name, value in values.items()}
    if isinstance(inputs, YamlList):
        names = [item for item in inputs.items if isinstance(item, YamlScalar) and isinstance(item.value, str)]
        program.inputs = tuple(item.value for item in names)
        taken_names = set(program.params)
        for item in names:
            compilation.check_value_name(item.value, item.span, f"block {block.name}", RESERVED)
            if item.value in taken_names:
                compilation.findings.add(Diagnostic("name", f"duplicate name `{item.value}`", item.span))
            taken_names.add(item.value)
    compilation.waiting.append(program)
    return program


def _fill_network(compilation: Compilation, program: BlockProgram) -> None:
    """Give a block that is a network what that has; its mistakes are reported once."""
    document, features = program.block.network, program.block.yaml.get("features")
    if document is None:
        return
    network = compilation.networks.get(id(document))
    if network is None:
        network = compilation.networks[id(document)] = compilation.network(document)
        for finding in network.diagnostics:
            compilation.findings.add(finding)
    declared = document.keys.get("input")
    program.network, program.params, program.steps = network, {**network.params}, network.steps
    program.register = network.register
    program.inputs = tuple(declared.entries) if isinstance(declared, YamlMap) else ()
    if features is None or features in compilation.document.broken:
        return
    if isinstance(features, YamlMap):
        named = list(features.entries.items())
    else:
        items = features.items if isinstance(features, YamlList) else [features]
        named = [(str(item.plain()), item) for item in items]
    known: set[str] = set()
    for name, item in named:
        fault = output_name_fault(name)
        if fault:
            compilation.findings.add(fault.at(item.span, "features: "))
        elif name in known:
            compilation.findings.add(Diagnostic("name", f"features: `{name}` is named twice", item.span))
        known.add(name)
    program.features = tuple((name, str(item.plain()), item.span) for name, item in named)


def _check_block_name(compilation: Compilation, block: Block) -> None:
    if block.name in OPS or block.name in (*SCOPES, USE):
        message = f"the block `{block.name}` has the name of an op"
        compilation.findings.add(Diagnostic("block", message, block.span, help="give the block another name"))
    else:
        fault = value_name_fault(block.name) or step_name_fault(block.name)
        if fault:
            compilation.findings.add(fault.at(block.span, "block: "))
