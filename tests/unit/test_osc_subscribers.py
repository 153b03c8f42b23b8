import pytest

from ugosa_server.osc.peers import MAX_SUBSCRIBERS, Subscribers, SubscriptionRefusedError, loopback_ip

HERE = ("127.0.0.1", 9877)


def test_a_subscription_ends_after_its_time_to_live() -> None:
    subscribers = Subscribers()
    subscribers.add(HERE, ttl_s=5, now_s=100.0)
    assert subscribers.active(now_s=104.9) == [HERE]
    assert subscribers.active(now_s=105.0) == []


def test_subscribing_again_renews_and_does_not_double() -> None:
    subscribers = Subscribers()
    subscribers.add(HERE, ttl_s=5, now_s=100.0)
    subscribers.add(HERE, ttl_s=5, now_s=104.0)
    assert subscribers.active(now_s=108.0) == [HERE]


def test_unsubscribing_ends_it_and_twice_is_no_error() -> None:
    subscribers = Subscribers()
    subscribers.add(HERE, ttl_s=5, now_s=0.0)
    subscribers.remove(HERE)
    subscribers.remove(HERE)
    assert subscribers.active(now_s=0.0) == []


@pytest.mark.parametrize(
    ("port", "ttl_s", "said"),
    [(0, 60, "port is 0"), (65536, 60, "port is 65536"), (9877, 0, "is 0 s"), (9877, 3601, "is 3601 s")],
)
def test_values_out_of_range_are_refused_by_name(port: int, ttl_s: int, said: str) -> None:
    with pytest.raises(SubscriptionRefusedError, match=said):
        Subscribers().add(("127.0.0.1", port), ttl_s, now_s=0.0)


def test_there_is_room_again_when_a_subscription_has_ended_and_always_for_a_renewal() -> None:
    subscribers = Subscribers()
    for port in range(1, MAX_SUBSCRIBERS + 1):
        subscribers.add(("127.0.0.1", port), ttl_s=10 + port, now_s=0.0)
    with pytest.raises(SubscriptionRefusedError, match=f"at most {MAX_SUBSCRIBERS}"):
        subscribers.add(HERE, ttl_s=5, now_s=0.0)
    subscribers.add(("127.0.0.1", 5), ttl_s=100, now_s=0.0)
    subscribers.add(HERE, ttl_s=5, now_s=11.0)
    assert HERE in subscribers.active(now_s=11.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_hosts_are_taken(host: str) -> None:
    assert loopback_ip(host) in {"127.0.0.1", "127.8.8.8", "::1"}


@pytest.mark.parametrize(
    "host", ["192.168.1.5", "8.8.8.8", "0.0.0.0", "::", "", "example.com", "localhost.evil.org"]
)
def test_no_other_machine_can_be_made_a_target(host: str) -> None:
    with pytest.raises(SubscriptionRefusedError, match=r"loopback|IP address"):
        loopback_ip(host)
