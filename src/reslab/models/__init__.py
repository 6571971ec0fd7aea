"""The table of network families; each constructor's keyword-only signature is its schema in params.yaml."""

from reslab.models.resnet import plain, resnet
from reslab.models.tau_resnet import tau_resnet

MODELS = {
    "plain": plain,
    "resnet": resnet,
    "tau_resnet": tau_resnet,
}
