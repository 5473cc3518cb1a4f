"""The class list of a dataset: class id in the masks → class name."""

from __future__ import annotations

import json
import re

from heml.sources.files import Files
from heml.sources.known_classes import CITYSCAPES, COCO_STUFF, OXFORD_PETS, VOC
from heml.sources.raw import SourceError
from heml.sources.source_settings import Classes

_CELEBAMASK_HQ = (
    "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat "
    "ear_r neck_l neck cloth"
)
_ATR = (
    "Background Hat Hair Sunglasses Upper-clothes Skirt Pants Dress Belt Left-shoe Right-shoe "
    "Face Left-leg Right-leg Left-arm Right-arm Bag Scarf"
)

#: CelebAMask-HQ (Lee et al., "MaskGAN", CVPR 2020). Of two parts that overlap, the later is seen.
CELEBAMASK_HQ = dict(enumerate(_CELEBAMASK_HQ.split()))

#: ATR (Liang et al., "Deep Human Parsing with Active Template Regression", TPAMI 2015), names as
#: models trained on it spell them.
ATR = dict(enumerate(_ATR.split()))

_BUILTIN = {
    "atr": ATR,
    "celebamask_hq": CELEBAMASK_HQ,
    "cityscapes": CITYSCAPES,
    "coco_stuff": COCO_STUFF,
    "oxford_pets": OXFORD_PETS,
    "voc": VOC,
}
_FORM = '{"0": "background", "1": "skin", ...}'


def class_list(classes: Classes | None, files: Files, required: bool) -> dict[int, str]:
    """Class id → name as a recipe gives it.

    Parameters
    ----------
    classes : str, dict or None
        A JSON file below the root, a built-in list, or the mapping itself.
    files : Files
    required : bool
        Whether a missing file is an error; the list is empty otherwise.

    Raises
    ------
    SourceError
        If the file is missing or is not an object of ids 0 to 255 and distinct names.
    """
    if isinstance(classes, dict):
        return _checked({str(key): name for key, name in classes.items()}, "source.classes")
    if classes in _BUILTIN:
        return dict(_BUILTIN[classes])
    if classes is None or not files.is_file(classes):
        if required:
            where = "is missing" if classes is None else f"there is no file {files.shown(classes)}"
            raise SourceError(f"source.classes: {where}; write {_FORM} there")
        return {}
    return read_classes(files, classes)


def read_classes(files: Files, name: str) -> dict[int, str]:
    """Class id → name from a JSON object.

    Raises
    ------
    SourceError
    """
    place = files.shown(name)
    with files.open(name) as file:
        try:
            content = json.loads(file.read().decode("utf-8-sig"))
        except ValueError as error:
            raise SourceError(f"{place} is not JSON ({error}); write {_FORM}") from error
    if not isinstance(content, dict) or not content:
        raise SourceError(f"{place} must be an object of class ids and names, like {_FORM}")
    return _checked(content, place)


def _checked(content: dict[str, object], place: str) -> dict[int, str]:
    classes: dict[int, str] = {}
    for key, name in content.items():
        # masks are stored with 8 bits
        if not re.fullmatch(r"\d{1,3}", key) or int(key) > 255:
            raise SourceError(f"{place}: class id '{key}' must be a whole number from 0 to 255")
        if not isinstance(name, str) or not name.strip():
            raise SourceError(f"{place}: the name of class {key} must be text, found {name!r}")
        if int(key) in classes or name in classes.values():
            raise SourceError(f"{place}: class {key} '{name}' is there twice; rename or remove one")
        classes[int(key)] = name
    return dict(sorted(classes.items()))
