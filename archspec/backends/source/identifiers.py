"""Names in generated code: what a name of a spec becomes as a variable, an argument or a class."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable
from itertools import chain, count

_TAKEN = frozenset({*dir(builtins), "self", "torch", "nn", "F", "math", "OrderedDict", "make_divisible"}) - {"input"}
_SPELLED = {
    **{word: word.upper() for word in ("aspp", "bn", "cbam", "cnn", "csp", "dcgan", "fcn", "fpn", "gan", "gcn", "mb")},
    **{word: word.upper() for word in ("mlp", "nin", "pan", "ppm", "se", "sppf", "spp", "tcn", "vgg", "vae")},
    "mbconv": "MBConv",
    "mlpconv": "MLPConv",
    "unet": "UNet",
    "convbn": "ConvBN",
}
_KIND = re.compile("([a-z]+?)(unet|net)([0-9]*)")
"""Words that say what kind of network something is, with what stands before: `shufflenet` is a ShuffleNet."""

_LETTERS = "bcdefghijklmnopqrstuvw"


def value_name(name: str) -> str:
    """Return `name` as an argument or a variable, in small letters, without a clash with what the code itself uses."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII).lower()
    if not found or found[0].isdigit():
        found = f"x{found}"
    return f"{found}_" if found in _TAKEN or found == "l" or keyword.iskeyword(found) else found


def class_name(name: str, spelling: str = "") -> str:
    """Return `name` in capitals and small letters; each word as `spelling` has it, which holds other names as written.

    >>> class_name("resnet50", "ResNet-50, a residual network")
    'ResNet50'
    >>> class_name("conv_unit")
    'ConvUnit'
    >>> class_name("repvgg_block", "RepVGG-A0")
    'RepVGGBlock'
    >>> class_name("vgg11_bn"), class_name("wide_resnet50_2", "Wide ResNet-50-2")
    ('VGG11BN', 'WideResNet50x2')
    """
    whole = _spelled(name.replace("_", "").replace("-", ""), re.sub(r"[^A-Za-z0-9]", "", spelling[:200]))
    found = ""
    words = re.split(r"[_-]+", name)
    if whole is not None and not whole.islower() and (len(words) == 1 or whole != whole.capitalize()):
        at = 0
        for word in words:
            found += _joint(found, word) + whole[at : at + 1].upper() + whole[at + 1 : at + len(word)]
            at += len(word)
    else:
        for word in words:
            found += _joint(found, word) + _word(word, spelling)
    found = found[:1].upper() + found[1:]
    return found if found and not found[0].isdigit() else f"Net{found}"


def _joint(before: str, word: str) -> str:
    """Return what stands between two words, so that numbers do not run together: 50 and 2 are `50x2`."""
    return "x" if before[-1:].isdigit() and word[:1].isdigit() else ""


def _spelled(word: str, letters: str) -> str | None:
    """Return how the letters that a text starts with spell a word; None if they are another."""
    return letters[: len(word)] if word and letters[: len(word)].lower() == word.lower() else None


def _word(word: str, spelling: str) -> str:
    """Return one word of a name in capitals and small letters, as a text spells it where it does."""
    stem = word.lower().rstrip("0123456789")
    if stem in _SPELLED:
        return _SPELLED[stem] + word[len(stem) :]
    letters = re.sub(r"[^A-Za-z0-9]", "", spelling[:200])
    at = letters.lower().find(word.lower()) if len(word) > 2 else -1
    found = letters[at : at + len(word)] if at >= 0 else ""
    if found[:1].isupper() and not found.istitle() and not found.isupper():
        return found
    kind = _KIND.fullmatch(word.lower())
    if kind is not None and not found[:1].isupper():
        stem = kind[1].capitalize() if re.search("[aeiouy]", kind[1]) else kind[1].upper()
        return _SPELLED.get(kind[1], stem) + _SPELLED.get(kind[2], kind[2].capitalize()) + kind[3]
    return word[:1].upper() + word[1:]


def numbered(name: str, taken: Callable[[str], bool]) -> str:
    """Return `name`, or the first of `name_b`, `name_c`, ... that is not taken."""
    if not taken(name):
        return name
    for letter in _LETTERS:
        if not taken(f"{name}_{letter}"):
            return f"{name}_{letter}"
    number = 2
    while taken(f"{name}{number}x"):
        number += 1
    return f"{name}{number}x"


class Names:
    """Names of one scope of generated code, each given once."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self.taken: set[str] = set(taken)

    def unique(self, name: str) -> str:
        """Return `name`, or `NameB`, `NameC`, ... where that is taken."""
        endings = chain(("",), _LETTERS.upper(), (f"X{number}" for number in count()))
        found = next(made for ending in endings if (made := f"{name}{ending}") not in self.taken)
        self.taken.add(found)
        return found


def plural(name: str) -> str:
    """Return what to call a list of what has a name: `widths`; of what is a plural itself, `heads_list`."""
    return f"{name}_list" if name.endswith("s") else f"{name}s"
