"""A step of training in PyTorch (float32, channels last, 2 threads, batch 256), for the networks of train-networks.ts.

Prints JSON: median milliseconds by name. Run by `npm run bench -- train-step` where `python3` (or $PARE_PYTHON) has torch.
"""

import json
import time

import torch
from torch import nn

torch.set_num_threads(2)
BATCH, RUNS, WARMUP = 256, 15, 3


def conv(i, o, k=3, s=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(i, o, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return layers + ([act()] if act else [])


class Residual(nn.Module):
    def __init__(self, body, shortcut=None, act=None):
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, x):
        return self.act(self.body(x) + self.shortcut(x))


def lenet():
    return nn.Sequential(
        *[nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten()],
        *[nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)],
    )


def vgg():
    layers, last = [], 1
    for width in (16, 32, 64):
        layers += conv(last, width) + conv(width, width) + [nn.MaxPool2d(2)]
        last = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 9, 256), nn.ReLU(), nn.Linear(256, 10))


def resnet8():
    def block(i, o, s):
        shortcut = nn.Sequential(*conv(i, o, 1, s, act=None)) if s > 1 or i != o else None
        return Residual(nn.Sequential(*conv(i, o, 3, s), *conv(o, o, act=None)), shortcut, nn.ReLU())

    stages = [block(16, 16, 1), block(16, 32, 2), block(32, 64, 2)]
    return nn.Sequential(*conv(1, 16), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mobilenetv2():
    layers, last = conv(1, 16, 3, 2, act=nn.ReLU6), 16
    for expansion, width, count, stride in [(1, 16, 1, 1), (4, 24, 2, 2), (4, 40, 2, 2), (4, 64, 2, 1)]:
        for n in range(count):
            step, hidden = stride if n == 0 else 1, last * expansion
            body = conv(last, hidden, 1, act=nn.ReLU6) if expansion > 1 else []
            body += conv(hidden, hidden, 3, step, hidden, nn.ReLU6) + conv(hidden, width, 1, act=None)
            layers.append(Residual(nn.Sequential(*body)) if step == 1 and last == width else nn.Sequential(*body))
            last = width
    return nn.Sequential(*layers, *conv(last, 160, 1, act=nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, 10))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))


class Vit(nn.Module):
    def __init__(self, width=64, depth=5, heads=4, hidden=192):
        super().__init__()
        self.stem = nn.Sequential(*conv(1, 32, 3, 2), nn.Conv2d(32, width, 2, 2))
        self.positions = nn.Parameter(torch.zeros(1, 49, width))
        mlp = lambda: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        attention = lambda: nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.blocks = nn.Sequential(*[Residual(part()) for _ in range(depth) for part in (attention, mlp)])
        self.head = nn.Sequential(nn.LayerNorm(width))
        self.classes = nn.Linear(width, 10)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2) + self.positions
        return self.classes(self.head(self.blocks(tokens)).mean(1))


def step_ms(net):
    net = net.to(memory_format=torch.channels_last)
    x = torch.rand(BATCH, 1, 28, 28).to(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (BATCH,))
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9)
    times = []
    for _ in range(RUNS + WARMUP):
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times[WARMUP:])[RUNS // 2]


networks = dict(lenet=lenet, vgg=vgg, resnet8=resnet8, mobilenetv2=mobilenetv2, vit=Vit)
print(json.dumps({"version": torch.__version__, "ms": {name: step_ms(make()) for name, make in networks.items()}}))
