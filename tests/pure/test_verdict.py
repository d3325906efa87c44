"""Who is at fault, and when is it tried again? The table of design and its edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.model import Answer, Failure, SubscriptionKind
from services.notifier.record.verdict import (
    Delivered,
    Disconnected,
    GiveUp,
    Park,
    RetryLater,
    RetryPolicy,
    Split,
    SwitchOff,
    Verdict,
    failure_of,
    judge,
    judge_handshake,
    judge_heartbeat,
    judge_resend,
)

POLICY = RetryPolicy(schedule=(5, 15, 60))


def answered(status: int, retry_after: float | None = None) -> Answer:
    failure = None if 200 <= status < 300 else failure_of(status)
    return Answer(status, failure, f"answered {status}", 3, retry_after)


def verdict(
    answer: Answer, *, kind: SubscriptionKind = "topic", size: int = 1, retry: int = 0, refusals: int = 0
) -> Verdict:
    return judge(answer, kind=kind, size=size, retry=retry, refusals=refusals, policy=POLICY, jitter=0.0)


@pytest.mark.requirement("R-134")
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_delivers(status: int) -> None:
    assert verdict(answered(status)) == Delivered()


@pytest.mark.parametrize(
    "status", [301, 302, 307, 401, 403, 404, 405, 408, 409, 425, 429, 451, 500, 502, 503, 599]
)
def test_everything_but_a_refusal_is_the_endpoints_fault(status: int) -> None:
    assert verdict(answered(status)) == RetryLater(5, refused=False)


ON_WEBSOCKETS = {Failure.DISCONNECTED, Failure.REFUSED}
GONE = Answer(None, Failure.DISCONNECTED, "the client closed the connection (1001)", 3)
TOO_BIG = Answer(None, Failure.REFUSED, "the client closed the connection (1009)", 3)


@pytest.mark.parametrize("failure", [each for each in Failure if each not in ON_WEBSOCKETS])
def test_no_answer_is_the_endpoints_fault(failure: Failure) -> None:
    assert verdict(Answer(None, failure, "…", 3), retry=1) == RetryLater(15, refused=False)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_refused_message_is_tried_three_times_and_given_up_alone(status: int) -> None:
    refused = answered(status)
    assert [verdict(refused, refusals=n) for n in range(2)] == [
        RetryLater(5, refused=True),
        RetryLater(15, refused=True),
    ]
    assert verdict(refused, refusals=2) == GiveUp(f"refused 3 times: answered {status}")


def test_a_refused_batch_is_split_before_anything_is_given_up() -> None:
    assert verdict(answered(413), size=4, refusals=2) == Split()


def test_the_schedule_ends_in_a_parked_lane() -> None:
    assert [verdict(answered(500), retry=n) for n in range(4)] == [
        RetryLater(5, refused=False),
        RetryLater(15, refused=False),
        RetryLater(60, refused=False),
        Park(None),
    ]


def test_a_parked_classic_head_is_tried_every_six_hours() -> None:
    assert verdict(answered(500), kind="classic", retry=3) == Park(6 * 3600)
    assert verdict(answered(500), kind="classic", retry=40) == Park(6 * 3600)


def test_a_client_that_goes_is_nobodys_fault_however_often_it_does() -> None:
    assert verdict(GONE, retry=1000, size=7) == Disconnected()
    assert judge_heartbeat(GONE, period=60) == judge_heartbeat(TOO_BIG, period=60) == Disconnected()
    assert judge_resend(GONE, tries=9, retry=9, policy=POLICY, jitter=0.0) == Disconnected()


def test_a_client_that_goes_because_of_a_message_refuses_it_with_the_next_connection_again_or_not() -> None:
    assert [verdict(TOO_BIG, size=4, refusals=n) for n in range(3)] == [
        Disconnected(refused=True),
        Disconnected(refused=True),
        Split(),
    ]
    assert verdict(TOO_BIG, refusals=2) == GiveUp(f"refused 3 times: {TOO_BIG.said}")


def test_gone_switches_off() -> None:
    assert verdict(answered(410), refusals=2, retry=7) == SwitchOff()


@pytest.mark.parametrize(("asked", "waits"), [(None, 5), (1, 5), (30, 30), (3605, 3605), (100_000, 3605)])
def test_retry_after_is_never_earlier_than_scheduled_and_at_most_an_hour_later(
    asked: float | None, waits: float
) -> None:
    assert verdict(answered(429, asked)) == RetryLater(waits, refused=False)


@given(jitter=st.floats(0, 0.999), retry=st.integers(0, 2))
def test_jitter_is_added_and_never_subtracted(jitter: float, retry: int) -> None:
    found = judge(answered(500), kind="topic", size=1, retry=retry, refusals=0, policy=POLICY, jitter=jitter)
    assert isinstance(found, RetryLater)
    assert POLICY.schedule[retry] <= found.seconds <= POLICY.schedule[retry] * 1.1


def test_a_handshake_is_tried_at_0_1_5_and_15_seconds_and_then_it_is_an_error() -> None:
    waits = []
    for tries in range(4):
        found = judge_handshake(answered(404), tries=tries, policy=POLICY)
        waits.append(found.seconds if isinstance(found, RetryLater) else found)
    assert waits == [1, 4, 10, Park(None)]
    assert judge_handshake(answered(204), tries=3, policy=POLICY) == Delivered()


def test_a_resend_never_parks_a_lane_or_turns_a_subscription_off() -> None:
    policy = RetryPolicy(schedule=(5, 15), jitter=0.0)

    def judged(status: int | None, tries: int, retry: int) -> object:
        answer = Answer(status, None, "said", 1)
        return judge_resend(answer, tries=tries, retry=retry, policy=policy, jitter=0.0)

    assert judged(204, 0, 0) == Delivered()
    assert judged(500, 0, 0) == RetryLater(5, refused=False)
    assert judged(None, 1, 7) == RetryLater(15, refused=False), "the lane's resends wait together"
    assert judged(500, 2, 0) == GiveUp("sent again 3 times, and never taken: said")
    assert judged(422, 1, 1) == RetryLater(15, refused=True)
    assert judged(422, 2, 1) == GiveUp("sent again 3 times, and never taken: said")
    assert judged(410, 0, 0) == GiveUp("sent again, and refused for good: said")
