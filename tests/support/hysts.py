"""pytorch_image_classification's networks (hysts), written anew: modules named as theirs, with forward passes of our own.

Written without our models, so that equal logits say something; compared once with the original code, of which nothing is copied.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(i: int, o: int, k: int = 3, stride: int = 1, **options) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, padding=k // 2, bias=options.pop("bias", False), **options)


class Hysts(nn.Module):
    """What the networks of pytorch_image_classification share: conv, stage1.block1..., fc, and two forms of stem."""

    def __init__(self, channels: list[int], counts: list[int], make, *, large: bool, stem: str | None, tail: str | None, out: int):
        super().__init__()
        self.large, self.stem, self.tail = large, stem, tail
        self.conv = nn.Conv2d(3, channels[0], 7, 2, 3, bias=False) if large else conv(3, channels[0])
        if stem:
            setattr(self, stem, nn.BatchNorm2d(channels[0]))
        position, self.stage_count = 0, len(counts)
        for stage, count in enumerate(counts):
            body = nn.Sequential()
            for i in range(count):
                stride = 2 if stage and not i else 1
                body.add_module(f"block{i + 1}", make(channels[position], channels[position + 1], stride, stage, i))
                position += 1
            setattr(self, f"stage{stage + 1}", body)
        if tail:
            setattr(self, tail, nn.BatchNorm2d(channels[-1]))
        self.fc = nn.Linear(channels[-1], out)
        self.stem_relu, self.tail_relu = True, bool(tail)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.stem:
            x = getattr(self, self.stem)(x)
            x = x.relu() if self.stem_relu else x
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stage_count):
            x = getattr(self, f"stage{stage + 1}")(x)
        if self.tail:
            x = getattr(self, self.tail)(x)
        return self.fc((x.relu() if self.tail_relu else x).mean((2, 3)))


def widths(first: int, counts: list[int], expansion: int) -> list[int]:
    """Channels before the first block and after each: bottlenecks do not expand the first stage."""
    after = [first, *(first * expansion * 2**stage for stage in range(1, len(counts)))]
    return [first, *(width for width, count in zip(after, counts, strict=True) for _ in range(count))]


class Post(nn.Module):
    """conv - BN - ReLU ..., shortcut B, ReLU; `inner` and `groups` for ResNeXt."""

    def __init__(self, before: int, after: int, stride: int, *, bottleneck: bool, inner: int | None = None, groups: int = 1):
        super().__init__()
        mid = (inner or after // 4) if bottleneck else after
        if bottleneck:
            convs = [conv(before, mid, 1), conv(mid, mid, 3, stride, groups=groups), conv(mid, after, 1)]
        else:
            convs = [conv(before, mid, 3, stride), conv(mid, after)]
        self.count = len(convs)
        for i, module in enumerate(convs, 1):
            setattr(self, f"conv{i}", module)
            setattr(self, f"bn{i}", nn.BatchNorm2d(module.out_channels))
        self.shortcut = nn.Sequential()
        if before != after:
            self.shortcut.add_module("conv", conv(before, after, 1, stride))
            self.shortcut.add_module("bn", nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + self.shortcut(x)).relu()


class Pre(nn.Module):
    """BN - ReLU - conv ..., with the options of the pre-activation networks; `se`: squeeze-and-excitation by that reduction."""

    def __init__(
        self, before: int, after: int, stride: int, *, bottleneck: bool, shared: bool, relu: bool, last: bool, se: int = 0
    ):
        super().__init__()
        mid = after // 4 if bottleneck else after
        convs = [conv(before, mid, 1), conv(mid, mid, 3, stride), conv(mid, after, 1)]
        convs = convs if bottleneck else [conv(before, after, 3, stride), conv(after, after)]
        self.count, self.shared, self.relu, self.last, self.squeezes = len(convs), shared, relu, last, bool(se)
        for i, module in enumerate(convs, 1):
            setattr(self, f"bn{i}", nn.BatchNorm2d(module.in_channels))
            setattr(self, f"conv{i}", module)
        if last:
            setattr(self, f"bn{self.count + 1}", nn.BatchNorm2d(after))
        if se:
            self.se = nn.ModuleDict({"fc1": nn.Linear(after, after // se), "fc2": nn.Linear(after // se, after)})
        self.shortcut = nn.Sequential()
        if before != after:
            self.shortcut.add_module("conv", conv(before, after, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(x)
        y = y.relu() if self.relu or self.shared else y
        x = y if self.shared else x
        y = self.conv1(y)
        for i in range(2, self.count + 1):
            y = getattr(self, f"conv{i}")(getattr(self, f"bn{i}")(y).relu())
        y = getattr(self, f"bn{self.count + 1}")(y) if self.last else y
        if self.squeezes:
            y = y * self.se["fc2"](self.se["fc1"](y.mean((2, 3))).relu()).sigmoid()[:, :, None, None]
        return y + self.shortcut(x)


class Wide(Pre):
    """A wide residual block: the pre-activation is shared where the channels change."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__(before, after, stride, bottleneck=False, shared=before != after, relu=True, last=False)


class Pyramid(nn.Module):
    """BN - conv - BN - ReLU - conv [- BN - ReLU - conv] - BN; the shortcut averages and adds zero channels."""

    def __init__(self, before: int, after: int, stride: int, *, bottleneck: bool):
        super().__init__()
        mid, self.stride = after // 4 if bottleneck else after, stride
        convs = [conv(before, mid, 1), conv(mid, mid, 3, stride), conv(mid, after, 1)]
        convs = convs if bottleneck else [conv(before, after, 3, stride), conv(after, after)]
        self.count = len(convs)
        for i, module in enumerate(convs, 1):
            setattr(self, f"bn{i}", nn.BatchNorm2d(module.in_channels))
            setattr(self, f"conv{i}", module)
        setattr(self, f"bn{self.count + 1}", nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.bn1(x))
        for i in range(2, self.count + 1):
            y = getattr(self, f"conv{i}")(getattr(self, f"bn{i}")(y).relu())
        y = getattr(self, f"bn{self.count + 1}")(y)
        x = F.avg_pool2d(x, 2) if self.stride == 2 else x
        return y + torch.cat([x, torch.zeros_like(y[:, x.shape[1] :])], 1)


class Dense(nn.Module):
    """A layer of DenseNet."""

    def __init__(self, before: int, growth: int, *, bottleneck: bool):
        super().__init__()
        self.bottleneck = bottleneck
        if bottleneck:
            self.bn1, self.conv1 = nn.BatchNorm2d(before), conv(before, 4 * growth, 1)
            self.bn2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth)
        else:
            self.bn, self.conv = nn.BatchNorm2d(before), conv(before, growth)

    def forward(self, x: Tensor) -> Tensor:
        if self.bottleneck:
            return torch.cat([x, self.conv2(self.bn2(self.conv1(self.bn1(x).relu())).relu())], 1)
        return torch.cat([x, self.conv(self.bn(x).relu())], 1)


class Transition(nn.Module):
    """Between the dense stages."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(before), conv(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(self.bn(x).relu()), 2)


class Shake(nn.Module):
    """Two residual paths, half of each when scored; where channels change the shortcut sees the image and the image shifted."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.stride = stride
        for path in (1, 2):
            parts = {"conv1": conv(before, after, 3, stride), "bn1": nn.BatchNorm2d(after)}
            parts |= {"conv2": conv(after, after), "bn2": nn.BatchNorm2d(after)}
            setattr(self, f"residual_path{path}", nn.ModuleDict(parts))
        self.shortcut = nn.ModuleDict()
        if before != after:
            parts = {"conv1": conv(before, after // 2, 1), "conv2": conv(before, after // 2, 1), "bn": nn.BatchNorm2d(after)}
            self.shortcut["skip"] = nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Tensor:
        active, branches = x.relu(), 0
        for path in (self.residual_path1, self.residual_path2):
            branches = branches + path["bn2"](path["conv2"](path["bn1"](path["conv1"](active)).relu())) / 2
        if "skip" in self.shortcut:
            skip, shifted = self.shortcut["skip"], torch.zeros_like(active)
            shifted[:, :, :-1, :-1] = active[:, :, 1:, 1:]
            views = [view[:, :, :: self.stride, :: self.stride] for view in (active, shifted)]
            x = skip["bn"](torch.cat([skip["conv1"](views[0]), skip["conv2"](views[1])], 1))
        return x + branches


class Vgg(nn.Module):
    """Five stages of convolutions with bias; `hidden` and three linear layers for large images."""

    def __init__(self, channels: list[int], layers: list[int], *, bn: bool, out: int, hidden: int | None = None):
        super().__init__()
        before, self.bn, self.hidden = 3, bn, hidden
        for stage, (after, count) in enumerate(zip(channels, layers, strict=True), 1):
            body = nn.Sequential()
            for i in range(count):
                body.add_module(f"conv{i}", conv(before, after, bias=True))
                if bn:
                    body.add_module(f"bn{i}", nn.BatchNorm2d(after))
                body.add_module(f"relu{i}", nn.ReLU())
                before = after
            setattr(self, f"stage{stage}", body)
        if hidden:
            self.fc1, self.fc2, self.fc3 = nn.Linear(before * 49, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)
        else:
            self.fc = nn.Linear(before, out)

    def forward(self, x: Tensor) -> Tensor:
        for stage in range(1, 6):
            x = F.max_pool2d(getattr(self, f"stage{stage}")(x), 2)
        x = x.flatten(1)
        return self.fc3(self.fc2(self.fc1(x).relu()).relu()) if self.hidden else self.fc(x)


def dense(counts: list[int], *, growth: int, bottleneck: bool, large: bool, out: int) -> nn.Module:
    """DenseNet with compression 0.5; the large one has no ReLU before pooling."""
    channels, stages = 2 * growth, []
    for stage, count in enumerate(counts):
        body = nn.Sequential()
        for i in range(count):
            body.add_module(f"block{i + 1}", Dense(channels, growth, bottleneck=bottleneck))
            channels += growth
        if stage < len(counts) - 1:
            body.add_module("transition", Transition(channels, channels // 2))
            channels //= 2
        stages.append(body)
    names = {"stem": "bn", "tail": "bn_last"} if large else {"stem": None, "tail": "bn"}
    network = Hysts([2 * growth, channels], [], None, large=large, out=out, **names)
    for stage, body in enumerate(stages, 1):
        setattr(network, f"stage{stage}", body)
    network.stage_count, network.tail_relu = len(stages), not large
    return network
