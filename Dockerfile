# The environment of this repository in an image: the versions of constraints.txt, as `make setup` has them.
#   docker build -t reslab . && docker run --rm -it -v "$PWD:/reslab" reslab dvc repro
# With an NVIDIA GPU (driver and container toolkit on the host): docker run --gpus all ...
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git=1:2.39.* make=4.3-* g++=4:12.2.* \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /reslab
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt --editable '.[dev,docs]' \
    && git config --system --add safe.directory /reslab

CMD ["reslab", "--help"]
