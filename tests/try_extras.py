"""Installs each extra in an environment of its own, and uses it there: `make test-extras`, or one by its name.

    python tests/try_extras.py jax,tuning

What the shared environment of the tests has by chance is missing here. Needs a package index, and minutes for each.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

MODEL = """
import keras, keras_blocks
model = keras_blocks.create_model("squeezenet_1.1", input_shape=(64, 64, 3), classes=2)
model.compile("sgd", "sparse_categorical_crossentropy")
model.fit(keras.ops.ones((2, 64, 64, 3)), keras.ops.ones(2), verbose=0)
print(keras.backend.backend(), keras_blocks.cost(model).params)
"""

SEARCH = """
import subprocess, sys, keras_blocks.tuning
from pathlib import Path
command = Path(sys.executable).with_name("keras-blocks")
options = "--data digits --trials 2 --epochs 1 --final-epochs 1 --max-params 20000".split()
subprocess.run([command, "search", *options, "--run", "run"], check=True)
subprocess.run([command, "report", "run"], check=True)
"""

TRACKED = (
    SEARCH.replace('"run"], check', '"run", "--tracker", "mlflow"], check', 1)
    + """
assert Path("run/tracker/mlflow.db").is_file()
"""
)

STOCK = """
import keras_tuner
from keras_blocks.tuning import HyperSqueezeNet, load_dataset
data = load_dataset("digits")
space = HyperSqueezeNet.from_dataset(data, groups=1)
for cls in (keras_tuner.RandomSearch, keras_tuner.BayesianOptimization):
    tuner = cls(space, objective="val_accuracy", max_trials=1, directory="tuners", project_name=cls.__name__)
    tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=1, verbose=0)
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"]
"""

WEIGHTS = """
import keras, keras_blocks, safetensors.numpy
from keras_blocks.weights.convert import named_weights
one, other = (keras_blocks.create_model("squeezenet_1.1", input_shape=(64, 64, 3), classes=2) for _ in range(2))
arrays = {name: keras.ops.convert_to_numpy(weight) for name, weight in named_weights(one).items()}
safetensors.numpy.save_file(arrays, "weights.safetensors")
keras_blocks.convert_weights("weights.safetensors", other)
assert all((one == two).all() for one, two in zip(one.get_weights(), other.get_weights()))
"""

HUB = """
import hashlib, os, pathlib
os.environ |= {"HF_HUB_CACHE": "cache", "HF_HUB_OFFLINE": "1"}
import keras, keras_blocks, safetensors.numpy
from keras_blocks.weights.convert import named_weights
options = {"input_shape": (64, 64, 3), "classes": 2}
model = keras_blocks.create_model("squeezenet_1.1", **options)
arrays = {name: keras.ops.convert_to_numpy(weight) for name, weight in named_weights(model).items()}
content, folder, commit = safetensors.numpy.save(arrays), pathlib.Path("cache", "models--some--one"), "0" * 40
for part in ("blobs", "refs", f"snapshots/{commit}"):
    (folder / part).mkdir(parents=True)
digest = hashlib.sha256(content).hexdigest()
(folder / "blobs" / digest).write_bytes(content)
(folder / "refs" / "main").write_text(commit)
(folder / "snapshots" / commit / "model.safetensors").symlink_to(f"../../blobs/{digest}")
other = keras_blocks.create_model("squeezenet_1.1", weights="hf://some/one", **options)
assert all((one == two).all() for one, two in zip(model.get_weights(), other.get_weights()))
"""

EXPORT = """
import keras_blocks
net = keras_blocks.ResNet([{"filters": 4, "blocks": 1}], "basic", stem="cifar", input_shape=(8, 8, 3), classes=2)
for path, format in (("net.onnx", "onnx"), ("net.xml", "openvino")):
    assert keras_blocks.export(net, path, format).difference < 1e-5
"""

INT8 = """
import numpy as np, keras_blocks
net = keras_blocks.ResNet([{"filters": 4, "blocks": 1}], "basic", stem="cifar", input_shape=(8, 8, 3), classes=2)
images = np.random.default_rng(0).uniform(size=(8, 8, 8, 3))
for path, format in (("net.onnx", "onnx"), ("net.xml", "openvino")):
    done = keras_blocks.export(net, path, format, precision="int8", calibration=images, tolerance=0.5)
    assert all(layer.precision == "int8" for layer in done.layers)
"""

DETECTION = """
import keras, numpy as np, keras_blocks
keras.utils.save_img("one.png", np.zeros((40, 60, 3)), scale=False)
truth = {"boxes": [[20, 10, 50, 30]], "labels": ["cell"]}
data = keras_blocks.DetectionDataset(["one.png"], [truth], ["cell"], image_size=(40, 60))
found = {"boxes": data[0][1]["boxes"], "scores": [[0.9]], "labels": [[0]]}
assert abs(keras_blocks.evaluate_detections(found, data)["mAP"] - 1) < 1e-6
keras_blocks.draw_detections(data.image(0), truth, ["cell"]).save("drawn.png")
"""

PROPOSALS = """
import numpy as np, keras_blocks
image = np.zeros((40, 60, 3))
image[10:30, 20:50] = 255
assert [20, 10, 50, 30] in keras_blocks.selective_search(image).tolist()
"""

EXTRAS = {
    "tensorflow": MODEL,
    "jax": MODEL,
    "torch": MODEL,
    "jax,safetensors": WEIGHTS,
    "jax,hub": HUB,
    "torch,export": EXPORT,
    "torch,int8": INT8,
    "jax,detection": DETECTION,
    "jax,proposals": PROPOSALS,
    "tensorflow,tuning": SEARCH + STOCK,
    "jax,tuning": SEARCH + STOCK,
    "torch,tuning": SEARCH + STOCK,
    "jax,tuning,postgres": "import keras_blocks.tuning, psycopg",
    "jax,tuning,ray": "import keras_blocks.tuning.search.ray, ray",
    "jax,tuning,mlflow": TRACKED,
    "jax,tuning,dashboard": "import keras_blocks.tuning, optuna_dashboard",
}
"""Extras -> what is run with them alone; the backend comes first where there is one."""


def tried(extras: str, folder: Path) -> bool:
    """Whether it could be installed and used in an environment in this folder."""
    python = folder / "venv" / "bin" / "python"
    # Warnings are for the tests; a checkout on the path would hide what was not installed.
    around = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}
    steps = (
        [sys.executable, "-m", "venv", folder / "venv"],
        [python, "-m", "pip", "install", "--quiet", f"{ROOT}[{extras}]"],
        [python, "-c", EXTRAS[extras]],
    )
    return all(
        subprocess.run(step, cwd=folder, env={**around, "KERAS_BACKEND": extras.split(",")[0]}).returncode == 0
        for step in steps
    )


def main(wanted: list[str]) -> int:
    failed = []
    for extras in wanted or EXTRAS:
        with tempfile.TemporaryDirectory(prefix="extras-") as folder:
            good = tried(extras, Path(folder))
        print(f"{extras}: {'good' if good else 'FAILED'}", flush=True)
        failed += [] if good else [extras]
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
