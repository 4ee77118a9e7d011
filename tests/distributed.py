"""Run in a fresh process: `python distributed.py` trains a network alone and on two devices of this machine.

Which devices and strategy is the backend's: KERAS_BACKEND is jax, tensorflow or torch. Prints the largest difference
of any weight, moving statistics included, as a share of how far training has moved them.
"""

import os

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "jax":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_blocks  # noqa: E402

BATCH, STEPS = 8, 2


def network():
    """A network with normalization over all devices, the same at each call."""
    keras.utils.set_random_seed(1)
    options = {"input_shape": (8, 8, 3), "classes": 3, "batch_norm": {"synchronized": True, "momentum": 0.5}}
    return keras_blocks.ResNet([{"filters": 8, "blocks": 1}], "basic", stem="cifar", **options)


def data():
    rng = np.random.default_rng(0)
    images = rng.normal([[[[0.0, 1, 2]]]], [[[[1, 2, 3]]]], (BATCH * STEPS, 8, 8, 3)).astype("float32")
    images[::2] *= 2  # halves of a batch differ, and so do their statistics
    return images, rng.integers(0, 3, BATCH * STEPS)


def train(model):
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(*data(), batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    return model.get_weights()


def on_jax():
    devices = keras.distribution.list_devices("cpu")
    assert len(devices) == 2, devices
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    found = train(network())
    keras.distribution.set_distribution(None)
    return found


def on_tensorflow():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = network()
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    images, labels = data()
    model.fit(tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH), verbose=0)
    return model.get_weights()


def process(rank, folder):
    """One of two of PyTorch's: half of each batch."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = network()
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


def on_torch():
    import tempfile

    import torch

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, args=(folder,), nprocs=2)
        with np.load(f"{folder}/weights.npz") as found:
            return [found[f"arr_{i}"] for i in range(len(found.files))]


def main():
    if BACKEND == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    begun = network().get_weights()
    alone = train(network())
    both = {"jax": on_jax, "tensorflow": on_tensorflow, "torch": on_torch}[BACKEND]()
    moved = max(np.abs(one - other).max() for one, other in zip(begun, alone))
    assert moved > 1e-2, "it has not trained"
    print("differs by", max(np.abs(one - other).max() for one, other in zip(alone, both, strict=True)) / moved)


if __name__ == "__main__":
    main()
