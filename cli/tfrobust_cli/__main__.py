"""`python -m tfrobust_cli`: the same as `tfrobust`."""

from tfrobust_cli.main import main

main()
