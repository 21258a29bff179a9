"""The networks as PyTorch users have them: definitions for the tests of convert and export. Parameters are named as in the
checkpoints that these networks' authors publish.

    unet            the U-Net of pix2pix and of the moein-shariatnia tutorial
    resnet18-unet   fastai's DynamicUnet on ResNet18 with one input channel, as that tutorial makes it
    resnet18        torchvision's classifier
    lite0           EfficientNet-Lite0, the classifier's features (names of efficientnet-lite-pytorch)
    patchgan        the discriminator of pix2pix with the tutorial's names
    pix2pix-d       the same with pix2pix's names
"""
import torch
import torch.nn.functional as F
from torch import nn


class UnetBlock(nn.Module):
    def __init__(self, outer, inner, below=None, place="middle", dropout=False):
        super().__init__()
        outermost, innermost = place == "outermost", place == "innermost"
        down = [] if outermost else [nn.LeakyReLU(0.2)]
        down += [nn.Conv2d(1 if outermost else outer, inner, 4, 2, 1, bias=False)]
        if place == "middle":
            down += [nn.BatchNorm2d(inner)]
        up = [nn.ReLU(), nn.ConvTranspose2d(inner if innermost else 2 * inner, outer, 4, 2, 1, bias=outermost)]
        up += [nn.Tanh()] if outermost else [nn.BatchNorm2d(outer)]
        if dropout:
            up += [nn.Dropout(0.5)]
        self.model = nn.Sequential(*down, *([below] if below else []), *up)
        self.outermost = outermost

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        block = UnetBlock(512, 512, place="innermost")
        for _ in range(3):
            block = UnetBlock(512, 512, block, dropout=True)
        for channels in 256, 128, 64:
            block = UnetBlock(channels, 2 * channels, block)
        self.model = UnetBlock(2, 64, block, "outermost")

    def forward(self, x):
        return self.model(x)


class BasicBlock(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        identity = self.downsample(x) if self.downsample else x
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + identity)


def resnet_layers(inputs):
    layers = [nn.Conv2d(inputs, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inner = 64
    for i, outer in enumerate((64, 128, 256, 512)):
        layers.append(nn.Sequential(BasicBlock(inner, outer, 2 if i else 1), BasicBlock(outer, outer, 1)))
        inner = outer
    return layers


class ResNet18(nn.Module):
    """Answers its last features, for the comparison with an encoder."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool, self.layer1, self.layer2, self.layer3, self.layer4 = resnet_layers(3)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def conv_relu(inner, outer, k=3):
    return nn.Sequential(nn.Conv2d(inner, outer, k, padding=k // 2), nn.ReLU())


def enlarge(inner, outer):
    return nn.Sequential(conv_relu(inner, 4 * outer, 1), nn.PixelShuffle(2))


class DynamicBlock(nn.Module):
    def __init__(self, inner, skip, last):
        super().__init__()
        self.shuf = enlarge(inner, inner // 2)
        self.bn = nn.BatchNorm2d(skip)
        channels = inner // 2 + skip
        outer = channels // 2 if last else channels
        self.conv1 = conv_relu(channels, outer)
        self.conv2 = conv_relu(outer, outer)
        self.out = outer

    def forward(self, x, skip):
        return self.conv2(self.conv1(F.relu(torch.cat([self.shuf(x), self.bn(skip)], 1))))


class ResBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convpath = nn.Sequential(conv_relu(channels, channels), nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)))

    def forward(self, x):
        return F.relu(self.convpath(x) + x)


class DynamicUnet(nn.Module):
    def __init__(self):
        super().__init__()
        blocks, channels = [], 512
        for i, skip in enumerate((256, 128, 64, 64)):
            blocks.append(DynamicBlock(channels, skip, i == 3))
            channels = blocks[-1].out
        self.layers = nn.ModuleList([
            nn.Sequential(*resnet_layers(1)), nn.BatchNorm2d(512), nn.ReLU(),
            nn.Sequential(conv_relu(512, 1024), conv_relu(1024, 512)), *blocks, enlarge(channels, channels),
            nn.Identity(), nn.Identity(), ResBlock(channels + 1), nn.Sequential(nn.Conv2d(channels + 1, 2, 1))])

    def forward(self, x):
        image, taps = x, []
        for i, layer in enumerate(self.layers[0]):
            x = layer(x)
            if i in (2, 4, 5, 6):
                taps.append(x)
        x = self.layers[3](F.relu(self.layers[1](x)))
        for block, tap in zip(self.layers[4:8], taps[::-1]):
            x = block(x, tap)
        x = torch.cat([self.layers[8](x), image], 1)
        return self.layers[12](self.layers[11](x)).clamp(-1, 1)         # ours ends with the clamp


def same(x, k, stride):
    """TensorFlow's padding."""
    total = k - stride
    return F.pad(x, (total // 2, total - total // 2) * 2)


class MBConv(nn.Module):
    def __init__(self, inner, outer, k, stride, expand):
        super().__init__()
        wide = inner * expand
        norm = lambda n: nn.BatchNorm2d(n, eps=1e-3, momentum=0.01)
        if expand != 1:
            self._expand_conv = nn.Conv2d(inner, wide, 1, bias=False)
            self._bn0 = norm(wide)
        self._depthwise_conv = nn.Conv2d(wide, wide, k, stride, groups=wide, bias=False)
        self._bn1 = norm(wide)
        self._project_conv = nn.Conv2d(wide, outer, 1, bias=False)
        self._bn2 = norm(outer)
        self.k, self.stride, self.residual = k, stride, stride == 1 and inner == outer

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = F.relu6(self._bn1(self._depthwise_conv(same(y, self.k, self.stride))))
        y = self._bn2(self._project_conv(y))
        return y + x if self.residual else y


class Lite0(nn.Module):
    """Answers its last features before the head, for the comparison with an encoder."""

    def __init__(self):
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        blocks, inner = [], 32
        for count, k, stride, expand, outer in ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
                                                (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)):
            for b in range(count):
                blocks.append(MBConv(inner, outer, k, 1 if b else stride, expand))
                inner = outer
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3, momentum=0.01)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(same(x, 3, 2))))
        for block in self._blocks:
            x = block(x)
        return x


class PatchGan(nn.Module):
    """The discriminator of pix2pix, with the tutorial's names: the input is L and ab, the answer logits of patches."""

    def __init__(self):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2))]
        for inner, outer, stride in ((64, 128, 2), (128, 256, 2), (256, 512, 1)):
            layers.append(nn.Sequential(nn.Conv2d(inner, outer, 4, stride, 1, bias=False), nn.BatchNorm2d(outer),
                                        nn.LeakyReLU(0.2)))
        layers.append(nn.Sequential(nn.Conv2d(512, 1, 4, 1, 1)))
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class PatchGanPix2pix(nn.Module):
    """The same with pix2pix's names: one nn.Sequential."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inner, outer, stride in ((64, 128, 2), (128, 256, 2), (256, 512, 1)):
            layers += [nn.Conv2d(inner, outer, 4, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


# name -> class, inputs, size of the test picture
NETS = {"unet": (Unet, 1, 256), "resnet18-unet": (DynamicUnet, 1, 64), "resnet18": (ResNet18, 3, 64), "lite0": (Lite0, 3, 64),
        "patchgan": (PatchGan, 3, 64), "pix2pix-d": (PatchGanPix2pix, 3, 64)}


def picture(channels, size):
    i = torch.arange(size, dtype=torch.float64)[:, None]
    j = torch.arange(size, dtype=torch.float64)[None, :]
    return (torch.sin(0.05 * i + 0.09 * j) * torch.cos(0.031 * i)).expand(1, channels, size, size)
