"""The bundled studies: a TOML file for each published table. Results: `studies/results/`."""
