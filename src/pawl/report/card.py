"""`card.md`: what a bundle is, how good, and how it was shown."""

from __future__ import annotations

from pawl.data.tokens import TEXT, is_text
from pawl.report.summary import Summary, TaskSummary

_TAKES = {
    "numeric": "NaN where a value is missing, 1 and 0 for true and false, and a date split into days "
    "since 1970-01-01, month (1 to 12), weekday (0 to 6 from Monday) and, if it has times, hour with "
    "its fraction; `features` in `task.json` names them in order",
    "categorical": "a code per column: 1 for the first category that `task.json` lists for it, 0 where "
    "it is missing or unknown",
    "text": "token ids by the tokenizer that `task.json` holds for the column, 0 behind the last; of a "
    "text with more the first and the last half of what fits",
    "image": "pixels from 0 to 255 as channels, height, width; resized to that, and gray or RGB",
}


def _kept(summary: Summary) -> str:
    models = summary.final.averaged
    return f"average of {models} models" if models > 1 else "this model"


def _warnings(summary: Summary) -> str:
    critical = [finding for finding in summary.findings if finding.severity == "critical"]
    return "".join(f"\n**{finding.severity}: {finding.evidence}**\n" for finding in critical)


def card(summary: Summary, recipe: str) -> str:
    """Returns `card.md`: what the bundle is, how good, and how it was shown.

    Args:
        summary: The campaign's.
        recipe: What is delivered, as TOML.
    """
    task = summary.task
    return f"""# {task.name}

Predicts `{task.target}` ({task.kind}) from {", ".join(task.inputs)}.

{summary.gain.statement}
{
        "".join(
            f'''
**{finding.evidence}.**
'''
            for finding in summary.findings
            if finding.severity == "critical"
        )
    }
| | baseline | final |
|---|---|---|
| {summary.metric}, {_kept(summary)} | {summary.baseline.value:.6g} | {summary.final.value:.6g} |
| {summary.metric}, mean of {summary.final.n} single models | {summary.baseline.mean:.6g} | \
{summary.final.mean:.6g} |
| weights | {summary.cost.parameters.baseline:,.0f} | {summary.cost.parameters.final:,.0f} |
| latency of one row (ms, one thread) | {summary.cost.latency_ms.baseline:.3g} | \
{summary.cost.latency_ms.final:.3g} |

Trained on {task.development_rows:,} rows, judged on {
        task.test_rows:,} test rows that were looked at
for {summary.test_touches} claim(s). Repeat it with `{summary.command}`.

```toml
{recipe}```

Predict with `pawl predict BUNDLE DATA --out predictions.csv`, which takes raw rows. `model.onnx` takes
tensors with the rows on the first axis, and scales and fills them itself:

{_graph_inputs(task)}
"""


def _graph_inputs(task: TaskSummary) -> str:
    lines = []
    for each in task.inputs:
        name = each.split()[0]
        meaning = _TAKES.get(TEXT if is_text(name) else name, "as it was given, in that type")
        lines.append(f"- `{each}` a row: {meaning}.")
    return "\n".join(lines)
