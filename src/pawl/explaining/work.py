"""What goes into an explanation, part by part."""

from __future__ import annotations

from typing import Any

import numpy as np

from pawl.data.types import Examples, Inputs
from pawl.deployment import Bundle
from pawl.environment import versions
from pawl.errors import PawlError, printable
from pawl.execution import Listener
from pawl.explaining import attributions, calibration, errors_of, robustness, sets, slices
from pawl.explaining.against import against
from pawl.explaining.attention import attention
from pawl.explaining.chapters import Thumbnails
from pawl.explaining.dependence import dependences
from pawl.explaining.effort import Effort
from pawl.explaining.gradients import SHUFFLES, scrambled, subject_of
from pawl.explaining.importance import importance
from pawl.explaining.judged import Robustness
from pawl.explaining.numbers import by_gradients
from pawl.explaining.pictures import image_input, pictures
from pawl.explaining.result import Attributions, Explanation, TreeImportance
from pawl.explaining.subject import Subject, count_of, taken
from pawl.explaining.texts import has_texts, texts
from pawl.explaining.trees import tree_importances
from pawl.explaining.worth import Attributed
from pawl.models import Pipeline
from pawl.options import ExplainCall
from pawl.task import Objective

LEAST_BACKGROUND = 10
"""Rows that others are compared with, at least."""
_DEPENDENCES = 6
_MOST_COLUMNS = 500
_SHARES = {
    "importance": 0.45,
    "attributions": 0.5,
    "dependence": 0.4,
    "pictures": 0.8,
    "texts": 0.8,
    "robustness": 0.5,
}


class Work:
    """The parts of an explanation, in order; those that cannot be are in `skipped`, with the reason.

    Args:
        bundle: Whose model it is.
        rows: To judge on; the first of them are explained.
        others: What rows are compared with.
        objective: The metric.
        call: The options.
        effort: The time there is.
        other: Another bundle with the rows as it reads them, if there is one to compare with.
    """

    def __init__(
        self,
        bundle: Bundle,
        rows: Examples,
        others: Inputs,
        objective: Objective,
        call: ExplainCall,
        effort: Effort,
        other: tuple[Bundle, Examples] | None = None,
    ) -> None:
        self.other = other
        self.bundle, self.rows, self.others = bundle, rows, others
        self.objective, self.call, self.effort = objective, call, effort
        self.subject = Subject.of(bundle)
        self.skipped: dict[str, str] = {}
        self.some = taken(rows.inputs, np.arange(min(call.rows, len(rows))))
        self._module: Pipeline | None = None
        self._tried = False

    def explanation(self, notes: list[str], command: str, listener: Listener) -> Explanation:
        """Returns what was found, part by part."""
        schema, seed = self.bundle.schema, self.call.seed
        fields: dict[str, Any] = {}
        parts = {
            "importance": self._importances,
            "attributions": self._attributions,
            "dependence": self._dependences,
            **({"maps": self._pictures} if image_input(self.subject) is not None else {}),
            **({"words": self._texts} if has_texts(self.subject) else {}),
            "errors": self._reliability,
            **({} if self.other is None else {"against": self._against}),
        }
        for name, part in parts.items():
            listener.phase("explain", name)
            fields |= part(fields)
        return Explanation(
            name=printable(str(self.bundle.task.get("name", "model"))),
            kind=schema.kind,
            target=printable(schema.target),
            outputs=list(self.subject.outputs),
            rows=len(self.rows),
            seed=seed,
            seconds=self.call.seconds,
            skipped={name: printable(reason) for name, reason in self.skipped.items()},
            notes=notes,
            versions=versions(),
            command=command,
            **fields,
        )

    def module(self) -> Pipeline | None:
        """Returns the bundle's modules; `None` where they cannot be built, with the reason noted."""
        if not self._tried:
            self._tried = True
            try:
                self._module = self.bundle.module(self.call.model)
            except PawlError as error:
                reason = f"the bundle's modules could not be built ({error})"
                self.skipped["gradients"] = self.skipped["check of weights"] = reason
        return self._module

    def thumbnails(self) -> Thumbnails:
        """Returns images that the page shows, by row, `[C, H, W]` uint8."""
        name = image_input(self.subject)
        if name is None:
            return {}
        pixels = self.rows.inputs[name].numpy()
        if pixels.dtype != np.uint8:
            low, high = np.nanmin(pixels), np.nanmax(pixels)
            scaled = np.nan_to_num(pixels - low) * (255.0 / max(float(high - low), 1e-12))
            pixels = scaled.clip(0, 255).astype(np.uint8)
        return dict(enumerate(pixels))

    def _importances(self, _: dict[str, Any]) -> dict[str, Any]:
        if "importance" in self.skipped:
            return {}
        if not self.subject.features:
            self.skipped["importance"] = "single pixels have none; maps show where images matter"
            return {}
        if len(self.rows) < LEAST_BACKGROUND:
            self.skipped["importance"] = _too_few(len(self.rows), LEAST_BACKGROUND)
            return {}
        part = self.effort.part(_SHARES["importance"])
        try:
            found = importance(
                self.subject, self.rows, self.objective, seed=self.call.seed, effort=part
            )
        except ValueError as error:
            self.skipped["importance"] = str(error)
            return {}
        return {"importance": found}

    def _attributions(self, _: dict[str, Any]) -> dict[str, Any]:
        subject = self.subject
        if self.subject.kind.has_places:
            self.skipped["attributions"] = "predictions on places of a row are not explained by row"
            return {}
        if not subject.features:
            return {}
        if len(subject.features) == 1:
            self.skipped["attributions"] = "one column alone has nothing to share with others"
            return {}
        if len(subject.features) > _MOST_COLUMNS:
            self.skipped["attributions"] = (
                f"{len(subject.features)} columns are more than {_MOST_COLUMNS}"
            )
            return {}
        part = self.effort.part(_SHARES["attributions"])
        found = attributions.attribute(
            subject, self.some, self.others, seed=self.call.seed, effort=part
        )
        pipeline = None if part.over else self.module()
        wrong: list[Subject] = []
        if pipeline is None and "gradients" not in self.skipped:
            self.skipped["gradients"] = self.skipped["check of weights"] = "no time was left"
        if pipeline is not None:
            wrong = [
                subject_of(subject, scrambled(pipeline, self.call.seed, number))
                for number in range(SHUFFLES)
            ]
        rows = taken(self.some, np.arange(len(found.estimates)))
        kept = [attributions.by_shapley(subject, rows, found, wrong, seed=self.call.seed)]
        if part.over:
            self.skipped["ablation and lime"] = "no time was left"
        else:
            kept.append(attributions.by_ablation(subject, rows, found, wrong))
            kept.append(attributions.by_lime(subject, rows, found, wrong, seed=self.call.seed))
        if pipeline is None:
            return {"attributions": kept}
        gradients, forests = self._by_modules(pipeline, rows, found, part)
        return {"attributions": kept + gradients, "trees": forests}

    def _by_modules(
        self, pipeline: Pipeline, rows: Inputs, found: Attributed, part: Effort
    ) -> tuple[list[Attributions], list[TreeImportance]]:
        """Returns what needs more than a graph: gradients, and what trees look at."""
        subject, seed = self.subject, self.call.seed
        gradients: list[Attributions] | str = "no time was left"
        if not part.over:
            gradients = by_gradients(subject, pipeline, rows, found, seed=seed)
        forests: list[TreeImportance] | str = "no time was left"
        if not part.over:
            forests = tree_importances(subject, pipeline, self.rows.inputs, found, seed=seed)
        if isinstance(gradients, str):
            self.skipped["gradients"], gradients = gradients, []
        if isinstance(forests, str):
            self.skipped["trees"], forests = forests, []
        return gradients, forests

    def _dependences(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self.subject.kind.has_places or not self.subject.features:
            return {}
        names = self._ranked(fields)[:_DEPENDENCES]
        part = self.effort.part(_SHARES["dependence"])
        found = dependences(self.subject, self.others, names, seed=self.call.seed, effort=part)
        return {"dependences": found}

    def _ranked(self, fields: dict[str, Any]) -> list[str]:
        """Returns columns, the most important first; without importances by attributions."""
        if "importance" in fields:
            return [each.name for each in fields["importance"].features]
        if fields.get("attributions"):
            first = fields["attributions"][0]
            sizes = np.abs([row.values for row in first.rows]).mean(0)
            return [first.features[place] for place in np.argsort(-sizes, kind="stable")]
        return [feature.name for feature in self.subject.features]

    def _pictures(self, _: dict[str, Any]) -> dict[str, Any]:
        if self.subject.kind.has_places:
            return {}
        some = Examples(self.some, None, self.rows.files[: count_of(self.some)])
        part = self.effort.part(_SHARES["pictures"])
        found = pictures(
            self.subject, some, self.others, self.module(), seed=self.call.seed, effort=part
        )
        return {"pictures": found}

    def _texts(self, _: dict[str, Any]) -> dict[str, Any]:
        if self.subject.kind.has_places:
            return {}
        part = self.effort.part(_SHARES["texts"])
        found = texts(
            self.subject, self.some, self.others, self.module(), seed=self.call.seed, effort=part
        )
        if isinstance(found, str):
            self.skipped["words"] = found
            return {}
        pipeline = self.module()
        if pipeline is None or part.over:
            return {"texts": found}
        looks = attention(self.subject, self.some, self.others, pipeline, seed=self.call.seed)
        return {"texts": found, "attention": looks}

    def _against(self, _: dict[str, Any]) -> dict[str, Any]:
        if "against" in self.skipped or self.other is None:
            return {}
        bundle, rows = self.other
        try:
            found = against(
                self.subject, self.rows, Subject.of(bundle), rows, self.objective,
                str(bundle.task.get("name", "model")), seed=self.call.seed, effort=self.effort,
            )  # fmt: skip
        except ValueError as error:
            self.skipped["against"] = str(error)
            return {}
        return {"against": found}

    def _reliability(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self.rows.targets is None:
            return {}
        if self.subject.kind.has_places:
            for name in ("calibration", "sets", "robustness", "slices", "errors"):
                self.skipped[name] = "predictions on places of a row are not judged by row"
            return {}
        subject, seed = self.subject, self.call.seed
        predictions = subject.predict(self.rows)
        values, targets = subject.shown(predictions), self.rows.targets.double().numpy()
        name, errors, _ = errors_of.errors_of(subject, values, predictions, targets)
        found: dict[str, Any] = {
            "errors": errors_of.told(
                subject, values, predictions, targets, self.rows, self._ranked(fields)
            )
        }
        if len(self.rows) < calibration.FEWEST:
            self.skipped["calibration"] = _too_few(len(self.rows), calibration.FEWEST)
        else:
            found["calibration"] = calibration.calibration(subject, values, targets, seed=seed)
        held = sets.sets(subject, predictions, targets, self.bundle.conformal, seed=seed)
        if isinstance(held, str):
            self.skipped["sets"] = held
        else:
            found["sets"] = held
        found["robustness"] = self._robustness()
        if not subject.features:
            self.skipped["slices"] = "slices are described by columns, and images have none"
        elif len(self.rows) < slices.FEWEST:
            self.skipped["slices"] = _too_few(len(self.rows), slices.FEWEST)
        else:
            found["slices"] = slices.weak_slices(
                subject.features[:_MOST_COLUMNS], self.rows.inputs, errors,
                error=name, important=self._ranked(fields), seed=seed,
            )  # fmt: skip
        return found

    def _robustness(self) -> list[Robustness]:
        part = self.effort.part(_SHARES["robustness"])
        if len(self.rows) < robustness.FEWEST:
            self.skipped["robustness"] = _too_few(len(self.rows), robustness.FEWEST)
            return []
        if part.over:
            self.skipped["robustness"] = "no time was left"
            return []
        try:
            return robustness.robustness(
                self.subject, self.rows, self.objective, seed=self.call.seed, effort=part
            )
        except ValueError as error:
            self.skipped["robustness"] = str(error)
            return []


def _too_few(got: int, needed: int) -> str:
    return f"{got} rows are too few; {needed} or more are needed"
