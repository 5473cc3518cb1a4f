"""Checkpoints of the families that take words: tiny, with random weights, saved as published ones.

Tokenizers know the words of WORDS and letters.
"""

from __future__ import annotations

import json
import string

import torch
from transformers import (
    BertTokenizer,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    SamConfig,
    SamModel,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

WORDS = ("bird", "beak", "water", "of", "the")
CARD = "---\nlicense: apache-2.0\n---\n"


def clip_tokenizer(longest):
    letters = [*string.ascii_lowercase, *string.digits]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            vocabulary.append(parts[0])
    merges = list(dict.fromkeys(merges))
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=longest)


def clip_text(tokenizer, longest):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": longest,
        "projection_dim": 16,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def clipseg(folder):
    tokenizer = clip_tokenizer(16)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = CLIPSegConfig(
        text_config=clip_text(tokenizer, 16),
        vision_config=vision,
        projection_dim=16,
        reduce_dim=8,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    _save(folder, CLIPSegForImageSegmentation(config), tokenizer)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def owlv2(folder):
    tokenizer = clip_tokenizer(16)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = Owlv2Config(
        text_config=clip_text(tokenizer, 16), vision_config=vision, projection_dim=16
    )
    _save(folder, Owlv2ForObjectDetection(config), tokenizer)
    Owlv2ImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def owlvit(folder):
    from transformers import OwlViTConfig, OwlViTForObjectDetection
    from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil

    tokenizer = clip_tokenizer(16)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = OwlViTConfig(
        text_config=clip_text(tokenizer, 16), vision_config=vision, projection_dim=16
    )
    _save(folder, OwlViTForObjectDetection(config), tokenizer)
    OwlViTImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False).save_pretrained(
        folder
    )
    return folder


def mm_grounding_dino(folder):
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    return grounding_dino(folder, MMGroundingDinoConfig, MMGroundingDinoForObjectDetection)


def grounding_dino(
    folder, config_class=GroundingDinoConfig, model_class=GroundingDinoForObjectDetection
):
    vocabulary = [f"[unused{n}]" for n in range(1100)]
    vocabulary[0], vocabulary[100] = "[PAD]", "[UNK]"
    vocabulary[101], vocabulary[102], vocabulary[103] = "[CLS]", "[SEP]", "[MASK]"
    vocabulary[1012], vocabulary[1029] = ".", "?"
    letters = [*string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase)]
    for number, word in enumerate([*WORDS, *letters]):
        vocabulary[200 + number] = word
    tokenizer = BertTokenizer(vocab={token: n for n, token in enumerate(vocabulary)})
    config = config_class(
        backbone_config={
            "model_type": "swin",
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 1, 1],
            "window_size": 2,
            "image_size": 32,
            "out_indices": [2, 3, 4],
        },
        text_config={
            "model_type": "bert",
            "vocab_size": len(vocabulary),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        num_queries=6,
        max_text_len=32,
        num_feature_levels=3,
        encoder_n_points=2,
        decoder_n_points=2,
    )
    _save(folder, model_class(config), tokenizer)
    size = {"shortest_edge": 64, "longest_edge": 96}
    GroundingDinoImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def sam(folder):
    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "global_attn_indexes": [0],
            "num_pos_feats": 4,
            "mlp_dim": 16,
        },
        prompt_encoder_config={"hidden_size": 8, "image_size": 32, "patch_size": 8,
                               "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 8,
            "mlp_dim": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 8,
        },
    )  # fmt: skip
    _save(folder, SamModel(config))
    SamImageProcessorPil(
        size={"longest_edge": 32}, pad_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder


def sam2(folder):
    from transformers import Sam2Config, Sam2Model

    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "num_attention_heads": 1,
                "image_size": [64, 64],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 2, 4, 8],
                "window_size_per_stage": [4, 2, 4, 2],
                "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [4, 4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16,
                               "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 8,
        },
    )  # fmt: skip
    _save(folder, Sam2Model(config))
    _square(folder, "Sam2ImageProcessor", 64, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return folder


def sam3(folder):
    from transformers.models.sam3.configuration_sam3 import Sam3Config
    from transformers.models.sam3.modeling_sam3 import Sam3Model

    tokenizer = clip_tokenizer(32)
    layers = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 16, "dropout": 0.0}  # fmt: skip
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 56,
                "patch_size": 14,
                "window_size": 2,
                "global_attn_indexes": [1],
                "pretrain_image_size": 28,
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={"model_type": "clip_text_model", **clip_text(tokenizer, 32)},
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config=layers | {"num_queries": 5},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    _save(folder, Sam3Model(config), tokenizer)
    _square(folder, "Sam3ImageProcessor", 56, [0.5] * 3, [0.5] * 3)
    return folder


def _save(folder, model, tokenizer=None):
    """Weights vary more than fresh ones do, so that scores differ from place to place."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)


def _square(folder, kind, side, mean, std):
    """What processors that need torchvision save."""
    content = {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": mean,
        "image_std": std,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
