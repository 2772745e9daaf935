"""Figures as Prometheus reads them, with its own client library.

Law: nothing is registered anywhere: what is rendered is made for one answer, without a lock
that a patched ``threading`` could tie to a hub.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from dualws.errors import ConfigurationError
from dualws.observing.catalog import COUNTER, GAUGE, METRICS, Metric
from dualws.observing.figures import Figures, split

try:
    from prometheus_client import exposition
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "metrics_bind asks for figures, which need the library prometheus_client. "
        'Install it: pip install "dualws[metrics]"'
    ) from error

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

_BACKEND = "dualws_backend_info"


class _Collected(Collector):
    """What there is to say, once."""

    def __init__(self, figures: Figures, backend: str, version: str) -> None:
        self._figures = figures
        self._about = [backend, version]

    def collect(self) -> Iterable[Family]:
        about = GaugeMetricFamily(
            _BACKEND, "The backend and the version of dualws", labels=["backend", "version"]
        )
        about.add_metric(self._about, 1)
        yield about
        by_name: dict[str, list[tuple[list[str], float]]] = {}
        for numbers in (self._figures.counters, self._figures.gauges):
            for place, number in numbers.items():
                name, labels = split(place)
                by_name.setdefault(name, []).append((list(labels), number))
        for metric in METRICS:
            yield from self._families(metric, by_name.get(metric.name, []))

    def _families(self, metric: Metric, numbers: list[tuple[list[str], float]]) -> Iterator[Family]:
        if metric.kind in (COUNTER, GAUGE):
            kind = CounterMetricFamily if metric.kind == COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=list(metric.labels))
            # Without labels nothing yet is 0, not absent: rates need a beginning.
            for labels, number in sorted(numbers) or ([] if metric.labels else [([], 0.0)]):
                family.add_metric(labels, number)
            yield family
            return
        values = self._figures.histograms.get(metric.name)
        values = values or [0.0] * (len(metric.buckets) + 2)
        bounds = [*(str(bound) for bound in metric.buckets), "+Inf"]
        histogram = HistogramMetricFamily(metric.name, metric.help)
        histogram.add_metric(
            [], list(zip(bounds, accumulate(values[:-1]), strict=True)), values[-1]
        )
        yield histogram


def render(figures: Figures, backend: str, version: str, accept: str) -> tuple[bytes, str]:
    """The figures as text, and its content type.

    :param figures: of all workers
    :param backend: the backend's name
    :param version: dualws's
    :param accept: the Accept header of the request
    """
    encode, content_type = exposition.choose_encoder(accept)
    text: bytes = encode(_Collected(figures, backend, version))
    return text, content_type
