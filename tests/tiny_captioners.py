"""Captioners of every family: tiny, with random weights, saved as published ones."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BlipConfig,
    BlipForConditionalGeneration,
    GitConfig,
    GitForCausalLM,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")
WORDS = ("a", "the", "dog", "cat", "sofa", "grass", "hat", "on", "with", "and", "sitting", "small")
CARD = "---\nlicense: apache-2.0\n---\n"
SIDE = {"height": 32, "width": 32}
LAYERS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
PIXELS = {**LAYERS, "image_size": 32, "patch_size": 8}
TEXT = {
    **LAYERS,
    "vocab_size": len(SPECIAL) + len(WORDS),
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": 3,
    "sep_token_id": 3,
}


def blip(folder):
    """A BLIP captioner."""
    text = {**TEXT, "encoder_hidden_size": 16, "projection_dim": 16, "bos_token_id": 4}
    config = BlipConfig(
        text_config=text,
        vision_config={**PIXELS, "projection_dim": 16},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    BlipImageProcessorPil(size=SIDE).save_pretrained(folder)
    return _saved(folder, BlipForConditionalGeneration(config))


def git(folder):
    """A GIT captioner."""
    config = GitConfig(vision_config=PIXELS, **TEXT, bos_token_id=2)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIDE).save_pretrained(folder)
    return _saved(folder, GitForCausalLM(config))


def encoder_decoder(folder, changed=None):
    """A ViT whose patches a BERT decoder reads."""
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        ViTConfig(**PIXELS), BertConfig(**TEXT)
    )
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 0, 3
    ViTImageProcessorPil(size=SIDE).save_pretrained(folder)
    return _saved(folder, VisionEncoderDecoderModel(config), changed or words_first)


def silent(folder):
    """One that ends every caption before it says a word."""

    def end_first(model):
        model.decoder.cls.predictions.bias[3] += 99

    return encoder_decoder(folder, end_first)


def tokenizer():
    """One token for each word."""
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        bos_token="[DEC]",
    )


def words_first(model):
    """A fresh decoder would end every caption at once."""
    model.decoder.cls.predictions.bias[: len(SPECIAL)] -= 9


def _saved(folder, model, changed=lambda model: None):
    """Weights vary more than fresh ones do, so that captions differ from image to image."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.4)
        changed(model)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder
