"""YAML text to located values: every scalar, list and mapping knows its line and column.

The accepted YAML is a safe and plain subset: one document, no tags, no anchors, aliases or merge keys, text keys that
stand once, scalars of the YAML 1.2 core schema. libyaml makes the events; composing them here, with a stack instead of
recursion, keeps hostile nesting harmless.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import yaml

from archspec.errors import MAX_FINDINGS, Diagnostic, Source, Span, SpecError, kind_of
from archspec.shapes import LIMIT

MAX_DEPTH = 100
MAX_VALUES = 250_000
"""Keys, scalars, lists and mappings of one text: each takes some hundred bytes, and four characters can make three."""

_LOADER: Any = getattr(yaml, "CLoader", yaml.Loader)
# Named one by one: of the wide ranges that are allowed, Python would take milliseconds to make a table.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_ONCE = "to write a thing once, use a block, a param, `repeat` or `defaults`"
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

Plain = None | bool | int | float | str | list[Any] | dict[str, Any]


class Yaml:
    """A value of the document and its place. Abstract: a `YamlScalar`, `YamlList` or `YamlMap`."""

    __slots__ = ("source", "line", "column", "width")

    def __init__(self, source: Source, line: int, column: int, width: int) -> None:
        self.source, self.line, self.column, self.width = source, line, column, width

    def __deepcopy__(self, memo: object) -> Yaml:
        """Return the value itself: nobody changes one, and networks that are copied share them."""
        return self

    @property
    def span(self) -> Span:
        """Where it stands."""
        return Span(self.source, self.line, self.column, self.width)

    def plain(self) -> Any:
        """Return the value without its places: None, bool, int, float, str, list, dict."""
        raise NotImplementedError


class YamlScalar(Yaml):
    """None, a boolean, a number or text."""

    __slots__ = ("value",)

    def __init__(self, value: Any, source: Source, line: int, column: int, width: int) -> None:
        # A large file has half a million of these: a call of the other constructor would show.
        self.source, self.line, self.column, self.width, self.value = source, line, column, width, value

    def plain(self) -> Any:  # noqa: D102 as in Yaml
        return self.value


class YamlList(Yaml):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, source: Source, line: int, column: int, width: int) -> None:
        super().__init__(source, line, column, width)
        self.items: list[Yaml] = []

    def plain(self) -> Any:  # noqa: D102 as in Yaml
        return [item.plain() for item in self.items]


class YamlMap(Yaml):
    """A mapping with text keys, in order; `keys` holds the place of each key."""

    __slots__ = ("entries", "keys")

    def __init__(self, source: Source, line: int, column: int, width: int) -> None:
        super().__init__(source, line, column, width)
        self.entries: dict[str, Yaml] = {}
        self.keys: dict[str, Span] = {}

    def plain(self) -> Any:  # noqa: D102 as in Yaml
        return {key: value.plain() for key, value in self.entries.items()}

    def get(self, key: str) -> Yaml | None:
        """Return the value of `key`, or None."""
        return self.entries.get(key)


def parse(source: Source) -> YamlMap:
    """Return the mapping that the text of a spec is.

    Raises:
        SpecError: Everything that is wrong with its YAML.
    """
    root = _compose(source)
    if not isinstance(root, YamlMap):
        found = "an empty file" if root is None else kind_of(root.plain())
        place = root.span if root else Span(source, 1, 1)
        message = f"expected a mapping with the keys `input` and `layers`, got {found}"
        help = "the steps of a network go under `layers:`" if isinstance(root, YamlList) else None
        raise SpecError(Diagnostic("document", message, place, help=help))
    return root


def parse_value(source: Source) -> Any:
    """Return one YAML value as plain data: what `--set name=value` takes."""
    root = _compose(source)
    return root.plain() if root else None


def _compose(source: Source) -> Yaml | None:
    bad = _FORBIDDEN.search(source.text)
    if bad:
        message = f"the character U+{ord(bad.group()):04X} is not allowed in a spec"
        raise SpecError(Diagnostic("encoding", message, Span.behind(source, source.text[: bad.start()])))
    composer = _Composer(source)
    try:
        for event in yaml.parse(source.text, Loader=_LOADER):
            take = composer.takes.get(type(event))
            if take is not None:
                take(event)
    except yaml.MarkedYAMLError as error:
        wrong = _syntax_error(source, error)
        # What was complained of on the same line was no more than a part of this.
        composer.found = [d for d in composer.found if d.span and wrong.span and d.span.line != wrong.span.line]
        composer.found.append(wrong)
    except yaml.YAMLError as error:
        composer.found.append(Diagnostic("syntax", str(error).splitlines()[0], Span(source, 1, 1)))
    if composer.found:
        raise SpecError(composer.found)
    return composer.root


def _syntax_error(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    place = Span(source, mark.line + 1, mark.column + 1) if mark else Span(source, 1, 1)
    line = source.line(place.line)
    problem = " ".join(filter(None, (error.problem, error.context))) or "not YAML"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return Diagnostic("syntax", problem, place, help="YAML is indented with spaces, never with tabs")
    return Diagnostic("syntax", problem, place, help=_syntax_help(line, problem))


def _tag_help(tag: str) -> str:
    if tag in ("!include", "!import", "!extends"):
        return "`include: [...]` brings the blocks of other files, `extends: ...` lays this file over another one"
    return "take it out: a spec holds plain values"


def _syntax_help(line: str, problem: str) -> str | None:
    if "${" in line and "{" in line.replace("${", "", 1):
        return 'inside `{...}` an expression needs quotes: "${...}"'
    if "${" in line:
        return 'quote the whole value: "${...}"'
    return next((help for part, help in _SYNTAX_HELPS.items() if part in problem), None)


_SYNTAX_HELPS = {
    "',' or '}'": "entries inside `{...}` are separated by commas: `{filters: 8, kernel: 3}`",
    "',' or ']'": "entries inside `[...]` are separated by commas, and end with `]`",
    "mapping values are not allowed": "arguments go into `{...}`: `conv: {filters: 8}`; text with `: ` needs quotes",
    "'-' indicator": "each step starts with `- `; keys of the file stand at the margin",
    "expected ':'": "a line is a step, `- relu`, or a key with a value, `name: mine`",
    "expected key": "the keys of one mapping have the same indentation",
    "cannot start any token": "text that starts with this character needs quotes",
}
"""What to do about what the parser says, by a part of it."""


class _Composer:
    """Takes YAML events, makes located values, and collects what is wrong."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Yaml | None = None
        self.found: list[Diagnostic] = []
        self._stack: list[YamlList | YamlMap] = []
        self._pending: list[tuple[str, Span] | None] = []  # per open mapping: the key that waits for its value
        self._documents = 0
        self._count = 0
        self.takes: dict[type[Any], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: partial(self._open, kind=YamlMap),
            yaml.SequenceStartEvent: partial(self._open, kind=YamlList),
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        """What takes each kind of event; the others say nothing."""

    def _alias(self, event: Any) -> None:
        self._complain("alias", f"the alias `*{event.anchor}` is not allowed", event, _ONCE)
        self._add(YamlScalar(None, *self._place(event)))

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents == 2:
            self._complain("document", "expected one document, got a second", event, "write one spec per file")

    def _place(self, event: Any) -> tuple[Source, int, int, int]:
        start, end = event.start_mark, event.end_mark
        line, column = start.line, start.column
        width = end.column - column if end.line == line else 1
        return self.source, line + 1, column + 1, width or 1

    def _complain(self, code: str, message: str, event: Any, help: str | None = None) -> None:
        place = Span(*self._place(event))
        if self.found and self.found[-1].span == place:
            return  # one finding is enough for a place
        self.found.append(Diagnostic(code, message, place, help=help))
        if len(self.found) >= MAX_FINDINGS:
            raise SpecError(self.found)

    def _count_one(self, event: Any) -> None:
        """Count a key or value. Raises: SpecError if there are too many."""
        self._count += 1
        if self._count > MAX_VALUES:
            message = f"more than {MAX_VALUES:,} keys and values in one text"
            raise SpecError([*self.found, Diagnostic("limit", message, Span(*self._place(event)), help=_ONCE)])

    def _check_properties(self, event: Any) -> None:
        if event.anchor is not None:
            self._complain("alias", f"the anchor `&{event.anchor}` is not allowed", event, _ONCE)
        if event.tag is not None:
            self._complain("tag", f"the tag `{event.tag}` is not allowed", event, _tag_help(event.tag))

    def _scalar(self, event: Any) -> None:
        text: str = event.value
        self._count_one(event)
        if event.anchor is not None or event.tag is not None:
            self._check_properties(event)
        plain = event.implicit[0]
        if self._waits_for_key():
            self._key(text, plain, event)
            return
        value = self._resolve(text, event) if plain and event.tag is None else text
        self._add(YamlScalar(value, *self._place(event)))

    def _waits_for_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1], YamlMap) and self._pending[-1] is None

    def _key(self, text: str, plain: bool, event: Any) -> None:
        place = Span(*self._place(event))
        mapping = self._stack[-1]
        assert isinstance(mapping, YamlMap)
        value = self._resolve(text, event) if plain else text
        if text == "<<" and plain:
            self._complain("alias", "the merge key `<<` is not allowed", event, _ONCE)
        elif not isinstance(value, str):
            message = f"expected a text key, got {kind_of(value)}"
            self._complain("key", message, event, f'in quotes it is text: "{text}"' if text else "write a name")
        elif text in mapping.entries:
            first = mapping.keys[text].line
            self._complain("duplicate", f"duplicate key `{text}`", event, f"the first one is on line {first}")
        self._pending[-1] = (text, place)

    def _resolve(self, text: str, event: Any) -> Any:
        """Read a plain scalar by the YAML 1.2 core schema."""
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "0123456789.+-":
            return text
        if len(text) < 19 and text.isdecimal() and text.isascii() and (text[0] != "0" or text == "0"):
            return int(text)  # what most numbers are
        if _INTEGER.fullmatch(text):
            if len(text) > 66:
                self._complain("limit", f"an integer of {len(text)} digits exceeds the limit of 2**63", event)
                return 0
            value = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if not -LIMIT < value < LIMIT:
                self._complain("limit", f"{value} exceeds the limit of 2**63", event)
            return value
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                self._complain("number", f"{text} exceeds the range of a float", event)
            return number
        if _NOT_FINITE.fullmatch(text):
            self._complain("number", f"expected a finite number, got {text}", event)
            return 0.0
        return text

    def _open(self, event: Any, kind: type[YamlMap] | type[YamlList]) -> None:
        self._count_one(event)
        if event.anchor is not None or event.tag is not None:
            self._check_properties(event)
        place = self._place(event)
        if len(self._stack) >= MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep"
            raise SpecError([*self.found, Diagnostic("depth", message, Span(*place))])
        if self._waits_for_key():
            self._complain("key", "expected a text key, got a list or a mapping", event, self._key_help(event))
            raise SpecError(self.found)
        node = kind(*place)
        node.width = 1
        self._add(node)
        self._stack.append(node)
        self._pending.append(None)

    def _key_help(self, event: Any) -> str:
        if "{{" in self.source.line(event.start_mark.line + 1):
            return "an expression is written `${...}`, in quotes inside `{...}`"
        return "quote `${...}` inside `{...}`"

    def _close(self, _: Any) -> None:
        self._stack.pop()
        self._pending.pop()

    def _add(self, node: Yaml) -> None:
        if not self._stack:
            if self.root is None:
                self.root = node
            return
        parent = self._stack[-1]
        if isinstance(parent, YamlList):
            parent.items.append(node)
            return
        waiting = self._pending[-1]
        if waiting is None:  # an alias as a key; the complaint is made
            raise SpecError(self.found)
        key, place = waiting
        parent.entries[key] = node
        parent.keys[key] = place
        self._pending[-1] = None


def find(node: Yaml, path: Iterable[str | int]) -> Yaml:
    """Return the value at a path of keys and positions; as far down as the path leads."""
    for step in path:
        if isinstance(node, YamlMap) and step in node.entries:
            node = node.entries[str(step)]
        elif isinstance(node, YamlList) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            break
    return node
