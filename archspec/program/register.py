"""The names under `register:`: steps of a scope whose modules come first, in another order than they run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from archspec.errors import Complaint, did_you_mean
from archspec.program.compilation import Compilation
from archspec.program.steps import ScopeStep, Step
from archspec.syntax import Yaml, YamlList, YamlScalar


def registered_names(compilation: Compilation, yaml: Yaml | None, steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the names that stand under the `register:` of a scope with these steps, and report wrong ones.

    A name must be that of a step as it is written: what an expression makes stands in a scope of its own, or a list.
    """
    if not isinstance(yaml, YamlList) or yaml in compilation.document.broken:
        return ()
    known = dict.fromkeys(_names(steps))
    found: list[str] = []
    for item in yaml.items:
        name = item.value if isinstance(item, YamlScalar) else None
        if not isinstance(name, str):
            continue  # which the schema has said
        if name in found:
            compilation.findings.add(Complaint("name", f"register: `{name}` stands here twice", span=item.span))
        elif name not in known and not any(step.broken for step in steps):
            help = partial(did_you_mean, name, known)
            message = f"register: no step here is called `{name}`"
            compilation.findings.add(Complaint("reference", message, help, span=item.span))
        else:
            found.append(name)
    return tuple(found)


def _names(steps: Sequence[Step]) -> Iterable[str]:
    """Yield the names of steps that can be told without running them, and those of lists."""
    counts: dict[str, int] = {}
    for position, (step, repeats) in enumerate(_flat(steps)):
        written = step.name.yaml.plain() if step.name is not None else None
        if isinstance(written, str) and "." in written:
            yield written.partition(".")[0]
        elif repeats:
            continue
        elif step.fixed_name is not None:
            yield step.fixed_name
        elif step.name is None and step.repeat is None:
            counts[step.label] = number = counts.get(step.label, 0) + 1
            yield str(position)
            yield step.label if number == 1 else f"{step.label}_{number}"


def _flat(steps: Iterable[Step], *, repeats: bool = False) -> Iterable[tuple[Step, bool]]:
    """Yield steps, those of an `inline` in its place, each with whether it stands in one that repeats."""
    for step in steps:
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from _flat(step.steps, repeats=repeats or step.repeat is not None)
        else:
            yield step, repeats
