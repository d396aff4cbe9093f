"""The rules of the language, one small spec each: docs/language.md, "Reference"."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

import archspec
from archspec.graph import Graph
from archspec.shapes import shape_text


class Rule(NamedTuple):
    """A spec, and the layers that it makes: `path: op(what it reads) shape`, a line each."""

    title: str
    spec: str
    layers: str
    outputs: dict[str, str] | None = None


def rule(title: str, layers: str, expected: str, made: dict[str, str] | None = None, /, **keys: str) -> Rule:
    """A rule about a list of layers for an image; further keys of the document by name."""
    keys = {"input": "[3, 8, 8]", **keys}
    head = "".join(f"{key}: {text}\n" if "\n" not in text else f"{key}:\n{text}" for key, text in keys.items())
    return Rule(title, f"{head}layers:\n{dedent(layers)}", dedent(expected).strip(), made)


def described(graph: Graph) -> str:
    lines = (f"{node.path}: {node.op.op}({', '.join(node.inputs)}) {shape_text(node.shape)}" for node in graph.nodes)
    return "\n".join(lines)


NAMES = [
    rule(
        "unnamed steps take the op's name, then numbers",
        """
        - relu
        - conv: 4
        - relu
        - relu:
        """,
        """
        relu: relu(input) 3x8x8
        conv: conv(relu) 4x8x8
        relu_2: relu(conv) 4x8x8
        relu_3: relu(relu_2) 4x8x8
        """,
    ),
    rule(
        "named steps do not count, but their names are taken",
        """
        - relu: {name: relu_2}
        - relu: {name: a}
        - relu
        - relu
        - relu: {name: conv}
        - conv: 4
        """,
        """
        relu_2: relu(input) 3x8x8
        a: relu(relu_2) 3x8x8
        relu: relu(a) 3x8x8
        relu_3: relu(relu) 3x8x8
        conv: relu(relu_3) 3x8x8
        conv_2: conv(conv) 4x8x8
        """,
    ),
    rule(
        "unnamed steps of a sequential are called by their position, as in nn.Sequential",
        """
        - sequential:
            - conv: 4
            - relu
            - relu: {name: act}
            - relu
        - sequential: [relu]
        """,
        """
        sequential.0: conv(input) 4x8x8
        sequential.1: relu(sequential.0) 4x8x8
        sequential.act: relu(sequential.1) 4x8x8
        sequential.3: relu(sequential.act) 4x8x8
        sequential_2.0: relu(sequential.3) 4x8x8
        """,
    ),
    rule(
        "unnamed calls take the block's name; steps inside the op's",
        """
        - b
        - b
        """,
        """
        b.relu: relu(input) 3x8x8
        b.relu_2: relu(b.relu) 3x8x8
        b_2.relu: relu(b.relu_2) 3x8x8
        b_2.relu_2: relu(b_2.relu) 3x8x8
        """,
        blocks="{b: {layers: [relu, relu]}}",
    ),
    rule(
        "an unnamed step stays clear of the names of a block's inputs",
        "- b: {from: [input, input]}",
        """
        b.relu_2: relu(input) 3x8x8
        b.add: add(b.relu_2, input) 3x8x8
        """,
        blocks="{b: {inputs: [relu, x], layers: [relu, add: relu]}}",
    ),
    rule(
        "a name may be a number, or hold a dash inside",
        """
        - relu: {name: "7"}
        - relu: {name: conv-bn_1-x}
        - add: ["7", conv-bn_1-x]
        """,
        """
        7: relu(input) 3x8x8
        conv-bn_1-x: relu(7) 3x8x8
        add: add(7, conv-bn_1-x) 3x8x8
        """,
    ),
    rule(
        "name and from may hold expressions",
        """
        - relu: {name: "a${1 + 1}"}
        - relu: {name: $word}
        - add: {from: ["a${3 - 1}", $word], name: "${number}"}
        """,
        """
        a2: relu(input) 3x8x8
        b: relu(a2) 3x8x8
        4: add(a2, b) 3x8x8
        """,
        params="{word: b, number: 4}",
    ),
    rule(
        "each name stands once in its scope, and may stand in another",
        """
        - relu: {name: a}
        - sequential: {name: b, layers: [{relu: {name: a}}, {relu: {name: b}}]}
        """,
        """
        a: relu(input) 3x8x8
        b.a: relu(a) 3x8x8
        b.b: relu(b.a) 3x8x8
        """,
    ),
]

REPEATS = [
    rule(
        "copies without a name are siblings, in a chain",
        "- conv: {filters: 4, repeat: 3}",
        """
        conv: conv(input) 4x8x8
        conv_2: conv(conv) 4x8x8
        conv_3: conv(conv_2) 4x8x8
        """,
    ),
    rule(
        "a named repeat is a group; index counts from 0",
        """
        - conv: {name: c, filters: '${2 * index + 2}', repeat: 3}
        - relu: {from: c}
        """,
        """
        c.0: conv(input) 2x8x8
        c.1: conv(c.0) 4x8x8
        c.2: conv(c.1) 6x8x8
        relu: relu(c.2) 6x8x8
        """,
    ),
    rule(
        "a name with index makes the copies siblings",
        """
        - relu: {name: 'r${index + 1}', repeat: 2}
        - add: [r1, r2]
        """,
        """
        r1: relu(input) 3x8x8
        r2: relu(r1) 3x8x8
        add: add(r1, r2) 3x8x8
        """,
    ),
    rule(
        "one copy per entry of a list, each bound to a name",
        """
        - conv: {repeat: {width: [4, 8]}, filters: $width}
        - conv: {repeat: {s: $stages}, filters: $s.f, kernel: $s.k}
        """,
        """
        conv: conv(input) 4x8x8
        conv_2: conv(conv) 8x8x8
        conv_3: conv(conv_2) 1x8x8
        conv_4: conv(conv_3) 2x6x6
        """,
        params="{stages: [{f: 1, k: 1}, {f: 2, k: 3}]}",
    ),
    rule(
        "a list alone, a count by an expression, and a bound count",
        """
        - relu: {repeat: [7, 9]}
        - gelu: {repeat: '${1 + 1}'}
        - conv: {repeat: {n: 2}, filters: '${n + 1}'}
        """,
        """
        relu: relu(input) 3x8x8
        relu_2: relu(relu) 3x8x8
        gelu: gelu(relu_2) 3x8x8
        gelu_2: gelu(gelu) 3x8x8
        conv: conv(gelu_2) 1x8x8
        conv_2: conv(conv) 2x8x8
        """,
    ),
    rule(
        "the copies of a block, and what is inside them",
        """
        - conv: 4
        - b: {name: layer, repeat: 2}
        - add: [layer.0.gelu, layer.1.relu, layer, layer.0]
        """,
        """
        conv: conv(input) 4x8x8
        layer.0.relu: relu(conv) 4x8x8
        layer.0.gelu: gelu(layer.0.relu) 4x8x8
        layer.1.relu: relu(layer.0.gelu) 4x8x8
        layer.1.gelu: gelu(layer.1.relu) 4x8x8
        add: add(layer.0.gelu, layer.1.relu, layer.1.gelu, layer.0.gelu) 4x8x8
        """,
        blocks="{b: {layers: [relu, gelu]}}",
    ),
    rule(
        "the copies of a sequential, and of an inline",
        """
        - sequential: {name: s, repeat: 2, layers: [relu, gelu]}
        - sequential: {repeat: 2, layers: [relu]}
        - inline: {repeat: 2, layers: [{conv: {name: "c${index}", filters: "${index + 1}"}}, relu]}
        """,
        """
        s.0.0: relu(input) 3x8x8
        s.0.1: gelu(s.0.0) 3x8x8
        s.1.0: relu(s.0.1) 3x8x8
        s.1.1: gelu(s.1.0) 3x8x8
        sequential.0: relu(s.1.1) 3x8x8
        sequential_2.0: relu(sequential.0) 3x8x8
        c0: conv(sequential_2.0) 1x8x8
        relu: relu(c0) 1x8x8
        c1: conv(relu) 2x8x8
        relu_2: relu(c1) 2x8x8
        """,
    ),
    rule(
        "the first copy reads from; a merge keeps what it adds",
        """
        - conv: {name: a, filters: 3}
        - gelu
        - relu: {from: a, repeat: 2}
        - add: {from: input, repeat: 2}
        - add: [gelu, add_2]
        """,
        """
        a: conv(input) 3x8x8
        gelu: gelu(a) 3x8x8
        relu: relu(a) 3x8x8
        relu_2: relu(relu) 3x8x8
        add: add(relu_2, input) 3x8x8
        add_2: add(add, input) 3x8x8
        add_3: add(gelu, add_2) 3x8x8
        """,
    ),
    rule(
        "no copies leave the step out",
        """
        - relu: {name: r, repeat: 0}
        - conv: 4
        - conv: {filters: 9, repeat: []}
        - conv: {from: r, filters: 4}
        - add: conv
        """,
        """
        conv: conv(input) 4x8x8
        conv_2: conv(input) 4x8x8
        add: add(conv_2, conv) 4x8x8
        """,
    ),
    rule(
        "a condition holds per copy; a copy that is left out takes no number",
        """
        - conv: {name: c, repeat: 4, when: "${index % 2 == 1}", filters: "${index + 1}"}
        - relu: {repeat: 3, when: "${index > 0}"}
        """,
        """
        c.0: conv(input) 2x8x8
        c.1: conv(c.0) 4x8x8
        relu: relu(c.1) 4x8x8
        relu_2: relu(relu) 4x8x8
        """,
    ),
]

WHEN = [
    rule(
        "a step that is left out is read through, and takes no number",
        """
        - conv: 4
        - relu: {when: false}
        - relu
        - sequential:
            - relu: {when: $yes}
            - gelu: {when: "${not yes}"}
            - gelu
        """,
        """
        conv: conv(input) 4x8x8
        relu: relu(conv) 4x8x8
        sequential.0: relu(relu) 4x8x8
        sequential.1: gelu(sequential.0) 4x8x8
        """,
        params="{yes: true}",
    ),
    rule(
        "its name stands for its first input",
        """
        - conv: {name: a, filters: 3}
        - conv: {name: down, from: input, filters: 4, when: "${input.channels != 3}"}
        - add: [a, down]
        - concat: {name: both, from: [down, a], when: false}
        - add: [both, add]
        """,
        """
        a: conv(input) 3x8x8
        add: add(a, input) 3x8x8
        add_2: add(input, add) 3x8x8
        """,
    ),
    rule(
        "a condition sees the shapes before it",
        """
        - conv: {name: a, filters: 4}
        - relu: {when: '${a.channels == 4 and input.height > 7}'}
        """,
        """
        a: conv(input) 4x8x8
        relu: relu(a) 4x8x8
        """,
    ),
    rule(
        "whole scopes are left out",
        """
        - sequential: {when: false, layers: [conv: 9]}
        - inline: {when: false, layers: [conv: 9]}
        - b: {when: false}
        - relu
        """,
        "relu: relu(input) 3x8x8",
        blocks="{b: {layers: [conv: 9]}}",
    ),
    rule(
        "two steps of which one stands may share a name",
        """
        - conv: {name: c, filters: 3}
        - batch_norm: {name: norm, when: $bn}
        - layer_norm: {name: norm, when: "${not bn}"}
        - relu
        - add: norm
        """,
        """
        c: conv(input) 3x8x8
        norm: layer_norm(c) 3x8x8
        relu: relu(norm) 3x8x8
        add: add(relu, norm) 3x8x8
        """,
        params="{bn: false}",
    ),
    rule(
        "where the first of them stands, the others leave its name alone",
        """
        - conv: {name: c, filters: 3}
        - batch_norm: {name: norm, when: $bn}
        - relu
        - sequential: {name: norm, when: "${not bn}", layers: [tanh]}
        - relu: {name: norm, repeat: 0}
        - inline: {when: $bn, layers: [{add: norm}]}
        """,
        """
        c: conv(input) 3x8x8
        norm: batch_norm(c) 3x8x8
        relu: relu(norm) 3x8x8
        add: add(relu, norm) 3x8x8
        """,
        params="{bn: true}",
    ),
    rule(
        "where none of them stands, their name is what the last would have read",
        """
        - conv: {name: c, filters: 3}
        - batch_norm: {name: norm, when: false}
        - relu
        - add: norm
        - layer_norm: {name: norm, when: false}
        - gelu
        - add: norm
        """,
        """
        c: conv(input) 3x8x8
        relu: relu(c) 3x8x8
        add: add(relu, c) 3x8x8
        gelu: gelu(add) 3x8x8
        add_2: add(gelu, add) 3x8x8
        """,
    ),
    rule(
        "the condition may be that of an inline around, or differ between copies",
        """
        - sequential:
            name: s
            repeat: 2
            layers:
              - inline: {when: "${index == 0}", layers: [relu: {name: act}]}
              - gelu: {name: act, when: "${index == 1}"}
        - add: [s.0.act, s.1.act]
        """,
        """
        s.0.act: relu(input) 3x8x8
        s.1.act: gelu(s.0.act) 3x8x8
        add: add(s.0.act, s.1.act) 3x8x8
        """,
    ),
]

READS = [
    rule(
        "one name in a merge adds the previous step",
        """
        - conv: {name: a, filters: 3}
        - add: input
        - multiply: a
        - concat: input
        - concat: {from: a}
        """,
        """
        a: conv(input) 3x8x8
        add: add(a, input) 3x8x8
        multiply: multiply(add, a) 3x8x8
        concat: concat(multiply, input) 6x8x8
        concat_2: concat(concat, a) 9x8x8
        """,
    ),
    rule(
        "a list in a merge is all it reads, in order, the same step more than once too",
        """
        - relu: {name: a}
        - concat: [input, a, a]
        - add: {from: [concat, concat]}
        """,
        """
        a: relu(input) 3x8x8
        concat: concat(input, a, a) 9x8x8
        add: add(concat, concat) 9x8x8
        """,
    ),
    rule(
        "from leads back to any step before",
        """
        - conv: {name: a, filters: 4}
        - relu
        - conv: {from: a, filters: 4}
        - gelu: {from: [relu]}
        - add: conv
        """,
        """
        a: conv(input) 4x8x8
        relu: relu(a) 4x8x8
        conv: conv(a) 4x8x8
        gelu: gelu(relu) 4x8x8
        add: add(gelu, conv) 4x8x8
        """,
    ),
    rule(
        "a dotted name reaches into a scope that stands before, and into those within",
        """
        - sequential: {name: s, layers: [relu, {sequential: {name: t, layers: [gelu, {b: {name: u}}]}}, silu]}
        - add: [s.0, s.t.0, s.t.u.elu, s.t, s]
        """,
        """
        s.0: relu(input) 3x8x8
        s.t.0: gelu(s.0) 3x8x8
        s.t.u.elu: elu(s.t.0) 3x8x8
        s.2: silu(s.t.u.elu) 3x8x8
        add: add(s.0, s.t.0, s.t.u.elu, s.t.u.elu, s.2) 3x8x8
        """,
        blocks="{b: {layers: [elu]}}",
    ),
    rule(
        "a sequential sees the names outside; its input is its own; the inner name goes first",
        """
        - conv: {name: a, filters: 3}
        - relu: {name: b}
        - sequential:
            name: s
            from: a
            layers:
              - add: input
              - add: b
              - relu: {name: b}
              - add: [a, b]
              - sequential: [{add: [input, b, a]}]
        - add: b
        """,
        """
        a: conv(input) 3x8x8
        b: relu(a) 3x8x8
        s.0: add(a, a) 3x8x8
        s.1: add(s.0, b) 3x8x8
        s.b: relu(s.1) 3x8x8
        s.3: add(a, s.b) 3x8x8
        s.4.0: add(s.3, s.b, a) 3x8x8
        add: add(s.4.0, b) 3x8x8
        """,
    ),
    rule(
        "an inline splices its steps into the surrounding scope; input stays that of the scope",
        """
        - relu
        - conv: {name: a, filters: 3}
        - inline:
            - relu
            - add: input
            - relu: {name: r}
        - add: [r, relu_2, a]
        - sequential: [relu, {inline: [relu, gelu]}, relu]
        """,
        """
        relu: relu(input) 3x8x8
        a: conv(relu) 3x8x8
        relu_2: relu(a) 3x8x8
        add: add(relu_2, input) 3x8x8
        r: relu(add) 3x8x8
        add_2: add(r, relu_2, a) 3x8x8
        sequential.0: relu(add_2) 3x8x8
        sequential.1: relu(sequential.0) 3x8x8
        sequential.2: gelu(sequential.1) 3x8x8
        sequential.3: relu(sequential.2) 3x8x8
        """,
    ),
    rule(
        "an inline reads what from names",
        """
        - conv: {name: a, filters: 4}
        - relu
        - inline: {from: a, layers: [gelu]}
        - add: relu
        """,
        """
        a: conv(input) 4x8x8
        relu: relu(a) 4x8x8
        gelu: gelu(a) 4x8x8
        add: add(gelu, relu) 4x8x8
        """,
    ),
    rule(
        "several inputs: the first step reads the first, the others are named",
        """
        - relu
        - add: skip
        - b: {from: [skip, image]}
        - add: add
        """,
        """
        relu: relu(image) 4x5
        add: add(relu, skip) 4x5
        b.concat: concat(skip, image) 8x5
        b.slice: slice(b.concat) 4x5
        add_2: add(b.slice, add) 4x5
        """,
        input="{image: [4, 5], skip: [4, 5]}",
        blocks="{b: {inputs: [x, y], layers: [{concat: [x, y]}, {slice: {start: 0, stop: $x.channels}}]}}",
    ),
    rule(
        "one of several inputs may be called input",
        """
        - linear: {units: 2, from: input}
        - linear: {units: 2, from: other}
        - add: linear
        """,
        """
        linear: linear(input) 2
        linear_2: linear(other) 2
        add: add(linear_2, linear) 2
        """,
        input="{other: [4], input: [3]}",
    ),
]

VALUES = [
    rule(
        "params, in order; a dollar sign; text with expressions",
        """
        - conv: {name: '$word', filters: $n}
        - conv: {name: '${word}_${n}', filters: '${l[1]}'}
        - linear: $m.deep.er
        """,
        """
        x: conv(input) 4x8x8
        x_4: conv(x) 6x8x8
        linear: linear(x_4) 6x8x5
        """,
        params="{n: 4, l: ['$n', '${n + 2}'], word: x, m: {deep: {er: '${n + 1}'}}}",
    ),
    rule(
        "let holds local values, in order, each time anew",
        """
        - sequential:
            let: {n: "${input.channels + 1}", m: "${n + 1}"}
            layers: [conv: $n, conv: $m, sequential: [conv: $n]]
        - inline: {repeat: 2, let: {n: "${2 * index + 1}"}, layers: [conv: $n]}
        """,
        """
        sequential.0: conv(input) 4x8x8
        sequential.1: conv(sequential.0) 5x8x8
        sequential.2.0: conv(sequential.1) 4x8x8
        conv: conv(sequential.2.0) 1x8x8
        conv_2: conv(conv) 3x8x8
        """,
    ),
    rule(
        "a local value hides a param, a param hides a step",
        """
        - conv: {name: n, filters: 2}
        - sequential: {let: {n: 5}, layers: [conv: $n]}
        - conv: $n
        """,
        """
        n: conv(input) 2x8x8
        sequential.0: conv(n) 5x8x8
        conv: conv(sequential.0) 4x8x8
        """,
        params="{n: 4}",
    ),
    rule(
        "a block sees its arguments, its inputs and the params; defaults may use what stands before them",
        """
        - conv: 2
        - b: 3
        - b: {f: 1, g: 9}
        """,
        """
        conv: conv(input) 2x8x8
        b.conv: conv(conv) 3x8x8
        b.conv_2: conv(b.conv) 5x8x8
        b.conv_3: conv(b.conv_2) 6x8x8
        b_2.conv: conv(b.conv_3) 1x8x8
        b_2.conv_2: conv(b_2.conv) 9x8x8
        b_2.conv_3: conv(b_2.conv_2) 6x8x8
        """,
        params="{n: 6}",
        blocks="{b: {params: {f: , g: '${f + input.channels}'}, layers: [conv: $f, conv: $g, conv: $n]}}",
    ),
    rule(
        "an argument hides a param; index is that of the caller",
        """
        - b: {repeat: 2, f: '${index + 1}'}
        - conv: $f
        """,
        """
        b.conv: conv(input) 1x8x8
        b_2.conv: conv(b.conv) 2x8x8
        conv: conv(b_2.conv) 7x8x8
        """,
        params="{f: 7}",
        blocks="{b: {params: {f: }, layers: [conv: $f]}}",
    ),
    rule(
        "input in an expression is that of the scope",
        """
        - conv: 4
        - sequential: [conv: '${input.channels + 1}', conv: '${input.channels + 2}']
        - conv: '${input.channels}'
        """,
        """
        conv: conv(input) 4x8x8
        sequential.0: conv(conv) 5x8x8
        sequential.1: conv(sequential.0) 6x8x8
        conv_2: conv(sequential.1) 3x8x8
        """,
    ),
    rule(
        "defaults give way to what a step says; the first argument may stand alone",
        """
        - conv
        - conv: 4
        - conv: {kernel: 1}
        - max_pool
        - max_pool: {stride: 1}
        """,
        """
        conv: conv(input) 2x6x6
        conv_2: conv(conv) 4x4x4
        conv_3: conv(conv_2) 2x4x4
        max_pool: max_pool(conv_3) 2x2x2
        max_pool_2: max_pool(max_pool) 2x1x1
        """,
        defaults="{conv: {filters: $n, kernel: 3}, max_pool: {kernel: 2}}",
        params="{n: 2}",
    ),
    rule(
        "the input may use params",
        "- relu",
        "relu: relu(input) 3x16x8",
        params="{size: 16}",
        input="[3, $size, '${size // 2}']",
    ),
]

OPS = [
    rule(
        "half: dilation * (kernel - 1) // 2 on both sides",
        "- conv: {filters: 1, kernel: 3, padding: half}\n- conv: {filters: 1, kernel: 4, padding: half}\n"
        "- conv: {filters: 1, kernel: [5, 3], dilation: [1, 2], stride: 2, padding: half}\n",
        """
        conv: conv(input) 1x8x8
        conv_2: conv(conv) 1x7x7
        conv_3: conv(conv_2) 1x4x4
        """,
    ),
    rule(
        "same: the output is ceil(in / stride)",
        """
        - conv: {filters: 1, kernel: 4, padding: same}
        - max_pool: {kernel: 3, stride: 3, padding: same}
        - conv: {filters: 1, kernel: 5, stride: 2, padding: same}
        """,
        """
        conv: conv(input) 1x8x8
        max_pool: max_pool(conv) 1x3x3
        conv_2: conv(max_pool) 1x2x2
        """,
    ),
    rule(
        "paddings: one per axis, a pair per axis",
        """
        - conv: {filters: 1, kernel: 3, padding: [0, 1]}
        - conv: {filters: 1, kernel: 3, padding: [[1, 2], [0, 0]]}
        """,
        """
        conv: conv(input) 1x6x8
        conv_2: conv(conv) 1x7x6
        """,
    ),
    rule(
        "1-D",
        """
        - conv: {filters: 4, kernel: 3}
        - max_pool: 2
        - batch_norm
        - flatten
        """,
        """
        conv: conv(input) 4x8
        max_pool: max_pool(conv) 4x4
        batch_norm: batch_norm(max_pool) 4x4
        flatten: flatten(batch_norm) 16
        """,
        input="[3, 10]",
    ),
    rule(
        "3-D",
        """
        - conv: {filters: 4, kernel: [1, 3, 3], stride: [2, 1, 1]}
        - global_avg_pool
        """,
        """
        conv: conv(input) 4x2x4x4
        global_avg_pool: global_avg_pool(conv) 4x1x1x1
        """,
        input="[3, 4, 6, 6]",
    ),
    rule(
        "multiply stretches a gate",
        """
        - global_avg_pool
        - sigmoid
        - multiply: input
        - multiply: [sigmoid, multiply]
        """,
        """
        global_avg_pool: global_avg_pool(input) 3x1x1
        sigmoid: sigmoid(global_avg_pool) 3x1x1
        multiply: multiply(sigmoid, input) 3x8x8
        multiply_2: multiply(sigmoid, multiply) 3x8x8
        """,
    ),
]

OUTPUTS = [
    rule(
        "the last step is the output",
        """
        - conv: 4
        - relu
        """,
        "conv: conv(input) 4x8x8\nrelu: relu(conv) 4x8x8",
        {"relu": "relu"},
    ),
    rule(
        "one name",
        """
        - conv: 4
        - relu: {name: r}
        """,
        "conv: conv(input) 4x8x8\nr: relu(conv) 4x8x8",
        {"r": "r"},
        outputs="r",
    ),
    rule(
        "a list, in its order",
        """
        - conv: {name: a, filters: 4}
        - relu
        """,
        "a: conv(input) 4x8x8\nrelu: relu(a) 4x8x8",
        {"relu": "relu", "a": "a"},
        outputs="[relu, a]",
    ),
    rule(
        "a mapping",
        """
        - conv: {name: a, filters: 4}
        - relu
        """,
        "a: conv(input) 4x8x8\nrelu: relu(a) 4x8x8",
        {"x": "relu", "y.z": "a", "0": "a"},
        outputs='{x: relu, y.z: a, "0": a}',
    ),
    rule(
        "dotted names",
        "- sequential: {name: s, layers: [relu, gelu]}\n",
        "s.0: relu(input) 3x8x8\ns.1: gelu(s.0) 3x8x8",
        {"s.0": "s.0", "s": "s.1"},
        outputs="[s.0, s]",
    ),
    rule(
        "an expression",
        """
        - relu
        - gelu
        """,
        "relu: relu(input) 3x8x8\ngelu: gelu(relu) 3x8x8",
        {"gelu": "gelu", "relu": "relu"},
        params="{aux: true}",
        outputs="\"${['gelu', 'relu'] if aux else 'gelu'}\"",
    ),
    rule(
        "text with expressions",
        """
        - relu
        - gelu
        """,
        "relu: relu(input) 3x8x8\ngelu: gelu(relu) 3x8x8",
        {"last": "gelu"},
        params="{l: el}",
        outputs="{last: 'g${l}u'}",
    ),
    rule(
        "a step that is left out stands for its input",
        """
        - relu
        - gelu: {name: g, when: false}
        """,
        "relu: relu(input) 3x8x8",
        {"g": "relu"},
        outputs="[g]",
    ),
    rule(
        "an input",
        "- relu\n",
        "relu: relu(input) 3x8x8",
        {"relu": "relu", "same": "input"},
        outputs="{relu: relu, same: input}",
    ),
    rule("nothing but what is left out", "- relu: {when: false}\n", "", {"input": "input"}),
]

RULES = [*NAMES, *REPEATS, *WHEN, *READS, *VALUES, *OPS, *OUTPUTS]


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.title)
def test_rule(case: Rule) -> None:
    graph = archspec.loads(case.spec).graph
    assert described(graph) == case.layers
    if case.outputs is not None:
        assert graph.outputs == case.outputs
        assert list(graph.outputs) == list(case.outputs)


# The document.


def test_every_key() -> None:
    net = archspec.loads(
        "archspec: 1\nname: x\ndescription: 'a \"b\" ${c}'\nreference: d\ninput: [3]\nparams:\ndefaults:\nblocks:\n"
        "layers: [linear: 2]\noutputs: linear\nexpect: {params: 8}\n"
    )
    assert (net.name, net.description, net.reference) == ("x", 'a "b" ${c}', "d")
    assert net.check() == ()


@pytest.mark.parametrize(
    ("file", "name"), [("net.yaml", "net"), ("my-net 2.yaml", "my_net_2"), ("3d.yaml", "net_3d"), ("é.yml", "net_")]
)
def test_without_a_name_the_file_gives_it(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).write_text("input: [3]\nlayers: [relu]\n")
    assert archspec.load(tmp_path / file).name == name


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
    return folder / "main.yaml"


BASE = """
name: base
description: the base
input: [3, 8, 8]
params: {n: 4, k: 3}
defaults: {conv: {kernel: $k, bias: false}}
blocks:
  b: {layers: [relu]}
  c: {layers: [conv: $n, b]}
layers: [c, flatten, linear: 2]
outputs: [linear]
expect: {params: 108, layers: 4}
"""


def test_extends_merges_key_by_key(tmp_path: Path) -> None:
    """`params`, `blocks` and `defaults` merge; the steps of the base call the blocks that replace its own."""
    main = written(
        tmp_path,
        base=BASE,
        main="""
        extends: base
        params: {n: 2}
        defaults: {conv: {bias: true}, linear: {bias: false}}
        blocks: {b: {layers: [gelu]}}
        """,
    )
    net = archspec.load(main)
    assert described(net.graph).splitlines() == [
        "c.conv: conv(input) 2x6x6",
        "c.b.gelu: gelu(c.conv) 2x6x6",
        "flatten: flatten(c.b.gelu) 72",
        "linear: linear(flatten) 2",
    ]
    assert net.graph.state_dict().keys() == {"c.conv.weight", "c.conv.bias", "linear.weight"}
    assert (net.name, net.description, net.params) == ("main", "", {"n": 2, "k": 3})
    assert net.check() == ()  # what is expected of the base is not expected here


def test_extends_replaces_every_other_key(tmp_path: Path) -> None:
    main = written(
        tmp_path,
        base=BASE,
        main="{extends: ./base.yaml, input: [1, 4, 4], layers: [c: {name: d}], outputs: {x: d.conv, y: d}}",
    )
    net = archspec.load(main)
    assert described(net.graph) == "d.conv: conv(input) 4x2x2\nd.b.relu: relu(d.conv) 4x2x2"
    assert net.graph.outputs == {"x": "d.conv", "y": "d.b.relu"}


def test_extends_in_a_chain_and_from_the_zoo(tmp_path: Path) -> None:
    main = written(tmp_path, main="extends: sub/mid.yaml\n", sub__mid="extends: lenet5\nparams: {num_classes: 3}\n")
    assert archspec.load(main).graph.shape(next(iter(archspec.load(main).graph.outputs.values()))) == (3,)
    sibling = written(tmp_path, main="extends: lenet5\n", lenet5="input: [3]\nlayers: [relu]\n")
    assert described(archspec.load(sibling).graph) == "relu: relu(input) 3"


def test_include_brings_blocks_that_see_their_arguments_only(tmp_path: Path) -> None:
    """Its own defaults, not those of the document; its own blocks; its own includes."""
    main = written(
        tmp_path,
        main="""
        include: [lib/units]
        input: [3, 8, 8]
        params: {f: 9}
        defaults: {conv: {kernel: 3}}
        blocks: {helper: {layers: [gelu]}}
        layers: [unit: 4, conv: $f, helper]
        """.replace("lib/units", "lib/units.yaml"),
        lib__units="""
        description: units
        include: [more]
        defaults: {conv: {bias: false}}
        blocks:
          unit: {params: {f: }, layers: [conv: $f, more]}
        """,
        lib__more="blocks: {more: {layers: [silu]}}\n",
    )
    net = archspec.load(main)
    assert described(net.graph).splitlines() == [
        "unit.conv: conv(input) 4x8x8",
        "unit.more.silu: silu(unit.conv) 4x8x8",
        "conv: conv(unit.more.silu) 9x6x6",
        "helper.gelu: gelu(conv) 9x6x6",
    ]
    assert [key for key in net.graph.state_dict() if key.endswith("bias")] == ["conv.bias"]
    with pytest.raises(archspec.SpecError, match="unknown name `f`"):
        archspec.load(written(tmp_path, lib__units="blocks: {unit: {params: {g: }, layers: [conv: $f]}}\n"))


def test_a_file_may_be_included_twice(tmp_path: Path) -> None:
    main = written(
        tmp_path,
        main="{include: [a, b], input: [3], layers: [x, y, z]}",
        a="{include: [c], blocks: {x: {layers: [z]}}}",
        b="{include: [c], blocks: {y: {layers: [z]}}}",
        c="{blocks: {z: {layers: [relu]}}}",
    )
    assert (
        described(archspec.load(main).graph)
        == "x.z.relu: relu(input) 3\ny.z.relu: relu(x.z.relu) 3\nz.relu: relu(y.z.relu) 3"
    )


def test_params_use_each_other_in_any_order(tmp_path: Path) -> None:
    net = archspec.loads("input: [3]\nparams: {a: '${b + c[0]}', b: '${len(c)}', c: [4, 5]}\nlayers: [linear: $a]\n")
    assert net.params == {"c": [4, 5], "b": 2, "a": 6}
    assert archspec.loads(net.document.source.text, b=5).params["a"] == 9
    (tmp_path / "base.yaml").write_text("input: [3]\nparams: {n: 4, m: '${2 * n}'}\nlayers: [linear: $m]\n")
    (tmp_path / "more.yaml").write_text("extends: base\nparams: {k: 32, n: '${k // 16}'}\n")
    assert archspec.load(tmp_path / "more.yaml").params == {"k": 32, "n": 2, "m": 4}
    text = "extends: resnet50\nparams: {zz: 128, width: '${zz // 64}'}\n"
    assert archspec.loads(text).analyze().totals == archspec.load("resnet50", width=2).analyze().totals


def test_overrides_go_through_what_depends_on_them() -> None:
    text = "input: [3, $s, $s]\nparams: {n: 4, m: '${2 * n}', s: 8}\nlayers: [conv: $m]\n"
    assert archspec.loads(text, n=1).graph.shape("conv") == (2, 8, 8)
    assert archspec.loads(text, m=5, s=6).graph.shape("conv") == (5, 6, 6)
    assert archspec.loads(text, input=(1, 9, 9)).graph.shape("conv") == (8, 9, 9)
    assert archspec.loads(
        """
        input: [3]
        params: {f: 0.5, l: [1], t: a}
        layers: [linear: '${int(4 * f) + l[0] + len(t)}']
        """,
        f=1,
        l=(2,),
        t="bc",
    ).graph.shape("linear") == (8,)


# `expect`.

FIGURES = [
    ("1000", 1000, 1001),
    ('"1000"', 1000, 999),
    ("1.0K", 1049, 1051),
    ("1K", 1499, 1501),
    ("1.00K", 1005, 1006),
    ('"<= 1K"', 1000, 1001),
    ('"<1000"', 999, 1000),
    ('">= 1.5K"', 1500, 1499),
    ('"> 1000"', 1001, 1000),
    ('"== 1000"', 1000, 1001),
    ('"0.001M"', 1499, 1501),
    ('"0.000001 G"', 1499, 1501),
    ('"1T"', 10**12, 2 * 10**12),
    ('"== 1K"', 1000, 1001),
    (f'"<= {"0" * 33}1000"', 1000, 1001),
]


@pytest.mark.parametrize(("figure", "right", "wrong"), FIGURES, ids=[figure for figure, *_ in FIGURES])
def test_expect_at_the_precision_written(figure: str, right: int, wrong: int) -> None:
    def found(params: int) -> list[str]:
        spec = f"input: [1]\nlayers: [linear: {{units: {params}, bias: false}}]\nexpect: {{params: {figure}}}\n"
        return [finding.code for finding in archspec.loads(spec).check()]

    assert found(right) == []
    assert found(wrong) == ["expect"]


@pytest.mark.parametrize(
    ("expect", "codes"),
    [
        ("{output: [4]}", []),
        ("{output: [5]}", ["expect"]),
        ("{output: {linear: [4]}}", []),
        ("{output: {fc: [4]}}", ["expect"]),
        ("{params: 12, macs: 8, flops: 16, layers: 1, depth: 1, buffers: 0}", []),
        ("{params: 1, macs: 1, layers: 2}", ["expect", "expect", "expect"]),
    ],
)
def test_expect(expect: str, codes: list[str]) -> None:
    net = archspec.loads(f"input: [2]\nlayers: [linear: 4]\nexpect: {expect}\n")
    assert [finding.code for finding in net.check()] == codes


def test_expect_speaks_of_the_spec_as_written() -> None:
    text = "input: [2]\nparams: {n: 4}\nlayers: [linear: $n]\nexpect: {params: 12}\n"
    assert archspec.loads(text, n=5).check() == archspec.loads(text).check() == ()


def test_groups_know_their_scope() -> None:
    net = archspec.loads(
        "input: [3]\nblocks: {b: {params: {n: 3}, layers: [linear: $n]}}\nlayers:\n  - b: {name: g, repeat: 2}\n"
    )
    (first, second) = net.graph.nodes
    chain: list[Any] = [(scope.kind, scope.path, scope.block, scope.copy) for scope in second.scope.chain()]
    assert chain == [("block", "g.1", "b", (1, 2)), ("repeat", "g", None, None)]
    assert dict(first.scope.arguments) == {"n": 3}
    assert str(second.span) == "<spec>:2:39"
    assert str(second.scope.span) == "<spec>:4:5"
