"""Specs that are wrong, and what is said about them: a titled case each.

In the text of a case, each `«` stands right before a place that is complained of (and is taken out). The complaints
follow in the same order: a code, a part of the message, and a part of the help, where the mend is told.
The numbers are those of the rows of the list of attacks that every spec parser should stand.
"""

from __future__ import annotations

from typing import NamedTuple

from archspec.errors import MAX_FINDINGS
from archspec.names import MODULE_ATTRIBUTES

MARK = "«"


class Wrong(NamedTuple):
    """One complaint that is due."""

    code: str
    message: str = ""
    help: str = ""


class Bad(NamedTuple):
    """A spec with its mistakes."""

    title: str
    text: str
    wrong: tuple[Wrong, ...]

    def spec(self) -> str:
        return self.text.replace(MARK, "")

    def places(self) -> list[tuple[int, int]]:
        """Line and column of each mark."""
        found: list[tuple[int, int]] = []
        line, column = 1, 1
        for character in self.text:
            if character == MARK:
                found.append((line, column))
            elif character in "\r\n":
                line, column = line + 1, 1
            else:
                column += 1
        return found


def bad(title: str, text: str, *wrong: Wrong | tuple[str, ...]) -> Bad:
    return Bad(title, text, tuple(Wrong(*each) for each in wrong))


def step(title: str, text: str, *wrong: tuple[str, ...]) -> Bad:
    """A spec that is right but for its one step."""
    return bad(title, f"input: [3, 8, 8]\nlayers:\n  - {text}\n", *wrong)


def value(title: str, text: str, *wrong: tuple[str, ...]) -> Bad:
    """A wrong value where an integer is expected."""
    return step(title, f"conv: {{filters: «{text}}}", *wrong)


def expression(title: str, text: str, code: str, message: str, help: str = "") -> Bad:
    """A wrong expression where an integer is expected."""
    spec = f"input: [3, 8, 8]\nparams: {{widths: 8, l: [1, 2]}}\nlayers:\n  - conv:\n      filters: «'${{{text}}}'\n"
    return bad(title, spec + "  - conv: $widths\n  - relu: {repeat: $l}\n", (code, message, help))


BLOCK = """\
input: [3, 8, 8]
params: {width: 8}
blocks:
  residual:
    params: {filters: , stride: 1}
    layers:
      - conv: {name: conv1, filters: $filters, kernel: 3, stride: $stride, padding: 1}
      - batch_norm: {name: bn1}
layers:
  - conv: {name: stem, filters: $width}
"""


def called(title: str, text: str, *wrong: tuple[str, ...]) -> Bad:
    """A spec with a block, a param and a step `stem`, right but for its last step."""
    return bad(title, f"{BLOCK}  - {text}\n", *wrong)


def names() -> list[Bad]:
    shapes = ["conv1\\n", "x y", "a.b", "", " a", "-a", "a-", "1a", "$$a", "a/b", "a\\u0000"]
    other = ["а", "ﬁ", "\\u202eabc", "naïve", "１"]
    python = ["class", "None", "lambda"]
    return [
        *(step(f"19 name {name!r}", f'relu: {{name: «"{name}"}}', ("name", "is not a valid name")) for name in shapes),
        *(step(f"20 name {name!r}", f'relu: {{name: «"{name}"}}', ("name", "is not a valid name")) for name in other),
        step("19 name a'b", """relu: {name: «"a'b"}""", ("name", "is not a valid name")),
        *(step(f"19 name {name}", f"relu: {{name: «{name}}}", ("name", "a keyword of Python")) for name in python),
        step("19 name __x", "relu: {name: «__x}", ("name", "starts with `__`")),
        step("19 name input", "relu: {name: «input}", ("name", "reserved for what the scope reads")),
        step("19 a long name", f"relu: {{name: «{'a' * 101}}}", ("name", "the name has 101 characters")),
        *(
            step(f"19 name {name}", f"relu: {{name: «{name}}}", ("name", "an attribute of every nn.Module"))
            for name in sorted(MODULE_ATTRIBUTES)
            if not name.startswith("__")
        ),
        step(
            "19 a name made by an expression", "relu: {name: «\"${'a' + '.b'}\"}", ("name", "'a.b' is not a valid name")
        ),
        step("a name that is no text", "relu: {name: «$input}", ("type", "expected text, got a tensor")),
        step("a name that is a number", "relu: {name: «1}", ("type", "the integer 1", 'in quotes it is text: "1"')),
        step("a name that is true", "relu: {name: «true}", ("type", "the boolean true", 'text: "true"')),
        called("a name twice", "relu: {name: «stem}", ("name", "duplicate name `stem`", "a name of its own")),
        called(
            "a repeat without room for its names",
            'relu: {name: «"a${index // 2}", repeat: 4}',
            ("name", "duplicate name `a0`", "each copy"),
        ),
        bad(
            "a param's name",
            "input: [3]\nparams: {«a-b: 1, «index: 2, «class: 3, «min: 4}\nlayers: [relu]\n",
            *[("name",)] * 4,
        ),
        bad(
            "a block's name",
            "input: [3]\nblocks: {«a b: {layers: [relu]}}\nlayers: [relu]\n",
            ("name", "'a b' is not a valid name"),
        ),
        bad(
            "a block named as an op",
            "input: [3]\nblocks: {«conv: {layers: [relu]}}\nlayers: [relu]\n",
            ("block", "has the name of an op", "another name"),
        ),
        bad("the network's name", "name: «a b\ninput: [3]\nlayers: [relu]\n", ("name", "'a b' is not a valid name")),
        bad("an input's name", "input: {«a b: [3]}\nlayers: [relu]\n", ("name", "'a b' is not a valid name")),
        bad(
            "an output's name",
            'input: [3]\nlayers: [relu]\noutputs: {"a\'b": «relu}\n',
            ("name", "is not a valid name"),
        ),
    ]


YAML = [
    bad(
        "1 a Python tag",
        "input: [3]\nlayers: «!!python/object/apply:os.system [relu]\n",
        ("tag", "os.system", "plain values"),
    ),
    bad(
        "2 other tags",
        "a: «!foo 3\nb: «!!binary aGk=\nc: «!!set {a}\n",
        ("tag", "!foo"),
        ("tag", "binary"),
        ("tag", "set"),
    ),
    value("2 a timestamp", "2001-12-14", ("type", "the text '2001-12-14'")),
    bad(
        "3 an alias bomb", "a: «&a [1, 1]\nb: «&b [«*a, «*a]\nc: [«*b]\n", *[("alias", "is not allowed", "a param")] * 5
    ),
    bad("4 an anchor in itself", "a: «&a [«*a]\n", ("alias", "anchor `&a`"), ("alias", "alias `*a`")),
    bad("5 a merge key", "layers:\n  - conv: {«<<: {filters: 3}}\n", ("alias", "the merge key `<<`", "`defaults`")),
    bad(
        "6 a key twice",
        "input: [3]\nlayers: [relu]\n«input: [4]\n",
        ("duplicate", "duplicate key `input`", "on line 1"),
    ),
    bad(
        "7 keys that are not text",
        "«1: a\n«1.0: b\n«true: c\n«null: d\n",
        *[("key", "expected a text key", "in quotes")] * 4,
    ),
    bad("7 a list as a key", "? «[a]\n: b\n", ("key", "expected a text key, got a list or a mapping")),
    value("9 no", "no", ("type", "the text 'no'", "write `false`")),
    value("9 on", "on", ("type", "the text 'on'", "write `true`")),
    value("9 010", "010", ("type", "the text '010'", "write 10 (or 0o10 for octal)")),
    value("9 1_000", "1_000", ("type", "the text '1_000'", "write 1000")),
    value("9 3:4", "3:4", ("type", "the text '3:4'", "not as base 60")),
    value("10 .nan", ".nan", ("number", "expected a finite number, got .nan")),
    value("10 -.inf", "-.inf", ("number", "expected a finite number, got -.inf")),
    value("10 1e999", "1e999", ("number", "exceeds the range of a float")),
    bad(
        "11 two documents",
        "input: [3]\n«---\nlayers: [relu]\n",
        ("document", "got a second", "one spec per file"),
    ),
    bad("11 nothing", "«", ("document", "got an empty file")),
    bad("11 comments", "«# nothing\n", ("document", "got an empty file")),
    bad("11 a scalar", "«relu\n", ("document", "got the text 'relu'")),
    bad("11 a list", "«- relu\n", ("document", "got a list", "under `layers:`")),
    bad("12 500 deep", f"layers: {'[' * 99}«{'[' * 401}{']' * 500}\n", ("depth", "more than 100 levels")),
    bad("12 100,000 deep", f"layers: {'[' * 99}«{'[' * 99_901}\n", ("depth", "more than 100 levels")),
    bad("12 mappings 100,000 deep", f"{'{a: ' * 100}«{'{a: ' * 99_900}\n", ("depth", "more than 100 levels")),
    bad("12 20,000 deep without brackets", f"{'- ' * 100}«{'- ' * 19_900}a\n", ("depth", "more than 100 levels")),
    bad("14 NUL", "layers:\n  - re«\0lu\n", ("encoding", "U+0000")),
    bad("14 an escape character", "layers:\n  - re«\x1blu\n", ("encoding", "U+001B")),
    bad("14 a form feed behind a lone CR", "a: 1\rb: «\x0c\n", ("encoding", "U+000C")),
    bad("14 tabs", "layers:\n«\t- relu\n", ("syntax", "cannot start any token", "with spaces, never with tabs")),
    step("an expression in braces", "conv: {filters: $«{1 + 1}}", ("syntax", "", "an expression needs quotes")),
    step("an expression with a colon", "conv: ${a«: 1}", ("syntax", "mapping values", "quote the whole value")),
    bad("a quote that does not end", "name: 'abc\n«", ("syntax", "unexpected end of stream")),
    bad("a bracket that does not end", "layers: [relu\n«", ("syntax", "did not find expected ',' or ']'")),
]

TYPES = [
    value("17 true", "true", ("type", "expected an integer, got the boolean true")),
    value("17 3.0", "3.0", ("type", "got the float 3.0", "write 3, or `int(...)`")),
    value("17 text", '"3"', ("type", "got the text '3'", "without quotes, 3 is a number")),
    value("17 nothing", "null", ("type", "got nothing")),
    value("17 a list", "[3]", ("type", "got a list")),
    value("17 a mapping", "{a: 3}", ("type", "got a mapping")),
    value("18 10**30", "1" + "0" * 30, ("limit", "exceeds the limit of 2**63")),
    value("29 5,000 digits", "1" * 5000, ("limit", "an integer of 5000 digits")),
    step(
        "18 an output beyond 2**63", "«upsample: 9223372036854775807", ("limit", "the output 3x73786976294838206456x")
    ),
    step("39 filters 0", "conv: {filters: «0}", ("value", "filters: expected at least 1, got 0")),
    step("39 kernel -1", "conv: {filters: 1, kernel: «-1}", ("value", "kernel: expected at least 1, got -1")),
    step("39 stride 0", "conv: {filters: 1, stride: «0}", ("value", "stride: expected at least 1, got 0")),
    step("39 dilation 0", "conv: {filters: 1, dilation: «0}", ("value", "dilation: expected at least 1, got 0")),
    step("39 groups 0", "conv: {filters: 1, groups: «0}", ("value", "groups: expected at least 1, got 0")),
    step("39 padding -1", "conv: {filters: 1, padding: «-1}", ("value", "padding: expected at least 0, got -1")),
    step("39 one stride of two", "conv: {filters: 1, stride: [1, «0]}", ("value", "expected at least 1, got 0")),
    step("39 units 0", "linear: «0", ("value", "expected at least 1, got 0")),
    step(
        "40 groups that do not divide",
        "conv: {filters: 4, groups: «2}",
        ("shape", "groups: expected a divisor of the 3 input channels, got 2"),
    ),
    step(
        "40 a kernel over the input",
        "conv: {filters: 4, kernel: «11}",
        ("shape", "covers 11x11, more than the padded input 8x8", "smaller kernel"),
    ),
    step(
        "40 padding over half the kernel",
        "max_pool: {kernel: 2, padding: «2}",
        ("shape", "at most half of the kernel 2, got 2"),
    ),
    step("42 rate 1.5", "dropout: «1.5", ("value", "expected at most 1, got 1.5")),
    step("42 rate -0.1", "dropout: {rate: «-0.1}", ("value", "expected at least 0, got -0.1")),
    step("42 eps small", "batch_norm: {eps: «small}", ("type", "expected a number, got the text 'small'")),
    step("42 eps -1", "batch_norm: {eps: «-1}", ("value", "expected more than 0, got -1")),
    step(
        "a word that is none",
        "conv: {filters: 3, padding: «haf}",
        ("type", "`half` or `same`, got the text 'haf'"),
    ),
    step(
        "a choice that is none",
        "upsample: {scale: 2, mode: «nerest}",
        ("value", "got the text 'nerest'", "did you mean `nearest`?"),
    ),
    step("an argument where none is taken", "relu: «3", ("type", "expected no value, got the integer 3")),
    step("a condition that is none", "relu: {when: «yes}", ("type", "expected true or false", "write `true`")),
    step(
        "a condition that is a number", "relu: {when: «'${1}'}", ("type", "expected true or false, got the integer 1")
    ),
    bad("input of no list", "input: «3\nlayers: [relu]\n", ("type", "expected a list, got the integer 3")),
    bad(
        "input with five axes",
        "input: «[1, 2, 3, 4, 5]\nlayers: [relu]\n",
        ("value", "expected at most 4 entries, got 5"),
    ),
    bad("input with a size of 0", "input: [3, «0]\nlayers: [relu]\n", ("value", "expected at least 1, got 0")),
    bad("input with a float", "input: [3, «3.0]\nlayers: [relu]\n", ("type", "got the float 3.0", "write 3")),
    bad("outputs that are none", "input: [3]\nlayers: [relu]\noutputs: «3\n", ("type", "got the integer 3")),
    bad("outputs of an empty list", "input: [3]\nlayers: [relu]\noutputs: «'${[]}'\n", ("value", "at least one")),
    bad(
        "outputs of a list in a list",
        "input: [3]\nlayers: [relu]\noutputs: «'${[[]]}'\n",
        ("type", "expected a name, got a list"),
    ),
    bad("layers of no list", "input: [3]\nlayers: «relu\n", ("type", "expected a list, got the text 'relu'")),
    bad("no layers", "«input: [3]\n", ("document", "missing key `layers`", "`layers: [...]`")),
    bad("no input", "«layers: [relu]\n", ("document", "missing key `input`", "[3, 224, 224]")),
    bad("an empty list of layers", "input: [3]\nlayers: «[]\n", ("value", "expected at least 1 entry, got 0")),
    bad("a step that is a number", "input: [3]\nlayers: [«3]\n", ("type", "expected text or a mapping")),
    bad("an empty step", "input: [3]\nlayers: [«{}]\n", ("op", "an empty step", "- relu")),
    bad(
        "a step with two keys",
        "input: [3]\nlayers:\n  - linear: 3\n    «bias: true\n",
        ("op", "one key, got 2", "`linear: {bias: ...}`"),
    ),
    bad(
        "two steps in one",
        "input: [3]\nlayers:\n  - linear: 3\n    «relu:\n",
        ("op", "one key, got 2", "start `relu` on a line of its own"),
    ),
    step(
        "sequential of nothing",
        "«sequential",
        ("argument", "sequential: missing argument `layers`", "`sequential: [...]`"),
    ),
    step(
        "a missing argument",
        "«conv: {kernel: 3}",
        ("argument", "conv: missing argument `filters`", "filters: output channels"),
    ),
]

EXPRESSIONS = [
    expression("25 9**9**9", "9**9**9", "limit", "2**63"),
    expression("25 1 << 10**9", "1 << 10**9", "expression", "operator"),
    expression("25 9**4000000", "9**4000000", "limit", "2**63"),
    expression("25 a long text", '"a" * 10**9', "expression", "longer than 1000"),
    expression("25 a long list", "[0] * 10**9", "expression", "longer than 10000"),
    expression("26 300 parentheses", "(" * 300 + "1" + ")" * 300, "expression", "32 levels"),
    expression("26 300 minus signs", "-" * 300 + "1", "expression", "32 levels"),
    expression("26 3,000 minus signs", "-" * 3000 + "1", "expression", "the limit is 1000"),
    expression("27 ().__class__", "().__class__", "expression", "start with `_`"),
    expression("27 x.__init__", "widths.__init__", "expression", "start with `_`"),
    expression("27 lambda", "(lambda x: x)(1)", "expression", "unknown function"),
    expression("27 a bare lambda", "[lambda x: x]", "expression", "a lambda is not allowed"),
    expression("27 walrus", "(x := 1)", "expression", "`:=` is not allowed"),
    expression("27 f-string", 'f"{widths}"', "expression", "an f-string is not allowed"),
    expression("27 a call of a call", "min(1, 2)(3)", "expression", "unknown function"),
    expression("27 keyword tricks", "max(1, 2, key=abs)", "expression", "unknown argument `key`"),
    expression("27 stars", "max(*l)", "expression", "`*` is not allowed"),
    expression("27 double stars", "make_divisible(**l)", "expression", "unknown argument `**`"),
    expression("27 a method", "l.append(3)", "expression", "unknown function"),
    expression("27 a function as a value", "[min][0](1, 2)", "expression", "unknown function `[min][0](...)`"),
    expression("27 format", '"%s" % widths', "expression", "`%` takes numbers only"),
    expression("27 look-alike letters", "ｗidths", "expression", "plain ASCII"),
    expression(
        "28 nested comprehensions",
        "[1 for a in [0]*999 for b in [0]*999 for c in [0]*999]",
        "expression",
        "too much work",
    ),
    expression("29 1/0", "1/0", "expression", "division by zero"),
    expression("29 1e999", "1e999", "expression", "not a finite number"),
    expression("29 0 * 1e999", "0 * 1e999", "expression", "not a finite number"),
    expression("29 7/2", "7/2", "type", "expected an integer, got the float 3.5"),
    expression("29 8/2", "8/2", "type", "expected an integer, got the float 4.0", "`//`"),
    expression("29 999 digits", "1" * 999, "limit", "2**63"),
    expression("a comparison of a tensor", "1 < input", "expression", "cannot be compared", "a.shape == b.shape"),
    expression("an equality of tensors", "8 if [input] == [input] else 9", "expression", "cannot be compared"),
    expression("the length of a tensor", "len(input)", "expression", "got a tensor", "`shape`"),
    expression("an index that is not there", "l[2]", "expression", "out of range"),
    expression("nothing", " ", "expression", "got nothing"),
    expression("half an expression", "1 +", "expression", "`1 +` is not a valid expression"),
    expression("true", "true", "expression", "unknown name `true`", "it is `True`"),
    expression("an axis", "input.widht", "expression", "a tensor of 3x8x8 has no `widht`", "did you mean `width`?"),
    expression("an axis of another rank", "input.length", "expression", "no `length`", "`width`"),
    step("an open brace", "conv: {filters: «'${3'}", ("expression", "no closing `}`", "quote the whole value")),
    bad(
        "params that lead back to themselves",
        "input: [3]\nparams: {a: «$b, b: $c, c: '${a + 1}', d: $a, e: «$e}\nlayers: [linear: '${d * e}']\n",
        ("cycle", "a param leads back to itself: `a` -> `b` -> `c` -> `a`"),
        ("cycle", "a param leads back to itself: `e` -> `e`"),
    ),
    bad(
        "a default before it is known",
        "input: [3]\nblocks: {b: {params: {m: «$n, n: 3}, layers: [linear: '${m * n}']}}\nlayers: [b]\n",
        ("expression", "`n` is not defined before `m`", "above it"),
    ),
    bad(
        "a local value before it is known",
        "input: [3]\nlayers:\n  - inline: {let: {m: «$n, n: 3}, layers: [linear: '${m * n}']}\n",
        ("expression", "`n` is not defined before `m`", "above it"),
    ),
]

REFERENCES = [
    step("30 an op", "«rel", ("op", "unknown op `rel`", "did you mean `relu`?")),
    step("30 an op with arguments", "«cnov: {filters: 3}", ("op", "`cnov`", "did you mean `conv`?")),
    called("30 a block", "«residul: {filters: 8}", ("op", "`residul`", "did you mean `residual`?")),
    step("30 an argument", "conv: {filters: 3, «kernal: 3}", ("argument", "unknown argument `kernal`", "`kernel`?")),
    step(
        "30 the argument that is needed", "conv: {«filter: 3}", ("argument", "unknown argument `filter`", "`filters`?")
    ),
    step("30 a key of every step", "relu: {«nmae: a}", ("argument", "unknown argument `nmae`", "`name`?")),
    called(
        "30 an argument of a block", "residual: {«filter: 8}", ("argument", "unknown argument `filter`", "`filters`?")
    ),
    called("30 a param", "conv: «$widht", ("expression", "unknown name `widht`", "did you mean `width`?")),
    called("30 a step", "add: «stm", ("reference", "unknown step `stm`", "did you mean `stem`?")),
    called(
        "30 a step in an expression",
        "conv: «${stm.channels}",
        ("expression", "unknown name `stm`", "did you mean `stem`?"),
    ),
    bad(
        "30 a key of the document",
        "input: [3]\n«layer: [relu]\n",
        ("key", "unknown key `layer`", "did you mean `layers`?"),
    ),
    bad(
        "30 defaults of an op",
        "input: [3]\ndefaults: {«cnov: {bias: false}}\nlayers: [relu]\n",
        ("op", "`cnov`", "`conv`?"),
    ),
    bad(
        "30 a default",
        "input: [3]\ndefaults: {conv: {«bais: false}}\nlayers: [relu]\n",
        ("argument", "`bais`", "`bias`?"),
    ),
    bad(
        "30 a key of a block",
        "input: [3]\nblocks: {b: {«layer: [relu]}}\nlayers: [b]\n",
        ("argument", "`layer`", "`layers`?"),
    ),
    bad(
        "30 a key of expect", "input: [3]\nlayers: [relu]\nexpect: {«parms: 0}\n", ("argument", "`parms`", "`params`?")
    ),
    bad(
        "30 an output",
        "input: [3]\nlayers: [relu]\noutputs: [«rleu]\n",
        ("reference", "`rleu`", "did you mean `relu`?"),
    ),
    called(
        "31 a later step",
        "add: [«late, «stem2]\n  - relu: {name: late}",
        ("reference", "`late` is not defined before"),
        ("reference", "`stem2`"),
    ),
    called(
        "31 itself",
        "conv: {name: self, filters: 8, from: «self}",
        ("reference", "is not defined before this step", "above it"),
    ),
    called(
        "31 a step of another scope",
        "residual: {name: r, filters: 8}\n  - add: «conv1",
        ("reference", "unknown step `conv1`", "did you mean `r.conv1`?"),
    ),
    called(
        "31 into a step that is no scope",
        "add: «stem.weight",
        ("reference", "unknown step `weight` in `stem`", "not a scope"),
    ),
    called(
        "31 into a scope that has no such step",
        "residual: {name: r, filters: 8}\n  - add: «r.conv",
        ("reference", "unknown step `conv` in `r`", "did you mean `conv1`?"),
    ),
    bad(
        "31 a block does not see its caller's steps",
        "input: [3]\nblocks: {b: {layers: [add: «stem]}}\nlayers:\n  - relu: {name: stem}\n  - b\n",
        ("reference", "unknown step `stem`"),
    ),
    bad(
        "31 a block does not see its caller's values",
        "input: [3]\nblocks: {b: {layers: [linear: «$n]}}\nlayers:\n  - sequential: {let: {n: 3}, layers: [b]}\n",
        ("expression", "unknown name `n`"),
    ),
    bad(
        "31 input of several",
        "input: {a: [3], b: [3]}\nlayers:\n  - add: [a, b]\n  - add: «input\n",
        ("reference", "several inputs", "`a` and `b`"),
    ),
    bad(
        "32 a step that reaches no output",
        "input: [3]\nlayers:\n  - «relu\n  - relu: {from: input}\n",
        ("unused", "unused step `relu`", "name it in `outputs`"),
    ),
    bad(
        "32 an input that reaches no output",
        "input: {a: [3], «b: [3]}\nlayers:\n  - relu\n",
        ("unused", "unused input `b`"),
    ),
    bad(
        "32 a param that nothing mentions",
        "input: [3]\nparams: {«n: 3}\nlayers:\n  - relu\n",
        ("unused", "unused param `n`"),
    ),
    bad(
        "32 a param beside the one that is used",
        "input: [3]\nparams: {«num_clases: 3, num_classes: 4, «num_claszes: 5}\nlayers: [linear: $num_classes]\n",
        ("unused", "unused param `num_clases`", "did you mean `num_classes`?"),
        ("unused", "unused param `num_claszes`", "did you mean `num_classes`?"),
    ),
    step(
        "a merge of one",
        "«add",
        ("argument", "add: expected two or more inputs, got 1", "`add: NAME` merges the step before"),
    ),
    step(
        "a merge of a list of one",
        "add: «[input]",
        ("argument", "two or more inputs, got 1", "`add: NAME` merges the step before"),
    ),
    called(
        "two values for an op",
        "relu: {from: «[stem, input]}",
        ("argument", "relu: expected one input, got 2", "`concat`"),
    ),
    called(
        "two values for a block",
        "«residual: {filters: 8, from: [stem, input]}",
        ("argument", "residual: expected one input, got 2"),
    ),
    bad(
        "one value for a block with two inputs",
        "input: [3]\nblocks: {b: {inputs: [x, y], layers: [add: [x, y]]}}\nlayers: [«b]\n",
        ("argument", "b: expected 2 inputs (x, y), got 1", "name 2 steps: `from: [...]`"),
    ),
    bad(
        "a name twice among a block's inputs and params",
        "input: [3]\nblocks: {b: {inputs: [x, «x, «n], params: {n: 1}, layers: [linear: $n]}}\nlayers: [relu]\n",
        ("name", "duplicate name `x`"),
        ("name", "duplicate name `n`"),
    ),
    called("a block without its argument", "«residual", ("argument", "residual: missing argument `filters`")),
    called("an argument for a block that takes none", "relu\n  - residual: {«x: 1, filters: 8}", ("argument", "`x`")),
]

REPEATS = [
    step("33 a billion copies", "relu: {repeat: «1000000000}", ("limit", "1,000,000 layers")),
    step(
        "33 copies that multiply",
        "inline: {repeat: «1000, layers: [{inline: {repeat: 1000, layers: [{relu: {repeat: 1000}}]}}]}",
        ("limit", "more than 1,000,000 layers"),
    ),
    bad(
        "33 copies that multiply by a param",
        "input: [3]\nparams: {n: 1000}\nlayers:\n"
        "  - inline: {repeat: $n, layers: [{inline: {repeat: «$n, layers: [{relu: {repeat: $n}}]}}]}\n",
        ("limit", "more than 1,000,000 layers"),
    ),
    bad(
        "33 blocks that double",
        "input: [3]\nblocks:\n"
        + "".join(f"  b{n}: {{layers: [b{n + 1}, b{n + 1}]}}\n" for n in range(24))
        + "  b24: {layers: [relu]}\nlayers: [«b0]\n",
        ("limit", "more than 1,000,000 layers"),
    ),
    step(
        "33 copies that are left out",
        "inline: {repeat: 1000, layers: [{relu: {repeat: «100000, when: '${index < 0}'}}]}",
        ("limit", "more than 200,000 copies with a condition"),
    ),
    bad(
        "33 blocks that triple under conditions",
        "input: [3]\nblocks:\n"
        + "".join(f"  b{n}: {{layers: [b{n + 1}: {{when: '${{True}}'}}, b{n + 1}, b{n + 1}]}}\n" for n in range(20))
        + "  b20: {layers: [relu: {when: '${True}'}]}\nlayers: [«b0]\n",
        ("limit", "more than 1,000,000 layers"),
    ),
    step(
        "33 scopes that multiply",
        "sequential: {repeat: «1000, layers: [sequential: {repeat: 101, layers: [linear: '${index + 1}']}]}",
        ("limit", "more than 100,000 blocks and `sequential`s"),
    ),
    step(
        "33 edges that multiply",
        f"«add: {{repeat: 100000, from: [{', '.join(['input'] * 1000)}]}}",
        ("limit", "more than 4,000,000 edges"),
    ),
    step(
        "33 names that multiply",
        "".join(f"sequential: {{name: {'n' * 99}, layers: [{MARK if n == 9 else ''}" for n in range(12))
        + "relu"
        + "]}" * 12,
        ("limit", "a path of more than 1,000 characters"),
    ),
    step("34 -1", "relu: {repeat: «-1}", ("value", "repeat: expected at least 0, got -1")),
    step("34 1.5", "relu: {repeat: «1.5}", ("type", "got the float 1.5")),
    step("34 true", "relu: {repeat: «true}", ("type", "got the boolean true")),
    step("34 -1 by an expression", "relu: {repeat: «'${0 - 1}'}", ("value", "repeat: expected at least 0, got -1")),
    step("34 1.0 by an expression", "relu: {repeat: «'${2 / 2}'}", ("type", "got the float 1.0")),
    step("34 two names", "relu: {repeat: «{a: 1, b: 2}}", ("value", "expected at most 1 entry, got 2")),
    bad(
        "35 a block that calls itself",
        "input: [3]\nblocks: {a: {layers: [«a]}}\nlayers: [a]\n",
        ("cycle", "`a` -> `a`"),
    ),
    bad(
        "35 blocks that call each other",
        "input: [3]\nblocks:\n  a: {layers: [b]}\n  b: {layers: [c]}\n  c: {layers: [relu, «a]}\nlayers: [relu]\n",
        ("cycle", "a block calls itself: `a` -> `b` -> `c` -> `a`"),
    ),
    step(
        "37 500 scopes", f"{'sequential: [{' * 48}sequential: [«{'{sequential: [' * 451}relu", ("depth", "100 levels")
    ),
    bad(
        "37 100 blocks in one another",
        "input: [3]\nblocks:\n"
        + "".join(f"  b{n}: {{layers: [{MARK if n == 29 else ''}b{n + 1}]}}\n" for n in range(10_000))
        + "  b10000: {layers: [relu]}\nlayers: [b0]\n",
        ("depth", "more than 30 levels"),
    ),
]

SHAPES = [
    bad(
        "41 add broadcasts nothing",
        "input: [8, 4, 4]\nlayers:\n  - global_avg_pool\n  - «add: input\n",
        (
            "shape",
            "add: operands differ: 8x1x1 (global_avg_pool) and 8x4x4 (input)",
            "to 8x4x4 first: `upsample: {from: global_avg_pool, scale: 4}`",
        ),
    ),
    bad(
        "41 multiply stretches one side only",
        "input: [8, 4, 4]\nlayers:\n  - adaptive_avg_pool: [1, 4]\n  - adaptive_avg_pool: {size: [4, 1], from: input}\n"
        "  - «multiply: adaptive_avg_pool\n",
        ("shape", "operands differ in more than axes of size 1"),
    ),
    bad(
        "concat of other sizes",
        "input: [8, 4, 4]\nlayers:\n  - max_pool: 2\n  - «concat: input\n",
        ("shape", "operands differ in an axis other than the channels", "`upsample: {from: max_pool, scale: 2}`"),
    ),
    bad(
        "a conv on features",
        "input: [8]\nlayers:\n  - «conv: 3\n",
        ("shape", "expected an input of 2 to 4 axes, channels first, got 8", "`linear` reads those"),
    ),
    step(
        "an axis the input does not have",
        "softmax: «depth",
        ("shape", "expected an axis of the input (channels, height, width, last), got `depth`"),
    ),
]

CASCADES = [
    bad(
        "what depends on a mistake is silent",
        "input: [3, 8, 8]\nlayers:\n"
        "  - conv: {name: a, filters: «0}\n  - conv: {filters: '${a.channels}', kernel: 20}\n"
        "  - flatten\n  - linear: '${input.channels}'\n  - add: [a, linear]\n",
        ("value", "expected at least 1, got 0"),
    ),
    bad(
        "but not a mistake of its own",
        "input: [3, 8, 8]\nlayers:\n"
        "  - conv: {filters: «0}\n  - conv: {filters: «3.0}\n  - dropout: «'${1.5}'\n  - add: «foo\n",
        ("value", "expected at least 1, got 0"),
        ("type", "expected an integer, got the float 3.0", "write 3"),
        ("value", "expected at most 1, got 1.5"),
        ("reference", "`foo`"),
    ),
    bad(
        "a param in error",
        "input: [3]\nparams: {n: «'${1 / 0}', m: $n}\nlayers:\n"
        "  - linear: $n\n  - relu: {repeat: $m}\n  - relu: {when: '${m > 1}'}\n",
        ("expression", "division by zero"),
    ),
    bad(
        "an input in error",
        "input: [3, «x]\nlayers:\n  - conv: 3\n  - flatten\n  - linear: «3.5\n",
        ("type",),
        ("type",),
    ),
    bad(
        "a misspelt key hides what stands under it",
        "input: [3]\n«praams: {n: 3}\nlayers:\n  - linear: $n\n",
        ("key", "", "`params`?"),
    ),
    bad(
        "a misspelt block key",
        "input: [3]\n«bolcks: {b: {layers: [relu]}}\nlayers:\n  - b\n  - linear: «x\n",
        ("key", "", "`blocks`?"),
        ("type",),
    ),
    bad(
        "misspelt defaults",
        "input: [3, 8, 8]\n«defualts: {max_pool: {kernel: 3}}\nlayers:\n  - max_pool\n",
        ("key", "", "`defaults`?"),
    ),
    bad(
        "a default in error is told once",
        "input: [3, 8, 8]\ndefaults: {conv: {kernel: «'${'}}\nlayers:\n  - conv: 3\n  - conv: 3\n",
        ("expression", "no closing"),
    ),
    bad(
        "an error in a block is told once",
        "input: [3, 8, 8]\nblocks: {b: {layers: [max_pool: «9]}}\nlayers:\n  - b: {repeat: 3}\n  - b\n",
        ("shape", "the kernel covers 9x9"),
    ),
    bad(
        "a scope in error has unknown names",
        "input: [3]\nlayers:\n  - inline: {let: {n: «$q}, layers: [relu: {name: a}]}\n  - add: [a, b]\n",
        ("expression", "`q`"),
    ),
    bad(
        "a misspelt op has the name it would have had",
        "input: [3]\nlayers:\n  - «lienar: 3\n  - add: [linear, input]\noutputs: [linear, «lin]\n",
        ("op", "`lienar`", "`linear`?"),
        ("reference", "`lin`"),
    ),
    bad(
        "every wrong name of a list",
        "input: [3]\nlayers:\n  - relu\n  - add: [«a, relu, «b]\n  - concat: {from: [«c, input]}\noutputs: [«d, add]\n",
        *[("reference", f"`{name}`") for name in "abcd"],
    ),
    bad(
        "five unrelated mistakes",
        "«nmae: five\ninput: [3, 8, 8]\nlayers:\n  - conv: {filters: 3, «kernal: 3}\n  - «rellu\n"
        "  - conv: {filters: «3.0}\n  - add: «inptu\n  - dropout: «1.5\n",
        ("key", "", "`name`?"),
        ("argument", "", "`kernel`?"),
        ("op", "", "`relu`?"),
        ("type", "", "write 3"),
        ("reference", "", "`input`?"),
        ("value",),
    ),
]


def doubled(levels: int, value: str = "[$p{0}, $p{0}]") -> str:
    """Entries of which each holds the one before twice; the 12th is the first with more than 10,000 values."""
    entries = "".join(f"  p{n}: {MARK if n == 12 else ''}{value.format(n - 1)}\n" for n in range(1, levels))
    return f"  p0: [1, 1]\n{entries}"


def many(count: int, line: str) -> str:
    """A line, `{}` in it replaced by a number, `count` times; those that are told of are marked."""
    return "".join(line.format(n).replace(MARK, MARK if n < MAX_FINDINGS else "") for n in range(count))


BLOCK_OF_MISTAKES = """\
input: [3, 8, 8]
blocks:
  b:
    layers:
      - «rellu
      - relu: {when: «$zz}
      - conv: {filters: «$nothing}
      - dropout: {rate: «"${1.5 + 0}"}
      - add: «fooo
      - add: {from: «"${[1] * 9000}"}
      - add: [«"no1", «"no2"]
      - linear: {units: 3, from: input, name: «"${'a' * 200}"}
layers:
"""
MISTAKES = [
    ("op", "`rellu`", "`relu`?"),
    ("expression", "`zz`"),
    ("expression", "`nothing`"),
    ("value", "expected at most 1, got 1.5"),
    ("reference", "`fooo`"),
    ("argument", "got numbers only"),
    ("reference", "`no1`"),
    ("reference", "`no2`"),
    ("name", "the name has 200 characters"),
]

WORK = [
    bad(
        "48 params that double",
        f"input: [3]\nparams:\n{doubled(60)}layers: [relu: {{when: '${{len(p59) == 2}}'}}, relu]\n",
        ("expression", "the list has more than 10,000 values"),
    ),
    bad(
        "48 mappings that double",
        f"input: [3]\nparams:\n{doubled(60, '{{a: $p{0}, b: $p{0}}}')}"
        "layers: [relu: {when: '${len(p59) == 2}'}, relu]\n",
        ("expression", "the list has more than 10,000 values"),
    ),
    bad(
        "48 one list under many names",
        "input: [3]\nparams:\n  p0: ["
        + "1, " * 8999
        + "1]\n"
        + "".join(f"  p{n}: {MARK if n == 446 else ''}$p{n - 1}\n" for n in range(1, 3000))
        + "layers: [relu: {when: '${p2999 == 1}'}, relu]\n",
        ("limit", "too much work for the expressions of one spec"),
    ),
    bad(
        "49 a let that doubles",
        "input: [3]\nlayers:\n  - inline:\n      let:\n"
        + "".join(f"      {line}\n" for line in doubled(60).splitlines())
        + "      layers: [relu: {when: '${p59 == p59}'}]\n",
        ("expression", "the list has more than 10,000 values"),
    ),
    bad(
        "49 an argument that doubles",
        "input: [3]\nblocks:\n"
        + "".join(
            f"  b{n}: {{params: {{p: }}, layers: [b{n + 1}: {MARK if n == 11 else ''}[$p, $p]]}}\n" for n in range(40)
        )
        + "  b40: {params: {p: }, layers: [relu: {when: '${p == p}'}]}\nlayers:\n  - b0: [1, 1]\n",
        ("expression", "the list has more than 10,000 values"),
    ),
    bad(
        "49 a list that is put into others in a loop",
        f"input: [3]\nparams: {{p: [{'1, ' * 8999}1]}}\n"
        "layers:\n  - inline: {repeat: 9000, let: {v: «[$p]}, layers: [relu: {when: '${v == 1}'}]}\n",
        ("limit", "too much work for the expressions of one spec"),
    ),
    bad(
        "49 a comparison",
        f"input: [3]\nparams:\n{doubled(12)}layers: [relu: {{when: «'${{[p11, p11] == [p11, p11]}}'}}, relu]\n",
        ("expression", "the list has more than 10,000 values"),
    ),
    bad(
        "50 params 1,200 deep",
        "input: [3]\nparams:\n  p0: [1]\n"
        + "".join(f"  p{n}: {MARK if n == 100 else ''}[$p{n - 1}]\n" for n in range(1, 1200))
        + "layers: [relu: {when: '${p1199 == p1199}'}, relu]\n",
        ("expression", "nested more than 100 levels deep"),
    ),
    bad(
        "50 an expression 1,200 deep",
        "input: [3]\nparams:\n  p0: [1]\n"
        + "".join(f"  p{n}: {MARK if n == 100 else ''}'${{[p{n - 1}]}}'\n" for n in range(1, 1200))
        + "layers: [relu: {when: '${p1199 == p1199}'}, relu]\n",
        ("expression", "nested more than 100 levels deep"),
    ),
    bad(
        "51 text of 100,000 characters",
        f"input: [3]\nparams: {{p: «'{' ' * 100_000}'}}\nlayers: [relu: {{name: $p}}]\n",
        ("limit", "the text has 100000 characters; the limit of a value is 4000"),
    ),
    bad(
        "52 unknown keys",
        "input: [3]\nlayers: [relu]\n" + many(20_000, "«kez{}: 1\n"),
        *[("key", f"unknown key `kez{n}`") for n in range(MAX_FINDINGS)],
    ),
    bad(
        "52 unknown ops",
        "input: [3]\nlayers:\n" + many(20_000, "  - «o{}\n"),
        *[("op", f"unknown op `o{n}`") for n in range(MAX_FINDINGS)],
    ),
    bad(
        "52 unknown ops and a key that may have been `blocks`",
        "input: [3]\n«blcks: {}\nlayers:\n" + "".join(f"  - o{n}\n" for n in range(20_000)),
        ("key", "`blcks`", "`blocks`?"),
    ),
    bad(
        "54 a block of mistakes that is called 16,000 times",
        BLOCK_OF_MISTAKES + "  - b\n" * 16_000,
        *MISTAKES,
    ),
    bad(
        "54 a block of mistakes in loops",
        BLOCK_OF_MISTAKES + "  - inline: {repeat: 40, layers: [inline: {repeat: 40, layers: [b: {repeat: 40}]}]}\n",
        *MISTAKES,
    ),
    bad(
        "54 blocks that lead back a thousand times",
        "input: [3]\nblocks:\n"
        + "".join(
            f"  b{n}: {{layers: [b{n + 1}, {MARK if n >= 999 - MAX_FINDINGS and n < 999 else ''}b0]}}\n"
            for n in range(1_000)
        )
        + "  b1000: {layers: [relu]}\nlayers: [relu]\n",
        *[("cycle", "`b0` -> `b1` -> `b2` -> `b3` -> (") for _ in range(MAX_FINDINGS)],
        ("limit", "more than 100 mistakes"),
    ),
]

TOKENS = "input: [6, 12]\nlayers:\n"
ATTENTION = [
    bad(
        "heads that do not divide the features",
        TOKENS + "  - multi_head_attention: «5\n",
        ("shape", "heads: expected a divisor of the 12 features, got 5", "4 or 6 would do"),
    ),
    bad(
        "an image given to attention",
        "input: [12, 4, 4]\nlayers:\n  - «multi_head_attention: 4\n",
        ("shape", "expected tokens, `[tokens, features]`, got 12x4x4", "put `- to_tokens` before it"),
    ),
    bad(
        "heads that divide the channels of an image",
        "input: [12, 5, 5]\nlayers:\n  - attention: {from: [input, input, input], heads: «4}\n",
        ("shape", "heads: expected a divisor of the 5 features, got 4", "put `- to_tokens` before it"),
    ),
    bad(
        "tokens given to a convolution of images",
        TOKENS + "  - to_image: {height: 2}\n  - to_tokens\n  - conv: {filters: 3, kernel: «[3, 3]}\n",
        ("shape", "kernel: expected 1 entry (length), got a list of 2", "`- to_image` before it"),
    ),
    bad(
        "attention without queries",
        TOKENS + "  - «attention: {heads: 2}\n",
        ("argument", "expected three inputs (q, k, v), got 1", "`from: [q, k, v]`, or a `split`"),
    ),
    bad(
        "attention of two",
        TOKENS + "  - attention: «[input, input]\n",
        ("argument", "expected three inputs (q, k, v), got 2"),
    ),
    bad(
        "keys of other features",
        TOKENS + "  - linear: {name: k, units: 8}\n  - «attention: [input, k, input]\n",
        ("shape", "expected as many features in the keys as in the queries: 6x12 (input) and 6x8 (k)", "same `units`"),
    ),
    bad(
        "a bias of another shape",
        TOKENS + "  - linear: {name: table, units: 3}\n  - attention: {from: [input, input, input], bias: «table}\n",
        ("shape", "bias: expected 6x6 or axes of 1, got 6x3 (table)", "`- reshape: [6, 6]`"),
    ),
    bad(
        "a bias that is not there",
        TOKENS + "  - attention: {from: [input, input, input], bias: «tabel}\n",
        ("reference", "unknown step `tabel`"),
    ),
    bad(
        "the parts of a split read as one",
        TOKENS + "  - split: {parts: 2, axis: last}\n  - «gelu\n  - add: split.0\n",
        ("reference", "`split` has 2 results", "name the one that is meant: `split.0`"),
    ),
    bad(
        "a split at the end",
        TOKENS + "  - relu: {name: a}\n  - split: {parts: 2, axis: last}\noutputs: «split\n",
        ("reference", "`split` has 2 results", "`split.0`"),
    ),
    bad(
        "a block that ends with a split",
        "input: [6, 12]\nblocks: {b: {layers: [{«split: {parts: 2}}]}}\nlayers: [b]\n",
        ("reference", "`split` has 2 results", "`split.0`"),
    ),
    bad(
        "a part that there is not",
        TOKENS + "  - split: {parts: 2}\n  - add: [split.0, «split.2]\n",
        ("reference", "unknown step `2` in `split`"),
    ),
    bad(
        "parts that do not divide",
        TOKENS + "  - split: {parts: «5, axis: last}\n",
        ("shape", "parts: expected a divisor of 12 (last), got 5", "`sizes` gives each part its size"),
    ),
    bad(
        "tokens of no square",
        TOKENS + "  - «to_image\n",
        ("shape", "6 tokens are not a square", "`to_image: {height: 7}`"),
    ),
    bad(
        "windows that do not divide",
        "input: [3, 8, 8]\nlayers:\n  - window_partition: «3\n",
        ("shape", "windows of 3 do not divide the height 8", "`pad` or resize"),
    ),
    bad(
        "an upsampling that says no size",
        "input: [3, 8, 8]\nlayers:\n  - «upsample: {mode: linear}\n",
        ("argument", "expected one of `scale`, `size` and `like`, got none of them"),
    ),
]

CASES = [*YAML, *names(), *TYPES, *EXPRESSIONS, *REFERENCES, *REPEATS, *SHAPES, *CASCADES, *WORK, *ATTENTION]
