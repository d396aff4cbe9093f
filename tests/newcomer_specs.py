"""What users of PyTorch, Keras, ONNX, Caffe, Darknet and YAML 1.1 write, and what they are told: a titled case each.

The form is that of `bad_specs.py`. The help counts here: it says what is meant, in the words of this language.
"""

from __future__ import annotations

from bad_specs import Bad, Wrong, bad, step


def op(word: str, help: str) -> Bad:
    """An op that is called otherwise here, or that is not here."""
    return step(f"the op {word}", f"«{word}: 8", ("op", f"unknown op `{word}`", help))


def argument(text: str, message: str, help: str, of: str = "conv: {filters: 8, kernel: 3, ") -> Bad:
    """An argument that is called otherwise here, or that is not here."""
    return step(f"the argument {text} of {of.partition(':')[0]}", f"{of}«{text}}}", ("argument", message, help))


def value(text: str, code: str, message: str, help: str) -> Bad:
    """A step with one wrong value."""
    return step(f"the value in {text}", text, (code, message, help))


def document(title: str, text: str, *wrong: Wrong | tuple[str, ...]) -> Bad:
    """A whole file."""
    return bad(title, text, *wrong)


OPS = [
    *(
        op(word, f"did you mean `{here}`?")
        for word, here in {
            "swish": "silu",
            "MultiHeadAttention": "multi_head_attention",
            "self_attention": "multi_head_attention",
            "attn": "attention",
            "RMSNorm": "rms_norm",
            "chunk": "split",
            "im2col": "unfold",
            "unpatchify": "to_image",
            "transpose": "permute",
            "resize": "upsample",
            "interpolate": "upsample",
            "dense": "linear",
            "Dense": "linear",
            "bn": "batch_norm",
            "BatchNormalization": "batch_norm",
            "mul": "multiply",
            "deconv": "conv_transpose",
            "Conv2DTranspose": "conv_transpose",
            "gap": "global_avg_pool",
            "GlobalAveragePooling2D": "global_avg_pool",
            "Conv2d": "conv",
            "nn.Conv2d": "conv",
            "torch.nn.Conv3d": "conv",
            "conv3x3": "conv",
            "MaxPooling2D": "max_pool",
            "MaxPool2d": "max_pool",
            "InnerProduct": "linear",
            "Gemm": "linear",
            "LRN": "local_response_norm",
            "ReLU": "relu",
            "Dropout2d": "spatial_dropout",
            "stochastic_depth": "drop_path",
            "lrelu": "leaky_relu",
            "ZeroPadding2D": "pad",
            "denes": "linear",
            "swihs": "silu",
        }.items()
    ),
    *(
        op(word, help)
        for word, help in {
            "lstm": "no recurrent layers",
            "GRU": "no recurrent layers",
            "nn.RNN": "no recurrent layers",
            "lstn": "no recurrent layers",
            "Bidirectional": "no recurrent layers",
            "embedding": "no embeddings",
            "nn.Embedding": "no embeddings",
            "embeding": "no embeddings",
            "TransformerEncoderLayer": "`layer_norm: {axis: last}`, `multi_head_attention`, `add`",
            "WindowAttention": "`window_partition`, `linear` to queries, keys and values",
            "rope": "no rotary embedding",
            "deform_conv2d": "no deformable convolution",
            "if": "`when` leaves a step out and `repeat` copies it",
            "while": "`when` leaves a step out and `repeat` copies it",
            "lambda": "runs no code",
            "einsum": "`matmul` multiplies two matrices",
            "bias": "a learned tensor is a `parameter`",
            "rsqrt": "no `rsqrt`",
            "bmm": "did you mean `matmul`?",
            "class_token": "did you mean `parameter`?",
            "minus": "did you mean `subtract`?",
            "celu": "no `celu`",
            "norm": "`batch_norm`, `layer_norm`",
            "activation": "`- relu`",
            "Activation": "`- relu`",
            "squeeze_excite": "`global_avg_pool`, `conv`, `relu`, `conv`, `sigmoid` and `multiply`",
            "separable_conv": "`depthwise_conv`, then `conv`",
            "conv_bn_relu": "one by one, or once as a block",
            "BasicBlock": "specs/resnet18.yaml",
            "parallel": "`from: NAME`",
            "Input": "at the top of the file",
            "cross_entropy": "not part of a spec",
            "fooo": "`archspec ops` lists the ops",
        }.items()
    ),
    step("a call, as in torch", "«Conv2d(3, 64, 3)", ("op", "`Conv2d(3, 64, 3)`", "`conv: {filters: 64, kernel: 3}`")),
    step("a call", "«conv(64, 3)", ("op", "", "`conv: {filters: 64, kernel: 3}`")),
    step("a call with one argument", "«nn.Linear(512, 10)", ("op", "", "`linear: {units: 10}`")),
    step("a call of an op that knows its channels", "«nn.BatchNorm2d(64)", ("op", "", "did you mean `batch_norm`?")),
    step("a rate in a call", "«Dropout(0.5)", ("op", "", "`dropout: {rate: 0.5}`")),
    step("words", "«conv 64 3", ("op", "", "`conv: {filters: 64, kernel: 3}`")),
    step(
        "an op as a value", "type: conv\n    «filters: 8", ("op", "got 2", "its op as its key: `conv: {filters: ...}`")
    ),
    step("an op as a value, as in Keras", "class_name: Conv2D\n    «filters: 8", ("op", "", "`conv: {filters: ...}`")),
    step("a name outside", "name: c\n    «conv: 8", ("op", "got 2", "`conv: {name: ...}`")),
    step("arguments that are not indented", "conv:\n    «filters: 8", ("op", "got 2", "`conv: {filters: ...}`")),
    step("a row, as in YOLO", "«[-1, 1, Conv, [64, 3]]", ("type", "got a list", "`conv: {filters: 64, kernel: 3}`")),
    step(
        "a step without an op",
        "repeat: 3\n    «layers: [relu]",
        ("op", "got 2", "`inline: {repeat: ..., layers: ...}`"),
    ),
    step("a scope of one step", "sequential: «relu", ("type", "got the text 'relu'", "`sequential: [relu]`")),
    step("a scope of a mapping", "sequential: {«conv: 8}", ("argument", "unknown argument `conv`", "are a list")),
    step("a stem is not an lstm", "«stem: 8", ("op", "unknown op `stem`", "a group of steps is a `sequential`")),
    step("a list of steps in a list", "«[relu, gelu]", ("type", "got a list", "`sequential: [...]`")),
]

ARGUMENTS = [
    argument("activation: relu", "unknown argument `activation`", "a step of its own, after this one: `- relu`"),
    argument("step: 2", "unknown argument `step`", "did you mean `stride`?"),
    argument("strides: 2", "unknown argument `strides`", "did you mean `stride`?"),
    argument("padding_mode: reflect", "unknown argument `padding_mode`", "`- pad: {padding: 1, mode: reflect}`"),
    argument("in_channels: 3", "unknown argument `in_channels`", "leave `in_channels` out: what a step reads is known"),
    argument("use_bias: false", "unknown argument `use_bias`", "did you mean `bias`?"),
    argument("kernel_initializer: he_normal", "unknown argument `kernel_initializer`", "not part of a spec"),
    argument("norm: batch", "unknown argument `norm`", "`- batch_norm`"),
    argument("dtype: float16", "unknown argument `dtype`", "when the network is built"),
    argument("input: stem", "unknown argument `input`", "did you mean `from`?"),
    argument("bottom: data", "unknown argument `bottom`", "did you mean `from`?"),
    argument("if: true", "unknown argument `if`", "did you mean `when`?"),
    argument("times: 3", "unknown argument `times`", "did you mean `repeat`?"),
    argument("id: c1", "unknown argument `id`", "did you mean `name`?"),
    argument("out_channels: 8", "unknown argument `out_channels`", "did you mean `filters`?", "conv: {"),
    argument("out_features: 8", "unknown argument `out_features`", "did you mean `units`?", "linear: {"),
    argument("num_features: 3", "unknown argument `num_features`", "leave `num_features` out", "batch_norm: {"),
    argument("inplace: true", "unknown argument `inplace`", "leave `inplace` out", "relu: {"),
    argument("dim: 64", "unknown argument `dim`", "what it reads is known", "attention: {"),
    argument(
        "causal: true", "unknown argument `causal`", "`attention` has `causal`", "multi_head_attention: {heads: 1, "
    ),
    argument(
        "keep_prob: 0.8", "unknown argument `keep_prob`", "the share that is dropped: 1 - keep_prob", "dropout: {"
    ),
    argument("start_dim: 1", "unknown argument `start_dim`", "all axes but the batch", "flatten: {"),
]

VALUES = [
    value("conv: {filters: 8, kernel: «3x3}", "type", "got the text '3x3'", "[3, 3]"),
    value('conv: {filters: 8, kernel: «"(3, 3)"}', "type", "got the text '(3, 3)'", "[3, 3]"),
    value("conv: «[64, 3]", "type", "expected an integer, got a list", "by name: `conv: {filters: 64, kernel: 3}`"),
    value("conv: {filters: 8, kernel: 3, padding: «valid}", "type", "got the text 'valid'", "no padding is `0`"),
    value("conv: {filters: 8, kernel: 3, padding: «SAME}", "type", "got the text 'SAME'", "did you mean `same`?"),
    value("conv: {filters: 8, kernel: 3, padding: «causal}", "type", "", "`- pad: {padding: [[2, 0]]}`"),
    value("conv: {filters: 8, padding: «[1, 1, 1, 1]}", "value", "at most 3 entries, got 4", "a pair per axis"),
    value("conv: {filters: 8, kernel: «[3, 3, 3]}", "shape", "expected 2 entries (height, width), got a list of 3", ""),
    value("conv: {filters: 8, bias: «0}", "type", "expected true or false, got the integer 0", "write `false`"),
    value("conv: {filters: 8, bias: «None}", "type", "got the text 'None'", "has its default"),
    value("conv: {filters: «width}", "type", "got the text 'width'", "written `$width`"),
    value("conv: {filters: «2*width}", "type", "got the text '2*width'", '"${2*width}"'),
    value("conv: {filters: «'${input.channels} * 2'}", "type", "got the text '3 * 2'", "in `${...}` as a whole"),
    value("relu: {when: «'${input.channels} == 3'}", "type", "got the text '3 == 3'", "in `${...}` as a whole"),
    value("relu: {when: «not true}", "type", "got the text 'not true'", "in `${...}` as a whole"),
    value("relu: {repeat: «range(3)}", "type", "got the text 'range(3)'", "write the number: 3"),
    value("dropout: «50", "value", "expected at most 1, got 50", "0.5"),
    value("dropout: «50%", "type", "got the text '50%'", "write 0.5"),
    value("batch_norm: «64", "value", "expected at most 1, got 64", "`batch_norm` knows its channels"),
    value("layer_norm: «768", "value", "expected at most 1, got 768", "`layer_norm` knows its channels"),
    value("relu: «true", "type", "expected no value, got the boolean true", "`relu: {when: true}`"),
    value("flatten: «1", "type", "expected no value, got the integer 1", "`flatten` takes no argument"),
    value("relu: «input", "type", "expected no value, got the text 'input'", "`relu: {from: input}`"),
    value("softmax: «1", "type", "got the integer 1", "torch's axis 1 is `channels`"),
    value("softmax: «channel", "value", "got the text 'channel'", "did you mean `channels`?"),
    value("permute: «[0, 2, 3, 1]", "shape", "expected each of 0 to 2 once", "the batch is not counted: [1, 2, 0]"),
    value("reshape: «[3, 100]", "shape", "3x8x8 (192 numbers) does not fill 3x100", ""),
    value("upsample: {scale: 2, mode: «bilinear}", "value", "got the text 'bilinear'", "did you mean `linear`?"),
    value("upsample: «2x", "type", "got the text '2x'", ""),
    value("pad: {padding: 1, mode: «edge}", "value", "got the text 'edge'", "did you mean `replicate`?"),
    value("concat: «2.5", "type", "got the float 2.5", "a step is read by its name"),
    value("relu: {from: «-1}", "type", "got the integer -1", "by name, not counted back"),
    value("relu: {from: «$input}", "type", "got a tensor", "without `$`"),
    value(
        "relu: {from: «previous}", "reference", "unknown step `previous`", "without `from`, a step reads the one before"
    ),
    value("conv: {name: «features.0, filters: 8}", "name", "'features.0'", "a `sequential` named `features`"),
    value("add: «input, relu", "reference", "unknown step `input, relu`", "write a list: `[input, relu]`"),
    value("pad: «[1, 1, 1, 1]", "value", "at most 3 entries, got 4", "a pair per axis"),
    value("conv: {name: «my conv, filters: 8}", "name", "'my conv'", "did you mean `my_conv`?"),
    value("conv: {filters: «'${sqrt(9)}'}", "expression", "unknown function `sqrt(...)`", "`x ** 0.5`"),
    value("conv: {filters: «'${math.ceil(9.5)}'}", "expression", "unknown function `math.ceil(...)`", "`ceil(...)`"),
    value("relu: {repeat: «'${list(3)}'}", "expression", "unknown function `list(...)`", "give lists already"),
    value("conv: {filters: «'${input.c}'}", "expression", "has no `c`", "did you mean `channels`?"),
    value("conv: {filters: «'${input.size()}'}", "expression", "unknown function `input.size(...)`", "`shape`"),
    value("conv: {filters: «'${True ? 3 : 4}'}", "expression", "is not a valid expression", "`a if condition else b`"),
    value("relu: {when: «'${True && False}'}", "expression", "is not a valid expression", "write `and`"),
    value("conv: {filters: «'${2 ^ 3}'}", "expression", "the operator of `2 ^ 3`", "`**`"),
    value("conv: {filters: «'${index}'}", "expression", "unknown name `index`", "counts the copies of a `repeat`"),
    step(
        "a tuple in braces",
        "conv: {filters: 8, kernel: «(3, «3)}",
        ("type", "got the text '(3'", "no tuples"),
        ("argument", "unknown argument `3)`", "no tuples"),
    ),
    step("braces, as in Jinja", "conv: {filters: {«{ width }}}", ("key", "expected a text key", "is written `${...}`")),
    step("a comma that is missing", "conv: {filters: 8 kernel«: 3}", ("syntax", "", "separated by commas")),
    step("arguments without braces", "conv: filters«: 8", ("syntax", "", "`conv: {filters: 8}`")),
    step("a tag that includes", "«!include other.yaml", ("tag", "the tag `!include`", "`include: [...]`")),
]

EDGES = [
    step(
        "a loop that reads by its index",
        'relu: {from: «"body.layer${index + 1}", repeat: 2}',
        ("expression", "unknown name `index`; what a repeated step reads is looked up once", "repeat an `inline`"),
    ),
    step(
        "a loop that reads by its entry",
        'relu: {from: «"body.layer${i}", repeat: {i: 2}}',
        ("expression", "unknown name `i`; what a repeated step reads is looked up once", "repeat an `inline`"),
    ),
    document(
        "a step without a name that is left out, and is read",
        "input: [3]\nlayers:\n  - relu: {when: false}\n  - gelu\n  - add: «relu\n",
        ("reference", "unknown step `relu`: a `relu` without a name is left out", "give that step a name"),
    ),
    document(
        "a number that a step that is left out would have given",
        "input: [3]\nlayers:\n  - relu\n  - relu: {when: false}\n  - gelu\n  - add: «relu_2\n",
        ("reference", "unknown step `relu_2`: a `relu` without a name is left out"),
    ),
    document(
        "a position that a step that is left out would have had",
        'input: [3]\nlayers:\n  - sequential: [relu: {when: false}, gelu, add: «"1"]\n',
        ("reference", "unknown step `1`: a step without a name is left out, and takes no position"),
    ),
    document(
        "a step in an inline that is left out",
        "input: [3]\nlayers:\n  - inline: {when: false, layers: [relu: {name: a}]}\n  - gelu\n  - add: «a\n",
        ("reference", "unknown step `a`: the `inline` that it stands in is left out"),
    ),
    document(
        "a step in a sequential that is left out",
        "input: [3]\nlayers:\n"
        "  - sequential: {name: s, when: false, layers: [relu: {name: a}]}\n  - gelu\n  - add: «s.a\n",
        ("reference", "unknown step `a` in `s`", "`s` is left out"),
    ),
    document(
        "two steps of one name that both stand",
        "input: [3]\nlayers:\n  - relu: {name: a, when: true}\n  - gelu: {name: «a, when: true}\n",
        ("name", "duplicate name `a`", "at most one of their conditions holds"),
    ),
    document(
        "a step of a name that always stands",
        "input: [3]\nlayers:\n  - relu: {name: a}\n  - gelu: {name: «a, when: false}\n",
        ("name", "duplicate name `a`", "each has a `when`"),
    ),
    document(
        "a step that always stands, behind one of its name",
        "input: [3]\nlayers:\n  - relu: {name: a, when: false}\n  - gelu: {name: «a}\n",
        ("name", "duplicate name `a`", "each has a `when`"),
    ),
    document(
        "a mistake in one of two steps of one name",
        "input: [3]\nparams: {x: true}\nlayers:\n"
        "  - linear: {name: a, units: «0, when: $x}\n  - gelu: {name: a, when: '${not x}'}\n  - relu\n",
        ("value", "expected at least 1, got 0"),
    ),
]

INPUTS = [
    document(
        "a batch",
        "input: [1, 3, 224, 224]\nlayers:\n  - conv: {filters: 64, kernel: «7, stride: 2}\n",
        ("shape", "the kernel covers 7x7x7", "the batch is not written: `input: [3, 224, 224]`"),
    ),
    document(
        "channels last",
        "input: [224, 224, 3]\nlayers:\n  - conv: {filters: 64, kernel: «7, stride: 2}\n",
        ("shape", "the kernel covers 7x7", "channels come first: `input: [3, 224, 224]`"),
    ),
    document("a shape with x", "input: «3x224x224\nlayers: [relu]\n", ("type", "got the text", "`[3, 224, 224]`")),
    document("a named one", "input: {x: «3x224x224}\nlayers: [relu]\n", ("type", "got the text", "`[3, 224, 224]`")),
    document("a tuple", "input: «(3, 224, 224)\nlayers: [relu]\n", ("type", "got the text", "`[3, 224, 224]`")),
    document("a size", "input: «224\nlayers: [relu]\n", ("type", "got the integer 224", "`[3, 224, 224]`")),
    document("None", "input: [«null, 3, 8, 8]\nlayers: [relu]\n", ("type", "got nothing", "the batch is not written")),
    document("N", "input: [«N, 3, 8, 8]\nlayers: [relu]\n", ("type", "got the text 'N'", "the batch is not written")),
    document("-1", "input: [«-1, 3, 8, 8]\nlayers: [relu]\n", ("value", "got -1", "the batch is not written")),
    document("5", "input: «[1, 3, 8, 8, 8]\nlayers: [relu]\n", ("value", "at most 4", "`[3, 8, 8, 8]`")),
    document("an expression", "input: «$shape\nlayers: [relu]\n", ("type", "", "the whole list may not")),
    document("model", "input: [3]\n«model: [relu]\n", ("key", "unknown key `model`", "did you mean `layers`?")),
    document("inputs", "«inputs: [3]\nlayers: [relu]\n", ("key", "unknown key `inputs`", "did you mean `input`?")),
    document("output", "input: [3]\nlayers: [relu]\n«output: relu\n", ("key", "unknown key `output`", "`outputs`?")),
    document("a param at the top", "input: [3]\nlayers: [relu]\n«num_classes: 9\n", ("key", "", "under `params:`")),
    document("an optimizer", "input: [3]\nlayers: [relu]\n«optimizer: sgd\n", ("key", "", "not its training")),
    document("a base", "«base: resnet18\n", ("key", "unknown key `base`", "did you mean `extends`?")),
    document("layers by name", "input: [3]\nlayers:\n  «a: relu\n", ("type", "got a mapping", "starts with `- `")),
    document("a list at the root", "«- relu\n", ("document", "got a list", "under `layers:`")),
    document(
        "a param of itself",
        "extends: resnet50\nparams: {width: «'${width * 2}'}\n",
        ("cycle", "`width` -> `width`", "cannot use the value that it replaces"),
    ),
]

BLOCKS = [
    document(
        "a block before a foreign word",
        "input: [3]\nblocks: {swish1: {layers: [relu]}}\nlayers: [«swish]\n",
        ("op", "unknown op `swish`", "did you mean `swish1`?"),
    ),
    document(
        "a block beside a foreign word",
        "input: [3]\nblocks: {dense_layer: {layers: [relu]}}\nlayers: [«dense: 3]\n",
        ("op", "unknown op `dense`", "the block `dense_layer`, or `linear`?"),
    ),
    document(
        "a block for what archspec does not have",
        "input: [3]\nblocks: {router: {layers: [relu]}}\nlayers: [«moe]\n",
        ("op", "unknown op `moe`", "did you mean `router`?"),
    ),
    document(
        "a block that only looks alike",
        "input: [3]\nblocks: {stem: {layers: [relu]}}\nlayers: [«lstm]\n",
        ("op", "unknown op `lstm`", "it has no recurrent layers"),
    ),
    document(
        "the argument of a block by another name",
        "input: [3]\nblocks: {b: {params: {units: }, layers: [linear: $units]}}\nlayers:\n  - b: {«out_features: 3}\n",
        ("argument", "b: unknown argument `out_features`", "did you mean `units`?"),
    ),
    document(
        "an argument in the block itself",
        "input: [3]\nblocks: {b: {«units: 3, layers: [relu]}}\nlayers: [b]\n",
        ("argument", "unknown argument `units`", "under its `params:`"),
    ),
    document(
        "a block of another form",
        "input: [3]\nblocks:\n  b:\n    «- relu\nlayers: [b]\n",
        ("type", "got a list", "under its `layers:`"),
    ),
    document(
        "keys of a block by another name",
        "input: [3]\nblocks: {b: {«args: {n: 3}, «steps: [linear: $n]}}\nlayers: [b]\n",
        ("argument", "unknown argument `args`", "did you mean `params`?"),
        ("argument", "unknown argument `steps`", "did you mean `layers`?"),
    ),
    document(
        "defaults by another name",
        "input: [3]\ndefaults: {«dense: {bias: false}}\nlayers: [linear: 3]\n",
        ("op", "defaults: unknown op `dense`", "did you mean `linear`?"),
    ),
]

NEWCOMERS = [*OPS, *ARGUMENTS, *VALUES, *EDGES, *INPUTS, *BLOCKS]
