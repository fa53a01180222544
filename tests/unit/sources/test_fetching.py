"""The gate: tokens, another try, the breaker. Its clock and its sleep are the test's own."""

import random
import threading
from datetime import UTC, datetime

import pytest

from stock_platform.sources.base import SourceError
from stock_platform.sources.fetching import (
    KINDS,
    TRANSIENT,
    FetchError,
    Gate,
    parse_retry_after,
)

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    random.seed(1)
    return Clock()


def gate(clock: Clock, **more) -> Gate:
    options = {"per_minute": 60_000, "tries": 4, "trip_after": 3, **more}
    return Gate("the provider", clock=clock, sleep=clock.sleep, **options)


class Provider:
    """Fails as told, then answers; counts how often it is asked."""

    def __init__(self, door: Gate, *kinds: str, retry_after: float | None = None) -> None:
        self.door, self.kinds, self.retry_after = door, list(kinds), retry_after
        self.asked = 0

    def __call__(self) -> str:
        self.door.admit()
        self.asked += 1
        if self.kinds:
            raise FetchError(self.kinds.pop(0), "no", self.retry_after)
        return "answer"


@pytest.mark.parametrize("kind", sorted(TRANSIENT))
def test_a_transient_failure_is_tried_again(clock, kind):
    door = gate(clock)
    provider = Provider(door, kind, kind)
    assert door.call(provider) == "answer"
    assert (provider.asked, door.requests, len(clock.sleeps)) == (3, 3, 2)


@pytest.mark.parametrize("kind", sorted(KINDS - TRANSIENT))
def test_a_failure_that_will_stay_is_not_tried_again(clock, kind):
    door = gate(clock)
    provider = Provider(door, kind)
    with pytest.raises(FetchError) as failed:
        door.call(provider)
    assert (failed.value.kind, provider.asked, clock.sleeps) == (kind, 1, [])


def test_the_last_try_fails_with_its_own_error_and_waits_grow_at_random(clock):
    door = gate(clock, tries=5, backoff=2.0, longest_wait=10.0)
    for _ in range(40):
        with pytest.raises(FetchError, match="no") as failed:
            door.call(Provider(door, *["timeout"] * 9))
        assert failed.value.kind == "timeout"
    rounds = [clock.sleeps[i : i + 4] for i in range(0, len(clock.sleeps), 4)]
    longest = [max(waits) for waits in zip(*rounds, strict=True)]
    for longest_seen, bound in zip(longest, (2, 4, 8, 10), strict=True):
        assert bound * 0.7 < longest_seen <= bound
    assert min(min(waits) for waits in rounds) < 0.3  # full jitter reaches down to nothing


def test_other_errors_pass_untouched(clock):
    def ask() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gate(clock).call(ask)
    assert clock.sleeps == []


def test_the_wait_the_provider_asks_for_is_kept(clock):
    door = gate(clock)
    assert door.call(Provider(door, "rate_limited", retry_after=42.0)) == "answer"
    assert clock.sleeps == [42.0]


def test_a_wait_longer_than_the_cap_ends_the_tries(clock):
    door = gate(clock, longest_wait=60.0)
    provider = Provider(door, "rate_limited", retry_after=61.0)
    with pytest.raises(FetchError):
        door.call(provider)
    assert (provider.asked, clock.sleeps) == (1, [])


def test_tokens_bound_the_rate_of_all_threads_together(clock):
    door = gate(clock, per_minute=120)
    begun = clock.now
    for _ in range(130):
        door.admit()
    # A burst of ten, then two a second.
    assert clock.now - begun == pytest.approx(60.0, abs=0.5)
    assert door.requests == 130


def test_refusals_in_a_row_open_the_breaker_for_everyone(clock):
    door = gate(clock, trip_after=3, tries=4, cool_down=600.0)
    provider = Provider(door, *["rate_limited"] * 9)
    with pytest.raises(FetchError):
        door.call(provider)
    assert provider.asked == 3  # the fourth try is not made
    with pytest.raises(FetchError, match="not asked again for another") as failed:
        door.call(provider)
    assert (failed.value.kind, provider.asked) == ("rate_limited", 3)
    with pytest.raises(FetchError):
        door.admit()


def test_a_provider_that_is_not_there_is_given_up_for_everyone(clock):
    """Without a network 77 symbols of four tries each would take minutes to say so."""
    door = gate(clock, give_up_after=6, tries=4)
    provider = Provider(door, *["connection", "server_error", "timeout"] * 9)
    for _ in range(9):
        with pytest.raises(FetchError) as failed:
            door.call(provider)
    assert provider.asked == 6
    assert failed.value.kind == "timeout"  # the kind that was seen last, told of all the others


def test_any_answer_keeps_a_provider_from_being_given_up(clock):
    door = gate(clock, give_up_after=6, tries=1)
    provider = Provider(door, *(["connection"] * 5 + ["not_found"]) * 3)
    for _ in range(18):
        with pytest.raises(FetchError):
            door.call(provider)
    assert provider.asked == 18


def test_after_the_cool_down_one_try_decides(clock):
    door = gate(clock, trip_after=3, cool_down=600.0)
    provider = Provider(door, *["rate_limited"] * 4)
    with pytest.raises(FetchError):
        door.call(provider)
    clock.now += 599
    with pytest.raises(FetchError):
        door.call(provider)
    assert provider.asked == 3
    clock.now += 1
    with pytest.raises(FetchError):
        door.call(provider)
    assert provider.asked == 4  # the probe was refused: open again, for as long again
    clock.now += 599
    with pytest.raises(FetchError):
        door.call(provider)
    assert provider.asked == 4
    clock.now += 2
    assert door.call(provider) == "answer"
    assert door.call(provider) == "answer"


def test_while_the_probe_is_under_way_nobody_else_asks(clock):
    door = gate(clock, trip_after=1, cool_down=10.0)
    with pytest.raises(FetchError):
        door.call(Provider(door, "rate_limited"))
    clock.now += 11

    def probe() -> str:
        with pytest.raises(FetchError):
            door.call(Provider(door))
        return "answer"

    assert door.call(probe) == "answer"
    assert door.call(Provider(door)) == "answer"


def test_other_failures_in_between_do_not_add_up_to_a_row(clock):
    door = gate(clock, trip_after=3, tries=9)
    kinds = ["rate_limited", "rate_limited", "timeout", "rate_limited", "rate_limited"]
    assert door.call(Provider(door, *kinds)) == "answer"


def test_tries_run_side_by_side(clock):
    door = gate(clock)
    together = threading.Barrier(4, timeout=10)
    threads = [threading.Thread(target=door.call, args=(together.wait,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not together.broken


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Sat, 01 Jun 2024 12:01:00 GMT", 60.0),
        ("Sat, 01 Jun 2024 11:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert parse_retry_after(header, NOON) == seconds


def test_a_fetch_error_is_one_of_a_source():
    assert isinstance(FetchError("timeout", "no"), SourceError)
