"""The readable network as a network of its own, to hold the fast path against."""

from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.network import SeparationNetwork


class PlainConvTasNet(ConvTasNet):
    """Runs its modules as they stand, whole every time."""

    forward = ConvTasNet.plain_forward
    frozen_part = SeparationNetwork.frozen_part
    trained_part = SeparationNetwork.trained_part


def plain_twin(network):
    """The same parameters in a network that takes the readable path."""
    twin = PlainConvTasNet(network.config).to(next(network.parameters())).train(network.training)
    twin.load_state_dict(network.state_dict())
    return twin.requires_grad_(False)
