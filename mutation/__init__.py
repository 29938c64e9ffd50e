"""Mutation testing: does a test fail when the code is made wrong? docs/proof.md says how it is run."""
