"""Against networks built of torch's own modules, with weights under PyTorch's names and in its order of axes."""

import numpy as np
import pytest
from calling import outputs_of

import keras_blocks


def as_numpy(module):
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="the reference is built of torch's modules")


def compare(torch, module, model, size):
    """Random weights and statistics from torch, moved by `convert_weights`; equal outputs."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.dtype.is_floating_point and value.ndim == 1:
                value.uniform_(0.5, 1.5) if "var" in name or "weight" in name else value.normal_(0, 0.1)
    module.eval().cpu()
    keras_blocks.convert_weights(as_numpy(module), model)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    with torch.no_grad():
        expected = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    outputs = outputs_of(model, images)
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg_turns_the_flattened_kernel(torch, batch_norm):
    nn = torch.nn
    features, channels = [], 3
    for filters, layers in ((4, 1), (6, 2)):
        for _ in range(layers):
            features += [nn.Conv2d(channels, filters, 3, padding=1)]
            features += [nn.BatchNorm2d(filters)] if batch_norm else []
            features += [nn.ReLU()]
            channels = filters
        features.append(nn.MaxPool2d(2, 2))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*features)
            dense = [nn.Linear(6 * 5 * 5, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 7), nn.ReLU(), nn.Dropout()]
            self.classifier = nn.Sequential(*dense, nn.Linear(7, 4))

        def forward(self, x):
            return self.classifier(torch.flatten(self.features(x), 1))

    model = keras_blocks.VGG(
        groups=[{"filters": 4, "layers": 1}, {"filters": 6, "layers": 2}],
        hidden=(8, 7),
        batch_norm={"epsilon": 1e-5} if batch_norm else False,
        use_bias=True,
        input_shape=(20, 20, 3),
        classes=4,
        classifier_activation=None,
    )
    compare(torch, Net(), model, 20)


def bottleneck(torch, channels, filters, stride):
    nn = torch.nn

    class Bottleneck(nn.Module):
        """Version 1.5: the stride in the 3x3."""

        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters)
            self.conv2 = nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(filters)
            self.conv3, self.bn3 = nn.Conv2d(filters, 4 * filters, 1, bias=False), nn.BatchNorm2d(4 * filters)
            self.downsample = None
            if stride > 1 or channels != 4 * filters:
                conv = nn.Conv2d(channels, 4 * filters, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * filters))

        def forward(self, x):
            shortcut = x if self.downsample is None else self.downsample(x)
            x = torch.relu(self.bn1(self.conv1(x)))
            x = torch.relu(self.bn2(self.conv2(x)))
            return torch.relu(self.bn3(self.conv3(x)) + shortcut)

    return Bottleneck()


@pytest.mark.parametrize("size", [64, 75])
def test_resnet_v1_5_pads_as_torch_does(torch, size):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 4, 7, 2, padding=3, bias=False), nn.BatchNorm2d(4)
            self.layer1 = nn.Sequential(bottleneck(torch, 4, 4, 1), bottleneck(torch, 16, 4, 1))
            self.layer2 = nn.Sequential(bottleneck(torch, 16, 8, 2))
            self.fc = nn.Linear(32, 5)

        def forward(self, x):
            x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
            return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))

    model = keras_blocks.ResNet(
        groups=[{"filters": 4, "blocks": 2}, {"filters": 8, "blocks": 1}],
        batch_norm={"epsilon": 1e-5},
        input_shape=(size, size, 3),
        classes=5,
        classifier_activation=None,
    )
    compare(torch, Net(), model, size)
