"""Inception networks as their papers' tables list them, counted by plain arithmetic, as in layer_lists.py."""

import math

from layer_lists import LayerList

# Szegedy et al. 2014, table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# Cadene's bninception, hujie-frank's SE-BN-Inception: the same with double 3x3; 3c and 4e have a stride of 2, and pass
# their input through.
BN_INCEPTION = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}


class BranchList(LayerList):
    """Layers with kernels that are not square, with or without normalization, in branches."""

    def __init__(self, size, norm="bn"):
        super().__init__(size)
        self.norm_kind = norm

    def unit(self, filters, kernel=1, strides=1, valid=False):
        """A convolution, with BatchNormalization ("bn", "unscaled") or a bias (None)."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.size = (self.size - height) // strides + 1 if valid else math.ceil(self.size / strides)
        weights = height * width * self.channels * filters
        self.macs += weights * self.size**2
        self.channels = filters
        self.trainable += weights + filters * {"bn": 2, "unscaled": 1, None: 1}[self.norm_kind]
        self.statistics += 2 * filters * (self.norm_kind is not None)

    def branches(self, *branches, passed=0):
        """Each a list of `unit`'s arguments; a list of lists ends in parallel units. `passed` channels are pooled."""
        channels, size, out = self.channels, self.size, passed
        for branch in branches:
            self.channels, self.size = channels, size
            *units, last = branch
            for unit in units:
                self.unit(*unit)
            before = self.channels, self.size
            for unit in last if isinstance(last[0], tuple) else [last]:
                self.channels, self.size = before
                self.unit(*unit)
                out += self.channels
        self.channels = out

    def aux_v1(self, classes=1000, width=128, hidden=1024):
        """Szegedy et al. 2014, section 5. The network goes on from where it is."""
        channels, size = self.channels, self.size
        self.size = 4
        self.unit(width)
        self.channels *= 16
        self.dense(hidden)
        self.dense(classes)
        self.channels, self.size = channels, size

    def aux_v3(self, classes=1000):
        """torchvision's inception_v3: AuxLogits."""
        channels, size = self.channels, self.size
        self.size = 5
        self.unit(128)
        self.unit(768, 5, 1, True)
        self.dense(classes)
        self.channels, self.size = channels, size


def _pool(size, window=3):
    """Of stride 2, rounded up as Caffe does."""
    return math.ceil((size - window) / 2) + 1


def googlenet(third=5, norm=None, last_pool=3, auxiliary=False, quarter=False):
    """Szegedy et al. 2014, table 1; at 224 pixels. A quarter of all filters, on 32 pixels, is our small form."""
    share = 4 if quarter else 1
    net = BranchList(32 if quarter else 224, norm)
    net.unit(64 // share, 3 if quarter else 7, 1 if quarter else 2)
    net.size = net.size if quarter else _pool(net.size)
    net.unit(64 // share)
    net.unit(192 // share, 3)
    for name, numbers in GOOGLENET.items():
        if name in ("3a", "4a", "5a"):
            net.size = _pool(net.size, last_pool if name == "5a" else 3)
        one, reduce, three, reduce5, five, project = (number // share for number in numbers)
        net.branches([(one,)], [(reduce,), (three, 3)], [(reduce5,), (five, third)], [(project,)])
        if auxiliary and name in ("4a", "4d"):
            net.aux_v1()
    net.dense(10 if quarter else 1000)
    return net


def bn_inception(bias=False, se=False):
    """Ioffe and Szegedy 2015, figure 5, in the numbers of Cadene's bninception, whose convolutions have biases."""
    net = BranchList(224)
    net.unit(64, 7, 2)
    net.size = _pool(net.size)
    net.unit(64)
    net.unit(192, 3)
    net.size = _pool(net.size)
    convolutions = 64 + 64 + 192
    for one, reduce, three, reduce2, double, project in BN_INCEPTION.values():
        strides = 1 if one else 2
        ends = [[(one,)], [(project,)]] if one else []
        passed = 0 if one else net.channels
        middle = [[(reduce,), (three, 3, strides)], [(reduce2,), (double, 3), (double, 3, strides)]]
        net.branches(*ends, *middle, passed=passed)
        convolutions += one + reduce + three + reduce2 + 2 * double + project
        if se:
            net.squeeze_excite(16)
    net.trainable += bias * convolutions
    net.dense(1000)
    return net


def inception_v3(norm="bn", auxiliary=False, small=False):
    """torchvision's inception_v3 and keras.applications' InceptionV3. Without the first convolution's stride and the
    second pooling, and padded everywhere, on 32 pixels, it is our small form."""
    net = BranchList(32 if small else 299, norm)
    valid = not small
    net.unit(32, 3, 1 if small else 2, valid)
    net.unit(32, 3, 1, valid)
    net.unit(64, 3)
    net.size = _pool(net.size) if small else (net.size - 3) // 2 + 1
    net.unit(80)
    net.unit(192, 3, 1, valid)
    if not small:
        net.size = (net.size - 3) // 2 + 1
    for project in (32, 64, 64):
        net.branches([(64,)], [(48,), (64, 5)], [(64,), (96, 3), (96, 3)], [(project,)])
    net.branches([(384, 3, 2, valid)], [(64,), (96, 3), (96, 3, 2, valid)], passed=net.channels)
    row, column = (1, 7), (7, 1)
    for inner in (128, 160, 160, 192):
        double = [(inner,), (inner, column), (inner, row), (inner, column), (192, row)]
        net.branches([(192,)], [(inner,), (inner, row), (192, column)], double, [(192,)])
    if auxiliary:
        net.aux_v3()
    strided = (192, 3, 2, valid)
    net.branches([(192,), (320, 3, 2, valid)], [(192,), (192, row), (192, column), strided], passed=net.channels)
    for _ in range(2):
        expanded = [(384, (1, 3)), (384, (3, 1))]
        net.branches([(320,)], [(384,), expanded], [(448,), (384, 3), expanded], [(192,)])
    net.dense(10 if small else 1000)
    return net


V4_ROW, V4_COLUMN = (1, 7), (7, 1)


def valid(filters, strides=2):
    return (filters, 3, strides, True)


def inception_v4():
    """Szegedy et al. 2016, figures 3 to 9."""
    net = BranchList(299)
    for unit in (valid(32), valid(32, 1), (64, 3)):
        net.unit(*unit)
    net.branches([valid(96)], passed=64)
    net.branches([(64,), valid(96, 1)], [(64,), (64, V4_ROW), (64, V4_COLUMN), valid(96, 1)])
    net.branches([valid(192)], passed=192)
    for _ in range(4):
        net.branches([(96,)], [(64,), (96, 3)], [(64,), (96, 3), (96, 3)], [(96,)])
    net.branches([valid(384)], [(192,), (224, 3), valid(256)], passed=384)
    long = [(192,), (192, V4_COLUMN), (224, V4_ROW), (224, V4_COLUMN), (256, V4_ROW)]
    for _ in range(7):
        net.branches([(384,)], [(192,), (224, V4_ROW), (256, V4_COLUMN)], long, [(128,)])
    net.branches([(192,), valid(192)], [(256,), (256, V4_ROW), (320, V4_COLUMN), valid(320)], passed=1024)
    ends = [(256, (1, 3)), (256, (3, 1))]
    for _ in range(3):
        net.branches([(256,)], [(384,), ends], [(384,), (448, (3, 1)), (512, (1, 3)), ends], [(256,)])
    net.dense(1000)
    return net


def inception_resnet_v2():
    """Szegedy et al. 2016, figures 15 to 19, in the numbers of the authors' code, as timm has them."""
    net = BranchList(299)

    def residuals(times, *branches):
        for _ in range(times):
            channels = net.channels
            net.branches(*branches)
            net.conv(channels, 1, bias=True)

    for unit in (valid(32), valid(32, 1), (64, 3)):
        net.unit(*unit)
    net.size = (net.size - 3) // 2 + 1
    net.unit(80)
    net.unit(*valid(192, 1))
    net.size = (net.size - 3) // 2 + 1
    net.branches([(96,)], [(48,), (64, 5)], [(64,), (96, 3), (96, 3)], [(64,)])
    residuals(10, [(32,)], [(32,), (32, 3)], [(32,), (48, 3), (64, 3)])
    net.branches([valid(384)], [(256,), (256, 3), valid(384)], passed=320)
    residuals(20, [(192,)], [(128,), (160, V4_ROW), (192, V4_COLUMN)])
    net.branches([(256,), valid(384)], [(256,), valid(288)], [(256,), (288, 3), valid(320)], passed=1088)
    residuals(10, [(192,)], [(192,), (224, (1, 3)), (256, (3, 1))])
    net.unit(1536)
    net.dense(1000)
    return net


INCEPTION_LISTS = {
    "inception_v4": inception_v4(),
    "inception_resnet_v2": inception_resnet_v2(),
    "googlenet": googlenet(),
    "googlenet_torchvision": googlenet(third=3, norm="bn", last_pool=2),
    "googlenet_cifar": googlenet(norm="bn", quarter=True),
    "inception_v2": bn_inception(),
    "se_bn_inception": bn_inception(se=True),
    "inception_v3": inception_v3("unscaled"),
    "inception_v3_torchvision": inception_v3(),
    "inception_v3_cifar": inception_v3(small=True),
}

AUXILIARY_LISTS = {
    "googlenet": googlenet(auxiliary=True),
    "googlenet_torchvision": googlenet(third=3, norm="bn", last_pool=2, auxiliary=True),
    "inception_v3_torchvision": inception_v3(auxiliary=True),
}
