"""Words that users bring from other frameworks: what each is called here, or what archspec does instead.

The help of a message looks here before it looks for the nearest spelling. What an op or an argument is called elsewhere
stands on the op itself (`also_called`); this file has the lookup, the words for keys, and a sentence for each thing
that archspec does not have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from archspec.errors import did_you_mean, nearest
from archspec.ops import OPS, table
from archspec.ops.base import Op

CLOSE = 0.75
"""How alike a word must be to a foreign one (a ratio of `difflib`) to be taken for a misspelt one."""
SAME = 0.8
"""How alike a word must be to a block to be taken for it, whatever else it means."""

# What archspec does not have.

_OUTSIDE = "write that part in torch, around `archspec.build(...)`"
_ARITHMETIC = "archspec has no `{word}`; `archspec ops` lists the arithmetic that there is"
_BLOCK = "that is a group of steps: define it under `blocks:`, as specs/{} does"

_GROUP_WORD = "(?:block|module|unit|stage|cell|head|neck|stem)s?[0-9]*$"
_OPS = "`archspec ops` lists the ops; a block of your own stands under `blocks:`"
_GROUP = "a group of steps is a `sequential`, or a block under `blocks:`"

MISSING_OPS: Mapping[str, str] = {
    "archspec describes networks whose values flow forward, each computed once, so it has no recurrent layers; for "
    f"sequences, take `attention: {{causal: true}}`, `conv` steps with growing `dilation`, or {_OUTSIDE}": (
        "lstm gru rnn lstm_cell gru_cell rnn_cell simple_rnn bilstm bigru conv_lstm bidirectional recurrent "
        "time_distributed stacked_lstm"
    ),
    "archspec describes networks that compute with numbers, so it has no embeddings of indices; look them up outside "
    "of the network, and declare the result as `input: [tokens, features]`": (
        "embedding embeddings embed embedding_bag word_embedding token_embedding lookup_table one_hot "
        "string_lookup text_vectorization"
    ),
    "a transformer layer is a group of steps: `layer_norm: {axis: last}`, `multi_head_attention`, `add`, then "
    "`linear`, `gelu`, `linear` and `add`; define it under `blocks:`": (
        "transformer transformer_encoder transformer_decoder transformer_encoder_layer transformer_decoder_layer "
        "transformer_layer transformer_block encoder_layer decoder_layer encoder_block decoder_block"
    ),
    "window attention is `window_partition`, `linear` to queries, keys and values, `split`, `attention` and "
    "`window_reverse`; define it under `blocks:`": "window_attention wmsa shifted_window_attention swin_block",
    "archspec has no `{word}`; `attention` is the softmax of scaled products, times the values": (
        "additive_attention deformable_attention non_local non_local_block linear_attention attention_block"
    ),
    f"archspec has no rotary embedding; {_OUTSIDE}": "rope rotary rotary_embedding rotary_position_embedding",
    "a learned tensor is a `parameter`, which `add` reads by its name; `conv` and `linear` have a `bias`": (
        "bias bias_add positional_encoding positional_embedding"
    ),
    "a patch embedding is a `conv` whose kernel and stride are the size of a patch": "patch_embed patch_embedding",
    f"archspec has no deformable convolution; `conv` with `dilation` has a wide window of fixed form, or {_OUTSIDE}": (
        "deform_conv deformable_conv deformable_convolution dcn dcnv2 dcnv3 modulated_deform_conv"
    ),
    "archspec has no control flow that depends on data; `when` leaves a step out and `repeat` copies it, "
    "both decided by params": ("if else elif while for for_each loop switch cond case scan try early_exit"),
    "archspec has no routing that depends on data; every step runs for every sample": (
        "moe mixture_of_experts router top_k argmax argmin where scatter nonzero masked_fill masking mask "
        "sort unique gather_nd"
    ),
    "boxes are chosen outside of the network: name what that reads in `outputs`": (
        "nms non_max_suppression roi_align roi_pool roi_pooling anchor yolo detect prior_box"
    ),
    "a spec runs no code; build the layer from ops, as a block, or " + _OUTSIDE: (
        "lambda function custom python module code call import script"
    ),
    "archspec has no `{word}`; `matmul` multiplies two matrices, `linear` multiplies by a learned one": (
        "einsum dot bilinear_layer tensordot"
    ),
    _ARITHMETIC: "reciprocal rsqrt sign floor ceil round erf",
    "archspec has no `{word}`; `clamp: {min: -1, max: 1}` does the same": "hardtanh hard_tanh",
    "archspec has no `{word}`; `archspec ops` lists the activations that there are": (
        "celu rrelu hardshrink softshrink tanhshrink softsign log_sigmoid threshold maxout snake squareplus "
        "star_relu thresholded_relu softmin aconc relu2"
    ),
    "archspec has no `{word}`; `split` into two parts, then `sigmoid` one and `multiply`": (
        "glu geglu swiglu gated_linear_unit"
    ),
    "the activation is a step of its own, by its name: `- relu`, `- silu`": (
        "activation act nonlinearity nonlin act_fn act_layer activation_layer"
    ),
    "write which one: `batch_norm`, `layer_norm`, `group_norm` or `instance_norm`": (
        "norm normalization normalisation norm_layer"
    ),
    "archspec has no `{word}` yet; it has `batch_norm`, `layer_norm`, `group_norm` and `instance_norm`": (
        "filter_response_norm sync_batch_norm weight_norm "
        "spectral_norm weight_standardization mean_variance_normalization group_norm_act grn global_response_norm"
    ),
    "archspec has no `{word}`; `mean`, `max` and `sum` reduce axes by their names": (
        "std var variance cumsum norm_l2 logsumexp amin spatial_attention spatial_gate cbam channel_mean channel_max"
    ),
    "archspec has no `{word}` yet; `max_pool` and `avg_pool` are the poolings with a window": (
        "lp_pool fractional_max_pool max_unpool spp sppf spatial_pyramid_pooling gem stochastic_pool"
    ),
    "archspec has no `{word}` yet; `reshape` and `permute` rearrange up to six axes": (
        "pixel_unshuffle space_to_depth fold col2im focus flip rot90 reverse affine_grid grid_sample"
    ),
    "archspec has no new axes by stacking; `concat` joins along an axis that is there": "stack unstack pack",
    "`multiply` stretches axes of size 1 by itself; `upsample` repeats pixels": (
        "expand expand_as broadcast broadcast_to tile repeat_vector repeat_interleave"
    ),
    "a depthwise separable convolution is two steps: `depthwise_conv`, then `conv` with kernel 1": (
        "separable_conv separable_convolution depthwise_separable_conv depthwise_separable sep_conv"
    ),
    "write the steps one by one, or once as a block under `blocks:`: `conv`, `batch_norm`, `relu`": (
        "conv_bn conv_bn_relu conv_bn_act cbr cbl cbs conv_norm_act conv_norm_activation conv_relu bn_relu bn_act "
        "conv_module conv_block conv_layer_block linear_bn_act"
    ),
    "a squeeze-and-excitation block is `global_avg_pool`, `conv`, `relu`, `conv`, `sigmoid` and `multiply`: define it "
    "under `blocks:`": (
        "se se_block se_layer se_module squeeze_excite squeeze_excitation senet channel_attention channel_gate se_net"
    ),
    _BLOCK.format("resnet18.yaml"): "residual residual_block res_block resblock basic_block basicblock",
    _BLOCK.format("resnet50.yaml"): "bottleneck bottleneck_block",
    _BLOCK.format("mobilenet_v2.yaml"): "inverted_residual inverted_bottleneck mb_conv mbconv ir_block",
    _BLOCK.format("googlenet.yaml"): "inception inception_block inception_module",
    _BLOCK.format("squeezenet1_0.yaml"): "fire fire_module",
    "a branch starts with `from: NAME`, and a merge joins the branches: `concat: [left, right]`": (
        "parallel branch branches fork split_branches multi_branch concat_branches"
    ),
    "a network of the zoo is not a step; a file may start from it: `extends: resnet18`": (
        "resnet resnet18 resnet34 resnet50 resnet101 resnet152 vgg vgg16 mobilenet mobilenet_v2 efficientnet "
        "googlenet alexnet squeezenet"
    ),
    _GROUP: (
        "module_list modulelist model network layers seq stage mlp dense_block ffn head stem body neck trunk "
        "backbone encoder decoder block unit cell down"
    ),
    "the input is declared once, at the top of the file: `input: [3, 224, 224]`": (
        "input inputs input_layer placeholder data image image_input"
    ),
    "the last step is the output; `outputs: [...]` names others": "output outputs return result yield",
    "`use: NAME` applies the step NAME again, with the same weights": (
        "shared share reuse shared_weights weight_sharing siamese tied tie apply call same_as same_weights shared_layer"
    ),
    "a group of steps is repeated by `inline: {repeat: 3, layers: [...]}`, a single one by its key `repeat`": (
        "repeat copies times_n range"
    ),
    "a name is a key of the step: `conv: {name: conv1, filters: 64}`": "name label",
    "a step has its op as its key: `- conv: {filters: 64}`": "type op op_type class_name layer kind",
    "losses and training are not part of a spec": (
        "loss cross_entropy cross_entropy_loss mse mse_loss nll_loss softmax_with_loss accuracy optimizer sgd adam "
        "softmax_loss bce triplet_loss"
    ),
    "numbers have the type and the device that the network is built with": (
        "cast to float half quantize dequantize quant_stub dequant_stub contiguous detach"
    ),
    "noise and augmentation are not part of a spec; `dropout` and `drop_path` are the random ops": (
        "gaussian_noise gaussian_dropout alpha_dropout random_crop random_flip normalize_input rescaling "
        "drop_block dropblock center_crop_input feature_alpha_dropout"
    ),
}
"""The ops that archspec does not have, under what to do instead; `{word}` stands for the word that was written."""

_TRAINING = "how a network is trained is not part of a spec; leave `{word}` out"

MISSING_ARGUMENTS: Mapping[str, str] = {
    "leave `{word}` out: what a step reads is known": (
        "in_channels in_features in_planes inplanes input_channels input_dim input_shape c_in input_size in_dim "
        "in_filters in_ch num_features num_channels normalized_shape ch_in channels features in_size nin "
        "input_features"
    ),
    "the activation is a step of its own, after this one: `- relu`": (
        "activation act act_layer activation_fn act_fn nonlinearity relu with_relu act_type"
    ),
    "a normalisation is a step of its own, after this one: `- batch_norm`": (
        "norm norm_layer bn use_bn batch_norm batchnorm batch_normalize norm_type with_bn normalizer_fn norm_cfg"
    ),
    "pad in a step of its own before this one: `- pad: {padding: 1, mode: reflect}`": "padding_mode pad_mode",
    _TRAINING: (
        "kernel_regularizer bias_regularizer weight_decay regularizer l2 lr_mult lr trainable requires_grad frozen "
        "freeze decay_mult kernel_constraint weights pretrained activity_regularizer"
    ),
    "`init` says how weights are drawn: `init: {normal: 0.01, bias: 0}`": (
        "kernel_initializer bias_initializer weight_initializer weight_init bias_init initializer init_weights "
        "weight_filler bias_filler gamma_initializer beta_initializer init_cfg zero_init initialization"
    ),
    "`use: NAME` is a step that applies the step NAME again, with the same weights": (
        "share_with shared_with shared weights_of tied_to share_weights share weight_sharing"
    ),
    "leave `{word}` out: whether a result takes the place of its input is not part of a spec": "inplace in_place",
    "leave `{word}` out: axes are always in the order of channels, height, width": "data_format channels_last",
    "leave `{word}` out: the type and the device are chosen when the network is built": "dtype device",
    "running statistics are always kept": "track_running_stats use_global_stats",
    "a dropout is a step of its own: `- dropout: 0.5`": "dropout drop_rate drop",
    "a step has its op as its key: `- conv: {filters: 64}`": "type op op_type class_name layer",
}
"""The arguments that no op has, under what to do instead."""

# Keys.

STEP_WORDS: Mapping[str, str] = {
    "from": (
        "input inputs bottom bottoms reads source sources inbound_nodes prev previous skip connect in x after "
        "feeds parents"
    ),
    "name": "id label top as key",
    "repeat": "times count number num repeats num_blocks n_blocks num_layers copies loop for n depth blocks",
    "when": "if condition cond enabled only_if enable unless active use",
}
"""What the keys that every step may carry are called elsewhere."""

DOCUMENT_WORDS: Mapping[str, str] = {
    "layers": (
        "model network net architecture arch backbone steps graph body forward nodes modules structure ops "
        "sequential layer main features"
    ),
    "input": "input_shape input_size in_shape shape image_size input_dim inputs data in_channels",
    "outputs": "output heads returns return out targets",
    "params": (
        "parameters variables vars hyperparameters hparams args arguments config constants settings options cfg let"
    ),
    "blocks": "templates components definitions defs macros functions classes submodules types",
    "defaults": "default default_args common globals",
    "init": (
        "initializer initializers initialization initialisation initialize weight_init init_weights weights_init "
        "initial_weights init_cfg kernel_initializer"
    ),
    "extends": "base parent inherits inherit inherits_from extend based_on _base_",
    "include": "import imports includes use require from",
    "expect": "expected expects assert asserts checks check verify tests",
    "reference": "paper url source references ref citation link",
    "description": "desc doc summary comment title notes",
    "name": "model_name id net_name",
    "archspec": "version format format_version schema_version apiversion",
}
"""What the keys of a document are called elsewhere."""

MISSING_KEYS: Mapping[str, str] = {
    "a value that expressions use stands under `params:`": (
        "num_classes classes width depth nc depth_multiple width_multiple scales n_classes"
    ),
    "a spec describes the network only, not its training": (
        "optimizer loss lr learning_rate epochs training train batch_size scheduler dataset metrics trainer batch "
        "weights pretrained seed data_augmentation"
    ),
    "the type and the device are chosen when the network is analysed or built": "dtype device precision",
}
"""The keys that no document has, under what to do instead."""

VALUE_WORDS: Mapping[str, str] = {
    "linear": "bilinear trilinear",
    "cubic": "bicubic",
    "nearest": "nearest_neighbor nearest_neighbour nn",
    "nearest-exact": "nearest_exact",
    "constant": "zeros zero zero_pad",
    "reflect": "reflection mirror",
    "replicate": "edge replication border",
    "circular": "wrap periodic",
    "channels": "channel c 1",
    "last": "-1 feature features end tokens",
    "height": "h rows y",
    "width": "w cols columns x",
    "length": "l time sequence seq",
    "same": "same_upper samepadding",
    "half": "auto autopad k//2",
}
"""What the words to choose from are called elsewhere."""


def op_called(word: str) -> str | None:
    """Return the op that other frameworks call `word`."""
    return _lookup(word, _op_words())


def op_help(word: str, blocks: Collection[str]) -> str | None:
    """Return the help for an op that is unknown, in a spec with these blocks.

    A block that is spelt alike comes first, then what the word means elsewhere, then the nearest spelling.
    """
    op, sentence = op_called(word), _lookup(word, _missing_ops())
    block = nearest(word, blocks) if blocks else None
    if block and _likeness(word, block) >= SAME:
        return f"did you mean `{block}`?"
    related = block if block and _plain(word) in _plain(block) else None
    if sentence and not related:
        group = {_plain(other) for other in MISSING_OPS[sentence].split()}
        related = next((each for each in blocks if _plain(each) in group), None)
    if op:
        return f"did you mean the block `{related}`, or `{op}`?" if related else f"did you mean `{op}`?"
    if sentence:
        return f"did you mean `{related}`? {_told(sentence, word)}" if related else _told(sentence, word)
    if re.search(_GROUP_WORD, _plain(word)):
        return did_you_mean(word, blocks) or _GROUP
    known = (*OPS, *blocks, "sequential", "inline", "use")
    near = nearest(word, known)
    foreign = _nearest_word(word, (*_op_words(), *_missing_ops()), near)
    if foreign in _op_words():
        return f"did you mean `{_op_words()[foreign]}`?"
    if foreign is not None:
        return _told(_missing_ops()[foreign], foreign)
    return f"did you mean `{near}`?" if near else _OPS


def argument_help(op: type[Op], word: str) -> str | None:
    """Return the help for an argument that `op` does not have."""
    words = {_plain(other): name for name, field in op.fields.items() for other in field.also_called}
    own = {_plain(other): sentence for other, sentence in op.foreign_arguments.items()}
    sentences = {**_inverted(MISSING_ARGUMENTS), **own}
    return _key_help(word, {**_inverted(STEP_WORDS), **words}, sentences, (*op.fields, *STEP_WORDS))


def block_argument_help(params: Collection[str], word: str) -> str | None:
    """Return the help for an argument that a block with these params does not have."""
    fields = [(name, field) for op in OPS.values() for name, field in op.fields.items() if name in params]
    words = {_plain(other): name for name, field in fields for other in field.also_called}
    return _key_help(word, {**_inverted(STEP_WORDS), **words}, {}, (*params, *STEP_WORDS))


def key_called(word: str, known: Iterable[str]) -> str | None:
    """Return the key of a document that is meant by `word`."""
    return _lookup(word, _inverted(DOCUMENT_WORDS)) or nearest(word, known)


def key_help(word: str, known: Iterable[str]) -> str | None:
    """Return the help for a key that a document does not have."""
    return _key_help(word, _inverted(DOCUMENT_WORDS), _inverted(MISSING_KEYS), tuple(known))


def choice_help(word: str, options: Collection[str]) -> str | None:
    """Return the help for a word that is not among the options."""
    words = {other: here for other, here in _inverted(VALUE_WORDS).items() if here in options}
    near = words.get(word.lower()) or _lookup(word, words) or nearest(word, options)
    return f"did you mean `{near}`?" if near else None


# How words are looked up.


def _key_help(word: str, words: Mapping[str, str], sentences: Mapping[str, str], known: Collection[str]) -> str | None:
    plain = _plain(word)
    same = next((key for key in known if _plain(key) == plain), None)
    here = same or words.get(plain)
    if here in known:
        return f"did you mean `{here}`?"
    if plain in sentences:
        return _told(sentences[plain], word)
    return did_you_mean(word, known)


def _lookup(word: str, words: Mapping[str, str]) -> str | None:
    """Return what stands for `word`, or for the word without what tells a rank or a kernel: `Conv2d`, `conv3x3`."""
    plain = _plain(word)
    short = re.sub(r"(?:[1-4]d|[0-9]+x[0-9]+|layer)+$", "", plain)
    return words.get(plain) or words.get(short)


def _plain(word: str) -> str:
    """Return a word as it is compared: `torch.nn.Conv2d` and `conv_2d` are `conv2d`."""
    return re.sub(r"[^a-z0-9/]", "", re.split(r"[.:]", word[:200])[-1].lower()) or word[:200].lower()


def _likeness(one: str, other: str) -> float:
    import difflib

    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _nearest_word(word: str, words: Iterable[str], near: str | None) -> str | None:
    """Return the foreign word that `word` is a misspelling of, unless the known one `near` is spelt as much alike.

    Few people mistype the first letter, and short words are much alike: `stem` is not `lstm`.
    """
    import difflib

    plain = _plain(word)[:40]
    found = difflib.get_close_matches(plain, [other for other in words if other[:1] == plain[:1]], 1, CLOSE)
    if not found or near and _likeness(plain, _plain(near)) >= _likeness(plain, found[0]):
        return None
    return found[0]


def _told(sentence: str, word: str) -> str:
    return sentence.replace("{word}", word[:40])


def _op_words() -> dict[str, str]:
    return _words_of(table())


@lru_cache(maxsize=2)
def _words_of(ops: tuple[type[Op], ...]) -> dict[str, str]:
    words = {_plain(other): op.op for op in ops for other in op.also_called}
    return {**words, **{_plain(op.op): op.op for op in ops}}


@lru_cache(maxsize=1)
def _missing_ops() -> dict[str, str]:
    return _inverted(MISSING_OPS)


def _inverted(words: Mapping[str, str]) -> dict[str, str]:
    """Return a table from each word, as it is compared, to what it stands under."""
    return {_plain(other): here for here, others in words.items() for other in others.split()}
