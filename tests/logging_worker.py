"""The model's process with a model that is none."""

from logging_model import LoggingModel
from reindex.embedders.worker import serve


def main(lifeline):
    serve(lifeline, lambda orders, _: LoggingModel(orders.space.dimensions))
