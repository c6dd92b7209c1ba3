"""The measurements of the part "peers", summed up over the rounds."""

from collections.abc import Sequence
from statistics import median

from benchmarks.compare import Measurement, Plan
from benchmarks.services import OURS, Service
from benchmarks.targets import Target


class Comparison:
    """Medians over the rounds, and ratios of ours to a peer's."""

    def __init__(self, plan: Plan, measurements: Sequence[Measurement]) -> None:
        self.plan = plan
        self._results = {(m.workload, m.service, m.round): m.result for m in measurements}
        self._rounds = range(1, plan.rounds + 1)

    def services(self, workload: str) -> list[Service]:
        """Return the services that were measured with the workload, ours first."""
        return [s for s in self.plan.services if (workload, s.name, 1) in self._results]

    def typical(self, workload: str, service: str, measure: str) -> float:
        """Return the median over the rounds."""
        return median(self._value(workload, service, number, measure) for number in self._rounds)

    def ratio(self, workload: str, peer: str, measure: str) -> float | None:
        """Return the median of the rounds' ratios of ours to the peer's, None if not measured."""
        if (workload, peer, 1) not in self._results:
            return None
        return median(
            self._value(workload, OURS.name, number, measure)
            / self._value(workload, peer, number, measure)
            for number in self._rounds
        )

    def memory(self, peer: str) -> float | None:
        """Return the ratio of the most memory over all workloads, None if not measured."""
        if peer not in (service.name for service in self.plan.services):
            return None
        ours, others = (
            max(
                self.typical(workload, name, "memory")
                for workload in self.plan.workloads
                if (workload, name, 1) in self._results
            )
            for name in (OURS.name, peer)
        )
        return ours / others

    def target_ratio(self, target: Target) -> float | None:
        """Return the ratio that the target is about, None if it was not measured."""
        if target.clients != self.plan.clients:
            return None
        if target.workload is None:
            return self.memory(target.peer)
        return self.ratio(target.workload, target.peer, target.measure)

    def _value(self, workload: str, service: str, number: int, measure: str) -> float:
        return float(getattr(self._results[workload, service, number], measure))
