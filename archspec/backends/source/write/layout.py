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
    """`head(item, item)`, or a list or tuple. If `tall`, its items stand one a line when they do not fit into one.

    With a `comment`, they always do, below it.
    """

    head: str
    items: Sequence[Doc]
    tail: str = ")"
    tall: bool = False
    comment: str = ""

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
class Comprehension:
    """`element for target in source`, with `star` as `*(...)` among other items."""

    element: Doc
    loop: str
    star: bool = False
    more: tuple[str, ...] = ()
    """Loops within the first."""

    def flat(self) -> str:
        """Return it on one line."""
        inner = " ".join([self.element.flat(), self.loop, *self.more])
        return f"*({inner})" if self.star else inner


@dataclass(frozen=True)
class Choice:
    """`first if test else other`."""

    first: Doc
    test: str
    other: Doc

    def flat(self) -> str:
        """Return it on one line."""
        return f"{self.first.flat()} if {self.test} else {self.other.flat()}"


Doc = Text | Brackets | Named | Chain | Comprehension | Choice


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
    if fits(level, line) and not (isinstance(doc, Brackets) and doc.comment):
        return [indent + line]
    match doc:
        case Named():
            return laid_out(level, prefix + doc.prefix, doc.doc, suffix)
        case Brackets(items=items) if items:
            body = ", ".join(item.flat() for item in items)
            first, last = f"{indent}{prefix}{doc.head}", f"{indent}{doc.tail}{suffix}"
            if not doc.tall and fits(level + 1, body) and not (len(items) == 1 and doc.tail == ",)"):
                return [first, f"{INDENT * (level + 1)}{body}", last]
            bare = len(items) == 1 and isinstance(items[0], Comprehension) and not items[0].star
            comma = "" if bare or len(items) == 1 and not isinstance(items[0], Comprehension | Text | Named) else ","
            note = [INDENT * (level + 1) + doc.comment] if doc.comment else []
            return [first, *note, *(line for item in items for line in laid_out(level + 1, "", item, comma)), last]
        case Comprehension():
            if not doc.star:
                loops = [f"{indent}{loop}" for loop in (doc.loop, *doc.more)]
                return [*laid_out(level, prefix, doc.element), *loops[:-1], f"{loops[-1]}{suffix}"]
            loops = [f"{INDENT * (level + 1)}{loop}" for loop in (doc.loop, *doc.more)]
            inner = [*laid_out(level + 1, "", doc.element), *loops]
            return [f"{indent}{prefix}*(", *inner, f"{indent}){suffix}"]
        case Choice() if not prefix:
            return [
                *laid_out(level, "", doc.first),
                f"{indent}if {doc.test}",
                *laid_out(level, "else ", doc.other, suffix),
            ]
        case Choice():
            if fits(level + 1, doc.flat()):
                return [f"{indent}{prefix}(", f"{INDENT * (level + 1)}{doc.flat()}", f"{indent}){suffix}"]
            inner = []
            way: Doc = doc
            head = ""
            while isinstance(way, Choice):
                inner += [*laid_out(level + 1, head, way.first), f"{INDENT * (level + 1)}if {way.test}"]
                way, head = way.other, "else "
            inner += laid_out(level + 1, head, way)
            return [f"{indent}{prefix}(", *inner, f"{indent}){suffix}"]
        case Chain() if prefix:
            if fits(level + 1, doc.flat()):
                return [f"{indent}{prefix}(", f"{INDENT * (level + 1)}{doc.flat()}", f"{indent}){suffix}"]
            signs = ["", *[f"{doc.operator} "] * (len(doc.operands) - 1)]
            pairs = zip(signs, doc.operands, strict=True)
            inner = [line for sign, item in pairs for line in laid_out(level + 1, sign, item)]
            return [f"{indent}{prefix}(", *inner, f"{indent}){suffix}"]
    return [indent + line]
