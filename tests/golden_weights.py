"""Golden outputs of other libraries' networks: their files, and the seeded weights that these were computed with.

The weights are not stored: the scripts that make the files and the tests that read them derive each from its name and
shape, by a generator whose stream numpy has frozen (NEP 19), so it is the same in Debian's numpy 1.24 and in ours.
"""

import gzip
import json
import math
import pathlib
import zlib

import numpy as np

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


PERIOD = 4_194_301
"""After so many values, a prime and so no multiple of a row's length, an array repeats: a VGG has 144 million."""


def uniform(name, shape, low, high):
    """float32 from `low` to `high`, seeded by the name."""
    size = math.prod(shape)
    values = np.random.RandomState(zlib.crc32(name.encode())).random_sample(min(size, PERIOD))
    return np.resize((low + (high - low) * values).astype("float32"), size).reshape(shape)


def weight(name, shape):
    """The array for an entry of a `state_dict`: kernels that keep the scale of what they are applied to, through ReLU;
    statistics and scales as after training, none at its initial value."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    if len(shape) > 1:
        limit = math.sqrt(6 / math.prod(shape[1:]))
        return uniform(name, shape, -limit, limit)
    if name.endswith(("running_var", "weight")):
        return uniform(name, shape, 0.5, 1.5)
    return uniform(name, shape, -0.2, 0.2)


def weights(shapes, beta=0.0, gains=None):
    """All entries of a `state_dict`. `beta` is added to the shifts of BatchNormalizations. What has a key of `gains` in
    its name is multiplied by that.

    For gradients in training: with a `beta` of 3 few inputs of ReLUs lie near the kink. With 0, float32 puts some ten
    of three millions on its other side than float64 does, and each of them changes gradients by up to 10 %.
    """
    arrays = {name: weight(name, tuple(shape)) for name, shape in shapes.items()}
    gated = any(part in name for name in arrays for part in (".se.", ".se_module.", ".attn."))
    if gated or any(name.startswith("layer3.20.") for name in arrays):
        # Branches that grow with depth saturate the gates of an attention, and put others at the brink: there
        # float32 differs from float64 by up to half of the output. With smaller branches by less than 1e-6.
        for name in arrays:
            if name.endswith((".bn3.weight", ".conv2.bn.weight", ".conv3.bn.weight")):
                arrays[name] *= np.float32(0.2)
    for part, gain in (gains or {}).items():
        for name in arrays:
            if part in name:
                arrays[name] *= np.float32(gain)
    for name in arrays:
        if name.endswith(".bias") and name.replace(".bias", ".running_mean") in arrays:
            arrays[name] += np.float32(beta)
    return arrays


def direction(name, shape):
    """A random direction of unit variance, on which a gradient is projected."""
    return uniform(f"direction of {name}", shape, -math.sqrt(3), math.sqrt(3))


def images(shape, number=0):
    """Images of unit variance, (batch, height, width, channels); others for another number."""
    return uniform(f"images {number}", shape, -math.sqrt(3), math.sqrt(3))


def save(path, content):
    """A gzipped JSON file, the same bytes for the same content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0))


def load(library, name):
    return json.loads(gzip.decompress((FIXTURES / library / f"{name}.json.gz").read_bytes()))


def rounded(array):
    """Nested lists of floats with the nine digits that tell any two float32 apart."""
    return [rounded(row) for row in array] if np.ndim(array) else float(f"{float(array):.9g}")
