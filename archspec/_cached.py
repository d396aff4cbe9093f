"""Properties that are worked out once for an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801 a decorator
    """Work a property out once and keep it, as functools.cached_property does from Python 3.12 on.

    Before that, functools takes a lock that all objects share: a process that forks while another thread holds it
    leaves the child with a lock that nobody opens.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> cached_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...
    def __get__(self, instance: object | None, owner: type[Any]) -> cached_property[T] | T:
        if instance is None:
            return self
        found = instance.__dict__[self.name] = self.function(instance)
        return found
