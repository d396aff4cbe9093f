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
_TENSORS = ("weight", "bias")
_POSITIONAL = ("a", "b", "val")
_OPTIONAL_BIAS = "nn.Conv"
"""Classes whose bias is declared as optional: a type checker asks whether it is there."""


@dataclass(frozen=True)
class _Layer:
    """A layer with weights: its path, how each of its tensors is drawn, None by torch."""

    path: str
    tensors: tuple[str, ...]
    draws: Mapping[str, Draw]

    def rule(self, tensors: Sequence[str]) -> tuple[object, ...] | None:
        """Return how tensors are drawn, as far as code can tell; None if torch draws them all."""
        draws = [self.draws.get(tensor) for tensor in tensors]
        return tuple(draw.rule if draw else None for draw in draws) if any(draws) else None


def loop(nodes: Sequence[Node], local: Callable[[str], str], level: int) -> list[str]:
    """Return the lines of the loop; none if torch draws all weights. `local` gives names that nothing else has."""
    bodies: dict[tuple[str, ...], list[str]] = {}
    families: dict[str, list[_Layer]] = {}
    for node in nodes:
        family = _family(node) if node.op.initial else ""
        if family:
            layer = _Layer(node.path, tuple(name for name in node.op.weights() if name in node.op.initial), node.draws)
            families.setdefault(family, []).append(layer)
        for name, family in node.op.submodules.items():
            families.setdefault(family, []).append(_Layer(f"{node.path}.{name}", _TENSORS, {}))
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


def _in_order(layers: Sequence[_Layer]) -> list[str]:
    """Return the tensors of all layers so that those of each stand in its own order."""
    found: list[str] = []
    for layer in layers:
        at = len(found)
        for name in reversed(layer.tensors):
            if name in found:
                at = found.index(name)
            else:
                found.insert(at, name)
    return found


def _family(node: Node) -> str:
    """Return the class of torch that `isinstance` asks for; nothing where the weights are given to a function."""
    target = next((call.target for call in node.op.calls() if call.is_module), "")
    return "nn.LayerNorm" if target.startswith("LayerNorm") else target


class _Writer:
    """Writes what is done with a layer of one class. `by_name` tells whether any line has asked for its name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name
        self.by_name = False

    def body(self, family: str, layers: Sequence[_Layer], level: int) -> list[str]:
        """Return the lines that draw the tensors of the layers of one class."""
        tensors = _in_order(layers)
        found: list[str] = []
        waiting: list[str] = []
        parts: list[set[str]] = []
        for tensor in tensors:
            here = [set(paths) for paths in _ways([tensor], layers).values()]
            if waiting and here != parts:
                found += self._tensors(family, waiting, layers, level)
                waiting = []
            waiting, parts = [*waiting, tensor], here
        return found + self._tensors(family, waiting, layers, level) if waiting else found

    def _tensors(self, family: str, tensors: Sequence[str], layers: Sequence[_Layer], level: int) -> list[str]:
        """Return the lines that draw tensors which are drawn alike in the same layers."""
        ways = _ways(tensors, layers)
        main = max(ways, key=lambda rule: (len(ways[rule]), rule is None))
        if len(ways) > 1 and len(tensors) == 1 and self._may_be_missing(family, tensors[0], layers):
            asked = laid_out(level, "", Text(f"if {self.module}.{tensors[0]} is not None:"))
            return [*asked, *self._chain(family, tensors, layers, main, level + 1, asked=True)]
        return self._chain(family, tensors, layers, main, level)

    def _chain(
        self,
        family: str,
        tensors: Sequence[str],
        layers: Sequence[_Layer],
        main: object,
        level: int,
        *,
        asked: bool = False,
    ) -> list[str]:
        """Return the lines that draw tensors, with a condition for each way but the `main` one.

        `asked` tells that the tensors are known to be there.
        """
        ways = _ways(tensors, layers)
        found: list[str] = []
        for rule in ways:
            if rule not in (main, None):
                others = [path for other in ways if other != rule for path in ways[other]]
                test = self._test(ways[rule], others, negated=False)
                found += laid_out(level, "elif " if found else "if ", test)
                found += self._lines(family, tensors, layers, ways[rule], level + 1, asked)
        if main is None:
            return found
        if None in ways:  # what torch draws stays as it is
            others = [path for other in ways if other is not None for path in ways[other]]
            found += laid_out(level, "elif " if found else "if ", self._test(ways[None], others, negated=True))
        elif found:
            found += laid_out(level, "", Text("else:"))
        return [*found, *self._lines(family, tensors, layers, ways[main], level + (len(ways) > 1), asked)]

    def _lines(
        self,
        family: str,
        tensors: Sequence[str],
        layers: Sequence[_Layer],
        paths: Sequence[str],
        level: int,
        asked: bool,
    ) -> list[str]:
        """Return the calls that draw tensors of the layers at `paths`, which are drawn alike."""
        found = []
        here = set(paths)
        for tensor in tensors:
            draw = next((layer.draws[tensor] for layer in layers if layer.path in here and tensor in layer.draws), None)
            if draw is None:
                continue
            inner = level
            if not asked and self._may_be_missing(family, tensor, layers):
                found += laid_out(level, "", Text(f"if {self.module}.{tensor} is not None:"))
                inner += 1
            found += self._draw(family, tensor, draw, layers, inner)
        return found

    @staticmethod
    def _may_be_missing(family: str, tensor: str, layers: Sequence[_Layer]) -> bool:
        """Return whether code must ask if a layer of the class has the tensor."""
        is_optional = tensor == "bias" and family.startswith(_OPTIONAL_BIAS)
        return is_optional or any(tensor not in layer.tensors for layer in layers)

    def _draw(self, family: str, tensor: str, draw: Draw, layers: Sequence[_Layer], level: int) -> list[str]:
        """Return the call that draws a tensor."""
        formulas = {name: self._formula(family, formula, layers) for name, formula in draw.formulas}
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

    def _formula(self, family: str, formula: str, layers: Sequence[_Layer]) -> str:
        """Return a formula with the fans as the layer knows them."""
        if family == "nn.Linear":
            code = {"fan_in": f"{self.module}.in_features", "fan_out": f"{self.module}.out_features"}
        elif family == "nn.MultiheadAttention":  # one weight for queries, keys and values, or one each
            packed = ["in_proj_weight" in layer.tensors for layer in layers]
            maps = "3 * " if all(packed) else ""
            if any(packed) and not all(packed):
                maps = f"(1 if {self.module}.in_proj_weight is None else 3) * "
            code = {"fan_in": f"{self.module}.embed_dim", "fan_out": f"({maps}{self.module}.embed_dim)"}
        else:
            code = {"fan_in": f"{self.module}.weight[0].numel()", "fan_out": f"{self.module}.weight[:, 0].numel()"}
        names = {name: ast.parse(code[name], mode="eval").body for name in FANS}
        return text(trees.replaced(ast.parse(formula, mode="eval").body, names))

    # Names.

    def _test(self, wanted: Sequence[str], others: Sequence[str], *, negated: bool) -> Brackets:
        """Return a condition on the name, with its colon: it holds of the wanted paths and not of the others.

        Or the other way round, if `negated`.
        """
        self.by_name = True
        no, unequal = ("not ", "!=") if negated else ("", "==")
        if len(wanted) == 1:
            return Brackets(f"{self.name} {unequal} {quoted(wanted[0])}", [], ":")
        listed = Brackets(f"{self.name} {no}in {{", [Text(quoted(path)) for path in wanted], "}:")
        if len(wanted) <= MAX_NAMES and not any("." in path for path in wanted):
            return listed
        for end, method in (_ending, "endswith"), (_beginning, "startswith"):
            for count in range(1, 4):
                parts = list(dict.fromkeys(end(path, count) for path in wanted))
                if len(parts) <= MAX_NAMES and not any(getattr(path, method)(tuple(parts)) for path in others):
                    words = [Text(quoted(part)) for part in parts]
                    head, tail = ("(", ")") if len(words) == 1 else ("((", "))")
                    return Brackets(f"{no}{self.name}.{method}{head}", words, f"{tail}:")
        within = _within(wanted, others)
        if within:
            return Brackets(f"{quoted(within)} {no}in {self.name}", [], ":")
        return listed


_BY_POSITION = ("uniform", "constant")
_DEFAULTS: Iterable[tuple[str, Any]] = (
    *(("mode", "fan_in"), ("nonlinearity", "leaky_relu"), ("gain", 1), ("mean", 0)),
)
"""Arguments of torch.nn.init that are left out."""


def _ways(tensors: Sequence[str], layers: Sequence[_Layer]) -> dict[Any, list[str]]:
    """Return the paths of the layers that have the tensors, by the way in which these are drawn."""
    found: dict[Any, list[str]] = {}
    for layer in layers:
        if tensors[0] in layer.tensors:
            found.setdefault(layer.rule(tensors), []).append(layer.path)
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
