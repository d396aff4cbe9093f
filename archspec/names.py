"""Which names a spec may give to its steps, params, blocks and inputs."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from archspec.errors import Complaint, printable

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


def step_name_fault(name: str) -> Complaint | None:
    """Return why `name` cannot be the name of a step, which becomes a module name and a state_dict key, or None."""
    if not _STEP.fullmatch(name):
        return _invalid(name, "use ASCII letters, digits and `_`, or a number", _step_name_help(name))
    if name == "input":
        return Complaint("name", "the name `input` is reserved for what the scope reads")
    if name in MODULE_ATTRIBUTES:
        return Complaint("name", f"the name `{name}` is an attribute of every nn.Module", f"write `{name}_`, say")
    return _too_long(name) or _keyword(name) or _dunder(name)


def list_of(name: str) -> str:
    """Return the list in which a step of this name stands, `convs` for `convs.0`; empty if it stands in none."""
    found, dot, number = name.rpartition(".")
    is_number = number.isdecimal() and number.isascii() and str(int(number[:MAX_NAME])) == number
    return found if dot and is_number and not found.isdecimal() and _STEP.fullmatch(found) else ""


def step_place_fault(name: str) -> Complaint | None:
    """Return why `name` cannot be the name of a step, which may stand in a list, or None."""
    return step_name_fault(list_of(name) or name) or _too_long(name)


def output_name_fault(name: str) -> Complaint | None:
    """Return why `name` cannot be the name of an output, or None: names of steps, dotted ones too, can."""
    if not all(map(_STEP.fullmatch, name.split("."))):
        return _invalid(name, "use ASCII letters, digits, `_` and `.`", _suggestion(name))
    return _too_long(name)


def value_name_fault(name: str, taken: Iterable[str] = ()) -> Complaint | None:
    """Return why `name` cannot be the name of a param, argument, block or input, or None."""
    if not _IDENTIFIER.fullmatch(name):
        return _invalid(name, "use ASCII letters, digits and `_`, starting with a letter", _suggestion(name))
    if name in taken:
        return Complaint("name", f"the name `{name}` is reserved", f"write `{name}_`, say")
    return _too_long(name) or _keyword(name)


def _invalid(name: str, rule: str, help: str | None) -> Complaint:
    return Complaint("name", f"{shown(name)} is not a valid name; {rule}", help)


def _too_long(name: str) -> Complaint | None:
    if len(name) <= MAX_NAME:
        return None
    return Complaint("name", f"the name has {len(name)} characters; the limit is {MAX_NAME}")


def _keyword(name: str) -> Complaint | None:
    if not keyword.iskeyword(name):
        return None
    return Complaint("name", f"the name `{name}` is a keyword of Python", f"write `{name}_`, say")


def _dunder(name: str) -> Complaint | None:
    return Complaint("name", f"the name `{name}` starts with `__`, which is reserved") if name[:2] == "__" else None


def _step_name_help(name: str) -> str | None:
    scope, dot, rest = name.partition(".")
    if dot and all(map(_STEP.fullmatch, name.split("."))):
        return f"a dot leads into a scope: a `sequential` named `{scope}`, and in it a step named `{rest}`"
    return _suggestion(name)


def _suggestion(name: str) -> str | None:
    """Return a help with the nearest valid name, if enough of `name` is left in it."""
    near = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lstrip("0123456789_")
    return f"did you mean `{near}`?" if near and len(name) <= MAX_NAME else None


def shown(name: str) -> str:
    """Return a name in quotes, its unusual characters escaped."""
    return repr(name) if name.isascii() else f"'{printable(name.encode('unicode_escape').decode('ascii'))}'"
