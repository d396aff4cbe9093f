"""`python -m archspec` is `archspec`."""

from archspec.cli import main

main()
