"""Where the specs and templates that come with the package stand.

A wheel ships them inside the package; a checkout, and so an editable install, has them beside it.
(`importlib.resources` would find them too, for several milliseconds of every start.)
"""

from __future__ import annotations

import os.path

_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def specs_folder() -> str:
    """Return the folder of the zoo."""
    return _folder("specs")


def templates_folder() -> str:
    """Return the folder of the templates that source code is rendered from."""
    return _folder("templates")


def _folder(name: str) -> str:
    shipped = os.path.join(_PACKAGE, name)
    return shipped if os.path.isdir(shipped) else os.path.join(os.path.dirname(_PACKAGE), name)
