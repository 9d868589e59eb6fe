"""What a plan was made from: kept as text, made into the same plan again, refused once it was changed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import BY_BROKER
from scizor_dagster.errors import DataError
from scizor_dagster.planning.archives import PlanArchive, digest_of, read_archive
from tests.planning.books import random_book, ruled_book


def archive_of(seed, drifting=True):
    return PlanArchive(*random_book(seed, drifting))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000), drifting=st.booleans())
def test_any_plan_is_made_again_from_its_text_to_the_same_bytes(seed, drifting):
    archive = PlanArchive(*ruled_book(seed, drifting))
    text = archive.text()
    again = read_archive(text, digest_of(text), "test")
    assert repr(again.plan()) == repr(archive.plan())
    assert again.text() == text


@pytest.mark.parametrize("broker", BY_BROKER)
def test_what_every_broker_takes_is_read_again_as_it_was(broker):
    archive = replace(archive_of(54), capabilities=BY_BROKER[broker])
    text = archive.text()
    assert read_archive(text, digest_of(text), "test").capabilities == BY_BROKER[broker]


@pytest.mark.parametrize("fact", ["prices", "instruments", "previous_prices", "adv", "atr"])
def test_what_has_no_say_in_the_plan_is_not_kept(fact):
    archive = PlanArchive(*ruled_book(54, True))
    known = getattr(archive.inputs, fact)
    more = {**known, "UNNAMED": next(iter(known.values()))}
    crowded = replace(archive, inputs=replace(archive.inputs, **{fact: more}))
    assert crowded.text() == archive.text()
    assert crowded.plan() == archive.plan()


def test_a_text_that_was_changed_is_refused():
    text = archive_of(54).text()
    changed = text.replace('"equity": "', '"equity": "1', 1)
    assert changed != text
    with pytest.raises(DataError, match="changed after the plan was made"):
        read_archive(changed, digest_of(text), "plan x")


def test_a_text_of_another_version_is_refused_by_name():
    text = archive_of(54).text().replace('"equity"', '"wealth"', 1)
    with pytest.raises(DataError, match="code_version"):
        read_archive(text, digest_of(text), "plan x")
