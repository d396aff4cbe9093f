"""What can be said of a graph without running it: one analysis a file, a function from a Graph to a frozen result."""
