"""Paths of objects in users' own modules, as values of a config."""

from pydantic_core import PydanticCustomError

from peerkd.own_code import find_object


def own_function(path: str) -> str:
    """Return the path of a function of a user's module, completed by the digest of the module's file.

    Raises:
        PydanticCustomError: If the path leads to no function, or its digest does not match the module's file.
    """
    try:
        found = find_object(path, field="", noun="function")
    except ValueError as error:
        raise refusal(error, field="") from error
    if not callable(found.value):
        rule = f"must name a function, which {type(found.value).__name__} objects are not"
        raise PydanticCustomError("own_code", "{rule}", {"rule": rule})
    return found.path


def refusal(error: ValueError, *, field: str) -> PydanticCustomError:
    """Return the error with which the validator of a single value refuses this value.

    The message of ``error`` begins with a field. The field is removed, because the message about a single value gets
    the full dotted name of the field later.

    Args:
        error: The error, whose message is a sentence that begins with ``field``.
        field: The first word of the message, which is removed.
    """
    rule = str(error).removeprefix(field).strip().removesuffix(".")
    return PydanticCustomError("own_code", "{rule}", {"rule": rule})
