"""Libraries that not everyone needs: what is said where one is missing."""

import importlib


def require(module: str, extra: str) -> None:
    """Refuses to go on without a library, in words that say how to get it.

    Args:
        module: its name, as it is imported.
        extra: of ours that brings it.

    Raises:
        ImportError: where it cannot be imported.

    Example:

    >>> require("json", "detection")
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this needs {module}, which cannot be imported ({error}): pip install 'keras-blocks[{extra}]'."
        ) from error
