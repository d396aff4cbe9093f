"""What can be said of a graph without running it. Each analysis is one file: a function from a Graph to a frozen result."""
