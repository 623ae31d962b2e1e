"""Where PyTorch is installed: its files are read, and its logits are reproduced."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from tfrobust.registry import create

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
nn = torch.nn


class Block(nn.Module):
    """A basic block or a bottleneck, in torchvision's names."""

    def __init__(self, before, filters, stride, *, bottleneck):
        super().__init__()
        sizes, steps, outs = (3, 3), (stride, 1), (filters, filters)
        if bottleneck:
            sizes, steps, outs = (1, 3, 1), (1, stride, 1), (filters, filters, 4 * filters)
        self.count, reads = len(sizes), before
        for k, (size, step, out) in enumerate(zip(sizes, steps, outs, strict=True), 1):
            conv = nn.Conv2d(reads, out, size, step, size // 2, bias=False)
            self.add_module(f"conv{k}", conv)
            self.add_module(f"bn{k}", nn.BatchNorm2d(out))
            reads = out
        self.downsample = None
        if stride > 1 or before != reads:
            conv = nn.Conv2d(before, reads, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(reads))

    def forward(self, x):
        y = x
        for k in range(1, self.count + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = torch.relu(y) if k < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A residual network, in torchvision's names."""

    def __init__(self, blocks, classes, *, bottleneck, width):
        super().__init__()
        before = round(64 * width)
        self.conv1 = nn.Conv2d(3, before, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage, repeats in enumerate(blocks):
            filters, layers = round(64 * 2**stage * width), []
            for k in range(repeats):
                stride = 2 if stage and k == 0 else 1
                layers.append(Block(before, filters, stride, bottleneck=bottleneck))
                before = filters * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Vgg(nn.Module):
    """VGG, in torchvision's names."""

    def __init__(self, repeats, classes, *, width, batch_norm):
        super().__init__()
        layers, before = [], 3
        for filters, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
            out = round(filters * width)
            for _ in range(count):
                layers.append(nn.Conv2d(before, out, 3, padding=1))
                layers += [nn.BatchNorm2d(out)] if batch_norm else []
                layers.append(nn.ReLU())
                before = out
            layers.append(nn.MaxPool2d(2, 2))
        self.features, units = nn.Sequential(*layers), round(4096 * width)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(49 * before, units), nn.ReLU(), nn.Dropout(),
            nn.Linear(units, units), nn.ReLU(), nn.Dropout(), nn.Linear(units, classes),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


NETWORKS = {
    "resnet18": lambda: ResNet((2, 2, 2, 2), 7, bottleneck=False, width=1.0),
    "resnet34": lambda: ResNet((3, 4, 6, 3), 7, bottleneck=False, width=0.25),
    "resnet50": lambda: ResNet((3, 4, 6, 3), 7, bottleneck=True, width=1.0),
    "resnet101": lambda: ResNet((3, 4, 23, 3), 7, bottleneck=True, width=0.25),
    "vgg16": lambda: Vgg((2, 2, 3, 3, 3), 7, width=0.125, batch_norm=False),
    "vgg16 with normalisation": lambda: Vgg((2, 2, 3, 3, 3), 7, width=0.125, batch_norm=True),
    "vgg19": lambda: Vgg((2, 2, 4, 4, 4), 7, width=0.125, batch_norm=False),
}
WIDTHS = {"resnet18": 1.0, "resnet50": 1.0, "resnet34": 0.25, "resnet101": 0.25}


def network_called(name):
    torch.manual_seed(3)
    network = NETWORKS[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.2)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return network


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "checkpoint"])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_equal_pytorchs(name, form, tmp_path):
    network, path = network_called(name), tmp_path / "net.pth"
    state = network.state_dict()
    if form == "safetensors":
        save_file({key: value.numpy() for key, value in state.items()}, path)
    elif form == "checkpoint":
        state = {f"module.{key}": value for key, value in state.items()}
        torch.save({"epoch": 3, "best_prec1": torch.tensor(0.5), "state_dict": state}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    images = np.random.default_rng(0).uniform(size=(2, 64, 50, 3)).astype(np.float32)
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.no_grad():
        pixels = torch.from_numpy((images - mean) / deviation).float().permute(0, 3, 1, 2)
        theirs = network(pixels).numpy()
    plugin, _, batch_norm = name.partition(" with ")
    options = {"batch_norm": True} if batch_norm else {}
    width = WIDTHS.get(plugin, 0.125)
    model = create("models", plugin, weights=str(path), width=width, **options)
    ours = model.build(images.shape[1:], 7)(images).numpy()
    assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_number_is_read(dtype, zipped, tmp_path):
    from tfrobust_models.torch_weights import read_state_dict

    kind = getattr(torch, dtype)
    values = torch.linspace(-3, 3, 24, dtype=torch.float64).reshape(4, 6).to(kind)
    state = {"a": values, "transposed": values.T, "row": values[2], "shared": values[:2]}
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    for name, array in read_state_dict(tmp_path / "net.pth").items():
        np.testing.assert_array_equal(array, state[name].double().numpy())


def test_parameters_are_read_like_tensors(tmp_path):
    from tfrobust_models.torch_weights import read_state_dict

    state = {"a": nn.Parameter(torch.ones(2, 3))}
    torch.save(state, tmp_path / "net.pth")
    assert read_state_dict(tmp_path / "net.pth")["a"].shape == (2, 3)
