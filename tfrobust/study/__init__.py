"""Studies: a published table rebuilt, a grid of runs beside the paper's figures and claims.

`files.find_study` reads one, `run.run_study` computes it, `report.write_study` writes its tables.
"""
