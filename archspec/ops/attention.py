"""Attention: tokens that read one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from archspec.ops.base import Call, Op
from archspec.ops.fields import Bool, Float, Int, Operand, arg
from archspec.ops.initial import UNIFORM_BY_FAN
from archspec.shapes import Shape, elements, shape_text

HEADS_WORDS = ("num_heads", "n_heads", "nhead", "n_head", "head", "num_attention_heads", "nheads", "number_of_heads")
DROPOUT_WORDS = ("dropout_p", "attn_drop", "attention_dropout", "drop", "p", "attn_dropout", "dropout_rate", "rate")
_TO_TOKENS = "attention reads tokens, `[tokens, features]`: put `- to_tokens` before it"


class Attention(Op):
    """Scaled dot-product attention of queries to keys and values, in heads (torch.nn.functional's).

    Each is `[tokens, features]`, with axes before these where there are windows. The features are split into heads,
    and the heads joined behind it. Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762
    """

    op = "attention"
    torch = "F.scaled_dot_product_attention"
    also_called = (
        *("attn", "scaled_dot_product_attention", "sdpa", "dot_product_attention", "flash_attention", "qkv_attention"),
        *("multi_query_attention", "attend"),
    )
    arity = 3
    operand_names = ("q", "k", "v")
    commutative = False
    wants = gives = "tokens"
    ranks = (1, 2, 3, 4)
    color = "#ead1dc"
    example = "[q, k, v]"
    foreign_arguments = dict.fromkeys(
        ("embed_dim", "dim", "d_model", "num_features"), "leave `{word}` out: what it reads is known"
    ) | dict.fromkeys(
        ("mask", "attn_mask"), "a mask is a `bias` of large negative numbers; `causal: true` has one ready"
    )
    work_doc = "MACs; FLOPs are twice those, and 6 per pair of tokens and head for scaling and softmax, 7 with a bias"

    heads: int = arg(Int(1), "into how many parts the features are split", 1, also_called=HEADS_WORDS)
    causal: bool = arg(
        Bool(),
        "whether a token reads itself and those before it only",
        False,
        also_called=("is_causal", "autoregressive", "masked", "causal_mask"),
    )
    scale: float | None = arg(
        Float(),
        "factor of the products; by default 1 / sqrt(features of a head)",
        None,
        also_called=("qk_scale", "softmax_scale", "scaling", "temperature"),
    )
    dropout: float = arg(
        Float(0, 1), "probability that a weight is dropped while training", 0.0, also_called=DROPOUT_WORDS, free=True
    )
    bias: str | None = arg(
        Operand(),
        "the step whose value is added to the products before the softmax: `[heads, queries, keys]`",
        None,
        also_called=("attn_bias", "position_bias", "relative_position_bias", "rel_pos_bias", "bias_from"),
    )

    def infer(self) -> Shape:
        query, key, value = self.inputs[:3]
        names = ("queries", "keys", "values")
        for n, shape in ((1, key), (2, value)):
            if shape[:-2] != query[:-2] or len(shape) != len(query):
                message = f"{names[0]} and {names[n]} differ in the axes before the tokens"
                raise self.error("shape", f"{message}: {self.operand(0)} and {self.operand(n)}")
        if key[-1] != query[-1]:
            message = (
                f"expected as many features in the keys as in the queries: {self.operand(0)} and {self.operand(1)}"
            )
            raise self.error("shape", message, help="give both the same `units` in their `linear`")
        if value[-2] != key[-2]:
            message = f"expected a value for each key: {self.operand(1)} and {self.operand(2)}"
            raise self.error("shape", message, help="keys and values come from the same tokens")
        for n, shape in enumerate((query, key, value)):
            check_heads(self, self.heads, shape[-1], names[n] if shape[-1] != query[-1] else "", shape)
        self._check_bias()
        return (*query[:-1], value[-1])

    def _check_bias(self) -> None:
        if self.bias is None:
            if len(self.inputs) > 3:
                raise self.error("argument", f"expected three inputs (q, k, v), got {len(self.inputs)}", "from")
            return
        if len(self.inputs) < 4:
            raise self.error("argument", "bias: expected a fourth input, got none", "bias")
        self.bias = "3"
        if self.causal:
            help = "add the mask to the bias, or leave `causal` out"
            raise self.error("argument", "bias: not allowed with `causal`", "bias", help)
        bias, whole = self.inputs[3], self._scores()
        if len(bias) != len(whole) or any(size not in (1, full) for size, full in zip(bias, whole, strict=True)):
            message = f"bias: expected {shape_text(whole)} or axes of 1, got {self.operand(3)}"
            raise self.error("shape", message, "bias", f"`- reshape: {list(whole)}` gives a value of as many numbers")

    def _scores(self) -> Shape:
        """Return the shape of the products: one for each query and key, in each head."""
        query, key = self.inputs[:2]
        heads = (self.heads,) if self.heads > 1 else ()
        return (*query[:-2], *heads, query[-2], key[-2])

    def macs(self) -> int:
        query, key, value = self.inputs[:3]
        pairs = elements(query[:-1]) * key[-2]
        return pairs * query[-1] + pairs * value[-1]

    def flops(self) -> int:
        return 2 * self.macs() + (6 if self.bias is None else 7) * elements(self._scores())

    def calls(self) -> tuple[Call, ...]:
        if self.heads == 1 and not self.dropout:
            arguments: dict[str, object] = {}
            if self.causal:
                arguments["is_causal"] = True
            if self.scale is not None:
                arguments["scale"] = self.scale
            return (Call(self.torch_name, arguments),)
        arguments = {"heads": self.heads, "causal": self.causal, "scale": self.scale, "dropout": self.dropout}
        return (Call("Attention", arguments),)

    def summary(self) -> str:
        words = [f"{self.heads} head{'s' if self.heads > 1 else ''}", "causal" if self.causal else ""]
        return ", ".join(filter(None, [*words, "bias" if self.bias is not None else ""]))


class MultiHeadAttention(Op):
    """Attention with learned maps before and behind it (torch.nn.MultiheadAttention, batch first).

    It reads tokens, or `[queries, context]`, or `[queries, keys, values]`.
    Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762
    """

    op = "multi_head_attention"
    torch = "nn.MultiheadAttention"
    also_called = (
        *("mha", "multihead_attention", "multiheadattention", "multihead", "self_attention", "selfattention", "mhsa"),
        *("multi_head_self_attention", "cross_attention", "crossattention", "multi_headed_attention", "msa"),
    )
    counts = (1, 2, 3)
    operand_names = ("query", "key", "value")
    submodules: ClassVar[Mapping[str, str]] = {"out_proj": "nn.Linear"}
    initial: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"), "xavier_uniform"),
        "in_proj_bias": "zeros",
        "out_proj.weight": UNIFORM_BY_FAN["weight"],
        "out_proj.bias": "zeros",
    }
    commutative = False
    wants = gives = "tokens"
    ranks = (1,)
    in_chain = False
    weighted = True
    color = "#ead1dc"
    example = "2"
    foreign_arguments = dict.fromkeys(
        ("embed_dim", "dim", "d_model", "kdim", "vdim", "num_features", "batch_first"),
        "leave `{word}` out: what it reads is known",
    ) | dict.fromkeys(
        ("causal", "is_causal", "mask", "attn_mask"), "`attention` has `causal`: `linear` to q, k and v before it"
    )
    work_doc = "MACs; FLOPs are twice those, and 6 per pair of tokens and head for scaling and softmax"

    heads: int = arg(Int(1), "into how many parts the features are split", also_called=HEADS_WORDS)
    bias: bool = arg(
        Bool(),
        "whether a learned constant is added in each map",
        True,
        also_called=("use_bias", "qkv_bias", "with_bias", "has_bias"),
    )
    dropout: float = arg(
        Float(0, 1), "probability that a weight is dropped while training", 0.0, also_called=DROPOUT_WORDS, free=True
    )

    def _operands(self) -> tuple[Shape, Shape, Shape]:
        return self.inputs[0], self.inputs[min(1, len(self.inputs) - 1)], self.inputs[-1]

    def _check_inputs(self, operands: int) -> None:
        if self.rank in (2, 3) and len(self.inputs) in self.counts:
            raise self.error(
                "shape", f"expected tokens, `[tokens, features]`, got {shape_text(self.input)}", help=_TO_TOKENS
            )
        super()._check_inputs(operands)

    def infer(self) -> Shape:
        query, key, value = self._operands()
        for n, shape in enumerate(self.inputs):
            if len(shape) != 2:
                raise self.error(
                    "shape", f"expected tokens, `[tokens, features]`, got {self.operand(n)}", help=_TO_TOKENS
                )
        if key[0] != value[0]:
            message = f"expected a value for each key: {self.operand(1)} and {self.operand(2)}"
            raise self.error("shape", message, help="keys and values come from the same tokens")
        check_heads(self, self.heads, query[-1], "", query)
        return query

    @property
    def _is_packed(self) -> bool:
        """Whether torch keeps the maps of queries, keys and values in one weight."""
        query, key, value = self._operands()
        return query[-1] == key[-1] == value[-1]

    def weights(self) -> dict[str, Shape]:
        query, key, value = (shape[-1] for shape in self._operands())
        found: dict[str, Shape] = {}
        if self._is_packed:
            found["in_proj_weight"] = (3 * query, query)
        else:
            found = {"q_proj_weight": (query, query), "k_proj_weight": (query, key), "v_proj_weight": (query, value)}
        if self.bias:
            found["in_proj_bias"] = (3 * query,)
        found["out_proj.weight"] = (query, query)
        return {**found, "out_proj.bias": (query,)} if self.bias else found

    def macs(self) -> int:
        (queries, features), (keys, of_key), (_, of_value) = self._operands()
        maps = queries * features + keys * of_key + keys * of_value + queries * features
        return features * maps + 2 * queries * keys * features

    def flops(self) -> int:
        query, key, _ = self._operands()
        return 2 * self.macs() + 6 * self.heads * query[0] * key[0]

    def calls(self) -> tuple[Call, ...]:
        query, key, value = (shape[-1] for shape in self._operands())
        arguments = {"embed_dim": query, "num_heads": self.heads, "dropout": self.dropout, "bias": self.bias}
        if not self._is_packed:
            arguments |= {"kdim": key, "vdim": value}
        last = len(self.inputs) - 1
        reads = (0, min(1, last), last)
        arguments["batch_first"] = True
        return (Call(self.torch_name, arguments, reads=reads, options={"need_weights": False}, item=0),)

    def summary(self) -> str:
        return f"{self.heads} head{'s' if self.heads > 1 else ''}"


def check_heads(op: Op, heads: int, features: int, what: str, shape: Shape) -> None:
    """Check that heads divide features. Raises: Complaint if they do not."""
    if features % heads == 0:
        return
    whose = f" of the {what}" if what else ""
    near = [count for count in range(1, features + 1) if features % count == 0]
    best = sorted(near, key=lambda count: (abs(count - heads), -count))[:2]
    help = f"{' or '.join(map(str, sorted(best)))} would do"
    if len(shape) > 2 and shape[0] % heads == 0:
        help = _TO_TOKENS
    raise op.error("shape", f"heads: expected a divisor of the {features} features{whose}, got {heads}", "heads", help)


OPS = (Attention, MultiHeadAttention)
