"""The version of the package; the only place it stands."""

__version__ = "0.1.0"
