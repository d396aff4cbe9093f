"""From a document to typed steps: each is checked once, however often it is repeated."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial

from archspec.document import MAX_KEPT, Document
from archspec.errors import Complaint, nearest
from archspec.ops import table
from archspec.ops.base import Op
from archspec.program.blocks import block_program
from archspec.program.compilation import Compilation
from archspec.program.cycles import find_block_cycles, params_in_order
from archspec.program.initial import brought_rules, init_rules
from archspec.program.register import registered_names
from archspec.program.steps import CallStep, Program
from archspec.program.typed_steps import default_value, typed_steps
from archspec.syntax import YamlList, YamlMap


def compile_program(document: Document) -> Program:
    """Return the typed form of a document. Its `diagnostics` say what is wrong; the steps concerned are `broken`."""
    size = sum(len(text) for _, text in document.files)
    return _compiled(document, table()) if size <= MAX_KEPT else _Compiler(document).program()


@lru_cache(maxsize=32)
def _compiled(document: Document, _ops: tuple[type[Op], ...]) -> Program:
    """Compile a document once for a table of ops, however often it is loaded: nobody writes to a Program."""
    return _Compiler(document).program()


class _Compiler(Compilation):
    """Compiles one document."""

    def program(self) -> Program:
        library = self.document.library
        program = Program(self.document)
        program.params = params_in_order(self, self.values(self.document.params, self.document.param_keys, "param"))
        program.blocks = {name: block_program(self, block) for name, block in library.blocks.items()}
        for arguments in library.defaults.values():
            for yaml in arguments.values():
                default_value(self, yaml, library)
        program.init = init_rules(self, library.init)
        layers = self.document.keys.get("layers")
        if isinstance(layers, YamlList):
            program.steps = typed_steps(self, layers, library)
            program.register = registered_names(self, self.document.keys.get("register"), program.steps)
        _fill_blocks(self)
        _check_params_used(self)
        program.has_uses = self.has_uses
        program.draws = self.draws
        program.diagnostics = self.findings.found
        return program

    def network(self, document: Document) -> Program:
        """Return the typed form of a network that a block is."""
        return _Compiler(document, self.networks).program()


def _fill_blocks(compilation: Compilation) -> None:
    """Return the steps of every block, one block after the other, and which blocks they call."""
    calls: dict[int, list[CallStep]] = {}
    while compilation.waiting:
        program = compilation.waiting.pop()
        compilation.calls = calls[id(program)] = []
        init, layers = (program.block.yaml.get(key) for key in ("init", "layers"))
        if isinstance(init, YamlMap):
            program.init = init_rules(compilation, init.entries)
        program.brought = brought_rules(compilation, program.block.library)
        if isinstance(layers, YamlList):
            program.steps = typed_steps(compilation, layers, program.block.library)
            program.register = registered_names(compilation, program.block.yaml.get("register"), program.steps)
    find_block_cycles(compilation, calls)


def _check_params_used(compilation: Compilation) -> None:
    """Report params of this file that nothing mentions: they may be misspelt."""
    for key in ("input", "outputs"):
        yaml = compilation.document.keys.get(key)
        if yaml is not None:
            compilation.value(yaml)
    if compilation.findings.count or compilation.document.diagnostics:
        return  # what is wrong may have hidden its use
    params = compilation.document.params
    used = [name for name in params if name in compilation.mentioned]
    for name, yaml in params.items():
        if name not in compilation.mentioned and yaml.source is compilation.document.source:
            help = partial(_nearest_param, name, used)
            message = f"unused param `{name}`: no expression mentions it"
            compilation.findings.add(Complaint("unused", message, help, span=compilation.document.param_keys[name]))


def _nearest_param(name: str, used: Iterable[str]) -> str | None:
    near = nearest(name, used)
    return f"did you mean `{near}`?" if near else None
