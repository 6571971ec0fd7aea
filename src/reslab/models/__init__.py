"""The table of network families; each constructor's keyword-only signature is its schema in params.yaml."""

from reslab.models.densenet import densenet, imagenet_densenet
from reslab.models.fixup import fixup_resnet
from reslab.models.identity_mappings import activation_resnet, imagenet_activation_resnet, torch7_resnet
from reslab.models.late_downsampling import late_downsampling_resnet
from reslab.models.preact import imagenet_preact_resnet, preact_resnet
from reslab.models.pyramidnet import imagenet_pyramidnet, pyramidnet
from reslab.models.resnet import imagenet_plain, imagenet_resnet, plain, resnet
from reslab.models.resnext import imagenet_resnext, resnext
from reslab.models.rezero import rezero_resnet
from reslab.models.se_resnet import se_preact_resnet
from reslab.models.shake_shake import shake_shake
from reslab.models.shakedrop import shakedrop_pyramidnet
from reslab.models.shortcuts import shortcut_resnet
from reslab.models.skipinit import skipinit_resnet
from reslab.models.stochastic_depth import stochastic_depth_resnet
from reslab.models.tau_resnet import imagenet_tau_resnet, tau_resnet
from reslab.models.vgg import imagenet_vgg, vgg
from reslab.models.wrn import wrn

MODELS = {
    "plain": plain,
    "resnet": resnet,
    "preact_resnet": preact_resnet,
    "activation_resnet": activation_resnet,
    "shortcut_resnet": shortcut_resnet,
    "tau_resnet": tau_resnet,
    "fixup_resnet": fixup_resnet,
    "skipinit_resnet": skipinit_resnet,
    "rezero_resnet": rezero_resnet,
    "torch7_resnet": torch7_resnet,
    "late_downsampling_resnet": late_downsampling_resnet,
    "se_preact_resnet": se_preact_resnet,
    "wrn": wrn,
    "densenet": densenet,
    "pyramidnet": pyramidnet,
    "resnext": resnext,
    "shake_shake": shake_shake,
    "stochastic_depth_resnet": stochastic_depth_resnet,
    "shakedrop_pyramidnet": shakedrop_pyramidnet,
    "vgg": vgg,
    "imagenet_plain": imagenet_plain,
    "imagenet_resnet": imagenet_resnet,
    "imagenet_preact_resnet": imagenet_preact_resnet,
    "imagenet_activation_resnet": imagenet_activation_resnet,
    "imagenet_tau_resnet": imagenet_tau_resnet,
    "imagenet_resnext": imagenet_resnext,
    "imagenet_densenet": imagenet_densenet,
    "imagenet_pyramidnet": imagenet_pyramidnet,
    "imagenet_vgg": imagenet_vgg,
}
