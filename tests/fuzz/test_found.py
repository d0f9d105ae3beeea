"""What the fuzzing of the Python boundary found: each test's first line tells its story."""

import pytest

import shoal
from shoal import config


@pytest.fixture
def store(store_path):
    with shoal.Store(store_path) as opened:
        yield opened


@pytest.mark.parametrize("text", ["a = " + "[" * 2000, "x = " + "1" * 5000], ids=["deep", "long"])
def test_settings_that_the_parser_of_toml_gives_up_on_are_an_error_that_names_the_file(tmp_path, text):
    """A RecursionError, and a plain ValueError, left the command line as a traceback."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(config.ConfigError, match="config.toml: not valid TOML"):
        config.read_file(file)


def test_a_number_of_seconds_beyond_all_floats_is_refused_as_any_other_too_large(tmp_path):
    """An OverflowError left the command line as a traceback."""
    file = tmp_path / "config.toml"
    file.write_text("[store]\nlock_wait_seconds = " + "1" * 400)
    with pytest.raises(config.ConfigError, match="between 0 and 86400"):
        config.read_file(file)


def test_an_ignore_rule_that_is_no_text_is_refused_for_that(store, tmp_path):
    """It was a TypeError about a field of the Rust side."""
    with pytest.raises(shoal.InvalidInput, match="ignore rule"):
        store.add(tmp_path, ignore=["\udcff"], only_hash=True)


def test_a_negative_size_is_refused_by_every_way_to_read_a_range(store):
    """One of them raised an OverflowError; `read` takes -1 for all that is left."""
    with store.open(store.add(b"0123").cid) as file:
        with pytest.raises(shoal.InvalidInput):
            file.read_at(1, -1)
        with pytest.raises(shoal.InvalidInput):
            file.read_ranges([(1, -1)])
        assert file.read(-1) == b"0123"
