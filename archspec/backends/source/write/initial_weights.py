"""The end of the network's `__init__`: a loop over its modules that draws initial weights as the spec says.

    for m in self.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=0.01)

Layers of one class that are drawn in several ways are told apart by their names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.backends.source import trees
from archspec.backends.source.strings import quoted
from archspec.backends.source.trees import literal, text
from archspec.backends.source.write.layout import Brackets, Text, laid_out
from archspec.graph import Node
from archspec.ops.initial import FANS, Draw

MAX_NAMES = 4
"""How many endings or names a condition lists, where a common one will not do."""
_POSITIONAL = ("a", "b", "val")
_OPTIONAL_BIAS = "nn.Conv"
"""Classes whose bias is declared as optional: a type checker asks whether it is there."""


@dataclass(frozen=True)
class _Layer:
    """A layer with weights: its path, how each of its tensors is drawn, None by torch."""

    path: str
    tensors: tuple[str, ...]
    draws: Mapping[str, Draw]

    def rule(self, tensor: str) -> object:
        draw = self.draws.get(tensor)
        return draw.rule if draw is not None else None


def loop(nodes: Sequence[Node], local: Callable[[str], str], level: int) -> list[str]:
    """Return the lines of the loop; none if torch draws all weights. `local` gives names that nothing else has."""
    bodies: dict[tuple[str, ...], list[str]] = {}
    families: dict[str, list[_Layer]] = {}
    for node in nodes:
        if node.op.initial and node.op.weights():
            layer = _Layer(node.path, tuple(name for name in node.op.weights() if name in node.op.initial), node.draws)
            families.setdefault(_family(node), []).append(layer)
    if not any(layer.draws for layers in families.values() for layer in layers):
        return []
    writer = _Writer(local("m"), local("name"))
    for family, layers in families.items():
        body = tuple(writer.body(family, layers, level + 2))
        if body:
            bodies.setdefault(body, []).append(family)
    items = f"{writer.name}, {writer.module} in self.named_modules()" if writer.by_name else ""
    found = laid_out(level, "", Text(f"for {items or f'{writer.module} in self.modules()'}:"))
    keyword = "if"
    for body, classes in bodies.items():
        wanted = classes[0] if len(classes) == 1 else f"({', '.join(classes)})"
        test = f"isinstance({writer.module}, {wanted})"
        found += _headed(keyword, test, body, level + 1)
        keyword = "elif"
    return found


def _headed(keyword: str, test: str, body: Sequence[str], level: int) -> list[str]:
    """Return a body under its condition, joined with the one that all of the body stands under."""
    first, indent = body[0].strip(), " " * 4 * (level + 1)
    alone = all(line.startswith(indent + " ") for line in body[1:])
    if first.startswith("if ") and first.endswith(":") and alone:
        joined = f"{test} and {first[3:-1]}"
        if len(indent) + len(keyword) + len(joined) <= 88:
            return [*laid_out(level, "", Text(f"{keyword} {joined}:")), *(line[4:] for line in body[1:])]
    return [*laid_out(level, "", Text(f"{keyword} {test}:")), *body]


def _family(node: Node) -> str:
    """Return the class of torch that `isinstance` asks for."""
    target = next(call.target for call in node.op.calls() if call.is_module)
    return "nn.LayerNorm" if target.startswith("LayerNorm") else target


class _Writer:
    """Writes what is done with a layer of one class. `by_name` tells whether any line has asked for its name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name
        self.by_name = False

    def body(self, family: str, layers: Sequence[_Layer], level: int) -> list[str]:
        """Return the lines that draw the tensors of the layers of one class."""
        tensors = dict.fromkeys(name for layer in layers for name in layer.tensors)
        found: list[str] = []
        waiting: list[str] = []
        parts: list[set[str]] = []
        for tensor in tensors:
            here = [set(paths) for paths in _ways(tensor, layers).values()]
            if waiting and here != parts:
                found += self._tensors(family, waiting, layers, level)
                waiting = []
            waiting, parts = [*waiting, tensor], here
        return found + self._tensors(family, waiting, layers, level)

    def _tensors(self, family: str, tensors: Sequence[str], layers: Sequence[_Layer], level: int) -> list[str]:
        """Return the lines that draw tensors which are drawn alike in the same layers."""
        ways = _ways(tensors[0], layers)
        main = max(ways, key=lambda rule: (len(ways[rule]), rule is None))
        exceptions = [rule for rule in ways if rule != main]
        found: list[str] = []
        if exceptions == [None]:  # what torch draws stays as it is
            test = self._test(ways[None], ways[main])
            found = laid_out(level, "", Brackets(f"if not {test.head}", test.items, f"{test.tail}:"))
            return [*found, *self._lines(family, tensors, layers, ways[main], level + 1)]
        keyword = "if"
        for rule in exceptions:
            lines = self._lines(family, tensors, layers, ways[rule], level + 1)
            test = self._test(ways[rule], [path for other in ways if other != rule for path in ways[other]])
            found += laid_out(level, "", Brackets(f"{keyword} {test.head}", test.items, f"{test.tail}:"))
            found += lines or [f"{' ' * 4 * (level + 1)}pass"]
            keyword = "elif"
        inner = level + 1 if exceptions else level
        rest = self._lines(family, tensors, layers, ways[main], inner)
        return [*found, *([f"{' ' * 4 * level}else:"] if rest and exceptions else []), *rest]

    def _lines(
        self, family: str, tensors: Sequence[str], layers: Sequence[_Layer], paths: Sequence[str], level: int
    ) -> list[str]:
        found = []
        some = [layer for layer in layers if layer.path in set(paths)]
        for tensor in tensors:
            draw = next((layer.draws[tensor] for layer in some if tensor in layer.draws), None)
            if draw is None:
                continue
            inner = level
            is_optional = tensor == "bias" and family.startswith(_OPTIONAL_BIAS)
            if is_optional or any(tensor not in layer.tensors for layer in layers):
                found.append(f"{' ' * 4 * level}if {self.module}.{tensor} is not None:")
                inner += 1
            found += self._draw(family, tensor, draw, inner)
        return found

    def _draw(self, family: str, tensor: str, draw: Draw, level: int) -> list[str]:
        """Return the call that draws a tensor."""
        formulas = {name: self._formula(family, formula) for name, formula in draw.formulas}
        lines: list[str] = []
        if formulas.keys() == {"a", "b"} and draw.scheme == "uniform" and not isinstance(draw.value, list):
            lines = laid_out(level, "bound = ", Text(formulas["b"]))
            formulas = {"a": "-bound", "b": "bound"}
        items: list[Text] = [Text(f"{self.module}.{tensor}")]
        for name, value in draw.arguments:
            if (name, value) in _DEFAULTS and name not in formulas:
                continue
            code = formulas.get(name) or text(literal(value))
            items.append(Text(code if name in _POSITIONAL and draw.scheme in _BY_POSITION else f"{name}={code}"))
        return [*lines, *laid_out(level, "", Brackets(f"nn.init.{draw.function}(", items))]

    def _formula(self, family: str, formula: str) -> str:
        """Return a formula with the fans as the layer knows them."""
        if family == "nn.Linear":
            code = {"fan_in": f"{self.module}.in_features", "fan_out": f"{self.module}.out_features"}
        else:
            code = {"fan_in": f"{self.module}.weight[0].numel()", "fan_out": f"{self.module}.weight[:, 0].numel()"}
        names = {name: ast.parse(code[name], mode="eval").body for name in FANS}
        return text(trees.replaced(ast.parse(formula, mode="eval").body, names))

    # Names.

    def _test(self, wanted: Sequence[str], others: Sequence[str]) -> Brackets:
        """Return a condition on the name that holds of the wanted paths, and not of the others."""
        self.by_name = True
        if len(wanted) == 1:
            return Brackets(f"{self.name} == {quoted(wanted[0])}", [], "")
        for end, method in (_ending, "endswith"), (_beginning, "startswith"):
            for count in range(1, 4):
                parts = list(dict.fromkeys(end(path, count) for path in wanted))
                if len(parts) <= MAX_NAMES and not any(getattr(path, method)(tuple(parts)) for path in others):
                    return self._call(method, parts)
        within = _within(wanted, others)
        if within:
            return Brackets(f"{quoted(within)} in {self.name}", [], "")
        return Brackets(f"{self.name} in {{", [Text(quoted(path)) for path in wanted], "}")

    def _call(self, method: str, parts: Sequence[str]) -> Brackets:
        words = [Text(quoted(part)) for part in parts]
        if len(words) == 1:
            return Brackets(f"{self.name}.{method}(", words)
        return Brackets(f"{self.name}.{method}((", words, "))")


_BY_POSITION = ("uniform", "constant")
_DEFAULTS: Iterable[tuple[str, Any]] = (("mode", "fan_in"), ("gain", 1), ("mean", 0))


def _ways(tensor: str, layers: Sequence[_Layer]) -> dict[Any, list[str]]:
    """Return the paths of the layers that have a tensor, by the way in which it is drawn."""
    found: dict[Any, list[str]] = {}
    for layer in layers:
        if tensor in layer.tensors:
            found.setdefault(layer.rule(tensor), []).append(layer.path)
    return found


def _ending(path: str, count: int) -> str:
    parts = path.split(".")
    return ("." if len(parts) > count else "") + ".".join(parts[-count:])


def _beginning(path: str, count: int) -> str:
    parts = path.split(".")
    return ".".join(parts[:count]) + ("." if len(parts) > count else "")


def _within(wanted: Sequence[str], others: Sequence[str]) -> str:
    """Return a part of the wanted paths, with dots around it, that the others do not have; empty if there is none."""
    shared = [part for part in wanted[0].split(".")[1:-1] if all(f".{part}." in path for path in wanted)]
    return next((f".{part}." for part in shared if not any(f".{part}." in path for path in others)), "")
