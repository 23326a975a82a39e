"""GroupNorm, BatchNorm1d/2d, InstanceNorm1d/2d: a weight and a bias for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import init
from ._checks import integer, require_cpu, require_float32
from ._layer import Layer
from .functional import batch_norm, group_norm, instance_norm
from .functional._shape import shape
from .parameter import Parameter

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


def _affine(layer: Layer, channels: int, affine: bool, bias: bool) -> None:
    """weight of ones and bias of zeros (C,), where asked for."""
    for name, value, present in (("weight", 1.0, True), ("bias", 0.0, bias)):
        start = Parameter.drawn(init.constant, (channels,), value)
        layer.register_parameter(name, start if affine and present else None)


class GroupNorm(Layer):
    """(input - mean) / sqrt(var + eps) * weight + bias, over each group of channels of (N, C, *).

    weight and bias (C,) start as ones and zeros; without `affine` there is neither. Follows
    torch.nn.GroupNorm.
    """

    weight: Array | None
    bias: Array | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = integer("GroupNorm", "num_groups", num_groups, 1)
        self.num_channels = integer("GroupNorm", "num_channels", num_channels, 0)
        if self.num_channels % self.num_groups != 0:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.eps = eps
        self.affine = affine
        require_cpu("GroupNorm", device)
        require_float32("GroupNorm", dtype)
        _affine(self, self.num_channels, affine, bias)

    def forward(self, input: ArrayInput) -> Array:
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self._given('bias')}"
        )


class _ChannelNorm(Layer):
    """What BatchNorm and InstanceNorm share: arguments, running statistics, text."""

    weight: Array | None
    bias: Array | None
    running_mean: Array | None
    running_var: Array | None
    num_batches_tracked: Any
    # Checkpoints of torch before 0.4.1 lack it; torch fills it in too.
    _optional_state: ClassVar[frozenset[str]] = frozenset({"num_batches_tracked"})

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = integer(name, "num_features", num_features, 0)
        if not eps > 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        require_cpu(name, device)
        require_float32(name, dtype)
        _affine(self, self.num_features, affine, bias)
        n, tracked = self.num_features, track_running_stats
        self.register_buffer("running_mean", np.zeros(n, np.float32) if tracked else None)
        self.register_buffer("running_var", np.ones(n, np.float32) if tracked else None)
        self.register_buffer("num_batches_tracked", np.array(0) if tracked else None)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self._given('bias')}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    _dims: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: ArrayInput) -> Array:
        dims = len(shape(input))
        if dims not in self._dims:
            expected = " or ".join(f"{n}D" for n in self._dims)
            raise ValueError(f"expected {expected} input (got {dims}D input)")
        # Without running statistics those of the batch, as torch does in evaluation mode too.
        training = self.running_mean is None and self.running_var is None
        mean, var = self.running_mean, self.running_var
        return batch_norm(input, mean, var, self.weight, self.bias, training, 0.0, self.eps)


class BatchNorm1d(_BatchNorm):
    """(input - mean) / sqrt(var + eps) * weight + bias by channel: (N, C) or (N, C, L).

    mean and var are the running ones, as in torch's evaluation mode; with `track_running_stats`
    False those of the batch. Follows torch.nn.BatchNorm1d.
    """

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(input - mean) / sqrt(var + eps) * weight + bias by channel: (N, C, H, W).

    mean and var as in BatchNorm1d. Follows torch.nn.BatchNorm2d.
    """

    _dims = (4,)


class _InstanceNorm(_ChannelNorm):
    _dims: ClassVar[int]  # of a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: ArrayInput) -> Array:
        sizes = shape(input)
        most = self._dims
        if len(sizes) not in (most - 1, most):
            raise ValueError(f"expected {most - 1}D or {most}D input (got {len(sizes)}D input)")
        at = len(sizes) - most + 1
        if sizes[at] != self.num_features and self.affine:
            raise ValueError(
                f"expected input's size at dim={at} to match num_features "
                f"({self.num_features}), but got: {sizes[at]}."
            )
        batch: Any = input if len(sizes) == most else np.asarray(input)[None]
        mean, var, own = self.running_mean, self.running_var, not self.track_running_stats
        y = instance_norm(batch, mean, var, self.weight, self.bias, own, 0.0, self.eps)
        return y if len(sizes) == most else y[0]

    def _stale_state(self, prefix: str, state: Any) -> tuple[list[str], str]:
        """Running statistics of a checkpoint older than 0.4 that this layer does not keep."""
        names = [n for n in ("running_mean", "running_var") if prefix + n in state]
        if self.track_running_stats or not names:
            return [], ""
        keys, name = [prefix + n for n in names], type(self).__name__
        text = (
            "Unexpected running stats buffer(s) {keys} for {name} with track_running_stats=False. "
            "If state_dict is a checkpoint saved before 0.4.0, this may be expected because {name} "
            "does not track running stats by default since 0.4.0. Please remove these keys from "
            "state_dict. If the running stats are actually needed, instead set "
            "track_running_stats=True in {name} to enable them. See the documentation of {name} "
            "for details."
        )
        quoted = " and ".join(f'"{key}"' for key in keys)
        return keys, text.format(keys=quoted, name=name)


class InstanceNorm1d(_InstanceNorm):
    """(input - mean) / sqrt(var + eps) by channel of each item: (N, C, L) or (C, L).

    With `affine` times weight + bias; with `track_running_stats` mean and var are the running ones.
    Follows torch.nn.InstanceNorm1d.
    """

    _dims = 3


class InstanceNorm2d(_InstanceNorm):
    """(input - mean) / sqrt(var + eps) by channel of each item: (N, C, H, W) or (C, H, W).

    The arguments as in InstanceNorm1d. Follows torch.nn.InstanceNorm2d.
    """

    _dims = 4
