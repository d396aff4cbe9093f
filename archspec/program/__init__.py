"""The steps of a spec in typed form, checked as far as that goes without running them."""

from archspec.program.compiler import compile_program
from archspec.program.steps import Program

__all__ = ["Program", "compile_program"]
