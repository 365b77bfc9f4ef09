"""One file per table of the papers, run on our motion data; README.md holds the tables."""
