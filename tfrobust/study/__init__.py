"""Studies: a published table rebuilt, a grid of runs beside the paper's figures and claims.

`schema` reads a study file, `cells` computes what it declares, and `results` makes tables, claims
and pictures of that. `rebuild.run` does all three; `schema.files.find_study` finds a study.
"""
