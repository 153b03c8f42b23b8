"""Every source of every model, shipped or published, is a name that a musician can write on a region."""

import pytest

from ugosa_client.marks.labels import find_source, parse_label
from ugosa_client.marks.words import ALIASES, MODELS_WITH
from ugosa_client.resources import MarkState
from ugosa_server.models.published import PUBLISHED
from ugosa_server.models.registry import ModelRegistry

SHIPPED = {model.name: model.sources for model in ModelRegistry().models()}
MODELS = SHIPPED | {weights.name: weights.sources for weights in PUBLISHED.values()}


@pytest.mark.parametrize("name", MODELS)
def test_every_source_can_be_marked_by_its_own_name(name):
    sources = MODELS[name]
    for source in sources:
        silent = {source: MarkState.SILENT}
        assert parse_label(source, sources) == {source: MarkState.ACTIVE}
        assert [parse_label(f"{word}{source.title()}", sources) for word in ("no ", "-", "mute ")] == [
            silent
        ] * 3
        assert parse_label(f"{source} off", sources) == silent
        only = parse_label(f"only {source}", sources)
        assert [s for s, state in only.items() if state is MarkState.ACTIVE] == [source]
        assert set(only) == set(sources)


@pytest.mark.parametrize("name", MODELS)
def test_everyday_names_mean_the_source(name):
    sources = MODELS[name]
    for source in sources:
        for alias in ALIASES.get(source, ()):
            assert find_source(alias, sources) == source


def test_models_that_clients_propose_have_the_instrument():
    assert MODELS_WITH
    for instrument, model in MODELS_WITH.items():
        assert instrument in PUBLISHED[model].sources


def test_shipped_models_are_all_here():
    assert set(SHIPPED) >= {"starter", "cunet-film", "cunet-multiply"}
