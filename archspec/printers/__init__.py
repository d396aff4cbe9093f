"""Results as text: tables for people, Markdown, CSV and HTML; drawings of a graph. Each is a function over a result."""
