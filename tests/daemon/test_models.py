"""The daemon's models over many reloads: nothing of a configuration that was replaced stays in memory."""

import gc
import weakref

from reindex.daemon.models import Models
from reindex.embedders.catalog import recipe_for


def test_a_configuration_that_was_replaced_is_forgotten_with_its_models(house):
    def app():
        made = house.app
        made.embedder_for = None
        return made

    first = app()
    models = Models(first)
    recipe = recipe_for(first.settings, first.catalog(None))
    lane = models.query_embedder(recipe)
    old = weakref.ref(lane)  # which its pool holds, which its App holds
    later = app()
    models.take_over(later)
    assert models.query_embedder(recipe) is not lane
    assert not lane.is_closed, "who is at work with it goes on"
    models.close_if_idle(0.0)
    del first, lane
    gc.collect()
    assert old() is None
    assert later.embedder_for is not None
    models.close()
