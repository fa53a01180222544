"""`make bench`: run every `bench_*.py` beside this file and write build/bench.json.

Each has `run() -> {name: {ours, reference, limit, unit}}`; the ratio is ours / reference, and
`limit` is the largest ratio allowed. A ratio above its limit ends with exit code 1.
"""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUTPUT = ROOT / "build" / "bench.json"


def main(wanted: list[str]) -> int:
    sys.path.insert(0, str(ROOT))
    results: dict[str, dict[str, float | str]] = {}
    for path in sorted(HERE.glob("bench_*.py")):
        if wanted and path.stem.removeprefix("bench_") not in wanted:
            continue
        print(f"{path.stem} ...", file=sys.stderr, flush=True)
        for name, found in importlib.import_module(f"tests.bench.{path.stem}").run().items():
            ratio = found["ours"] / found["reference"]
            results[name] = {
                "ours": found["ours"],
                "reference": found["reference"],
                "ratio": ratio,
                "limit": found["limit"],
                "unit": found["unit"],
            }
            verdict = "ok" if ratio <= found["limit"] else "TOO SLOW"
            print(
                f"  {name}: {found['ours']:.3g} against {found['reference']:.3g} {found['unit']}, "
                f"ratio {ratio:.2f}, limit {found['limit']:.2f}: {verdict}"
            )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {OUTPUT.relative_to(ROOT)}")
    return int(any(r["ratio"] > r["limit"] for r in results.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
