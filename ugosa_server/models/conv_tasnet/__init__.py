"""ConvTasNet, the network of the UGOSA paper."""
