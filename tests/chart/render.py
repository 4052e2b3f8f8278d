"""Writes what is made of the chart: golden files, plain manifests, its README. `make chart-render` calls it."""

import chart

for path, text in chart.rendered_files().items():
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
for path in set(chart.GOLDEN.glob("*")) - set(chart.rendered_files()):
    path.unlink()
