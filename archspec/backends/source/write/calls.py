"""The code of one step of `forward`: a call of a module or a function, an operator, a slice."""

from __future__ import annotations

import ast

from archspec.backends.source.plan.ir import CallPlan, ClassPlan, Leaf, Listing, Reuse, Statement, entry_of
from archspec.backends.source.trees import text
from archspec.backends.source.write import layout
from archspec.backends.source.write.chains import has_module, name_code, number_of
from archspec.backends.source.write.code import call_arguments, expression, is_function, slice_bounds
from archspec.backends.source.write.init_method import InitWriter
from archspec.backends.source.write.layout import Brackets, Doc, Named, Text
from archspec.backends.source.write.variables import Variables
from archspec.ops.torch_api import FUNCTIONS, IDENTITY, METHODS, numbers_of

_UNTYPED = ("F.max_pool", "F.adaptive_max_pool")
"""Functions that torch declares to return anything."""


class CallWriter:
    """Writes the calls of a class, each given the code of what it reads.

    `lists` has the modules that stand in lists, with their places.
    """

    def __init__(
        self, plan: ClassPlan, init: InitWriter, variables: Variables, lists: dict[Statement, tuple[Listing, int]]
    ) -> None:
        self.plan, self.init, self.variables, self.lists = plan, init, variables, lists
        self.attribute_of: dict[Statement, str] = {}

    def call(self, statement: Statement, docs: list[Doc]) -> tuple[Doc, bool]:
        """Return the code of a step that is given `docs`, and whether torch declares that it returns a tensor."""
        if isinstance(statement, Reuse) and isinstance(statement.target, Leaf) and not statement.path:
            return self.call(statement.target, docs)
        if isinstance(statement, Reuse) and statement.call is not None:
            return self._module_call(self.attribute(statement), statement.call, docs), False
        if not isinstance(statement, Leaf):
            return Brackets(f"{self.attribute(statement)}(", docs), False
        found, typed = docs, False
        if not statement.calls:
            return docs[0], True
        for call in statement.calls:
            is_any = call.target == "torch.permute" and call is not statement.calls[0] and not typed
            code, typed = self._one_call(statement, call, found)
            typed = typed and not is_any  # which torch declares for what it may be given by name
            found = [code]
        return found[0], typed

    @staticmethod
    def _module_call(attribute: str, call: CallPlan, docs: list[Doc]) -> Doc:
        """Return the code that calls a module of an op."""
        given = docs if call.given is None else [docs[place] for place in call.given]
        options = [Named(f"{name}=", Text(repr(value))) for name, value in call.options.items()]
        item = "" if call.item is None else f"[{call.item}]"
        return Brackets(f"{attribute}(", [*given, *options], f"){item}")

    def _one_call(self, leaf: Leaf, call: CallPlan, docs: list[Doc]) -> tuple[Doc, bool]:
        if call.is_operator:
            operands = list(docs)
            arguments = {key: self._argument(call, key, tree) for key, tree in call.arguments.items()}
            for place, tree in numbers_of(arguments):
                operands.insert(place, expression(tree))
            if call.target.startswith("["):
                return Text(f"{_indexed(operands[0])}{call.target[:-1]}{operands[1].flat()}]"), True
            return layout.Chain(call.target, [_operand(doc, call.target, n) for n, doc in enumerate(operands)]), False
        if leaf.op.methods and not call.makes_module and call.target not in ("torch.narrow", "torch.split"):
            arguments = {key: self._argument(call, key, tree) for key, tree in call.arguments.items()}
            method = f"{docs[0].flat()}.{call.target.removeprefix('torch.')}("
            sizes = arguments.get("shape")
            if isinstance(sizes, ast.Tuple):  # `x.reshape(-1, 4, 8)`
                return Brackets(method, [expression(size) for size in sizes.elts]), True
            return Brackets(method, call_arguments(call.target, arguments)), True
        if not call.makes_module:
            inputs: list[Doc] = [Brackets("[", docs, "]")] if call.listed else docs
            if call.target == "torch.narrow" and not call.listed:
                if isinstance(docs[0], Text):
                    return Text(self._slice(_indexed(docs[0]), call, leaf)), True
                if not slice_bounds(leaf, call):  # all of it
                    return docs[0], False
            if call.target in METHODS and isinstance(docs[0], Text) and docs[0].text.replace(".", "_").isidentifier():
                return Brackets(f"{docs[0].text}.{call.target[6:]}(", self._arguments(call)), True
            if call.target == "torch.neg" and isinstance(docs[0], Text) and docs[0].text.isidentifier():
                return Text(f"-{docs[0].text}"), self.variables.typed.get(docs[0].text, False)
            if call.size_of is not None:
                size = Named("size=", Text(f"{docs[call.size_of].flat()}.shape[2:]"))
                inputs = [*(docs[place] for place in call.given or ()), size]
            return Brackets(f"{call.target}(", [*inputs, *self._arguments(call)]), True
        if leaf in self.lists or self.plan.base == "ModuleList" or not is_function(leaf):
            return self._module_call(self.attribute(leaf), call, docs), False
        if call.target == IDENTITY:
            return docs[0], True
        function = FUNCTIONS[call.target]
        leading = [Text(repr(value)) for value in function.leading]
        typed = not function.name.startswith(_UNTYPED)
        return Brackets(f"{function.name}(", [*docs, *leading, *self._arguments(call)]), typed

    def _slice(self, value: str, call: CallPlan, leaf: Leaf) -> str:
        """Return `x[:, start:stop]`."""
        bounds = {key: self._argument(call, key, tree) for key, tree in slice_bounds(leaf, call).items()}
        wide = any(not isinstance(tree, ast.Name | ast.Constant) or "." in text(tree) for tree in bounds.values())
        start, stop = (text(bounds[key]) if key in bounds else "" for key in ("start", "stop"))
        inner = f"{start}{' : ' if wide else ':'}{stop}".strip()
        dim = ast.literal_eval(call.arguments["dim"])
        return f"{value}[{'..., ' if dim < 0 else ':, ' * dim}{inner}]"

    def _argument(self, call: CallPlan, key: str, tree: ast.expr) -> ast.expr:
        """Return an argument of a function as `forward` has it, in terms of attributes."""
        return self.init.kept_arguments.get((id(call), key)) or self.init.in_forward(tree)

    def _arguments(self, call: CallPlan) -> list[Doc]:
        """Return the arguments of a function."""
        arguments = {key: self._argument(call, key, tree) for key, tree in call.arguments.items()}
        return call_arguments(call.target, arguments, after_inputs=True)

    def attribute(self, statement: Statement) -> str:
        """Return the code for a module."""
        if isinstance(statement, Reuse):
            return f"{self.attribute(statement.target)}{statement.path}"
        if statement in self.attribute_of:
            return f"self.{self.attribute_of[statement]}"
        if statement in self.lists:
            listing, place = self.lists[statement]
            return f"{self.attribute(listing)}[{place}]"
        name_ = statement.name
        entry = entry_of(name_)
        if entry is not None:
            return f"self.{entry[0]}[{text(self.init.in_forward(entry[1]))}]"
        if self.plan.base == "ModuleList" and isinstance(name_, str):
            return f"self[{self._place(statement)}]"
        if isinstance(name_, str) and name_.isidentifier():
            return f"self.{name_}"
        return f"getattr(self, {name_code(name_ if isinstance(name_, str) else self.init.in_forward(name_))})"

    def _place(self, statement: Statement) -> int:
        place = 0
        for each in self.plan.statements:
            if has_module(each):
                place = number_of(each, place)
                if each is statement:
                    break
                place += 1
        return place

    @staticmethod
    def fitted(leaf: Leaf | Reuse, docs: list[Doc]) -> list[Doc]:
        """Return what a step reads, each with the batch that it needs."""
        found: list[Doc] = []
        batched = next((doc.flat() for doc, fit in zip(docs, leaf.fits, strict=True) if not fit), "")
        for doc, fit, slot in zip(docs, leaf.fits, leaf.reads, strict=True):
            if fit == "expand":
                axes = len(slot.shape) if slot.shape is not None else len(slot.sizes)
                found.append(Text(f"{doc.flat()}.expand({', '.join([f'{batched}.shape[0]', *['-1'] * axes])})"))
            else:
                found.append(Text(f"{_indexed(doc)}.{fit}(0)") if fit else doc)
        return found


def _indexed(doc: Doc) -> str:
    """Return what is indexed, in parentheses if it is a formula, which binds less."""
    code = doc.flat()
    return f"({code})" if isinstance(doc, layout.Chain) or code.startswith("-") else code


def _operand(doc: Doc, operator: str, place: int) -> Doc:
    """Return an operand, in parentheses if it is a formula that binds less, or as much and stands behind."""
    if not isinstance(doc, layout.Chain):
        return doc
    own, outer = (each in "+-" for each in (doc.operator, operator))
    plain = outer and not own or own == outer and place == 0
    return Text(doc.flat() if plain else f"({doc.flat()})")
