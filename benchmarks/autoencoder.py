"""`AutoEncoder` against principal component analysis, with the same number of code values, on held-out images.

CIFAR-10: the first 4,000 training and 1,000 test images, 32x32. Sign digits (Mavi 2020): 2,062 photos of 64x64 pixels,
a fifth of each digit held out by a seed. Both methods see the same training images and their mirror images.

The AutoEncoder is of the residual kind, so there is a linear way through it; this begins as PCA (`start_as_pca`: the
strided convolutions sort pixels into channels, the code's dense layers are the components, the residual blocks add
nothing), and stays so: only the residual blocks are trained. At the start, the two are one; what differs at the end is
what convolutions and activations add in front of the code and behind it.

Target: a lower mean squared error than PCA's on held-out images, for every seed of both.
"""

import argparse
import json
import pathlib
import statistics
import time

import keras
import numpy as np
import scipy.linalg
from cifar_training import read
from PIL import Image
from sign_digits import DATA as SIGNS
from sign_digits import photos, split

import keras_blocks

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "autoencoder.json"
DATASETS = {
    "cifar": {"filters": (32, 64, 192), "epochs": 6},
    "signs": {"filters": (16, 64, 192), "epochs": 12},
}


def load(dataset, seed):
    """(training images, held-out images), from 0 to 1."""
    if dataset == "cifar":
        return np.concatenate([read(f"train_{i}") for i in range(4)]), read("test_0")
    images, digits = photos(SIGNS)
    learned, held_out = split(digits, seed)
    return images[learned].astype("float32") / 255, images[held_out].astype("float32") / 255


def mirrored(images):
    return np.ascontiguousarray(images[:, :, ::-1])


def flat(images):
    return images.reshape(len(images), -1)


def error(images, others) -> float:
    return float(np.mean(np.square(images - others, dtype="float64")))


def principal_components(images, count):
    """(mean, components in columns) of images."""
    mean = flat(images).mean(axis=0)
    x = (flat(images) - mean).astype("float32")
    wide = len(x) < x.shape[1]  # fewer images than pixels: then of the products of images with each other
    products = x @ x.T if wide else x.T @ x
    found = scipy.linalg.eigh(products, subset_by_index=(len(products) - count, len(products) - 1))[1]
    found = x.T @ found if wide else found
    return mean, found / np.linalg.norm(found, axis=0)


def reconstructed(images, mean, components):
    return ((flat(images) - mean) @ components @ components.T + mean).reshape(images.shape)


def network(shape, code, filters):
    return keras_blocks.AutoEncoder(
        groups=[{"filters": width, "blocks": 1} for width in filters],
        code={"units": code},
        kernel_size=2,
        kind="residual",
        batch_norm=False,
        kernel_initializer="he_normal",
        input_shape=shape,
    )


def start_as_pca(model, mean, components):
    """Makes the model's linear way PCA, and freezes it; lets the residual blocks begin with nothing.

    Of n channels of pixels, a strided 2x2 convolution makes 4n; the encoder's further channels hold what was drawn.
    """
    groups = [name for name in model.features if name != "code"]
    blocks = [(model.get_layer(name), model.get_layer(f"decode_{name}")) for name in groups]
    pixels, drawn = model.input_shape[-1], []
    for encoder, decoder in blocks:
        kernel = np.zeros(encoder.down.kernel.shape, "float32")
        kernel[:, :, :pixels, : 4 * pixels] = np.eye(4 * pixels).reshape(2, 2, pixels, 4 * pixels)
        pixels *= 4
        drawn.append(kernel + keras.ops.convert_to_numpy(encoder.down.kernel) * (np.arange(kernel.shape[-1]) >= pixels))
        for layer in (encoder.down, decoder.up):
            layer.kernel.assign(kernel)
        for block in (encoder.block1, decoder.block1):
            block.conv2.kernel.assign(np.zeros(block.conv2.kernel.shape))
    # What the encoder makes of the components and of the mean, taken as images.
    sort = keras.Model(model.input, model.features[groups[-1]])
    images = np.concatenate([components.T, mean[None]]).reshape(-1, *model.input_shape[1:])
    *directions, origin = flat(sort.predict(images, verbose=0))
    code, unpack = model.get_layer("code").scores, model.get_layer("decode_map")
    code.kernel.assign(np.transpose(directions))
    code.bias.assign(-mean @ components)
    unpack.kernel.assign(np.stack(directions))
    unpack.bias.assign(origin)
    for (encoder, decoder), kernel in zip(blocks, drawn):
        encoder.down.kernel.assign(kernel)
        encoder.down.trainable = decoder.up.trainable = False
    code.trainable = unpack.trainable = False


def train(model, images, epochs, batch, rate, seed):
    """Each epoch sees every image, mirrored half of the time."""
    steps = len(images) // batch
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps * epochs - steps // 2, warmup_target=rate, warmup_steps=steps // 2
    )
    model.compile(keras.optimizers.Adam(schedule), "mse", jit_compile=False)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        shown = images[rng.permutation(len(images))[: steps * batch]]
        chosen = rng.random(len(shown)) < 0.5
        shown[chosen] = mirrored(shown[chosen])
        history = model.fit(shown, shown, batch_size=batch, epochs=1, shuffle=False, verbose=0).history
        print(f"  epoch {epoch + 1:2}  training error {history['loss'][0]:.6f}", flush=True)


def compare(dataset, seed, code, epochs, batch, rate):
    """Held-out errors of both methods, and what they make of the first held-out images."""
    start = time.perf_counter()
    keras.utils.set_random_seed(seed)
    learned, held_out = load(dataset, seed)
    mean, components = principal_components(np.concatenate([learned, mirrored(learned)]), code)
    alone = principal_components(learned, code)
    epochs = epochs or DATASETS[dataset]["epochs"]
    model = network(learned.shape[1:], code, DATASETS[dataset]["filters"])
    start_as_pca(model, mean, components)
    by_pca = reconstructed(held_out, mean, components)
    np.testing.assert_allclose(model.predict(held_out[:32], verbose=0), by_pca[:32], atol=1e-4)
    train(model, learned, epochs, batch, rate, seed)
    ours = model.predict(held_out, batch_size=batch, verbose=0)
    found = {
        "dataset": dataset,
        "seed": seed,
        "code": code,
        "compression_ratio": model.compression_ratio,
        "epochs": epochs,
        "pca": error(held_out, by_pca),
        "pca_without_mirrored": error(held_out, reconstructed(held_out, *alone)),
        "autoencoder": error(held_out, ours),
        "training_pca": error(learned, reconstructed(learned, mean, components)),
        "training_autoencoder": error(learned, model.predict(learned, batch_size=batch, verbose=0)),
        "seconds": time.perf_counter() - start,
    }
    return found, (held_out, by_pca, ours)


def picture(file, dataset, rows, count=10):
    """Puts rows of images, one above another, in the dataset's part of the picture; each is 96 pixels wide."""
    tiles = []
    for images in rows:
        scale = 96 // images.shape[1]
        chosen = np.clip(images[:count] * 255, 0, 255).astype("uint8").repeat(scale, axis=1).repeat(scale, axis=2)
        missing = 100 - chosen.shape[1]
        border = (missing // 2, missing - missing // 2)
        chosen = np.pad(chosen, ((0, 0), border, border, (0, 0)), constant_values=255)
        tiles.append(np.concatenate(list(chosen), axis=1))
    part = np.concatenate(tiles)
    names = sorted(DATASETS)
    sheet = np.full((len(names) * len(part), *part.shape[1:]), 255, "uint8")
    if file.exists():
        sheet = np.array(Image.open(file).convert("RGB"))
    first = names.index(dataset) * len(part)
    sheet[first : first + len(part)] = part
    Image.fromarray(sheet).save(file)


def table(results):
    print("| images | seed | PCA | AutoEncoder | ratio |\n|---|---|---|---|---|")
    for one in results:
        ratio = one["autoencoder"] / one["pca"]
        print(f"| {one['dataset']} | {one['seed']} | {one['pca']:.6f} | {one['autoencoder']:.6f} | {ratio:.3f} |")
    for dataset in sorted({one["dataset"] for one in results}):
        found = [one for one in results if one["dataset"] == dataset]
        pca, ours = (statistics.mean(one[key] for one in found) for key in ("pca", "autoencoder"))
        print(f"| {dataset} | mean | **{pca:.6f}** | **{ours:.6f}** | {ours / pca:.3f} |")
    met = all(one["autoencoder"] < min(one["pca"], one["pca_without_mirrored"]) for one in results)
    print(f"lower than PCA's for every seed: {'met' if met else 'missed'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=sorted(DATASETS), choices=sorted(DATASETS))
    parser.add_argument("--code", type=int, default=128, help="values of a code")
    parser.add_argument("--epochs", type=int, default=None, help="by default 6 for CIFAR, 12 for the sign digits")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--results", type=pathlib.Path, default=RESULTS, help="kept after each run; what is there is kept"
    )
    given = parser.parse_args()
    options = {"code": given.code, "epochs": given.epochs, "batch": given.batch, "rate": given.rate}
    results = json.loads(given.results.read_text()) if given.results.exists() else []
    for seed in given.seeds:
        for dataset in given.datasets:
            if any((one["dataset"], one["seed"]) == (dataset, seed) for one in results):
                continue
            print(f"{dataset}, seed {seed}", flush=True)
            found, rows = compare(dataset, seed, **options)
            results.append(found)
            given.results.write_text(json.dumps(results, indent=1) + "\n")
            picture(given.results.with_suffix(".png"), dataset, rows)
            print(found, flush=True)
    table(results)


if __name__ == "__main__":
    main()
