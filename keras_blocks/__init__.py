"""Blocks of the classic convolutional networks as Keras 3 layers, their architectures, and searches over them.

Importing the package registers every class, so that `keras.saving.load_model` finds them.
"""

from keras_blocks.blocks.anchors import AnchorGenerator
from keras_blocks.blocks.attention import ConvolutionalBlockAttention, EfficientChannelAttention, SelectiveKernelBlock
from keras_blocks.blocks.autoencoder import DecoderBlock, EncoderBlock
from keras_blocks.blocks.auxiliary import AuxiliaryClassifier
from keras_blocks.blocks.box_head import BoxHead
from keras_blocks.blocks.channel_padding import ChannelPadding
from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.dense import DenseBlock, DenseLayer, TransitionBlock
from keras_blocks.blocks.detection_decoder import DetectionDecoder
from keras_blocks.blocks.fire import FireBlock
from keras_blocks.blocks.grid_reduction import GridReductionA, GridReductionB, PassThroughReduction
from keras_blocks.blocks.heads import ClassifierHead, MultiLabelHead
from keras_blocks.blocks.image_normalization import ImageNormalization
from keras_blocks.blocks.inception import InceptionA, InceptionB, InceptionBlock, InceptionC
from keras_blocks.blocks.inception_module import InceptionModule
from keras_blocks.blocks.inverted_residual import InvertedResidualBlock
from keras_blocks.blocks.letterbox import Letterbox
from keras_blocks.blocks.local_response_normalization import LocalResponseNormalization
from keras_blocks.blocks.pairwise_distance import PairwiseDistance
from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.blocks.pyramid import FeaturePyramid
from keras_blocks.blocks.region_proposals import RegionProposalNetwork
from keras_blocks.blocks.regnet import RegNetBlock
from keras_blocks.blocks.residual import ResidualBlock, ResNeXtBlock
from keras_blocks.blocks.resnet_stem import ResNetStem
from keras_blocks.blocks.roi import RoIAlign, RoIPool, WarpRegions
from keras_blocks.blocks.squeeze_excite import SqueezeExciteBlock
from keras_blocks.blocks.variational import VariationalBottleneck
from keras_blocks.blocks.vgg import VGGGroup
from keras_blocks.blocks.xception import XceptionBlock
from keras_blocks.core.block import Block
from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.costs.cost import Cost, cost
from keras_blocks.decode.predictions import decode_predictions
from keras_blocks.deploy.deploying import deploy
from keras_blocks.deploy.exported import Exported
from keras_blocks.deploy.exporting import export
from keras_blocks.detection.coco import COCODetection
from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.drawing import draw_detections
from keras_blocks.detection.evaluation import coco_metrics, evaluate_detections
from keras_blocks.detection.proposals import region_proposals, selective_search
from keras_blocks.detection.voc import VOCDetection
from keras_blocks.grow.growing import grow
from keras_blocks.look.drawing import Drawing, draw
from keras_blocks.look.expanding import expand
from keras_blocks.look.grad_cam import feature_maps, grad_cam
from keras_blocks.look.memory import Memory, memory
from keras_blocks.look.rows import BlockRow, cost_rows
from keras_blocks.look.table import summary
from keras_blocks.metric.batches import PairSampler, PKSampler, TripletSampler
from keras_blocks.metric.contrastive_loss import ContrastiveLoss
from keras_blocks.metric.one_shot import one_shot_accuracy
from keras_blocks.metric.triplet_loss import TripletLoss
from keras_blocks.models.alternating import train_alternating
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.autoencoder import AutoEncoder
from keras_blocks.models.densenet import DenseNet
from keras_blocks.models.fast_rcnn import FastRCNN
from keras_blocks.models.faster_rcnn import FasterRCNN
from keras_blocks.models.inception import Inception
from keras_blocks.models.inception_v4 import InceptionV4
from keras_blocks.models.rcnn import RCNN
from keras_blocks.models.registry import create_model, list_models
from keras_blocks.models.regnet import RegNet
from keras_blocks.models.resnet import ResNet
from keras_blocks.models.resnext import ResNeXt
from keras_blocks.models.senet import SENet
from keras_blocks.models.siamese import Siamese
from keras_blocks.models.squeezenet import SqueezeNet
from keras_blocks.models.vgg import VGG
from keras_blocks.prune.plan import PrunedLayer, PruningPlan
from keras_blocks.prune.pruning import plan_pruning, prune
from keras_blocks.weights.convert import convert_weights

__version__ = "0.2.0"

__all__ = [
    "RCNN",
    "VGG",
    "AnchorGenerator",
    "Architecture",
    "AutoEncoder",
    "AuxiliaryClassifier",
    "Block",
    "BlockRow",
    "BoxHead",
    "COCODetection",
    "CeilMaxPooling2D",
    "ChannelPadding",
    "ClassifierHead",
    "ContrastiveLoss",
    "ConvBlock",
    "ConvolutionalBlockAttention",
    "Cost",
    "DecoderBlock",
    "DenseBlock",
    "DenseLayer",
    "DenseNet",
    "DetectionDataset",
    "DetectionDecoder",
    "Drawing",
    "EfficientChannelAttention",
    "EncoderBlock",
    "Exported",
    "FastRCNN",
    "FasterRCNN",
    "FeaturePyramid",
    "FireBlock",
    "GridReductionA",
    "GridReductionB",
    "GroupedConv2D",
    "ImageNormalization",
    "Inception",
    "InceptionA",
    "InceptionB",
    "InceptionBlock",
    "InceptionC",
    "InceptionModule",
    "InceptionV4",
    "InvertedResidualBlock",
    "Letterbox",
    "LocalResponseNormalization",
    "Memory",
    "MultiLabelHead",
    "PKSampler",
    "PairSampler",
    "PairwiseDistance",
    "PassThroughReduction",
    "PrunedLayer",
    "PruningPlan",
    "RegNet",
    "RegNetBlock",
    "RegionProposalNetwork",
    "ResNeXt",
    "ResNeXtBlock",
    "ResNet",
    "ResNetStem",
    "ResidualBlock",
    "RoIAlign",
    "RoIPool",
    "SENet",
    "SelectiveKernelBlock",
    "Siamese",
    "SqueezeExciteBlock",
    "SqueezeNet",
    "TransitionBlock",
    "TripletLoss",
    "TripletSampler",
    "VGGGroup",
    "VOCDetection",
    "VariationalBottleneck",
    "WarpRegions",
    "XceptionBlock",
    "coco_metrics",
    "convert_weights",
    "cost",
    "cost_rows",
    "create_model",
    "decode_predictions",
    "deploy",
    "draw",
    "draw_detections",
    "evaluate_detections",
    "expand",
    "export",
    "feature_maps",
    "grad_cam",
    "grow",
    "list_models",
    "memory",
    "one_shot_accuracy",
    "plan_pruning",
    "prune",
    "region_proposals",
    "selective_search",
    "summary",
    "train_alternating",
]
