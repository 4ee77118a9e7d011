"""Networks as their papers list them, layer by layer, counted by plain arithmetic: nothing of keras_blocks is used.

The published counts prove these lists where there are any; the lists give what nobody published.
"""

import functools
import math


class LayerList:
    """Runs along the layers and counts. `channels` and `size`, of square images, are those of the last layer."""

    def __init__(self, size=224, channels=3):
        self.size, self.channels = size, channels
        self.trainable = self.statistics = self.macs = 0

    @property
    def total(self):
        return self.trainable + self.statistics

    def conv(self, filters, kernel, strides=1, bias=False):
        """Padded by half its kernel on every side."""
        self.size = math.ceil(self.size / strides)
        weights = kernel * kernel * self.channels * filters
        self.trainable += weights + bias * filters
        self.macs += weights * self.size * self.size
        self.channels = filters

    def transposed(self, filters, kernel, strides, bias=False):
        """Each pixel of the input times the whole kernel."""
        weights = kernel * kernel * self.channels * filters
        self.trainable += weights + bias * filters
        self.macs += weights * self.size * self.size
        self.size, self.channels = self.size * strides, filters

    def grouped(self, filters, groups, strides=1):
        """A 3x3 convolution in groups of channels."""
        before = self.channels
        self.channels //= groups
        self.conv(filters, 3, strides)
        assert before % groups == filters % groups == 0

    def squeeze_excite(self, ratio, bias=True, least=1):
        """Hu et al. 2017, figure 3: two layers on the pooled channels."""
        channels, squeezed = self.channels, max(least, self.channels // ratio)
        weights = 2 * channels * squeezed
        self.trainable += weights + bias * (channels + squeezed)
        self.macs += weights

    def eca(self):
        """Wang et al. 2020, equation 12: the nearest odd number to (log2 of the channels + 1) / 2, at least 3."""
        kernel = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}[self.channels]
        self.trainable += kernel
        self.macs += kernel * self.channels

    def selective_kernels(self, filters, strides):
        """timm's: two 3x3 convolutions, each of half of the channels; 1x1 convolutions to an eighth, at least 16."""
        channels, size, squeezed = self.channels, self.size, max(16, filters // 8)
        for _ in range(2):
            self.channels, self.size = channels // 2, size
            self.conv(filters, 3, strides)
            self.norm()
        self.trainable += squeezed * filters * 3 + 2 * squeezed
        self.statistics += 2 * squeezed
        self.macs += squeezed * filters * 3

    def norm(self):
        self.trainable += 2 * self.channels
        self.statistics += 2 * self.channels

    def dense(self, units):
        self.trainable += (self.channels + 1) * units
        self.macs += self.channels * units
        self.channels = units


def vgg(*layers, norm=False):
    """Simonyan and Zisserman 2014, table 1."""
    net = LayerList()
    for filters, n in zip((64, 128, 256, 512, 512), layers):
        for _ in range(n):
            net.conv(filters, 3, bias=True)
            if norm:
                net.norm()
        net.size //= 2
    net.channels *= net.size * net.size
    for units in (4096, 4096, 1000):
        net.dense(units)
    return net


def residual_block(
    net, filters, kernels, version, strides=1, projects=False, inner_bias=False, outer_bias=False, se=None, attend=None
):
    """He et al. 2015, figure 5; 2016, figure 4(e). `outer_bias` is of the last convolution and the projection, `se`
    whether a squeeze-excitation of ratio 16 has biases, `attend` what stands there in its place."""
    channels, size = net.channels, net.size
    strided = {"v1": 0, "v1.5": 1, "v2": 1}[version] if len(kernels) == 3 else 0
    if version == "v2":
        net.norm()
    for i, (kernel, width) in enumerate(kernels):
        last = i == len(kernels) - 1
        if kernel == "sk":
            net.selective_kernels(filters, strides)
            continue
        net.conv(width * filters, kernel, strides if i == strided else 1, bias=outer_bias if last else inner_bias)
        if version != "v2" or not last:
            net.norm()
    if se is not None:
        net.squeeze_excite(16, bias=se)
    if attend is not None:
        attend(net)
    out = net.channels, net.size
    if projects:
        net.channels, net.size = channels, size
        net.conv(out[0], 1, strides, bias=outer_bias)
        if version != "v2":
            net.norm()
        assert (net.channels, net.size) == out


def stem(net, deep=False, bias=False, normalized=True):
    """He et al. 2015, table 1; deep, 2018, figure 2(b): three 3x3 convolutions, the first two of 32 channels."""
    for filters, kernel, strides in ((32, 3, 2), (32, 3, 1), (64, 3, 1)) if deep else ((64, 7, 2),):
        net.conv(filters, kernel, strides, bias=bias)
        if normalized:
            net.norm()
    net.size //= 2


def resnet(
    *blocks,
    kind="bottleneck",
    version="v1.5",
    width=1,
    bias=None,
    strides_last=False,
    se=None,
    deep=False,
    attend=None,
    kernels=None,
):
    """He et al. 2015, table 1. keras.applications has biases: in its v1 all convolutions, in its v2 (there with the
    strides in a group's last block) those that no normalization follows; `bias` is "all", "outer" or `None`."""
    net = LayerList()
    kernels = kernels or (((1, width), (3, width), (1, 4)) if kind == "bottleneck" else ((3, 1), (3, 1)))
    stem(net, deep, bias=bias is not None, normalized=version != "v2")
    for i, n in enumerate(blocks):
        for j in range(n):
            strided = j == n - 1 and i < len(blocks) - 1 if strides_last else j == 0 and i > 0
            projects = j == 0 and (i > 0 or kind == "bottleneck")
            biases = {"inner_bias": bias == "all", "outer_bias": bias is not None}
            strides = 2 if strided else 1
            residual_block(net, 64 * 2**i, kernels, version, strides, projects, se=se, attend=attend, **biases)
    if version == "v2":
        net.norm()
    net.dense(1000)
    return net


def resnext_block(net, filters, groups, width, strides, entry=1, projection=1, se=False):
    """Xie et al. 2017, figure 3(c): `width` channels in each group. Hu et al. 2017, section 6.1: an `entry` half as
    wide, a `projection` of 3x3, a squeeze-excitation of ratio 16."""
    channels, size, out = net.channels, net.size, 4 * filters
    net.conv(int(groups * width * entry), 1)
    net.norm()
    net.grouped(groups * width, groups, strides)
    net.norm()
    net.conv(out, 1)
    net.norm()
    if se:
        net.squeeze_excite(16)
    if channels != out or strides > 1:
        net.channels, net.size = channels, size
        net.conv(out, projection, strides)
        net.norm()


def resnext(*blocks, groups=32, width=4, se=False, deep=False):
    """Xie et al. 2017, table 1."""
    net = LayerList()
    stem(net, deep)
    for i, n in enumerate(blocks):
        for j in range(n):
            resnext_block(net, 64 * 2**i, groups, width * 2**i, 2 if i and not j else 1, se=se)
    net.dense(1000)
    return net


def cifar_resnext(groups, width):
    """Xie et al. 2017, section 5.2: 29 layers, three stages of three blocks."""
    net = LayerList(size=32)
    net.conv(64, 3)
    net.norm()
    for i in range(3):
        for j in range(3):
            resnext_block(net, 64 * 2**i, groups, width * 2**i, 2 if i and not j else 1)
    net.dense(10)
    return net


def senet154():
    """Hu et al. 2017, section 6.1: 64 groups, as ResNeXt-152 64x4d but for the stem, the entries, the projections."""
    net = LayerList()
    for filters, strides in ((64, 2), (64, 1), (128, 1)):
        net.conv(filters, 3, strides)
        net.norm()
    net.size //= 2
    for i, n in enumerate(SIZES[152]):
        for j in range(n):
            strides = 2 if i and not j else 1
            resnext_block(net, 64 * 2**i, 64, 4 * 2**i, strides, 0.5, 3 if strides > 1 else 1, se=True)
    net.dense(1000)
    return net


def regnet(widths, depths, group_width, se=False):
    """Radosavovic et al. 2020, figure 4 and the appendix, whose figures print widths and depths. With se, a
    squeeze-excitation to a quarter of the block's input behind the 3x3 convolution."""
    net = LayerList()
    net.conv(32, 3, 2)
    net.norm()
    for width, depth in zip(widths, depths):
        for j in range(depth):
            channels, size, strides = net.channels, net.size, 1 if j else 2
            net.conv(width, 1)
            net.norm()
            net.grouped(width, width // group_width, strides)
            net.norm()
            if se:
                squeezed = round(channels / 4)
                net.trainable += 2 * width * squeezed + squeezed + width
                net.macs += 2 * width * squeezed
            net.conv(width, 1)
            net.norm()
            if not j:
                net.channels, net.size = channels, size
                net.conv(width, 1, strides)
                net.norm()
    net.dense(1000)
    return net


def cifar_resnet(depth, version="v1"):
    """He et al. 2015, section 4.2: 6n + 2 layers, shortcuts without parameters."""
    net = LayerList(size=32)
    net.conv(16, 3)
    if version == "v1":
        net.norm()
    for i in range(3):
        for j in range((depth - 2) // 6):
            residual_block(net, 16 * 2**i, ((3, 1), (3, 1)), version, strides=2 if i > 0 and j == 0 else 1)
    if version == "v2":
        net.norm()
    net.dense(10)
    return net


def deep_cifar_resnet(depth):
    """He et al. 2016, the authors' code: bottlenecks, 9n + 2 layers, projections where the channels change."""
    net = LayerList(size=32)
    net.conv(16, 3)
    for i in range(3):
        for j in range((depth - 2) // 9):
            kernels = ((1, 1), (3, 1), (1, 4))
            residual_block(net, 16 * 2**i, kernels, "v2", strides=2 if i and not j else 1, projects=not j)
    net.norm()
    net.dense(10)
    return net


def wide_cifar_resnet(depth, factor):
    """Zagoruyko and Komodakis 2016, table 1: 6n + 4 layers, and a projection where the number of channels changes."""
    net = LayerList(size=32)
    net.conv(16, 3)
    for i in range(3):
        filters = 16 * factor * 2**i
        for j in range((depth - 4) // 6):
            before, size, strides = net.channels, net.size, 2 if i and not j else 1
            net.norm()
            net.conv(filters, 3, strides)
            net.norm()
            net.conv(filters, 3)
            if before != filters:
                net.channels, net.size = before, size
                net.conv(filters, 1, strides)
    net.norm()
    net.dense(10)
    return net


def dense_groups(net, layers, growth, classes, bc=True):
    """Huang et al. 2016, section 3; `bc`: with bottlenecks of 4 k channels and a compression of 1/2."""
    for i, n in enumerate(layers):
        for _ in range(n):
            before = net.channels
            if bc:
                net.norm()
                net.conv(4 * growth, 1)
            net.norm()
            net.conv(growth, 3)
            net.channels += before
        net.norm()
        if i < len(layers) - 1:
            net.conv(net.channels // (2 if bc else 1), 1)
            net.size //= 2
    net.dense(classes)
    return net


def densenet(*layers, growth=32):
    """Huang et al. 2016, table 1."""
    net = LayerList()
    net.conv(2 * growth, 7, 2)
    net.norm()
    net.size //= 2
    return dense_groups(net, layers, growth, 1000)


def cifar_densenet(depth, growth):
    """Huang et al. 2016, section 3, "Implementation Details": three blocks, a first convolution of 2 k channels."""
    net = LayerList(size=32)
    net.conv(2 * growth, 3)
    return dense_groups(net, ((depth - 4) // 6,) * 3, growth, 10)


def plain_cifar_densenet(depth, growth):
    """The same section: layers of one convolution, transitions that keep the channels, 16 channels at first."""
    net = LayerList(size=32)
    net.conv(16, 3)
    return dense_groups(net, ((depth - 4) // 3,) * 3, growth, 10, bc=False)


def squeezenet(stem, *groups, bypass=None, pad=0):
    """Iandola et al. 2016, table 1, figure 2. The first convolution is not padded; poolings, of 3x3, round up.

    The authors' prototxt of version 1.0 has `pad: 1` in conv10.
    """
    filters, kernel = stem
    net = LayerList()
    net.size = 2 * ((net.size - kernel) // 2 + 1)
    net.conv(filters, kernel, 2, bias=True)
    for group in groups:
        net.size = math.ceil((net.size - 3) / 2) + 1
        for squeeze in group:
            before = net.channels
            if bypass == "complex" and before != 8 * squeeze:
                net.conv(8 * squeeze, 1, bias=True)
                net.channels = before
            net.conv(squeeze, 1, bias=True)
            net.conv(4 * squeeze, 1, bias=True)
            net.channels = squeeze
            net.conv(4 * squeeze, 3, bias=True)
            net.channels = 8 * squeeze
    net.size += 2 * pad
    net.conv(1000, 1, bias=True)
    return net


def koch_twins():
    """Koch et al. 2015, figure 4: unpadded convolutions, on two images; one unit weighs the embeddings' differences."""
    net = LayerList(105, 1)
    for i, (filters, kernel) in enumerate(((64, 10), (128, 7), (128, 4), (256, 4))):
        net.size = (net.size // 2 if i else net.size) - kernel + 1
        net.conv(filters, kernel, bias=True)
    net.channels *= net.size * net.size
    net.dense(4096)
    net.macs *= 2
    net.dense(1)
    return net


SIZES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
ROUNDED_SE = functools.partial(LayerList.squeeze_excite, ratio=16, least=8)
V1_0 = ((96, 7), (16, 16, 32), (32, 48, 48, 64), (64,))
CIFAR_DEPTHS = (20, 32, 44, 56, 110)


def autoencoder_cifar():
    """Ferlitsch's zoo/autoencoder: 3x3, stride 2, BatchNormalization, ReLU; here bias-free, and mirrored exactly."""
    net = LayerList(32)
    for filters in (64, 32, 16):
        net.conv(filters, 3, 2)
        net.norm()
    for filters in (32, 64):
        net.transposed(filters, 3, 2)
        net.norm()
    net.transposed(3, 3, 2, bias=True)
    return net


def beta_vae():
    """Burgess et al. 2018, appendix A: four convolutions 4x4 of stride 2, 32 channels, dense layers of 256 units twice,
    means and log-variances of ten values, and the transpose of it; 64x64 pixels, one channel."""
    net = LayerList(64, 1)
    for _ in range(4):
        net.conv(32, 4, 2, bias=True)
    net.channels = 4 * 4 * 32
    for units in (256, 256, 20):
        net.dense(units)
    net.channels = 10
    for units in (256, 256, 4 * 4 * 32):
        net.dense(units)
    net.size, net.channels = 4, 32
    for filters in (32, 32, 32, 1):
        net.transposed(filters, 4, 2, bias=True)
    return net


LISTS = {
    "autoencoder_cifar": autoencoder_cifar(),
    "beta_vae": beta_vae(),
    "vgg11": vgg(1, 1, 2, 2, 2),
    "vgg13": vgg(2, 2, 2, 2, 2),
    "vgg16": vgg(2, 2, 3, 3, 3),
    "vgg19": vgg(2, 2, 4, 4, 4),
    "vgg11_bn": vgg(1, 1, 2, 2, 2, norm=True),
    "vgg13_bn": vgg(2, 2, 2, 2, 2, norm=True),
    "vgg16_bn": vgg(2, 2, 3, 3, 3, norm=True),
    "vgg19_bn": vgg(2, 2, 4, 4, 4, norm=True),
    "resnet18": resnet(2, 2, 2, 2, kind="basic", version="v1"),
    "resnet34": resnet(3, 4, 6, 3, kind="basic", version="v1"),
    "resnet18_v2": resnet(2, 2, 2, 2, kind="basic", version="v2"),
    "resnet34_v2": resnet(3, 4, 6, 3, kind="basic", version="v2"),
    "resnet26": resnet(2, 2, 2, 2),
    "resnet18d": resnet(2, 2, 2, 2, kind="basic", version="v1", deep=True),
    "resnet34d": resnet(3, 4, 6, 3, kind="basic", version="v1", deep=True),
    **{f"resnet{depth}d": resnet(*size, deep=True) for depth, size in SIZES.items()},
    "ecaresnet50d": resnet(*SIZES[50], deep=True, attend=LayerList.eca),
    "seresnet18": resnet(2, 2, 2, 2, kind="basic", version="v1", attend=ROUNDED_SE),
    "seresnet34": resnet(3, 4, 6, 3, kind="basic", version="v1", attend=ROUNDED_SE),
    "skresnet18": resnet(2, 2, 2, 2, kind="basic", version="v1", kernels=(("sk", 1), (3, 1))),
    "skresnet34": resnet(3, 4, 6, 3, kind="basic", version="v1", kernels=(("sk", 1), (3, 1))),
    "resnext50d_32x4d": resnext(*SIZES[50], deep=True),
    "seresnext26d_32x4d": resnext(2, 2, 2, 2, deep=True, se=True),
    **{f"resnet{depth}": resnet(*size) for depth, size in SIZES.items()},
    **{f"resnet{depth}_v1": resnet(*size, version="v1", bias="all") for depth, size in SIZES.items()},
    **{
        f"resnet{depth}_v2": resnet(*size, version="v2", bias="outer", strides_last=True)
        for depth, size in SIZES.items()
    },
    **{f"seresnet{depth}": resnet(*size, se=True) for depth, size in SIZES.items()},
    **{f"resnext{depth}_32x4d": resnext(*size) for depth, size in SIZES.items()},
    **{f"seresnext{depth}_32x4d": resnext(*size, se=True) for depth, size in SIZES.items()},
    "resnext101_64x4d": resnext(*SIZES[101], groups=64),
    "resnext101_32x8d": resnext(*SIZES[101], width=8),
    "resnext101_32x16d": resnext(*SIZES[101], width=16),
    "seresnext101_64x4d": resnext(*SIZES[101], groups=64, se=True),
    "seresnext101_32x8d": resnext(*SIZES[101], width=8, se=True),
    "resnext29_8x64d_cifar": cifar_resnext(8, 64),
    "resnext29_16x64d_cifar": cifar_resnext(16, 64),
    "senet154": senet154(),
    "regnetx_002": regnet((24, 56, 152, 368), (1, 1, 4, 7), 8),
    "regnetx_032": regnet((96, 192, 432, 1008), (2, 6, 15, 2), 48),
    "regnety_002": regnet((24, 56, 152, 368), (1, 1, 4, 7), 8, se=True),
    "regnety_004": regnet((48, 104, 208, 440), (1, 3, 6, 6), 8, se=True),
    "regnety_032": regnet((72, 216, 576, 1512), (2, 5, 13, 1), 24, se=True),
    "wide_resnet50_2": resnet(*SIZES[50], width=2),
    "wide_resnet101_2": resnet(*SIZES[101], width=2),
    **{f"resnet{depth}_cifar": cifar_resnet(depth) for depth in CIFAR_DEPTHS},
    **{f"resnet{depth}_cifar_v2": cifar_resnet(depth, "v2") for depth in CIFAR_DEPTHS},
    "densenet121": densenet(6, 12, 24, 16),
    "densenet161": densenet(6, 12, 36, 24, growth=48),
    "densenet169": densenet(6, 12, 32, 32),
    "densenet201": densenet(6, 12, 48, 32),
    "densenet264": densenet(6, 12, 64, 48),
    **{f"resnet{depth}_cifar_v2": deep_cifar_resnet(depth) for depth in (164, 1001)},
    "wide_resnet28_10_cifar": wide_cifar_resnet(28, 10),
    "wide_resnet16_8_cifar": wide_cifar_resnet(16, 8),
    "wide_resnet40_2_cifar": wide_cifar_resnet(40, 2),
    "densenet40_cifar": plain_cifar_densenet(40, 12),
    "densenet100_cifar": cifar_densenet(100, 12),
    "densenet190_cifar": cifar_densenet(190, 40),
    "siamese_koch2015": koch_twins(),
    "squeezenet_1.0": squeezenet(*V1_0),
    "squeezenet_1.0_caffe": squeezenet(*V1_0, pad=1),
    "squeezenet_1.0_simple_bypass": squeezenet(*V1_0),
    "squeezenet_1.0_complex_bypass": squeezenet(*V1_0, bypass="complex"),
    "squeezenet_1.1": squeezenet((64, 3), (16, 16), (32, 32), (48, 48, 64, 64)),
}

# The paper's v1 and v2, without the biases of keras.applications.
BIAS_FREE_LISTS = {
    **{f"resnet{depth}_v1": resnet(*size, version="v1") for depth, size in SIZES.items()},
    **{f"resnet{depth}_v2": resnet(*size, version="v2", strides_last=True) for depth, size in SIZES.items()},
}

# The gates without biases.
BIAS_FREE_GATES = {f"seresnet{depth}": resnet(*size, se=False) for depth, size in SIZES.items()}
