"""Who gets snapshots besides the configured peers: loopback ports that asked, for a time."""

from __future__ import annotations

import ipaddress

Address = tuple[str, int]
"""An IP address in text and a UDP port."""

DEFAULT_TTL_S = 60
MAX_TTL_S = 3600
MAX_SUBSCRIBERS = 32


class SubscriptionRefusedError(Exception):
    """A subscription that will not be served; the message says why."""


def loopback_ip(host: str) -> str:
    """Return the IP address that `host` names, which must be of this machine's loopback interface.

    Names are never looked up: a resolver could be slow, and could be made to answer with another machine.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise SubscriptionRefusedError(f"host {host!r} is not an IP address") from None
    if not address.is_loopback:
        raise SubscriptionRefusedError(f"host {host} is not a loopback address")
    return str(address)


class Subscribers:
    """Subscriptions with a time to live; the time is passed in."""

    def __init__(self) -> None:
        self._expiry_s: dict[Address, float] = {}

    def add(self, address: Address, ttl_s: int, now_s: float) -> None:
        """Add or renew a subscription.

        Raises:
            SubscriptionRefusedError: a value is out of its range, or there are `MAX_SUBSCRIBERS` others.
        """
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise SubscriptionRefusedError(f"time to live is {ttl_s} s; it must be 1 to {MAX_TTL_S} s")
        if not 1 <= address[1] <= 65535:
            raise SubscriptionRefusedError(f"port is {address[1]}; it must be 1 to 65535")
        others = [other for other in self.active(now_s) if other != address]
        if len(others) >= MAX_SUBSCRIBERS:
            raise SubscriptionRefusedError(
                f"there are {len(others)} subscribers; at most {MAX_SUBSCRIBERS} are served"
            )
        self._expiry_s[address] = now_s + ttl_s

    def remove(self, address: Address) -> None:
        """End a subscription, if there is one."""
        self._expiry_s.pop(address, None)

    def active(self, now_s: float) -> list[Address]:
        """Return who is subscribed now, and forget who no longer is."""
        self._expiry_s = {address: end_s for address, end_s in self._expiry_s.items() if now_s < end_s}
        return list(self._expiry_s)
