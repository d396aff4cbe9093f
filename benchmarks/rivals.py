"""The libraries that archspec is measured against, where they are installed."""

from __future__ import annotations

from archspec.importing.sources import import_torchvision as torchvision

__all__ = ["torchvision"]
