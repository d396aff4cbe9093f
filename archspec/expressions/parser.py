"""Find and parse `$name` and `${...}` in text; what is not an expression stands for itself."""

from __future__ import annotations

import ast
import keyword
import re
from functools import lru_cache
from typing import Any

from archspec.errors import Complaint
from archspec.expressions.compiler import Compiler, Evaluate
from archspec.expressions.environment import Environment
from archspec.expressions.values import EVALUATION_STEPS, MAX_LENGTH, MAX_TEXT, as_text, checked, text_steps

MAX_LEVELS = 32


class Expression:
    """A compiled expression; `names` are those it mentions, `tree` is its syntax, for back ends that print it."""

    __slots__ = ("text", "names", "tree", "_run", "_size", "_name")

    def __init__(self, text: str, run: Evaluate, names: frozenset[str], tree: ast.expr, size: int) -> None:
        self.text, self.names, self.tree, self._run, self._size = text, names, tree, run, size
        self._name = tree.id if isinstance(tree, ast.Name) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_expression, (self.text,)

    def evaluate(self, environment: Environment) -> Any:
        """Return its value in `environment`. Raises: Complaint if it has none."""
        if self._name is not None:
            return environment.lookup(self._name)
        environment.budget.begin(self._size + EVALUATION_STEPS)
        return self._run(environment)


class Template:
    """Text with `${...}` or `$name` inside: a list of literal parts and expressions."""

    __slots__ = ("parts", "names")

    def __init__(self, parts: tuple[str | Expression, ...]) -> None:
        self.parts = parts
        self.names: frozenset[str] = frozenset().union(*(p.names for p in parts if isinstance(p, Expression)))

    def evaluate(self, environment: Environment) -> str:
        """Return the text with every expression's value in its place."""
        parts = (part if isinstance(part, str) else as_text(part.evaluate(environment)) for part in self.parts)
        text = str(checked("".join(parts)))
        environment.budget.begin(text_steps(text))
        return text


_REFERENCE = re.compile(r"\$\$|\$\{|\$([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)")


def compile_text(text: str) -> str | Expression | Template:
    """Text of a spec as what it stands for: itself, one expression that keeps its type, or text around expressions.

    `$$` is a literal dollar. Raises Complaint.
    """
    if len(text) > MAX_TEXT:
        raise Complaint("limit", f"the text has {len(text)} characters; the limit of a value is {MAX_TEXT}")
    return _compile_text(text) if "$" in text else text


@lru_cache(maxsize=4096)
def _compile_text(text: str) -> str | Expression | Template:
    parts: list[str | Expression] = []
    at = 0
    while found := _REFERENCE.search(text, at):
        if found.start() > at:
            parts.append(text[at : found.start()])
        at = found.end()
        if found.group() == "$$":
            parts.append("$")
        elif found.group() == "${":
            end = _closing_brace(text, at)
            parts.append(compile_expression(text[at:end].strip()))
            at = end + 1
        else:
            parts.append(compile_expression(found.group(1)))
    if at < len(text):
        parts.append(text[at:])
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return Template(tuple(parts))


def _closing_brace(text: str, start: int) -> int:
    quote, depth = "", 0
    for at in range(start, len(text)):
        character = text[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if not depth:
                return at
            depth -= 1
    raise Complaint("expression", "`${` has no closing `}`", "quote the whole value if it stands inside `{...}`")


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Expression:
    """Return the text between the braces as an Expression. Raises: Complaint if it is not valid."""
    if len(text) > MAX_LENGTH:
        raise Complaint("expression", f"the expression has {len(text)} characters; the limit is {MAX_LENGTH}")
    if not text:
        raise Complaint("expression", "expected an expression in `${}`, got nothing")
    if "\\" in text or "\n" in text or "\r" in text:
        raise Complaint("expression", "a backslash or a line break is not allowed in an expression")
    if not text.isascii():  # Python takes look-alikes of ASCII letters for the letters
        raise Complaint("expression", "expected plain ASCII in an expression")
    _check_brackets(text)
    _check_numbers(text)
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        detail = error.msg if isinstance(error, SyntaxError) else "too deep"
        message = f"`{text[:60]}` is not a valid expression: {detail}"
        raise Complaint("expression", message, _syntax_help(text)) from None
    if len(text) > MAX_LEVELS:  # each level takes a character
        _check_levels(tree)
    compiler = Compiler()
    evaluate = compiler.compile(tree)
    return Expression(text, evaluate, frozenset(compiler.names), tree, compiler.size)


def _syntax_help(text: str) -> str | None:
    """Return the help for an expression in the syntax of another language."""
    if "?" in text or re.search(r"\bthen\b", text):
        return "a choice is written `a if condition else b`"
    if "&&" in text or "||" in text or re.search(r"!(?!=)", text):
        return "write `and`, `or` and `not`"
    if re.search(r"(?<![=<>!:])=(?!=)", text):
        return "`==` compares; nothing can be assigned"
    return "inside `${...}` a name stands alone, without `$`" if "$" in text else None


_TOKEN = re.compile(
    r"""'[^']*'|"[^"]*"|[A-Za-z_]\w*"""  # text and names, which may hold digits
    r"|(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9_]+)?[jJ]?)"
    r"([A-Za-z]\w*)?",
    re.ASCII,
)


def _check_numbers(text: str) -> None:
    """Refuse a number with a word right behind it, `1if a else 2`.

    Python's parser still takes it, with a warning. To keep that quiet would take the filters of warnings, which all
    threads of a process share.
    """
    for found in _TOKEN.finditer(text):
        number, word = found.groups()
        if word:
            help = f"write `{number} {word}`" if keyword.iskeyword(word) else None
            raise Complaint("expression", f"`{number}{word}` is neither a number nor a name", help)


def _check_brackets(text: str) -> None:
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_LEVELS:
            raise Complaint("expression", f"nested more than {MAX_LEVELS} levels deep")


def _check_levels(tree: ast.expr) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(MAX_LEVELS):
        level = [
            child
            for node in level
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr | ast.comprehension)
        ]
        if not level:
            return
    raise Complaint("expression", f"nested more than {MAX_LEVELS} levels deep")
