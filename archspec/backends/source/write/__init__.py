"""From a plan to the text of a file: `__init__`, `forward`, and how lines are laid out."""
