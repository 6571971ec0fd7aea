"""A study's missing networks, trained on this machine or on a cluster; `dvc repro` finds them finished and collects them."""
