"""Networks that people have, as specs that they can read: from PyTorch modules, exported programs and ONNX models."""
