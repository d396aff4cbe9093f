"""The JSON Schema of a spec (draft-07), derived from the ops, and the check against it.

Editors read it through `# yaml-language-server: $schema=`; the compiler checks every file against the same document,
as shipped in `schema.json` (`archspec schema -o archspec/schema.json` writes it; a test holds it fresh). `rules.py`
makes it; `check.py` has the check, and turns violations into findings, `hints.py` says what was probably meant.
"""

from __future__ import annotations

from archspec.schema.check import validate, validate_chosen
from archspec.schema.hints import call_help
from archspec.schema.rules import DOCUMENT_KEYS, SCOPES, STEP_KEYS, TRAINING, USE, drawable, schema

__all__ = [
    "DOCUMENT_KEYS",
    "SCOPES",
    "STEP_KEYS",
    "TRAINING",
    "USE",
    "call_help",
    "drawable",
    "schema",
    "validate",
    "validate_chosen",
]
