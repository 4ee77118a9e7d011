"""Every variant that timm or torchvision has, with its weights from the hub's layout: the same outputs as theirs?

    python benchmarks/hub_weights.py --theirs /path/to/python/with/timm [VARIANT ...]

For each variant that environment makes the network with random weights, of which statistics and scales are as after
training, writes them as the safetensors file of a repository in a cache of the hub's own layout, and its outputs for
random images. Ours is then made by `create_model(variant, weights="hf://...")`, offline. Needs the extra `hub`. Prints
a row for each variant, and writes all to docs/hub_weights.json.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

COMMIT = "0" * 40
TOLERANCE = 1e-4
DOCS = pathlib.Path(__file__).parents[1] / "docs" / "hub_weights.json"

V2 = {"stem": "timm", "batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}
BOTTLENECK_V2 = {**V2, "use_bias": False, "downsample": "first"}
TIMM = "resnet18 resnet34 resnet50 resnet101 resnet152 resnet26 wide_resnet50_2 wide_resnet101_2 "
TIMM += "seresnet50 seresnet101 seresnet152 resnext50_32x4d resnext101_32x4d resnext101_32x8d resnext101_64x4d "
TIMM += "resnext101_32x16d seresnext50_32x4d seresnext101_32x4d seresnext101_32x8d seresnext101_64x4d "
TIMM += "vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn densenet121 densenet161 densenet169 densenet201 "
TIMM += "resnet18d resnet34d resnet50d resnet101d resnet152d resnext50d_32x4d seresnext26d_32x4d ecaresnet50d "
TIMM += "skresnet18 skresnet34 regnetx_002 regnetx_032 regnety_002 regnety_004 regnety_032 inception_v4 "
TIMM += "inception_resnet_v2"
NETWORKS = {
    **{name: (f"timm/{name}", {}) for name in TIMM.split()},
    **{f"resnet{depth}_v2": (f"timm/resnetv2_{depth}", V2) for depth in (18, 34)},
    **{f"resnet{depth}_v2": (f"timm/resnetv2_{depth}", BOTTLENECK_V2) for depth in (50, 101, 152)},
    "senet154": ("timm/legacy_senet154", {}),
    "seresnet50, older": ("timm/legacy_seresnet50", {"version": "v1", "stem": "caffe"}),
    "seresnet101, older": ("timm/legacy_seresnet101", {"version": "v1", "stem": "caffe"}),
    "seresnext50_32x4d, older": ("timm/legacy_seresnext50_32x4d", {"stem": "caffe"}),
    "seresnext101_32x4d, older": ("timm/legacy_seresnext101_32x4d", {"stem": "caffe"}),
    "inception_v3_torchvision": ("timm/inception_v3", {}),
    "squeezenet_1.0": ("torchvision/squeezenet1_0", {}),
    "squeezenet_1.1": ("torchvision/squeezenet1_1", {}),
    "googlenet_torchvision": ("torchvision/googlenet", {}),
    "resnext152_32x4d": ("timm/resnext152_32x4d", {}),
    "seresnext152_32x4d": ("timm/seresnext152_32x4d", {}),
}
"""Variant -> (where its network is, metaparameters with which ours is that network)."""

MAKE = r"""
import sys, numpy, torch, safetensors.torch, timm, torchvision
from timm.models.resnet import Bottleneck, ResNet

def network(library, name):
    if library == "torchvision":
        own = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        return getattr(torchvision.models, name)(weights=None, **own)
    if name.endswith("resnext152_32x4d"):  # timm has the parts of this one alone
        se = {"block_args": {"attn_layer": "se"}} if name.startswith("se") else {}
        return ResNet(block=Bottleneck, layers=(3, 8, 36, 3), cardinality=32, base_width=4, **se)
    return timm.create_model(name, pretrained=False)

def draw(state, generator):
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        drawn = torch.rand(value.shape, generator=generator)
        if value.ndim > 1:
            state[key] = (2 * drawn - 1) * (6 / value[0].numel()) ** 0.5
        elif key.endswith(("running_var", "weight")):
            state[key] = 0.5 + drawn
        else:
            state[key] = 0.4 * drawn - 0.2
        # Branches that grow with depth bring a gate, and so float32, to its edge.
        if key.endswith(("bn3.weight", ".conv2.bn.weight")):
            state[key] *= 0.2

for line in sys.stdin:
    source, size, folder = line.split()
    library, _, name = source.partition("/")
    model = network(library, name)
    generator = torch.Generator().manual_seed(1)
    state = model.state_dict()
    draw(state, generator)
    model.load_state_dict(state)
    arrays = {key: value.contiguous() for key, value in state.items()}
    safetensors.torch.save_file(arrays, f"{folder}/model.safetensors")
    images = torch.rand((2, 3, int(size), int(size)), generator=generator) * 12 ** 0.5 - 3 ** 0.5
    with torch.no_grad():
        outputs = model.eval()(images)
    numpy.savez(f"{folder}/outputs.npz", images=images.permute(0, 2, 3, 1), outputs=outputs)
    print("done", flush=True)
"""


def in_layout(content, cache, repository):
    """The file as the repository's only one, as the hub's library keeps it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for part in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (folder / part).mkdir(parents=True)
    with open(content, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    content.rename(folder / "blobs" / digest)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT / "model.safetensors").symlink_to(f"../../blobs/{digest}")


def compare(variant, theirs):
    """The worst difference over the largest output."""
    import numpy as np

    import keras_blocks

    source, options = NETWORKS[variant]
    size = {"inception_v3_torchvision": 299}.get(variant, 224 if variant.startswith("vgg") else 128)
    repository = f"local/{source.rpartition('/')[2]}"
    with tempfile.TemporaryDirectory() as folder:
        print(source, size, folder, file=theirs.stdin, flush=True)
        if theirs.stdout.readline() != "done\n":
            raise RuntimeError(f"{source} could not be made, see above")
        cache = pathlib.Path(folder, "cache")
        in_layout(pathlib.Path(folder, "model.safetensors"), cache, repository)
        import huggingface_hub.constants

        huggingface_hub.constants.HF_HUB_CACHE = str(cache)
        images, expected = (np.load(f"{folder}/outputs.npz")[name] for name in ("images", "outputs"))
        own = {"input_shape": images.shape[1:], "classifier_activation": None, "kernel_initializer": "zeros", **options}
        model = keras_blocks.create_model(variant.partition(",")[0], weights=f"hf://{repository}", **own)
        outputs = model.predict(images, verbose=0)
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * np.abs(expected).max(), "a dead network is equal to any"
    return float(np.abs(outputs - expected).max() / np.abs(expected).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help="all that docs/hub_weights.json lacks by default")
    parser.add_argument(
        "--theirs", default=os.environ.get("KERAS_BLOCKS_TIMM", sys.executable), help="a python with timm"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begins no other variant after so long")
    given = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    found = json.loads(DOCS.read_text()) if DOCS.is_file() else {}
    begun = time.monotonic()
    theirs = subprocess.Popen([given.theirs, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for variant in given.variants or [name for name in NETWORKS if name not in found]:
        if time.monotonic() - begun > given.seconds:
            break
        found[variant] = {"theirs": NETWORKS[variant][0], "difference": compare(variant, theirs)}
        print(f"{variant:28} {found[variant]['theirs']:34} {found[variant]['difference']:.1e}", flush=True)
        DOCS.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    theirs.communicate()
    wrong = [name for name, row in found.items() if not row["difference"] <= TOLERANCE]
    print(f"{len(found)} variants, {len(wrong)} differ by more than {TOLERANCE}: {wrong}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
