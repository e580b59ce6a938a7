import pytest
import torch
import torchvision

from evaluator.extractors.network import restored
from evaluator.extractors.resnet import Architecture, ResNet

OURS = Architecture((8, 12, 16, 16), classes=5, kernel=3, strongest=True)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def busy(network):
    """Weights and statistics that aren't at their neutral start."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def test_it_is_torchvisions_resnet_18_where_it_is_as_wide():
    theirs = busy(torchvision.models.resnet18(num_classes=24))
    state = {name.replace("fc.", "head."): tensor for name, tensor in theirs.state_dict().items()}
    ours = ResNet(Architecture.of(state)).eval()
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert (sorted(missing), unexpected) == (["scale", "strongest"], [])
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(2 * images - 1), atol=1e-5)


def test_the_architecture_can_be_told_from_the_weights():
    for strongest in (True, False):
        made = Architecture((8, 12, 16, 16), classes=5, kernel=3, strongest=strongest)
        assert Architecture.of(ResNet(made).state_dict()) == made


def test_features_are_the_strongest_response_or_the_mean_over_the_image():
    strongest, mean = (busy(ResNet(Architecture((8, 8, 8, 8), 5, 3, strongest=s))) for s in (True, False))
    mean.load_state_dict({**strongest.state_dict(), "strongest": mean.strongest})
    image = torch.full((1, 3, 32, 32), 0.5)
    image[:, :, 8:14, 8:14] = 1.0  # what's seen in one place is diluted by the mean, not by the maximum
    with torch.inference_mode():
        a, b = strongest.features(image), mean.features(image)
    assert (a >= b).all()
    assert (a > 2 * b).any()


def test_shrinking_keeps_scores_and_scales_features():
    network = busy(ResNet(OURS))
    images = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        features, scores = network.features(images), network(images)
        network.shrink(4.0)
        assert torch.allclose(network.features(images), features / 2, rtol=1e-5)
        assert torch.allclose(network(images), scores, rtol=1e-4, atol=1e-6)


def test_it_comes_back_from_its_weights_alone():
    made = busy(ResNet(OURS))
    made.shrink(3.0)
    back = restored({name: tensor.numpy() for name, tensor in made.state_dict().items()})
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(back.features(images), made.features(images), atol=1e-6)
    assert not back.training
