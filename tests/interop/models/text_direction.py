"""PP-OCR's text direction classifier (MobileNetV3, squeeze and excitation), as one writes it in nn.

The weights are those that the package rapidocr-onnxruntime carries (0.6 MB, Apache-2.0); `renamed`
turns its names into ours.
"""

import forwardpass.nn as nn
import forwardpass.nn.functional as F

# kernel, expanded, out, squeeze and excitation, activation, stride down; conv2 to conv12.
BLOCKS = (
    (3, 8, 8, True, nn.ReLU, 2),
    (3, 24, 8, False, nn.ReLU, 2),
    (3, 32, 8, False, nn.ReLU, 1),
    (5, 32, 16, True, nn.Hardswish, 2),
    (5, 88, 16, True, nn.Hardswish, 1),
    (5, 88, 16, True, nn.Hardswish, 1),
    (5, 40, 16, True, nn.Hardswish, 1),
    (5, 48, 16, True, nn.Hardswish, 1),
    (5, 104, 32, True, nn.Hardswish, 2),
    (5, 200, 32, True, nn.Hardswish, 1),
    (5, 200, 32, True, nn.Hardswish, 1),
)


def convolved(inner, outer, kernel, stride=1, groups=1, activation=None):
    """Convolution, BatchNorm, activation."""
    conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(outer)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Excitation(nn.Module):
    """A channel times a share that the means of all channels decide."""

    def __init__(self, channels):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.first = nn.Conv2d(channels, channels // 4, 1)
        self.second = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        share = self.second(F.relu(self.first(self.pool(x))))
        return x * F.hardtanh(share * 0.2 + 0.5, 0.0, 1.0)  # Paddle's hard sigmoid


class Block(nn.Module):
    def __init__(self, inner, kernel, expanded, outer, excited, activation, stride):
        super().__init__()
        self.expand = convolved(inner, expanded, 1, activation=activation)
        self.depthwise = convolved(expanded, expanded, kernel, (stride, 1), expanded, activation)
        self.se = Excitation(expanded) if excited else nn.Identity()
        self.linear = convolved(expanded, outer, 1)
        self.adds = stride == 1 and inner == outer

    def forward(self, x):
        y = self.linear(self.se(self.depthwise(self.expand(x))))
        return x + y if self.adds else y


class TextDirection(nn.Module):
    """(N, 3, 48, W) in [-1, 1] to the shares of 0 and 180 degrees."""

    def __init__(self):
        super().__init__()
        self.conv1 = convolved(3, 8, 3, 2, activation=nn.Hardswish)
        blocks, inner = [], 8
        for kernel, expanded, outer, *rest in BLOCKS:
            blocks.append(Block(inner, kernel, expanded, outer, *rest))
            inner = outer
        self.blocks = nn.Sequential(*blocks)
        self.last = convolved(inner, 200, 1, activation=nn.Hardswish)
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(200, 2)

    def forward(self, x):
        return F.softmax(self.fc(self.pool(self.last(self.blocks(self.conv1(x))))), -1)


_PARTS = {
    "weights": "0.weight",
    "bn_scale": "1.weight",
    "bn_offset": "1.bias",
    "bn_mean": "1.running_mean",
    "bn_variance": "1.running_var",
}


def renamed(arrays):
    """A state_dict from the arrays of the file, by name."""
    state = {"fc.weight": arrays["fc_0.w_0"].T, "fc.bias": arrays["fc_0.b_0"]}
    for name, value in arrays.items():
        stage, _, part = name.partition("_")
        if not stage.startswith("conv"):
            continue
        at = {"conv1": "conv1"}.get(stage, "")
        if stage == "conv":  # conv_last_...
            at, part = "last", part.removeprefix("last_")
        elif not at:
            at = f"blocks.{int(stage[4:]) - 2}"
            layer, _, part = part.partition("_")
            at += f".{layer}"
            if layer == "se":
                which, _, part = part.partition("_")
                at += ".first" if which == "1" else ".second"
                state[f"{at}.{'weight' if part == 'weights' else 'bias'}"] = value
                continue
        state[f"{at}.{_PARTS[part]}"] = value
    return state
