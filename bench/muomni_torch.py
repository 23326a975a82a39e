"""Plain torch: μOmni's components, written from the description of their weights (a peer)."""

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def tables(width, positions, theta):
    """Cosines and sines of each position and pair: computed once, as a quick model does."""
    frequencies = theta ** (-torch.arange(width // 2, dtype=torch.float64) * 2 / width)
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies
    return torch.cos(angle).float(), torch.sin(angle).float()


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, d, heads, use_gqa, theta, positions):
        super().__init__()
        self.d, self.heads, self.dk = d, heads, d // heads
        self.groups = max(1, heads // 2) if use_gqa else heads
        if use_gqa:
            self.q = nn.Linear(d, d, bias=False)
            self.k = nn.Linear(d, self.groups * self.dk, bias=False)
            self.v = nn.Linear(d, self.groups * self.dk, bias=False)
        else:
            self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.use_gqa = use_gqa
        self.o = nn.Linear(d, d, bias=False)
        cos, sin = tables(self.dk, positions, theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x, start: int = 0, cache=None):
        """cache: (keys, values), each (batch, groups, positions, dk), written from start on."""
        batch, length, d = x.shape
        if self.use_gqa:
            q, k, v = self.q(x), self.k(x), self.v(x)
        else:
            q, k, v = self.qkv(x).split(d, -1)
        q, k, v = (t.view(batch, length, -1, self.dk).transpose(1, 2) for t in (q, k, v))
        end = start + length
        cos, sin = self.cos[start:end], self.sin[start:end]
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            cache[0][:, :, start:end], cache[1][:, :, start:end] = k, v
            k, v = cache[0][:, :, :end], cache[1][:, :, :end]
        grouped = self.use_gqa
        if grouped and torch.onnx.is_in_onnx_export():  # whose graphs have no grouped heads
            k, v = (t.repeat_interleave(self.heads // self.groups, 1) for t in (k, v))
            grouped = False
        seen = None
        if start and length > 1:
            seen = torch.ones(length, end, dtype=torch.bool).tril(start)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=seen,
            is_causal=bool(not start and length > 1),
            enable_gqa=grouped,
        )
        return self.o(y.transpose(1, 2).reshape(batch, length, d))


class SwiGLU(nn.Module):
    def __init__(self, d, ff):
        super().__init__()
        self.gate_proj = nn.Linear(d, ff, bias=False)
        self.up_proj = nn.Linear(d, ff, bias=False)
        self.down_proj = nn.Linear(ff, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class MLP(nn.Module):
    def __init__(self, d, ff):
        super().__init__()
        self.fc1 = nn.Linear(d, ff)
        self.fc2 = nn.Linear(ff, d)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class MoE(nn.Module):
    def __init__(self, d, ff, use_swiglu, count, chosen):
        super().__init__()
        self.chosen = chosen
        self.router = nn.Linear(d, count, bias=False)
        kind = SwiGLU if use_swiglu else MLP
        self.experts = nn.ModuleList(kind(d, ff) for _ in range(count))

    def forward(self, x):
        share, index = self.router(x).softmax(-1).topk(self.chosen, -1)
        share = share / (share.sum(-1, keepdim=True) + 1e-8)
        every = torch.stack([expert(x) for expert in self.experts], -2)
        picked = every.gather(-2, index[..., None].expand(*index.shape, x.shape[-1]))
        return (picked * share[..., None]).sum(-2)


class Block(nn.Module):
    def __init__(self, d, heads, ff, use_gqa, use_swiglu, theta, positions, experts=None):
        super().__init__()
        self.norm1, self.norm2 = Norm(d), Norm(d)
        self.attn = Attention(d, heads, use_gqa, theta, positions)
        if experts is None:
            self.mlp = (SwiGLU if use_swiglu else MLP)(d, ff)
        else:
            self.moe = MoE(d, ff, use_swiglu, *experts)

    def forward(self, x, start: int = 0, cache=None):
        x = x + self.attn(self.norm1(x), start, cache)
        return x + (self.mlp if hasattr(self, "mlp") else self.moe)(self.norm2(x))


def new_caches(blocks, batch, positions):
    shapes = [(batch, b.attn.groups, positions, b.attn.dk) for b in blocks]
    return [(torch.zeros(shape), torch.zeros(shape)) for shape in shapes]


class Thinker(nn.Module):
    def __init__(
        self, vocab=32000, n_layers=16, d=512, heads=8, ff=2048, dropout=0.0, rope_theta=10000.0,
        ctx=1024, use_gqa=False, use_swiglu=True, use_moe=False, num_experts=8,
        num_experts_per_tok=2,
    ):  # fmt: skip
        super().__init__()
        experts = (num_experts, num_experts_per_tok) if use_moe else None
        self.tok_emb = nn.Embedding(vocab, d)
        self.blocks = nn.ModuleList(
            Block(d, heads, ff, use_gqa, use_swiglu, rope_theta, ctx, experts)
            for _ in range(n_layers)
        )
        self.norm = Norm(d)
        self.lm_head = nn.Linear(d, vocab, bias=False)

    def forward(self, ids, start: int = 0, caches=None):
        x = self.tok_emb(ids)
        for i, block in enumerate(self.blocks):
            x = block(x, start, None if caches is None else caches[i])
        return self.lm_head(self.norm(x))


class ConvDown(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 64, 3, 2, 1), nn.GELU(), nn.Conv2d(64, 64, 3, 2, 1), nn.GELU()
        )

    def forward(self, x):
        return self.net(x)


class EncoderBlock(nn.Module):
    def __init__(self, d, heads, ff):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = Norm(d), Norm(d)
        self.qkv_proj, self.out_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, ff), nn.GELU(), nn.Linear(ff, d))

    def forward(self, x):
        batch, length, d = x.shape
        q, k, v = (
            t.reshape(batch, length, self.heads, -1).transpose(1, 2)
            for t in self.qkv_proj(self.norm1(x)).split(d, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, d)
        x = x + self.out_proj(y)
        return x + self.mlp(self.norm2(x))


class AudioEncoder(nn.Module):
    def __init__(self, d=192, heads=3, ff=768, layers=4, dropout=0.0, downsample_factor=4):
        super().__init__()
        self.down = ConvDown()
        if downsample_factor == 8:
            self.down = nn.Sequential(ConvDown(), nn.Conv2d(64, 64, 3, 2, 1), nn.GELU())
        self.proj = nn.Linear(64 * 128 // downsample_factor, d)
        self.blocks = nn.ModuleList(EncoderBlock(d, heads, ff) for _ in range(layers))
        self.norm = Norm(d)

    def forward(self, mel):
        x = self.down(mel[:, None]).permute(0, 2, 1, 3).flatten(2)
        x = self.proj(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class VisionEncoder(nn.Module):
    def __init__(self, img_size=224, patch=16, d=192, layers=12, heads=3, ff=768, dropout=0.0):
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.zeros(1, (img_size // patch) ** 2 + 1, d))
        self.proj = nn.Conv2d(3, d, patch, patch)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, heads, ff, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = Norm(d)

    def forward(self, image):
        x = self.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x[:, :1], x[:, 1:]


class Talker(nn.Module):
    def __init__(
        self, d=384, n_layers=8, n_heads=6, ff=1536, codebooks=2, codebook_size=128, dropout=0.0,
        use_gqa=False, use_swiglu=True, rope_theta=10000.0,
    ):  # fmt: skip
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, 1, d))
        self.emb = nn.Embedding(codebook_size, d)
        self.blocks = nn.ModuleList(
            Block(d, n_heads, ff, use_gqa, use_swiglu, rope_theta, 1024) for _ in range(n_layers)
        )
        self.norm = Norm(d)
        self.base_head = nn.Linear(d, codebook_size)
        self.res_head = nn.Linear(d, codebook_size)

    def forward(self, codes):
        x = self.emb(codes).sum(-2)
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)[:, 1:]
        return self.base_head(x), self.res_head(x)


class RVQ(nn.Module):
    def __init__(self, codebooks=2, codebook_size=128, d=64):
        super().__init__()
        self.codebooks = nn.ModuleList(nn.Embedding(codebook_size, d) for _ in range(codebooks))
        self.proj_in, self.proj_out = nn.Linear(128, d), nn.Linear(d, 128)

    def encode(self, mel):
        rest, codes = self.proj_in(mel), []
        for book in self.codebooks:
            apart = (rest[..., None, :] - book.weight).pow(2).sum(-1)
            codes.append(apart.argmin(-1))
            rest = rest - book(codes[-1])
        return torch.stack(codes, -1)

    def decode(self, codes):
        return self.proj_out(sum(b(codes[..., i]) for i, b in enumerate(self.codebooks)))


class ResBlock(nn.Module):
    def __init__(self, channels, kernel, dilations):
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, 1, (kernel - 1) * d // 2, d) for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, 1, (kernel - 1) // 2) for _ in dilations
        )

    def forward(self, x):
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, 0.1)), 0.1))
        return x


class Vocoder(nn.Module):
    def __init__(
        self, sample_rate=16000, n_mels=128, n_fft=1024, hop_length=256,
        upsample_rates=(8, 8, 2, 2), upsample_kernel_sizes=(16, 16, 4, 4),
        upsample_initial_channel=256, resblock_kernel_sizes=(3, 5, 7),
        resblock_dilation_sizes=((1, 2), (1, 2), (1, 2)),
    ):  # fmt: skip
        super().__init__()
        channels = upsample_initial_channel
        self.count = len(resblock_kernel_sizes)
        self.conv_pre = nn.Conv1d(n_mels, channels, 7, 1, 3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            half = channels // 2
            self.ups.append(nn.ConvTranspose1d(channels, half, kernel, rate, (kernel - rate) // 2))
            channels = half
            for size, dilations in zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResBlock(channels, size, dilations))
        self.conv_post = nn.Conv1d(channels, 1, 7, 1, 3)

    def forward(self, mel):
        least, most = mel.amin(), mel.amax()
        # Without a branch on values, which neither torch.compile nor ONNX takes as it is.
        flat = most - least <= 1e-6
        x = torch.where(flat, mel.clamp(0, 1), (mel - least) / (most - least + 1e-8))
        x = self.conv_pre(x)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(b(x) for b in self.resblocks[i * self.count : (i + 1) * self.count])
            x = x / self.count
        return torch.tanh(self.conv_post(F.leaky_relu(x, 0.01)))[..., 0, :]
