"""Run in a fresh process: `python distributed.py` trains a network alone and on two devices of this machine.

Which devices and strategy is the backend's: KERAS_BACKEND is jax, tensorflow or torch. Prints the largest difference
of any weight, moving statistics included, as a share of how far training has moved them.
"""

import os
import sys

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "jax":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_blocks  # noqa: E402

BATCH, STEPS = 8, 2


def network(kind):
    """A network of two blocks with normalization over all devices, the same at each call."""
    keras.utils.set_random_seed(1)
    options = {"input_shape": (8, 8, 3), "classes": 3, "batch_norm": {"synchronized": True, "momentum": 0.5}}
    if kind == "residual":
        return keras_blocks.ResNet([{"filters": 8, "blocks": 1}], "basic", stem="cifar", **options)
    if kind == "grouped":
        groups = [{"filters": 8, "blocks": 1}]
        return keras_blocks.ResNeXt(groups, cardinality=2, base_width=32, stem="cifar", **options)
    return keras_blocks.DenseNet([{"layers": 2}], filters=4, stem_filters=8, stem="cifar", **options)


def data():
    rng = np.random.default_rng(0)
    images = rng.normal([[[[0.0, 1, 2]]]], [[[[1, 2, 3]]]], (BATCH * STEPS, 8, 8, 3)).astype("float32")
    images[::2] *= 2  # halves of a batch differ, and so do their statistics
    return images, rng.integers(0, 3, BATCH * STEPS)


def train(model):
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(*data(), batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    return model.get_weights()


def on_jax(kind):
    devices = keras.distribution.list_devices("cpu")
    assert len(devices) == 2, devices
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    found = train(network(kind))
    keras.distribution.set_distribution(None)
    return found


def on_tensorflow(kind):
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = network(kind)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    images, labels = data()
    model.fit(tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH), verbose=0)
    return model.get_weights()


def process(rank, kind, folder):
    """One of two of PyTorch's: half of each batch."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = network(kind)
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1, momentum=0.9)
    images, labels = data()
    for step in range(STEPS):
        mine = slice(step * BATCH + rank * BATCH // 2, step * BATCH + (rank + 1) * BATCH // 2)
        optimizer.zero_grad()
        scores = parallel(torch.as_tensor(images[mine]), training=True)
        torch.nn.functional.nll_loss(torch.log(scores), torch.as_tensor(labels[mine])).backward()
        optimizer.step()
    if rank == 0:
        np.savez(f"{folder}/weights.npz", *model.get_weights())
    dist.destroy_process_group()


def on_torch(kind):
    import tempfile

    import torch

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, args=(kind, folder), nprocs=2)
        with np.load(f"{folder}/weights.npz") as found:
            return [found[f"arr_{i}"] for i in range(len(found.files))]


def main(kinds):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for kind in kinds:
        begun = network(kind).get_weights()
        alone = train(network(kind))
        both = {"jax": on_jax, "tensorflow": on_tensorflow, "torch": on_torch}[BACKEND](kind)
        moved = [np.abs(one - other).max() for one, other in zip(begun, alone)]
        assert max(moved) > 1e-2, "it has not trained"
        differences = [np.abs(one - other).max() for one, other in zip(alone, both, strict=True)]
        print(kind, max(np.array(differences) / max(moved)))


if __name__ == "__main__":
    main(sys.argv[1:])
