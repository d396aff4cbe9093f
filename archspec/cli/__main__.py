"""`python -m archspec.cli` is `archspec`."""

from archspec.cli import main

main()
