"""What is known of a document while it is compiled, and how its values are: shared by all its steps and blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from archspec.document import Document
from archspec.errors import Complaint, Findings, Span
from archspec.names import value_name_fault
from archspec.program.steps import RESERVED, BlockProgram, CallStep, InitRules, Program, Value
from archspec.syntax import Yaml, YamlScalar


class Compilation(ABC):
    """The state of one compilation; `networks` are those of its blocks, each compiled once however many name it."""

    def __init__(self, document: Document, networks: dict[int, Program] | None = None) -> None:
        self.document = document
        self.networks: dict[int, Program] = {} if networks is None else networks
        self.findings = Findings()
        self.blocks: dict[int, BlockProgram] = {}
        self.waiting: list[BlockProgram] = []
        self.calls: list[CallStep] = []
        self.defaults: dict[Yaml, Value | None] = {}
        self.mentioned: set[str] = set()
        self.has_uses = False
        self.draws = False
        self.brought: dict[int, InitRules] = {}
        self.meant: dict[str, str] = {}
        """The op or block that a misspelt one is most like."""

    @abstractmethod
    def network(self, document: Document) -> Program:
        """Return the typed form of a network that a block is."""

    def value(self, yaml: Yaml) -> Value | None:
        """Return a value with its expressions compiled; None if one is malformed, which is reported."""
        try:
            value = Value(yaml)
        except Complaint as fault:
            self.findings.add(fault)
            return None
        self.mentioned |= value.names
        return value

    def values(
        self, entries: Mapping[str, Yaml], keys: Mapping[str, Span], what: str, taken: frozenset[str] = RESERVED
    ) -> dict[str, Value]:
        """Return the values that bear names, and report names that are not allowed, or `taken`."""
        found: dict[str, Value] = {}
        for name, yaml in entries.items():
            self.check_value_name(name, keys[name], what, taken)
            found[name] = self.value(yaml) or Value(yaml, failed=True)
        return found

    def check_value_name(self, name: str, span: Span, what: str, taken: frozenset[str]) -> None:
        """Report the name of a value of `what` that is not allowed, or `taken`."""
        fault = value_name_fault(name, taken)
        if fault:
            self.findings.add(fault.at(span, f"{what}: "))


def is_empty(yaml: Yaml) -> bool:
    """Return whether nothing stands after a key."""
    return isinstance(yaml, YamlScalar) and yaml.value is None
