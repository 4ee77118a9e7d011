"""What `deploy` changes in float32, beside what float32 itself does: the model's outputs and the deployed one's, each
against the same model in float64.

    KERAS_BACKEND=tensorflow python benchmarks/deploy_rounding.py            # every variant, whole: an hour
    KERAS_BACKEND=tensorflow python benchmarks/deploy_rounding.py resnet152 resnet1001_cifar_v2

The networks are those of export_matrix.py: random weights, normalization's statistics those of the images. Differences
are shares of the largest output. The target: `deploy` is as near to the truth as the model is, equal to 1e-5 where
float32 is that near itself. Kept in docs/deploy_rounding.json. PyTorch's and JAX's layers don't compute in 64 bits
throughout.
"""

import argparse
import gc
import json
import pathlib
import statistics

import export_matrix
import keras
import numpy as np

import keras_blocks

KEPT = pathlib.Path(__file__).parents[1] / "docs" / "deploy_rounding.json"


def compared(variant: str) -> dict[str, float]:
    keras.config.set_dtype_policy("float32")
    model, inputs = export_matrix.made(variant, shortened=False)
    model = getattr(model, "without_auxiliary", lambda: model)()
    with_32, with_deploy = (each.predict(inputs, verbose=0) for each in (model, keras_blocks.deploy(model)))
    keras.config.set_dtype_policy("float64")
    exact = keras_blocks.create_model(variant, **export_matrix.options_of(variant, shortened=False))
    exact = getattr(exact, "without_auxiliary", lambda: exact)()
    exact.set_weights(model.get_weights())
    truth = exact.predict(inputs, verbose=0)
    return {
        "model": difference(with_32, truth),
        "deploy": difference(with_deploy, truth),
        "between": difference(with_deploy, with_32),
    }


def difference(outputs, others) -> float:
    """The largest, of any output, as a share of that output's largest value."""
    pairs = zip(keras.tree.flatten(outputs), keras.tree.flatten(others), strict=True)
    shares = [np.abs(a.astype("float64") - b).max() / (np.abs(b).max() or 1) for a, b in pairs]
    return float(f"{max(shares):.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="all of `keras_blocks.list_models()` by default")
    parser.add_argument("--again", action="store_true", help="what is in the file, too")
    arguments = parser.parse_args()
    if keras.backend.backend() != "tensorflow":
        parser.error("float64 throughout is TensorFlow's: set KERAS_BACKEND=tensorflow")
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for variant in arguments.variants or keras_blocks.list_models():
        if variant not in found or arguments.again:
            found[variant] = compared(variant)
            KEPT.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
            print(f"{variant:28} {found[variant]}", flush=True)
            keras.utils.clear_session()
            gc.collect()
    rows = list(found.values())
    near = sum(row["between"] <= 1e-5 for row in rows)
    ratios = [row["deploy"] / row["model"] for row in rows if row["model"]]
    print(f"{len(rows)} variants, {near} equal to 1e-5; error over the model's: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
