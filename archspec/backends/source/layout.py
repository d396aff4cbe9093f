"""Lines of code as `ruff format` would leave them: 88 columns, one argument a line where they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH = 88
INDENT = " " * 4


@dataclass(frozen=True)
class Text:
    """Code that stays on one line."""

    text: str

    def flat(self) -> str:
        """It on one line."""
        return self.text


@dataclass(frozen=True)
class Brackets:
    """`head(item, item)`, or a list or tuple. Where `tall`, its items stand one a line if they do not fit into one."""

    head: str
    items: Sequence[Doc]
    tail: str = ")"
    tall: bool = False

    def flat(self) -> str:
        """It on one line."""
        return f"{self.head}{', '.join(item.flat() for item in self.items)}{self.tail}"


@dataclass(frozen=True)
class Named:
    """`name=value`, or a value with `*` before it."""

    prefix: str
    doc: Doc

    def flat(self) -> str:
        """It on one line."""
        return self.prefix + self.doc.flat()


@dataclass(frozen=True)
class Chain:
    """Operands with an operator between them."""

    operator: str
    operands: Sequence[Doc]

    def flat(self) -> str:
        """It on one line."""
        return f" {self.operator} ".join(operand.flat() for operand in self.operands)


@dataclass(frozen=True)
class Copies:
    """`*(element for _ in range(count))`."""

    element: Doc
    count: int

    def flat(self) -> str:
        """It on one line."""
        return f"*({self.element.flat()} for _ in range({self.count}))"


Doc = Text | Brackets | Named | Chain | Copies


@dataclass
class Lines:
    """Code in the making."""

    lines: list[str] = field(default_factory=list)

    def add(self, level: int, prefix: str, doc: Doc | None = None, suffix: str = "") -> None:
        """A statement."""
        self.lines += laid_out(level, prefix, doc or Text(""), suffix)


def fits(level: int, text: str) -> bool:
    """Whether a line at this level of indentation stays within the width."""
    return len(INDENT) * level + len(text) <= WIDTH


def laid_out(level: int, prefix: str, doc: Doc, suffix: str = "") -> list[str]:
    """`prefix`, the code, and `suffix`, on as many lines as it takes."""
    indent = INDENT * level
    line = prefix + doc.flat() + suffix
    if fits(level, line):
        return [indent + line]
    match doc:
        case Named():
            return laid_out(level, prefix + doc.prefix, doc.doc, suffix)
        case Brackets(items=items) if items:
            body = ", ".join(item.flat() for item in items)
            first, last = f"{indent}{prefix}{doc.head}", f"{indent}{doc.tail}{suffix}"
            if not doc.tall and fits(level + 1, body) and not (len(items) == 1 and doc.tail == ",)"):
                return [first, f"{INDENT * (level + 1)}{body}", last]
            comma = "," if len(items) > 1 or isinstance(items[0], Copies | Text) else ""
            return [first, *(line for item in items for line in laid_out(level + 1, "", item, comma)), last]
        case Copies():
            rest = f"{INDENT * (level + 1)}for _ in range({doc.count})"
            return [f"{indent}{prefix}*(", *laid_out(level + 1, "", doc.element), rest, f"{indent}){suffix}"]
        case Chain() if prefix:
            if fits(level + 1, doc.flat()):
                return [f"{indent}{prefix}(", f"{INDENT * (level + 1)}{doc.flat()}", f"{indent}){suffix}"]
            signs = ["", *[f"{doc.operator} "] * (len(doc.operands) - 1)]
            pairs = zip(signs, doc.operands, strict=True)
            inner = [line for sign, item in pairs for line in laid_out(level + 1, sign, item)]
            return [f"{indent}{prefix}(", *inner, f"{indent}){suffix}"]
    return [indent + line]
