"""A picture of the dashboard's panels, from what a real Prometheus has scraped of a real service.

    python -m tests.monitoring.picture --minutes 4 --png docs/images/dashboard.png

What happens to the service is in eventful.py. The queries are those of deploy/grafana/dashboards,
asked as Grafana asks them. Needs prometheus and rsvg-convert (apt-get install librsvg2-bin).
"""

import argparse
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.monitoring.dashboard import dashboard, filled_in, panels
from tests.monitoring.drawing import Drawn, Points, drawing
from tests.monitoring.eventful import eventful_service
from tests.monitoring.rules import RULES
from tests.support.prometheus import Prometheus, prometheus

_SCRAPE: Final = "1s"
# Grafana's is four times the interval of scrapes, here long enough for a quiet line.
_RATE_INTERVAL: Final = "15s"
_WARM_UP_S: Final = 20.0


def _asked(asked: Prometheus, began_s: float, lasting_s: float) -> list[Drawn]:
    """Return every panel with what its queries give."""
    variables = {"job": ".*", "instance": ".*"}
    drawn = []
    for panel in panels():
        lines: dict[str, Points] = {}
        for query, legend in panel.queries:
            found = asked.ask(
                "query_range",
                query=filled_in(query, rate_interval=_RATE_INTERVAL, variables=variables),
                start=str(began_s),
                end=str(began_s + lasting_s),
                step="1",
            )
            for series in found["result"]:
                name = _named(legend, series["metric"])
                values = [(at - began_s, float(text)) for at, text in series["values"]]
                lines[name] = [(at, value) for at, value in values if not math.isnan(value)]
        drawn.append(Drawn(panel, {name: points for name, points in lines.items() if points}))
    return drawn


def _named(legend: str, labels: dict[str, str]) -> str:
    # Addresses of this run say nothing in a picture.
    shown = labels | {"instance": labels.get("job", "otpc-policy")}
    return re.sub(r"{{(\w+)}}", lambda found: shown.get(found[1], ""), legend)


def main() -> None:
    """Run, ask, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=4.0, help="(%(default)s)")
    parser.add_argument("--png", type=Path, default=Path("dashboard.png"), help="(%(default)s)")
    options = parser.parse_args()
    convert = shutil.which("rsvg-convert")
    if convert is None:
        sys.exit("rsvg-convert is not installed (apt-get install librsvg2-bin)")
    lasting_s = options.minutes * 60
    rules = {path.name: path.read_text(encoding="utf-8") for path in RULES}
    with eventful_service(lasting_s + _WARM_UP_S) as (run, service):
        targets = {"otpc-policy": [service.ops_address]}
        with prometheus(targets, rules, interval=_SCRAPE) as asked:
            # A rate is whole when its window has passed.
            began_s = time.time() + _WARM_UP_S
            run.go()
            drawn = _asked(asked, began_s, lasting_s)
    svg = drawing(dashboard()["title"], drawn, lasting_s=lasting_s)
    subprocess.run([convert, "--output", str(options.png)], input=svg.encode(), check=True)


if __name__ == "__main__":
    main()
