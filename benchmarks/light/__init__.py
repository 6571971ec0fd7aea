"""The parts of first_light.py, which needs nothing but torch, numpy, pydantic, ruamel.yaml and this project."""
