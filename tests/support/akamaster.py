"""pytorch_resnet_cifar10's networks (akamaster), written anew: modules named as theirs, with a forward pass of our own.

Written without our models, so that equal logits say something; compared once with the original code, of which nothing is copied.
"""

import torch
from torch import Tensor, nn


def conv(i: int, o: int, k: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, padding=k // 2, bias=False)


class Akamaster(nn.Module):
    """ResNet of depth 6n+2 on CIFAR; option A pads a quarter of the channels on each side."""

    def __init__(self, depth: int, option: str = "A"):
        super().__init__()
        self.conv1, self.bn1, width = conv(3, 16), nn.BatchNorm2d(16), 16
        for stage, channels in enumerate((16, 32, 64)):
            blocks = []
            for i in range((depth - 2) // 6):
                blocks.append(self.block(width, channels, 2 if stage and not i else 1, option))
                width = channels
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def block(self, before: int, after: int, stride: int, option: str) -> nn.Module:
        parts = {"conv1": conv(before, after, 3, stride), "bn1": nn.BatchNorm2d(after)}
        parts |= {"conv2": conv(after, after), "bn2": nn.BatchNorm2d(after)}
        if option == "B" and before != after:
            parts["shortcut"] = nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))
        return nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        for block in (*self.layer1, *self.layer2, *self.layer3):
            out = block["bn2"](block["conv2"](block["bn1"](block["conv1"](x)).relu()))
            if "shortcut" in block:
                x = block["shortcut"](x)
            elif out.shape != x.shape:
                half = torch.zeros_like(out[:, : x.shape[1] // 2])
                x = torch.cat([half, x[:, :, ::2, ::2], half], 1)
            x = (out + x).relu()
        return self.linear(x.mean((2, 3)))
