"""Import a network from torch or ONNX as a spec, with the proof that it is the same network."""

from archspec.importing.imported import Imported, from_onnx, from_torch

__all__ = ["Imported", "from_onnx", "from_torch"]
