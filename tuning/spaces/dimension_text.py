"""Parts of a search space as they are written on a command line."""

import re

from keras_blocks.tuning.spaces.dimension import Fixed, Part, hp_choice, hp_range

NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
WORDS = {"true": True, "false": False, "none": None}


def parsed(text: str) -> Part:
    """A part from `16`, from `v1,v2`, or from `16..64`, `16..64:16` with a step, `1e-4..1e-1@log`.

    Raises:
        ValueError: for a range of what are no numbers.

    Example:

    >>> parsed("16..64:16")
    Range(conditions=(), low=16, high=64, step=16, sampling='linear', start=None)
    >>> parsed("v1,v2").choices
    ('v1', 'v2')
    """
    if ".." in text:
        found = re.fullmatch(rf"({NUMBER})\.\.({NUMBER})(:({NUMBER}))?(@(linear|log|reverse_log))?", text)
        if not found:
            raise ValueError(
                f"`set` must have numbers in a range, as 16..64, 16..64:16 or 1e-4..1e-1@log; received {text!r}."
            )
        low, high, step, sampling = found[1], found[4], found[8], found[12]
        return hp_range(_value(low), _value(high), step=step and _value(step), sampling=sampling or "linear")
    if "," in text:
        return hp_choice(*map(_value, text.split(",")))
    return Fixed(_value(text))


def _value(text):
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(NUMBER, text) else text
