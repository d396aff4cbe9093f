"""Which names a spec may give to its steps, params, blocks and inputs."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from archspec.errors import printable

MAX_NAME = 100
"""How many characters a name may have."""

_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*|[0-9]+")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

# What every nn.Module already has (a test holds the list against torch): a child of that name would break it.
MODULE_ATTRIBUTES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double
    dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to
    to_empty train training type xpu zero_grad
    _apply _backward_hooks _backward_pre_hooks _buffers _call_impl _compiled_call_impl _forward_hooks
    _forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks _forward_pre_hooks_with_kwargs
    _get_backward_hooks _get_backward_pre_hooks _get_name _is_full_backward_hook _load_from_state_dict
    _load_state_dict_post_hooks _load_state_dict_pre_hooks _maybe_warn_non_full_backward_hook _modules
    _named_members _non_persistent_buffers_set _parameters _register_load_state_dict_pre_hook
    _register_state_dict_hook _replicate_for_data_parallel _save_to_state_dict _slow_forward _state_dict_hooks
    _state_dict_pre_hooks _version _wrapped_call_impl
    """.split()
)


def step_name_fault(name: str) -> str | None:
    """Why `name` cannot be the name of a step, or None: it becomes a module name and a state_dict key."""
    if not _STEP.fullmatch(name):
        return f"{shown(name)} is no name: ASCII letters, digits and `_`, or a number"
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} characters; the limit is {MAX_NAME}"
    if name == "input":
        return "`input` is what the scope was given"
    if keyword.iskeyword(name):
        return f"`{name}` is a word of Python"
    if name.startswith("__"):
        return f"`{name}` starts with `__`"
    if name in MODULE_ATTRIBUTES:
        return f"`{name}` is an attribute of every nn.Module"
    return None


def output_name_fault(name: str) -> str | None:
    """Why `name` cannot be the name of an output, or None: names of steps, dotted ones too, can."""
    if all(map(_STEP.fullmatch, name.split("."))) and len(name) <= MAX_NAME:
        return None
    return f"{shown(name)} is no name: ASCII letters, digits, `_` and `.`"


def value_name_fault(name: str, taken: Iterable[str] = ()) -> str | None:
    """Why `name` cannot be the name of a param, argument, block or input, or None."""
    if not _IDENTIFIER.fullmatch(name):
        return f"{shown(name)} is no name: ASCII letters, digits and `_`, starting with a letter"
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} characters; the limit is {MAX_NAME}"
    if keyword.iskeyword(name):
        return f"`{name}` is a word of Python"
    if name in taken:
        return f"`{name}` has a meaning of its own here"
    return None


def shown(name: str) -> str:
    """A name in quotes, its odd characters escaped."""
    return repr(name) if name.isascii() else f"'{printable(name.encode('unicode_escape').decode('ascii'))}'"
