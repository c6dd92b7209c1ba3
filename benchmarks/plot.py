"""Draw the ratios of the part "peers"."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.comparison import Comparison
from benchmarks.services import OURS

GREY = "#7d858e"  # readable on white and on black
COLOURS = {
    "baseline": "#d1719a",
    "original": "#4184e4",
    "tuned": "#c69026",
    "rest_framework": "#57ab5a",
    "statement": "#b083f0",
    "floor": "#8f8f8f",
}
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def draw(comparison: Comparison, path: Path) -> None:
    """Draw a bar for each workload and peer: our requests/s divided by the peer's."""
    # Text stays text in the SVG, in the reader's own font.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 11})
    titles = {service.name: service.title for service in comparison.plan.services}
    bars = [
        (workload, service.name, comparison.ratio(workload, service.name, "throughput"))
        for workload in comparison.plan.workloads
        for service in comparison.services(workload)
        if service is not OURS
    ]
    ratios = [ratio for _, _, ratio in bars]
    figure = Figure(figsize=(8, 0.6 + 0.26 * (len(bars) + len(comparison.plan.workloads))))
    axes = figure.subplots()
    row = 0
    rows: dict[str, list[int]] = {}
    labelled = set()
    for workload, peer, ratio in bars:
        if workload not in rows:  # an empty row between two workloads
            row, rows[workload] = row + 1, []
        label = None if peer in labelled else titles[peer]
        labelled.add(peer)
        axes.barh(row, ratio - 1, left=1, height=0.8, color=COLOURS[peer], label=label)
        axes.text(max(ratio, 1) * 1.05, row, f"{ratio:.1f}", va="center", color=GREY)
        rows[workload].append(row)
        row += 1
    low, high = min([0.5, *(ratio * 0.9 for ratio in ratios)]), max(ratios) * 1.6
    axes.set(xscale="log", xlim=(low, high), ylim=(row, 0))
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([sum(each) / len(each) for each in rows.values()], list(rows))
    axes.axvline(1, color=GREY, linewidth=1.2)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Requests/s of this service ÷ requests/s of", color=GREY, loc="left", pad=50)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        borderaxespad=0.3,
        handlelength=1.2,
        frameon=False,
        labelcolor=GREY,
    )
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
