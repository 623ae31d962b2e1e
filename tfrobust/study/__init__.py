"""Studies: a published table rebuilt, a grid of runs beside the paper's figures and claims."""

from tfrobust.study.cells import Cell, cells_of
from tfrobust.study.declared import Study
from tfrobust.study.files import find_study, studies
from tfrobust.study.report import write_study
from tfrobust.study.run import run_study

__all__ = ["Cell", "Study", "cells_of", "find_study", "run_study", "studies", "write_study"]
