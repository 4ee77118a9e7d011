"""Metaparameters and hyperparameters in a line, as tables and figures show them."""


def differing(dicts) -> list:
    """The keys whose values are not the same in all dicts, or that some lack; of a single dict, all.

    Example:

    >>> differing([{"filters": 8, "dropout": 0.1}, {"filters": 16, "dropout": 0.1, "bypass": None}])
    ['filters', 'bypass']
    """
    keys = list(dict.fromkeys(key for each in dicts for key in each))
    if len(dicts) < 2:
        return keys
    return [key for key in keys if any(key not in each or each[key] != dicts[0].get(key) for each in dicts)]


def described(metaparameters: dict) -> str:
    """Metaparameters in a line.

    Example:

    >>> described({"groups": [{"filters": [8, 8]}, {"filters": [16]}], "dropout": 0.2})
    'groups 8 8 | 16, dropout 0.2'
    """
    return ", ".join(f"{name} {_short(value)}" for name, value in metaparameters.items())


def _short(value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        items = list(value.values())
        return _short(items[0]) if len(items) == 1 else " ".join(f"{key}={_short(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return (" | " if value and isinstance(value[0], dict) else " ").join(map(_short, value))
    return "none" if value is None else str(value)
