"""Settings of inpainting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heml.parts.settings import Settings


class InpaintSettings(Settings):
    """Drawing seams and holes of recombined samples anew with a diffusion model."""

    checkpoint: str = Field(
        min_length=1,
        description="A diffusers checkpoint that can inpaint: its name, or a folder relative to "
        "the recipe file. Safetensors only.",
    )
    region: Literal["seam", "hole", "both"] = Field(
        "both", description="seam: a band along what was pasted; hole: what was filled."
    )
    strength: float = Field(
        0.4, gt=0, le=1, description="How far what was there is noised: 1 draws all anew."
    )
    steps: int = Field(20, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(7.5, ge=0, description="Classifier-free guidance scale.")
    band: float = Field(
        0.012, gt=0, le=0.2, description="Half the band's width, as a share of the shorter side."
    )
    prompt: str = Field("a photo, {segments}", description="{segments}: names of moved classes.")
    side: int | None = Field(
        None, ge=8, le=4096, description="Pixels that the model sees; null: its own."
    )
    batch_size: int = Field(4, ge=1, description="Samples that are drawn together.")
