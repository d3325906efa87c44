from __future__ import annotations

from importlib.resources import files

import msgspec
import pytest

from schemas.event import EventType
from schemas.fhir import OURS
from schemas.search.parameters import MEASURE_REPORT
from schemas.topics import Topic, find, topics

BASE = OURS + "SubscriptionTopic/"


def test_each_file_is_one_topic_under_the_url_its_name_says() -> None:
    names = {
        each.name.removesuffix(".json")
        for each in files("schemas.topics").iterdir()
        if each.name.endswith(".json")
    }
    assert {BASE + name for name in names} == set(topics())
    assert names >= {"report-available", "report-settled", "report-corrected", "report-withdrawn"}


@pytest.mark.parametrize("topic", topics().values(), ids=lambda topic: topic.title)
def test_a_topic_says_what_it_follows_what_it_can_be_filtered_by_and_what_it_carries(topic: Topic) -> None:
    assert topic.triggers
    assert len({trigger.event for trigger in topic.triggers}) == len(topic.triggers)
    assert {MEASURE_REPORT[name].name for name in topic.can_filter_by} == set(topic.can_filter_by)
    assert topic.notification_shape.resource == "MeasureReport"
    assert topic.title
    assert topic.description


def test_a_topic_is_found_by_its_canonical_url_and_by_its_version_only() -> None:
    topic = find(BASE + "report-settled")
    assert topic is not None
    assert find(f"{topic.url}|{topic.version}") is topic
    assert find(f"{topic.url}|0.9") is None
    assert find(f"{topic.url}|") is None
    assert find(BASE + "report-unknown") is None


def test_any_published_version_makes_a_report_available() -> None:
    topic = find(BASE + "report-available")
    assert topic is not None
    assert {trigger.event for trigger in topic.triggers} == set(EventType)


def test_a_misspelt_member_of_a_topic_file_is_refused() -> None:
    text = files("schemas.topics").joinpath("report-settled.json").read_text()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text.replace('"previously"', '"previous"'), type=Topic)
