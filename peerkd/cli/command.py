"""A command that takes each option once, and no empty value where a value is meant."""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from peerkd.excerpt import plain

Function = TypeVar("Function", bound=Callable[..., Any])


class StrictCommand(TyperCommand):
    """Refuses what Typer would settle by itself: of two values of an option it takes the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a command line.

        Raises:
            ValueError: If an option that takes one value is given twice, or is empty and has another default.
        """
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in given:
            name = parameter.opts[0]
            if given.count(parameter) > 1 and not getattr(parameter, "multiple", False):
                raise ValueError(f"{name} must be given once, got it {given.count(parameter)} times.")
            if values.get(parameter.name) == "" and parameter.default != "":
                raise ValueError(f"{name} must not be empty.")
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # Typer says what the value should be, and not what it is.
            value = error.param and values.get(error.param.name)
            if value is not None:
                error.message += f", got {plain(value)}"
            raise


class StrictTyper(typer.Typer):
    """An application, or a group of its commands, whose commands are strict."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """Return a decorator that makes a function a strict command."""
        return super().command(name, cls=StrictCommand, **options)
