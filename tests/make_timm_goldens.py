"""Stores timm's outputs for seeded weights in tests/fixtures/timm.

Run by hand where timm is installed; with Debian's python3-torchvision, for instance:

    python3.11 -m pip install --no-deps --target /tmp/timm timm huggingface_hub safetensors pyyaml ...
    PYTHONPATH=/tmp/timm /usr/bin/python3 tests/make_timm_goldens.py [name ...]
"""

import sys

import golden_weights
import timm
import torch

# name: pixels. VGG's head is no convolution over several places at 224 only; 97 is odd at every level.
NETWORKS = {
    "resnetv2_18": 97,
    "resnetv2_34": 97,
    "resnetv2_50": 97,
    "vgg11": 224,
    "resnet26": 97,
    "seresnet50": 97,
    "seresnext101_64x4d": 97,
    "seresnext101_32x8d": 97,
    "legacy_senet154": 97,
    "legacy_seresnet50": 97,
    "legacy_seresnext26_32x4d": 97,
}


def store(name):
    pixels = NETWORKS[name]
    parameters = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    model = timm.create_model(name, num_classes=10)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    arrays = golden_weights.weights(shapes)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    shape = [2, pixels, pixels, 3]
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(golden_weights.images(shape).transpose(0, 3, 1, 2).copy()))
    golden_weights.save(
        golden_weights.FIXTURES / "timm" / f"{name}.json.gz",
        {
            "source": f"timm {timm.__version__}, torch {torch.__version__}",
            "images": shape,
            "shapes": shapes,
            "outputs": {"logits": golden_weights.rounded(logits.numpy())},
            "trainable with 1000 classes": parameters,
        },
    )
    print(name, parameters, logits.std(0).mean().item(), logits.abs().max().item())


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NETWORKS:
        store(chosen)
