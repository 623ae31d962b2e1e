"""An attack and a scenario for tfrobust, as a third party brings them."""
