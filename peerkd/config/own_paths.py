"""Paths of objects in users' own modules, as values of a config."""

from pydantic_core import PydanticCustomError

from peerkd.own_code import find_object


def own_function(path: str) -> str:
    """Return the path of a function of a user's module, completed by the digest of the module's file.

    Raises:
        PydanticCustomError: If the path leads to no function, or the digest is that of other code.
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
    """Return the error with which a validator of a single value refuses it.

    The message of a ``ValueError`` names the field, as a validator of a section needs it. Here, the field comes from
    the place of the value instead.

    Args:
        error: The error. Its message is a sentence about ``field``.
        field: The first word of the message.
    """
    rule = str(error).removeprefix(field).strip().removesuffix(".")
    return PydanticCustomError("own_code", "{rule}", {"rule": rule})
