"""A network's blocks and steps as the text of a spec, with the names that its readers need and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from archspec.importing.blocks import Block, Structure, op_defaults
from archspec.importing.tree import Input, Made, Read, Step, walk
from archspec.importing.values import ABSENT, VARYING, Code, same, text
from archspec.names import step_name_fault, value_name_fault
from archspec.ops import OPS
from archspec.program.steps import RESERVED
from archspec.report.yaml_text import WIDTH, entry, flow


@dataclass(eq=False)
class _Names:
    """The steps of one body with their names, and how its input is called."""

    inputs: list[str]
    of: dict[Step, str] = field(default_factory=dict)
    written: set[Step] = field(default_factory=set)
    parent: _Names | None = None
    scope: Step | None = None


def write(structure: Structure, params: Mapping[str, Any]) -> str:
    """Return the text of a spec.

    Args:
        structure: Blocks and steps, in which expressions mention `params`.
        params: The params of the network.
    """
    return _Writer(structure, params).text()


class _Writer:
    def __init__(self, structure: Structure, params: Mapping[str, Any]) -> None:
        self.structure = structure
        self.params = params
        self.names: dict[int, _Names] = {}  # by the id of a body, which stays as it is
        self.referred = self._referred()
        inputs = [*structure.tree.program.inputs]
        self._name_all(structure.body, ["input"] if len(inputs) == 1 else inputs, None, None)
        for block in structure.blocks.values():
            self._name_all(block.body, block_inputs(block), None, None)

    def text(self) -> str:
        program = self.structure.tree.program
        lines = [f"name: {program.name}"]
        lines += entry("reference", program.reference) if program.reference else []
        shapes = {name: list(value.shape) for name, value in program.inputs.items()}
        lines += entry("input", next(iter(shapes.values())) if len(shapes) == 1 else shapes)
        if self.params:
            lines += (
                entry("params", dict(self.params)) if len(self.params) > 1 else [f"params: {flow(dict(self.params))}"]
            )
        bodies = [self.structure.body, *(block.body for block in self.structure.blocks.values())]
        self.defaults = common_arguments(bodies)
        if self.defaults:
            lines += [*_block_of("defaults", self.defaults)]
        if self.structure.blocks:
            lines.append("blocks:")
            for block in self.structure.blocks.values():
                lines += [f"  {line}" for line in self._block(block)]
        if self.structure.tree.register:
            lines.append(f"register: {flow(list(self.structure.tree.register))}")
        lines.append("layers:")
        lines += [f"  {line}" for line in self._steps(self.structure.body)]
        lines += self._outputs()
        return "\n".join(part for line in lines for part in wrapped(line)) + "\n"

    # Names.

    def _referred(self) -> set[Step]:
        """Return the steps that a reader names: it does not stand right behind, or reads something inside."""
        found: set[Step] = set()
        for body in self._bodies():
            for steps in _all_bodies(body):
                for at, step in enumerate(steps):
                    implicit = _reads_before(steps, at)
                    for number, read in enumerate(step.reads):
                        short = number == 0 and _takes_short_form(step) and read == _before(steps, at)
                        if isinstance(read, Made) and not implicit and not short:
                            found.update(read.steps)
                    for read in step.named.values():
                        if isinstance(read, Made):
                            found.update(read.steps)
                for step in steps:
                    if step.body is not None:
                        # What it reads beside its input, its steps name themselves.
                        for read in step.reads[1:]:
                            if isinstance(read, Made):
                                found.update(read.steps)
        for read in self.structure.outputs.values():
            if isinstance(read, Made):
                found.update(read.steps)
        return found

    def _bodies(self) -> Iterator[list[Step]]:
        yield self.structure.body
        for block in self.structure.blocks.values():
            yield block.body

    def _name_all(self, body: list[Step], inputs: list[str], parent: _Names | None, scope: Step | None) -> None:
        names = _Names(inputs, parent=parent, scope=scope)
        self.names[id(body)] = names
        positional = scope is not None
        taken = {step.name for step in body if step.fixed and not step.position and step.name} | {*inputs}
        position: int | None = 0
        counts: dict[str, int] = {}
        for step in body:
            one = step.fixed and not step.position and "${" not in step.name  # copies under one name are one step
            copies = 1 if one or step.repeat is None else step.repeat if isinstance(step.repeat, int) else None
            auto: str | None
            if positional:
                auto = str(position) if position is not None else None
                position = position + copies if position is not None and copies is not None else None
                if step.when is not None:
                    position = None if step.fixed and not step.position else position
            elif isinstance(step.op, Code):
                auto = None
            else:
                auto = _next_name(str(step.op), {*inputs, *names.of.values()}, counts)
            own_name = step.fixed and not step.position
            if auto in taken and not own_name and (not positional or auto != step.name):
                op = "" if positional else str(step.op)
                names.of[step] = _free_name(_wish(step) or str(step.op), taken | {*names.of.values()}, op)
                taken.add(names.of[step])
                names.written.add(step)
            elif step.fixed and not step.position:
                names.of[step] = step.name
                left_out = step.when is not None and step in self.referred  # which is read by a name of its own
                if step.name != auto or step.repeat is not None or left_out:
                    names.written.add(step)
            elif step.position and (step.fixed or step not in self.referred):
                names.of[step] = auto or step.name
                if step.when is not None and step in self.referred:
                    names.written.add(step)
            elif step in self.referred:
                wish = _wish(step)
                plain = auto is not None and not positional and _is_counted(body, step, taken)
                if plain and (not wish or wish == step.op):
                    names.of[step] = str(auto)
                else:
                    name = _free_name(wish or "value", taken | {*names.of.values()}, str(step.op))
                    taken.add(name)
                    names.of[step] = name
                    names.written.add(step)
            else:
                names.of[step] = auto or ""
            if not positional and auto is not None and step not in names.written:
                counts[str(step.op)] = 1 if auto == step.op else int(auto.rpartition("_")[2])
            if step.body is not None:
                self._name_all(step.body, ["input"], names, step)

    # Reads.

    def _reference(self, read: Read, names: _Names) -> Any:
        if isinstance(read, (int, float, Code)):
            return text(read)
        if isinstance(read, Input):
            if names.scope is None:
                return names.inputs[read.index]
            if read.index == 0:
                return "input"
            assert names.parent is not None
            outer = self._reference(names.scope.reads[read.index], names.parent)
            first = str(outer).split(".")[0]
            hidden = outer == "input" or str(outer).startswith("../") or first in names.of.values()
            return f"../{outer}" if hidden else outer
        words = []
        here = names
        for step in read.steps:
            word = here.of[step]
            if "${" in word:
                word = _last_copy(word, step.repeat)
            words.append(word)
            inner = step.body if step.body is not None else self._template(step)
            if inner is not None:
                here = self.names[id(inner)]
        if read.result is not None:
            words.append(str(read.result))
        return ".".join(words)

    def _template(self, step: Step) -> list[Step] | None:
        block = self.structure.blocks.get(str(step.op))
        return block.body if block is not None else None

    # Steps.

    def _steps(self, body: list[Step]) -> list[str]:
        lines: list[str] = []
        at = 0
        while at < len(body):
            run = self._under_one_condition(body, at)
            if len(run) > 1:
                lines += self._inline(run, body)
            else:
                lines += self._step_lines(self._data(body, at))
            at += len(run)
        return lines

    def _under_one_condition(self, body: Sequence[Step], at: int) -> list[Step]:
        """Return the steps from a place on that may be one `inline`: under one condition, and none of them named."""
        step = body[at]
        run = [step]
        before = _before(body, at)
        if isinstance(before, Made) and before.steps[0].op == "split":
            return run
        if step.when is None or step.repeat is not None or step in self.referred:
            return run
        for other in body[at + 1 :]:
            if other.repeat is not None or other in self.referred or not same(other.when, step.when):
                break
            run.append(other)
        return run

    def _inline(self, run: list[Step], body: list[Step]) -> list[str]:
        inner = []
        for step in run:
            when, step.when = step.when, None
            inner.append(self._data(body, body.index(step)))
            step.when = when
        return self._step_lines({"inline": {"when": text(run[0].when), "layers": inner}})

    def _data(self, body: list[Step], at: int) -> Any:
        """Return a step as YAML has it."""
        step = body[at]
        names = self.names[id(body)]
        op = text(step.op) if isinstance(step.op, Code) else step.op
        given: dict[str, Any] = {}
        if step in names.written and names.of[step]:
            given["name"] = names.of[step]
        if step.repeat is not None:
            given["repeat"] = text(step.repeat)
        given.update(self._from(body, at, names))
        if step.when is not None:
            given["when"] = text(step.when)
        given.update(self._arguments(step))
        for name, read in step.named.items():
            given[name] = self._reference(read, names)
        if step.op == "use":
            given = {"step": given.pop("step"), **given}
        if step.body is not None:
            if step.register:
                given["register"] = list(step.register)
            given["layers"] = _Layers(step.body)
        if not given:
            return op
        first = self._first_argument(step)
        if len(given) == 1 and first in given and not isinstance(given[first], dict):
            return {op: given[first]}
        return {op: given}

    def _first_argument(self, step: Step) -> str:
        if step.body is not None:
            return "layers"
        block = self.structure.blocks.get(str(step.op))
        if block is not None:
            return block.params[0].name if block.params else ""
        if step.op == "use":
            return "step"
        found = OPS[step.op].fields if step.op in OPS else {}
        if step.op in OPS and OPS[step.op].reads_several():
            return "from"
        return next((name for name, field in found.items() if not field.internal), "")

    def _arguments(self, step: Step) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if step.op == "use":
            return found
        block = self.structure.blocks.get(str(step.op))
        if block is not None:
            order = [param.name for param in block.params]
            given = {name: step.arguments[name] for name in order if name in step.arguments}
            return {name: text(value) for name, value in given.items() if value is not ABSENT}
        defaults = self.defaults.get(str(step.op), {})
        own = op_defaults(str(step.op))
        order = [*OPS[step.op].fields] if step.op in OPS else [*step.arguments]
        for name in order:
            if name in step.arguments:
                value = step.arguments[name]
                if name in defaults and same(defaults[name], value):
                    continue
                if name not in defaults and name in own and same(own[name], value):
                    continue
                found[name] = text(value)
            elif name in defaults:
                found[name] = own[name]
        return found

    def _from(self, body: list[Step], at: int, names: _Names) -> dict[str, Any]:
        step = body[at]
        if step.op_is_free:
            return {}
        if not step.reads:
            before = _before(body, at)
            # A scope of free tensors reads nothing, but what would stand before it must be one value.
            after_split = isinstance(before, Made) and before.steps[0].op == "split"
            return {"from": names.inputs[0]} if after_split else {}
        reads = step.reads[:1] if step.body is not None else step.reads
        if _reads_before(body, at):
            return {}
        references = [self._reference(read, names) for read in reads]
        if _takes_short_form(step) and len(reads) == 2 and reads[0] == _before(body, at):
            return {"from": references[1]}
        return {"from": references if len(references) > 1 or _is_merge(step) else references[0]}

    # Lines.

    def _block(self, block: Block) -> list[str]:
        lines = [f"{block.name}:"]
        if block.params:
            params = {param.name: None if param.default is ABSENT else text(param.default) for param in block.params}
            lines.append(f"  params: {flow(params)}")
        if block.inputs > 1:
            lines.append(f"  inputs: {flow(block_inputs(block))}")
        if block.register:
            lines.append(f"  register: {flow(list(block.register))}")
        lines.append("  layers:")
        lines += [f"    {line}" for line in self._steps(block.body)]
        return lines

    def _step_lines(self, data: Any, width: int = WIDTH - 8) -> list[str]:
        one = self._flow_step(data)
        if one is not None and len(one) <= width:
            return [f"- {one}"]
        if isinstance(data, str):
            return [f"- {data}"]
        ((op, given),) = data.items()
        layers = given if isinstance(given, _Layers) else given.get("layers") if isinstance(given, dict) else None
        if layers is None:
            return [f"- {_flow(data)}"]
        head = {} if isinstance(given, _Layers) else {key: value for key, value in given.items() if key != "layers"}
        inner = (
            self._steps(layers.body)
            if isinstance(layers, _Layers)
            else [line for each in layers for line in self._step_lines(each, width - 4)]
        )
        if not head:
            return [f"- {flow(op)}:", *(f"    {line}" for line in inner)]
        lines = [f"- {flow(op)}:"]
        for key, value in head.items():
            lines.append(f"    {key}: {flow(value)}")
        return [*lines, "    layers:", *(f"      {line}" for line in inner)]

    def _flow_step(self, data: Any) -> str | None:
        """Return a step on one line; None if it holds more steps than a line should."""
        if isinstance(data, str):
            return flow(data)
        ((op, given),) = data.items()
        if isinstance(given, _Layers):
            inner = self._flow_layers(given)
            return None if inner is None else f"{flow(op)}: {inner}"
        if isinstance(given, dict):
            parts = []
            for key, value in given.items():
                if key == "layers":
                    shown = self._flow_layers(value)
                    if shown is None:
                        return None
                else:
                    shown = flow(value)
                parts.append(f"{key}: {shown}")
            return f"{flow(op)}: {{{', '.join(parts)}}}"
        return f"{flow(op)}: {flow(given)}"

    def _flow_layers(self, layers: Any) -> str | None:
        if isinstance(layers, _Layers):
            if len(layers.body) > MAX_IN_LINE or any(step.body is not None for step in layers.body):
                return None
            if any(len(self._under_one_condition(layers.body, at)) > 1 for at in range(len(layers.body))):
                return None
            data = [self._data(layers.body, at) for at in range(len(layers.body))]
        else:
            data = layers
            if len(data) > MAX_IN_LINE:
                return None
        shown = [self._flow_step(each) for each in data]
        return None if any(each is None for each in shown) else f"[{', '.join(map(str, shown))}]"

    def _outputs(self) -> list[str]:
        outputs = self.structure.outputs
        names = self.names[id(self.structure.body)]
        last = self.structure.body[-1]
        if len(outputs) == 1:
            read = next(iter(outputs.values()))
            if read == Made((last,)):
                return []
            return [f"outputs: {flow(self._reference(read, names))}"]
        shown: dict[str, Any] = {}
        for name, read in outputs.items():
            where = self._reference(read, names)
            training = name in self.structure.tree.program.training_only
            shown[name] = {"from": where, "when": "training"} if training else where
        return [f"outputs: {flow(shown)}"] if len(flow(shown)) < WIDTH - 9 else entry("outputs", shown)


def wrapped(line: str, width: int = WIDTH) -> list[str]:
    """Return a line in flow style as lines that are not too long, broken behind commas where that is possible."""
    indent = len(line) - len(line.lstrip())
    found = []
    while len(line) > width:
        quoted, cut = False, 0
        for at, letter in enumerate(line[: width + 1]):
            if letter == '"':
                quoted = not quoted
            elif letter == " " and not quoted and line[at - 1] == ",":
                cut = at
        if cut <= indent + 6:
            break
        found.append(line[:cut])
        line = " " * (indent + 6) + line[cut + 1 :]
    return [*found, line]


MAX_IN_LINE = 6
"""The most steps that a scope written on one line has."""


@dataclass(eq=False)
class _Layers:
    body: list[Step]


def _flow(data: Any) -> str:
    if isinstance(data, str):
        return flow(data)
    ((op, given),) = data.items()
    return f"{flow(op)}: {flow(given)}"


def _block_of(key: str, value: Mapping[str, Any]) -> list[str]:
    one = f"{key}: {flow(dict(value))}"
    if len(value) == 1 and len(one) <= WIDTH:
        return [one]
    return [f"{key}:", *(f"  {name}: {flow(item)}" for name, item in value.items())]


def _last_copy(name: str, count: Any) -> str:
    """Return the name of the last copy of a step whose name mentions `index`."""
    before, _, rest = name.partition("${")
    inside, _, after = rest.partition("}")
    start = int(inside.partition("+")[2] or 0)
    if isinstance(count, int):
        return f"{before}{count - 1 + start}{after}"
    number = str(count) if start == 1 else f"{count} + {start - 1}" if start else f"{count} - 1"
    return f"{before}${{{number}}}{after}"


def block_inputs(block: Block) -> list[str]:
    """Return what the inputs of a block are called."""
    return ["input"] if block.inputs <= 1 else [f"x{number}" for number in range(1, block.inputs + 1)]


def _wish(step: Step) -> str:
    """Return what a step may be called: as in the source, else like its op; empty if neither will do."""
    name = step.name.rpartition(".")[2]
    if (value_name_fault(name, RESERVED) or step_name_fault(name)) is None:
        return name
    return "" if step.body is not None or isinstance(step.op, Code) else str(step.op)


def _next_name(op: str, taken: set[str], counts: Mapping[str, int]) -> str:
    """Return the name that a step without one gets: its op, from the second on with a number."""
    names = (op if number == 1 else f"{op}_{number}" for number in count(counts.get(op, 0) + 1))
    return next(name for name in names if name not in taken)


def _is_counted(body: Sequence[Step], step: Step, taken: set[str]) -> bool:
    """Return whether the name that a step gets by itself is sure: no condition and no other name changes it."""
    for other in body[: body.index(step) + 1]:
        if other.op == step.op and (
            other.when is not None or not (other.repeat is None or isinstance(other.repeat, int))
        ):
            return False
    return not any(name == step.op or name.startswith(f"{step.op}_") for name in taken)


def _free_name(name: str, taken: set[str], op: str) -> str:
    """Return a name that is not taken, and that no step gets by itself."""
    found, letter = name, "b"
    if name == op:
        found = f"{name}_a"
    while found in taken:
        found, letter = f"{name}_{letter}", chr(ord(letter) + 1)
    return found


def _all_bodies(body: list[Step]) -> Iterator[list[Step]]:
    yield body
    for step in body:
        if step.body is not None:
            yield from _all_bodies(step.body)


def _before(body: Sequence[Step], at: int) -> Read:
    """Return what a step reads that does not say."""
    for step in reversed(body[:at]):
        if not step.op_is_free:
            return Made((step,))
    return Input(0)


def _reads_before(body: Sequence[Step], at: int) -> bool:
    """Return whether a step reads what it would read without `from`."""
    step = body[at]
    before = _before(body, at)
    reads = step.reads[:1] if step.body is not None else step.reads
    if _is_merge(step):
        return False
    if isinstance(before, Made) and before.steps[0].op == "split":
        return len(reads) > 1 and reads == [Made(before.steps, number) for number in range(len(reads))]
    return reads == [before] or not reads


def _is_merge(step: Step) -> bool:
    return step.op in OPS and OPS[step.op].arity is None


def _takes_short_form(step: Step) -> bool:
    return _is_merge(step) and step.op != "concat" and len(step.reads) == 2


def common_arguments(bodies: Sequence[list[Step]]) -> dict[str, dict[str, Any]]:
    """Return arguments that most steps of an op share, and that the op does not have by itself."""
    steps: dict[str, list[Step]] = {}
    for body in bodies:
        for step in walk(body):
            if step.op in OPS:
                steps.setdefault(step.op, []).append(step)
    found: dict[str, dict[str, Any]] = {}
    for op, uses in sorted(steps.items()):
        own = op_defaults(op)
        for name in dict.fromkeys(name for step in uses for name in step.arguments if name in own):
            values = [step.arguments.get(name, own[name]) for step in uses]
            for value in values:
                if isinstance(value, (Code, list, *VARYING)) or same(value, own[name]):
                    continue
                alike = sum(same(value, other) for other in values)
                default = sum(same(own[name], other) for other in values)
                if alike >= 2 and alike > default + 1:
                    found.setdefault(op, {})[name] = value
                    break
    return found
