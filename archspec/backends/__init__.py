"""What turns a graph into something else: a torch module, source code, ONNX."""
