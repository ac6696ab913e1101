"""The face network's recipe: going on from a shipped file, and what labels stand in for others."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="training needs openrek[train]")

from training.faces import export, export_second, expression, losses, restore  # noqa: E402 - after the check for PyTorch
from training.faces.model import FaceNet, both_ways  # noqa: E402 - after the check for PyTorch
from training.faces.sources import BINARY, EMOTIONS  # noqa: E402 - after the check for PyTorch


def _trained(seed: int) -> FaceNet:
    """A network whose normalisation is no longer as it began."""
    torch.manual_seed(seed)
    net = FaceNet(dropout=0.0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.6, 1.4)
            module.bias.data.normal_(0, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.05)
            module.running_var.uniform_(0.05, 0.2)
    return net.eval()


def test_a_restored_network_answers_as_the_shipped_one_and_trains_on_from_there() -> None:
    net = _trained(1)
    neutral = {"slope": [1.0] * len(BINARY), "shift": [0.0] * len(BINARY), "temperature": 1.0}
    service = export.Service(copy.deepcopy(net), neutral)
    fresh = _trained(2)
    # the part that is never trained is the same in both
    ours, theirs = fresh.trunk.state_dict(), net.trunk.state_dict()
    kept = ("_conv_stem", "_bn0", "_blocks.0.", "_blocks.1.")
    fresh.trunk.load_state_dict(
        {name: theirs[name] if name.startswith(kept) else value for name, value in ours.items()}
    )
    views = torch.randint(0, 256, (12, 3, 112, 112))
    restored = restore.restore(service.state_dict(), views, fresh)
    with torch.no_grad():
        before, after = net(views), restored(views)
        live = restored.train()(views)
    for name in ("binary", "age", "emotion", "points"):
        spread = getattr(before, name).std()
        assert (getattr(after, name) - getattr(before, name)).abs().max() < 0.01 * spread
        # live statistics of the same views are those that were measured
        assert (getattr(live, name) - getattr(before, name)).abs().max() < 0.1 * spread


def test_an_expression_says_whether_a_face_smiles_where_no_label_does() -> None:
    smile = BINARY.index("smile")
    target = torch.full((2, len(BINARY)), -1, dtype=torch.int8)
    emotion = torch.tensor([EMOTIONS.index("happy"), EMOTIONS.index("sad")])
    said = torch.zeros(2, len(BINARY))
    said[:, smile] = torch.tensor([3.0, -3.0])
    assert losses.binary_loss(said, target, emotion) < losses.binary_loss(-said, target, emotion)
    labelled = target.clone()
    labelled[:, smile] = torch.tensor([0, 1])  # a label is heard before an expression
    assert losses.binary_loss(said, labelled, emotion) > losses.binary_loss(-said, labelled, emotion)
    unknown = torch.tensor([-1, EMOTIONS.index("surprise")])
    assert losses.binary_loss(said, target, unknown) == 0


def test_the_second_file_joins_both_opinions_as_calibration_says() -> None:
    torch.manual_seed(3)
    net, second = FaceNet(dropout=0.0).eval(), expression.ExpressionNet().eval()
    count, kinds = len(BINARY), len(EMOTIONS)
    first = {"slope": [1.0 + 0.1 * number for number in range(count)], "shift": [0.2] * count, "temperature": 0.9}
    shares = {"emotion": 0.3, "smile": 0.8, "mouth_open": 0.6}
    both = {"slope": [1.5] * count, "shift": [-0.1] * count, "temperature": 1.3, "second": shares}
    crops = torch.randint(0, 256, (5, 112, 112, 3), dtype=torch.uint8)
    with torch.no_grad():
        attributes, _, emotions, _ = export.Service(net, first).eval()(crops)
        joined, felt = export_second.Joined(second, first, both).eval()(crops, attributes, emotions)
        upright = crops.permute(0, 3, 1, 2)
        one = both_ways(net, upright)
        small = expression.grey(upright)
        two = (second(small) + second(small.flip(3))) / 2
    for column, name in enumerate(BINARY):
        if name in expression.SAID:
            other = two[:, kinds + expression.SAID.index(name)]
            logits = one.binary[:, column] + shares[name] * (other - one.binary[:, column])
            assert torch.allclose(joined[:, column], torch.sigmoid(1.5 * logits - 0.1), atol=1e-3)
        else:
            assert torch.allclose(joined[:, column], attributes[:, column], atol=1e-5)
    mixed = one.emotion + shares["emotion"] * (two[:, :kinds] - one.emotion)
    assert torch.allclose(felt, torch.softmax(mixed / 1.3, dim=1), atol=1e-3)
