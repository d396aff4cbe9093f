"""STUB."""


def read_onnx(path, *, name):
    raise NotImplementedError
