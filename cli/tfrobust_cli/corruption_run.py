"""`tfrobust evaluate --suite corruptions`: classifiers × corruptions → results and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfrobust.classifiers.loading import LoadOptions
from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters, check_known, scenario_plugins
from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.load_options import notices
from tfrobust_cli.opening import opened
from tfrobust_cli.tables import print_results


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorruptionRun:
    """One call of the command; the fields are its options."""

    classifiers: list[str]
    normalise_by: str | None
    scenario: str
    param: list[str] | None
    split: str
    limit: int | None
    seed: int
    batch_size: int
    loading: LoadOptions

    def run(self, out: Path, *, force: bool, as_json: bool) -> None:
        """Evaluate, write the run folder and print the table."""
        plugins = scenario_plugins(self.scenario)
        check_known(plugins)
        if len(plugins) > 1:
            raise UsageError(
                "--suite corruptions: expected a scenario without a shift; "
                f"received: {self.scenario}"
            )
        start_tensorflow()
        from tfrobust import store
        from tfrobust.evaluation.corruptions import evaluate_corruptions
        from tfrobust.evaluation.hints import hints
        from tfrobust.files.output_folders import output_folder
        from tfrobust.report import write_run

        options = Parameters(self.param, plugins)
        baseline = [self.normalise_by] if self.normalise_by else []
        typed = list(dict.fromkeys([*self.classifiers, *baseline]))
        with output_folder(out, force=force), Reporter() as reporter:
            data = opened(self.scenario, options, say=reporter.say)
            loaded = store.load_all(typed, options=self.loading.for_images(data.image_shape))
            for line in notices(loaded):
                reporter.say(line)
            shown = dict(zip(typed, loaded, strict=True))
            evaluated = evaluate_corruptions(
                loaded,
                data,
                baseline=shown[self.normalise_by] if self.normalise_by else None,
                split=self.split,
                limit=self.limit,
                seed=self.seed,
                batch_size=self.batch_size,
                out=out,
                progress=reporter,
            )
            write_run(out, evaluated)
            for line in hints(evaluated.results, loaded):
                reporter.say(line)
        print_results(evaluated.results, as_json=as_json, out=out)
