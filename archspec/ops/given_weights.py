"""Layers that have weights of their own, or are given them: by a parameter, or by what is computed from one."""

from __future__ import annotations

from archspec.ops.base import Op
from archspec.shapes import Lead, Shape


class TakesWeights(Op):
    """A layer that reads its input alone and owns its weights, or reads `[x, weight]` or `[x, weight, bias]`. Abstract.

    The weights that it is given are free tensors, of the shapes of its own.
    """

    counts = (1, 2, 3)
    operand_names = ("x", "weight", "bias")
    reads_parts = False
    commutative = False

    bias: bool

    def own_weights(self) -> dict[str, Shape]:
        """Return the shapes of its weights, by name: those that it has, or is to be given."""
        raise NotImplementedError

    @property
    def is_given_weights(self) -> bool:
        """Whether it reads its weights."""
        return len(self.inputs) > 1

    def check_given(self) -> None:
        """Check the weights that it reads. Raises: Complaint if one is not a free tensor, or has another shape."""
        if not self.is_given_weights:
            return
        expected = list(self.own_weights().values())
        for place, shape in enumerate(self.inputs[1:], start=1):
            name = self.operand_names[place]
            if not self.leads or self.leads[place] is Lead.BATCH:
                help = (
                    "merge what it is to read: `add`, `multiply` or `concat`; a weight that is given is a `parameter`, "
                    "a `buffer`, or computed from such"
                )
                raise self.error("shape", f"{name}: expected a free tensor, got {self.operand(place)}", "from", help)
            if place > len(expected):
                raise self.error("argument", "expected no third input, since `bias` is false", "from")
            if shape != expected[place - 1]:
                message = f"{name}: expected {list(expected[place - 1])}, got {self.operand(place)}"
                raise self.error("shape", message, "from")

    def fits(self, position: int) -> str:
        if not position or not self.is_given_weights:
            return super().fits(position)
        return "squeeze" if self.leads[position] is Lead.ONE else ""

    def weights(self) -> dict[str, Shape]:
        return {} if self.is_given_weights else self.own_weights()
