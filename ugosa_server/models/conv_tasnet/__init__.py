"""ConvTasNet, the network of Cantisani et al. (2021)."""
