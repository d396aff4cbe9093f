"""Random specs, and what the language says they mean.

`random_spec(seed)` writes a valid spec that uses about everything the language has, small enough to be run for real.
`interpret(spec)` is a second, naive reading of `docs/language.md`, on plain data and with Python's own `eval`; the
generator keeps a step only if it makes sense there, and the tests hold the compiler against it.
`mutate(text, random)` breaks a spec somewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

import yaml

from archspec.errors import Complaint
from archspec.expressions import make_divisible
from archspec.names import step_place_fault
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.free import Buffer
from archspec.shapes import SPATIAL_AXES, Lead, Shape

MAX_CHANNELS = 16
MAX_SIZE = 12
MAX_FEATURES = 4096
MAX_NODES = 60

Spec = dict[str, Any]
Step = Any  # text, or a mapping with one key
STEP_KEYS = ("name", "from", "when", "repeat", "let", "layers")
MERGES = tuple(name for name, op in OPS.items() if op.arity is None)
FREE = tuple(name for name, op in OPS.items() if op.arity == 0)
READS = {"attention": (3,), "multi_head_attention": (1, 2, 3), "linear": (1, 2, 3)}
"""How many values an op reads that is no merge, if not one."""
OPERANDS = {"attention": "bias", "upsample": "like"}
"""The argument of an op that names one more value."""


class Invalid(Exception):
    """The spec makes no sense."""


# A naive reading of the language.


class Ref(NamedTuple):
    """A value of the network."""

    path: str
    shape: Shape
    lead: Lead = Lead.BATCH
    absent: bool = False  # of a free tensor that is left out
    parts: tuple[Ref, ...] = ()

    def __getattr__(self, name: str) -> int:
        if name == "features":
            return self.shape[-1]
        return self.shape[("channels", *SPATIAL_AXES[len(self.shape) - 1]).index(name)]


class Record(dict[str, Any]):
    """A mapping whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Node(NamedTuple):
    """A layer, as it is expected."""

    path: str
    op: Op
    inputs: tuple[str, ...]
    draws: dict[str, Any]
    weights_of: str | None = None


class Maker(NamedTuple):
    """How a step was applied, for a `use` of it."""

    key: str
    arguments: dict[str, Any]
    frame: Frame
    names: Mapping[str, Any]
    reads: tuple[Ref, ...]


@dataclass
class Frame:
    """One scope: what its steps are called, and what it sees of the scopes around it."""

    prefix: str
    inputs: dict[str, Ref]
    outer: Frame | None = None
    positional: bool = False
    names: dict[str, Ref] = field(default_factory=dict)
    scopes: dict[str, Frame] = field(default_factory=dict)
    count: int = 0
    conditional: set[str] = field(default_factory=set)  # the names of steps that may be left out
    absent: set[str] = field(default_factory=set)  # those of which none stands so far
    lists: dict[str, int] = field(default_factory=dict)  # how many steps stand in each list
    makers: dict[str, Maker] = field(default_factory=dict)
    in_conditional: int = 0  # how many `inline` steps that may be left out are around

    def visible(self) -> dict[str, Ref]:
        """Every value in sight, by its undotted name."""
        found = self.outer.visible() if self.outer else {}
        found.pop("input", None)
        found.update(self.inputs)
        found.update(self.names)
        if len(self.inputs) == 1:
            found["input"] = next(iter(self.inputs.values()))
        return found

    def find(self, name: str) -> Ref:
        if name.startswith("../"):
            if self.outer is None:
                raise Invalid(f"nothing around: {name}")
            return self.outer.find(name[3:])
        head, *rest = name.split(".")
        if not rest:
            try:
                return self.visible()[head]
            except KeyError:
                raise Invalid(f"no step {name}") from None
        frame: Frame | None = self
        while frame and head not in {*frame.names, *frame.lists}:
            frame = frame.outer
        try:
            while True:
                assert frame is not None
                if head in frame.lists:
                    head = f"{head}.{rest.pop(0)}"
                if not rest:
                    return frame.names[head]
                frame, head = frame.scopes[head], rest.pop(0)
        except (KeyError, IndexError, AssertionError):
            raise Invalid(f"no step {name}") from None

    def fresh_name(self, label: str) -> str:
        if self.positional:
            return str(self.count)
        numbers: Iterable[int] = range(1, 10_000)
        names = (label if number == 1 else f"{label}_{number}" for number in numbers)
        return next(name for name in names if name not in {*self.names, *self.inputs, *self.lists})

    def check_list(self, name: str) -> None:
        """Note that a step stands in a list, if its name says so, and check that it may."""
        listed, dot, number = name.partition(".")
        if not dot:
            if name in self.lists:
                raise Invalid(f"{name} is a list")
            return
        if listed in self.names or listed in self.inputs or int(number) > self.lists.get(listed, 0):
            raise Invalid(f"the name {name}")

    def bind(self, name: str, ref: Ref, conditional: bool = False) -> None:
        self.check_list(name)
        taken = name in self.names and not (conditional and name in self.absent)
        if step_place_fault(name) or taken or name in self.inputs:
            raise Invalid(f"the name {name}")
        self.names[name] = ref
        if "." in name:
            listed, _, number = name.partition(".")
            self.lists[listed] = max(self.lists.get(listed, 0), int(number) + 1)
        self.count += 1
        self.absent.discard(name)
        self.conditional |= {name} if conditional else set()

    def leave_out(self, name: str | None, ref: Ref) -> None:
        """Let the name of a step that is left out, if it has one, stand for what it reads."""
        if name is None:
            return
        taken = name in self.names and name not in self.absent
        if step_place_fault(name) or name in self.inputs or taken and name not in self.conditional:
            raise Invalid(f"the name {name}")
        self.check_list(name)
        if "." in name:
            self.lists.setdefault(name.partition(".")[0], 0)
        if not taken:
            self.names[name] = ref
            self.absent.add(name)
            self.conditional.add(name)


_FUNCTIONS = {
    "min": min,
    "max": max,
    "sum": sum,
    "len": len,
    "abs": abs,
    "int": int,
    "round": round,
    "ceil": math.ceil,
    "floor": math.floor,
    "make_divisible": make_divisible,
    "range": lambda *ends: list(range(*ends)),
    "zip": lambda *lists: [list(each) for each in zip(*lists, strict=False)],
    "enumerate": lambda values: [list(each) for each in enumerate(values)],
    "reversed": lambda values: values[::-1],
    "sorted": sorted,
    "str": str,
}
_EXPRESSION = re.compile(r"\$\$|\$\{([^}]*)\}|\$([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")


@lru_cache(maxsize=10_000)
def _code(text: str) -> Any:
    return compile(text, "expression", "eval")


def evaluate(value: Any, names: Mapping[str, Any], frame: Frame | None = None) -> Any:
    """A value of the spec with its expressions worked out."""
    if isinstance(value, list):
        return [evaluate(item, names, frame) for item in value]
    if isinstance(value, dict):
        return Record({key: evaluate(item, names, frame) for key, item in value.items()})
    if not isinstance(value, str) or "$" not in value:
        return value

    def one(match: re.Match[str]) -> Any:
        if match.group() == "$$":
            return "$"
        seen = {"__builtins__": {}, **_FUNCTIONS, **(frame.visible() if frame else {}), **names}
        try:
            return eval(_code((match[1] or match[2]).strip()), seen)
        except Exception as error:
            raise Invalid(f"{value}: {error!r}") from None

    whole = _EXPRESSION.fullmatch(value)
    return one(whole) if whole else _EXPRESSION.sub(lambda match: str(one(match)), value)


class Interpreter:
    """Runs a spec. `ends` tells where each list of steps (by its `id`) ended: its last value, and its scope."""

    def __init__(self, spec: Spec, partial: bool = False) -> None:
        self.spec, self.partial = spec, partial
        self.nodes: list[Node] = []
        self.inits: list[tuple[dict[str, Any], Mapping[str, Any], Frame | None]] = []
        self.ends: dict[int, tuple[Ref, Frame, Mapping[str, Any]]] = {}
        self.params: dict[str, Any] = {}
        pending = dict(spec.get("params", {}))
        while pending:  # those that use none of the others that are left
            ready = [name for name, value in pending.items() if not pending.keys() & set(_mentioned(value))]
            if not ready:
                raise Invalid("params that lead back to themselves")
            self.params.update({name: evaluate(pending.pop(name), self.params) for name in ready})
        shapes = evaluate(spec["input"], self.params)
        shapes = shapes if isinstance(shapes, dict) else {"input": shapes}
        self.inputs: dict[str, Shape] = {name: tuple(shape) for name, shape in shapes.items()}
        self.inits.append((spec.get("init", {}), self.params, None))
        self.top = Frame("", {name: Ref(name, shape) for name, shape in self.inputs.items()})
        last = self.steps(spec["layers"], self.top, self.params, next(iter(self.top.inputs.values())))
        self.outputs = self._outputs(last)

    def _outputs(self, last: Ref) -> dict[str, str]:
        self.training: set[str] = set()
        wanted = evaluate(self.spec.get("outputs", last.path), self.params, self.top)
        if "outputs" not in self.spec and last.absent and not self.partial:
            raise Invalid("a free tensor that is left out")
        if "outputs" not in self.spec:
            return {last.path: last.path}
        if not isinstance(wanted, dict):
            wanted = {name: name for name in (wanted if isinstance(wanted, list) else [wanted])}
        self.training = {name for name, target in wanted.items() if isinstance(target, dict) and "when" in target}
        given = {name: target["from"] if isinstance(target, dict) else target for name, target in wanted.items()}
        found = {name: self.top.find(target) for name, target in given.items()}
        if any(ref.absent for ref in found.values()):
            raise Invalid("a free tensor that is left out")
        return {name: ref.path for name, ref in found.items()}

    def steps(self, steps: list[Step], frame: Frame, names: Mapping[str, Any], last: Ref) -> Ref:
        if not steps and not self.partial:
            raise Invalid("no steps")
        for step in steps:
            last = self.step(step, frame, names, last)
        self.ends[id(steps)] = (last, frame, names)
        return last

    def step(self, step: Step, frame: Frame, names: Mapping[str, Any], last: Ref) -> Ref:
        key, body = (step, None) if isinstance(step, str) else next(iter(step.items()))
        key = evaluate(key, names, frame)
        if key not in (*OPS, *self.spec.get("blocks", ()), "sequential", "inline"):
            raise Invalid(f"no op {key}")
        known = body if isinstance(body, dict) else {}
        common = {name: known[name] for name in ("name", "from", "when", "repeat") if known.get(name) is not None}
        arguments = {name: value for name, value in known.items() if name not in common}
        if body is not None and not isinstance(body, dict):
            if key in MERGES or key == "attention":
                common["from"] = body
            elif key in ("sequential", "inline"):
                arguments["layers"] = body
            elif key == "use":
                arguments["step"] = body
            else:
                first = OPS[key].fields if key in OPS else self.spec["blocks"][key]["params"]
                arguments[next(iter(first))] = body
        is_free = key in FREE  # it reads nothing, and the step after it reads what it would read without it
        if is_free and ("repeat" in common or "from" in common):
            raise Invalid(f"{key} is repeated, or reads something")
        source = evaluate(common.get("from"), names, frame)
        reads = () if is_free else self.reads(key, source, frame, last)
        if len(reads) == 1 and reads[0].parts and key in READS and OPS[key].reads_parts:
            reads = reads[0].parts
        operand = {**self.spec.get("defaults", {}).get(key, {}), **arguments}.get(OPERANDS.get(key, ""))
        if operand is not None:
            reads = (*reads, frame.find(evaluate(operand, names, frame)))
        if any(ref.parts for ref in reads):
            raise Invalid("several results as one")
        if key in OPS and OPS[key].takes_numbers:
            operands = source if isinstance(source, list) else [None, source]
            numbers = [each if _is_number(each) else None for each in operands]
            if any(number is not None for number in numbers):
                arguments["numbers"] = numbers
        if "repeat" in common:
            return self.repeat(key, arguments, common, frame, names, reads)
        passed_on = last if is_free else reads[0]
        stands = evaluate(common.get("when", True), names, frame)
        name = evaluate(common["name"], names, frame) if "name" in common else None
        if not stands:
            frame.leave_out(name, Ref("", (1,), absent=True) if is_free else passed_on)
            return passed_on
        ref = self.apply(key, arguments, name, frame, frame, names, reads, "when" in common)
        return last if is_free else ref

    def reads(self, key: str, source: Any, frame: Frame, last: Ref) -> tuple[Ref, ...]:
        if source is None:
            if key in MERGES:
                raise Invalid(f"{key} of one value")
            return (last,)
        if key in OPS and OPS[key].takes_numbers and _is_number(source):
            return (last,)
        if isinstance(source, list):
            found = tuple(frame.find(name) for name in source if not _is_number(name))
        else:
            found = (last, frame.find(source)) if key in MERGES else (frame.find(source),)
        if key in READS and isinstance(source, list) and len(found) not in READS[key]:
            raise Invalid(f"{key} of {len(found)} values")
        one = key in OPS and key not in MERGES and key not in READS
        count = len(source) if isinstance(source, list) else len(found)
        if not found or key in MERGES and count < 2 or one and len(found) > 1:
            raise Invalid(f"{key} of {len(found)} values")
        return found

    def repeat(
        self,
        key: str,
        arguments: dict[str, Any],
        common: dict[str, Any],
        frame: Frame,
        names: Mapping[str, Any],
        reads: tuple[Ref, ...],
    ) -> Ref:
        how, binds = common["repeat"], None
        if isinstance(how, dict):
            ((binds, how),) = how.items()
        count = evaluate(how, names, frame)
        entries = list(count) if isinstance(count, list) else list(range(count))
        name = common.get("name")
        group = name is not None and not {"index", binds} & set(re.findall(r"\w+", name)) or None
        if group and key == "use":
            raise Invalid("copies of a use have no group")
        copies = []
        for index, entry in enumerate(entries):
            inner = {**names, "index": index, **({binds: entry} if binds else {})}
            if evaluate(common.get("when", True), inner, frame):
                copies.append(inner)
        home = frame
        if group and copies:
            called = evaluate(name, names, frame)
            home = Frame(f"{frame.prefix}{called}.", {}, positional=True)
        elif not copies:
            frame.leave_out(evaluate(name, names, frame) if group else None, reads[0])
            return reads[0]
        for inner in copies:
            own = None if group or name is None else evaluate(name, inner, frame)
            result = self.apply(key, arguments, own, home, frame, inner, reads, True)
            reads = (result, *reads[1:])
        if group:
            frame.bind(called, reads[0], True)
            frame.scopes[called] = home
        return reads[0]

    def apply(
        self,
        key: str,
        arguments: dict[str, Any],
        name: str | None,
        home: Frame,
        frame: Frame,
        names: Mapping[str, Any],
        reads: tuple[Ref, ...],
        conditional: bool,
    ) -> Ref:
        if key == "inline":
            if reads[0].absent:
                raise Invalid("a free tensor that is left out")
            let = dict(names)
            for each, value in arguments.get("let", {}).items():
                let[each] = evaluate(value, let, frame)
            frame.in_conditional += conditional
            self.inits.append((arguments.get("init", {}), let, frame))
            result = self.steps(arguments["layers"], frame, let, reads[0])
            self.inits.pop()
            frame.in_conditional -= conditional
            return self.single(result)
        if any(ref.absent for ref in reads):
            raise Invalid("a free tensor that is left out")
        if key == "use":
            called, maker, ref = self.use(arguments, name, home, names, reads)
        else:
            called = home.fresh_name(key) if name is None else name
            ref = self.made(key, arguments, called, home, frame, names, reads)
            maker = Maker(key, arguments, frame, names, reads)
        if key not in FREE:
            home.makers[called] = maker
        home.bind(called, ref, name is not None and (conditional or home.in_conditional > 0))
        return ref

    def use(
        self,
        arguments: dict[str, Any],
        name: str | None,
        home: Frame,
        names: Mapping[str, Any],
        reads: tuple[Ref, ...],
    ) -> tuple[str, Maker, Ref]:
        """The name of a use, how the step was applied that it applies again, and its value."""
        target = evaluate(arguments["step"], names, home)
        within, (*scopes, last) = home, target.split(".")
        for scope in scopes:
            if scope not in within.makers or scope not in within.scopes or scope in within.absent:
                raise Invalid(f"no step {target}")
            within = within.scopes[scope]
        if last not in within.makers or last in within.absent:
            raise Invalid(f"no step {target}")
        maker = within.makers[last]
        called = home.fresh_name("use" if last.isdecimal() else last) if name is None else name
        path, first = home.prefix + target, len(self.nodes)
        ref = self.made(maker.key, maker.arguments, called, home, maker.frame, maker.names, reads)
        old = [node for node in self.nodes[:first] if node.path == path or node.path.startswith(f"{path}.")]
        new = self.nodes[first:]
        if [n.path[len(path) :] for n in old] != [n.path[len(home.prefix + called) :] for n in new]:
            raise Invalid("a use that has other steps")
        for place, (one, other) in enumerate(zip(old, new, strict=True), start=first):
            if (one.op.weights(), one.op.buffers(), one.op.calls()) != (
                other.op.weights(),
                other.op.buffers(),
                other.op.calls(),
            ):
                raise Invalid("a use that needs other weights")
            if one.path != path and any(one.op.fits(n) != other.op.fits(n) for n in range(len(one.inputs))):
                raise Invalid("a use of a value without a batch")
            self.nodes[place] = other._replace(weights_of=one.weights_of or one.path)
        return called, maker, ref

    def made(
        self,
        key: str,
        arguments: dict[str, Any],
        called: str,
        home: Frame,
        frame: Frame,
        names: Mapping[str, Any],
        reads: tuple[Ref, ...],
    ) -> Ref:
        """The value of a step that is called so."""
        if key in OPS:
            ref = self.op(key, arguments, home.prefix + called, frame, names, reads)
            if ref.parts:
                home.scopes[called] = Frame(f"{home.prefix}{called}.", {})
                home.scopes[called].names = {str(number): part for number, part in enumerate(ref.parts)}
        elif key == "sequential":
            inner = Frame(f"{home.prefix}{called}.", {"input": reads[0]}, frame, positional=True)
            let = dict(names)
            for each, value in arguments.get("let", {}).items():
                let[each] = evaluate(value, let, inner)
            self.inits.append((arguments.get("init", {}), let, inner))
            ref = self.single(self.steps(arguments["layers"], inner, let, reads[0]))
            self.inits.pop()
            home.scopes[called] = inner
        else:
            ref, inner = self.call(key, arguments, f"{home.prefix}{called}.", frame, names, reads)
            home.scopes[called] = inner
        return ref

    def call(
        self,
        key: str,
        arguments: dict[str, Any],
        prefix: str,
        frame: Frame,
        names: Mapping[str, Any],
        reads: tuple[Ref, ...],
    ) -> tuple[Ref, Frame]:
        block = self.spec["blocks"][key]
        inputs = block.get("inputs", ["input"])
        declared = block.get("params", {})
        if len(inputs) != len(reads) or set(arguments) - set(declared):
            raise Invalid(f"a call of {key}")
        inner = Frame(prefix, dict(zip(inputs, reads, strict=True)))
        values = dict(self.params)
        for name, default in declared.items():
            if name not in arguments and default is None:
                raise Invalid(f"{key} needs {name}")
            given = name in arguments
            values[name] = evaluate(arguments[name], names, frame) if given else evaluate(default, values, inner)
        self.inits.append((block.get("init", {}), values, inner))
        result = self.single(self.steps(block["layers"], inner, values, reads[0]))
        self.inits.pop()
        return result, inner

    def single(self, ref: Ref) -> Ref:
        """The value of a scope, which is one."""
        if ref.parts and not self.partial:
            raise Invalid("a scope of several results")
        return ref

    def op(
        self,
        key: str,
        arguments: dict[str, Any],
        path: str,
        frame: Frame,
        names: Mapping[str, Any],
        reads: tuple[Ref, ...],
    ) -> Ref:
        own: dict[str, Any] = {}
        if "init" in arguments and "init" not in OPS[key].fields:
            own = {key: arguments["init"]}
            arguments = {name: value for name, value in arguments.items() if name != "init"}
        given = evaluate(self.spec.get("defaults", {}).get(key, {}), self.params)
        given = {**given, **evaluate(arguments, names, frame)}
        if key == "split" and given.get("part") is None:
            count = given.get("parts") or len(given.get("sizes", ()))
            refs = [
                self.op(key, {**arguments, "part": number}, f"{path}.{number}", frame, names, reads)
                for number in range(count)
            ]
            if not refs:
                raise Invalid("a split of nothing")
            return Ref(path, refs[0].shape, parts=tuple(refs))
        try:
            leads = tuple(ref.lead for ref in reads)
            leads = leads if set(leads) - {Lead.BATCH} else ()
            op = OPS[key](tuple(ref.shape for ref in reads), given, leads=leads)
        except Complaint as error:
            raise Invalid(error.message) from None
        if op.weighted or op.weights():
            integers = {node.path for node in self.nodes if node.op.integers() is not None}
            if integers & {ref.path for ref in reads}:
                raise Invalid("integers where floats are computed")
        if key == "gather":
            index = next((node.op for node in self.nodes if node.path == reads[1].path), None)
            rows = index.integers() if isinstance(index, Buffer) else None
            if rows is None:
                raise Invalid("expected a buffer of integers as index")
            if not all(row < reads[0].shape[0] for row in rows):
                raise Invalid("an index beyond the table")
        if not _small(op.output) or len(self.nodes) >= MAX_NODES:
            raise Invalid("too large")
        draws = self.draws(op, [*self.inits, (own, names, frame)])
        self.nodes.append(Node(path, op, tuple(ref.path for ref in reads), draws))
        return Ref(path, op.output, op.lead)

    def draws(self, op: Op, inits: list[tuple[dict[str, Any], Mapping[str, Any], Frame | None]]) -> dict[str, Any]:
        """How each tensor of an op is drawn: by the last of the rules that speaks of it."""
        found: dict[str, Any] = {}
        weights = op.weights() if op.initial else {}
        if not weights:
            return {}
        main = next(iter(op.initial))
        shape = next(iter(weights.values()), ())
        area = math.prod(shape[2:])
        fans = {"fan_in": shape[1] * area, "fan_out": shape[0] * area} if len(shape) > 1 else {}
        for rules, names, frame in inits:
            if op.op not in rules:
                continue
            rule = evaluate(rules[op.op], {**names, **fans}, frame)
            whole = rule if isinstance(rule, dict) else {main: rule}
            tensors = {name: value for name, value in whole.items() if name in op.initial}
            scheme = {name: value for name, value in whole.items() if name not in tensors}
            found |= tensors | ({main: scheme} if scheme else {})
        return {name: found[name] for name in op.initial if name in weights and found.get(name, "torch") != "torch"}

    def unread(self) -> list[str]:
        """Paths of the nodes, and names of the inputs, that nothing reads."""
        read = {source for node in self.nodes for source in node.inputs}
        return [path for path in (*self.inputs, *(node.path for node in self.nodes)) if path not in read]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def interpret(spec: Spec) -> Interpreter:
    """What a spec means; Invalid where it means nothing."""
    return Interpreter(spec)


def _small(shape: Shape) -> bool:
    if len(shape) == 1:
        return shape[0] <= MAX_FEATURES
    if len(shape) == 2:
        return max(shape) <= 64 and shape[0] * shape[1] <= 1024
    return shape[0] <= MAX_CHANNELS and max(shape[1:]) <= MAX_SIZE


# The generator.


def _sizes(random: Random, low: int, high: int, rank: int) -> Any:
    if random.random() < 0.7:
        return random.randint(low, high)
    return [random.randint(low, high) for _ in range(rank)]


def _padding(random: Random, high: int, rank: int, *words: str) -> Any:
    kind = random.randrange(5)
    if kind == 0 and words:
        return random.choice(words)
    if kind == 1:
        return [random.randint(0, high) for _ in range(rank)]
    if kind == 2:
        return [[random.randint(0, high), random.randint(0, high)] for _ in range(rank)]
    return random.randint(0, high)


def _divisor(random: Random, number: int) -> int:
    return random.choice([n for n in range(1, min(number, MAX_CHANNELS) + 1) if number % n == 0])


def _op_arguments(op: str, shape: Shape, random: Random) -> dict[str, Any]:
    """Arguments that probably fit, in any order; those that an op needs are always among them."""
    rank, channels = len(shape) - 1, shape[0]
    axes = ("channels", *SPATIAL_AXES[rank], "last")
    sizes = {"low": 1, "high": 2, "rank": rank}
    filters = random.randint(1, 8)
    conv: dict[str, Any] = {
        "kernel": _sizes(random, 1, 3, rank),
        "stride": _sizes(random, **sizes),
        "padding": _padding(random, 2, rank, "half", "same"),
        "dilation": _sizes(random, **sizes),
        "bias": random.random() < 0.5,
    }
    groups = _divisor(random, channels)
    size = random.choice(shape[1:]) if rank else channels
    start = random.randint(-size, size - 1)
    table: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "conv": ({"filters": filters}, {**conv, "groups": _divisor(random, math.gcd(channels, filters))}),
        "depthwise_conv": ({"kernel": conv.pop("kernel")}, {**conv, "multiplier": random.randint(1, 2)}),
        "conv_transpose": (
            {"filters": filters, "kernel": random.randint(1, 3)},
            {"stride": random.randint(1, 2), "padding": random.randint(0, 1), "output_padding": random.randint(0, 1)},
        ),
        "linear": ({"units": filters}, {"bias": random.random() < 0.5}),
        "scale": ({}, {"init": random.choice([1, 0.1, 1e-6])}),
        "batch_norm": ({}, {"eps": 1e-3, "momentum": 0.25, "affine": False}),
        "layer_norm": ({}, {"eps": 1e-3, "affine": False, "axis": random.choice(["channels", "last"])}),
        "rms_norm": ({}, {"eps": 1e-3, "affine": False, "axis": random.choice(["channels", "last"])}),
        "split": ({"parts": 1, "part": 0}, {}),
        "roll": (
            {"shifts": [random.randint(-3, 3)], "axes": [random.choice([*axes, rank])]},
            {},
        ),
        "to_image": ({random.choice(["height", "width"]): _divisor(random, channels)}, {}),
        "window_partition": (
            {"size": [_divisor(random, each) for each in shape[1:]]},
            {"channels_at": "first"},
        ),
        "unfold": ({"kernel": random.randint(1, 2)}, {"stride": random.randint(1, 2), "padding": 1, "dilation": 1}),
        "multi_head_attention": ({"heads": _divisor(random, shape[-1])}, {"bias": False, "dropout": 0.1}),
        "group_norm": ({"groups": groups}, {"eps": 1e-3, "affine": False}),
        "instance_norm": ({}, {"eps": 1e-3, "affine": True}),
        "local_response_norm": ({}, {"size": random.randint(1, 5), "alpha": 1e-3, "beta": 0.5, "k": 2}),
        "leaky_relu": ({}, {"negative_slope": 0.2}),
        "prelu": ({}, {"num_parameters": random.choice([1, channels]), "init": 0.1}),
        "elu": ({}, {"alpha": 0.5}),
        "gelu": ({}, {"approximate": random.choice(["none", "tanh"])}),
        "softplus": ({}, {"beta": 2, "threshold": 10}),
        "softmax": ({}, {"axis": random.choice(axes)}),
        "log_softmax": ({}, {"axis": random.choice(axes)}),
        "max_pool": (
            {"kernel": _sizes(random, 1, 3, rank)},
            {"stride": _sizes(random, **sizes), "padding": _padding(random, 1, rank, "same"), "ceil_mode": True},
        ),
        "avg_pool": (
            {"kernel": _sizes(random, 1, 3, rank)},
            {"stride": _sizes(random, **sizes), "padding": random.randint(0, 1), "count_include_pad": False},
        ),
        "adaptive_avg_pool": ({"size": _sizes(random, 1, 4, rank)}, {}),
        "adaptive_max_pool": ({"size": _sizes(random, 1, 4, rank)}, {}),
        "concat": ({}, {"axis": random.choice(axes)}),
        "reshape": ({"shape": random.choice([[-1], [channels, -1], [*shape[:1], -1, 1], [*shape]])}, {}),
        "permute": ({"order": random.sample(range(rank + 1), rank + 1)}, {}),
        "pad": (
            {"padding": _padding(random, 2, rank)},
            {"mode": random.choice(["constant", "reflect", "replicate", "circular"])},
        ),
        "crop": ({"amount": _padding(random, 1, rank)}, {}),
        "slice": ({"start": start}, {"axis": random.choice(axes), "stop": random.randint(1, size)}),
        "channel_shuffle": ({"groups": groups}, {}),
        "pixel_shuffle": ({"factor": random.randint(1, 2)}, {}),
        "upsample": (
            random.choice(
                [
                    {"scale": _sizes(random, 1, 2, rank)},
                    {"size": _sizes(random, 2, 7, rank)},
                    {"scale": random.choice([0.5, 1.5])},
                ]
            ),
            {"mode": random.choice(["nearest", "nearest-exact", "linear", "cubic"])},
        ),
        "pow": ({"exponent": random.choice([2, 3])}, {}),
        "clamp": ({"min": -2}, {"max": random.choice([2, 3.5])}),
        "mean": ({"axes": random.choice(axes)}, {"keep": True}),
        "max": ({"axes": random.sample(axes, random.randint(1, rank + 1))}, {"keep": True}),
        "sum": ({"axes": random.sample(axes, random.randint(1, rank + 1))}, {"keep": True}),
        "normalize": ({}, {"axis": random.choice(axes), "p": 1}),
        "dropout": ({}, {"rate": 0.25}),
        "spatial_dropout": ({}, {"rate": 0.25}),
        "drop_path": ({"rate": 0.1}, {}),
    }
    if op == "window_reverse" and rank == 2:
        high = _divisor(random, shape[1])
        table[op] = ({"size": [high, shape[1] // high], "height": high * _divisor(random, shape[0])}, {})
    if op == "split":
        axis = random.randrange(rank + 1)
        parts = _divisor(random, shape[axis])
        name = ("channels", *SPATIAL_AXES[rank], "last")[axis if axis < rank or rank < 4 else -1]
        if rank < 4 or axis in (0, rank):
            table[op] = ({"parts": parts, "part": random.randrange(parts), "axis": name}, {})
    needed, more = table.get(op, ({}, {}))
    chosen = {name: value for name, value in more.items() if random.random() < 0.4}
    return {**needed, **chosen}


_NAMES = ("stem", "a", "b1", "conv1", "features", "x_2", "head-3", "Body", "left", "right", "z", "q9", "mixed", "tail")
_LISTED = (*["list.0", "list.1", "list.2", "other.0", "other.1", "list.${index}", "other.${index}"] * 2,)


class _Generator:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.spec: Spec = {"input": [], "params": {}, "defaults": {}, "blocks": {}, "layers": []}
        self.reading: Interpreter
        self.depth = 0
        self.unfinished: list[str] = []
        self.count = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def make(self) -> Spec:
        self.spec["input"] = self.inputs()
        if self.chance(0.3):
            self.spec["defaults"] = {"conv": {"bias": False}, "batch_norm": {"eps": 0.01}}
        if self.chance(0.5):
            self.spec["params"]["widths"] = [self.random.randint(1, 8) for _ in range(3)]
            if self.chance(0.5):
                self.spec["params"] = {"narrow": "${min(widths)}", **self.spec["params"]}
        if self.chance(0.3):
            self.spec["params"]["stages"] = [{"width": self.random.randint(1, 8), "deep": n % 2 == 0} for n in range(2)]
        assert self.holds()
        self.fill(self.spec["layers"], self.random.randint(2, 8))
        while not self.reading.nodes:
            self.fill(self.spec["layers"], 2)
        self.finish()
        return self.spec

    def inputs(self) -> Any:
        def shape() -> list[int]:
            rank = self.random.choice([0, 1, 1, 2, 2, 2, 3])
            high = {0: 16, 1: 12, 2: 10, 3: 6}[rank]
            return [self.random.randint(1, 8), *(self.random.randint(2, high) for _ in range(rank))]

        if self.chance(0.75):
            return shape()
        names = self.random.sample(["image", "audio", "x", "context", "input"], self.random.randint(1, 3))
        first = shape()
        return {name: first if self.chance(0.6) else shape() for name in names}

    def holds(self) -> bool:
        """Whether the spec, as far as it has come, makes sense."""
        try:
            self.reading = Interpreter(self.spec, partial=True)
        except Invalid:
            return False
        leads = {"": Lead.NONE, **{node.path: node.op.lead for node in self.reading.nodes}}
        if any(leads.get(path, Lead.BATCH) is not Lead.BATCH for path in self.reading.outputs):
            return False  # an output depends on the input
        unread = {*self.reading.unread()}
        return not any(node.path in unread and node.op.lead is not Lead.BATCH for node in self.reading.nodes)

    def fill(self, steps: list[Step], number: int) -> None:
        """Add up to `number` steps to a list of the spec."""
        for _ in range(number):
            if id(steps) not in self.reading.ends:
                return
            last, frame, names = self.reading.ends[id(steps)]
            before = set(self.spec["blocks"]), set(self.spec["params"])
            added = self.free(last, frame) if self.chance(0.12) else [self.step(last, frame, names)]
            steps += added
            if not self.holds():
                del steps[-len(added) :]
                for key, known in zip(("blocks", "params"), before, strict=True):
                    for name in set(self.spec[key]) - known:
                        del self.spec[key][name]
                assert self.holds()
                continue
            self.fill_scope(steps)
            self.decorate(steps, frame)
            self.alternative(steps)
            self.choose(steps)

    def fill_scope(self, steps: list[Step]) -> None:
        """Give the scope at the end of a list its steps; take it out where none fit."""
        step = steps[-1]
        key, body = (step, None) if isinstance(step, str) else next(iter(step.items()))
        if key in self.spec["blocks"]:
            layers = self.spec["blocks"][key]["layers"]
        elif key in ("sequential", "inline"):
            layers = body if isinstance(body, list) else body["layers"]
        else:
            return
        if not layers:
            self.depth += 1
            self.unfinished.append(key)
            self.fill(layers, self.random.randint(1, 4))
            self.unfinished.pop()
            self.depth -= 1
        if not layers:
            steps.pop()
            self.spec["blocks"].pop(key, None)
            assert self.holds()

    def decorate(self, steps: list[Step], frame: Frame) -> None:
        """Try a name, a condition or a repeat on the last step."""
        for what in ("repeat", "name", "when"):
            if not steps or not self.chance(0.25):
                continue
            old = steps[-1]
            key, body = (old, None) if isinstance(old, str) else next(iter(old.items()))
            if what == "name" and key == "inline" or "$" in key and not isinstance(body, dict):
                continue
            steps[-1] = {key: {**self.mapping(key, body), what: self.decoration(what)}}
            if not self.holds():
                steps[-1] = old
                assert self.holds()

    def alternative(self, steps: list[Step]) -> None:
        """Try to add a step that stands where the last one, which has a name and a condition, does not."""
        body = next(iter(steps[-1].values())) if steps and isinstance(steps[-1], dict) else None
        if not isinstance(body, dict) or not {"name", "when"} <= body.keys() or not self.chance(0.8):
            return
        when = body["when"]
        other = not when if isinstance(when, bool) else f"${{not ({when[2:-1]})}}"
        op = self.random.choice(["elu", "batch_norm", "scale", {"conv": 3}, {"sequential": ["gelu", "relu"]}])
        key, value = (op, None) if isinstance(op, str) else next(iter(op.items()))
        steps.append({key: {**self.mapping(key, value), "name": body["name"], "when": other}})
        if not self.holds():
            steps.pop()
            assert self.holds()

    def choose(self, steps: list[Step]) -> None:
        """Try to have a param in place of the op or block of the last step."""
        if not steps or not self.chance(0.12):
            return
        old = steps[-1]
        key, body = (old, None) if isinstance(old, str) else next(iter(old.items()))
        if key in ("sequential", "inline") or "$" in key or key in self.unfinished:
            return
        param, known = f"kind_{key}", set(self.spec["params"])
        self.spec["params"][param] = key
        steps[-1] = self.random.choice([f"${param}", f"${{{param}}}"]) if body is None else {f"${param}": body}
        if not self.holds():
            steps[-1] = old
            if param not in known:
                del self.spec["params"][param]
            assert self.holds()

    def mapping(self, key: str, body: Any) -> dict[str, Any]:
        """The value of a step as the mapping that it is short for."""
        if body is None or isinstance(body, dict):
            return dict(body or {})
        if key in MERGES:
            return {"from": body}
        if key in ("sequential", "inline"):
            return {"layers": body}
        if key == "use":
            return {"step": body}
        fields = OPS[key].fields if key in OPS else self.spec["blocks"][key]["params"]
        return {next(iter(fields)): body}

    def decoration(self, what: str) -> Any:
        if what == "name":
            return self.random.choice([*_NAMES, *_NAMES, "c${index}", "${'n' + 'm'}", "7", *_LISTED])
        if what == "when":
            choices = [True, False, "${True}", "${1 > 2}", "${input.channels > 3}", "${index != 1}", "${index == 0}"]
            return self.random.choice(choices)
        choices = [0, 1, 2, 2, 3, [5, 6], "${1 + 1}", {"stage": 2}, {"stage": [4, 8]}, "$widths", {"stage": "$stages"}]
        return self.random.choice(choices)

    def step(self, last: Ref, frame: Frame, names: Mapping[str, Any]) -> Step:
        kinds = ["op"] * 12 + ["merge"] * 3 + ["back"] + ["tokens"] * 2
        if frame.makers:
            kinds += ["use"] * 2
        if self.depth < 3:
            kinds += ["sequential", "inline", "block", "block", "call", "call"]
        kind = self.random.choice(kinds)
        if kind == "merge":
            return self.merge(last, frame)
        if kind == "tokens":
            return self.tokens(last, frame)
        if kind == "use":
            return self.use(last, frame)
        if kind in ("sequential", "inline"):
            return self.scope(kind)
        if kind == "block":
            return self.block(last, frame)
        callable_blocks = [name for name in self.spec["blocks"] if name not in self.unfinished]
        if kind == "call" and callable_blocks:
            return self.call(frame, self.random.choice(callable_blocks))
        source = self.source(frame) if kind == "back" else None
        shape = frame.find(source).shape if source else last.shape
        return self.op(shape, source, names)

    def use(self, last: Ref, frame: Frame) -> Step:
        """Another use of a step, mostly of a value that it can take."""
        targets = dict(frame.makers)
        for name, scope in frame.scopes.items():
            targets |= {f"{name}.{inner}": maker for inner, maker in scope.makers.items() if self.chance(0.3)}
        fitting = [name for name, maker in targets.items() if [ref.shape for ref in maker.reads] == [last.shape]]
        if fitting and self.chance(0.6):
            return {"use": self.random.choice(fitting)}
        target = self.random.choice([*targets])
        visible = {**frame.visible(), **{name: frame.find(name) for name in _dotted(frame)}}
        sources = []
        for ref in targets[target].reads:
            same = [name for name, other in visible.items() if other.shape[0] == ref.shape[0]] or [*visible]
            sources.append(self.random.choice(same))
        return {"use": {"step": target, "from": sources[0] if len(sources) == 1 else sources}}

    def free(self, last: Ref, frame: Frame) -> list[Step]:
        """A parameter or a buffer, and a step that reads it."""
        shape, name = last.shape, self.random.choice(["gamma", "beta", "table", "p0"])
        sizes = [size if self.chance(0.5) else 1 for size in shape][self.random.choice([0, 0, 0, 1]) :] or [1]
        when = {"when": self.random.choice([True, "${input.channels > 3}"])} if self.chance(0.2) else {}
        batch = {"batch": True} if self.chance(0.3) else {}
        kind = self.random.randrange(8)
        if kind == 6:  # a linear layer whose weight and bias are given
            units = self.random.randint(1, 6)
            source = self.random.choice([*frame.visible()])
            sizes = [units, frame.find(source).shape[-1]]
            weight = {"parameter": {"name": name, "shape": sizes, "init": {"normal": 0.5}}}
            reads = [source, name]
            if self.chance(0.4):
                return [
                    weight,
                    {"linear": {"from": reads, "units": units, **({"bias": False} if self.chance(0.3) else {})}},
                ]
            return [
                weight,
                {"parameter": {"name": f"{name}_bias", "shape": [units], "init": {"normal": 0.5}}},
                {"multiply": {"name": f"{name}_held", "from": [f"{name}_bias", 0.5]}},
                {"linear": {"from": [*reads, f"{name}_held"], "units": units}},
            ]
        if kind == 7:  # rows of a value
            index = [self.random.randrange(shape[0]) for _ in range(self.random.randint(1, 5))]
            return [
                {"buffer": {"name": name, "values": index, "persistent": self.chance(0.5)}},
                {
                    "gather": [
                        self.random.choice(
                            [other for other, ref in frame.visible().items() if ref.shape[0] >= shape[0]] or ["input"]
                        ),
                        name,
                    ]
                },
            ]
        if kind == 0:  # a table by an index
            index = [self.random.randrange(3) for _ in range(shape[-1])]
            return [
                {"parameter": {"name": name, "shape": [3], "init": {"normal": 0.5}}},
                {"buffer": {"name": f"{name}_index", "values": index, "persistent": self.chance(0.5)}},
                {"gather": {"name": f"{name}_rows", "from": [name, f"{name}_index"]}},
                {"multiply": [self.random.choice([*frame.visible()]), f"{name}_rows"]},
            ]
        if kind == 1:  # a token before the others
            return [
                {"parameter": {"name": name, "shape": [1, *shape[1:]], **batch}},
                {"concat": {"from": [name, self.random.choice([*frame.visible()])]}},
            ]
        if kind == 2 and len(shape) > 1:  # a product with a learned matrix
            sizes = [*shape[:-2], shape[-1], self.random.randint(1, 4)]
            return [{"parameter": {"name": name, "shape": sizes, "init": {"normal": 0.5}, **batch}}, {"matmul": name}]
        if kind == 3:
            made: Step = {
                "buffer": {"name": name, "values": self.random.choice([0.5, 2]), "shape": sizes, **batch, **when}
            }
        else:
            start = self.random.choice([0.5, 1, "zeros", "ones", {"normal": 0.02}, {"trunc_normal": 0.02}])
            made = {"parameter": {"name": name, "shape": sizes, "init": start, **batch, **when}}
        between: list[Step] = [{"exp": {"name": f"{name}_exp", "from": name}}] if not when and self.chance(0.2) else []
        read = f"{name}_exp" if between else name
        merge = self.random.choice(["add", "multiply", "multiply", "subtract", "divide", "maximum"])
        source = read if not between and self.chance(0.6) else [read, self.random.choice([*frame.visible()])]
        return [made, *between, {merge: {"from": source, **when}}]

    def source(self, frame: Frame) -> str:
        """The name of any value in sight, dotted ones too."""
        around = [f"../{name}" for name in frame.outer.visible()] if frame.outer else []
        return self.random.choice([*frame.visible(), *_dotted(frame), *around])

    def op(self, shape: Shape, source: str | None, names: Mapping[str, Any]) -> Step:
        rank = len(shape) - 1
        left_out = {*MERGES, *FREE, "attention"}
        op = self.random.choice([name for name, op in OPS.items() if rank in op.ranks and name not in left_out])
        arguments = _op_arguments(op, shape, self.random)
        arguments = {name: self.value(value, names) for name, value in arguments.items()}
        if source:
            return {op: {**arguments, "from": source}}
        if not arguments:
            return self.random.choice([op, {op: None}, {op: {}}])
        first = next(iter(OPS[op].fields))
        if list(arguments) == [first] and self.chance(0.5):
            return {op: arguments[first]}
        return {op: arguments}

    def tokens(self, last: Ref, frame: Frame) -> Step:
        """A few steps around a split, attention, or a value of another size."""
        self.count += 1
        a, b = f"a{self.count}", f"b{self.count}"
        kind = self.random.choice(["gate", "sizes", "self", "bias", "cross", "like"])
        if kind == "gate":
            axis = self.random.choice(["channels", "last"])
            size = last.shape[0 if axis == "channels" else -1]
            parts = self.random.choice([n for n in (1, 2, 3) if size % n == 0])
            names = [f"{a}.{n}" for n in range(parts)]
            read = {self.random.choice(MERGES): names} if parts > 1 else {"gelu": {"from": names[0]}}
            return {"inline": [{"split": {"name": a, "parts": parts, "axis": axis}}, read]}
        if kind == "sizes" and last.shape[0] > 1:
            first = self.random.randint(1, last.shape[0] - 1)
            return {
                "inline": [
                    {"split": {"name": a, "sizes": [first, last.shape[0] - first]}},
                    {"concat": [f"{a}.1", f"{a}.0"]},
                ]
            }
        if kind == "like":
            return {"upsample": {"like": self.source(frame), **({"mode": "linear"} if self.chance(0.5) else {})}}
        tokens: list[Step] = [] if len(last.shape) == 2 else ["to_tokens"]
        heads = self.random.choice([1, 2])
        if kind == "cross":
            return {
                "inline": [
                    *tokens,
                    {"linear": {"name": a, "units": 4}},
                    {"multi_head_attention": {"from": [a, self.source(frame)], "heads": heads}},
                ]
            }
        if kind == "bias":
            count = math.prod(last.shape[1:]) if tokens else last.shape[0]
            return {
                "inline": [
                    *tokens,
                    {"identity": {"name": a}},
                    {"linear": {"name": b, "units": count}},
                    {"attention": {"from": [a, a, a], "bias": b}},
                ]
            }
        options = {"causal": True, "scale": 0.5, "dropout": 0.25}
        chosen = {name: value for name, value in options.items() if self.chance(0.3)}
        return {
            "inline": [
                *tokens,
                {"linear": 3 * heads * self.random.randint(1, 3)},
                {"split": {"name": a, "parts": 3, "axis": "last"}},
                {"attention": {"heads": heads, **chosen}},
            ]
        }

    def merge(self, last: Ref, frame: Frame) -> Step:
        fitting = [name for name, ref in frame.visible().items() if ref.shape == last.shape]
        fitting += [name for name in _dotted(frame) if frame.find(name).shape == last.shape]
        if frame.outer is not None:
            fitting += [f"../{name}" for name, ref in frame.outer.visible().items() if ref.shape == last.shape]
        fitting = fitting or [self.source(frame)]
        op = self.random.choice(MERGES)
        source: Any = self.random.choice(fitting)
        if self.chance(0.5):
            source = [self.random.choice(fitting) for _ in range(self.random.randint(2, 3))]
        if OPS[op].takes_numbers and self.chance(0.3):
            number = self.random.choice([0.5, 2, -1, "${1 / 4}"])
            source = self.random.choice([number, [self.random.choice(fitting), number]])
        if "broadcast" in OPS[op].fields and self.chance(0.3):
            source = source if isinstance(source, list) else [source, self.source(frame)]
            return {op: {"from": source, "broadcast": True}}
        if op == "concat" and self.chance(0.3) and len(last.shape) > 1:
            return {op: {"from": source, "axis": self.random.choice([*SPATIAL_AXES[len(last.shape) - 1], "last"])}}
        return {op: source} if self.chance(0.7) else {op: {"from": source}}

    def scope(self, kind: str) -> Step:
        layers: list[Step] = []
        if self.chance(0.4):
            return {kind: layers}
        body: dict[str, Any] = {"layers": layers}
        if self.chance(0.5):
            body = {"let": {"wide": self.random.randint(1, 8), "wider": "${wide + 1}"}, **body}
        return {kind: body}

    def block(self, last: Ref, frame: Frame) -> Step:
        name = f"block{len(self.spec['blocks'])}"
        declared = {"f": None, "k": self.random.choice([1, 3]), "deep": "${f > 4}"}
        chosen = {key: value for key, value in declared.items() if key == "f" or self.chance(0.5)}
        block: dict[str, Any] = {"params": chosen if self.chance(0.8) else {}, "layers": []}
        if self.chance(0.25):
            block["inputs"] = ["left", "skip"]
        if not block["params"]:
            del block["params"]
        self.spec["blocks"][name] = block
        return self.call(frame, name)

    def call(self, frame: Frame, name: str) -> Step:
        block = self.spec["blocks"][name]
        declared = block.get("params", {})
        arguments: dict[str, Any] = {}
        if "f" in declared:
            arguments["f"] = self.random.choice([self.random.randint(1, 8), "${2 + 2}"])
        if "k" in declared and self.chance(0.3):
            arguments["k"] = 1
        if "inputs" in block:
            arguments["from"] = [self.source(frame), self.source(frame)]
        elif self.chance(0.2):
            arguments["from"] = self.source(frame)
        if list(arguments) == ["f"] and self.chance(0.4):
            return {name: arguments["f"]}
        return {name: arguments} if arguments else name

    def value(self, value: Any, names: Mapping[str, Any]) -> Any:
        """A value as it is, or an expression for it."""
        if not isinstance(value, int) or isinstance(value, bool) or self.chance(0.6):
            return value
        same = [name for name, known in names.items() if type(known) is int and known == value]
        if same and self.chance(0.8):
            return f"${self.random.choice(same)}"
        kind = self.random.randrange(8)
        if kind == 0:
            self.spec["params"][f"p{value}".replace("-", "_")] = value
            return f"$p{value}".replace("-", "_")
        if kind == 1:
            return f"${{{value} if True else 0}}"
        if kind == 2:
            return f"${{sum([x for x in [{value}, 0]])}}"
        if kind == 3:
            return f"${{({value} * 2) // 2}}"
        if kind == 5:
            return f"${{[x + i for i, x in enumerate([{value}])][0]}}"
        if kind == 6:
            return f"${{reversed(zip(range(2), sorted([{value}, {value} + 1])))[1][1]}}"
        if kind == 7:
            return f"${{len(str('x')) * {value}}}"
        return f"${{max({value}, {value} - 1)}}"

    def finish(self) -> None:
        """Outputs for everything that nothing reads, and an `expect` that holds."""
        unread = self.reading.unread()
        last = next(iter(self.reading.outputs))
        if unread != [last] or self.chance(0.3):
            targets = [*dict.fromkeys([*unread, *([last] if self.chance(0.5) else [])])]
            plain = all(target in self.reading.top.visible() for target in targets)
            kind = self.random.randrange(4 if plain else 2)
            mapping: dict[str, Any] = {f"out{position}": target for position, target in enumerate(targets)}
            if len(targets) > 1 and self.chance(0.4):
                for name in self.random.sample([*mapping], self.random.randint(1, len(targets) - 1)):
                    mapping[name] = {"from": mapping[name], "when": "training"}
            self.spec["outputs"] = [
                targets,
                mapping,
                f"${{{targets!r}}}",
                targets[0] if len(targets) == 1 else targets,
            ][kind]
        while self.spec["params"].keys() - (used := set(_mentioned(self.spec))):
            self.spec["params"] = {name: value for name, value in self.spec["params"].items() if name in used}
        for key in ("params", "defaults", "blocks"):
            if not self.spec[key]:
                del self.spec[key]
        _initialise(self.spec, Random(str(self.spec)))
        _register(self.spec, Random(str(self.spec)))
        reading = interpret(self.spec)
        params = sum(node.op.params for node in reading.nodes if node.weights_of is None)
        self.spec["expect"] = {"params": params, "layers": len(reading.nodes)}
        self.spec = {"archspec": 1, "name": "random", "description": "made at random, $1", **self.spec}


# Initial weights, put into a spec that is finished.

_WEIGHTS = (
    *({"kaiming_normal": "fan_out"}, {"normal": 0.25}, {"trunc_normal": 0.125}, "xavier_uniform", "torch", 0.5),
    *({"uniform": "${1 / fan_out ** 0.5}"}, {"normal": ["${1 / fan_in}", 0.5]}, {"bias": "zeros"}, "orthogonal"),
    *({"kaiming_uniform": {"mode": "fan_out", "nonlinearity": "sigmoid"}, "bias": {"uniform": [0.5, 1]}},),
    *({"weight": "xavier_normal", "bias": "${1 / fan_in}"}, {"normal": 1, "bias": "torch"}),
)
_NORMS = (
    "zeros",
    {"weight": {"normal": [1, 0.5]}, "bias": 0.25},
    {"bias": {"trunc_normal": 0.5}},
    "torch",
    {"bias": 1},
)
_ATTENTION = (
    *("xavier_normal", "torch", {"normal": "${1 / fan_in}", "in_proj_bias": 0.5}),
    *({"q_proj_weight": "orthogonal", "out_proj.bias": {"uniform": 0.5}}, {"out_proj.weight": {"trunc_normal": 0.5}}),
)
_LINEAR = ("conv", "depthwise_conv", "conv_transpose", "linear")


def _initialise(spec: Spec, random: Random) -> None:
    """Put rules for initial weights at the top, into blocks and scopes, and on steps."""
    if random.random() < 0.2:
        return
    drawn = [name for name, op in OPS.items() if op.initial and "init" not in op.fields]

    def rule(op: str, sees_input: bool = False) -> Any:
        if sees_input and random.random() < 0.2:
            return {"normal": "${1 / input.channels}"}
        if op == "multi_head_attention":
            return random.choice(_ATTENTION)
        return random.choice(_WEIGHTS if op in _LINEAR else _NORMS)

    def rules(sees_input: bool = False) -> dict[str, Any]:
        return {op: rule(op, sees_input) for op in drawn if random.random() < 0.8}

    def within(steps: list[Step], sees_input: bool) -> None:
        for step in steps:
            key, body = (step, None) if isinstance(step, str) else next(iter(step.items()))
            if not isinstance(body, dict):
                if isinstance(body, list) and key in ("sequential", "inline"):
                    within(body, key == "sequential" or sees_input)
                continue
            if "layers" in body:
                within(body["layers"], key == "sequential" or sees_input)
                if random.random() < 0.6:
                    body["init"] = rules(key == "sequential" or sees_input)
            elif key in drawn and random.random() < 0.3:
                body["init"] = rule(key, sees_input)

    named = isinstance(spec["input"], dict) and list(spec["input"]) != ["input"]
    within(spec["layers"], not named)
    for block in spec.get("blocks", {}).values():
        within(block["layers"], "inputs" not in block)
        if random.random() < 0.6:
            block["init"] = rules("inputs" not in block)
    if random.random() < 0.8:
        spec["init"] = rules()


# The order of modules, in a spec that is finished.


def _register(spec: Spec, random: Random) -> None:
    """Name steps that come first in some of the scopes; in a `sequential` or a block, and at the top."""

    def names(steps: list[Step]) -> Iterator[str]:
        for step in steps:
            body = next(iter(step.values())) if isinstance(step, dict) else None
            name = body.get("name") if isinstance(body, dict) else None
            if isinstance(step, dict) and "inline" in step:
                inner = body["layers"] if isinstance(body, dict) else body
                found = [*names(inner)] if isinstance(body, list) or "repeat" not in body else []
                yield from found
            elif isinstance(name, str) and "." in name:
                yield name.partition(".")[0].partition("$")[0]
            elif isinstance(name, str) and "$" not in name:
                yield name

    def within(scope: dict[str, Any]) -> None:
        found = [*dict.fromkeys(filter(None, names(scope["layers"])))]
        if found and random.random() < 0.3:
            scope["register"] = random.sample(found, random.randint(1, len(found)))
        for step in scope["layers"]:
            body = next(iter(step.values())) if isinstance(step, dict) else None
            if isinstance(body, dict) and "sequential" in step:
                within(body)

    within(spec)
    for block in spec.get("blocks", {}).values():
        within(block)


def _mentioned(value: Any) -> Iterator[str]:
    """Every word of every expression."""
    if isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _mentioned(item)
    elif isinstance(value, str) and "$" in value:
        yield from _WORD.findall(value)


def _dotted(frame: Frame, prefix: str = "") -> Iterator[str]:
    for head, scope in frame.scopes.items():
        for name in scope.names:
            yield f"{prefix}{head}.{name}"
        yield from _dotted(scope, f"{prefix}{head}.")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def random_data(seed: int) -> Spec:
    """A valid spec as plain data."""
    return _Generator(seed).make()


def random_spec(seed: int) -> str:
    """A valid spec as YAML text, the same for the same seed."""
    return written(random_data(seed), seed)


def written(data: Spec, seed: int) -> str:
    """A spec as YAML text, in one of several styles."""
    random = Random(-seed)
    style = random.choice([None, False, True])
    width = random.choice([60, 100])
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=style, width=width)
    return text.replace("\n", "\r\n") if random.random() < 0.05 else text


# Breaking it.

_JUNK = (
    "\t",
    "\0",
    "\x1b[31m",
    "\ufeff",
    "é",
    "𝟛",
    "\u202e",
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "#",
    "&a ",
    "*a",
    "!!x ",
    "<<: ",
)
_VALUES = (
    "null",
    "-1",
    "0",
    "1.5",
    "1e400",
    ".nan",
    "9" * 30,
    "true",
    "yes",
    "[]",
    "{}",
    "''",
    "a b",
    "${",
    "$x",
    "${1/0}",
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


def mutate(text: str, random: Random) -> str:
    """The text with one to three things broken, if it can be."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        text = random.choice(_MUTATIONS)(text, random) or "x"
    return text


def _swap_letters(text: str, random: Random) -> str:
    return _replace(
        _WORD, text, random, lambda word: word[:1] + word[2:3] + word[1:2] + word[3:] if len(word) > 2 else word
    )


def _drop_letter(text: str, random: Random) -> str:
    return _replace(_WORD, text, random, lambda word: word[:-1])


def _other_word(text: str, random: Random) -> str:
    words = _WORD.findall(text) or ["x"]
    return _replace(
        _WORD, text, random, lambda word: random.choice([*words, *OPS, "from", "repeat", "when", "let", "inline"])
    )


def _other_number(text: str, random: Random) -> str:
    return _replace(_NUMBER, text, random, lambda number: str(random.choice([0, -1, 7, 10**7, 2**63, int(number) + 1])))


def _other_value(text: str, random: Random) -> str:
    return _replace(re.compile(r"(?<=: )[^\n,}\]]+"), text, random, lambda value: random.choice(_VALUES))


def _replace(pattern: re.Pattern[str], text: str, random: Random, change: Any) -> str:
    places = list(pattern.finditer(text))
    if not places:
        return text
    place = random.choice(places)
    return text[: place.start()] + change(place.group()) + text[place.end() :]


def _drop_line(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    del lines[random.randrange(len(lines)) : random.randrange(len(lines)) + random.choice([0, 1, 1, 1])]
    return "".join(lines)


def _swap_lines(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    a, b = random.randrange(len(lines)), random.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines)


def _repeat_line(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    at = random.randrange(len(lines))
    return "".join([*lines[: at + 1], *lines[at:]])


def _indent(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    at = random.randrange(len(lines))
    line = lines[at]
    lines[at] = random.choice([f" {line}", f"  {line}", f"\t{line}", line[1:], line.lstrip()])
    return "".join(lines)


def _insert(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice([*_JUNK, chr(random.randrange(0xD800)), chr(random.randrange(128))]) + text[at:]


def _delete(text: str, random: Random) -> str:
    at = random.randrange(len(text))
    return text[:at] + text[at + random.choice([1, 1, 2, 20]) :]


def _cut(text: str, random: Random) -> str:
    return text[: random.randrange(len(text))] or "x"


def _new_key(text: str, random: Random) -> str:
    key, value = random.choice(["extends", "include", "outputs", "name", "colour", "layers"]), random.choice(_VALUES)
    return f"{text}{key}: {value}\n"


_MUTATIONS = (
    _swap_letters,
    _drop_letter,
    _other_word,
    _other_word,
    _other_number,
    _other_number,
    _other_value,
    _other_value,
    _drop_line,
    _swap_lines,
    _repeat_line,
    _indent,
    _insert,
    _delete,
    _cut,
    _new_key,
)
